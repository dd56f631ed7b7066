#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "runtime/operator.hpp"
#include "runtime/timer_queue.hpp"
#include "state/keyed_state.hpp"

namespace weir {

/// What a rich function may ask for in `open`: its place in the job and its states.
///
///   void open(RuntimeContext& context) override {
///     count_ = context.state(ValueStateDescriptor<long>{"count"});
///   }
///
/// A state that cannot be had (a name used twice, a snapshot that does not fit) fails the task after
/// `open` with that reason; the handle must not be used before. Whoever asks for a state when `open` is over
/// gets an `OperatorError`, which fails the task.
/// Threads: the task thread, during `open`; what is no state may be asked for later, too.
class RuntimeContext {
 public:
  /// `key` is null for a function that is not on a keyed stream.
  RuntimeContext(OperatorContext& context, const KeyContext* key, std::size_t key_width,
                 Schema key_schema)
      : context_(context), key_(key), key_width_(key_width), key_schema_(std::move(key_schema)) {}
  RuntimeContext(const RuntimeContext&) = delete;
  RuntimeContext& operator=(const RuntimeContext&) = delete;

  [[nodiscard]] const std::string& job_name() const { return context_.job_name(); }
  [[nodiscard]] const std::string& uid() const { return context_.uid(); }
  /// From 0 up to, not including, `parallelism()`.
  [[nodiscard]] std::uint32_t subtask() const { return context_.subtask(); }
  [[nodiscard]] std::uint32_t parallelism() const { return context_.parallelism(); }
  /// True if the job started from a snapshot.
  [[nodiscard]] bool is_restored() const { return context_.is_restored(); }

  // Keyed state; keyed streams only.
  template <Described T>
  [[nodiscard]] ValueState<T> state(const ValueStateDescriptor<T>& descriptor) {
    return bind<ValueState<T>>(descriptor);
  }
  template <Described T>
  [[nodiscard]] ListState<T> list_state(const ListStateDescriptor<T>& descriptor) {
    return bind<ListState<T>>(descriptor);
  }
  template <Described T>
  [[nodiscard]] ReducingState<T> reducing_state(const ReducingStateDescriptor<T>& descriptor) {
    require_open(descriptor.name);
    if (!descriptor.reduce) return refuse<ReducingState<T>>(descriptor.name, without_function);
    return bind<ReducingState<T>>(descriptor);
  }
  template <class In, Described Acc, class Out>
  [[nodiscard]] AggregatingState<In, Acc, Out> aggregating_state(
      const AggregatingStateDescriptor<In, Acc, Out>& descriptor) {
    using Handle = AggregatingState<In, Acc, Out>;
    require_open(descriptor.name);
    if (!descriptor.function) return refuse<Handle>(descriptor.name, without_function);
    return bind<Handle>(descriptor);
  }
  template <class K, class V>
  [[nodiscard]] MapState<K, V> map_state(const MapStateDescriptor<K, V>& descriptor) {
    return bind<MapState<K, V>>(descriptor);
  }

  // Operator state, without a key.
  /// Elements that are dealt out again when the parallelism changes. Null if it cannot be had.
  template <Described T>
  [[nodiscard]] OperatorListState<T>* operator_list_state(const std::string& name) {
    return operator_state<T>(name, StateKind::operator_list);
  }
  /// Elements that after a restore every subtask has all of. Null if it cannot be had.
  template <Described T>
  [[nodiscard]] OperatorListState<T>* operator_union_state(const std::string& name) {
    return operator_state<T>(name, StateKind::operator_union);
  }

  /// A map that all subtasks have alike, for functions with a broadcast side. It has no time to live.
  template <class K, class V>
  [[nodiscard]] BroadcastStateHandle<K, V> broadcast_state(
      const MapStateDescriptor<K, V>& descriptor) {
    using Handle = BroadcastStateHandle<K, V>;
    if (!may_be_called(descriptor.name)) return {};
    if (descriptor.ttl)
      return refuse<Handle>(descriptor.name, "broadcast state has no time to live; leave it out");
    auto state = context_.operator_state().broadcast_state<K, V>(descriptor.name);
    if (state) return Handle(*state);
    fail(state.error());
    return {};
  }

