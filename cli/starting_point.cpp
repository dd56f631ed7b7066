#include "cli/starting_point.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "connectors/file_committer.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"

namespace weir {
namespace {

/// Why the job cannot start from `point`, if it is damaged. Errors: `io_error`, `unsupported`, which
/// say nothing about the bytes.
Result<std::optional<Error>> find_damage(CheckpointStorage& storage, const RecoveryPoint& point) {
  if (point.damage) return point.damage;
  const auto verified = verify_snapshot(storage, point.directory);
  if (verified) return std::optional<Error>();
  const Errc code = verified.error().code;
  if (code == Errc::corruption || code == Errc::not_found) return verified.error();
  return std::unexpected(verified.error());
}

std::string list_of(const std::vector<std::string>& directories) {
  std::string text;
  for (const std::string& directory : directories) text += (text.empty() ? "" : ", ") + directory;
  return text;
}

/// Whether `job` has written the committed file `name` with an operator of `plan`.
bool is_committed_by(const std::string& name, const PlanDescription& plan, const JobId& job) {
  const std::array all_of_job{
      CommittedUpTo{job, CheckpointId{std::numeric_limits<std::uint64_t>::max()}}};
  return std::ranges::any_of(plan.operators, [&](const OperatorDescription& one) {
    return is_unknown_file_of(name, one.uid, {}) && !is_unknown_file_of(name, one.uid, all_of_job);
  });
}

/// Whether everything that is committed to the output directories of `plan` is of `job`.
bool has_written_all(FileSystem& files, const PlanDescription& plan, const JobId& job) {
  for (const OperatorDescription& one : plan.operators) {
    if (one.output_directory.empty()) continue;
    const auto entries = files.list(one.output_directory);
    if (!entries && entries.error().code == Errc::not_found) continue;
    if (!entries) return false;
    for (const DirectoryEntry& entry : *entries)
      if (!entry.is_directory && !entry.name.starts_with('.') &&
          !is_committed_by(entry.name, plan, job))
        return false;
  }
  return true;
}

/// Whether a process has the lock of `job`, or may have it.
bool may_run(CheckpointStorage& storage, const LatestSearch& search, const JobId& job) {
  return std::ranges::any_of(search.directories, [&](const std::string& directory) {
    const auto lock = storage.lock(job_directory(directory, job));
    return !lock && lock.error().code != Errc::not_found;
  });
}

}  // namespace

Result<StartingPoint> find_latest(CheckpointStorage& storage, const LatestSearch& search) {
  if (search.directories.empty())
    return error(
        Errc::not_found,
        "-s latest looks below state.checkpoints.dir, which is not set; set it in weir.yaml "
        "or with -D, or name a snapshot with -s PATH");
  WEIR_TRY_ASSIGN(found, find_recovery_points(storage, search.directories, search.job_name));
  if (found.finished)
    return error(
        Errc::not_found,
        "the newest run of job '" + search.job_name + "', " + to_string(found.finished->job) +
            ", has finished, and nothing is left to go on with; run without -s to start anew" +
            (search.transactional ? ", with an empty output directory" : "") +
            ", or go back to an older run's snapshot with -s " + found.points.front().directory);
  const std::string anew =
      "; run without -s to start anew" +
      std::string(search.transactional ? ", with an empty output directory" : "") +
      ", or name one with -s PATH";
  StartingPoint start;
  for (const RecoveryPoint& nameless : found.nameless)
    start.warnings.push_back("passing over a snapshot of which nothing can be read: " +
                             nameless.damage->what);
  std::optional<Error> damage;  // of the newest one
  std::vector<std::string> passed_over;
  for (const RecoveryPoint& point : found.points) {
    WEIR_TRY_ASSIGN(found_damage, find_damage(storage, point));
    if (found_damage) {
      passed_over.push_back(found_damage->what);
      if (!damage) damage = std::move(found_damage);
      continue;
    }
    if (damage && search.transactional)
      return error(Errc::corruption,
                   "the newest snapshot of job '" + search.job_name + "' is damaged (" +
                       damage->what + "), the next older one is " + point.directory +
                       "; a sink of the job may have committed what lies between, so choose "
                       "yourself: -s " +
                       point.directory);
    for (const std::string& what : passed_over)
      start.warnings.push_back("passing over a damaged snapshot (" + what + "); " +
                               point.directory + " is taken instead");
    start.directory = point.directory;
    start.continues = true;
    start.job = point.job;
    return start;
  }
  if (damage) {
    const std::size_t count = found.points.size();
    return error(
        Errc::corruption,
        (count == 1
             ? "the only snapshot of job '" + search.job_name + "' is damaged: " + damage->what
             : "all " + std::to_string(count) + " snapshots of job '" + search.job_name +
                   "' are damaged, the newest because of this: " + damage->what) +
            "; bring its files back from a copy, name a savepoint that lies elsewhere with -s "
            "PATH, or run "
            "without -s to start anew" +
            (search.transactional ? ", with an empty output directory" : ""));
  }
  if (!found.nameless.empty())
    return error(Errc::corruption, "no snapshot of job '" + search.job_name +
                                       "' can be read below " + list_of(search.directories) + ": " +
                                       found.nameless.front().damage->what + anew);
  return error(Errc::not_found, "there is no snapshot of job '" + search.job_name + "' below " +
                                    list_of(search.directories) + anew);
}

std::optional<StartingPoint> find_latest_of_output(CheckpointStorage& storage, FileSystem& files,
                                                   const LatestSearch& search,
                                                   const PlanDescription& plan) {
  auto latest = find_latest(storage, search);
  if (!latest || !has_written_all(files, plan, latest->job) ||
      may_run(storage, search, latest->job))
    return std::nullopt;
  return std::move(*latest);
}

Result<StartingPoint> open_starting_point(CheckpointStorage& storage, std::string directory) {
  const std::string metadata_suffix = "/" + std::string(metadata_file_name);
  if (directory.ends_with(metadata_suffix))
    directory.resize(directory.size() - metadata_suffix.size());
  WEIR_TRY_ASSIGN(metadata, verify_snapshot(storage, directory));
  return StartingPoint{std::move(directory), false, metadata.job, {}};
}

Result<StartingPoint> claim_starting_point(CheckpointStorage& storage, std::string directory,
                                           const std::string& checkpoints) {
  WEIR_TRY_ASSIGN(start, open_starting_point(storage, std::move(directory)));
  WEIR_TRY_ASSIGN(metadata, read_metadata(storage, start.directory));
  const std::string leave = "; leave --claimMode out to start a job of its own from it";
  if (metadata.kind != SnapshotKind::checkpoint)
    return error(Errc::invalid_argument, start.directory +
                                             " is a savepoint, which is its user's and cannot be "
                                             "claimed" +
                                             leave);
  if (start.directory != checkpoint_directory(checkpoints, metadata.job, metadata.checkpoint))
    return error(Errc::invalid_argument,
                 start.directory +
                     ": a claimed checkpoint stays where it is, and so do those that follow: set "
                     "state.checkpoints.dir to the directory that holds that of its job" +
                     leave);
  if (const auto lock = storage.lock(job_directory(checkpoints, metadata.job));
      !lock && lock.error().code == Errc::unavailable)
    return error(Errc::unavailable, start.directory + " cannot be claimed while its job " +
                                        to_string(metadata.job) +
                                        " runs in another process: stop that with weir stop " +
                                        to_string(metadata.job) + leave);
  WEIR_TRY_ASSIGN(found, scan_job(storage, checkpoints, metadata.job));
  for (const FoundSnapshot& other : found) {
    if (other.kind == FoundSnapshot::Kind::incomplete || other.checkpoint <= metadata.checkpoint)
      continue;
    return error(Errc::invalid_argument, start.directory +
                                             " cannot be claimed: its job has gone on to " +
                                             other.path + "; claim that one" + leave);
  }
  start.continues = true;
  return start;
}

}  // namespace weir
