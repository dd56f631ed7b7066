#include "actors/job_preparation.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "actors/local_directory.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/remove_tree.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

/// Where the job's checkpoints go: as configured; else, for backends whose snapshots are files, below
/// the process's temporary directory; else nowhere, the JobManager keeps them.
std::string effective_checkpoint_directory(const Configuration& configuration,
                                           const ProcessSettings& settings) {
  if (!configuration.directories().checkpoints.empty())
    return configuration.directories().checkpoints;
  if (configuration.state_backend().kind == StateBackendKind::jobmanager) return {};
  return settings.temporary_directory + "/checkpoints";
}

/// A snapshot that cannot be read.
struct Damaged {
  CheckpointId checkpoint;
  std::string what;
};

/// Finds the job's own completed checkpoints and terminal savepoint that a continuing job goes on counting.
/// Returns those that are damaged.
Result<std::vector<Damaged>> find_own_checkpoints(PreparedJob& job, CheckpointStorage& storage) {
  std::vector<Damaged> damaged;
  const std::string& directory = job.coordinator.checkpoint_directory;
  WEIR_TRY_ASSIGN(found, scan_job(storage, directory, job.submission.id));
  for (const FoundSnapshot& one : found) {
    if (one.kind == FoundSnapshot::Kind::incomplete) continue;
    const bool pointer = one.kind == FoundSnapshot::Kind::savepoint_pointer;
    std::string path = one.path;
    if (pointer) {
      auto read = read_savepoint_pointer(storage, one.path);
      if (!read) continue;  // the one that the job starts from was read already, by its own path
      path = read->directory;
    }
    auto metadata = read_metadata(storage, path);
    if (!metadata) {
      damaged.push_back({one.checkpoint, metadata.error().what});
      continue;
    }
    job.found.push_back({path, std::make_shared<const SnapshotMetadata>(std::move(*metadata)),
                         pointer ? SnapshotOwner::user : SnapshotOwner::system});
  }
  return damaged;
}

/// Makes durable that the snapshot in `directory` is there, and the pointer to it if it is a terminal savepoint.
/// Another job may have written it, whose process was killed before it had seen to that; then sinks would commit
/// because of it, and the next crash of the machine would take it away.
Status keep_snapshot(PreparedJob& job, CheckpointStorage& storage, const std::string& directory,
                     const JobId& written_by) {
  const auto synced = [&](const std::string& names) -> Status {
    const Status durable = storage.make_durable(names);
    if (durable || durable.error().code != Errc::unsupported) return durable;
    job.warnings.push_back("a crash of the machine may take the snapshot away: " +
                           durable.error().what);
    return {};
  };
  WEIR_TRY(synced(directory));
  const std::string& checkpoints = job.coordinator.checkpoint_directory;
  if (checkpoints.empty()) return {};
  const Status pointer = synced(job_directory(checkpoints, written_by));
  return !pointer && pointer.error().code == Errc::not_found ? Status() : pointer;
}

Status restore(PreparedJob& job, CheckpointStorage& storage, const std::vector<Damaged>& damaged) {
  const std::string& directory = job.submission.restore_directory;
  WEIR_TRY_ASSIGN(metadata, read_metadata(storage, directory));
  WEIR_TRY(keep_snapshot(job, storage, directory, metadata.job));
  WEIR_TRY_ASSIGN(assignment, assign_state(metadata, directory, job.plan, job.graph,
                                           job.submission.allow_non_restored_state));
  job.plan = assignment.plan;
  job.graph = build_job_graph(job.plan);
  std::ranges::copy(assignment.warnings, std::back_inserter(job.warnings));
  // Who chose the snapshot has told of newer ones.
  for (const Damaged& one : damaged)
    if (one.checkpoint < metadata.checkpoint)
      job.warnings.push_back("passing over a checkpoint that does not verify: " + one.what);
  job.restore = std::move(assignment);
  job.restored_from = directory;
  // What is newer than the snapshot that was chosen was passed over as damaged: never go back to it.
  const auto age = [](const SnapshotMetadata& one) { return std::pair(one.epoch, one.checkpoint); };
  std::erase_if(job.found, [&](const auto& one) { return age(*one.metadata) > age(metadata); });
  const bool known =
      std::ranges::any_of(job.found, [&](const auto& one) { return one.directory == directory; });
  if (!known) {
    job.found.push_back({directory, std::make_shared<const SnapshotMetadata>(std::move(metadata)),
                         SnapshotOwner::user});
  }
  return {};
}

