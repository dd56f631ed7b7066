#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/data_stream.hpp"
#include "api/stream_environment.hpp"
#include "connectors/print_sink.hpp"
#include "simulation/testing/failure.hpp"
#include "simulation/testing/operator_run.hpp"
#include "state/schema.hpp"

namespace weir::testing {

/// A record that came out, and its event time if it has one.
template <class T>
struct Emitted {
  T value{};
  std::optional<EventTime> time;  ///< milliseconds since 1970
  bool operator==(const Emitted&) const = default;
};

/// What an operator was at a moment: a checkpoint, in memory. Copies are the same one.
class HarnessSnapshot {
 public:
  explicit HarnessSnapshot(std::shared_ptr<const OperatorRun::Snapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}
  [[nodiscard]] const std::shared_ptr<const OperatorRun::Snapshot>& get() const {
    return snapshot_;
  }

 private:
  std::shared_ptr<const OperatorRun::Snapshot> snapshot_;
};

/// One function, or a few behind each other, without a cluster: a test pushes records, watermarks and time, and reads
/// what comes out. The tasks, operators and backends are those of production; nothing happens by itself, and time stands
/// still unless it is advanced. Made by `operator_harness`.
///
///   auto totals = operator_harness([](const DataStream<Order>& orders) {
///                   return orders.key_by([](const Order& order) { return order.customer; }).process(Totals{});
///                 }).on("rocksdb");
///   totals.push({"ann", 7}, 1000);
///   totals.advance_watermark(5000);
///   const std::string sum = totals.state("sum", "ann");
///   totals.end_input();
///   const auto output = totals.take_output();
///
/// What enters and leaves is described (`WEIR_FIELDS`). Throws `Failure` if the function fails, and `BadUse` if the test
/// asks for what cannot be.
/// Threads: one.
template <class Out, class... In>
class OperatorHarness {
 public:
  static_assert(sizeof...(In) >= 1, "the function that puts streams together takes at least one");
  template <std::size_t input>
  using Input = std::tuple_element_t<input, std::tuple<In...>>;
  using Build = std::function<DataStream<Out>(const DataStream<In>&...)>;

  explicit OperatorHarness(const Build& build)
      : run_(std::make_unique<OperatorRun>(
            [build](StreamEnvironment& env) {
              put_together(env, build, std::index_sequence_for<In...>{});
            },
            sizeof...(In))) {}

  // Before the first record.
  /// `memory`, `filesystem` or `rocksdb`, as `state.backend`; `memory` if left out.
  [[nodiscard]] OperatorHarness on(const std::string& backend) && {
    return std::move(*this).with("state.backend", backend);
  }
  /// A setting of docs/configuration.md.
  [[nodiscard]] OperatorHarness with(const std::string& key, const std::string& value) && {
    run_->configure(key, value);
    return std::move(*this);
  }
  /// Of operators that set none; 1 if left out.
  [[nodiscard]] OperatorHarness parallelism(std::uint32_t parallelism) && {
    return std::move(*this).with("parallelism.default", std::to_string(parallelism));
  }
  /// Behind every record, watermark and advance of time, a snapshot is taken, everything is dropped, and new operators are
  /// restored from it. A function that keeps in a member what belongs into its state then gives something else.
  [[nodiscard]] OperatorHarness restoring_after_every_record() && {
    run_->restore_after_every_record();
    return std::move(*this);
  }

  // What enters.
  /// A record of the only input, with the event time `time`, in milliseconds since 1970, or without.
  void push(Input<0> value, std::optional<EventTime> time = std::nullopt)
    requires(sizeof...(In) == 1)
  {
    push_to<0>(std::move(value), time);
  }
  /// Of the first and of the second input.
  void push1(Input<0> value, std::optional<EventTime> time = std::nullopt)
    requires(sizeof...(In) >= 2)
  {
    push_to<0>(std::move(value), time);
  }
  template <class Second = Input<std::min<std::size_t>(1, sizeof...(In) - 1)>>
    requires(sizeof...(In) >= 2)
  void push2(std::type_identity_t<Second> value, std::optional<EventTime> time = std::nullopt) {
    push_to<1>(std::move(value), time);
  }
  /// Of the input with this number, from 0.
  template <std::size_t input>
  void push_to(Input<input> value, std::optional<EventTime> time = std::nullopt) {
    auto batch = std::make_unique<Batch<Input<input>>>();
    batch->add(std::move(value));
    if (time) batch->times.push_back(*time);
    run_->push(input, std::move(batch));
  }
  /// All inputs promise that no record with an event time up to and including `time` follows. Not back.
  void advance_watermark(EventTime time) {
    for (std::size_t i = 0; i < sizeof...(In); ++i) run_->advance_watermark(i, time);
  }
  /// One input does, counted from 0.
  void advance_watermark_of(std::size_t input, EventTime time) {
    if (input >= sizeof...(In))
      throw BadUse("input " + std::to_string(input) + ": there are " +
                   std::to_string(sizeof...(In)) + ", counted from 0");
    run_->advance_watermark(input, time);
  }
  /// The clock goes on, which stands at 0 in the beginning, and timers that go by it fire in their order.
  void advance_processing_time(std::chrono::milliseconds by) { run_->advance_processing_time(by); }
  [[nodiscard]] std::int64_t processing_time() const { return run_->processing_time(); }
  /// All inputs end: event-time timers fire, then `on_end_of_input` is called.
  void end_input() { run_->end_input(); }

