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
#include "state/snapshot_metadata.hpp"

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
  /// A snapshot that has completed, whether or not it is still there.
  struct Completed {
    std::string path;  ///< of `_metadata`
    SnapshotKind kind = SnapshotKind::checkpoint;
    std::uint64_t hash = 0;  ///< of `_metadata`
    bool operator==(const Completed&) const = default;
  };
  using Numbered = std::map<std::pair<JobId, CheckpointId>, Completed>;
  /// All of them by job and number.
  [[nodiscard]] const Numbered& completed() const { return completed_; }
  /// The highest number of each job.
  [[nodiscard]] std::map<JobId, CheckpointId> newest() const;

  /// A snapshot whose `_metadata` is there.
  struct Complete {
    JobId job;
    CheckpointId number;
    SnapshotKind kind = SnapshotKind::checkpoint;
    std::uint64_t hash = 0;       ///< of `_metadata`
    std::set<std::string> files;  ///< that it refers to
  };
  /// All of them by the path of `_metadata`.
  [[nodiscard]] const std::map<std::string, Complete>& there() const { return there_; }

 private:
  [[nodiscard]] std::optional<std::string> see_appeared(const std::string& path);
  [[nodiscard]] std::optional<std::string> see_removed(const std::string& path);
  [[nodiscard]] std::optional<Complete> read_complete(const std::string& path) const;

  const ReadFile read_;
  std::map<std::string, Complete> there_;
  std::map<std::string, Complete> leaving_;  ///< removed, but not durably
  Numbered completed_;
};

}  // namespace weir
