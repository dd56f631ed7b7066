#include <new>
#include <stdexcept>

#include "runtime/stream_task.hpp"
#include "state/frozen_table.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

struct Scripts {
  std::shared_ptr<Script> head = std::make_shared<Script>();
  std::shared_ptr<Script> tail = std::make_shared<Script>();
};

TEST_CASE("a task deploys one operator a step and is then running", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  const auto opened = [&] { return scripts.head->log.size() + scripts.tail->log.size(); };

  CHECK(test.task->step() == StepResult::busy);
  CHECK(test.listener->heard == Lines{"deploying"});
  CHECK(test.task->step() == StepResult::busy);  // makes the operators
  CHECK(opened() == 0);
  CHECK(test.task->step() == StepResult::busy);
  CHECK(scripts.head->log == Lines{"head open"});
  CHECK(opened() == 1);
  CHECK(test.task->step() == StepResult::busy);
  CHECK(scripts.tail->log == Lines{"tail open"});
  CHECK(test.task->step() == StepResult::busy);
  CHECK(test.listener->heard == Lines{"deploying", "running"});
  CHECK(test.task->step() == StepResult::idle);
}

TEST_CASE("the operator that works is known while it is made, opened and called", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  auto plan = std::make_shared<Plan>(*task_plan(scripts.head, scripts.tail));
  const StreamTask* task = nullptr;
  Lines seen;
  const auto look = [&](const std::string& when) {
    seen.push_back(when + " " + task->current_operator());
  };
  for (const std::size_t i : {1, 2})
    plan->operators[i].make = [&, make = plan->operators[i].make] {
      look("make");
      return make();
    };
  for (const auto& script : {scripts.head, scripts.tail}) {
    script->open = [&](OperatorContext&) -> Status {
      look("open");
      return {};
    };
    script->on_record = [&](long value, Collector<long>& out) {
      look("record");
      out.collect(value);
    };
  }
  TaskUnderTest test(world, plan, 1);
  task = test.task.get();
  CHECK(task->current_operator() == std::string("operator 'head'"));
  (void)test.run();
  give<long>(*test.inputs[0], {1});
  (void)test.settle();
  CHECK(seen == Lines{"make operator 'head'", "make operator 'tail'", "open operator 'head'",
                      "open operator 'tail'", "record operator 'head'", "record operator 'tail'"});
}

TEST_CASE("a source emits nothing before every task of the job is running", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  scripts.head->values = {1, 2, 3};
  TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
  CHECK(test.settle() == StepResult::idle);
  CHECK(test.listener->last() == "running");
  CHECK(scripts.head->polls == 0);
  test.task->start();
  CHECK(test.settle() == StepResult::idle);
  CHECK(take<long>(*test.outputs[0]) == Lines{"1", "2", "3"});
}

