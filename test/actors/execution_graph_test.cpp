#include "actors/execution_graph.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using namespace graph_effects;

/// The restart strategies of these tests draw no numbers.
class NoRandom final : public Random {
 public:
  std::uint64_t next() override {
    FAIL("a number is drawn");
    return 0;
  }
};

/// A job of two sources and two other tasks, whose actor is the test.
class Job {
 public:
  explicit Job(const RestartStrategyConfig& strategy = NoRestartConfig{})
      : graph(job_graph(), create_restart_strategy(strategy, random_)) {}

  /// Deploys the next attempt and takes it to RUNNING.
  void run() {
    (void)graph.deploy();
    for (const auto state : {TaskState::deploying, TaskState::running})
      for (const ExecutionId& task : tasks()) (void)report(task, state);
    REQUIRE(graph.state() == JobState::running);
  }
  GraphEffects report(const ExecutionId& task, TaskState state, bool recoverable = true) {
    return graph.task_state_changed(task, state, {Errc::io_error, "disk full"}, recoverable, {});
  }
  GraphEffects settle() { return graph.coordinator_settled(graph.state()); }
  /// Every task of the attempt that has not ended reports CANCELED.
  GraphEffects end_tasks() {
    GraphEffects all;
    for (const ExecutionId& task : tasks())
      if (!is_terminal(state_of(task)))
        std::ranges::move(report(task, TaskState::canceled), std::back_inserter(all));
    return all;
  }
  /// From RUNNING: a task fails, the others end, the coordinator settles.
  GraphEffects fail_wholly() {
    GraphEffects all = report(task(0, 0), TaskState::failed);
    std::ranges::move(end_tasks(), std::back_inserter(all));
    std::ranges::move(settle(), std::back_inserter(all));
    return all;
  }

  /// Of the current attempt.
  ExecutionId task(std::uint32_t vertex, std::uint32_t subtask) const {
    return {vertex, subtask, graph.attempt()};
  }
  std::vector<ExecutionId> tasks() const {
    return {task(0, 0), task(0, 1), task(1, 0), task(1, 1)};
  }
  TaskState state_of(const ExecutionId& task) const { return graph.tasks().at(task); }
  bool failure_says(const std::string& part) const { return graph.failure().contains(part); }

 private:
  static JobGraph job_graph() {
    JobGraph graph;
    graph.vertices.resize(2);
    graph.vertices[0].source = true;
    for (JobVertex& vertex : graph.vertices) vertex.parallelism = 2;
    return graph;
  }
  NoRandom random_;

 public:
  ExecutionGraph graph;
};

/// The tasks that effects of type `T` are for.
template <class T>
std::vector<ExecutionId> tasks_of(const GraphEffects& effects) {
  std::vector<ExecutionId> tasks;
  for (const GraphEffect& effect : effects)
    if (const auto* one = std::get_if<T>(&effect)) tasks.push_back(one->execution);
  return tasks;
}
/// The states of the job that `effects` tell.
std::vector<JobState> states_of(const GraphEffects& effects) {
  std::vector<JobState> states;
  for (const GraphEffect& effect : effects)
    if (const auto* one = std::get_if<JobChanged>(&effect)) states.push_back(one->state);
  return states;
}
/// The delays after which `effects` want a restart.
std::vector<std::chrono::milliseconds> delays_of(const GraphEffects& effects) {
  std::vector<std::chrono::milliseconds> delays;
  for (const GraphEffect& effect : effects)
    if (const auto* one = std::get_if<ArmRestart>(&effect)) delays.push_back(one->delay);
  return delays;
}
bool ends_job(const GraphEffects& effects) {
  return std::ranges::any_of(
      effects, [](const auto& effect) { return std::holds_alternative<JobEnded>(effect); });
}

using Tasks = std::vector<ExecutionId>;
using States = std::vector<JobState>;
using Delays = std::vector<std::chrono::milliseconds>;

