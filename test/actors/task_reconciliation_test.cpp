#include "actors/task_reconciliation.hpp"

#include <catch2/catch.hpp>

namespace weir {
namespace {

using Finding = TaskReconciliation::Finding;
using Found = std::vector<TaskReconciliation::Found>;
using Wanted = std::map<TaskKey, TaskReconciliation::Wanted>;

constexpr Fence fence{LeaderEpoch{1}, 3};
const TaskKey task{{1, 2}, fence, {0, 0, 3}};

TaskStatus status_of(const TaskKey& key, bool started, bool cancelled) {
  TaskStatus status{key.job, key.fence, key.execution, started, cancelled, {}, {}};
  return status;
}

}  // namespace

SCENARIO("what two heartbeats in a row show to be lost is said again", "[actors]") {
  TaskReconciliation reconciliation;
  const auto nothing_at_first = [&](const Wanted& wanted, const std::vector<TaskStatus>& told) {
    CHECK(reconciliation.compare(wanted, told).empty());
    return reconciliation.compare(wanted, told);
  };
  GIVEN("a task that the TaskManager does not name") {
    THEN("it is submitted again if the TaskManager has never had it") {
      CHECK(nothing_at_first({{task, {}}}, {}) == Found{{Finding::not_submitted, task}});
    }
    THEN("it is lost if the TaskManager has had it") {
      CHECK(nothing_at_first({{task, {.arrived = true}}}, {}) == Found{{Finding::lost, task}});
    }
    THEN("it is cancelled again if it is to end, so that it is told to have ended") {
      for (const bool arrived : {false, true})
        CHECK(nothing_at_first({{task, {.arrived = arrived, .ends = true}}}, {}) ==
              Found{{Finding::not_cancelled, task}});
    }
  }
  GIVEN("a task that was not told to start") {
    const std::vector<TaskStatus> told{status_of(task, false, false)};
    THEN("it is told again if it is to start") {
      CHECK(nothing_at_first({{task, {.arrived = true, .starts = true}}}, told) ==
            Found{{Finding::not_started, task}});
    }
    THEN("it may wait otherwise") {
      CHECK(nothing_at_first({{task, {.arrived = true}}}, told).empty());
    }
  }
  GIVEN("a task that was started") {
    const std::vector<TaskStatus> told{status_of(task, true, false)};
    THEN("nothing is wrong while it is to run") {
      CHECK(nothing_at_first({{task, {.arrived = true, .starts = true}}}, told).empty());
    }
    THEN("it is cancelled again if it is to end, or if nobody knows it") {
      CHECK(nothing_at_first({{task, {.arrived = true, .ends = true}}}, told) ==
            Found{{Finding::not_cancelled, task}});
      reconciliation = {};
      CHECK(nothing_at_first({}, told) == Found{{Finding::not_cancelled, task}});
    }
    THEN("another attempt or epoch of it is another task") {
      TaskKey newer = task;
      newer.fence.epoch.value++;
      CHECK(nothing_at_first({{newer, {}}}, told) ==
            Found{{Finding::not_submitted, newer}, {Finding::not_cancelled, task}});
    }
  }
  GIVEN("a task that was cancelled") {
    const std::vector<TaskStatus> told{status_of(task, false, true)};
    THEN("its end is awaited, whoever asked for it") {
      CHECK(nothing_at_first({{task, {.arrived = true, .ends = true}}}, told).empty());
      CHECK(nothing_at_first({}, told).empty());
    }
  }
}

SCENARIO("a heartbeat that set out too early to show a message does no harm", "[actors]") {
  TaskReconciliation reconciliation;
  const Wanted wanted{{task, {.arrived = true, .starts = true}}};
  const std::vector<TaskStatus> before{status_of(task, false, false)};
  const std::vector<TaskStatus> after{status_of(task, true, false)};
  CHECK(reconciliation.compare(wanted, before).empty());
  CHECK(reconciliation.compare(wanted, after).empty());
  THEN("what it showed does not count with a later one") {
    CHECK(reconciliation.compare(wanted, before).empty());
    CHECK(reconciliation.compare(wanted, before).size() == 1);
    AND_THEN("what was said again has one more heartbeat to take effect") {
      CHECK(reconciliation.compare(wanted, before).empty());
      CHECK(reconciliation.compare(wanted, before).size() == 1);
    }
  }
}

}  // namespace weir
