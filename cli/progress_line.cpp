#include "cli/progress_line.hpp"

#include <chrono>

#include "cli/job_output.hpp"

namespace weir {
namespace {

constexpr std::chrono::seconds shown_after(1);
constexpr const char* erase_to_the_right = "\033[K";

}  // namespace

bool ProgressLine::is_due(MonotonicTime now) const { return now - begin_ >= shown_after; }

void ProgressLine::show(std::span<const CheckpointProgress> snapshots, MonotonicTime now) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now - begin_);
  std::string line = what_ + " ... " + std::to_string(seconds.count()) + " s";
  for (const CheckpointProgress& snapshot : snapshots) line += "; " + progress_text(snapshot);
  // A line that wraps could not be taken away again.
  if (const std::size_t columns = size_().columns; line.size() >= columns) line.resize(columns - 1);
  write_("\r" + line + erase_to_the_right);
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_) write_(std::string("\r") + erase_to_the_right);
  shown_ = false;
}

}  // namespace weir