const FixedDelayConfig twice{2, 3s};

SCENARIO("a job is RUNNING once every subtask has said so", "[actors]") {
  GIVEN("a job that is deployed") {
    Job job;
    const auto deployed = job.graph.deploy();
    CHECK(tasks_of<Deploy>(deployed) == job.tasks());
    CHECK(states_of(deployed) == States{JobState::created});
    for (const ExecutionId& task : job.tasks()) (void)job.report(task, TaskState::deploying);
    CHECK(job.graph.state() == JobState::created);
    WHEN("one after the other is RUNNING") {
      for (const ExecutionId& task : {job.task(1, 1), job.task(0, 0), job.task(1, 0)}) {
        const auto effects = job.report(task, TaskState::running);
        CHECK(job.graph.state() == JobState::created);
        CHECK(tasks_of<TaskChanged>(effects) == Tasks{task});
        CHECK(effects.size() == 1);
      }
      const auto last = job.report(job.task(0, 1), TaskState::running);
      THEN("the job is with the last, and its sources, and only they, are started") {
        CHECK(job.graph.state() == JobState::running);
        CHECK(states_of(last) == States{JobState::running});
        CHECK(tasks_of<Start>(last) == Tasks{job.task(0, 0), job.task(0, 1)});
      }
      THEN("it is RUNNING until every one is FINISHED") {
        for (const ExecutionId& task : {job.task(0, 0), job.task(0, 1), job.task(1, 0)}) {
          CHECK_FALSE(ends_job(job.report(task, TaskState::finished)));
          CHECK(job.graph.state() == JobState::running);
        }
        const auto end = job.report(job.task(1, 1), TaskState::finished);
        CHECK(states_of(end) == States{JobState::finished});
        CHECK(ends_job(end));
        CHECK(job.graph.failure().empty());
      }
    }
    WHEN("one has nothing left to do before the others run") {
      for (const ExecutionId& task : {job.task(0, 0), job.task(0, 1), job.task(1, 0)})
        (void)job.report(task, TaskState::running);
      (void)job.report(job.task(1, 0), TaskState::finishing);
      CHECK(job.graph.state() == JobState::created);
      (void)job.report(job.task(1, 1), TaskState::finishing);
      THEN("it counts as RUNNING") { CHECK(job.graph.state() == JobState::running); }
    }
    WHEN("one has ended though nobody asked for it") {
      (void)job.report(job.task(0, 0), TaskState::running);
      (void)job.report(job.task(0, 1), TaskState::canceled);
      THEN("the job cannot run") {
        CHECK(job.graph.state() == JobState::failing);
        CHECK(job.failure_says("before the job ran"));
      }
    }
  }
}

SCENARIO("a task's states go one way", "[actors]") {
  GIVEN("a job that runs") {
    Job job;
    job.run();
    const ExecutionId source = job.task(0, 0);
    const ExecutionId rest = job.task(1, 0);
    WHEN("an older state is told again, late") {
      THEN("it has no effect") {
        CHECK(job.report(rest, TaskState::deploying).empty());
        CHECK(job.state_of(rest) == TaskState::running);
      }
    }
    WHEN("the job is cancelled") {
      CHECK(tasks_of<Cancel>(job.graph.cancel()) == job.tasks());
      (void)job.report(source, TaskState::canceling);
      (void)job.report(rest, TaskState::canceling);
      THEN("its tasks are CANCELING until each has ended") {
        CHECK(job.state_of(source) == TaskState::canceling);
        CHECK(job.report(source, TaskState::running).empty());
        CHECK(job.report(source, TaskState::finishing).empty());
        CHECK(job.state_of(source) == TaskState::canceling);
        (void)job.report(source, TaskState::canceled);
        CHECK(job.state_of(source) == TaskState::canceled);
        CHECK(job.report(source, TaskState::canceling).empty());
        (void)job.settle();
        CHECK(job.graph.state() == JobState::cancelling);
        (void)job.end_tasks();
        CHECK(job.graph.state() == JobState::canceled);
      }
      THEN("one that finished or failed before it saw the cancellation says so") {
        (void)job.report(source, TaskState::finished);
        (void)job.report(rest, TaskState::failed);
        CHECK(job.state_of(source) == TaskState::finished);
        CHECK(job.state_of(rest) == TaskState::failed);
        CHECK(job.graph.state() == JobState::cancelling);
      }
    }
  }
}

