#include "cli/live_display.hpp"

#include <algorithm>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include "cli/job_output.hpp"
#include "cli/text.hpp"

namespace weir {
namespace {

constexpr std::size_t default_columns = 80;
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
  if (counts.in_progress > 0) line += ", one under way";
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
  for (const OperatorMetrics& metrics : details.operators)
    lines.push_back("  " + fit(metrics.name, name_columns) + " x" +
                    fit(std::to_string(metrics.parallelism), 4) +
                    right(format_count(static_cast<std::uint64_t>(rate_of(metrics, now))), 13) +
                    " records/s" + right(format_bytes(metrics.state_bytes), 12));
  lines.push_back("  " + checkpoint_line(details.checkpoints, wall_now));

  erase();
  std::string text;
  const std::size_t width = columns_();
  for (std::string& line : lines) {
    if (line.size() >= width) line.resize(width - 1);  // a line that wraps would be two
    text += line + "\n";
  }
  write_(text);
  lines_ = lines.size();
}

void LiveDisplay::print_above(const std::function<void()>& print) {
  const std::scoped_lock lock(mutex_);
  erase();
  print();
}

void LiveDisplay::clear() {
  const std::scoped_lock lock(mutex_);
  erase();
}

void LiveDisplay::erase() {
  if (lines_ > 0) write_("\033[" + std::to_string(lines_) + "A\033[J");
  lines_ = 0;
}

Status DisplayedStreams::print(std::string_view text) {
  Status status;
  display_.print_above([&] { status = streams_.print(text); });
  return status;
}

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return default_columns;
  return size.ws_col;
}

}  // namespace weir
