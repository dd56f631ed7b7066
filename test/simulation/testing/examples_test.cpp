// The examples of the headers that tests of jobs include, compiled.
#include <cstdint>
#include <cstdlib>
#include <string>

#include <catch2/catch.hpp>

#include <weir/testing.hpp>

namespace {

using namespace weir;
using namespace weir::testing;

struct Order {
  std::string customer;
  std::int64_t cents = 0;
};
WEIR_FIELDS(Order, customer, cents)

struct Totals final : KeyedProcessFunction<std::string, Order, std::int64_t> {
  void open(RuntimeContext& context) override {
    sum_ = context.state(ValueStateDescriptor<std::int64_t>{"sum"});
  }
  void process_element(const Order& order, Context&, Collector<std::int64_t>& out) override {
    out.collect(sum_.mutable_value() += order.cents);
  }
  ValueState<std::int64_t> sum_;
};

}  // namespace

// This file has the job of its program.
WEIR_JOB(word_count) {
  env.read_text(env.parameters().all("input"))
      .uid("lines")
      .key_by([](const std::string& line) { return line; })
      .map_with_state<std::int64_t>([](const std::string& line, std::int64_t& count) {
        return std::to_string(++count) + line;
      })
      .uid("count")
      .print()
      .uid("print");
}

// simulation/testing/fault_sets.hpp

TEST_CASE("the example of sets of faults joins them", "[simulation]") {
  auto faults = crashes() | network_faults() | fault(FaultClass::rescale);
  faults.disturbances = 5;
  CHECK(faults.of(FaultClass::pause) == 0.5);
  CHECK(faults.of(FaultClass::rescale) == 1);
}

// simulation/testing/simulation.hpp

TEST_CASE("the example of a simulation is one, of the job of this program", "[simulation]") {
  ::setenv("WEIR_SEED", "3", 1);
  std::string text;
  try {
    simulate(word_count)
        .arguments({"--input", "words.txt"})
        .seeds(1, 500)
        .with_faults(crashes() | storage_faults())
        .expect_exactly_once();
  } catch (const BadUse& missing) {
    text = missing.what();
  }
  ::unsetenv("WEIR_SEED");
  CHECK_THAT(text, Catch::Matchers::StartsWith("simulate(word_count): ") &&
                       Catch::Matchers::Contains("words.txt"));
}

// simulation/testing/operator_harness.hpp

TEST_CASE("the example of a harness runs a function", "[simulation]") {
  auto totals =
      operator_harness([](const DataStream<Order>& orders) {
        return orders.key_by([](const Order& order) { return order.customer; }).process(Totals{});
      }).on("rocksdb");
  totals.push({"ann", 7}, 1000);
  totals.advance_watermark(5000);
  const std::string sum = totals.state("sum", "ann");
  totals.end_input();
  const auto output = totals.take_output();
  CHECK(sum == "7");
  CHECK(output == std::vector<std::int64_t>{7});
}

TEST_CASE("the example of a comparison with restored operators passes", "[simulation]") {
  expect_same_when_restored(
      [](const DataStream<Order>& orders) {
        return orders.key_by([](const Order& order) { return order.customer; }).process(Totals{});
      },
      [](auto& totals) {
        totals.push({"ann", 7}, 1000);
        totals.push({"ann", 8}, 2000);
        totals.end_input();
      });
}
