// The examples in the comments of the public headers, as they stand there.

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
  const auto counts = collector<long>();
  const auto totals = collector<Total>();
  const auto quiet = collector<std::string>();
  const auto paid = collector<Paid>();
  const auto alerts = collector<Alert>();
  const auto numbered = collector<std::string>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto words = env.from_collection<std::string>({"a", "b", "a"});
    words.map(AddPrefix{}).collect(prefixed);
    words.key_by([](const std::string& word) { return word; }).flat_map(Count{}).collect(counts);
    words.map(LineNumber{}).collect(numbered);
    env.from_collection<Order>({{"x", 1.5}, {"y", 2}, {"x", 3}})
        .key_by([](const Order& order) { return order.customer; })
        .process(Totals{})
        .collect(totals);
    env.from_collection<Order>({{"x", 1}, {"y", 2}, {"x", 3}})
        .assign_timestamps_and_watermarks(
            {}, [](const Order& order) { return static_cast<EventTime>(order.amount); })
        .key_by([](const Order& order) { return order.customer; })
        .process(Quiet{})
        .collect(quiet);
    env.from_collection<Order>({{"12", 10}})
        .key_by([](const Order& order) { return std::stol(order.customer); })
        .connect(env.from_collection<Payment>({{13, 10}}).key_by([](const Payment& payment) {
          return payment.order;
        }))
        .process(Join{})
        .collect(paid);
    env.from_collection<Event>({{"me", "transfer", 10}, {"me", "deposit", 10}})
        .key_by([](const Event& event) { return event.account; })
        .connect(env.from_collection<Rule>({{"transfer", 100}}).broadcast())
        .process(Apply{})
        .collect(alerts);
  });
  CHECK(prefixed->values() == Lines{"0: a", "0: b", "0: a"});
  CHECK(counts->values() == std::vector<long>{1, 1, 2});
  CHECK(numbered->values() == Lines{"1 a", "2 b", "3 a"});
  auto sums = totals->values();
  std::ranges::sort(sums, {}, &Total::customer);
  CHECK(sums == std::vector<Total>{{"x", 4.5}, {"y", 2}});
  auto silences = quiet->values();
  std::ranges::sort(silences);
  CHECK(silences == Lines{"x ordered nothing for an hour", "y ordered nothing for an hour"});
  CHECK(paid->values().empty());    // another order was paid
  CHECK(alerts->values().empty());  // below the limit
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

// api/parameters.hpp

TEST_CASE("the example of parameters reads them", "[api]") {
  StreamEnvironment env({"--input", "/a", "--rate", "5"}, 1, "/home/job");
  const auto input = env.parameters().all("input");
  const auto rate = env.parameters().number("rate", 0);
  CHECK(input == Lines{"/a"});
  CHECK(rate == 5);
}

// runtime/runtime_context.hpp and state/keyed_state.hpp, which functions see

struct Contextual final : RichFlatMapFunction<std::string, long> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
  }
  void flat_map(const std::string&, Collector<long>& out) override {
    long& count = count_.mutable_value();  // 0 for a new key
    ++count;
    out.collect(count);
  }
  ValueState<long> count_;
};

// state/descriptors.hpp

struct Average final : AggregateFunction<double, std::pair<double, long>, double> {
  std::pair<double, long> create_accumulator() const override { return {0, 0}; }
  void add(const double& value, std::pair<double, long>& sum) const override {
    sum.first += value;
    ++sum.second;
  }
  double get_result(const std::pair<double, long>& sum) const override {
    return sum.first / static_cast<double>(sum.second);
  }
  void merge(const std::pair<double, long>& other, std::pair<double, long>& sum) const override {
    sum.first += other.first;
    sum.second += other.second;
  }
};

struct Averages final : RichFlatMapFunction<Order, Total> {
  void open(RuntimeContext& context) override {
    average_ = context.aggregating_state(
        AggregatingStateDescriptor<double, std::pair<double, long>, double>{
            "average", std::make_shared<Average>()});
  }
  void flat_map(const Order& order, Collector<Total>& out) override {
    average_.add(order.amount);
    out.collect({order.customer, *average_.get()});
  }
  AggregatingState<double, std::pair<double, long>, double> average_;
};

TEST_CASE("the example of an aggregating state averages", "[api]") {
  const auto averages = collector<Total>();
  run_by_hand([&](StreamEnvironment& env) {
    env.from_collection<Order>({{"x", 1}, {"x", 4}})
        .key_by([](const Order& order) { return order.customer; })
        .flat_map(Averages{})
        .collect(averages);
  });
  CHECK(averages->values() == std::vector<Total>{{"x", 1}, {"x", 2.5}});
}

TEST_CASE("the example of a runtime context counts", "[api]") {
  const auto counts = collector<long>();
  run_by_hand([&](StreamEnvironment& env) {
    env.from_collection<std::string>({"a", "a"})
        .key_by([](const std::string& word) { return word; })
        .flat_map(Contextual{})
        .collect(counts);
  });
  CHECK(counts->values() == std::vector<long>{1, 2});
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
}  // namespace

WEIR_JOB(word_count) {
  const auto input = env.parameters().all("input");
  env.read_text(input)
      .flat_map<std::string>(split)
      .key_by([](const std::string& word) { return word; })
      .map_with_state<long>(
          [](const std::string& word, long& count) { return weir::test::Word{word, ++count}; })
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
