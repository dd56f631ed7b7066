// Lets every line of the input through, exactly once or not: with its key (a number before the first
// blank, modulo 64) and its number within that key, which is keyed state. So the committed files show
// both what was lost or doubled on the way and what was lost or doubled in the state.
//
//   weir run numbered_lines.so --input FILE --output DIRECTORY [--rate LINES_PER_SECOND] [--gate FIFO]
//
// While the named pipe of --gate is there, the snapshot of one subtask at a time waits at it: for someone who
// opens it to write, and then until that one closes it. So who could open it holds a checkpoint, which the
// other subtasks may have acknowledged.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <weir/weir.hpp>

namespace {

using namespace weir;

std::atomic<bool> one_waits{false};

void wait_at(const std::string& gate) {
  if (one_waits.exchange(true)) return;
  const int pipe = ::open(gate.c_str(), O_RDONLY | O_CLOEXEC);
  if (pipe < 0 && errno != ENOENT) throw std::system_error(errno, std::generic_category(), gate);
  if (pipe >= 0) {
    char byte = 0;
    [[maybe_unused]] const auto closed = ::read(pipe, &byte, 1);
    ::close(pipe);
  }
  one_waits = false;
}

class WaitAtGate final : public RichMapFunction<std::string, std::string>,
                         public Checkpointed<std::uint64_t> {
 public:
  explicit WaitAtGate(std::string gate) : gate_(std::move(gate)) {}
  std::string map(const std::string& line) override {
    ++lines_;
    return line;
  }
  std::uint64_t snapshot_state() override {
    if (!gate_.empty()) wait_at(gate_);
    return lines_;
  }
  void restore_state(const std::uint64_t& lines) override { lines_ += lines; }

 private:
  std::string gate_;
  std::uint64_t lines_ = 0;
};

}  // namespace

WEIR_JOB(numbered_lines) {
  const auto input = env.parameters().all("input");
  const auto output = env.parameters().required("output");
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));
  const auto gate = env.parameters().get("gate", "");

  env.read_text(input, rate)
      .uid("lines")
      .map(WaitAtGate(gate))
      .uid("gate")
      .key_by(
          [](const std::string& line) { return static_cast<std::uint32_t>(std::stoul(line) % 64); })
      .map_with_state<std::uint64_t>([](const std::string& line, std::uint64_t& seen) {
        return line + '\t' + std::to_string(++seen);
      })
      .uid("numbers")
      .write_files(output, [](const std::string& line) { return line; })
      .uid("output");
}
