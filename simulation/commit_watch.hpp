#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "messages/messages.hpp"
#include "simulation/simulated_file_system.hpp"
#include "simulation/snapshot_watch.hpp"

namespace weir {

/// Looks at the files that file sinks commit, and says when one comes that nobody may commit:
///
/// - No snapshot that holds it has completed. The number of the first that holds it is in its name; one that is
///   given up leaves it to the next that completes. What an ordinary savepoint alone holds may be committed by a job
///   that starts from there, and not by the one that has taken it.
/// - An attempt of a job commits it that is not the newest, and nothing that holds it had completed when the newest
///   began: that one knows nothing of it and writes the lines again. What had completed before may be committed by
///   anybody, because the newest attempt commits it, too.
///
/// Threads: one.
class CommitWatch {
 public:
  /// `snapshots` outlives this and has seen every event before.
  explicit CommitWatch(const SnapshotWatch& snapshots) : snapshots_(snapshots) {}

  /// The JobManager of this process leads. One that takes over may count on from what the one before has left, and
  /// then attempts without a trace have their fences again; of those nothing runs any more.
  void see_leader(const std::string& process);
  /// Attempt `fence` of `job` begins to be deployed in `process`.
  void see_deployed(const std::string& process, const JobId& job, const Fence& fence);
  /// `event` has happened in an output directory. Returns what it breaks, a sentence; none: nothing.
  [[nodiscard]] std::optional<std::string> see(const FileEvent& event) const;

 private:
  using Attempt = std::pair<JobId, Fence>;
  /// Of which job the name of a file begins the id; none: of none that has completed anything.
  [[nodiscard]] std::optional<JobId> job_called(std::string_view beginning) const;
  /// Whether a snapshot has completed because of which what checkpoint `number` of `job` holds may be committed.
  [[nodiscard]] bool may_commit(const JobId& job, CheckpointId number) const;

  const SnapshotWatch& snapshots_;
  std::string leader_;
  /// The newest attempt of each job that a process was told of.
  std::map<std::string, std::map<JobId, Fence>> of_process_;
  std::optional<Attempt> newest_;                   ///< that was begun last
  std::map<JobId, Fence> fences_;                   ///< the newest of each job
  std::map<JobId, CheckpointId> completed_before_;  ///< the newest of each job when `newest_` began
};

}  // namespace weir
