#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/function_operators.hpp"
#include "api/plan_builder.hpp"
#include "api/two_input_operators.hpp"
#include "connectors/collect_sink.hpp"
#include "connectors/file_sink.hpp"
#include "connectors/print_sink.hpp"
#include "runtime/operators/timestamps.hpp"

namespace weir {

template <class T>
class DataStream;
template <class T>
class BroadcastStream;
template <class T, class KeySelector>
class KeyedStream;
template <class T, class U>
class ConnectedStreams;
template <class T, class KeySelector, class U, class OtherSelector>
class ConnectedKeyedStreams;

namespace detail {

/// The result type of a rich function, or void.
template <class F>
struct ResultOf {
  using Type = void;
};
template <class F>
  requires requires { typename F::Result; }
struct ResultOf<F> {
  using Type = typename F::Result;
};
template <class F, class Given>
using FlatMapResult = std::conditional_t<std::is_void_v<Given>, typename ResultOf<F>::Type, Given>;

/// A function that snapshots itself, which only an operator that opens it can know.
template <class F>
constexpr bool snapshots_itself =
    std::derived_from<F, CheckpointedFunction> || requires { typename F::CheckpointedState; };

}  // namespace detail

/// A stream of records of type `T` while a job is being put together. It names a place in the plan; a
/// copy names the same place. Nothing runs before the job does.
///
///   env.read_text({"/data/in"})
///       .filter([](const std::string& line) { return !line.empty(); })
///       .map([](std::string line) { return Word{std::move(line), 1}; })
///       .key_by([](const Word& word) { return word.text; })
///       .reduce([](const Word& a, const Word& b) { return Word{a.text, a.count + b.count}; })
///       .print();
///
/// A function `F` is copied into every subtask. Lambdas that read or write what lies outside the
/// stream's records and states are not restored with the job.
/// Errors (two operators with one uid, a parallelism of 0, ...) are told when the plan is built.
template <class T>
class DataStream {
 public:
  /// For sources and operators: the stream that comes out of `upstream`.
  DataStream(PlanBuilder* builder, std::vector<Upstream> upstream)
      : builder_(builder), upstream_(std::move(upstream)) {}

  /// `f(T) -> Out` for each record, or a `RichMapFunction`.
  template <class F>
  auto map(F f) const {
    if constexpr (std::derived_from<F, RichFunction>) {
      return add_function<typename F::Result>("map", std::move(f));
    } else {
      static_assert(!detail::snapshots_itself<F>,
                    "to be snapshotted, derive the function from RichMapFunction");
      using Out = std::remove_cvref_t<std::invoke_result_t<F&, T>>;
      return add<Out>("map", [f] { return std::make_unique<MapOperator<T, Out, F>>(f); });
    }
  }
  /// Keeps the records for which `f(const T&)` is true.
  template <class F>
  DataStream<T> filter(F f) const {
    static_assert(!detail::snapshots_itself<F>,
                  "a filter keeps no state; use a RichFlatMapFunction");
    return add<T>("filter", [f] { return std::make_unique<FilterOperator<T, F>>(f); });
  }
  /// `flat_map<Out>(f)` with `f(T, Collector<Out>&)`, or `flat_map(function)` with a
  /// `RichFlatMapFunction`.
  template <class Given = void, class F>
  auto flat_map(F f) const {
    using Out = detail::FlatMapResult<F, Given>;
    static_assert(!std::is_void_v<Out>, "say what comes out: flat_map<Out>(f)");
    if constexpr (std::derived_from<F, RichFunction>) {
      return add_function<Out>("flat_map", std::move(f));
    } else {
      static_assert(!detail::snapshots_itself<F>,
                    "to be snapshotted, derive the function from RichFlatMapFunction");
      return add<Out>("flat_map", [f] { return std::make_unique<FlatMapOperator<T, Out, F>>(f); });
    }
  }
  /// Gives each record the event time `f(const T&)`, in milliseconds since 1970, and the stream watermarks
  /// that say how far event time has come: `assign_timestamps_and_watermarks({.out_of_orderness = 5s}, f)`.
  template <class F>
  DataStream<T> assign_timestamps_and_watermarks(WatermarkStrategy strategy, F f) const {
    return add<T>("timestamps", [strategy, f] {
      return std::make_unique<TimestampsOperator<T, F>>(strategy, f);
    });
  }
  /// A `ProcessFunction`.
  template <class F>
  auto process(F f) const {
    return add_function<typename F::Result>("process", std::move(f));
  }

