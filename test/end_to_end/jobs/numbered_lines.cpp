// Lets every line of the input through, exactly once or not: with its key (a number before the first
// blank, modulo 64) and its number within that key, which is keyed state. So the committed files show
// both what was lost or doubled on the way and what was lost or doubled in the state.
//
//   weir run numbered_lines.so --input FILE --output DIRECTORY [--rate LINES_PER_SECOND] [--hold-ms N]
//
// --hold-ms is how long each snapshot of a subtask takes: a wide window to be killed in.
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include <weir/weir.hpp>

namespace {

using namespace weir;

class SlowToSnapshot final : public RichMapFunction<std::string, std::string>,
                             public Checkpointed<std::uint64_t> {
 public:
  explicit SlowToSnapshot(std::chrono::milliseconds hold) : hold_(hold) {}
  std::string map(const std::string& line) override {
    ++lines_;
    return line;
  }
  std::uint64_t snapshot_state() override {
    std::this_thread::sleep_for(hold_);
    return lines_;
  }
  void restore_state(const std::uint64_t& lines) override { lines_ += lines; }

 private:
  std::chrono::milliseconds hold_;
  std::uint64_t lines_ = 0;
};

}  // namespace

WEIR_JOB(numbered_lines) {
  const auto input = env.parameters().all("input");
  const auto output = env.parameters().required("output");
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));
  const std::chrono::milliseconds hold(env.parameters().number("hold-ms", 0));

  env.read_text(input, rate)
      .uid("lines")
      .map(SlowToSnapshot(hold))
      .uid("slow")
      .key_by(
          [](const std::string& line) { return static_cast<std::uint32_t>(std::stoul(line) % 64); })
      .map_with_state<std::uint64_t>([](const std::string& line, std::uint64_t& seen) {
        return line + '\t' + std::to_string(++seen);
      })
      .uid("numbers")
      .write_files(output, [](const std::string& line) { return line; })
      .uid("output");
}
