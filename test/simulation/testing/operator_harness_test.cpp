#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <weir/testing.hpp>

namespace weir::test {
namespace {

using namespace weir::testing;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Lines = std::vector<std::string>;

struct Order {
  std::string customer;
  std::int64_t cents = 0;
};
WEIR_FIELDS(Order, customer, cents)

struct Payment {
  std::string customer;
};
WEIR_FIELDS(Payment, customer)

const auto by_customer = [](const Order& order) { return order.customer; };

/// Sums up; tells an hour after the last order, and at the end of the input.
struct Totals final : KeyedProcessFunction<std::string, Order, std::string> {
  void open(RuntimeContext& context) override {
    sum_ = context.state(ValueStateDescriptor<std::int64_t>{"sum"});
    if (forgetful) sum_by_mistake_ = 0;
  }
  void process_element(const Order& order, Context& context, Collector<std::string>& out) override {
    if (order.cents < 0) throw std::runtime_error("an order of less than nothing");
    sum_.mutable_value() += order.cents;
    sum_by_mistake_ += order.cents;
    context.timer_service().register_event_time_timer(context.timestamp() + 3'600'000);
    out.collect(order.customer + " " + std::to_string(forgetful ? sum_by_mistake_ : *sum_.value()));
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    out.collect(context.current_key() + " at " + std::to_string(time));
  }
  void on_end_of_input(const std::string& customer, Context&, Collector<std::string>& out) {
    out.collect("in all " + customer + " " + std::to_string(*sum_.value()));
  }
  bool forgetful = false;
  std::int64_t sum_by_mistake_ = 0;
  ValueState<std::int64_t> sum_;
};

const auto totals = [](const DataStream<Order>& orders) {
  return orders.key_by(by_customer).process(Totals{}).uid("totals");
};
const auto forgetful_totals = [](const DataStream<Order>& orders) {
  Totals function;
  function.forgetful = true;
  return orders.key_by(by_customer).process(function).uid("totals");
};

template <class E>
std::string thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& failed) {
    return failed.what();
  }
  return "nothing is thrown";
}

/// What `Totals` gives of some records, watermarks and the end of the input.
Lines run_totals(OperatorHarness<std::string, Order>& harness) {
  harness.push({"ann", 3}, 1000);
  harness.push({"bob", 4}, 2000);
  harness.push({"ann", 5}, 3000);
  harness.advance_watermark(3'601'000);
  harness.push({"bob", 6}, 3'700'000);
  harness.end_input();
  return harness.take_output();
}
const Lines told{"ann 3",        "bob 4",          "ann 8",          "ann at 3601000",
                 "bob 10",       "bob at 3602000", "ann at 3603000", "bob at 7300000",
                 "in all ann 8", "in all bob 10"};

/// In the order of keys at the end, which is that of their hashes.
Lines with_sorted_end(Lines lines) {
  if (lines.size() >= 2) std::sort(lines.end() - 2, lines.end());
  return lines;
}

struct Alarm final : KeyedProcessFunction<std::string, Order, std::string> {
  void process_element(const Order& order, Context& context, Collector<std::string>&) override {
    auto& timers = context.timer_service();
    timers.register_processing_time_timer(timers.current_processing_time() + order.cents);
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    out.collect(context.current_key() + " at " + std::to_string(time));
    if (time == 300) context.timer_service().register_processing_time_timer(350);
  }
};

struct Pay final : KeyedCoProcessFunction<std::string, Order, Payment, std::string> {
  void open(RuntimeContext& context) override {
    open_ = context.list_state(ListStateDescriptor<std::int64_t>{"open"});
  }
  void process_element1(const Order& order, Context&, Collector<std::string>&) override {
    open_.add(order.cents);
  }
  void process_element2(const Payment& payment, Context&, Collector<std::string>& out) override {
    for (const std::int64_t cents : open_.get())
      out.collect(payment.customer + " pays " + std::to_string(cents));
    open_.clear();
  }
  ListState<std::int64_t> open_;
};

struct Number final : RichMapFunction<std::string, std::string>, Checkpointed<std::int64_t> {
  std::string map(const std::string& line) override {
    return std::to_string(++count_) + " " + line;
  }
  std::int64_t snapshot_state() override { return count_; }
  void restore_state(const std::int64_t& count) override { count_ += count; }
  std::int64_t count_ = 0;
};

}  // namespace

