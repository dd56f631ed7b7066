// The examples in the comments of the headers that a job includes, as they stand there; those about state are
// in state_examples_test.cpp. `.ci/check_examples.py` finds each of them here or there.

#include <algorithm>
#include <chrono>

#include "test/api/run_by_hand.hpp"
#include <weir/weir.hpp>

namespace weir::test {

struct Word {
  std::string text;
  long count = 0;
};
WEIR_FIELDS(Word, text, count)

struct Order {
  std::string customer;
  double amount = 0;
};
WEIR_FIELDS(Order, customer, amount)

struct Total {
  std::string customer;
  double amount = 0;
  bool operator==(const Total&) const = default;
};
WEIR_FIELDS(Total, customer, amount)

namespace {

template <class T>
std::shared_ptr<Collected<T>> collector() {
  return std::make_shared<Collected<T>>();
}

// api/functions.hpp

struct AddPrefix final : RichMapFunction<std::string, std::string> {
  void open(RuntimeContext& context) override {
    prefix_ = std::to_string(context.subtask()) + ": ";
  }
  std::string map(const std::string& line) override { return prefix_ + line; }
  std::string prefix_;
};

struct Count final : RichFlatMapFunction<std::string, long> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
  }
  void flat_map(const std::string&, Collector<long>& out) override {
    out.collect(++count_.mutable_value());
  }
  ValueState<long> count_;
};

struct Quiet final : KeyedProcessFunction<std::string, Order, std::string> {
  void open(RuntimeContext& context) override {
    last_ = context.state(ValueStateDescriptor<long>{"last"});
  }
  void process_element(const Order&, Context& context, Collector<std::string>&) override {
    last_.update(context.timestamp());
    context.timer_service().register_event_time_timer(context.timestamp() + 3'600'000);
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    if (*last_.value() + 3'600'000 == time)
      out.collect(context.current_key() + " ordered nothing for an hour");
  }
  ValueState<long> last_;
};

struct Payment {
  long order = 0;
  double amount = 0;
};
WEIR_FIELDS(Payment, order, amount)

struct Paid {
  Order order;
  Payment payment;
};
WEIR_FIELDS(Paid, order, payment)

struct Join final : KeyedCoProcessFunction<long, Order, Payment, Paid> {
  void open(RuntimeContext& context) override {
    order_ = context.state(ValueStateDescriptor<Order>{"order"});
  }
  void process_element1(const Order& order, Context&, Collector<Paid>&) override {
    order_.update(order);
  }
  void process_element2(const Payment& payment, Context&, Collector<Paid>& out) override {
    if (const Order* order = order_.value()) out.collect({*order, payment});
  }
  ValueState<Order> order_;
};

struct Event {
  std::string account;
  std::string kind;
  double amount = 0;
};
WEIR_FIELDS(Event, account, kind, amount)

struct Rule {
  std::string kind;
  double limit = 0;
};
WEIR_FIELDS(Rule, kind, limit)

struct Alert {
  Event event;
  Rule rule;
};
WEIR_FIELDS(Alert, event, rule)

struct Apply final : KeyedBroadcastProcessFunction<std::string, Event, Rule, Alert> {
  void open(RuntimeContext& context) override {
    rules_ = context.broadcast_state(MapStateDescriptor<std::string, Rule>{"rules"});
  }
  void process_element(const Event& event, ReadOnlyContext& context,
                       Collector<Alert>& out) override {
    const Rule* rule = context.state(rules_).get(event.kind);
    if (rule != nullptr && event.amount > rule->limit) out.collect({event, *rule});
  }
  void process_broadcast_element(const Rule& rule, BroadcastContext& context,
                                 Collector<Alert>&) override {
    context.state(rules_).put(rule.kind, rule);
  }
  BroadcastStateHandle<std::string, Rule> rules_;
};

struct Report final : CoProcessFunction<Order, Payment, std::string> {
  void process_element1(const Order& order, Collector<std::string>& out) override {
    out.collect(order.customer + " has ordered");
  }
  void process_element2(const Payment& payment, Collector<std::string>& out) override {
    out.collect("order " + std::to_string(payment.order) + " is paid");
  }
};

struct Exceeded final : BroadcastProcessFunction<Event, Rule, Alert> {
  void open(RuntimeContext& context) override {
    rules_ = context.broadcast_state(MapStateDescriptor<std::string, Rule>{"rules"});
  }
  void process_element(const Event& event, ReadOnlyContext& context,
                       Collector<Alert>& out) override {
    context.state(rules_).for_each([&](const std::string&, const Rule& rule) {
      if (event.amount > rule.limit) out.collect({event, rule});
    });
  }
  void process_broadcast_element(const Rule& rule, BroadcastContext& context,
                                 Collector<Alert>&) override {
    context.state(rules_).put(rule.kind, rule);
  }
  BroadcastStateHandle<std::string, Rule> rules_;
};