  /// Brings the records with equal keys together; `selector(const T&)` yields the key, which must be
  /// described. Two keys are equal if their encodings are.
  template <class F>
  KeyedStream<T, F> key_by(F selector) const {
    using Key = std::remove_cvref_t<std::invoke_result_t<F&, const T&>>;
    static_assert(Described<T>,
                  "records that are exchanged need a description: WEIR_FIELDS(Type, members...)");
    static_assert(Described<Key>, "a key needs a description: WEIR_FIELDS(Type, members...)");
    return KeyedStream<T, F>(
        DataStream(
            builder_,
            repartitioned(
                Partitioning::hash,
                [selector](std::vector<std::shared_ptr<Channel>> channels, std::uint32_t,
                           std::uint32_t max_parallelism) -> std::unique_ptr<ExchangeWriter> {
                  return std::make_unique<HashWriter<T, F>>(std::move(channels), selector,
                                                            max_parallelism);
                })),
        selector);
  }
  /// Deals the records out evenly, a batch at a time.
  DataStream<T> rebalance() const {
    static_assert(Described<T>,
                  "records that are exchanged need a description: WEIR_FIELDS(Type, members...)");
    return DataStream(builder_, repartitioned(Partitioning::rebalance, rebalance_writer<T>()));
  }
  /// Sends every record to every subtask of the next operator.
  BroadcastStream<T> broadcast() const;
  /// This stream as the first input of an operator with two, `other` as the second.
  template <class U>
  ConnectedStreams<T, U> connect(const DataStream<U>& other) const {
    return {*this, other};
  }
  /// The records of this stream and of `others`, in no promised order between them.
  template <class... Others>
  DataStream<T> union_with(const Others&... others) const {
    std::vector<Upstream> all = upstream_;
    (all.insert(all.end(), others.upstream_.begin(), others.upstream_.end()), ...);
    return DataStream(builder_, std::move(all));
  }

  /// The stable name under which the last operator's state is kept; unique within the job.
  DataStream<T>& uid(const std::string& uid) {
    builder_->set_uid(last(), uid);
    return *this;
  }
  /// The last operator's name for people.
  DataStream<T>& name(const std::string& name) {
    builder_->set_name(last(), name);
    return *this;
  }
  DataStream<T>& set_parallelism(std::uint32_t parallelism) {
    builder_->set_parallelism(last(), parallelism);
    return *this;
  }
  /// How many key groups the last operator's state has, and so its largest parallelism ever.
  DataStream<T>& set_max_parallelism(std::uint32_t max_parallelism) {
    builder_->set_max_parallelism(last(), max_parallelism);
    return *this;
  }

  /// Writes one line per record into files in `directory`, exactly once: what is visible there under a
  /// name without a leading dot is committed. `format(const T&)` yields the line, without newline.
  template <class F>
  Sink write_files(const std::string& directory, F format) const {
    const std::string absolute = builder_->absolute(directory);
    return add_sink(
        "file sink", true,
        [absolute, format] { return std::make_unique<FileSink<T, F>>(absolute, format); },
        absolute);
  }
  /// Prints one line per record: strings as they are, described types as JSON. At least once.
  Sink print() const {
    return add_sink("print", false, [] { return std::make_unique<PrintSink<T>>(); });
  }
  /// Appends the records to `into`, for tests and small results. At least once.
  Sink collect(std::shared_ptr<Collected<T>> into) const {
    return add_sink("collect", false, [into] { return std::make_unique<CollectSink<T>>(into); });
  }

  /// Adds an operator with one input. For operators that are not built in.
  template <class Out>
  DataStream<Out> add(const std::string& name, std::function<std::unique_ptr<Operator>()> make,
                      bool stateful = false) const {
    const std::uint32_t index =
        builder_->add_operator({.name = name, .make = std::move(make), .stateful = stateful});
    builder_->connect(upstream_, index, 0, schema_or_none<T>(),
                      [] { return std::make_unique<Batch<T>>(); });
    return DataStream<Out>(builder_, {output_of<Out>(index)});
  }
  /// Adds an operator without outputs. One that writes into `output_directory`, a path as in `write_files`,
  /// has it for its job alone: while the job runs, another one with this directory is refused.
  Sink add_sink(const std::string& name, bool transactional,
                std::function<std::unique_ptr<Operator>()> make,
                const std::string& output_directory = {}) const {
    const std::uint32_t index = builder_->add_operator({.name = name,
                                                        .make = std::move(make),
                                                        .stateful = transactional,
                                                        .transactional = transactional,
                                                        .output_directory = output_directory});
    builder_->connect(upstream_, index, 0, schema_or_none<T>(),
                      [] { return std::make_unique<Batch<T>>(); });
    return Sink(builder_, index);
  }

