#include "actors/execution_graph.hpp"

#include <algorithm>
#include <memory>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

class NeverAgain final : public RestartStrategy {
 public:
  std::optional<std::chrono::milliseconds> on_failure(MonotonicTime) override {
    return std::nullopt;
  }
};

/// The graph of a job with a source and one other task.
struct TwoTasks {
  static JobGraph job_graph() {
    JobGraph graph;
    graph.vertices.resize(2);
    graph.vertices[0].source = true;
    return graph;
  }
  ExecutionGraph graph{job_graph(), std::make_unique<NeverAgain>()};
  const ExecutionId source{0, 0, 0};
  const ExecutionId rest{1, 0, 0};

  GraphEffects report(const ExecutionId& task, TaskState state) {
    return graph.task_state_changed(task, state, {Errc::io_error, "of the test"}, true, {});
  }
  TaskState state_of(const ExecutionId& task) const { return graph.tasks().at(task); }
};

SCENARIO("a task's states go one way", "[actors]") {
  GIVEN("a job that runs") {
    TwoTasks job;
    (void)job.graph.deploy();
    for (const ExecutionId& task : {job.source, job.rest}) {
      (void)job.report(task, TaskState::deploying);
      (void)job.report(task, TaskState::running);
    }
    REQUIRE(job.graph.state() == JobState::running);
    WHEN("an older state is told again, late") {
      THEN("it has no effect") {
        CHECK(job.report(job.rest, TaskState::deploying).empty());
        CHECK(job.state_of(job.rest) == TaskState::running);
      }
    }
    WHEN("the job is cancelled") {
      (void)job.graph.cancel();
      (void)job.report(job.source, TaskState::canceling);
      (void)job.report(job.rest, TaskState::canceling);
      THEN("its tasks are CANCELING until each has ended") {
        CHECK(job.state_of(job.source) == TaskState::canceling);
        CHECK(job.report(job.source, TaskState::running).empty());
        CHECK(job.report(job.source, TaskState::finishing).empty());
        CHECK(job.state_of(job.source) == TaskState::canceling);
        (void)job.report(job.source, TaskState::canceled);
        CHECK(job.state_of(job.source) == TaskState::canceled);
        CHECK(job.report(job.source, TaskState::canceling).empty());
        (void)job.graph.coordinator_settled(job.graph.state());
        CHECK(job.graph.state() == JobState::cancelling);
        (void)job.report(job.rest, TaskState::canceled);
        CHECK(job.graph.state() == JobState::canceled);
      }
      THEN("one that finished or failed before it saw the cancellation says so") {
        (void)job.report(job.source, TaskState::finished);
        (void)job.report(job.rest, TaskState::failed);
        CHECK(job.state_of(job.source) == TaskState::finished);
        CHECK(job.state_of(job.rest) == TaskState::failed);
      }
    }
  }
}

}  // namespace
}  // namespace weir::test
