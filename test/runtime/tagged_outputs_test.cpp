#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "runtime/stream_task.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

/// Emits even numbers at one output and the text of odd ones at another, and has no main output. What it
/// says before a barrier and at the end of its input goes to both.
class Split final : public Operator {
 public:
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    const auto& batch = static_cast<Batch<long>&>(any);
    while (cursor.next < cursor.limit && !even_.full() && !odd_.full()) {
      const long value = batch.values[cursor.next++];
      if (value % 2 == 0)
        even_.collector().collect(value);
      else
        odd_.collector().collect(std::to_string(value));
    }
  }
  Progress before_barrier(const CheckpointBarrier& barrier) override {
    even_.collector().collect(-static_cast<long>(barrier.id.value));
    odd_.collector().collect("before " + std::to_string(barrier.id.value));
    return Progress::done;
  }
  Progress on_end(std::uint32_t) override {
    even_.collector().collect(-1000);
    odd_.collector().collect("last");
    return Progress::done;
  }
  std::vector<TaggedOutput> outputs() override { return {{"even", &even_}, {"odd", &odd_}}; }

 private:
  Output<long> even_;
  Output<std::string> odd_;
};

/// A plan whose vertex 1 is a `Split` behind an exchange. Its output `even` goes to the chained probe
/// "tail" and to a task of its own, its output `odd_tag` to another.
std::shared_ptr<const Plan> split_plan(std::shared_ptr<Script> tail, const std::string& odd_tag) {
  PlanBuilder builder("/home/job");
  const auto source = builder.add_operator(
      {.name = "source",
       .make = [] { return std::make_unique<ProbeSource>(std::make_shared<Script>()); },
       .source = true});
  const auto split =
      builder.add_operator({.name = "split", .make = [] { return std::make_unique<Split>(); }});
  Upstream exchange = output_of<long>(source);
  exchange.partitioning = Partitioning::rebalance;
  exchange.make_writer = exchange.make_rebalance;
  builder.connect({exchange}, split, 0, schema_of<long>(),
                  [] { return std::make_unique<Batch<long>>(); });
  const DataStream<long> even(&builder, {output_of<long>(split, "even")});
  const DataStream<std::string> odd(&builder, {output_of<std::string>(split, odd_tag)});
  drop(probe(even, "tail", std::move(tail)));
  odd.rebalance().collect(std::make_shared<Collected<std::string>>());
  drop(even);
  auto plan = builder.build(1, std::nullopt);
  if (!plan) FAIL(plan.error().what);
  return std::make_shared<const Plan>(std::move(*plan));
}

TEST_CASE("records and events of tagged outputs go to what each is connected to, in order",
          "[runtime]") {
  TaskWorld world;
  const auto tail = std::make_shared<Script>();
  tail->on_record = [](long value, Collector<long>& out) { out.collect(10 * value); };
  TaskUnderTest test(world, split_plan(tail, "odd"), 1);
  REQUIRE(test.run() != StepResult::finished);
  REQUIRE(test.outputs.size() == 3);
  // Several slices and batches.
  constexpr long count = 2000;
  std::vector<long> values(count);
  std::iota(values.begin(), values.end(), 0);
  Lines chained;
  Lines odd;
  Lines exchanged;
  for (const long value : values) {
    if (value % 2 != 0) {
      odd.push_back(std::to_string(value));
      continue;
    }
    chained.push_back(std::to_string(10 * value));
    exchanged.push_back(std::to_string(value));
  }
  const auto expect = [&](const std::string& line) {
    for (Lines* lines : {&chained, &odd, &exchanged}) lines->push_back(line);
  };
  const auto check = [&] {
    CHECK(take<long>(*test.outputs[0]) == chained);
    CHECK(take<std::string>(*test.outputs[1]) == odd);
    CHECK(take<long>(*test.outputs[2]) == exchanged);
    for (Lines* lines : {&chained, &odd, &exchanged}) lines->clear();
  };

  give<long>(*test.inputs[0], values);
  test.inputs[0]->push(barrier_of(7));
  (void)test.settle();
  chained.push_back("-70");
  odd.push_back("before 7");
  exchanged.push_back("-7");
  expect("barrier 7");
  check();
  CHECK(tail->log == Lines{"tail open", "tail before_barrier 7", "tail snapshot_state 7"});
  world.io.run_all();
  CHECK(test.listener->last() == "acknowledge 7");

  give<long>(*test.inputs[0], {4, 5});
  test.inputs[0]->push(Watermark{3});
  give<long>(*test.inputs[0], {6});
  test.inputs[0]->push(Watermark{Watermark::max_time});
  test.inputs[0]->push(EndOfInput{});
  (void)test.settle();
  chained = {"40"};
  odd = {"5"};
  exchanged = {"4"};
  expect("watermark 3");
  chained.push_back("60");
  exchanged.push_back("6");
  expect("watermark max");
  chained.push_back("-10000");
  odd.push_back("last");
  exchanged.push_back("-1000");
  expect("end of input");
  check();
  CHECK(tail->log.back() == "tail end 0");
  CHECK(std::ranges::count(tail->log, "tail end 0") == 1);
  CHECK(test.listener->last() == "finishing");
}

TEST_CASE("a task does not start if an output that is connected is not there", "[runtime]") {
  TaskWorld world;
  TaskUnderTest test(world, split_plan(std::make_shared<Script>(), "od"), 1);
  CHECK(test.run() == StepResult::finished);
  CHECK(test.listener->last() == "failed");
  CHECK_THAT(test.listener->failure.what, Catch::Contains("there is no output 'od'"));
}

}  // namespace
}  // namespace weir::test