TEST_CASE("a function gives the same on every backend, also restored after every record",
          "[simulation]") {
  for (const std::string backend : {"memory", "filesystem", "rocksdb"}) {
    INFO(backend);
    auto plain = operator_harness(totals).on(backend);
    CHECK(with_sorted_end(run_totals(plain)) == told);
    auto restored = operator_harness(totals).on(backend).restoring_after_every_record();
    CHECK(with_sorted_end(run_totals(restored)) == told);
  }
}

TEST_CASE("what is kept in a member shows when it is restored after every record", "[simulation]") {
  auto plain = operator_harness(forgetful_totals);
  plain.push({"ann", 3});
  plain.push({"ann", 5});
  CHECK(plain.take_output() == Lines{"ann 3", "ann 8"});
  auto restored = operator_harness(forgetful_totals).restoring_after_every_record();
  restored.push({"ann", 3});
  restored.push({"ann", 5});
  CHECK(restored.take_output() == Lines{"ann 3", "ann 5"});
  const auto script = [](auto& harness) {
    harness.push({"ann", 3}, 1000);
    harness.push({"ann", 5}, 2000);
  };
  CHECK_NOTHROW(expect_same_when_restored(totals, script));
  const std::string text =
      thrown<Failure>([&] { expect_same_when_restored(forgetful_totals, script); });
  CHECK_THAT(text,
             Contains("record 2 of the output is ann 5") && Contains("and without that ann 8"));
  CHECK_THAT(text, Contains("in a member"));
}

TEST_CASE("state is there to be looked at", "[simulation]") {
  for (const std::string backend : {"memory", "rocksdb"}) {
    auto harness = operator_harness(totals).on(backend);
    harness.push({"ann", 3}, 1000);
    harness.push({"bob", 4}, 2000);
    CHECK(harness.state("sum", "ann") == "3");
    CHECK(harness.state("sum", "eve").empty());
    CHECK(harness.state("sum") == R"({"ann":3,"bob":4})");
    CHECK(harness.state("event-time timers", "bob") == "[3602000]");
    CHECK(thrown<BadUse>([&] { (void)harness.state("some"); }) ==
          "state 'some': the operator has none of this name; it has 'event-time timers', "
          "'processing-time timers', 'sum'");
  }
}

TEST_CASE("a snapshot is restored as often as one likes, on another backend and parallelism",
          "[simulation]") {
  auto first = operator_harness(totals);
  first.push({"ann", 3}, 1000);
  first.push({"bob", 4}, 1000);
  const HarnessSnapshot snapshot = first.snapshot();
  first.push({"ann", 100}, 1000);
  first.restore(snapshot);
  (void)first.take_output();
  first.push({"ann", 5}, 1000);
  CHECK(first.take_output() == Lines{"ann 8"});
  for (const std::string backend : {"filesystem", "rocksdb"}) {
    auto other = operator_harness(totals).on(backend).parallelism(3);
    other.restore(snapshot);
    other.push({"bob", 5}, 1000);
    other.push({"ann", 1}, 1000);
    CHECK(other.take_output() == Lines{"bob 9", "ann 4"});
  }
}

TEST_CASE("timers that go by the clock fire when it is advanced, in their order", "[simulation]") {
  const auto alarms = [](const DataStream<Order>& orders) {
    return orders.key_by(by_customer).process(Alarm{}).uid("alarms");
  };
  for (const bool restoring : {false, true}) {
    auto harness = operator_harness(alarms);
    if (restoring) harness = std::move(harness).restoring_after_every_record();
    harness.push({"ann", 500});
    harness.push({"bob", 300});
    harness.advance_processing_time(299ms);
    CHECK(harness.take_output().empty());
    harness.advance_processing_time(1ms);
    CHECK(harness.take_output() == Lines{"bob at 300"});
    harness.advance_processing_time(1h);
    CHECK(harness.take_output() == Lines{"bob at 350", "ann at 500"});
    CHECK(harness.processing_time() == 3'600'300);
  }
}

