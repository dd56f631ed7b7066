#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/codec.hpp"
#include "state/ids.hpp"

namespace weir {

/// Where snapshots of a job lie (docs/formats/snapshot.md, "Directories"):
///
///   <dir>/<job id>/.lock              held by the process that runs the job
///   <dir>/<job id>/chk-<n>/_metadata  complete checkpoint n; without `_metadata` incomplete
///   <dir>/<job id>/shared/            data files that incremental checkpoints name, each any number of them
///   <dir>/<job id>/savepoint-<n>      pointer to a terminal savepoint that lies elsewhere
///   <dir>/<job id>/number-<e>-<n>     leader epoch e has begun savepoint n, wherever it lies
///   <dir>/<job id>/finished           the run has reached its end, after other runs of its name
///   <dir>/savepoint-<first 6 of job id>-<random>/   a savepoint, self-contained
///
/// All functions may block and take absolute paths. Threads: any.

/// `<directory>/<job id>`
[[nodiscard]] std::string job_directory(const std::string& directory, const JobId& job);
/// `<directory>/<job id>/chk-<n>`
[[nodiscard]] std::string checkpoint_directory(const std::string& directory, const JobId& job,
                                               CheckpointId checkpoint);
/// Makes a new `<target>/savepoint-<first 6 of job id>-<random>` and returns its path. Missing parents
/// are made. Errors: `io_error`.
[[nodiscard]] Result<std::string> create_savepoint_directory(CheckpointStorage& storage,
                                                             const std::string& target,
                                                             const JobId& job, Random& random);

/// Says in the directory of `job`, durably, that `epoch` begins the savepoint `number`: wherever that will lie,
/// a job that goes on after a crash counts on above it. To be called before anything of the savepoint is
/// there. Takes the place of what was said of lower numbers. Errors: as `publish_file`.
[[nodiscard]] Status take_savepoint_number(CheckpointStorage& storage, const std::string& directory,
                                           const JobId& job, LeaderEpoch epoch,
                                           CheckpointId number);

/// Says in the job's checkpoint directory that a terminal savepoint, which may lie anywhere, is a
/// recovery point of the job.
struct SavepointPointer {
  JobId job;
  std::string job_name;
  CheckpointId savepoint;
  LeaderEpoch epoch;
  std::int64_t completed_at_ms = 0;  ///< wall clock, milliseconds since 1970
  std::string directory;             ///< of the savepoint, absolute
  bool operator==(const SavepointPointer&) const = default;
};
WEIR_FIELDS(SavepointPointer, job, job_name, savepoint, epoch, completed_at_ms, directory)

/// Writes the pointer under `<directory>/<job id>/savepoint-<n>`, durably; to be called when the
/// savepoint's `_metadata` is durable and before any sink is told. Errors: as `publish_file`.
[[nodiscard]] Status write_savepoint_pointer(CheckpointStorage& storage,
                                             const std::string& directory,
                                             const SavepointPointer& pointer, Random& random);
/// Errors: `not_found`, `corruption`, `unsupported`, `io_error`.
[[nodiscard]] Result<SavepointPointer> read_savepoint_pointer(CheckpointStorage& storage,
                                                              const std::string& path);
/// Removes the pointer of a terminal savepoint that a newer checkpoint has subsumed; the savepoint
/// itself stays the user's.
[[nodiscard]] Status delete_savepoint_pointer(CheckpointStorage& storage,
                                              const std::string& directory, const JobId& job,
                                              CheckpointId savepoint);

/// Says in the job's checkpoint directory that its run has reached the end of its input: nobody is to go
/// on from what an older run of that name has left there.
struct FinishedRun {
  JobId job;
  std::string job_name;
  std::int64_t finished_at_ms = 0;  ///< wall clock, milliseconds since 1970
  bool operator==(const FinishedRun&) const = default;
};
WEIR_FIELDS(FinishedRun, job, job_name, finished_at_ms)

/// Writes it, durably, if anything is there that could be taken for the newest of that name once the
/// job's own checkpoints are deleted; to be called before they are. Errors: as `publish_file`.
[[nodiscard]] Status mark_finished(CheckpointStorage& storage, const std::string& directory,
                                   const FinishedRun& run, Random& random);

/// One thing that a scan found in a job's directory. Nothing has been read from it yet.
struct FoundSnapshot {
  enum class Kind : std::uint8_t { complete, incomplete, savepoint_pointer };
  Kind kind = Kind::incomplete;
  JobId job;
  CheckpointId checkpoint;
  std::string path;        ///< of the directory, or of the pointer file
  LeaderEpoch epoch_seen;  ///< the highest in names of data files; 0 if there are none
  bool operator==(const FoundSnapshot&) const = default;
};

/// Lists the checkpoints, complete or not, and savepoint pointers of every job id under `directory`,
/// ascending by job id and number. A missing directory holds none. Symbolic links and names that are
/// not ours are passed over. Errors: `io_error`.
[[nodiscard]] Result<std::vector<FoundSnapshot>> scan_checkpoints(CheckpointStorage& storage,
                                                                  const std::string& directory);
/// The same for one job id.
[[nodiscard]] Result<std::vector<FoundSnapshot>> scan_job(CheckpointStorage& storage,
                                                          const std::string& directory,
                                                          const JobId& job);

/// A checkpoint or terminal savepoint from which a job can go on.
struct RecoveryPoint {
  JobId job;
  CheckpointId checkpoint;
  LeaderEpoch epoch;  ///< if `damage`: the highest of its older neighbours
  std::string directory;
  bool is_savepoint = false;
  std::int64_t completed_at_ms = 0;  ///< 0 if `damage`
  /// Set if `_metadata` or the pointer cannot be read: what to tell the user.
  std::optional<Error> damage;
};

/// What `-s latest` chooses from.
struct RecoveryPoints {
  /// Of the job id that completed a snapshot last: newest first by (epoch, number). Damaged ones stand
  /// where their number puts them, so that the caller cannot pass over one unnoticed.
  std::vector<RecoveryPoint> points;
  /// Damaged ones of job ids of which nothing could be read: they may belong to the job or not.
  std::vector<RecoveryPoint> nameless;
  /// A run of that name that has finished after all of `points` were complete.
  std::optional<FinishedRun> finished;
};

/// Finds the recovery points of the job called `job_name` under all of `directories`, and whether a run of
/// it has finished since. Reads every `_metadata` there, but no data file. Errors: `io_error`;
/// `corruption`, `unsupported` if what says that a run has finished cannot be read.
[[nodiscard]] Result<RecoveryPoints> find_recovery_points(CheckpointStorage& storage,
                                                          std::span<const std::string> directories,
                                                          const std::string& job_name);

/// The highest numbers found of one job; a job that continues counts on above them.
struct HighestFound {
  CheckpointId checkpoint;
  LeaderEpoch epoch;
  bool operator==(const HighestFound&) const = default;
};
/// Looks through the checkpoints, complete or not, pointers and numbers of savepoints of `job` under
/// `directory`. Errors: `io_error`.
[[nodiscard]] Result<HighestFound> find_highest(CheckpointStorage& storage,
                                                const std::string& directory, const JobId& job);

/// Deletes what crashes have left in the directory of `job`, whose lock the caller holds: incomplete
/// checkpoints, files that the `_metadata` beside them does not name, shared files that none names,
/// temporary files. A checkpoint whose `_metadata` is damaged is left as it is, and so is then all that
/// is shared. Then makes durable what is left: a process that was
/// killed may have left a complete checkpoint that the next crash would take away, after sinks have
/// committed because of it. To be called before the job goes on from what a scan shows. Returns the
/// removed paths. Errors: `io_error`.
[[nodiscard]] Result<std::vector<std::string>> delete_orphans(CheckpointStorage& storage,
                                                              const std::string& directory,
                                                              const JobId& job);
/// Deletes from `directory`, a job's `shared/`, what `checkpoint` wrote and no other can name, because it
/// never completed. Errors: `io_error`, after trying all.
[[nodiscard]] Status delete_shared_files_of(CheckpointStorage& storage,
                                            const std::string& directory, CheckpointId checkpoint);
/// Removes the directory of `job`, whose lock the caller holds, if only the lock is left in it, and perhaps an
/// empty `shared/` and the number of a savepoint: nobody can go on counting.
[[nodiscard]] Status remove_job_directory_if_empty(CheckpointStorage& storage,
                                                   const std::string& directory, const JobId& job);

}  // namespace weir
