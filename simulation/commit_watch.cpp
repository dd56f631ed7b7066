#include "simulation/commit_watch.hpp"

#include <algorithm>
#include <string_view>

#include "state/snapshot_io.hpp"

namespace weir {

namespace {

/// How many digits of its job's id, and of a random number, are in the name of a committed file.
constexpr std::size_t tag_digits = 12;

struct CommittedName {
  std::string_view job;  ///< the beginning of its id
  CheckpointId checkpoint;
};

/// What the name of a file says that a file sink has committed: `...-<job>-<random>-<checkpoint>`; none: it is another
/// one.
std::optional<CommittedName> parse(std::string_view name) {
  CommittedName parsed;
  const std::size_t end = name.rfind('-');
  if (name.starts_with('.') || end == std::string_view::npos || end < 2 * tag_digits + 2)
    return std::nullopt;
  std::string_view number = name.substr(end + 1);
  if (!take_number(number, parsed.checkpoint.value) || !number.empty()) return std::nullopt;
  const std::size_t random = end - tag_digits;
  const std::size_t job = random - 1 - tag_digits;
  if (name[random - 1] != '-' || name[job - 1] != '-') return std::nullopt;
  parsed.job = name.substr(job, tag_digits);
  return parsed;
}

}  // namespace

void CommitWatch::see_deployed(const std::string& process, const JobId& job, const Fence& fence) {
  of_process_[process] = {job, fence};
  const auto [known, is_new] = fences_.try_emplace(job, fence);
  if (!is_new && fence <= known->second) return;
  known->second = fence;
  newest_ = {job, fence};
  completed_before_ = snapshots_.newest();
}

std::optional<std::string> CommitWatch::see(const FileEvent& event) const {
  if (event.operation != FileOperation::rename || event.failure) return std::nullopt;
  const std::string_view path = event.to;
  const auto name = parse(path.substr(path.rfind('/') + 1));
  if (!name) return std::nullopt;
  const auto completed = snapshots_.newest();
  const auto job = std::ranges::find_if(
      completed, [&](const auto& one) { return to_string(one.first).starts_with(name->job); });
  const std::string number = std::to_string(name->checkpoint.value);
  if (job == completed.end() || !snapshots_.has_completed(job->first, name->checkpoint))
    return "checkpoint " + number + " was expected to be complete when " + event.process +
           " commits " + event.to + ", found none";
  const auto attempt = of_process_.find(event.process);
  if (attempt != of_process_.end() && attempt->second == newest_) return std::nullopt;
  const auto before = completed_before_.find(job->first);
  if (before != completed_before_.end() && name->checkpoint <= before->second) return std::nullopt;
  return "the newest attempt of job " + to_string(job->first) + " alone was expected to commit " +
         "what checkpoint " + number + " covers, found " + event.to + " committed by " +
         event.process + ", which runs an older one";
}

}  // namespace weir