struct Distinct final : ProcessFunction<std::string, std::string> {
  void open(RuntimeContext& context) override {
    seen_ = context.operator_list_state<std::string>("seen");
  }
  void process_element(const std::string& line, Collector<std::string>& out) override {
    if (std::ranges::find(seen_->get(), line) != seen_->get().end()) return;
    seen_->add(line);
    out.collect(line);
  }
  OperatorListState<std::string>* seen_ = nullptr;
};

struct InTens final : RichFlatMapFunction<std::string, std::string>, CheckpointedFunction {
  void initialize_state(FunctionInitializationContext& context) override {
    saved_ = context.list_state<std::string>("waiting");
    if (saved_ != nullptr) waiting_ = saved_->get();
  }
  void snapshot_state(const FunctionSnapshotContext&) override { saved_->update(waiting_); }
  void flat_map(const std::string& line, Collector<std::string>& out) override {
    waiting_.push_back(line);
    if (waiting_.size() < 10) return;
    for (const std::string& one : waiting_) out.collect(one);
    waiting_.clear();
  }
  std::vector<std::string> waiting_;
  OperatorListState<std::string>* saved_ = nullptr;
};

struct Totals final : KeyedProcessFunction<std::string, Order, Total> {
  void open(RuntimeContext& context) override {
    sum_ = context.state(ValueStateDescriptor<double>{"sum"});
  }
  void process_element(const Order& order, Context&, Collector<Total>&) override {
    sum_.mutable_value() += order.amount;
  }
  void on_end_of_input(const std::string& customer, Context&, Collector<Total>& out) {
    out.collect({customer, *sum_.value()});
  }
  ValueState<double> sum_;
};

struct LineNumber final : RichMapFunction<std::string, std::string>, Checkpointed<long> {
  std::string map(const std::string& line) override {
    return std::to_string(++count_) + " " + line;
  }
  long snapshot_state() override { return count_; }
  void restore_state(const long& count) override { count_ += count; }
  long count_ = 0;
};

TEST_CASE("the examples of functions do what they say", "[api]") {
  const auto prefixed = collector<std::string>();
  const auto numbered = collector<std::string>();
  const auto tens = collector<std::string>();
  const auto distinct = collector<std::string>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto lines = env.from_collection<std::string>({"a", "b", "a"});
    lines.map(AddPrefix{}).collect(prefixed);
    lines.map(LineNumber{}).collect(numbered);
    lines.flat_map(InTens{}).collect(tens);
    const auto passed = lines.process(Distinct{});
    passed.collect(distinct);
  });
  CHECK(prefixed->values() == Lines{"0: a", "0: b", "0: a"});
  CHECK(numbered->values() == Lines{"1 a", "2 b", "3 a"});
  CHECK(tens->values().empty());  // there are only three
  CHECK(distinct->values() == Lines{"a", "b"});
}

TEST_CASE("the examples of functions with keyed state do what they say", "[api]") {
  const auto counts = collector<long>();
  const auto totals = collector<Total>();
  const auto quiet = collector<std::string>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto words = env.from_collection<std::string>({"a", "b", "a"});
    const auto counted =
        words.key_by([](const std::string& word) { return word; }).flat_map(Count{});
    counted.collect(counts);
    const auto orders = env.from_collection<Order>({{"x", 1.5}, {"y", 2}, {"x", 3}});
    const auto customer = [](const Order& order) { return order.customer; };
    orders.key_by(customer).process(Totals{}).collect(totals);
    orders
        .assign_timestamps_and_watermarks(
            {}, [](const Order& order) { return static_cast<EventTime>(order.amount); })
        .key_by(customer)
        .process(Quiet{})
        .collect(quiet);
  });
  CHECK(counts->values() == std::vector<long>{1, 1, 2});
  auto sums = totals->values();
  std::ranges::sort(sums, {}, &Total::customer);
  CHECK(sums == std::vector<Total>{{"x", 4.5}, {"y", 2}});
  auto silences = quiet->values();
  std::ranges::sort(silences);
  CHECK(silences == Lines{"x ordered nothing for an hour", "y ordered nothing for an hour"});
}