SCENARIO("a source that has nothing now is asked again when it said so, and not before",
         "[runtime]") {
  GIVEN("a running source that has answered nothing_now") {
    TaskWorld world;
    Scripts scripts;
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    CHECK(test.run() == StepResult::idle);
    CHECK(scripts.head->polls == 1);
    CHECK(test.settle() == StepResult::idle);
    CHECK(scripts.head->polls == 1);

    WHEN("its waker is called") {
      scripts.head->values = {7};
      scripts.head->context->waker()();
      THEN("it is polled once more") {
        CHECK(test.settle() == StepResult::idle);
        CHECK(scripts.head->polls == 2);
        CHECK(take<long>(*test.outputs[0]) == Lines{"7"});
      }
    }
    WHEN("it has asked for a time, and an operator behind it for a later one") {
      const MonotonicTime begin = world.around.clock.time;
      scripts.head->context->wake_at(begin + std::chrono::seconds(1));
      scripts.tail->context->wake_at(begin + std::chrono::hours(1));
      CHECK(test.settle() == StepResult::idle);
      THEN("the task wants to be called then, and the source is polled then") {
        world.around.clock.time += std::chrono::milliseconds(600);
        CHECK(test.settle() == StepResult::idle);  // brings the metrics up to date
        CHECK(scripts.head->polls == 1);
        CHECK(test.task->wake_time() == begin + std::chrono::seconds(1));
        world.around.clock.time = begin + std::chrono::seconds(1);
        CHECK(test.settle() == StepResult::idle);
        CHECK(scripts.head->polls == 2);
        world.around.clock.time += std::chrono::seconds(1);
        CHECK(test.settle() == StepResult::idle);
        CHECK(test.task->wake_time() == begin + std::chrono::hours(1));
        world.around.clock.time = begin + std::chrono::hours(1);
        CHECK(test.settle() == StepResult::idle);
        CHECK(scripts.head->polls == 2);
        CHECK(scripts.tail->log == Lines{"map open", "map timer"});
        world.around.clock.time += std::chrono::seconds(1);
        CHECK(test.settle() == StepResult::idle);
        CHECK_FALSE(test.task->wake_time());
      }
    }
    WHEN("an operator that is no source calls its waker") {
      scripts.tail->context->waker()();
      THEN("that one is called") {
        CHECK(test.settle() == StepResult::idle);
        CHECK(scripts.tail->log.back() == "map timer");
        CHECK(scripts.head->polls == 1);
      }
    }
  }
}

TEST_CASE("a waker may be called when its task is gone", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  std::function<void()> waker;
  {
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    (void)test.run();
    waker = scripts.head->context->waker();
  }
  waker();
}

SCENARIO("a task at the end of its input finishes when the final checkpoint is complete",
         "[runtime]") {
  GIVEN("a source that has come to its end") {
    TaskWorld world;
    Scripts scripts;
    scripts.head->values = {1};
    scripts.head->ended = true;
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    CHECK(test.run() == StepResult::idle);
    CHECK(test.listener->heard == Lines{"deploying", "running", "finishing"});
    CHECK(take<long>(*test.outputs[0]) == Lines{"1", "watermark max", "end of input"});
    CHECK(scripts.tail->log == Lines{"map open", "map end 0"});

    WHEN("a checkpoint is complete that does not end it") {
      test.task->notify_checkpoint_complete({1}, SnapshotKind::checkpoint, false);
      THEN("it goes on waiting") {
        CHECK(test.settle() == StepResult::idle);
        CHECK(test.listener->last() == "finishing");
        CHECK(scripts.tail->log.back() == "map complete 1");
      }
    }
    WHEN("the final checkpoint comes and is complete") {
      test.task->trigger_checkpoint(barrier_of(2));
      CHECK(test.settle() == StepResult::idle);
      world.io.run_all();
      CHECK(test.listener->last() == "acknowledge 2");
      for (const auto& share : test.listener->snapshots[{2}].operators)
        CHECK(share.snapshot.finished);
      test.task->notify_checkpoint_complete({2}, SnapshotKind::checkpoint, true);
      THEN("it has finished, and says so downstream") {
        CHECK(test.settle() == StepResult::finished);
        CHECK(test.listener->last() == "finished");
        CHECK(take<long>(*test.outputs[0]) == Lines{"barrier 2", "end of partition"});
      }
    }
  }
}

TEST_CASE("drain ends a source as if its input had ended", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  scripts.head->values = {1};
  TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
  CHECK(test.run() == StepResult::idle);
  test.task->drain();
  CHECK(test.settle() == StepResult::idle);
  CHECK(test.listener->last() == "finishing");
  CHECK(take<long>(*test.outputs[0]) == Lines{"1", "watermark max", "end of input"});
}

TEST_CASE("cancel ends a task at the next slice, which is no end of input", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  (void)test.run();
  int processed = 0;
  scripts.head->on_record = [&](long, Collector<long>&) {
    if (++processed == 1) test.task->cancel();
  };
  give<long>(*test.inputs[0], std::vector<long>(1000, 1));
  CHECK(test.settle() == StepResult::finished);
  CHECK(test.listener->last() == "canceled");
  CHECK(processed == OperatorChain::slice_records);
  CHECK(take<long>(*test.outputs[0]).empty());
  CHECK(scripts.head->log == Lines{"head open"});
}

