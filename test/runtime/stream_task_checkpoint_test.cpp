#include <stdexcept>

#include "runtime/stream_task.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

/// A backend that puts everything into files.
class FileBackend final : public StateBackend {
 public:
  std::uint64_t max_payload_bytes = ~std::uint64_t{0};
  std::string_view name() const override { return "files"; }
  Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override {
    return memory_.create_keyed_state_backend(context);
  }
  SnapshotPlacement placement(SnapshotKind) const override {
    return {true, 0, ~std::uint64_t{0}, max_payload_bytes};
  }

 private:
  MemoryStateBackend memory_;
};

/// A source and a chained probe, both with operator state, whose snapshots go to files.
struct Checkpointing {
  explicit Checkpointing(bool run = true) {
    world.backend = backend;
    for (const auto& script : {source, chained}) {
      script->open = [this](OperatorContext& context) -> Status {
        WEIR_TRY_ASSIGN(state, context.operator_state().list_state<long>("numbers"));
        state->add(42);
        state->add(43);
        states.push_back(state);
        return {};
      };
    }
    test.emplace(world, source_plan(source, chained), 0);
    if (run) (void)test->run();
    source->log.clear();
    chained->log.clear();
  }
  void trigger(std::uint64_t id) {
    test->task->trigger_checkpoint(barrier_of(id));
    (void)test->settle();
  }
  [[nodiscard]] Lines output() { return take<long>(*test->outputs[0]); }
  [[nodiscard]] bool nothing_left() const {
    return world.storage->files.empty() && world.storage->temporaries.empty();
  }

  TaskWorld world;
  std::shared_ptr<FileBackend> backend = std::make_shared<FileBackend>();
  std::shared_ptr<Script> source = std::make_shared<Script>();
  std::shared_ptr<Script> chained = std::make_shared<Script>();
  std::vector<OperatorListState<long>*> states;
  std::optional<TaskUnderTest> test;
};

TEST_CASE("before_barrier of every operator comes first, then the barrier, then snapshot_state",
          "[runtime]") {
  Checkpointing c;
  Lines order;
  const auto emit_before = [&](const std::string& who, long value) {
    return [&, who, value](Collector<long>& out) {
      order.push_back(who + " before_barrier");
      CHECK(c.output().empty());
      out.collect(value);
      return Progress::done;
    };
  };
  c.source->before_barrier = emit_before("source", 1);
  c.chained->before_barrier = emit_before("map", 2);
  c.source->snapshot_state = [&]() -> Status {
    order.emplace_back("source snapshot_state");
    for (const auto& line : c.output()) order.push_back(line);
    return {};
  };
  c.chained->snapshot_state = [&]() -> Status {
    order.emplace_back("map snapshot_state");
    return {};
  };
  c.trigger(5);
  CHECK(order == Lines{"source before_barrier", "map before_barrier", "source snapshot_state", "1",
                       "2", "barrier 5", "map snapshot_state"});
  CHECK(c.test->listener->last() == "running");  // the slow part has not run
  CHECK(c.world.storage->operations.empty());
  c.world.io.run_all();
  CHECK(c.test->listener->last() == "acknowledge 5");
  CHECK(c.nothing_left() == false);
}

TEST_CASE("before_barrier is called again until it is done, with mails in between", "[runtime]") {
  Checkpointing c;
  int calls = 0;
  c.chained->before_barrier = [&](Collector<long>& out) {
    out.collect(++calls);
    return calls < 3 ? Progress::more : Progress::done;
  };
  c.trigger(1);
  CHECK(c.output() == Lines{"1", "2", "3", "barrier 1"});
}

TEST_CASE("a snapshot holds the state of the barrier, not that of the time when it is written",
          "[runtime]") {
  Checkpointing c;
  c.trigger(1);
  for (auto* state : c.states) state->update({});
  c.world.io.run_all();
  const TaskSnapshot& snapshot = c.test->listener->snapshots.at({1});
  REQUIRE(snapshot.operators.size() == 2);
  CHECK(snapshot.operators[0].uid == "generated-0");
  CHECK(snapshot.operators[1].uid == "generated-1");
  for (const OperatorShare& share : snapshot.operators) {
    REQUIRE(share.snapshot.operator_states.size() == 1);
    CHECK(share.snapshot.operator_states[0].elements.size() == 2);
    CHECK(share.snapshot.operator_states[0].length == 16);
    CHECK_FALSE(share.snapshot.finished);
  }
  REQUIRE(snapshot.locations.size() == 1);
  CHECK(c.world.storage->files.contains("/checkpoints/chk-1/" + snapshot.locations[0].file));
}

