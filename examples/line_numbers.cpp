// Numbers the lines of text files with a `Checkpointed` function, whose field is its state. Each subtask numbers
// what it reads; with one, as is the default, the numbers are those of the input.
//
//   weir run line_numbers.so --input FILE --output DIRECTORY [--rate LINES_PER_SECOND]
#include <cstdint>
#include <string>

#include <weir/weir.hpp>

namespace {

using namespace weir;

class NumberLines final : public RichMapFunction<std::string, std::string>,
                          public Checkpointed<std::uint64_t> {
 public:
  std::string map(const std::string& line) override {
    return std::to_string(++lines_) + '\t' + line;
  }
  std::uint64_t snapshot_state() override { return lines_; }
  void restore_state(const std::uint64_t& lines) override { lines_ += lines; }

 private:
  std::uint64_t lines_ = 0;
};

}  // namespace

WEIR_JOB(line_numbers) {
  const auto input = env.parameters().all("input");
  const auto output = env.parameters().required("output");
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));

  env.read_text(input, rate)
      .uid("lines")
      .map(NumberLines{})
      .uid("numbers")
      .write_files(output, [](const std::string& line) { return line; })
      .uid("output");
}