TEST_CASE("a task that is cancelled before it is deployed makes no operator", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  test.task->cancel();
  CHECK(test.settle() == StepResult::finished);
  CHECK(test.listener->heard == Lines{"canceled"});
  CHECK(scripts.head->log.empty());
}

SCENARIO("what a user function throws fails its task, naming operator and subtask", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  const auto boom = [] { throw std::runtime_error("boom"); };
  const auto check_failed = [&](TaskUnderTest& test, const std::string& sentence) {
    CHECK(test.settle() == StepResult::finished);
    CHECK(test.listener->last() == "failed");
    CHECK(test.listener->failure == Error{Errc::user_function_failed, sentence});
    CHECK(test.listener->recoverable);
  };
  const auto plan = task_plan(scripts.head, scripts.tail);

  WHEN("it throws in open") {
    scripts.tail->open = [&](OperatorContext&) -> Status {
      boom();
      return {};
    };
    TaskUnderTest test(world, plan, 1);
    check_failed(test, "operator 'tail', subtask 0: the user function threw: boom");
  }
  WHEN("it throws while it is made") {
    auto broken = std::make_shared<Plan>(*plan);
    broken->operators[2].make = [&]() -> std::unique_ptr<Operator> {
      boom();
      return nullptr;
    };
    TaskUnderTest test(world, broken, 1);
    check_failed(test, "operator 'tail', subtask 0: the user function threw: boom");
    CHECK(test.task->current_operator() == std::string("operator 'tail'"));
  }
  WHEN("it throws over a record, an end or a barrier") {
    const auto where = GENERATE("record", "end", "before_barrier", "snapshot_state");
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    const auto hook = [&](Collector<long>&) {
      boom();
      return Progress::done;
    };
    if (where == std::string("record")) {
      scripts.tail->on_record = [&](long, Collector<long>&) { boom(); };
      give<long>(*test.inputs[0], {1});
    } else if (where == std::string("end")) {
      scripts.tail->on_end = hook;
      test.inputs[0]->push(EndOfInput{});
    } else if (where == std::string("before_barrier")) {
      scripts.tail->before_barrier = hook;
      test.inputs[0]->push(barrier_of(1));
    } else {
      scripts.tail->snapshot_state = [&]() -> Status {
        boom();
        return {};
      };
      test.inputs[0]->push(barrier_of(1));
    }
    check_failed(test, "operator 'tail', subtask 0: the user function threw: boom");
  }
  WHEN("it throws something that is no exception") {
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    scripts.head->on_record = [](long, Collector<long>&) { throw 3; };
    give<long>(*test.inputs[0], {1});
    check_failed(test,
                 "operator 'head', subtask 0: the user function threw a value of type int, which "
                 "says nothing; throw a std::exception whose text says what is wrong");
  }
  WHEN("a source throws") {
    scripts.head->open = [&](OperatorContext&) -> Status {
      boom();
      return {};
    };
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    check_failed(test,
                 "operator 'source' (uid 'generated-0'), subtask 0: the user function threw: boom");
  }
  WHEN("an operator of which the job gives no uid throws") {
    scripts.tail->open = [&](OperatorContext&) -> Status {
      boom();
      return {};
    };
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    check_failed(test,
                 "operator 'map' (uid 'generated-1'), subtask 0: the user function threw: boom");
  }
  WHEN("the state below a user function cannot be read") {
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    scripts.head->on_record = [](long, Collector<long>&) {
      throw StateAccessFailed({Errc::io_error, "/db: cannot read"});
    };
    give<long>(*test.inputs[0], {1});
    CHECK(test.settle() == StepResult::finished);
    CHECK(test.listener->failure ==
          Error{Errc::io_error, "operator 'head', subtask 0: /db: cannot read"});
  }
}