/// Locks the job's directory of checkpoints, if there is one, removes what crashes have left in it, and counts
/// on above what is found. Returns the job's own checkpoints that are damaged.
Result<std::vector<Damaged>> open_checkpoints(PreparedJob& job, const ProcessSeams& seams,
                                              const ProcessSettings& settings) {
  CheckpointStorage& storage = *seams.storage;
  CheckpointCoordinator::Job& coordinator = job.coordinator;
  if (coordinator.checkpoint_directory.empty()) return std::vector<Damaged>();
  const std::string directory = job_directory(coordinator.checkpoint_directory, coordinator.id);
  WEIR_TRY(storage.create_directories(directory));
  auto lock = storage.lock(directory);
  if (!lock) {
    if (lock.error().code != Errc::unavailable) return std::unexpected(lock.error());
    return error(
        Errc::unavailable,
        "job " + to_string(coordinator.id) +
            " runs in another process; stop it there, or start from a savepoint with -s PATH (" +
            lock.error().what + ")");
  }
  job.lock = std::move(*lock);
  // What a process that was killed has left: under the lock nobody uses it.
  remove_tree(*seams.files, local_directory(job.configuration, settings, coordinator.id));
  WEIR_TRY_ASSIGN(highest, find_highest(storage, coordinator.checkpoint_directory, coordinator.id));
  coordinator.first_id = CheckpointId{highest.checkpoint.value + 1};
  coordinator.epoch = LeaderEpoch{highest.epoch.value + 1};
  // Only now: an incomplete checkpoint has taken its number, too.
  WEIR_TRY(delete_orphans(storage, coordinator.checkpoint_directory, coordinator.id));
  if (!job.submission.continues) return std::vector<Damaged>();
  return find_own_checkpoints(job, storage);
}

/// Locks the output directories and, if the job begins anew, refuses those that hold files.
Status open_outputs(PreparedJob& job, FileSystem& files) {
  WEIR_TRY_ASSIGN(outputs, OutputDirectoryLocks::take(files, job.plan));
  job.outputs = std::move(outputs);
  if (!job.submission.restore_directory.empty())
    return {};  // the sink knows what its snapshot covers
  for (const OperatorDescription& one : job.plan.operators) {
    if (one.output_directory.empty()) continue;
    const auto entries = files.list(one.output_directory);
    if (!entries) return unusable_output_directory(one.output_directory, entries.error());
    WEIR_TRY(refuse_committed_output(one.output_directory, *entries));
  }
  return {};
}

/// All of `prepare_job`, into `job`, which holds what was locked also after an error.
Status prepare(PreparedJob& job, JobSubmission submission, const ProcessSeams& seams,
               const ProcessSettings& settings) {
  WEIR_TRY_ASSIGN(configuration, Configuration::from_map(submission.configuration, "job"));
  WEIR_TRY(configuration.check());
  WEIR_TRY(check_plan(submission.plan));
  job.configuration = std::move(configuration);
  job.checkpoint_directory = job.configuration.directories().checkpoints;
  job.plan = submission.plan;
  job.graph = build_job_graph(job.plan);
  job.submission = std::move(submission);

  CheckpointCoordinator::Job& coordinator = job.coordinator;
  coordinator.id = job.submission.id;
  coordinator.name = job.submission.name;
  coordinator.epoch = LeaderEpoch{1};
  coordinator.checkpoint_directory = effective_checkpoint_directory(job.configuration, settings);
  WEIR_TRY_ASSIGN(damaged, open_checkpoints(job, seams, settings));
  if (!job.submission.restore_directory.empty()) WEIR_TRY(restore(job, *seams.storage, damaged));
  coordinator.plan = job.plan;
  // Last: who is refused for another reason leaves no output directory behind.
  return open_outputs(job, *seams.files);
}

}  // namespace

Result<std::shared_ptr<PreparedJob>> prepare_job(JobSubmission submission,
                                                 const ProcessSeams& seams,
                                                 const ProcessSettings& settings) {
  auto job = std::make_shared<PreparedJob>();
  if (const Status prepared = prepare(*job, std::move(submission), seams, settings); !prepared) {
    abandon_job(*job, seams);
    return std::unexpected(prepared.error());
  }
  return job;
}

void abandon_job(PreparedJob& job, const ProcessSeams& seams) {
  job.outputs.undo(*seams.files);
  // What is left of a directory that was made for nothing is a lock without holder, which does no harm.
  if (job.lock != nullptr)
    (void)remove_job_directory_if_empty(*seams.storage, job.coordinator.checkpoint_directory,
                                        job.coordinator.id);
  job.lock.reset();
}

}  // namespace weir
