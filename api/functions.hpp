#pragma once

#include <cstdint>

#include "runtime/batch.hpp"
#include "runtime/runtime_context.hpp"
#include "runtime/timer_service.hpp"

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
///
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
///
/// `on_timer(std::int64_t time, OnTimerContext&, Collector<Out>&)` is optional too, but for a function that
/// sets timers with `context.timer_service()`. It is called once for each timer when its time has come,
/// the states being those of its key. Snapshots hold timers. Neither is virtual: write both without `override`.
///
///   struct Quiet final : KeyedProcessFunction<std::string, Order, std::string> {
///     void open(RuntimeContext& context) override { last_ = context.state(ValueStateDescriptor<long>{"last"}); }
///     void process_element(const Order&, Context& context, Collector<std::string>&) override {
///       last_.update(context.timestamp());
///       context.timer_service().register_event_time_timer(context.timestamp() + 3'600'000);
///     }
///     void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
///       if (*last_.value() + 3'600'000 == time) out.collect(context.current_key() + " ordered nothing for an hour");
///     }
///     ValueState<long> last_;
///   };
template <class Key, class In, class Out>
class KeyedProcessFunction : public RichFunction {
 public:
  using Input = In;
  using Result = Out;
  using KeyType = Key;
  using Context = KeyedContext<Key>;
  using OnTimerContext = TimerContext<Key>;
  virtual void process_element(const In& value, Context& context, Collector<Out>& out) = 0;
};

/// A function of two keyed streams with keys of one type, which share their states. `on_timer` and
/// `on_end_of_input`, after the end of both, are as those of `KeyedProcessFunction`.
///
///   struct Join final : KeyedCoProcessFunction<long, Order, Payment, Paid> {
///     void open(RuntimeContext& context) override { order_ = context.state(ValueStateDescriptor<Order>{"order"}); }
///     void process_element1(const Order& order, Context&, Collector<Paid>&) override { order_.update(order); }
///     void process_element2(const Payment& payment, Context&, Collector<Paid>& out) override {
///       if (const Order* order = order_.value()) out.collect({*order, payment});
///     }
///     ValueState<Order> order_;
///   };
///
///   orders.key_by(id).connect(payments.key_by(order_id)).process(Join{});
template <class Key, class In1, class In2, class Out>
class KeyedCoProcessFunction : public RichFunction {
 public:
  using Input1 = In1;
  using Input2 = In2;
  using Result = Out;
  using KeyType = Key;
  using Context = KeyedContext<Key>;
  using OnTimerContext = TimerContext<Key>;
  virtual void process_element1(const In1& value, Context& context, Collector<Out>& out) = 0;
  virtual void process_element2(const In2& value, Context& context, Collector<Out>& out) = 0;
};

/// A function of two streams without key. One with `void on_end_of_input(Collector<Out>&)` is called once
/// more when both have ended.
///
///   struct Report final : CoProcessFunction<Order, Payment, std::string> {
///     void process_element1(const Order& order, Collector<std::string>& out) override {
///       out.collect(order.customer + " has ordered");
///     }
///     void process_element2(const Payment& payment, Collector<std::string>& out) override {
///       out.collect("order " + std::to_string(payment.order) + " is paid");
///     }
///   };
///
///   orders.connect(payments).process(Report{});
template <class In1, class In2, class Out>
class CoProcessFunction : public RichFunction {
 public:
  using Input1 = In1;
  using Input2 = In2;
  using Result = Out;
  virtual void process_element1(const In1& value, Collector<Out>& out) = 0;
  virtual void process_element2(const In2& value, Collector<Out>& out) = 0;
};

