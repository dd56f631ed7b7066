#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "state/ids.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// Remembers of what the snapshots consist that a later one may be told to build on.
/// Threads: any. The task thread asks, the I/O pool remembers what it has written.
template <class Contents>
class RememberedSnapshots {
 public:
  /// Every piece of `contents` has its location.
  void remember(CheckpointId checkpoint, Contents contents) {
    const std::scoped_lock lock(mutex_);
    checkpoints_[checkpoint] = std::make_shared<const Contents>(std::move(contents));
    // The oldest is the base that the next snapshot will probably build on.
    if (checkpoints_.size() > most_remembered) checkpoints_.erase(std::next(checkpoints_.begin()));
  }
  /// What `base` consists of, null if that is not known. Whatever is older is forgotten: the coordinator
  /// never goes back to it.
  [[nodiscard]] std::shared_ptr<const Contents> find(CheckpointId base) {
    const std::scoped_lock lock(mutex_);
    checkpoints_.erase(checkpoints_.begin(), checkpoints_.lower_bound(base));
    const auto found = checkpoints_.find(base);
    return found == checkpoints_.end() ? nullptr : found->second;
  }

 private:
  /// Snapshots remembered beside the base; more are in flight, or were given up since, only if nothing
  /// completes. Forgetting one costs a whole snapshot at most.
  static constexpr std::size_t most_remembered = 16;

  std::mutex mutex_;  // guards `checkpoints_`
  std::map<CheckpointId, std::shared_ptr<const Contents>> checkpoints_;
};

/// Numbers the locations that a `KeyedSnapshot` consists of.
class LocationNumbers {
 public:
  /// The number of `location`; null is the payload that is being written, and 0.
  [[nodiscard]] std::uint32_t number_of(const std::shared_ptr<const DataLocation>& location) {
    if (location == nullptr) return 0;
    const auto [number, is_new] =
        numbers_.emplace(location.get(), static_cast<std::uint32_t>(reused_.size() + 1));
    if (is_new) reused_.push_back(*location);
    return number->second;
  }
  /// Those that have got a number above 0, in its order.
  [[nodiscard]] std::vector<DataLocation> reused() && { return std::move(reused_); }

 private:
  std::map<const DataLocation*, std::uint32_t> numbers_;  // looked up, never walked
  std::vector<DataLocation> reused_;
};

}  // namespace weir