TEST_CASE("a task whose state does not fit fails for good", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskRestore restore;
  restore.operators.push_back({"head", false, {}, {}, {}});
  restore.operators[0].states.push_back(
      {"position", StateKind::operator_list, std::nullopt, schema_of<std::string>()});
  restore.operators[0].operator_states.push_back({{"position", 0, 0, 0, hash_bytes(""), {}}, {}});
  restore.locations.push_back({"", 0, 0, SharedBytes(std::string())});
  const auto plan = task_plan(scripts.head, scripts.tail);

  SECTION("its type has changed") {
    scripts.head->open = [](OperatorContext& context) -> Status {
      WEIR_TRY(context.operator_state().list_state<std::uint64_t>("position"));
      return {};
    };
    TaskUnderTest test(world, plan, 1, 0, restore);
    CHECK(test.settle() == StepResult::finished);
    CHECK(test.listener->failure.code == Errc::state_incompatible);
    CHECK_FALSE(test.listener->recoverable);
  }
  SECTION("nobody asks for it") {
    TaskUnderTest test(world, plan, 1, 0, restore);
    CHECK(test.settle() == StepResult::finished);
    CHECK(test.listener->failure ==
          Error{Errc::state_incompatible,
                "operator 'head': the snapshot has a state 'position' that the job does not use; "
                "keep it in the job, or start with --allowNonRestoredState to drop it"});
    CHECK_FALSE(test.listener->recoverable);
  }
  SECTION("nobody asks for it, which was allowed") {
    TaskUnderTest test(world, plan, 1, 0, restore, std::nullopt, true);
    CHECK(test.settle() == StepResult::idle);
    CHECK(test.listener->last() == "running");
    CHECK(test.listener->warnings ==
          Lines{"operator 'head', subtask 0: the snapshot has the state 'position', which the job "
                "does not use: skipped"});
  }
}

const TableOptions all_groups{{0, 128}, 128, 8};

/// What the operator "head" starts from: the default value in each of three key groups.
template <class V>
TaskRestore restore_of_three_groups(TaskWorld& world, const ValueStateDescriptor<V>& descriptor) {
  KeyContext key;
  auto [saved, value] = make_state(descriptor, schema_of<long>(), all_groups, &key);
  for (const std::uint32_t group : {3, 4, 5}) {
    key = {group, group, group, {}};
    value.update(V());
  }
  TaskSnapshotWriter writer(nullptr, "", "", {.files = false}, world.around.random);
  auto handle = saved->freeze()->write(writer);
  REQUIRE(handle);
  REQUIRE(handle->groups.size() == 3);
  auto location = writer.finish();
  REQUIRE(location);
  TaskRestore restore;
  restore.locations = {*location};
  restore.operators = {{"head", false, {saved->declaration()}, {*handle}, {}}};
  return restore;
}

/// A value of the user's whose construction throws what `refuse` throws.
struct Picky {
  long number = 0;
  Picky() {
    if (refuse) refuse();
  }
  Picky(const Picky&) = default;
  Picky& operator=(const Picky&) = default;
  ~Picky() = default;
  static inline std::function<void()> refuse;
};
WEIR_FIELDS(Picky, number)

