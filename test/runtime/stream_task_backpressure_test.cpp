#include "runtime/stream_task.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

constexpr long yield = 1000;
constexpr std::size_t bound_bytes = 64 * 1024;
/// What one slice adds at most: an output that was almost full when its last record was taken.
constexpr std::size_t slice_bytes = (batch_capacity_records + yield) * sizeof(long);

const auto multiply = [](long value, Collector<long>& out) {
  for (long i = 0; i < yield; ++i) out.collect(value);
};

/// A task whose every record yields 1,000 and whose consumer has stopped.
struct Stopped {
  explicit Stopped(std::uint32_t producers = 1) {
    world.channel_bytes = bound_bytes;
    head->on_record = multiply;
    test.emplace(world, task_plan(head, tail, producers), 1);
    (void)test->run();
    give<long>(*test->inputs[0], std::vector<long>(200, 7));
  }
  /// Steps until there is no room, looking at the queue after each.
  StepResult step_within_bound() {
    StepResult result = StepResult::busy;
    while (result == StepResult::busy) {
      result = test->task->step();
      REQUIRE(test->outputs[0]->queued_bytes() <= bound_bytes + slice_bytes);
    }
    return result;
  }
  /// Empties the output and steps until nothing is left to do.
  Lines drain() {
    Lines all;
    for (StepResult result = StepResult::waiting_for_room; result != StepResult::idle;) {
      const auto part = take<long>(*test->outputs[0]);
      all.insert(all.end(), part.begin(), part.end());
      result = step_within_bound();
      if (result == StepResult::finished) break;
    }
    const auto part = take<long>(*test->outputs[0]);
    all.insert(all.end(), part.begin(), part.end());
    return all;
  }

  TaskWorld world;
  std::shared_ptr<Script> head = std::make_shared<Script>();
  std::shared_ptr<Script> tail = std::make_shared<Script>();
  std::optional<TaskUnderTest> test;
};

SCENARIO("a task whose consumer has stopped stops too", "[runtime]") {
  GIVEN("a batch whose every record yields 1,000, and no room") {
    Stopped s;
    CHECK(s.step_within_bound() == StepResult::waiting_for_room);
    const std::size_t queued = s.test->outputs[0]->queued_bytes();
    CHECK(queued >= bound_bytes);

    WHEN("it is called again and again") {
      for (int i = 0; i < 100; ++i) CHECK(s.test->task->step() == StepResult::waiting_for_room);
      THEN("nothing is added") { CHECK(s.test->outputs[0]->queued_bytes() == queued); }
    }
    WHEN("a mail comes") {
      s.test->task->notify_checkpoint_complete({1}, SnapshotKind::checkpoint, false);
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("it is handled in the middle of the batch") {
        CHECK(s.tail->log.back() == "tail complete 1");
      }
    }
    WHEN("it is cancelled") {
      s.test->task->cancel();
      THEN("it ends at once") {
        CHECK(s.step_within_bound() == StepResult::finished);
        CHECK(s.test->listener->last() == "canceled");
      }
    }
    WHEN("another batch waits at its input") {
      give<long>(*s.test->inputs[0], {8});
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("it is not taken") { CHECK(s.test->inputs[0]->peek() != nullptr); }
    }
    WHEN("a barrier waits at its input") {
      s.test->inputs[0]->push(barrier_of(1));
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("it is taken, and goes out behind all records when room comes back") {
        CHECK(s.test->inputs[0]->peek() == nullptr);
        CHECK(s.head->log == Lines{"head open"});
        const Lines output = s.drain();
        REQUIRE(output.size() == 200 * yield + 1);
        CHECK(output.back() == "barrier 1");
        s.world.io.run_all();
        CHECK(s.test->listener->last() == "acknowledge 1");
      }
    }
    WHEN("a cancel marker follows a barrier at its input") {
      s.test->inputs[0]->push(barrier_of(1));
      s.test->inputs[0]->push(CancelCheckpointMarker{{2}});
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("they go out in this order") {
        const Lines output = s.drain();
        REQUIRE(output.size() == 200 * yield + 2);
        CHECK(output[output.size() - 2] == "barrier 1");
        CHECK(output.back() == "cancel 2");
        CHECK(s.test->listener->last() == "decline 2 on_cancellation_barrier");
      }
    }
    WHEN("a barrier that waits for room is aborted") {
      s.test->inputs[0]->push(barrier_of(1));
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      s.test->task->notify_checkpoint_aborted({1});
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("its cancel marker needs no room, and no snapshot is taken") {
        const Lines output = s.drain();
        CHECK(std::ranges::count(output, "cancel 1") == 1);
        CHECK(std::ranges::count(output, "barrier 1") == 0);
        CHECK(s.world.io.queue.empty());
      }
    }
    WHEN("a timer is due") {
      s.head->context->wake_at(s.world.around.clock.time);
      CHECK(s.step_within_bound() == StepResult::waiting_for_room);
      THEN("it waits for the batch, and the task does not ask to be called for it") {
        s.world.around.clock.time += std::chrono::hours(1);
        CHECK(s.step_within_bound() == StepResult::waiting_for_room);
        CHECK_FALSE(s.test->task->wake_time());
        (void)s.drain();
        CHECK(s.head->log.back() == "head timer");
      }
    }
  }
}

