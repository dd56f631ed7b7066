#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/simulated_file_system.hpp"
#include "state/ids.hpp"

namespace weir {

/// Looks at every operation on a disk with snapshots, and says what must never happen there:
///
/// - Two snapshots of one job have completed under the same number, also if another JobManager has taken over in
///   between. What a crash of the host has taken away does not count.
/// - A file is deleted that a complete snapshot refers to: one whose `_metadata` is there, or could come back in a
///   crash because its removal is not durable.
///
/// Whoever looks believes the disk alone, and no code that is watched but the one that reads `_metadata`.
/// Threads: one.
class SnapshotWatch {
 public:
  /// The content of the file `path`; none: it is not there.
  using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

  explicit SnapshotWatch(ReadFile read) : read_(std::move(read)) {}

  /// `event` has happened. Returns what it breaks, a sentence; none: nothing.
  [[nodiscard]] std::optional<std::string> see(const FileEvent& event);
  /// The host has crashed, and what is on its disk now is what is left.
  void see_crash();
  /// Whether a snapshot of `job` has completed under `number`, whether or not it is still there.
  [[nodiscard]] bool has_completed(const JobId& job, CheckpointId number) const {
    return numbers_.contains({job, number});
  }
  /// The highest such number of each job.
  [[nodiscard]] std::map<JobId, CheckpointId> newest() const;
  /// Those of `paths`, the files below the directories of snapshots, that no complete snapshot needs and that do
  /// not serve to count on or to find one.
  [[nodiscard]] std::vector<std::string> orphans(const std::vector<std::string>& paths) const;

 private:
  /// A snapshot whose `_metadata` is there.
  struct Complete {
    JobId job;
    CheckpointId number;
    std::set<std::string> files;  ///< that it refers to
  };
  struct Numbered {
    std::string path;  ///< of `_metadata`
    std::uint64_t hash = 0;
    bool operator==(const Numbered&) const = default;
  };

  [[nodiscard]] std::optional<std::string> see_appeared(const std::string& path);
  [[nodiscard]] std::optional<std::string> see_removed(const std::string& path);
  [[nodiscard]] std::optional<Complete> read_complete(const std::string& path) const;

  const ReadFile read_;
  std::map<std::string, Complete> there_;    ///< by the path of `_metadata`
  std::map<std::string, Complete> leaving_;  ///< removed, but not durably
  std::map<std::pair<JobId, CheckpointId>, Numbered> numbers_;
};

}  // namespace weir
