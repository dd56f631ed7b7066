#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "state/ids.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// Who may delete a completed snapshot.
enum class SnapshotOwner : std::uint8_t {
  system,  ///< the job: a checkpoint of its own, counted and deleted when newer ones replace it
  user     ///< a terminal savepoint, or the snapshot of another job that this one was forked from
};

/// A complete snapshot from which a job can go on.
struct CompletedCheckpoint {
  std::string directory;  ///< absolute; empty if it is only kept in memory
  std::shared_ptr<const SnapshotMetadata> metadata;
  SnapshotOwner owner = SnapshotOwner::system;
};

/// Remembers the recovery points of one job: its newest completed checkpoints, at most
/// `num_retained` of them, and what it was restored from until a checkpoint of its own replaces
/// that. Ordinary savepoints do not belong here (A4). It only decides; whoever asks deletes what it
/// gives back. Order is by (leader epoch, id), never by completion; the snapshot of another job is
/// the oldest of all.
/// Threads: none of its own.
class CompletedCheckpointStore {
 public:
  /// Keeps at most `num_retained` checkpoints of the system, at least 1.
  CompletedCheckpointStore(JobId job, std::uint32_t num_retained);

  /// Adds a snapshot whose metadata is durable. Returns what it replaces, oldest first: checkpoints
  /// of the system beyond the bound, and snapshots of the user that are no longer the newest.
  /// Snapshots of the user are only forgotten: they are never to be deleted, at most the pointer to
  /// them is.
  [[nodiscard]] std::vector<CompletedCheckpoint> add(CompletedCheckpoint checkpoint);
  /// Takes over what was found at start, in any order; nothing is replaced before the next `add`,
  /// so that nothing is deleted before something newer is durable.
  void restore(std::vector<CompletedCheckpoint> found);
  /// Forgets everything. Returns the checkpoints of the system, oldest first.
  [[nodiscard]] std::vector<CompletedCheckpoint> clear();

  /// What a restart begins from; null if there is nothing. Valid until the next change.
  [[nodiscard]] const CompletedCheckpoint* newest() const;
  /// Everything that is kept, oldest first. Valid until the next change.
  [[nodiscard]] const std::vector<CompletedCheckpoint>& all() const { return checkpoints_; }
  /// Whether checkpoint `id` of this job is kept.
  [[nodiscard]] bool contains(CheckpointId id) const;
  /// Whether a newer checkpoint of this job than `id` is kept.
  [[nodiscard]] bool has_newer_than(CheckpointId id) const;

 private:
  void insert(CompletedCheckpoint checkpoint);

  JobId job_;
  std::uint32_t num_retained_;
  std::vector<CompletedCheckpoint> checkpoints_;  ///< oldest first
};

}  // namespace weir