TEST_CASE("a task without room brings the barriers of two channels together", "[runtime]") {
  Stopped s(2);
  CHECK(s.step_within_bound() == StepResult::waiting_for_room);
  s.test->inputs[0]->push(barrier_of(1));
  give<long>(*s.test->inputs[0], {8});
  s.test->inputs[1]->push(barrier_of(1));
  CHECK(s.step_within_bound() == StepResult::waiting_for_room);
  CHECK(s.test->inputs[1]->peek() == nullptr);
  const Lines output = s.drain();
  REQUIRE(output.size() == 201 * yield + 1);
  CHECK(output[200 * yield] == "barrier 1");
}

TEST_CASE("a corrupt stream that is seen while there is no room fails the task", "[runtime]") {
  Stopped s(2);
  CHECK(s.step_within_bound() == StepResult::waiting_for_room);
  s.test->inputs[0]->push(barrier_of(1, Alignment::at_least_once));
  s.test->inputs[0]->push(barrier_of(1, Alignment::at_least_once));
  CHECK(s.step_within_bound() == StepResult::finished);
  CHECK(s.test->listener->failure.code == Errc::corruption);
}

TEST_CASE("a source whose checkpoint is triggered while there is no room performs it later",
          "[runtime]") {
  TaskWorld world;
  world.channel_bytes = bound_bytes;
  auto source = std::make_shared<Script>();
  auto chained = std::make_shared<Script>();
  source->values.assign(50, 1);
  chained->on_record = multiply;
  TaskUnderTest test(world, source_plan(source, chained), 0);
  CHECK(test.run() == StepResult::waiting_for_room);
  CHECK(test.outputs[0]->queued_bytes() <= bound_bytes + slice_bytes);
  test.task->trigger_checkpoint(barrier_of(1));
  // Between two records of the source nothing waits for room, so the barrier goes out at once.
  CHECK(test.settle() == StepResult::waiting_for_room);
  const std::size_t before = source->values.size();
  const Lines output = take<long>(*test.outputs[0]);
  CHECK(output.back() == "barrier 1");
  CHECK(output.size() == (50 - before) * yield + 1);
  while (test.settle() != StepResult::idle) (void)take<long>(*test.outputs[0]);
  CHECK(source->values.empty());
}

TEST_CASE("a partly filled batch leaves after the buffer timeout although another output is full",
          "[runtime]") {
  TaskWorld world;
  world.channel_bytes = 4096;
  auto script = std::make_shared<Script>();
  const auto plan = plan_of([&](StreamEnvironment& env) {
    const auto stream =
        probe(probe_source(env, std::make_shared<Script>()).rebalance(), "op", script);
    drop(stream);
    drop(stream);
  });
  TaskUnderTest test(world, plan, 1);
  (void)test.run();
  // The first batch waits in the writers until the second fills a batch up; what is left of that
  // waits again, and behind it the rest of the second, because there is no room.
  give<long>(*test.inputs[0], std::vector<long>(100, 1));
  give<long>(*test.inputs[0], std::vector<long>(1100, 2));
  CHECK(test.settle() == StepResult::waiting_for_room);
  CHECK(take<long>(*test.outputs[1]).size() == batch_capacity_records);
  CHECK(test.settle() == StepResult::waiting_for_room);
  CHECK(test.outputs[1]->peek() == nullptr);
  const auto wake_time = test.task->wake_time();
  REQUIRE(wake_time);
  CHECK(*wake_time - world.around.clock.time == std::chrono::milliseconds(5));
  world.around.clock.time = *wake_time;
  CHECK(test.settle() == StepResult::waiting_for_room);
  CHECK(take<long>(*test.outputs[1]).size() == 100);
}

TEST_CASE("records do not wait longer than the buffer timeout while their task is busy",
          "[runtime]") {
  TaskWorld world;
  auto script = std::make_shared<Script>();
  TaskUnderTest test(world, task_plan(script, std::make_shared<Script>()), 1);
  (void)test.run();
  // Two batches are there at any time, so that the task is never idle.
  for (int i = 0; i < 2; ++i) give<long>(*test.inputs[0], {1});
  while (test.inputs[0]->queued_bytes() > 16) (void)test.task->step();
  for (int i = 0; i < 3; ++i) (void)test.task->step();
  CHECK(test.outputs[0]->peek() == nullptr);
  world.around.clock.time += std::chrono::milliseconds(5);
  give<long>(*test.inputs[0], {1});
  (void)test.task->step();
  CHECK(test.outputs[0]->peek() != nullptr);
}

}  // namespace
}  // namespace weir::test
