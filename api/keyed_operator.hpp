#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/functions.hpp"
#include "runtime/operator.hpp"
#include "runtime/operator_chain.hpp"
#include "runtime/watermark_merger.hpp"

/// What the operators on keyed streams are made of. Job authors do not name it.
namespace weir::detail {

/// How many records ahead the tables are prefetched: enough to cover a miss to memory. Source:
/// measured, as 16 to 32 were equal within noise.
inline constexpr std::size_t prefetch_distance = 24;

/// Whether a function wants to be called when a timer fires.
template <class F, class Out>
constexpr bool sets_timers = [] {
  if constexpr (requires { typename F::OnTimerContext; })
    return requires(F& f, std::int64_t time, typename F::OnTimerContext& context,
                    Collector<Out>& out) { f.on_timer(time, context, out); };
  else
    return false;
}();
/// Whether a function wants to see every key at the end of the input.
template <class F, class Key, class Context, class Out>
constexpr bool sees_keys_at_end =
    requires(F& f, const Key& key, Context& context, Collector<Out>& out) {
      f.on_end_of_input(key, context, out);
    };

template <class F, class Key, class Out>
void fire_timer(F& f, TimerService<Key>& timers, TimeDomain domain, std::int64_t time,
                const Key& key, Collector<Out>& out) {
  typename F::OnTimerContext context(domain);
  context.attach(timers);
  context.set(key, domain == TimeDomain::event_time ? time : no_event_time);
  f.on_timer(time, context, out);
}

/// The current key, prefetching, timers, and the walk over the keys at the end of the input, for
/// operators with `inputs` inputs of which at least one is keyed. `Derived` has
/// `open_function(RuntimeContext&)` and may have, with the constant that says so,
/// `fire(TimeDomain, std::int64_t time, const Key&)` (`has_timers`), `on_end_of_key(const Key&)`
/// (`walks_keys`), and, with neither, `on_end_of_function()`.
template <class Derived, class Key, class Out, std::size_t inputs>
class KeyedOperator : public Operator {
 public:
  Status open(OperatorContext& context) final {
    context_ = &context;
    timers_.open(context, &key_);
    RuntimeContext& runtime =
        runtime_.emplace(context, &key_, Codec<Key>::fixed_width, schema_of<Key>());
    WEIR_TRY(derived().open_function(runtime));
    if constexpr (Derived::has_timers) {
      auto by_watermark = runtime.timers<Key>(TimeDomain::event_time);
      auto by_clock = runtime.timers<Key>(TimeDomain::processing_time);
      WEIR_TRY(runtime.status());
      timers_.open(std::move(by_watermark), std::move(by_clock));
    }
    runtime.close();
    tables_ = runtime.tables();
    state_time_ = runtime.state_time();
    group_of_.emplace(context.max_parallelism());
    groups_ = key_group_range(context.subtask(), context.parallelism(), context.max_parallelism());
    walk_group_ = groups_.first;
    WEIR_TRY_ASSIGN(backend, context.keyed_state(Codec<Key>::fixed_width));
    backend_ = backend;
    return {};
  }

  Progress on_restored() final {
    if constexpr (Derived::has_timers) {
      for (int groups = 0; groups < 256; ++groups) {
        if (!timers_.load_restored()) continue;
        timers_.wake_for_next();
        return Progress::done;
      }
      return Progress::more;
    } else {
      return Progress::done;
    }
  }
  Progress on_watermark(std::uint32_t input, Watermark watermark) final {
    if (const auto advanced = watermarks_.on_watermark(input, watermark))
      timers_.set_watermark(advanced->time);
    return fire_due(TimeDomain::event_time);
  }
  Progress on_timer(MonotonicTime) final {
    timers_.woken();
    return fire_due(TimeDomain::processing_time);
  }
  Progress on_end(std::uint32_t input) final {
    if (const auto advanced = watermarks_.on_end_of_input(input))
      timers_.set_watermark(advanced->time);
    if (fire_due(TimeDomain::event_time) == Progress::more) return Progress::more;
    ended_[input] = true;
    if (!std::ranges::all_of(ended_, std::identity{})) return Progress::done;
    if constexpr (Derived::walks_keys) return walk_keys();
    output_.collector().clear_time();
    derived().on_end_of_function();
    return Progress::done;
  }
  std::vector<TaggedOutput> outputs() final { return {{"", &output_}}; }

  static constexpr bool has_timers = false;
  static constexpr bool walks_keys = false;
  void on_end_of_function() {}

 protected:
  [[nodiscard]] TimerService<Key>& timer_service() { return timers_; }