  // What has come out.
  /// The records since the last call, in their order; those of several subtasks one behind the other.
  [[nodiscard]] std::vector<Out> take_output() {
    std::vector<Out> values;
    for (Emitted<Out>& one : take_timed_output()) values.push_back(std::move(one.value));
    return values;
  }
  [[nodiscard]] std::vector<Emitted<Out>> take_timed_output() {
    std::vector<Emitted<Out>> records;
    for (const auto& any : run_->take_output()) {
      auto& batch = static_cast<Batch<Out>&>(*any);
      for (std::size_t i = 0; i < batch.values.size(); ++i) {
        const EventTime time = batch.times.empty() ? no_event_time : batch.times[i];
        records.push_back({std::move(batch.values[i]),
                           time == no_event_time ? std::nullopt : std::optional(time)});
      }
    }
    return records;
  }
  /// The last watermark that came out; none yet: `no_event_time`.
  [[nodiscard]] EventTime output_watermark() const { return run_->output_watermark(); }

  // State.
  /// The state called `name` as JSON: of keyed state, an object from keys to values; else a list of its elements.
  /// Event-time timers are the state "event-time timers", with a list of times for each key.
  [[nodiscard]] std::string state(const std::string& name) {
    return run_->state(name, std::nullopt);
  }
  /// Of one key, which is the text of its JSON, without quotes if it is a string. Empty if the key has none.
  [[nodiscard]] std::string state(const std::string& name, const std::string& key) {
    return run_->state(name, key);
  }
  [[nodiscard]] HarnessSnapshot snapshot() { return HarnessSnapshot(run_->snapshot()); }
  /// Goes on from `snapshot`, of this harness or of one with another backend or parallelism. Watermarks are as they were
  /// then; the clock is not set back.
  void restore(const HarnessSnapshot& snapshot) { run_->restore(snapshot.get()); }

 private:
  template <std::size_t... inputs>
  static void put_together(StreamEnvironment& env, const Build& build,
                           std::index_sequence<inputs...>) {
    const auto source = [&]<class T>(std::size_t input, std::type_identity<T>) {
      auto stream = env.add_source<T>("input", [] { return std::unique_ptr<Operator>(); });
      stream.uid(OperatorRun::input_uid(input)).set_parallelism(1);
      return stream.rebalance();
    };
    build(source(inputs, std::type_identity<In>{})...)
        .rebalance()
        .add_sink("output", false, [] { return std::unique_ptr<Operator>(); })
        .uid(OperatorRun::output_uid)
        .set_parallelism(1);
  }

  std::unique_ptr<OperatorRun> run_;
};

namespace detail {

template <class F>
struct HarnessOf : HarnessOf<decltype(&F::operator())> {};
template <class F, class Out, class... In>
struct HarnessOf<DataStream<Out> (F::*)(In...) const> : HarnessOf<DataStream<Out> (*)(In...)> {};
template <class Out, class... In>
struct HarnessOf<DataStream<Out> (*)(In...)> {
  template <class>
  struct Record;
  template <class T>
  struct Record<DataStream<T>> {
    using Type = T;
  };
  using Type = OperatorHarness<Out, typename Record<std::remove_cvref_t<In>>::Type...>;
};

template <class T>
std::string text_of(const T& value) {
  std::string text;
  append_text(value, schema_of<T>(), text);
  return text;
}
/// Throws `Failure` at the first difference.
void compare_restored(const std::vector<std::string>& plain,
                      const std::vector<std::string>& restored);

}  // namespace detail

/// The harness of what `build` puts together, a function from streams to a stream:
/// `[](const DataStream<Order>& orders) { return orders.map(f); }`. It is called for every start of the operator.
template <class F>
[[nodiscard]] auto operator_harness(F build) {
  return typename detail::HarnessOf<F>::Type(std::move(build));
}

/// Runs `script(harness)` twice, plainly and restoring after every record, each on a harness of its own on `backend`, and
/// throws `Failure` if what comes out differs: then the function keeps something where no snapshot sees it.
///
///   expect_same_when_restored(
///       [](const DataStream<Order>& orders) {
///         return orders.key_by([](const Order& order) { return order.customer; }).process(Totals{});
///       },
///       [](auto& totals) {
///         totals.push({"ann", 7}, 1000);
///         totals.push({"ann", 8}, 2000);
///         totals.end_input();
///       });
template <class F, class Script>
void expect_same_when_restored(F build, Script script, const std::string& backend = "memory") {
  const auto lines = [](auto& harness) {
    std::vector<std::string> all;
    for (const auto& record : harness.take_timed_output()) {
      all.push_back(detail::text_of(record.value));
      if (record.time) all.back() += " at " + std::to_string(*record.time);
    }
    return all;
  };
  auto plain = operator_harness(build).on(backend);
  script(plain);
  auto restored = operator_harness(build).on(backend).restoring_after_every_record();
  script(restored);
  detail::compare_restored(lines(plain), lines(restored));
}

}  // namespace weir::testing
