#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "test/actors/gated_source.hpp"

namespace weir::test {

/// What a job, and those that go on from its savepoints, committed.
struct Committed {
  std::vector<std::uint64_t> sums;
};

/// A sink that commits on notification, as the file sink does, into memory.
class CommittingSink final : public Operator {
 public:
  explicit CommittingSink(std::shared_ptr<Committed> into) : into_(std::move(into)) {}
  Status open(OperatorContext& context) override {
    WEIR_TRY_ASSIGN(state, context.operator_state().list_state<std::uint64_t>("pending"));
    state_ = state;
    // As with renames: what the snapshot holds may have been committed before, and is then left alone.
    for (const std::uint64_t sum : state_->get())
      if (std::ranges::find(into_->sums, sum) == into_->sums.end()) into_->sums.push_back(sum);
    return {};
  }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<std::uint64_t>&>(any);
    while (cursor.next < cursor.limit) pending_.push_back(batch.values[cursor.next++]);
  }
  Status snapshot_state(const CheckpointBarrier&) override {
    state_->update(pending_);
    return {};
  }
  Status notify_checkpoint_complete(CheckpointId, SnapshotKind kind) override {
    if (kind == SnapshotKind::savepoint) return {};
    into_->sums.insert(into_->sums.end(), state_->get().begin(), state_->get().end());
    pending_.erase(pending_.begin(),
                   pending_.begin() + static_cast<std::ptrdiff_t>(state_->get().size()));
    state_->clear();
    return {};
  }

 private:
  std::shared_ptr<Committed> into_;
  OperatorListState<std::uint64_t>* state_ = nullptr;
  std::vector<std::uint64_t> pending_;
};

/// A job that commits the running sum of every record, by key.
struct CommittingJob {
  static constexpr std::uint64_t records = 400;
  static constexpr std::uint64_t keys = 7;

  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::shared_ptr<Committed> committed = std::make_shared<Committed>();
  /// Called with every record; may throw. None: nothing is called.
  std::function<void(std::uint64_t)> look;

  void build(StreamEnvironment& env) const {
    auto numbers = gated(env, gate, records);
    numbers.uid("numbers");
    if (look) {
      numbers = numbers.map([look = look](std::uint64_t value) {
        look(value);
        return value;
      });
      numbers.uid("look");
    }
    numbers.key_by([](const std::uint64_t& value) { return value % keys; })
        .map_with_state<std::uint64_t>([](const std::uint64_t& value, std::uint64_t& sum) {
          return tagged(value, sum += value);
        })
        .uid("sums")
        .add_sink("commit", true,
                  [into = committed] { return std::make_unique<CommittingSink>(into); })
        .uid("commit");
  }
  /// What was committed, in order.
  std::vector<std::uint64_t> sorted() const {
    auto values = committed->sums;
    std::ranges::sort(values);
    return values;
  }
  /// The running sums that a sequential program computes, in order.
  static std::vector<std::uint64_t> model() {
    std::map<std::uint64_t, std::uint64_t> sums;
    std::vector<std::uint64_t> result;
    for (std::uint64_t i = 0; i < records; ++i) result.push_back(tagged(i, sums[i % keys] += i));
    std::ranges::sort(result);
    return result;
  }

 private:
  /// A running sum that tells from which record it came, so that no two are alike.
  static std::uint64_t tagged(std::uint64_t value, std::uint64_t sum) { return value << 32 | sum; }
};

}  // namespace weir::test