  /// Calls `body(value, key, time)` for the records of this slice, until the output is full, with the
  /// states being those of the key that `selector(value)` yields.
  template <class In, class KeySelector, class Body>
  void for_each_keyed(Batch<In>& batch, Cursor& cursor, const KeySelector& selector, Body&& body) {
    auto& out = output_.collector();
    const bool timed = !batch.times.empty();
    if (!timed) out.clear_time();
    if (state_time_) state_time_->advance();
    for (TableBase* table : tables_)
      if (table->wants_keys(cursor.limit - cursor.next)) [[unlikely]]
        load_ahead(*table, batch, cursor, selector);
    for (std::size_t i = cursor.next; i < std::min(cursor.next + prefetch_distance, cursor.limit);
         ++i)
      prefetch(batch.hashes[i], i);
    while (cursor.next < cursor.limit && !out.full()) {
      const std::size_t i = cursor.next++;
      if (i + prefetch_distance < cursor.limit)
        prefetch(batch.hashes[i + prefetch_distance], i + prefetch_distance);
      const In& value = batch.values[i];
      const EventTime time = timed ? batch.times[i] : no_event_time;
      if (timed) out.set_time(time);
      const Key& key = selector(value);
      set_key(key, batch.hashes[i], groups_of_batch_[i % group_window]);
      body(value, key, time);
    }
    if constexpr (Derived::has_timers) timers_.wake_for_next();
  }

  Output<Out> output_;

 private:
  /// A power of two above the prefetch distance.
  static constexpr std::size_t group_window = 32;
  /// Timers that one call fires at most; fewer if they take longer than a slice.
  static constexpr int timers_at_once = 256;

  Derived& derived() { return static_cast<Derived&>(*this); }

  Progress fire_due(TimeDomain domain) {
    if constexpr (Derived::has_timers) {
      if (state_time_) state_time_->advance();
      auto& out = output_.collector();
      const MonotonicTime begin = context_->clock().now();
      bool all = false;
      for (int fired = 0; fired < timers_at_once && !out.full(); ++fired) {
        if (fired > 0 && context_->clock().now() - begin > OperatorChain::slice_time) break;
        const auto timer = timers_.take_due(domain);
        all = !timer;
        if (all) break;
        if (domain == TimeDomain::event_time)
          out.set_time(timer->time);
        else
          out.clear_time();
        set_key(timer->key, timer->hash, timer->group);
        derived().fire(domain, timer->time, timer->key);
      }
      if (!all) return Progress::more;
      timers_.wake_for_next();
    }
    return Progress::done;
  }

  Progress walk_keys() {
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
  }

  /// Has what the records of a slice will need read from the database together.
  template <class In, class KeySelector>
  void load_ahead(TableBase& table, const Batch<In>& batch, const Cursor& cursor,
                  const KeySelector& selector) {
    for (std::size_t i = cursor.next; i < cursor.limit; ++i) {
      set_key(selector(batch.values[i]), batch.hashes[i], (*group_of_)(batch.hashes[i]));
      table.look_ahead(key_);
    }
    table.load_ahead();
  }
  void prefetch(KeyHash hash, std::size_t i) {
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

  OperatorContext* context_ = nullptr;
  std::optional<RuntimeContext> runtime_;  // functions may keep it
  KeyContext key_;
  std::string key_bytes_;
  std::uint32_t groups_of_batch_[group_window] = {};
  std::optional<KeyGroupMapper> group_of_;
  KeyGroupRange groups_;
  std::vector<TableBase*> tables_;
  std::shared_ptr<StateTime> state_time_;  // null if no state has a time to live
  KeyedStateBackend* backend_ = nullptr;
  TimerService<Key> timers_;
  WatermarkMerger watermarks_{inputs};
  std::array<bool, inputs> ended_ = {};
  // Where the walk over the keys at the end of the input stands.
  std::uint32_t walk_group_ = 0;
  std::vector<std::string> walk_keys_;
  std::size_t walk_next_ = 0;
};

/// The same with one input. `Derived` also has `process(const In&, const Key&, EventTime)`.
template <class Derived, class In, class Out, class Key, class KeySelector>
class OneInputKeyedOperator : public KeyedOperator<Derived, Key, Out, 1> {
 public:
  explicit OneInputKeyedOperator(KeySelector selector) : selector_(std::move(selector)) {}

  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) final {
    this->for_each_keyed(static_cast<Batch<In>&>(any), cursor, selector_,
                         [this](const In& value, const Key& key, EventTime time) {
                           static_cast<Derived&>(*this).process(value, key, time);
                         });
  }

 private:
  KeySelector selector_;
};

}  // namespace weir::detail