TEST_CASE("a task that is not running declines", "[runtime]") {
  Checkpointing c(false);
  c.test->task->trigger_checkpoint(barrier_of(1));
  (void)c.test->task->step();
  CHECK(c.test->listener->heard == Lines{"decline 1 task_not_ready", "deploying"});
  CHECK(c.test->listener->detail == "the task is created");
}

SCENARIO("a trigger that reaches a task which has ended is declined", "[runtime]") {
  Checkpointing c;
  WHEN("the task has finished") {
    const bool late = GENERATE(false, true);
    c.test->task->notify_checkpoint_complete({1}, SnapshotKind::checkpoint, true);
    if (late) CHECK(c.test->settle() == StepResult::finished);
    c.test->task->trigger_checkpoint(barrier_of(2));
    if (!late) CHECK(c.test->settle() == StepResult::finished);
    CHECK(c.test->listener->heard ==
          Lines{"deploying", "running", "finished", "decline 2 input_end_of_stream"});
    CHECK(c.test->listener->detail ==
          "the task has finished: its input had ended and everything is committed");
  }
  WHEN("the task was cancelled") {
    c.test->task->cancel();
    CHECK(c.test->settle() == StepResult::finished);
    c.test->task->trigger_checkpoint(barrier_of(2));
    CHECK(c.test->listener->heard ==
          Lines{"deploying", "running", "canceled", "decline 2 task_not_ready"});
    CHECK(c.test->listener->detail == "the task is canceled");
  }
  WHEN("the trigger comes while the task fails") {
    c.source->values = {1};
    c.chained->on_record = [&](long, Collector<long>&) {
      c.test->task->trigger_checkpoint(barrier_of(2));
      throw std::runtime_error("boom");
    };
    c.source->context->waker()();
    CHECK(c.test->settle() == StepResult::finished);
    CHECK(c.test->listener->heard ==
          Lines{"deploying", "running", "failed", "decline 2 task_not_ready"});
    CHECK(c.test->listener->detail == "the task is failed");
  }
}

TEST_CASE("a task without a source starts no barrier", "[runtime]") {
  TaskWorld world;
  auto script = std::make_shared<Script>();
  TaskUnderTest test(world, task_plan(script, script), 1);
  (void)test.run();
  test.task->trigger_checkpoint(barrier_of(1));
  (void)test.settle();
  CHECK(test.listener->last() == "decline 1 task_not_checkpointing");
}

TEST_CASE("a trigger that comes twice is one checkpoint", "[runtime]") {
  Checkpointing c;
  c.trigger(3);
  c.trigger(3);
  c.trigger(2);
  CHECK(c.output() == Lines{"barrier 3"});
  c.world.io.run_all();
  CHECK(c.test->listener->heard == Lines{"deploying", "running", "acknowledge 3"});
}

SCENARIO("a snapshot that does not come about leaves no file behind", "[runtime]") {
  Checkpointing c;
  WHEN("an operator cannot bring its state up to date") {
    c.chained->snapshot_state = []() -> Status { return error(Errc::io_error, "disk full"); };
    c.trigger(1);
    c.world.io.run_all();
    THEN("the checkpoint is declined with that reason and the task goes on") {
      CHECK(c.test->listener->last() == "decline 1 snapshot_failed");
      CHECK(c.test->listener->detail == "disk full");
      CHECK(c.nothing_left());
      CHECK(c.output() == Lines{"barrier 1"});
      c.chained->snapshot_state = {};
      c.trigger(2);
      c.world.io.run_all();
      CHECK(c.test->listener->last() == "acknowledge 2");
    }
  }
  WHEN("the storage fails") {
    c.trigger(1);
    const std::string operation = GENERATE("create", "append", "publish");
    Checkpointing twin;  // draws the same numbers, hence the same file name
    twin.trigger(1);
    twin.world.io.run_all();
    c.world.storage->failing = operation + " " + twin.world.storage->files.begin()->first;
    c.world.io.run_all();
    THEN("the checkpoint is declined") {
      CHECK(c.test->listener->last() == "decline 1 snapshot_failed");
      CHECK(c.test->listener->detail.find("injected") != std::string::npos);
      CHECK(c.nothing_left());
    }
  }
  WHEN("it is larger than the backend allows") {
    c.backend->max_payload_bytes = 20;
    c.trigger(1);
    c.world.io.run_all();
    THEN("the checkpoint is declined for that") {
      CHECK(c.test->listener->last() == "decline 1 limit_exceeded");
      CHECK(c.nothing_left());
    }
  }
  WHEN("it is aborted between the barrier and the writing") {
    c.trigger(1);
    c.test->task->notify_checkpoint_aborted({1});
    (void)c.test->settle();
    c.world.io.run_all();
    THEN("nothing is written and nothing said") {
      CHECK(c.test->listener->last() == "running");
      CHECK(c.nothing_left());
      CHECK(c.chained->log.back() == "map aborted 1");
    }
  }
  WHEN("the task is cancelled between the barrier and the writing") {
    c.trigger(1);
    c.test->task->cancel();
    CHECK(c.test->settle() == StepResult::finished);
    THEN("the end is told when nothing can be written any more, and nothing is") {
      CHECK(c.test->listener->last() == "running");
      c.world.io.run_all();
      CHECK(c.test->listener->last() == "canceled");
      CHECK(c.nothing_left());
    }
  }
  WHEN("the task is dropped between the barrier and the writing") {
    c.trigger(1);
    c.test->task.reset();
    c.world.io.run_all();
    THEN("the writing needs nothing of it") { CHECK(c.test->listener->last() == "acknowledge 1"); }
  }
}

