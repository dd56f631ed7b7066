#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/simulated_file_system.hpp"
#include "simulation/snapshot_watch.hpp"
#include "state/ids.hpp"

namespace weir {

/// Says which files a job has left behind that no snapshot needs, and that nobody had a reason to leave.
///
/// What a crash, or an operation that failed, leaves in the directory of a job is removed when the job starts again
/// (`delete_orphans`); `left_by_cleaner` is what stays even then. Before that, `orphans` are those for which there was no
/// such reason:
///
/// - In the directory of a checkpoint or savepoint: every process that has made it, or a file in it, still runs, and
///   no operation on it has failed.
/// - In `shared/`: the checkpoint that wrote the file began when nothing failed any more, because until then a process
///   that was given up may have written late; and no process that still runs has failed to delete something of the job,
///   because from there on it may not know what is named (`DeletionQueue`).
/// - A checkpoint of a job that has reached its end counts like a file that nobody needs, if it began that late and is
///   more than the job keeps.
///
/// Threads: one.
class OrphanWatch {
 public:
  /// `snapshots` outlives this and has seen every event before. `checkpoints` and `savepoints` are the directories of
  /// all jobs.
  OrphanWatch(const SnapshotWatch& snapshots, std::string checkpoints, std::string savepoints)
      : snapshots_(snapshots),
        checkpoints_(std::move(checkpoints)),
        savepoints_(std::move(savepoints)) {}

  /// `event` has happened.
  void see(const FileEvent& event);
  /// From now on nothing fails.
  void see_healed();

  /// A job that has reached the end of its input, and deletes nothing any more.
  struct Finished {
    JobId job;
    std::size_t kept = 0;  ///< so many of its checkpoints, the newest, stay as its user wants it
  };
  /// Those of `paths`, the files on the disk, that should not be there. `is_running` tells of a process by its name.
  [[nodiscard]] std::vector<std::string> orphans(
      const std::vector<std::string>& paths, const Finished& finished,
      const std::function<bool(const std::string& process)>& is_running) const;
  /// Lets every job remove from `disk`, which nobody else uses, what crashes have left. Returns the files that are left
  /// all the same and that no checkpoint needs. Errors: of the removal.
  [[nodiscard]] Result<std::vector<std::string>> left_by_cleaner(
      std::shared_ptr<SimulatedDisk> disk) const;

 private:
  /// The paths of everything that complete snapshots need, but for checkpoints that `finished`, if there is one, should
  /// have deleted.
  [[nodiscard]] std::set<std::string> needed(const Finished* finished) const;
  [[nodiscard]] bool is_of_snapshots(const std::string& path) const;
  /// The directory of the job that `path` is below; empty if it is below none.
  [[nodiscard]] std::string job_directory_of(const std::string& path) const;
  /// Whether a checkpoint of the job with this directory began when nothing failed any more.
  [[nodiscard]] bool is_late(const std::string& job_directory, CheckpointId number) const;
  void see_number(const std::string& job_directory, CheckpointId number);

  const SnapshotWatch& snapshots_;
  const std::string checkpoints_;
  const std::string savepoints_;
  std::map<std::string, std::set<std::string>> makers_;  ///< processes, by directory
  std::set<std::string> failed_;  ///< directories in which something has failed
  /// Processes that may have failed to delete something, by the directory of the job.
  std::map<std::string, std::set<std::string>> undeleted_;
  std::map<std::string, CheckpointId> newest_;  ///< seen so far, by the directory of the job
  std::optional<std::map<std::string, CheckpointId>> newest_when_healed_;
};

}  // namespace weir
