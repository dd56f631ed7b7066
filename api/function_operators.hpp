#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/functions.hpp"
#include "api/keyed_operator.hpp"
#include "runtime/operators/stateless.hpp"

/// The operators around the functions of `api/functions.hpp`. Job authors do not name them.
namespace weir::detail {

/// Opens a rich function and ties its snapshot hooks to the operator's state.
template <class F>
class FunctionLife {
 public:
  explicit FunctionLife(F& f) : f_(f) {}

  Status open(RuntimeContext& context) {
    if constexpr (std::derived_from<F, RichFunction>) f_.open(context);
    if constexpr (std::derived_from<F, CheckpointedFunction>) {
      f_.initialize_state(initialization_.emplace(context));
    }
    if constexpr (requires { typename F::CheckpointedState; }) {
      using State = typename F::CheckpointedState;
      auto* const state = context.template operator_list_state<State>("checkpointed");
      if (state != nullptr) {
        for (const State& one : state->get()) f_.restore_state(one);
        save_ = [this, state] {
          state->update({static_cast<Checkpointed<State>&>(f_).snapshot_state()});
        };
      }
    }
    return context.status();
  }
  void snapshot(const CheckpointBarrier& barrier) {
    if constexpr (std::derived_from<F, CheckpointedFunction>)
      static_cast<CheckpointedFunction&>(f_).snapshot_state({barrier.id, barrier.triggered_at_ms});
    if (save_) save_();
  }

 private:
  F& f_;
  std::optional<FunctionInitializationContext> initialization_;  // functions may keep it
  std::function<void()> save_;
};

/// A function without key: `map`, `flat_map` or `process_element`.
template <class In, class Out, class F>
class FunctionOperator final : public Operator {
 public:
  explicit FunctionOperator(F f) : f_(std::move(f)), life_(f_) {}

  Status open(OperatorContext& context) override {
    runtime_.emplace(context, nullptr, 0, Schema{});
    WEIR_TRY(life_.open(*runtime_));
    runtime_->close();
    return {};
  }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<In>&>(any);
    auto& out = output_.collector();
    for_each_record(batch, cursor, out, [&](std::size_t i) {
      const In& value = batch.values[i];
      if constexpr (requires { out.collect(f_.F::map(value)); })
        out.collect(f_.F::map(value));
      else if constexpr (requires { f_.F::flat_map(value, out); })
        f_.F::flat_map(value, out);
      else
        f_.F::process_element(value, out);
    });
  }
  Progress on_end(std::uint32_t) override {
    if constexpr (requires(Collector<Out>& out) { f_.on_end_of_input(out); })
      f_.on_end_of_input(output_.collector());
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
  Output<Out> output_;
};

/// A `RichFlatMapFunction` or `KeyedProcessFunction` on a keyed stream.
template <class In, class Out, class Key, class KeySelector, class F>
class KeyedFunctionOperator final
    : public OneInputKeyedOperator<KeyedFunctionOperator<In, Out, Key, KeySelector, F>, In, Out,
                                   Key, KeySelector> {
  using Base = OneInputKeyedOperator<KeyedFunctionOperator, In, Out, Key, KeySelector>;

 public:
  static constexpr bool has_timers = sets_timers<F, Out>;
  static constexpr bool walks_keys = sees_keys_at_end<F, Key, KeyedContext<Key>, Out>;

  KeyedFunctionOperator(KeySelector selector, F f)
      : Base(std::move(selector)), f_(std::move(f)), life_(f_) {}

  Status open_function(RuntimeContext& context) {
    if constexpr (has_context) context_.attach(this->timer_service());
    return life_.open(context);
  }
  void process(const In& value, const Key& key, EventTime time) {
    if constexpr (has_context) {
      context_.set(key, time);
      f_.F::process_element(value, context_, this->output_.collector());
    } else {
      f_.F::flat_map(value, this->output_.collector());
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
  static constexpr bool has_context = requires { typename F::KeyType; };
  F f_;
  FunctionLife<F> life_;
  KeyedContext<Key> context_;
};

/// `f(const In&, State&) -> Out`, or with `std::optional<State>&`: `map_with_state`; with a
/// `Collector<Out>&` behind them: `flat_map_with_state`.
template <class In, class Out, class Key, class KeySelector, class State, class F>
class WithStateOperator final
    : public OneInputKeyedOperator<WithStateOperator<In, Out, Key, KeySelector, State, F>, In, Out,
                                   Key, KeySelector> {
  using Base = OneInputKeyedOperator<WithStateOperator, In, Out, Key, KeySelector>;

 public:
  WithStateOperator(KeySelector selector, F f) : Base(std::move(selector)), f_(std::move(f)) {}
  Status open_function(RuntimeContext& context) {
    state_ = context.state(ValueStateDescriptor<State>{"state"});
    return context.status();
  }
  void process(const In& value, const Key&, EventTime) {
    auto& out = this->output_.collector();
    if constexpr (std::invocable<F&, const In&, State&>) {
      out.collect(f_(value, state_.mutable_value()));
    } else if constexpr (std::invocable<F&, const In&, State&, Collector<Out>&>) {
      f_(value, state_.mutable_value(), out);
    } else {
      const State* held = state_.value();
      std::optional<State> state = held != nullptr ? std::optional<State>(*held) : std::nullopt;
      const bool had = state.has_value();
      if constexpr (std::invocable<F&, const In&, std::optional<State>&>)
        out.collect(f_(value, state));
      else
        f_(value, state, out);
      if (state)
        state_.update(std::move(*state));
      else if (had)
        state_.clear();
    }
  }

 private:
  F f_;
  ValueState<State> state_;
};

/// Keeps one record per key, folded by `f(const T& so_far, const T& added) -> T`, and emits it anew for
/// each record.
template <class T, class Key, class KeySelector, class F>
class ReduceOperator final
    : public OneInputKeyedOperator<ReduceOperator<T, Key, KeySelector, F>, T, T, Key, KeySelector> {
  using Base = OneInputKeyedOperator<ReduceOperator, T, T, Key, KeySelector>;

 public:
  ReduceOperator(KeySelector selector, F f) : Base(std::move(selector)), f_(std::move(f)) {}
  Status open_function(RuntimeContext& context) {
    state_ = context.reducing_state(ReducingStateDescriptor<T>{"reduced", f_});
    return context.status();
  }
  void process(const T& value, const Key&, EventTime) {
    state_.add(value);
    this->output_.collector().collect(*state_.get());
  }

 private:
  F f_;
  ReducingState<T> state_;
};

}  // namespace weir::detail
