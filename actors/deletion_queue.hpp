#pragma once

#include <deque>
#include <utility>
#include <variant>

#include "actors/checkpoint_coordinator.hpp"

namespace weir {

/// The deletions of one job's checkpoints, in the order in which the coordinator asked for them. They come
/// one after the other: while a checkpoint is there, so are the files that it names.
///
/// When one fails, what would do harm behind it is given up:
/// - A checkpoint that is not deleted, or a run that is not marked as finished, keeps the newer checkpoints
///   that wait. Were they gone, whoever goes on after a crash would go on from the older one, behind what
///   has been committed.
/// - Once a checkpoint that may name shared files stays, `DeleteSharedFiles` is given up: after a checkpoint that
///   had completed and is not deleted, and after any failure that keeps one that waits.
/// Threads: none of its own. No files: whoever asks carries the deletions out.
class DeletionQueue {
 public:
  using Deletion = std::variant<DeleteSnapshot, DeleteSharedFiles, MarkFinished>;

  void push(Deletion deletion) { queue_.push_back(std::move(deletion)); }
  /// The deletion that is to be carried out now; null if none waits or one is under way. `end` follows each.
  /// Valid until then.
  [[nodiscard]] const Deletion* begin_next();
  /// The deletion under way has been carried out, or has failed. Returns it.
  Deletion end(bool succeeded);
  /// None waits and none is under way.
  [[nodiscard]] bool empty() const { return queue_.empty(); }

 private:
  std::deque<Deletion> queue_;  ///< the first may be under way
  bool under_way_ = false;
  bool shared_files_stay_ = false;  ///< a checkpoint that may name them could not be deleted
};

}  // namespace weir