SCENARIO("a job restarts when every task has ended and the coordinator has settled", "[actors]") {
  GIVEN("a job that may restart twice, of which a task has failed") {
    Job job(twice);
    job.run();
    const auto failed = job.report(job.task(1, 0), TaskState::failed);
    CHECK(states_of(failed) == States{JobState::restarting});
    CHECK(tasks_of<Cancel>(failed) == Tasks{job.task(0, 0), job.task(0, 1), job.task(1, 1)});
    CHECK(delays_of(failed).empty());
    CHECK(job.graph.failure() == "disk full");
    WHEN("the coordinator settles first") {
      CHECK(job.settle().empty());
      for (const ExecutionId& task : {job.task(0, 0), job.task(1, 1)}) {
        CHECK(delays_of(job.report(task, TaskState::canceled)).empty());
        CHECK_FALSE(job.graph.restart_due());
      }
      const auto last = job.report(job.task(0, 1), TaskState::canceled);
      THEN("the delay begins with the end of the last task") {
        CHECK(delays_of(last) == Delays{3s});
        CHECK(job.graph.restart_due());
      }
    }
    WHEN("the tasks end first") {
      CHECK(delays_of(job.end_tasks()).empty());
      CHECK_FALSE(job.graph.restart_due());
      THEN("the delay begins when the coordinator settles, once") {
        CHECK(delays_of(job.settle()) == Delays{3s});
        CHECK(job.graph.restart_due());
        CHECK(job.settle().empty());
      }
      THEN("that it had settled in a state before is not enough") {
        CHECK(job.graph.coordinator_settled(JobState::failing).empty());
        CHECK_FALSE(job.graph.restart_due());
      }
    }
    WHEN("a second task fails before it is cancelled") {
      (void)job.report(job.task(0, 0), TaskState::failed);
      CHECK(job.graph.state() == JobState::restarting);
      (void)job.end_tasks();
      (void)job.settle();
      THEN("both are one failure: one more is borne") {
        job.run();
        CHECK(delays_of(job.fail_wholly()) == Delays{3s});
      }
    }
    WHEN("it is deployed again") {
      (void)job.end_tasks();
      (void)job.settle();
      const ExecutionId old = job.task(0, 0);
      const auto deployed = job.graph.deploy();
      THEN("it is CREATED at the next attempt, and nobody hears the last one any more") {
        CHECK(job.graph.attempt() == 1);
        CHECK(states_of(deployed) == States{JobState::created});
        CHECK(tasks_of<Deploy>(deployed) == Tasks{{0, 0, 1}, {0, 1, 1}, {1, 0, 1}, {1, 1, 1}});
        CHECK_FALSE(job.graph.restart_due());
        CHECK(job.report(old, TaskState::failed).empty());
        CHECK(job.state_of(job.task(0, 0)) == TaskState::created);
      }
      THEN("its second failure waits anew, and its third is final") {
        for (const auto state : {TaskState::deploying, TaskState::running})
          for (const ExecutionId& task : job.tasks()) (void)job.report(task, state);
        REQUIRE(job.graph.state() == JobState::running);
        (void)job.report(job.task(0, 1), TaskState::failed);
        CHECK(delays_of(job.end_tasks()).empty());
        CHECK(delays_of(job.settle()) == Delays{3s});
        job.run();
        CHECK(job.graph.attempt() == 2);
        const auto end = job.fail_wholly();
        CHECK(states_of(end) == States{JobState::failing, JobState::failed});
        CHECK(delays_of(end).empty());
        CHECK(ends_job(end));
      }
    }
  }
}

