#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/function_operators.hpp"

/// The operators around functions of two streams. Job authors do not name them.
namespace weir::detail {

/// A `KeyedCoProcessFunction`, or a `KeyedBroadcastProcessFunction`, whose second input has no key and
/// `std::nullptr_t` as its selector.
template <class Key, class Selector1, class Selector2, class F>
class KeyedTwoInputOperator final
    : public KeyedOperator<KeyedTwoInputOperator<Key, Selector1, Selector2, F>, Key,
                           typename F::Result, 2> {
  using In1 = typename F::Input1;
  using In2 = typename F::Input2;
  using Out = typename F::Result;
  static constexpr bool has_broadcast_side = std::is_null_pointer_v<Selector2>;
  static auto context_type() {
    if constexpr (has_broadcast_side)
      return typename F::ReadOnlyContext{};
    else
      return typename F::Context{};
  }

 public:
  static constexpr bool has_timers = sets_timers<F, Out>;
  static constexpr bool walks_keys = sees_keys_at_end<F, Key, decltype(context_type()), Out>;

  KeyedTwoInputOperator(Selector1 selector1, Selector2 selector2, F f)
      : selector1_(std::move(selector1)),
        selector2_(std::move(selector2)),
        f_(std::move(f)),
        life_(f_) {}

  Status open_function(RuntimeContext& context) {
    context_.attach(this->timer_service());
    return life_.open(context);
  }
  void on_batch(std::uint32_t input, AnyBatch& any, Cursor& cursor) override {
    auto& out = this->output_.collector();
    if (input == 0) {
      this->for_each_keyed(static_cast<Batch<In1>&>(any), cursor, selector1_,
                           [&](const In1& value, const Key& key, EventTime time) {
                             context_.set(key, time);
                             if constexpr (has_broadcast_side)
                               f_.F::process_element(value, context_, out);
                             else
                               f_.F::process_element1(value, context_, out);
                           });
    } else if constexpr (has_broadcast_side) {
      auto& batch = static_cast<Batch<In2>&>(any);
      BroadcastContext context;
      for_each_record(batch, cursor, out, [&](std::size_t i) {
        f_.F::process_broadcast_element(std::as_const(batch.values[i]), context, out);
      });
    } else {
      this->for_each_keyed(static_cast<Batch<In2>&>(any), cursor, selector2_,
                           [&](const In2& value, const Key& key, EventTime time) {
                             context_.set(key, time);
                             f_.F::process_element2(value, context_, out);
                           });
    }
  }
  void fire(TimeDomain domain, std::int64_t time, const Key& key) {
    fire_timer(f_, this->timer_service(), domain, time, key, this->output_.collector());
  }
  void on_end_of_key(const Key& key) {
    context_.set(key, no_event_time);
    f_.on_end_of_input(key, context_, this->output_.collector());
  }
  void on_end_of_function() {
    if constexpr (requires(Collector<Out>& out) { f_.on_end_of_input(out); })
      f_.on_end_of_input(this->output_.collector());
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    life_.snapshot(barrier);
    return {};
  }

 private:
  Selector1 selector1_;
  Selector2 selector2_;
  F f_;
  FunctionLife<F> life_;
  decltype(context_type()) context_;
};

/// A `CoProcessFunction` or a `BroadcastProcessFunction`.
template <class F>
class TwoInputOperator final : public Operator {
  using In1 = typename F::Input1;
  using In2 = typename F::Input2;
  using Out = typename F::Result;

 public:
  explicit TwoInputOperator(F f) : f_(std::move(f)), life_(f_) {}

  Status open(OperatorContext& context) override {
    runtime_.emplace(context, nullptr, 0, Schema{});
    WEIR_TRY(life_.open(*runtime_));
    runtime_->close();
    return {};
  }
  void on_batch(std::uint32_t input, AnyBatch& any, Cursor& cursor) override {
    auto& out = output_.collector();
    if (input == 0) {
      auto& batch = static_cast<Batch<In1>&>(any);
      for_each_record(batch, cursor, out, [&](std::size_t i) {
        const In1& value = batch.values[i];
        if constexpr (requires { f_.F::process_element1(value, out); })
          f_.F::process_element1(value, out);
        else
          f_.F::process_element(value, reading_, out);
      });
    } else {
      auto& batch = static_cast<Batch<In2>&>(any);
      for_each_record(batch, cursor, out, [&](std::size_t i) {
        const In2& value = batch.values[i];
        if constexpr (requires { f_.F::process_element2(value, out); })
          f_.F::process_element2(value, out);
        else
          f_.F::process_broadcast_element(value, changing_, out);
      });
    }
  }
  Progress on_end(std::uint32_t input) override {
    ended_[input] = true;
    if constexpr (requires(Collector<Out>& out) { f_.on_end_of_input(out); })
      if (std::ranges::all_of(ended_, std::identity{})) f_.on_end_of_input(output_.collector());
    return Progress::done;
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    life_.snapshot(barrier);
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  std::optional<RuntimeContext> runtime_;  // functions may keep it
  F f_;
  FunctionLife<F> life_;
  ReadOnlyContext reading_;
  BroadcastContext changing_;
  std::array<bool, 2> ended_ = {};
  Output<Out> output_;
};

}  // namespace weir::detail