 private:
  template <class>
  friend class DataStream;
  template <class, class>
  friend class KeyedStream;
  template <class, class>
  friend class ConnectedStreams;
  template <class, class, class, class>
  friend class ConnectedKeyedStreams;

  /// Adds an operator that has this stream as its first input and `other` as its second.
  template <class Out, class U>
  DataStream<Out> add_with(const DataStream<U>& other, const std::string& name,
                           std::function<std::unique_ptr<Operator>()> make) const {
    DataStream<Out> result = add<Out>(name, std::move(make), true);
    builder_->connect(other.upstream_, result.last(), 1, schema_or_none<U>(),
                      [] { return std::make_unique<Batch<U>>(); });
    return result;
  }
  template <class Out, class F>
  DataStream<Out> add_function(const std::string& name, F f) const {
    return add<Out>(
        name, [f] { return std::make_unique<detail::FunctionOperator<T, Out, F>>(f); },
        true);  // it may ask for operator state in `open`
  }
  std::vector<Upstream> repartitioned(Partitioning partitioning,
                                      const WriterFactory& make_writer) const {
    std::vector<Upstream> result = upstream_;
    for (Upstream& one : result) {
      one.partitioning = partitioning;
      one.make_writer = make_writer;
    }
    return result;
  }
  std::uint32_t last() const { return upstream_.back().producer; }

  PlanBuilder* builder_;
  std::vector<Upstream> upstream_;
};

/// A stream whose every record goes to every subtask of the next operator: the second input of functions
/// with broadcast state.
template <class T>
class BroadcastStream final : public DataStream<T> {
 public:
  explicit BroadcastStream(DataStream<T> stream) : DataStream<T>(std::move(stream)) {}
};

template <class T>
BroadcastStream<T> DataStream<T>::broadcast() const {
  static_assert(Described<T>,
                "records that are exchanged need a description: WEIR_FIELDS(Type, members...)");
  return BroadcastStream<T>(
      DataStream(builder_, repartitioned(Partitioning::broadcast, broadcast_writer<T>())));
}

/// Two streams that one operator reads, of different types as they may be.
template <class T, class U>
class ConnectedStreams {
 public:
  ConnectedStreams(DataStream<T> first, DataStream<U> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  /// A `CoProcessFunction`; or, if the second stream is a broadcast one, a `BroadcastProcessFunction`.
  template <class F>
  DataStream<typename F::Result> process(F f) const {
    static_assert(std::is_same_v<typename F::Input1, T> && std::is_same_v<typename F::Input2, U>,
                  "the function's input types are not those of the streams, in this order");
    return first_.template add_with<typename F::Result>(
        second_, "co_process", [f] { return std::make_unique<detail::TwoInputOperator<F>>(f); });
  }

 private:
  DataStream<T> first_;
  DataStream<U> second_;
};

/// A keyed stream and another that one operator reads: one keyed in the same way, or a broadcast one,
/// whose selector is `std::nullptr_t`.
template <class T, class KeySelector, class U, class OtherSelector>
class ConnectedKeyedStreams {
 public:
  using Key = std::remove_cvref_t<std::invoke_result_t<const KeySelector&, const T&>>;
  ConnectedKeyedStreams(DataStream<T> first, KeySelector selector, DataStream<U> second,
                        OtherSelector other_selector)
      : first_(std::move(first)),
        selector_(std::move(selector)),
        second_(std::move(second)),
        other_selector_(std::move(other_selector)) {}

  /// A `KeyedCoProcessFunction`; or, if the second stream is a broadcast one, a
  /// `KeyedBroadcastProcessFunction`.
  template <class F>
  DataStream<typename F::Result> process(F f) const {
    static_assert(std::is_same_v<typename F::KeyType, Key>,
                  "the function's key type is not the stream's");
    static_assert(std::is_same_v<typename F::Input1, T> && std::is_same_v<typename F::Input2, U>,
                  "the function's input types are not those of the streams, in this order");
    return first_.template add_with<typename F::Result>(
        second_, "co_process", [selector = selector_, other_selector = other_selector_, f] {
          return std::make_unique<
              detail::KeyedTwoInputOperator<Key, KeySelector, OtherSelector, F>>(selector,
                                                                                 other_selector, f);
        });
  }

