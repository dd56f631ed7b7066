#include "cli/starting_point.hpp"

#include <optional>
#include <utility>

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
  if (damage)
    return error(Errc::corruption, "no snapshot of job '" + search.job_name +
                                       "' verifies; the newest: " + damage->what);
  if (!found.nameless.empty())
    return error(Errc::corruption, "no snapshot of job '" + search.job_name +
                                       "' can be read below " + list_of(search.directories) + ": " +
                                       found.nameless.front().damage->what);
  return error(Errc::not_found,
               "there is no snapshot of job '" + search.job_name + "' below " +
                   list_of(search.directories) + "; run without -s to start anew" +
                   (search.transactional ? ", with an empty output directory" : "") +
                   ", or name one with -s PATH");
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
