#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/functions.hpp"
#include "runtime/operators/stateless.hpp"

/// The operators around the functions of `api/functions.hpp`. Job authors do not name them.
namespace weir::detail {

/// How many records ahead the tables are prefetched: enough to cover a miss to memory. Source:
/// measured, as 16 to 32 were equal within noise.
inline constexpr std::size_t prefetch_distance = 24;

/// Opens a rich function and ties its snapshot hooks to the operator's state.
template <class F>
class FunctionLife {
 public:
  explicit FunctionLife(F& f) : f_(f) {}

  Status open(RuntimeContext& context) {
    if constexpr (std::derived_from<F, RichFunction>) f_.open(context);
    if constexpr (std::derived_from<F, CheckpointedFunction>) {
      FunctionInitializationContext initialization(context);
      f_.initialize_state(initialization);
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
  std::function<void()> save_;
};

/// A function without key: `map`, `flat_map` or `process_element`.
template <class In, class Out, class F>
class FunctionOperator final : public Operator {
 public:
  explicit FunctionOperator(F f) : f_(std::move(f)), life_(f_) {}

  Status open(OperatorContext& context) override {
    RuntimeContext runtime(context, nullptr, 0, {});
    return life_.open(runtime);
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
  F f_;
  FunctionLife<F> life_;
  Output<Out> output_;
};

/// What operators on keyed streams share: the current key, prefetching, and the walk over the keys at
/// the end of the input. `Derived` has `process(const In&, EventTime)` and may have
/// `on_end_of_key(const Key&)`.
template <class Derived, class In, class Out, class Key, class KeySelector>
class KeyedOperator : public Operator {
 public:
  explicit KeyedOperator(KeySelector selector) : selector_(std::move(selector)) {}

  Status open(OperatorContext& context) override {
    RuntimeContext runtime(context, &key_, Codec<Key>::fixed_width, schema_of<Key>());
    WEIR_TRY(derived().open_function(runtime));
    tables_ = runtime.tables();
    state_time_ = runtime.state_time();
    group_of_.emplace(context.max_parallelism());
    groups_ = key_group_range(context.subtask(), context.parallelism(), context.max_parallelism());
    walk_group_ = groups_.first;
    WEIR_TRY_ASSIGN(backend, context.keyed_state(Codec<Key>::fixed_width));
    backend_ = backend;
    return {};
  }

  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) final {
    auto& batch = static_cast<Batch<In>&>(any);
    auto& out = output_.collector();
    const bool timed = !batch.times.empty();
    if (!timed) out.clear_time();
    if (state_time_) state_time_->advance();
    for (std::size_t i = cursor.next; i < std::min(cursor.next + prefetch_distance, cursor.limit);
         ++i)
      prefetch(batch, i);
    while (cursor.next < cursor.limit && !out.full()) {
      const std::size_t i = cursor.next++;
      if (i + prefetch_distance < cursor.limit) prefetch(batch, i + prefetch_distance);
      const In& value = batch.values[i];
      const EventTime time = timed ? batch.times[i] : no_event_time;
      if (timed) out.set_time(time);
      const Key& key = selector_(value);
      set_key(key, batch.hashes[i], groups_of_batch_[i % group_window]);
      derived().process(value, key, time);
    }
  }

  Progress on_end(std::uint32_t) final {
    if constexpr (Derived::walks_keys) {
      auto& out = output_.collector();
      out.clear_time();
      // Not again before the end: a key that was found to have state still has it when its turn comes.
      if (state_time_ && walk_group_ == groups_.first) state_time_->advance();
      for (std::size_t calls = 0; calls < 256 && !out.full(); ++calls) {
        while (walk_next_ == walk_keys_.size()) {
          if (walk_group_ == groups_.end) return Progress::done;
          walk_keys_ = value_or_throw(backend_->keys_of_group(walk_group_++));
          walk_next_ = 0;
        }
        ByteReader reader(walk_keys_[walk_next_++]);
        Key key{};
        decode(reader, key);
        const KeyHash hash = hash_key(key);
        set_key(key, hash, (*group_of_)(hash));
        derived().on_end_of_key(key);
      }
      return Progress::more;
    } else {
      return derived().on_end_of_function();
    }
  }
  std::vector<TaggedOutput> outputs() final { return {{"", &output_}}; }

 protected:
  static constexpr bool walks_keys = false;
  Progress on_end_of_function() { return Progress::done; }
  Output<Out> output_;

 private:
  /// A power of two above the prefetch distance.
  static constexpr std::size_t group_window = 32;

  Derived& derived() { return static_cast<Derived&>(*this); }
  void prefetch(const Batch<In>& batch, std::size_t i) {
    const KeyHash hash = batch.hashes[i];
    const std::uint32_t group = (*group_of_)(hash);
    groups_of_batch_[i % group_window] = group;
    for (const TableBase* table : tables_) table->prefetch(hash, group);
  }
  void set_key(const Key& key, KeyHash hash, std::uint32_t group) {
    key_.hash = hash;
    key_.group = group;
    if constexpr (is_compact_key<Key>) {
      key_.word = compact_key(key);
    } else {
      key_bytes_.clear();
      ByteWriter writer(key_bytes_);
      encode_key(key, writer);
      key_.bytes = key_bytes_;
    }
  }

  KeySelector selector_;
  KeyContext key_;
  std::string key_bytes_;
  std::uint32_t groups_of_batch_[group_window] = {};
  std::optional<KeyGroupMapper> group_of_;
  KeyGroupRange groups_;
  std::vector<TableBase*> tables_;
  std::shared_ptr<StateTime> state_time_;  // null if no state has a time to live
  KeyedStateBackend* backend_ = nullptr;
  // Where the walk over the keys at the end of the input stands.
  std::uint32_t walk_group_ = 0;
  std::vector<std::string> walk_keys_;
  std::size_t walk_next_ = 0;
};

/// A `RichFlatMapFunction` or `KeyedProcessFunction` on a keyed stream.
template <class In, class Out, class Key, class KeySelector, class F>
class KeyedFunctionOperator final
    : public KeyedOperator<KeyedFunctionOperator<In, Out, Key, KeySelector, F>, In, Out, Key,
                           KeySelector> {
  using Base = KeyedOperator<KeyedFunctionOperator, In, Out, Key, KeySelector>;
  static constexpr bool is_process = requires { typename F::KeyType; };
  struct NoContext {};
  static auto context_type() {
    if constexpr (is_process)
      return typename F::Context{};
    else
      return NoContext{};
  }

 public:
  KeyedFunctionOperator(KeySelector selector, F f)
      : Base(std::move(selector)), f_(std::move(f)), life_(f_) {}

  static constexpr bool walks_keys =
      requires(F& f, const Key& key, decltype(context_type())& context, Collector<Out>& out) {
        f.on_end_of_input(key, context, out);
      };
  Status open_function(RuntimeContext& context) { return life_.open(context); }
  void process(const In& value, const Key& key, EventTime time) {
    if constexpr (is_process) {
      context_.set(key, time);
      f_.F::process_element(value, context_, this->output_.collector());
    } else {
      f_.F::flat_map(value, this->output_.collector());
    }
  }
  void on_end_of_key(const Key& key)
    requires walks_keys
  {
    context_.set(key, no_event_time);
    f_.on_end_of_input(key, context_, this->output_.collector());
  }
  Progress on_end_of_function() {
    if constexpr (requires(Collector<Out>& out) { f_.on_end_of_input(out); })
      f_.on_end_of_input(this->output_.collector());
    return Progress::done;
  }
  Status snapshot_state(const CheckpointBarrier& barrier) override {
    life_.snapshot(barrier);
    return {};
  }

 private:
  F f_;
  FunctionLife<F> life_;
  decltype(context_type()) context_;
};

/// `f(const In&, State&) -> Out`, or with `std::optional<State>&`: `map_with_state`; with a
/// `Collector<Out>&` behind them: `flat_map_with_state`.
template <class In, class Out, class Key, class KeySelector, class State, class F>
class WithStateOperator final
    : public KeyedOperator<WithStateOperator<In, Out, Key, KeySelector, State, F>, In, Out, Key,
                           KeySelector> {
  using Base = KeyedOperator<WithStateOperator, In, Out, Key, KeySelector>;

 public:
  static constexpr bool walks_keys = false;
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
    : public KeyedOperator<ReduceOperator<T, Key, KeySelector, F>, T, T, Key, KeySelector> {
  using Base = KeyedOperator<ReduceOperator, T, T, Key, KeySelector>;

 public:
  static constexpr bool walks_keys = false;
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
