#include <numeric>

#include "runtime/stream_task.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

/// A task with two input channels that sums up all records and emits the sum at the end of its input.
struct Summing {
  explicit Summing(std::optional<TaskRestore> restore = std::nullopt) {
    script->open = [this](OperatorContext& context) -> Status {
      WEIR_TRY_ASSIGN(state, context.operator_state().list_state<long>("sum"));
      sum = state;
      if (sum->get().empty()) sum->add(0);
      return {};
    };
    script->on_record = [this](long value, Collector<long>&) {
      sum->update({sum->get().front() + value});
    };
    script->on_end = [this](Collector<long>& out) {
      out.collect(sum->get().front());
      return Progress::done;
    };
    test.emplace(world, task_plan(script, std::make_shared<Script>(), 2), 1, 0, std::move(restore));
    (void)test->run();
  }
  void push(std::size_t channel, auto element) {
    test->inputs[channel]->push(std::move(element));
    (void)test->settle();
  }
  void give_one(std::size_t channel, long value) {
    give<long>(*test->inputs[channel], {value});
    (void)test->settle();
  }
  Lines output() { return take<long>(*test->outputs[0]); }

  TaskWorld world;
  std::shared_ptr<Script> script = std::make_shared<Script>();
  OperatorListState<long>* sum = nullptr;
  std::optional<TaskUnderTest> test;
};

/// The sum of a run that is restored from its checkpoint and reads on behind the barriers.
Lines sum_after_failure(Alignment alignment) {
  TaskSnapshot snapshot;
  {
    Summing before;
    before.give_one(0, 1);
    before.push(0, barrier_of(1, alignment));
    before.give_one(0, 2);  // behind the barrier of its channel, before that of the other
    before.give_one(1, 10);
    before.push(1, barrier_of(1, alignment));
    before.give_one(1, 20);
    CHECK(before.sum->get().front() == 33);
    before.world.io.run_all();
    REQUIRE(before.test->listener->last() == "acknowledge 1");
    snapshot = before.test->listener->snapshots.at({1});
  }
  Summing after(restore_of(snapshot));
  after.give_one(0, 2);
  after.give_one(1, 20);
  for (std::size_t channel : {0, 1}) {
    after.push(channel, Watermark{Watermark::max_time});
    after.push(channel, EndOfInput{});
  }
  return after.output();
}

TEST_CASE("after a failure at-least-once counts a record twice and exactly-once does not",
          "[runtime]") {
  CHECK(sum_after_failure(Alignment::exactly_once) == Lines{"watermark max", "33", "end of input"});
  CHECK(sum_after_failure(Alignment::at_least_once) ==
        Lines{"watermark max", "35", "end of input"});
}

TEST_CASE("a cancel marker goes on downstream and declines the checkpoint", "[runtime]") {
  Summing s;
  s.push(0, barrier_of(1));
  s.give_one(0, 5);
  CHECK(s.sum->get().front() == 0);  // blocked
  s.push(1, CancelCheckpointMarker{{1}});
  CHECK(s.output() == Lines{"cancel 1"});
  CHECK(s.test->listener->last() == "decline 1 on_cancellation_barrier");
  CHECK(s.sum->get().front() == 5);
}

TEST_CASE("a barrier that overtakes another on one channel declines the older", "[runtime]") {
  Summing s;
  s.push(0, barrier_of(1));
  s.push(1, barrier_of(2));
  CHECK(s.test->listener->last() == "decline 1 subsumed");
  CHECK(s.output() == Lines{"cancel 1"});
  s.push(0, barrier_of(2));
  CHECK(s.output() == Lines{"barrier 2"});
}

TEST_CASE("an abort lets the blocked channels go, and the coordinator is not told what it knows",
          "[runtime]") {
  Summing s;
  s.push(0, barrier_of(1));
  s.give_one(0, 5);
  s.test->task->notify_checkpoint_aborted({1});
  (void)s.test->settle();
  CHECK(s.sum->get().front() == 5);
  CHECK(s.output() == Lines{"cancel 1"});
  CHECK(s.test->listener->last() == "running");
  CHECK(s.script->log.back() == "head aborted 1");
}

TEST_CASE("an abort of a newer checkpoint does not overtake the barrier of an older", "[runtime]") {
  Summing s;
  s.push(0, barrier_of(1, Alignment::at_least_once));
  s.push(0, barrier_of(2, Alignment::at_least_once));
  s.test->inputs[1]->push(barrier_of(1, Alignment::at_least_once));
  (void)s.test->task->step();  // aligned, not yet performed
  s.test->task->notify_checkpoint_aborted({2});
  (void)s.test->settle();
  CHECK(s.output() == Lines{"barrier 1", "cancel 2"});
}

TEST_CASE("the watermark of a task is the least of its channels and, at the end, the largest",
          "[runtime]") {
  Summing s;
  s.push(0, Watermark{5});
  CHECK(s.output().empty());
  s.push(1, Watermark{3});
  CHECK(s.output() == Lines{"watermark 3"});
  s.push(1, Watermark{9});
  CHECK(s.output() == Lines{"watermark 5"});
  s.push(0, EndOfInput{});
  CHECK(s.output() == Lines{"watermark 9"});
  s.push(0, barrier_of(1));
  s.push(1, barrier_of(1));  // barriers follow an end of input
  CHECK(s.output() == Lines{"barrier 1"});
  s.push(1, EndOfInput{});
  CHECK(s.output() == Lines{"0", "end of input"});
  CHECK(s.test->listener->last() == "finishing");
}

