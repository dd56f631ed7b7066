#include "simulation/commit_watch.hpp"

#include <algorithm>
#include <string_view>

#include "simulation/path_parts.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

/// How many digits of its job's id, and of a random number, are in the name of a committed file.
constexpr std::size_t tag_digits = 12;

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

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
  if (!is_hex(parsed.job) || !is_hex(name.substr(random, tag_digits))) return std::nullopt;
  return parsed;
}

}  // namespace

void CommitWatch::see_leader(const std::string& process) {
  if (std::exchange(leader_, process) == process) return;
  of_process_.clear();
  fences_.clear();
}

void CommitWatch::see_deployed(const std::string& process, const JobId& job, const Fence& fence) {
  Fence& of_process = of_process_[process].try_emplace(job, fence).first->second;
  of_process = std::max(of_process, fence);
  const auto [known, is_new] = fences_.try_emplace(job, fence);
  if (!is_new && fence <= known->second) return;
  known->second = fence;
  newest_ = {job, fence};
  completed_before_ = snapshots_.newest();
}

std::optional<JobId> CommitWatch::job_called(std::string_view beginning) const {
  for (const auto& [key, one] : snapshots_.completed())
    if (to_string(key.first).starts_with(beginning)) return key.first;
  return std::nullopt;
}

bool CommitWatch::may_commit(const JobId& job, CheckpointId number) const {
  const bool is_own = newest_ && newest_->first == job;
  const auto& completed = snapshots_.completed();
  for (auto one = completed.lower_bound({job, number});
       one != completed.end() && one->first.first == job; ++one)
    if (!is_own || one->second.kind != SnapshotKind::savepoint) return true;
  return false;
}

std::optional<std::string> CommitWatch::see(const FileEvent& event) const {
  if (event.operation != FileOperation::rename || event.failure) return std::nullopt;
  const auto name = parse(name_of(event.to));
  if (!name) return std::nullopt;
  const std::string number = std::to_string(name->checkpoint.value);
  const auto job = job_called(name->job);
  if (!job || !may_commit(*job, name->checkpoint))
    return "checkpoint " + number + " of job " + std::string(name->job) +
           "..., or a newer one, was expected to be complete when " + event.process + " commits " +
           event.to + ", found none";
  const auto before = completed_before_.find(*job);
  if (before != completed_before_.end() && name->checkpoint <= before->second) return std::nullopt;
  const auto told = of_process_.find(event.process);
  if (newest_ && told != of_process_.end()) {
    const auto attempt = told->second.find(newest_->first);
    if (attempt != told->second.end() && attempt->second == newest_->second) return std::nullopt;
  }
  return "the newest attempt of job " + to_string(*job) + " alone was expected to commit " +
         "what checkpoint " + number + " holds, found " + event.to + " committed by " +
         event.process + ", which runs an older one";
}

}  // namespace weir