SCENARIO("a job is cancelled while it restarts", "[actors]") {
  GIVEN("a job that waits for its restart") {
    Job job(twice);
    job.run();
    (void)job.fail_wholly();
    REQUIRE(job.graph.restart_due());
    WHEN("it is cancelled") {
      const auto cancelled = job.graph.cancel();
      CHECK(states_of(cancelled) == States{JobState::cancelling});
      THEN("it does not restart, and no task that has ended is cancelled") {
        CHECK_FALSE(job.graph.restart_due());
        CHECK(tasks_of<Cancel>(cancelled).empty());
        CHECK(job.graph.cancel().empty());
      }
      THEN("it is CANCELED when the coordinator has settled in that state") {
        CHECK(job.graph.coordinator_settled(JobState::restarting).empty());
        CHECK(job.graph.state() == JobState::cancelling);
        const auto end = job.settle();
        CHECK(states_of(end) == States{JobState::canceled});
        CHECK(ends_job(end));
        CHECK(job.settle().empty());
      }
    }
  }
  GIVEN("a job whose tasks have still to end") {
    Job job(twice);
    job.run();
    (void)job.report(job.task(0, 0), TaskState::failed);
    (void)job.report(job.task(0, 1), TaskState::canceled);
    WHEN("it is cancelled") {
      const auto cancelled = job.graph.cancel();
      THEN("it waits for them and is CANCELED") {
        CHECK(tasks_of<Cancel>(cancelled) == Tasks{job.task(1, 0), job.task(1, 1)});
        CHECK(job.settle().empty());
        const auto ended = job.end_tasks();
        CHECK(states_of(ended) == States{JobState::canceled});
        CHECK(delays_of(ended).empty());
      }
    }
  }
}

SCENARIO("what restarting would not mend ends a job that restarts", "[actors]") {
  const Error cause{Errc::corruption, "the state does not fit"};
  GIVEN("a job that runs and may restart") {
    Job job(twice);
    job.run();
    WHEN("a task fails for good") {
      (void)job.report(job.task(0, 0), TaskState::failed, false);
      (void)job.end_tasks();
      THEN("the job is FAILED once the coordinator has settled") {
        CHECK(job.graph.state() == JobState::failing);
        CHECK(states_of(job.settle()) == States{JobState::failed});
      }
    }
  }
  GIVEN("a job whose tasks have still to end") {
    Job job(twice);
    job.run();
    (void)job.report(job.task(0, 0), TaskState::failed);
    WHEN("a second failure is recoverable") {
      (void)job.graph.fail(cause, true, {});
      THEN("it changes nothing") {
        CHECK(job.graph.state() == JobState::restarting);
        CHECK(job.graph.failure() == "disk full");
      }
    }
    WHEN("a second failure is not") {
      CHECK(states_of(job.graph.fail(cause, false, {})) == States{JobState::failing});
      (void)job.end_tasks();
      THEN("the job ends with it") {
        CHECK(job.graph.coordinator_settled(JobState::restarting).empty());
        const auto end = job.settle();
        CHECK(states_of(end) == States{JobState::failed});
        CHECK(delays_of(end).empty());
        CHECK(job.graph.failure() == "the state does not fit");
      }
    }
  }
  GIVEN("a job that waits for its restart") {
    Job job(twice);
    job.run();
    (void)job.fail_wholly();
    WHEN("what it is to restart from does not fit") {
      CHECK(states_of(job.graph.fail(cause, false, {})) == States{JobState::failing});
      THEN("it does not restart, and ends with that") {
        CHECK_FALSE(job.graph.restart_due());
        const auto end = job.settle();
        CHECK(states_of(end) == States{JobState::failed});
        CHECK(ends_job(end));
        CHECK(job.graph.failure() == "the state does not fit");
      }
    }
  }
}