TEST_CASE("the examples of functions of two streams do what they say", "[api]") {
  const auto paid = collector<Paid>();
  const auto reports = collector<std::string>();
  const auto alerts = collector<Alert>();
  const auto exceeded = collector<Alert>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto orders = env.from_collection<Order>({{"12", 10}});
    const auto payments = env.from_collection<Payment>({{13, 10}});
    const auto id = [](const Order& order) { return std::stol(order.customer); };
    const auto order_id = [](const Payment& payment) { return payment.order; };
    const auto joined = orders.key_by(id).connect(payments.key_by(order_id)).process(Join{});
    joined.collect(paid);
    const auto reported = orders.connect(payments).process(Report{});
    reported.collect(reports);

    const auto events = env.from_collection<Event>({{"me", "transfer", 10}, {"me", "deposit", 10}});
    const auto rules = env.from_collection<Rule>({{"transfer", 100}});
    const auto account = [](const Event& event) { return event.account; };
    const auto applied = events.key_by(account).connect(rules.broadcast()).process(Apply{});
    applied.collect(alerts);
    const auto marked = events.connect(rules.broadcast()).process(Exceeded{});
    marked.collect(exceeded);
  });
  CHECK(paid->values().empty());  // another order was paid
  auto told = reports->values();
  std::ranges::sort(told);
  CHECK(told == Lines{"12 has ordered", "order 13 is paid"});
  CHECK(alerts->values().empty());  // below the limit
  CHECK(exceeded->values().empty());
}

// api/stream_environment.hpp

TEST_CASE("the example of an environment puts a job together", "[api]") {
  StreamEnvironment env({"--input", "/logs", "--output", "/data/out"}, 1, "/home/job");
  env.set_parallelism(2);
  env.enable_checkpointing(std::chrono::seconds(10));
  const auto paths = env.parameters().all("input");
  env.read_text(paths, 1000)
      .filter([](const std::string& line) { return line.starts_with("ERROR"); })
      .write_files(env.parameters().required("output"),
                   [](const std::string& line) { return line; })
      .uid("errors");
  const auto plan = env.build();
  REQUIRE(plan);
  REQUIRE(plan->operators.size() == 3);
  CHECK(plan->describe().operators[0].parallelism == 2);
  CHECK(plan->describe().operators[2].uid == "errors");
  CHECK(env.settings().at("execution.checkpointing.interval") == "10000 ms");
}

// api/data_stream.hpp

TEST_CASE("the example of a stream builds and counts words", "[api]") {
  StreamEnvironment env({}, 1, "/home/job");
  env.read_text({"/data/in"})
      .filter([](const std::string& line) { return !line.empty(); })
      .map([](std::string line) { return Word{std::move(line), 1}; })
      .key_by([](const Word& word) { return word.text; })
      .reduce([](const Word& a, const Word& b) { return Word{a.text, a.count + b.count}; })
      .print();
  CHECK(env.build());

  const auto counts = collector<Word>();
  run_by_hand(
      [&](StreamEnvironment& job) {
        job.from_collection<std::string>({"a", "", "b", "a"})
            .filter([](const std::string& line) { return !line.empty(); })
            .rebalance()
            .map([](std::string line) { return Word{std::move(line), 1}; })
            .key_by([](const Word& word) { return word.text; })
            .reduce([](const Word& a, const Word& b) { return Word{a.text, a.count + b.count}; })
            .collect(counts);
      },
      3);
  long sum = 0;
  for (const Word& word : counts->values()) sum += word.count;
  CHECK(sum == 1 + 1 + 2);
}

TEST_CASE("the examples of a keyed stream and of a sink's names build", "[api]") {
  StreamEnvironment env({}, 1, "/home/job");
  const auto words = env.from_collection<std::string>({"a", "b", "a"});
  const auto counted = words.key_by([](const std::string& word) { return word; })
                           .map_with_state<long>([](const std::string& word, long& count) {
                             return Word{word, ++count};
                           })
                           .uid("counts");
  words.print().name("words").uid("print");
  const auto plan = env.build();
  REQUIRE(plan);
  CHECK(plan->describe().operators[1].uid == "counts");
  CHECK(plan->describe().operators[2].uid == "print");
  CHECK(plan->describe().operators[2].name == "words");
}

// connectors/ and runtime/operator.hpp

struct Countdown final : SourceOperator {
  Status open(OperatorContext& context) override {
    WEIR_TRY(require_one_subtask(context, "a countdown"));
    WEIR_TRY_ASSIGN(state, context.operator_state().list_state<long>("left"));
    state_ = state;
    if (!state_->get().empty()) left_ = state_->get().front();
    return {};
  }
  PollResult poll() override {
    if (left_ > 0) output_.collector().collect(left_--);
    return left_ > 0 ? PollResult::more : PollResult::end;
  }
  Status snapshot_state(const CheckpointBarrier&) override {
    state_->update({left_});
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }
  long left_ = 10;
  OperatorListState<long>* state_ = nullptr;
  Output<long> output_;
};