TEST_CASE("two inputs share the state of a key, and watermarks are those of both", "[simulation]") {
  auto harness =
      operator_harness([](const DataStream<Order>& orders, const DataStream<Payment>& payments) {
        return orders.key_by(by_customer)
            .connect(payments.key_by([](const Payment& one) { return one.customer; }))
            .process(Pay{})
            .uid("pay");
      }).restoring_after_every_record();
  harness.push1({"ann", 3}, 10);
  harness.push1({"ann", 4}, 20);
  harness.push1({"bob", 5}, 20);
  harness.push2({"ann"}, 30);
  harness.push2({"ann"}, 40);
  const std::vector<Emitted<std::string>> expected{{"ann pays 3", 30}, {"ann pays 4", 30}};
  CHECK(harness.take_timed_output() == expected);
  CHECK(harness.state("open") == R"({"bob":[5]})");
  harness.advance_watermark_of(0, 50);
  CHECK(harness.output_watermark() == no_event_time);
  harness.advance_watermark_of(1, 45);
  CHECK(harness.output_watermark() == 45);
  harness.advance_watermark(60);
  CHECK(harness.output_watermark() == 60);
}

TEST_CASE("functions without key, lambdas, and several behind each other", "[simulation]") {
  auto numbers = operator_harness([](const DataStream<std::string>& lines) {
                   return lines.map(Number{}).uid("numbers").filter(
                       [](const std::string& line) { return !line.ends_with("skip"); });
                 }).restoring_after_every_record();
  numbers.push("a");
  numbers.push("skip");
  numbers.push("b");
  CHECK(numbers.take_output() == Lines{"1 a", "3 b"});
  auto words = operator_harness([](const DataStream<std::string>& lines) {
                 return lines.map([](std::string line) { return line + "!"; })
                     .key_by([](const std::string& line) { return line; })
                     .map_with_state<std::int64_t>([](const std::string& line, std::int64_t& n) {
                       return line + std::to_string(++n);
                     })
                     .uid("counts");
               }).restoring_after_every_record();
  for (const char* word : {"a", "b", "a"}) words.push(word);
  CHECK(words.take_output() == Lines{"a!1", "b!1", "a!2"});
}

TEST_CASE("a function that throws fails the test with its operator and its text", "[simulation]") {
  auto harness = operator_harness(totals);
  CHECK_THAT(thrown<Failure>([&] { harness.push({"ann", -1}, 1000); }),
             Contains("operator 'totals'") && Contains("an order of less than nothing"));
}

TEST_CASE("a harness tells in one sentence what it cannot do", "[simulation]") {
  const auto refused = [](const std::function<void()>& call, const std::string& what) {
    const std::string text = thrown<BadUse>(call);
    INFO(text);
    CHECK_THAT(text, Contains(what));
    CHECK(text.find('\n') == std::string::npos);
  };
  refused([] { (void)operator_harness(totals).on("floppy"); }, "state.backend");
  refused([] { (void)operator_harness(totals).parallelism(0); }, "parallelism.default");
  refused(
      [] { operator_harness([](const DataStream<Order>& orders) { return orders; }).end_input(); },
      "there is no operator between the input and the output");
  refused(
      [] {
        operator_harness([](const DataStream<Order>&) -> DataStream<Order> {
          throw std::runtime_error("no such table");
        }).end_input();
      },
      "the function that puts the streams together threw: no such table");
  auto harness = operator_harness(totals);
  harness.advance_watermark(1000);
  refused([&] { harness.advance_watermark(999); }, "does not go back");
  refused([&] { harness.advance_watermark_of(1, 2000); }, "counted from 0");
  refused([&] { harness.advance_processing_time(-1ms); }, "does not go back");
  refused([&] { (void)std::move(harness).on("rocksdb"); }, "runs already");
  harness.end_input();
  refused([&] { harness.push({"ann", 1}); }, "behind end_input()");
  refused([&] { harness.end_input(); }, "was called before");
  refused([&] { (void)harness.snapshot(); }, "before end_input()");
  auto other = operator_harness(
      [](const DataStream<std::string>& lines) { return lines.map(Number{}).uid("numbers"); });
  auto whole = operator_harness(totals);
  whole.push({"ann", 1}, 1000);
  refused([&] { other.restore(whole.snapshot()); }, "the snapshot does not fit");
}

}  // namespace weir::test
