#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "simulation/commit_watch.hpp"
#include "simulation/orphan_watch.hpp"
#include "simulation/queue_watch.hpp"
#include "simulation/simulated_cluster.hpp"
#include "simulation/snapshot_watch.hpp"

namespace weir {

/// Looks on while a cluster runs a job, and says what breaks an invariant of the protocol: one completed snapshot under a
/// number, no deleted file that a snapshot refers to, no file left that nobody needs, no commit but of the newest
/// attempt and behind a completed checkpoint, bounded queues. It draws nothing and changes nothing, so that a run is
/// the same with it.
/// Threads: one.
class ProtocolWatch {
 public:
  struct Settings {
    std::string checkpoints;  ///< the directory of all jobs' checkpoints
    std::string savepoints;
    std::set<std::string> outputs;  ///< the directories that file sinks write to
    std::size_t channel_bytes = 0;  ///< the room of a channel
    /// The content of the file with this path, as it is read; none: it is not there.
    SnapshotWatch::ReadFile read;
  };
  explicit ProtocolWatch(Settings settings);

  /// Lets a cluster with these settings be looked at, also if it is asked for other things. This outlives it.
  void attach(SimulatedCluster::Settings& cluster);
  /// From now on nothing fails.
  void see_healed() { orphans_.see_healed(); }
  /// What has been broken and was not told yet, a sentence; none: nothing.
  [[nodiscard]] std::optional<std::string> take_broken(const SimulatedCluster& cluster);
  /// `finished` has ended: whether a file is left that should not be.
  [[nodiscard]] std::optional<std::string> find_orphan(SimulatedCluster& cluster,
                                                       const OrphanWatch::Finished& finished) const;
  /// Whether a file would be left if each job started again, which removes what crashes have left. `mended` is a path
  /// whose content is damaged, and what it should be.
  [[nodiscard]] std::optional<std::string> find_lasting_orphan(
      SimulatedCluster& cluster,
      const std::optional<std::pair<std::string, std::string>>& mended) const;

 private:
  void see_file(const FileEvent& event);
  void see_delivery(const DeliveryRecord& record, const std::string& process);
  void tell(std::optional<std::string> broken);

  const Settings settings_;
  SnapshotWatch snapshots_;
  CommitWatch commits_;
  OrphanWatch orphans_;
  QueueWatch queues_;
  std::deque<std::string> broken_;
};

}  // namespace weir