 private:
  DataStream<T> first_;
  KeySelector selector_;
  DataStream<U> second_;
  OtherSelector other_selector_;
};

/// A stream whose records with equal keys come together in one subtask, in the order in which each
/// producer sent them. Functions on it may keep keyed state.
///
///   words.key_by([](const std::string& word) { return word; })
///       .map_with_state<long>([](const std::string& word, long& count) { return Word{word, ++count}; })
///       .uid("counts");
template <class T, class KeySelector>
class KeyedStream {
 public:
  using Key = std::remove_cvref_t<std::invoke_result_t<const KeySelector&, const T&>>;
  KeyedStream(DataStream<T> stream, KeySelector selector)
      : stream_(std::move(stream)), selector_(std::move(selector)) {}

  /// Keeps one record per key, folded by `f(const T& so_far, const T& added) -> T`, and emits it anew
  /// for each record.
  template <class F>
  DataStream<T> reduce(F f) const {
    return add<T, detail::ReduceOperator<T, Key, KeySelector, F>>("reduce", std::move(f));
  }
  /// `f(const T&, State&) -> Out`: the state of the key is changed in place and begins as `State{}`.
  /// Or `f(const T&, std::optional<State>&) -> Out`, where an empty state is none.
  template <Described State, class F>
  auto map_with_state(F f) const {
    if constexpr (std::invocable<F&, const T&, State&>)
      return add_map<State>(std::move(f), std::type_identity<State>{});
    else
      return add_map<State>(std::move(f), std::type_identity<std::optional<State>>{});
  }
  /// As `map_with_state`, with any number of results: `f(const T&, State&, Collector<Out>&)`.
  template <Described State, class Out, class F>
  DataStream<Out> flat_map_with_state(F f) const {
    return add<Out, detail::WithStateOperator<T, Out, Key, KeySelector, State, F>>(
        "flat_map_with_state", std::move(f));
  }
  /// A `RichFlatMapFunction`.
  template <class F>
  DataStream<typename F::Result> flat_map(F f) const {
    return add<typename F::Result,
               detail::KeyedFunctionOperator<T, typename F::Result, Key, KeySelector, F>>(
        "flat_map", std::move(f));
  }
  /// A `KeyedProcessFunction`.
  template <class F>
  DataStream<typename F::Result> process(F f) const {
    static_assert(std::is_same_v<typename F::KeyType, Key>,
                  "the function's key type is not the stream's");
    return add<typename F::Result,
               detail::KeyedFunctionOperator<T, typename F::Result, Key, KeySelector, F>>(
        "process", std::move(f));
  }
  /// This stream as the first input of an operator with two, `other`, with keys of the same type, as the
  /// second: a `KeyedCoProcessFunction` sees the states of one key from both.
  template <class U, class OtherSelector>
  ConnectedKeyedStreams<T, KeySelector, U, OtherSelector> connect(
      const KeyedStream<U, OtherSelector>& other) const {
    static_assert(std::is_same_v<typename KeyedStream<U, OtherSelector>::Key, Key>,
                  "the keys of the two streams have different types");
    return {stream_, selector_, other.stream_, other.selector_};
  }
  /// The same with a broadcast stream, for a `KeyedBroadcastProcessFunction`.
  template <class U>
  ConnectedKeyedStreams<T, KeySelector, U, std::nullptr_t> connect(
      const BroadcastStream<U>& other) const {
    return {stream_, selector_, other, nullptr};
  }

 private:
  template <class, class>
  friend class KeyedStream;
  template <class State, class F, class Argument>
  auto add_map(F f, std::type_identity<Argument>) const {
    using Out = std::remove_cvref_t<std::invoke_result_t<F&, const T&, Argument&>>;
    return add<Out, detail::WithStateOperator<T, Out, Key, KeySelector, State, F>>("map_with_state",
                                                                                   std::move(f));
  }
  template <class Out, class Op, class F>
  DataStream<Out> add(const std::string& name, F f) const {
    return stream_.template add<Out>(
        name, [selector = selector_, f] { return std::make_unique<Op>(selector, f); }, true);
  }

  DataStream<T> stream_;
  KeySelector selector_;
};

}  // namespace weir
