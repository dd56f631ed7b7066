#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/source_begin.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// Emits the values that the job's function gave it, in order, each exactly once. For tests,
/// examples and small tables. Reads with one subtask; the operator list state `position` says how
/// many were emitted.
///
///   const auto orders = env.from_collection<Order>({{"ann", 1.5}, {"bob", 2}, {"ann", 3}});
///
/// Errors: `invalid_argument` if its parallelism is not 1; `state_incompatible` if the snapshot was taken
/// behind the end of `values`.
template <class T>
class CollectionSource final : public SourceOperator {
 public:
  explicit CollectionSource(std::vector<T> values) : values_(std::move(values)) {}

  [[nodiscard]] Status open(OperatorContext& context) override {
    WEIR_TRY(require_one_subtask(context, "a collection"));
    WEIR_TRY_ASSIGN(state, context.operator_state().list_state<std::uint64_t>("position"));
    state_ = state;
    if (!state_->get().empty()) next_ = state_->get().front();
    if (next_ <= values_.size()) return {};
    return error(Errc::state_incompatible,
                 context.label() + ": the snapshot was taken after " + std::to_string(next_) +
                     " values, the collection now has " + std::to_string(values_.size()) +
                     ": start with the collection of that time");
  }
  [[nodiscard]] PollResult poll() override {
    auto& out = output_.collector();
    while (next_ < values_.size() && !out.full()) out.collect(values_[next_++]);
    return next_ < values_.size() ? PollResult::more : PollResult::end;
  }
  [[nodiscard]] Status snapshot_state(const CheckpointBarrier&) override {
    state_->update({next_});
    return {};
  }
  [[nodiscard]] std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  const std::vector<T> values_;
  std::uint64_t next_ = 0;  ///< index of the value that follows
  OperatorListState<std::uint64_t>* state_ = nullptr;
  Output<T> output_;
};

}  // namespace weir