TEST_CASE("a watermark comes behind the records before it and before those behind it",
          "[runtime]") {
  Summing s;
  s.script->on_record = {};
  for (std::size_t channel : {0, 1}) {
    auto& input = *s.test->inputs[channel];
    give<long>(input, {1, 2});
    input.push(Watermark{7});
    give<long>(input, {3});
  }
  (void)s.test->settle();
  const Lines output = s.output();
  REQUIRE(output.size() == 7);
  CHECK(std::ranges::find(output, "watermark 7") - output.begin() >= 4);
}

TEST_CASE("the end of a partition counts as its barrier", "[runtime]") {
  Summing s;
  s.push(0, barrier_of(1));
  CHECK(s.output().empty());
  s.push(1, EndOfInput{});
  s.push(1, EndOfPartition{});
  CHECK(s.output() == Lines{"barrier 1"});
  s.push(0, barrier_of(2));
  CHECK(s.output() == Lines{"barrier 2"});
  s.world.io.run_all();
  CHECK(s.test->listener->last() == "acknowledge 2");
}

TEST_CASE("a union ends when all of its streams have ended", "[runtime]") {
  TaskWorld world;
  auto script = std::make_shared<Script>();
  const auto plan = plan_of([&](StreamEnvironment& env) {
    const auto a = probe_source(env, std::make_shared<Script>());
    const auto b = probe_source(env, std::make_shared<Script>());
    drop(probe(a.union_with(b), "op", script));
  });
  TaskUnderTest test(world, plan, 2);
  REQUIRE(test.inputs.size() == 2);
  (void)test.run();
  give<long>(*test.inputs[0], {1});
  give<long>(*test.inputs[1], {2});
  test.inputs[0]->push(Watermark{4});
  test.inputs[0]->push(EndOfInput{});
  (void)test.settle();
  CHECK(script->log == Lines{"op open"});
  test.inputs[1]->push(Watermark{3});
  test.inputs[1]->push(EndOfInput{});
  (void)test.settle();
  CHECK(script->log == Lines{"op open", "op end 0"});
  Lines output = take<long>(*test.outputs[0]);
  std::ranges::sort(output);
  CHECK(output == Lines{"1", "2", "end of input", "watermark 3", "watermark 4"});
}

TEST_CASE("an operator with two inputs hears of each and passes on what holds for both",
          "[runtime]") {
  TaskWorld world;
  auto script = std::make_shared<Script>();
  Plan plan;
  const auto add = [&](const std::string& uid, bool source) {
    PlanOperator op;
    op.description.uid = op.description.name = uid;
    op.description.source = source;
    op.make = [=] { return std::make_unique<Probe>(uid, script); };
    plan.operators.push_back(std::move(op));
  };
  add("left", true);
  add("right", true);
  add("join", false);
  add("drop", false);
  for (std::uint32_t i : {0, 1, 2}) {
    PlanEdge edge;
    edge.description = {i, "", i == 2 ? 3U : 2U, i == 1 ? 1U : 0U, Partitioning::rebalance, {}};
    edge.make_writer = rebalance_writer<long>();
    plan.edges.push_back(std::move(edge));
  }
  TaskUnderTest test(world, std::make_shared<Plan>(std::move(plan)), 2);
  REQUIRE(test.inputs.size() == 2);
  (void)test.run();
  const auto push = [&](std::size_t channel, auto element) {
    test.inputs[channel]->push(element);
    (void)test.settle();
    return take<long>(*test.outputs[0]);
  };
  CHECK(push(0, Watermark{5}).empty());
  CHECK(push(1, Watermark{3}) == Lines{"watermark 3"});
  CHECK(script->watermark_inputs == std::vector<std::uint32_t>{0, 1});
  CHECK(push(1, EndOfInput{}) == Lines{"watermark 5"});
  CHECK(script->log.back() == "join end 1");
  CHECK(push(0, Watermark{Watermark::max_time}) == Lines{"watermark max"});
  CHECK(push(0, EndOfInput{}) == Lines{"end of input"});
  CHECK(script->log.back() == "join end 0");
  CHECK(test.listener->last() == "finishing");
}

TEST_CASE("a task takes from its channels in turn", "[runtime]") {
  TaskWorld world;
  auto script = std::make_shared<Script>();
  TaskUnderTest test(world, task_plan(script, std::make_shared<Script>(), 3), 1);
  (void)test.run();
  for (long round = 0; round < 2; ++round)
    for (long channel = 0; channel < 3; ++channel)
      give<long>(*test.inputs[channel], {10 * round + channel});
  (void)test.settle();
  CHECK(take<long>(*test.outputs[0]) == Lines{"0", "1", "2", "10", "11", "12"});
}

}  // namespace
}  // namespace weir::test