/// A function of a keyed stream and a broadcast one, such as records and the rules that apply to them.
/// Every subtask sees every record of the broadcast side, in no promised order towards the other one.
/// `on_timer(std::int64_t time, OnTimerContext&, Collector<Out>&)` and `on_end_of_input(const Key&,
/// ReadOnlyContext&, Collector<Out>&)` are as those of `KeyedProcessFunction`, for the keyed side.
///
///   struct Apply final : KeyedBroadcastProcessFunction<std::string, Event, Rule, Alert> {
///     void open(RuntimeContext& context) override {
///       rules_ = context.broadcast_state(MapStateDescriptor<std::string, Rule>{"rules"});
///     }
///     void process_element(const Event& event, ReadOnlyContext& context, Collector<Alert>& out) override {
///       const Rule* rule = context.state(rules_).get(event.kind);
///       if (rule != nullptr && event.amount > rule->limit) out.collect({event, *rule});
///     }
///     void process_broadcast_element(const Rule& rule, BroadcastContext& context, Collector<Alert>&) override {
///       context.state(rules_).put(rule.kind, rule);
///     }
///     BroadcastStateHandle<std::string, Rule> rules_;
///   };
///
///   events.key_by(account).connect(rules.broadcast()).process(Apply{});
template <class Key, class In, class Broadcast, class Out>
class KeyedBroadcastProcessFunction : public RichFunction {
 public:
  using Input1 = In;
  using Input2 = Broadcast;
  using Result = Out;
  using KeyType = Key;
  class ReadOnlyContext : public KeyedContext<Key>, public weir::ReadOnlyContext {};
  class OnTimerContext : public TimerContext<Key>, public weir::ReadOnlyContext {
   public:
    using TimerContext<Key>::TimerContext;
  };
  virtual void process_element(const In& value, ReadOnlyContext& context, Collector<Out>& out) = 0;
  virtual void process_broadcast_element(const Broadcast& value, BroadcastContext& context,
                                         Collector<Out>& out) = 0;
};

/// The same of a stream without key.
///
///   struct Exceeded final : BroadcastProcessFunction<Event, Rule, Alert> {
///     void open(RuntimeContext& context) override {
///       rules_ = context.broadcast_state(MapStateDescriptor<std::string, Rule>{"rules"});
///     }
///     void process_element(const Event& event, ReadOnlyContext& context, Collector<Alert>& out) override {
///       context.state(rules_).for_each([&](const std::string&, const Rule& rule) {
///         if (event.amount > rule.limit) out.collect({event, rule});
///       });
///     }
///     void process_broadcast_element(const Rule& rule, BroadcastContext& context, Collector<Alert>&) override {
///       context.state(rules_).put(rule.kind, rule);
///     }
///     BroadcastStateHandle<std::string, Rule> rules_;
///   };
///
///   events.connect(rules.broadcast()).process(Exceeded{});
template <class In, class Broadcast, class Out>
class BroadcastProcessFunction : public RichFunction {
 public:
  using Input1 = In;
  using Input2 = Broadcast;
  using Result = Out;
  virtual void process_element(const In& value, ReadOnlyContext& context, Collector<Out>& out) = 0;
  virtual void process_broadcast_element(const Broadcast& value, BroadcastContext& context,
                                         Collector<Out>& out) = 0;
};

/// A function of a stream without key that may keep operator state. One with
/// `void on_end_of_input(Collector<Out>&)` is called once more when its input has ended.
///
///   struct Distinct final : ProcessFunction<std::string, std::string> {
///     void open(RuntimeContext& context) override { seen_ = context.operator_list_state<std::string>("seen"); }
///     void process_element(const std::string& line, Collector<std::string>& out) override {
///       if (std::ranges::find(seen_->get(), line) != seen_->get().end()) return;
///       seen_->add(line);
///       out.collect(line);
///     }
///     OperatorListState<std::string>* seen_ = nullptr;
///   };
///
///   lines.process(Distinct{});
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
  /// True if the job started from a snapshot.
  [[nodiscard]] bool is_restored() const { return context_.is_restored(); }
  /// As `RuntimeContext::operator_list_state`.
  template <Described T>
  [[nodiscard]] OperatorListState<T>* list_state(const std::string& name) {
    return context_.operator_list_state<T>(name);
  }
  /// As `RuntimeContext::operator_union_state`.
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

/// A function that keeps operator states up to date itself, at the barrier. For functions without key.
///
///   struct InTens final : RichFlatMapFunction<std::string, std::string>, CheckpointedFunction {
///     void initialize_state(FunctionInitializationContext& context) override {
///       saved_ = context.list_state<std::string>("waiting");
///       if (saved_ != nullptr) waiting_ = saved_->get();
///     }
///     void snapshot_state(const FunctionSnapshotContext&) override { saved_->update(waiting_); }
///     void flat_map(const std::string& line, Collector<std::string>& out) override {
///       waiting_.push_back(line);
///       if (waiting_.size() < 10) return;
///       for (const std::string& one : waiting_) out.collect(one);
///       waiting_.clear();
///     }
///     std::vector<std::string> waiting_;
///     OperatorListState<std::string>* saved_ = nullptr;
///   };
class CheckpointedFunction {
 public:
  virtual ~CheckpointedFunction() = default;
  /// Before the first record; the states that it asks for arrive restored.
  virtual void initialize_state(FunctionInitializationContext& context) = 0;
  /// At every barrier: the last chance to put into the states what belongs there.
  virtual void snapshot_state(const FunctionSnapshotContext& context) = 0;
};

}  // namespace weir
