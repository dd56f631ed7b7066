#include "actors/completed_checkpoint_store.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace weir {

namespace {

bool is_system(const CompletedCheckpoint& checkpoint) {
  return checkpoint.owner == SnapshotOwner::system;
}

}  // namespace

CompletedCheckpointStore::CompletedCheckpointStore(JobId job, std::uint32_t num_retained)
    : job_(job), num_retained_(std::max(num_retained, 1U)) {}

std::vector<CompletedCheckpoint> CompletedCheckpointStore::add(CompletedCheckpoint checkpoint) {
  insert(std::move(checkpoint));
  auto surplus = static_cast<std::int64_t>(std::ranges::count_if(checkpoints_, is_system)) -
                 static_cast<std::int64_t>(num_retained_);
  std::vector<CompletedCheckpoint> kept;
  std::vector<CompletedCheckpoint> replaced;
  for (std::size_t i = 0; i < checkpoints_.size(); ++i) {
    const bool newest = i + 1 == checkpoints_.size();
    const bool keep = newest || (is_system(checkpoints_[i]) && surplus-- <= 0);
    (keep ? kept : replaced).push_back(std::move(checkpoints_[i]));
  }
  checkpoints_ = std::move(kept);
  return replaced;
}

void CompletedCheckpointStore::restore(std::vector<CompletedCheckpoint> found) {
  for (auto& checkpoint : found) insert(std::move(checkpoint));
}

std::vector<CompletedCheckpoint> CompletedCheckpointStore::clear() {
  auto all = std::exchange(checkpoints_, {});
  std::erase_if(all, [](const auto& checkpoint) { return !is_system(checkpoint); });
  return all;
}

const CompletedCheckpoint* CompletedCheckpointStore::newest() const {
  return checkpoints_.empty() ? nullptr : &checkpoints_.back();
}

bool CompletedCheckpointStore::contains(CheckpointId id) const {
  return std::ranges::any_of(checkpoints_, [&](const auto& checkpoint) {
    return checkpoint.metadata->job == job_ && checkpoint.metadata->checkpoint == id;
  });
}

bool CompletedCheckpointStore::has_newer_than(CheckpointId id) const {
  const auto* last = newest();
  return last != nullptr && last->metadata->job == job_ && last->metadata->checkpoint > id;
}

void CompletedCheckpointStore::insert(CompletedCheckpoint checkpoint) {
  const auto age = [this](const CompletedCheckpoint& of) {
    return std::tuple(of.metadata->job == job_, of.metadata->epoch, of.metadata->checkpoint);
  };
  const auto place = std::ranges::upper_bound(checkpoints_, age(checkpoint), {}, age);
  checkpoints_.insert(place, std::move(checkpoint));
}

}  // namespace weir