TEST_CASE("a value that cannot be made at a restore fails the task, naming its operator",
          "[runtime]") {
  const ValueStateDescriptor<Picky> descriptor{"picky"};
  TaskWorld world;
  const TaskRestore restore = restore_of_three_groups(world, descriptor);
  Scripts scripts;
  scripts.head->open = [&](OperatorContext& context) -> Status {
    WEIR_TRY_ASSIGN(backend, context.keyed_state(8));
    return backend->add_table(make_state(descriptor, schema_of<long>(), all_groups, nullptr).table);
  };
  const auto [refuse, why] = GENERATE(values<std::pair<std::function<void()>, std::string>>(
      {{[] { throw std::runtime_error("not today"); }, "the user function threw: not today"},
       {[] { throw std::bad_alloc(); }, "the user function threw: std::bad_alloc"},
       {[] { throw std::runtime_error(""); },
        "the user function threw a std::runtime_error that says nothing; give it a text that says "
        "what is wrong"},
       {[] { throw 3; },
        "the user function threw a value of type int, which says nothing; throw a std::exception "
        "whose text says what is wrong"}}));
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1, 0, restore);
  while (scripts.tail->log.empty()) REQUIRE(test.task->step() == StepResult::busy);
  Picky::refuse = refuse;
  const StepResult result = test.settle();
  Picky::refuse = nullptr;
  CHECK(result == StepResult::finished);
  CHECK(test.listener->heard == Lines{"deploying", "failed"});
  CHECK(test.listener->failure ==
        Error{Errc::user_function_failed, "operator 'head', subtask 0: " + why});
}

/// A value of the user's whose encoding throws what `refuse` throws.
struct Unwritable {
  long number = 0;
};
struct UnwritableMirror {
  long number = 0;
  UnwritableMirror() = default;
  explicit UnwritableMirror(const Unwritable& value) : number(value.number) { refuse(); }
  explicit operator Unwritable() const { return {number}; }
  static inline std::function<void()> refuse;
};
WEIR_FIELDS(UnwritableMirror, number)
WEIR_AS(Unwritable, UnwritableMirror)

TEST_CASE("a value that cannot be written declines the checkpoint, naming its operator",
          "[runtime]") {
  const ValueStateDescriptor<Unwritable> descriptor{"unwritable"};
  TaskWorld world;
  Scripts scripts;
  KeyContext key;
  ValueState<Unwritable> value;
  scripts.head->open = [&](OperatorContext& context) -> Status {
    WEIR_TRY_ASSIGN(backend, context.keyed_state(8));
    auto made = make_state(descriptor, schema_of<long>(), all_groups, &key);
    value = made.handle;
    return backend->add_table(std::move(made.table));
  };
  const auto [refuse, why] = GENERATE(values<std::pair<std::function<void()>, std::string>>(
      {{[] { throw std::runtime_error("not today"); }, "writing the state threw: not today"},
       {[] { throw 3; },
        "writing the state threw a value of type int, which says nothing; throw a std::exception "
        "whose text says what is wrong"}}));
  UnwritableMirror::refuse = refuse;
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  (void)test.run();
  key = {3, 3, 3, {}};
  value.update({});
  test.inputs[0]->push(barrier_of(1));
  CHECK(test.settle() == StepResult::idle);
  world.io.run_all();
  CHECK(test.listener->last() == "decline 1 snapshot_failed");
  CHECK(test.listener->detail == "operator 'head': " + why);
}

TEST_CASE("a restore is cancelled between two of its pieces", "[runtime]") {
  const ValueStateDescriptor<long> descriptor{"count"};
  TaskWorld world;
  const TaskRestore restore = restore_of_three_groups(world, descriptor);
  Scripts scripts;
  scripts.head->open = [&](OperatorContext& context) -> Status {
    WEIR_TRY_ASSIGN(backend, context.keyed_state(8));
    return backend->add_table(make_state(descriptor, schema_of<long>(), all_groups, nullptr).table);
  };
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1, 0, restore);
  while (scripts.tail->log.empty()) CHECK(test.task->step() == StepResult::busy);
  SECTION("which is otherwise one piece a step") {
    CHECK(test.task->step() == StepResult::busy);
    CHECK(test.task->step() == StepResult::busy);
    CHECK(test.listener->last() == "deploying");
    CHECK(test.task->step() == StepResult::busy);
    CHECK(test.listener->last() == "running");
  }
  SECTION("and the task ends without having run") {
    CHECK(test.task->step() == StepResult::busy);
    test.task->cancel();
    CHECK(test.task->step() == StepResult::finished);
    CHECK(test.listener->heard == Lines{"deploying", "canceled"});
  }
}