SCENARIO("a job never goes back behind a savepoint that ends it", "[actors]") {
  const std::string path = "/savepoints/savepoint-1";
  GIVEN("a job that runs and may restart, with its savepoint complete") {
    Job job(twice);
    job.run();
    const auto ends_as = GENERATE(JobState::finished, JobState::canceled);
    CHECK(job.graph.savepoint_ends_job(path, ends_as).empty());
    CHECK(job.graph.state() == JobState::running);
    WHEN("its tasks finish") {
      for (const ExecutionId& task : job.tasks()) (void)job.report(task, TaskState::finished);
      THEN("it ends as the client asked") { CHECK(job.graph.state() == ends_as); }
    }
    WHEN("a task fails before it has committed") {
      const auto failed = job.fail_wholly();
      THEN("the job ends and names the savepoint") {
        CHECK(states_of(failed) == States{JobState::failing, JobState::failed});
        CHECK(delays_of(failed).empty());
        CHECK(job.failure_says("disk full; the savepoint " + path));
      }
    }
  }
  GIVEN("a job that has failed and may restart") {
    Job job(twice);
    job.run();
    WHEN("its savepoint completes before its tasks have ended") {
      (void)job.report(job.task(0, 0), TaskState::failed);
      CHECK(states_of(job.graph.savepoint_ends_job(path, JobState::finished)) ==
            States{JobState::failing});
      (void)job.end_tasks();
      THEN("it ends, and names the savepoint") {
        const auto end = job.settle();
        CHECK(states_of(end) == States{JobState::failed});
        CHECK(delays_of(end).empty());
        CHECK(job.failure_says("disk full; the savepoint " + path));
      }
    }
    WHEN("its savepoint is told while it waits for its restart") {
      (void)job.fail_wholly();
      REQUIRE(job.graph.restart_due());
      (void)job.graph.savepoint_ends_job(path, JobState::finished);
      THEN("it does not restart") {
        CHECK_FALSE(job.graph.restart_due());
        CHECK(states_of(job.settle()) == States{JobState::failed});
        CHECK(job.failure_says(path));
      }
    }
  }
  GIVEN("a job that has failed for good") {
    Job job;
    job.run();
    (void)job.report(job.task(0, 0), TaskState::failed);
    REQUIRE(job.graph.state() == JobState::failing);
    WHEN("its savepoint completes") {
      CHECK(job.graph.savepoint_ends_job(path, JobState::canceled).empty());
      (void)job.end_tasks();
      (void)job.settle();
      THEN("its failure names the savepoint") {
        CHECK(job.graph.state() == JobState::failed);
        CHECK(job.failure_says("disk full; the savepoint " + path));
      }
    }
  }
}

TEST_CASE("a task that is CANCELED although the job did not ask for it fails the job", "[actors]") {
  Job job(FixedDelayConfig{});
  job.run();
  (void)job.report(job.task(0, 0), TaskState::canceled);
  CHECK(job.graph.state() == JobState::restarting);
  CHECK(job.failure_says("a task ended while the job ran"));
}

TEST_CASE("sources are to start while the job runs, and all tasks to end when it is over",
          "[actors]") {
  Job job(FixedDelayConfig{});
  (void)job.graph.deploy();
  CHECK_FALSE(job.graph.starts(job.task(0, 0)));
  CHECK_FALSE(job.graph.ends_tasks());
  Job running;
  running.run();
  CHECK(running.graph.starts(running.task(0, 0)));
  CHECK_FALSE(running.graph.starts(running.task(1, 0)));
  CHECK_FALSE(running.graph.ends_tasks());
  (void)running.graph.cancel();
  CHECK_FALSE(running.graph.starts(running.task(0, 0)));
  CHECK(running.graph.ends_tasks());
}

}  // namespace
}  // namespace weir::test