SCENARIO("an abort is heeded whenever it comes", "[runtime]") {
  Checkpointing c;
  WHEN("it overtakes its trigger") {
    c.test->task->notify_checkpoint_aborted({4});
    c.trigger(4);
    THEN("a cancel marker takes the place of the barrier, once") {
      CHECK(c.output() == Lines{"cancel 4"});
      c.trigger(4);
      CHECK(c.output().empty());
      c.trigger(5);
      CHECK(c.output() == Lines{"barrier 5"});
    }
  }
  WHEN("it comes while before_barrier is at work") {
    c.chained->before_barrier = [&](Collector<long>& out) {
      out.collect(9);
      c.test->task->notify_checkpoint_aborted({1});
      return Progress::more;
    };
    c.test->task->trigger_checkpoint(barrier_of(1));
    for (int i = 0; i < 5; ++i) (void)c.test->task->step();
    c.chained->before_barrier = {};
    (void)c.test->settle();
    THEN("what was emitted stays, and a cancel marker takes the place of the barrier") {
      auto output = c.output();
      CHECK(std::ranges::count(output, "cancel 1") == 1);
      CHECK(std::ranges::count(output, "barrier 1") == 0);
      CHECK(std::ranges::count(output, "9") > 0);
      CHECK(c.world.io.queue.empty());
      c.trigger(2);
      CHECK(c.output() == Lines{"barrier 2"});
    }
  }
  WHEN("it comes when the checkpoint is acknowledged") {
    c.trigger(1);
    c.world.io.run_all();
    c.test->task->notify_checkpoint_aborted({1});
    (void)c.test->settle();
    THEN("the operators hear it, and the files are the coordinator's to delete") {
      CHECK(c.chained->log.back() == "map aborted 1");
      CHECK_FALSE(c.nothing_left());
    }
  }
}

TEST_CASE("an abort that reaches a task before its operators are open does not reach them",
          "[runtime]") {
  Checkpointing c(false);
  c.test->task->notify_checkpoint_aborted({1});
  (void)c.test->run();
  CHECK(c.source->log.empty());
  CHECK(c.test->listener->last() == "running");
}

SCENARIO("the source of a terminal savepoint emits nothing until the outcome is known",
         "[runtime]") {
  Checkpointing c;
  auto barrier = barrier_of(1);
  barrier.options.kind = SnapshotKind::terminal_savepoint;
  barrier.options.terminal = true;
  c.test->task->trigger_checkpoint(barrier);
  (void)c.test->settle();
  c.source->values = {7};
  c.source->context->waker()();
  CHECK(c.test->settle() == StepResult::idle);
  CHECK(c.output() == Lines{"barrier 1"});
  WHEN("it is aborted") {
    c.test->task->notify_checkpoint_aborted({1});
    CHECK(c.test->settle() == StepResult::idle);
    THEN("the source goes on") { CHECK(c.output() == Lines{"7"}); }
  }
  WHEN("it is complete") {
    c.world.io.run_all();
    c.test->task->notify_checkpoint_complete({1}, SnapshotKind::terminal_savepoint, true);
    CHECK(c.test->settle() == StepResult::finished);
    THEN("the task has ended without an end of input") {
      CHECK(c.output() == Lines{"end of partition"});
      CHECK(c.test->listener->last() == "finished");
    }
  }
}

}  // namespace
}  // namespace weir::test
