#pragma once

#include <cstdint>

#include "runtime/batch.hpp"
#include "runtime/runtime_context.hpp"

namespace weir {

/// What all functions with a life of their own share. One object serves one subtask: it is made there
/// as a copy of the object that the job function gave, opened, called, closed.
/// A function may throw: its task fails with what was thrown, and the job restarts if its strategy
/// allows. Fields that are no state are not in any snapshot.
class RichFunction {
 public:
  virtual ~RichFunction() = default;
  /// Before the first record: the place to ask for states, which arrive restored.
  virtual void open(RuntimeContext&) {}
};

/// One result for each record.
///
///   struct AddPrefix final : RichMapFunction<std::string, std::string> {
///     void open(RuntimeContext& context) override { prefix_ = std::to_string(context.subtask()) + ": "; }
///     std::string map(const std::string& line) override { return prefix_ + line; }
///     std::string prefix_;
///   };
template <class In, class Out>
class RichMapFunction : public RichFunction {
 public:
  using Input = In;
  using Result = Out;
  virtual Out map(const In& value) = 0;
};

/// Any number of results for each record. On a keyed stream it may keep keyed state.
///
///   struct Count final : RichFlatMapFunction<std::string, long> {
///     void open(RuntimeContext& context) override { count_ = context.state(ValueStateDescriptor<long>{"count"}); }
///     void flat_map(const std::string&, Collector<long>& out) override { out.collect(++count_.mutable_value()); }
///     ValueState<long> count_;
///   };
///   words.key_by([](const std::string& word) { return word; }).flat_map(Count{});
///
/// A function that also has `void on_end_of_input(Collector<Out>&)` is called once more when its
/// input has ended; cancel, failure and `stop` without `--drain` are no end.
template <class In, class Out>
class RichFlatMapFunction : public RichFunction {
 public:
  using Input = In;
  using Result = Out;
  virtual void flat_map(const In& value, Collector<Out>& out) = 0;
};

/// A function of a keyed stream that sees the key.
///
///   struct Totals final : KeyedProcessFunction<std::string, Order, Total> {
///     void open(RuntimeContext& context) override { sum_ = context.state(ValueStateDescriptor<double>{"sum"}); }
///     void process_element(const Order& order, Context&, Collector<Total>&) override {
///       sum_.mutable_value() += order.amount;
///     }
///     void on_end_of_input(const std::string& customer, Context&, Collector<Total>& out) {
///       out.collect({customer, *sum_.value()});
///     }
///     ValueState<double> sum_;
///   };
///
/// `on_end_of_input(const Key&, Context&, Collector<Out>&)` is optional. When the input has ended it is
/// called once for every key of the subtask that has state, the states being that key's; keys come by
/// key group and, within it, in the order of their encoding.
template <class Key, class In, class Out>
class KeyedProcessFunction : public RichFunction {
 public:
  using Input = In;
  using Result = Out;
  using KeyType = Key;
  /// What is known of the record or key that is being processed.
  class Context {
   public:
    [[nodiscard]] const Key& current_key() const { return *key_; }
    /// Event time in milliseconds, `no_event_time` if the record has none.
    [[nodiscard]] EventTime timestamp() const { return time_; }
    /// For the operator.
    void set(const Key& key, EventTime time) {
      key_ = &key;
      time_ = time;
    }

   private:
    const Key* key_ = nullptr;
    EventTime time_ = no_event_time;
  };
  virtual void process_element(const In& value, Context& context, Collector<Out>& out) = 0;
};

/// A function of a stream without key that may keep operator state.
template <class In, class Out>
class ProcessFunction : public RichFunction {
 public:
  using Input = In;
  using Result = Out;
  virtual void process_element(const In& value, Collector<Out>& out) = 0;
};

/// A function whose fields are its state: it hands them out as one value per subtask and takes them
/// back. For functions without key.
///
///   struct LineNumber final : RichMapFunction<std::string, std::string>, Checkpointed<long> {
///     std::string map(const std::string& line) override { return std::to_string(++count_) + " " + line; }
///     long snapshot_state() override { return count_; }
///     void restore_state(const long& count) override { count_ += count; }
///     long count_ = 0;
///   };
template <Described State>
class Checkpointed {
 public:
  using CheckpointedState = State;
  virtual ~Checkpointed() = default;
  /// The value that goes into the snapshot; called at every barrier.
  virtual State snapshot_state() = 0;
  /// Called before the first record, once for each value that this subtask is given: none, one, or,
  /// when the parallelism has become smaller, several.
  virtual void restore_state(const State& state) = 0;
};

/// Gives a `CheckpointedFunction` its operator states.
class FunctionInitializationContext {
 public:
  explicit FunctionInitializationContext(RuntimeContext& context) : context_(context) {}
  [[nodiscard]] bool is_restored() const { return context_.is_restored(); }
  /// As `RuntimeContext::operator_list_state`.
  template <Described T>
  [[nodiscard]] OperatorListState<T>* list_state(const std::string& name) {
    return context_.operator_list_state<T>(name);
  }
  template <Described T>
  [[nodiscard]] OperatorListState<T>* union_list_state(const std::string& name) {
    return context_.operator_union_state<T>(name);
  }

 private:
  RuntimeContext& context_;
};

/// Says which snapshot is being taken.
struct FunctionSnapshotContext {
  CheckpointId checkpoint;
  std::int64_t triggered_at_ms = 0;  ///< wall clock, milliseconds since 1970
};

/// A function that keeps operator states up to date itself, at the barrier.
class CheckpointedFunction {
 public:
  virtual ~CheckpointedFunction() = default;
  /// Before the first record; the states that it asks for arrive restored.
  virtual void initialize_state(FunctionInitializationContext& context) = 0;
  /// At every barrier: the last chance to put into the states what belongs there.
  virtual void snapshot_state(const FunctionSnapshotContext& context) = 0;
};

}  // namespace weir