TEST_CASE("whoever says what fails, an operator with a generated uid is named by its name, too",
          "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  SECTION("the store of its state") {
    scripts.tail->open = [](OperatorContext& context) -> Status {
      WEIR_TRY(context.operator_state().list_state<long>("same"));
      WEIR_TRY(context.operator_state().list_state<long>("same"));
      return {};
    };
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    CHECK(test.settle() == StepResult::finished);
    CHECK(test.listener->failure ==
          Error{Errc::already_exists,
                "operator 'map' (uid 'generated-1'), state 'same': the name is used twice; give "
                "each state of an operator its own"});
  }
  SECTION("the operator itself, when it cannot take a snapshot") {
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0);
    (void)test.run();
    scripts.tail->snapshot_state = [&]() -> Status {
      return error(Errc::io_error, scripts.tail->context->label() + ": of the test");
    };
    test.task->trigger_checkpoint(barrier_of(1));
    (void)test.settle();
    CHECK(test.listener->last() == "decline 1 snapshot_failed");
    CHECK(test.listener->detail == "operator 'map' (uid 'generated-1'): of the test");
  }
}

TEST_CASE("a keyed state and an operator state of one operator have two names", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  scripts.head->open = [](OperatorContext& context) -> Status {
    WEIR_TRY(context.operator_state().list_state<long>("same"));
    WEIR_TRY_ASSIGN(backend, context.keyed_state(8));
    return backend->add_table(make_state(ValueStateDescriptor<long>{"same"}, schema_of<long>(),
                                         {{0, 128}, 128, 8}, nullptr)
                                  .table);
  };
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  CHECK(test.settle() == StepResult::finished);
  CHECK(test.listener->failure ==
        Error{Errc::already_exists,
              "operator 'head', state 'same': the name is used twice; give "
              "each state of an operator its own"});
}

SCENARIO("an operator that had finished does not run again", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskRestore restore;
  WHEN("it is a source with what is chained to it") {
    scripts.head->values = {1, 2};
    restore.operators = {{"generated-0", true, {}, {}, {}}, {"generated-1", true, {}, {}, {}}};
    TaskUnderTest test(world, source_plan(scripts.head, scripts.tail), 0, 0, restore);
    CHECK(test.run() == StepResult::idle);
    CHECK(scripts.head->polls == 0);
    CHECK(scripts.tail->log == Lines{"map open"});
    CHECK(take<long>(*test.outputs[0]) == Lines{"watermark max", "end of input"});
    CHECK(test.listener->last() == "finishing");
  }
  WHEN("it has an input") {
    restore.operators = {{"head", true, {}, {}, {}}, {"tail", true, {}, {}, {}}};
    TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1, 0, restore);
    CHECK(test.run() == StepResult::idle);
    test.inputs[0]->push(Watermark{Watermark::max_time});
    test.inputs[0]->push(EndOfInput{});
    CHECK(test.settle() == StepResult::idle);
    CHECK(scripts.head->log == Lines{"head open"});
    CHECK(take<long>(*test.outputs[0]) == Lines{"watermark max", "end of input"});
    CHECK(test.listener->last() == "finishing");
  }
}

TEST_CASE("a task that has come to rest brings its metrics up to date", "[runtime]") {
  TaskWorld world;
  Scripts scripts;
  TaskUnderTest test(world, task_plan(scripts.head, scripts.tail), 1);
  (void)test.run();
  give<long>(*test.inputs[0], {1, 2, 3});
  CHECK(test.settle() == StepResult::idle);
  REQUIRE(test.task->wake_time());
  world.around.clock.time = *test.task->wake_time();
  CHECK(test.settle() == StepResult::idle);
  CHECK_FALSE(test.task->wake_time());
  const auto metrics = test.task->metrics();
  REQUIRE(metrics.size() == 2);
  CHECK(metrics[0].uid == "head");
  CHECK(metrics[0].records_in == 3);
  CHECK(metrics[0].records_out == 3);
  CHECK(metrics[1].records_in == 3);
}

}  // namespace
}  // namespace weir::test
