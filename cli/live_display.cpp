#include "cli/live_display.hpp"

#include <algorithm>
#include <cmath>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include "cli/job_output.hpp"
#include "cli/text.hpp"

namespace weir {
namespace {

constexpr TerminalSize default_size{80, 24};
/// Around those of the operators: the job's, the checkpoints', and where the cursor stands.
constexpr std::size_t other_lines = 3;
constexpr std::size_t name_columns = 30;
/// Metrics come with the heartbeats; an operator whose numbers stand still for longer is idle.
constexpr std::chrono::seconds idle_after(3);

std::string right(std::string text, std::size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

std::string checkpoint_line(const CheckpointCounts& counts, WallTime wall_now) {
  std::string line = "checkpoints " + std::to_string(counts.completed);
  if (counts.failed > 0) line += ", " + std::to_string(counts.failed) + " failed";
  for (const CheckpointProgress& progress : counts.in_progress)
    line += "; " + progress_text(progress);
  if (const auto& last = counts.last_completed) {
    const auto age = wall_now.time_since_epoch() -
                     std::chrono::milliseconds(last->triggered_at_ms + last->duration_ms);
    line += "; last: " + std::to_string(last->id.value) + ", " + format_bytes(last->size_bytes) +
            ", " + format_duration(std::max(age, std::chrono::milliseconds(0))) + " ago";
  }
  return line;
}

}  // namespace

double LiveDisplay::rate_of(const OperatorMetrics& metrics, MonotonicTime now) {
  const std::uint64_t records = std::max(metrics.records_in, metrics.records_out);
  const auto [entry, is_new] = rates_.try_emplace(metrics.uid, Rate{records, now, 0});
  Rate& rate = entry->second;
  const std::chrono::duration<double> passed = now - rate.changed;
  if (is_new) return 0;
  if (records < rate.records) {  // the job was restarted
    rate = {records, now, 0};
  } else if (records > rate.records) {
    rate = {records, now, static_cast<double>(records - rate.records) / passed.count()};
  } else if (passed > idle_after) {
    rate.per_second = 0;
  }
  return rate.per_second;
}

void LiveDisplay::show(const JobDetails& details, MonotonicTime now, WallTime wall_now) {
  const std::scoped_lock lock(mutex_);
  const JobOverview& job = details.overview;
  const std::chrono::milliseconds age(wall_now.time_since_epoch().count() - job.started_at_ms);
  std::vector<std::string> lines{"job " + to_string(job.id) + " (" + job.name + ") " +
                                 state_name(job.state) + " for " +
                                 format_duration(std::max(age, std::chrono::milliseconds(0)))};
  const TerminalSize size = size_();
  const std::size_t room = size.rows > other_lines ? size.rows - other_lines : 0;
  const std::size_t count = details.operators.size();
  // Lines above the top of the terminal could not be taken away again.
  const std::size_t shown = count <= room ? count : room - std::min<std::size_t>(room, 1);
  for (std::size_t i = 0; i < shown; ++i) {
    const OperatorMetrics& metrics = details.operators[i];
    const auto rate = static_cast<std::uint64_t>(std::llround(rate_of(metrics, now)));
    lines.push_back("  " + fit(printable(metrics.name), name_columns) + " x" +
                    fit(std::to_string(metrics.parallelism), 4) + right(format_count(rate), 13) +
                    " records/s" + right(format_bytes(metrics.state_bytes), 12));
  }
  if (shown < count && room > 0)
    lines.push_back("  and " + std::to_string(count - shown) + " more operators");
  lines.push_back("  " + checkpoint_line(details.checkpoints, wall_now));

  std::string text = erasure();
  for (std::string& line : lines) {
    if (line.size() >= size.columns)
      line.resize(size.columns - 1);  // a line that wraps would be two
    text += line + "\n";
  }
  write_(text);
  lines_ = lines.size();
}

void LiveDisplay::print_above(const std::function<void()>& print) {
  const std::scoped_lock lock(mutex_);
  clear_lines();
  print();
}

void LiveDisplay::clear() {
  const std::scoped_lock lock(mutex_);
  clear_lines();
}

void LiveDisplay::clear_lines() {
  if (lines_ > 0) write_(erasure());
  lines_ = 0;
}

std::string LiveDisplay::erasure() const {
  // What is typed, such as ^C, has moved the cursor away from the first column.
  return lines_ == 0 ? std::string() : "\r\033[" + std::to_string(lines_) + "A\033[J";
}

Status DisplayedStreams::print(std::string_view text) {
  Status status;
  display_.print_above([&] { status = streams_.print(text); });
  return status;
}

TerminalSize terminal_size() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return default_size;
  return {size.ws_col, size.ws_row};
}

}  // namespace weir
