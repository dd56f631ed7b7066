#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "api/weir/weir.hpp"

namespace weir::test {

/// Decides from the test how far a `GatedSource` may read.
class Gate {
 public:
  /// Lets the source emit the indices below `limit`.
  void open_to(std::uint64_t limit) {
    const std::scoped_lock lock(mutex_);
    limit_ = limit;
    for (const auto& wake : wakers_) wake();
  }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }
  void add(std::function<void()> wake) {
    const std::scoped_lock lock(mutex_);
    wakers_.push_back(std::move(wake));
  }

 private:
  std::mutex mutex_;  // guards wakers_
  std::atomic<std::uint64_t> limit_{0};
  std::vector<std::function<void()>> wakers_;
};

/// Emits 0, 1, 2, ... up to `count`, as far as the gate is open; its position is operator state.
class GatedSource final : public SourceOperator {
 public:
  GatedSource(std::shared_ptr<Gate> gate, std::uint64_t count)
      : gate_(std::move(gate)), count_(count) {}
  Status open(OperatorContext& context) override {
    WEIR_TRY_ASSIGN(state, context.operator_state().list_state<std::uint64_t>("position"));
    state_ = state;
    for (const std::uint64_t position : state_->get()) next_ = position;
    gate_->add(context.waker());
    return {};
  }
  PollResult poll() override {
    while (next_ < count_ && next_ < gate_->limit() && !output_.full())
      output_.collector().collect(next_++);
    if (next_ == count_) return PollResult::end;
    return next_ < gate_->limit() ? PollResult::more : PollResult::nothing_now;
  }
  Status snapshot_state(const CheckpointBarrier&) override {
    state_->update({next_});
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  std::shared_ptr<Gate> gate_;
  std::uint64_t count_;
  std::uint64_t next_ = 0;
  OperatorListState<std::uint64_t>* state_ = nullptr;
  Output<std::uint64_t> output_;
};

/// The indices 0 up to `count`, as far as `gate` is open.
inline DataStream<std::uint64_t> gated(StreamEnvironment& env, std::shared_ptr<Gate> gate,
                                       std::uint64_t count) {
  auto stream = env.add_source<std::uint64_t>(
      "gated", [=] { return std::make_unique<GatedSource>(gate, count); });
  stream.set_parallelism(1);
  return stream;
}

}  // namespace weir::test