/// One that may be read by several subtasks, in time.
struct Ticks final : SourceOperator {
  Status open(OperatorContext& context) override {
    context_ = &context;
    WEIR_TRY_ASSIGN(begins, source_begins(context));
    if (begins) left_ = 3;
    return {};
  }
  PollResult poll() override {
    if (left_ == 0) return PollResult::end;
    const MonotonicTime now = context_->clock().now();
    const std::uint64_t allowed = pacer_.allowance(now, 1);
    if (allowed == 0) {
      context_->wake_at(pacer_.next_time(now));
      return PollResult::nothing_now;
    }
    pacer_.count(allowed);
    output_.collector().collect(left_--);
    return PollResult::more;
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }
  long left_ = 0;
  Pacer pacer_{std::nullopt};
  OperatorContext* context_ = nullptr;
  Output<long> output_;
};

TEST_CASE("the examples of sources and sinks do what they say", "[api]") {
  const auto kept = std::make_shared<Collected<std::string>>();
  const auto customers = collector<std::string>();
  const auto ticks = collector<long>();
  const auto counted = collector<long>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto words = env.from_collection<std::string>({"a", "b"});
    words.collect(kept);
    const auto generated =
        env.generate(6, [](std::uint64_t i) { return Order{i % 2 == 0 ? "ann" : "bob", 1.5}; });
    generated.map([](const Order& order) { return order.customer; }).collect(customers);
    env.add_source<long>("ticks", [] { return std::make_unique<Ticks>(); }).collect(ticks);
    env.add_source<long>("countdown", [] { return std::make_unique<Countdown>(); })
        .collect(counted);
  });
  CHECK(kept->values() == Lines{"a", "b"});
  CHECK(customers->values() == Lines{"ann", "bob", "ann", "bob", "ann", "bob"});
  CHECK(ticks->values() == std::vector<long>{3, 2, 1});
  CHECK(counted->values() == std::vector<long>{10, 9, 8, 7, 6, 5, 4, 3, 2, 1});
}

TEST_CASE("the examples of sinks that write outside build", "[api]") {
  StreamEnvironment env({}, 2, "/home/job");
  const auto orders = env.from_collection<Order>({{"ann", 1.5}, {"bob", 2}, {"ann", 3}});
  const auto line_of = [](const Order& order) {
    return order.customer + '\t' + std::to_string(order.amount);
  };
  orders.write_files("/data/out", line_of).uid("output");
  orders.print();  // {"customer":"ann","amount":1.5}
  env.add_source<long>("countdown", [] { return std::make_unique<Countdown>(); })
      .set_parallelism(1)
      .print();
  const auto plan = env.build();
  REQUIRE(plan);
  CHECK(plan->describe().operators.back().parallelism == 2);
  CHECK(line_of({"ann", 1.5}).starts_with("ann\t1.5"));
}

// api/parameters.hpp

TEST_CASE("the example of parameters reads them", "[api]") {
  StreamEnvironment env({"--input", "/a", "--rate", "5"}, 1, "/home/job");
  const auto input = env.parameters().all("input");
  const auto rate = env.parameters().number("rate", 0);
  CHECK(input == Lines{"/a"});
  CHECK(rate == 5);
}

}  // namespace
}  // namespace weir::test

// api/job.hpp

namespace {
void split(std::string line, weir::Collector<std::string>& out) {
  for (std::size_t begin = 0; begin < line.size();) {
    const std::size_t end = std::min(line.find(' ', begin), line.size());
    if (end > begin) out.collect(line.substr(begin, end - begin));
    begin = end + 1;
  }
}
using weir::test::Word;
}  // namespace

WEIR_JOB(word_count) {
  const auto input = env.parameters().all("input");
  env.read_text(input)
      .flat_map<std::string>(split)
      .key_by([](const std::string& word) { return word; })
      .map_with_state<long>(
          [](const std::string& word, long& count) { return Word{word, ++count}; })
      .print();
}

TEST_CASE("WEIR_JOB exports what a job library is recognised by", "[api]") {
  CHECK(std::string(weir_job_descriptor.magic) == "WEIRJOB");
  CHECK(weir_job_descriptor.abi_version == weir::job_abi_version);
  CHECK(std::string(weir_job_descriptor.name) == "word_count");
  weir::StreamEnvironment env({"--input", "/data"}, 2, "/home/job");
  weir_job_descriptor.entry(env);
  const auto plan = env.build();
  REQUIRE(plan);
  CHECK(plan->operators.size() == 4);
}
