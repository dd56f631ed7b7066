#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "messages/messages.hpp"
#include "simulation/simulated_file_system.hpp"
#include "simulation/snapshot_watch.hpp"

namespace weir {

/// Looks at the files that file sinks commit, and says when one comes that nobody may commit:
///
/// - Its checkpoint has not completed. The number of a checkpoint is in the name of the file that it commits.
/// - An attempt of a job commits it that is not the newest, and its checkpoint had not completed when the newest
///   began: that one knows nothing of it and writes the lines again. An older checkpoint's file may come from anybody,
///   because the newest attempt commits it, too.
///
/// Threads: one.
class CommitWatch {
 public:
  /// `snapshots` outlives this and has seen every event before.
  explicit CommitWatch(const SnapshotWatch& snapshots) : snapshots_(snapshots) {}

  /// Attempt `fence` of `job` begins to be deployed in `process`.
  void see_deployed(const std::string& process, const JobId& job, const Fence& fence);
  /// `event` has happened in an output directory. Returns what it breaks, a sentence; none: nothing.
  [[nodiscard]] std::optional<std::string> see(const FileEvent& event) const;

 private:
  using Attempt = std::pair<JobId, Fence>;

  const SnapshotWatch& snapshots_;
  std::map<std::string, Attempt> of_process_;       ///< which it was told of last
  std::optional<Attempt> newest_;                   ///< that was begun last
  std::map<JobId, Fence> fences_;                   ///< the newest of each job
  std::map<JobId, CheckpointId> completed_before_;  ///< the newest of each job when `newest_` began
};

}  // namespace weir
