#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "connectors/pacer.hpp"
#include "connectors/source_begin.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// The indices `next`, `next + stride`, `next + 2 * stride`, ... below `end`.
struct IndexLane {
  std::uint64_t next = 0;
  std::uint64_t end = 0;
  std::uint64_t stride = 1;
  bool operator==(const IndexLane&) const = default;
};
WEIR_FIELDS(IndexLane, next, end, stride)

/// `count` of a `GeneratorSource` that does not end.
inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
/// Into how many lanes the indices are dealt, if there are as many; also the largest number of
/// subtasks that have something to do after a change of parallelism.
inline constexpr std::uint64_t generator_lanes = 128;

/// The lanes that subtask `subtask` of `parallelism` begins with. Those of all subtasks together
/// hold every index from 0 up to, not including, `count` once.
[[nodiscard]] std::vector<IndexLane> index_lanes(std::uint64_t count, std::uint32_t subtask,
                                                 std::uint32_t parallelism);

/// Emits `f(index) -> T` for the indices from 0 up to, not including, `count`, each exactly once,
/// at any parallelism; one subtask emits them in order. `f` depends on its index alone. The indices
/// are dealt out as lanes, which are the operator list state `lanes`, so that they can be dealt out
/// again. The rate is records per second over all subtasks.
///
///   const auto generated = env.generate(6, [](std::uint64_t i) { return Order{i % 2 == 0 ? "ann" : "bob", 1.5}; });
///
template <class T, class F>
class GeneratorSource final : public SourceOperator {
 public:
  explicit GeneratorSource(F f, std::uint64_t count = unlimited,
                           std::optional<double> records_per_second = std::nullopt)
      : f_(std::move(f)), count_(count), rate_(records_per_second) {}

  [[nodiscard]] Status open(OperatorContext& context) override {
    context_ = &context;
    WEIR_TRY_ASSIGN(begins, source_begins(context));
    WEIR_TRY_ASSIGN(state, context.operator_state().list_state<IndexLane>("lanes"));
    state_ = state;
    lanes_ = begins ? index_lanes(count_, context.subtask(), context.parallelism()) : state_->get();
    if (!begins) warn_of_other_count(context);
    std::ranges::stable_sort(lanes_, {}, &IndexLane::next);
    // A lane is one of `stride`, so it gets that part of the rate, in whichever subtask it is.
    double share = 0;
    for (const IndexLane& lane : lanes_) share += 1.0 / static_cast<double>(lane.stride);
    if (rate_ && share > 0) pacer_ = Pacer(*rate_ * share);
    return {};
  }
  [[nodiscard]] PollResult poll() override {
    auto& out = output_.collector();
    const MonotonicTime now = rate_ ? context_->clock().now() : MonotonicTime{};
    std::uint64_t left = pacer_.allowance(now, batch_capacity_records);
    const std::uint64_t allowed = left;
    while (left > 0 && !lanes_.empty() && !out.full()) {
      out.collect(f_(lanes_[turn_].next));
      advance();
      --left;
    }
    pacer_.count(allowed - left);
    if (lanes_.empty()) return PollResult::end;
    if (allowed > 0) return PollResult::more;
    context_->wake_at(pacer_.next_time(now));
    return PollResult::nothing_now;
  }
  [[nodiscard]] Status snapshot_state(const CheckpointBarrier&) override {
    state_->update(lanes_);
    return {};
  }
  [[nodiscard]] std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  /// What is left to emit lies in the snapshot, whatever the job asks for now.
  void warn_of_other_count(OperatorContext& context) const {
    if (context.subtask() != 0 || lanes_.empty() || lanes_.front().end == count_) return;
    const auto records = [](std::uint64_t count) {
      return count == unlimited ? "records without end" : std::to_string(count) + " records";
    };
    context.warn("it goes on to " + records(lanes_.front().end) + ", as the snapshot says; the " +
                 records(count_) + " that the job asks for now have no effect");
  }
  /// Past the index at `turn_`, to the next lane.
  void advance() {
    IndexLane& lane = lanes_[turn_];
    if (lane.end - lane.next <= lane.stride) {
      lanes_.erase(lanes_.begin() + static_cast<std::ptrdiff_t>(turn_));
    } else {
      lane.next += lane.stride;
      ++turn_;
    }
    if (turn_ >= lanes_.size()) turn_ = 0;
  }

  F f_;
  const std::uint64_t count_;
  const std::optional<double> rate_;
  Pacer pacer_{std::nullopt};
  OperatorContext* context_ = nullptr;
  OperatorListState<IndexLane>* state_ = nullptr;
  std::vector<IndexLane> lanes_;  ///< none is at its end
  std::size_t turn_ = 0;          ///< the lane whose index comes next
  Output<T> output_;
};

}  // namespace weir