  /// For operators on keyed streams: the timers of `domain`.
  template <Described Key>
  [[nodiscard]] TimerQueue<Key> timers(TimeDomain domain) {
    WEIR_ASSERT(key_ != nullptr);
    WEIR_ASSERT(is_open_);
    TableOptions options = table_options();
    options.composite = true;
    auto table = std::make_unique<Table<TimerMark>>(
        StateDeclaration{
            domain == TimeDomain::event_time ? "event-time timers" : "processing-time timers",
            StateKind::timer, key_schema_, schema_of<TimerMark>()},
        options, EntryCodec<TimerMark>{});
    TimerQueue<Key> queue(table.get());
    if (!add_table(std::move(table))) return {};
    return queue;
  }

  /// `open` is over: from now on there are no states to be had.
  void close() { is_open_ = false; }
  /// The first error of the calls above.
  [[nodiscard]] const Status& status() const { return status_; }
  /// The tables of the keyed states in which a key has one place, for prefetching.
  [[nodiscard]] const std::vector<TableBase*>& tables() const { return tables_; }
  /// What states with a time to live go by, for the operator to advance; null if there are none.
  [[nodiscard]] const std::shared_ptr<StateTime>& state_time() const { return state_time_; }

 private:
  static constexpr std::size_t longest_name = 255;
  static constexpr const char* without_function =
      "a reducing or aggregating state needs a function; give its descriptor one";

  /// Throws `OperatorError` unless it is.
  void require_open(const std::string& state) const {
    if (is_open_) return;
    throw OperatorError(
        {Errc::invalid_argument,
         "state '" + state +
             "': a function asks for its states in open, and keeps the handles; this one asked the "
             "RuntimeContext when open was over"});
  }
  /// Whether there may be a state of this name; if not, the operator does not open. Throws as `require_open`.
  [[nodiscard]] bool may_be_called(const std::string& name) {
    require_open(name);
    const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
    if (!name.empty() && name.size() <= longest_name && std::ranges::none_of(name, is_control))
      return true;
    return refuse<bool>(name.substr(0, longest_name), "a state's name has from 1 to " +
                                                          std::to_string(longest_name) +
                                                          " bytes and no control characters");
  }
  template <class Handle, class Descriptor>
  [[nodiscard]] Handle bind(const Descriptor& descriptor) {
    if (!may_be_called(descriptor.name)) return {};
    if (key_ == nullptr)
      return refuse<Handle>(descriptor.name,
                            "keyed state needs a keyed stream; call key_by before");
    if (descriptor.ttl) {
      if (const Status valid = check_ttl(*descriptor.ttl); !valid)
        return refuse<Handle>(descriptor.name, valid.error().what);
      if (!state_time_) state_time_ = std::make_shared<StateTime>(context_.clock());
    }
    auto made = make_state(descriptor, key_schema_, table_options(), key_, state_time_);
    TableBase* const table = made.table.get();
    const bool is_map = table->declaration().kind == StateKind::map;
    if (!add_table(std::move(made.table))) return {};
    if (!is_map) tables_.push_back(table);
    return std::move(made.handle);
  }
  [[nodiscard]] TableOptions table_options() const {
    return {key_group_range(subtask(), parallelism(), context_.max_parallelism()),
            context_.max_parallelism(), key_width_};
  }
  [[nodiscard]] bool add_table(std::unique_ptr<TableBase> table) {
    auto backend = context_.keyed_state(key_width_);
    if (!backend) {
      fail(backend.error());
      return false;
    }
    const Status added = (*backend)->add_table(std::move(table));
    if (!added) fail(added.error());
    return added.has_value();
  }
  template <class Handle>
  [[nodiscard]] Handle refuse(const std::string& state, const std::string& why) {
    fail(Error{Errc::invalid_argument, context_.label() + ", state '" + state + "': " + why});
    return {};
  }
  template <class T>
  [[nodiscard]] OperatorListState<T>* operator_state(const std::string& name, StateKind kind) {
    if (!may_be_called(name)) return nullptr;
    auto state = context_.operator_state().list_state<T>(name, kind);
    if (state) return *state;
    fail(state.error());
    return nullptr;
  }
  void fail(const Error& why) {
    if (status_) status_ = std::unexpected(why);
  }

  OperatorContext& context_;
  const KeyContext* key_;
  std::size_t key_width_;
  Schema key_schema_;
  bool is_open_ = true;
  Status status_;
  std::vector<TableBase*> tables_;
  std::shared_ptr<StateTime> state_time_;
};

}  // namespace weir
