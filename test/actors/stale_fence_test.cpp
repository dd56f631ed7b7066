#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

/// Fences that are older than that of a job at leader epoch 1, attempt 1.
const Fence older_leader{LeaderEpoch{0}, 1};
const Fence older_attempt{LeaderEpoch{1}, 0};

/// A job that has restarted once and has read 100 records since; its tasks are as they are now.
struct RestartedJob {
  static constexpr std::uint64_t first = 100;

  explicit RestartedJob(std::function<bool(const DeliveryRecord&)> drop = {})
      : cluster(std::move(drop)) {
    job.look = [blown = std::make_shared<bool>(false)](std::uint64_t) {
      if (!std::exchange(*blown, true)) throw std::runtime_error("a fuse blew");
    };
    cluster.libraries().add("job", [job = job](StreamEnvironment& env) { job.build(env); });
    const auto submission = cluster.submission(
        id, "job",
        {{"restart-strategy", "fixed-delay"}, {"restart-strategy.fixed-delay.delay", "1 ms"}});
    REQUIRE(submission);
    REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
    job.gate->open_to(first);
    REQUIRE(comes_to([](const JobDetails& now) {
      return now.overview.restarts == 1 && now.overview.state == JobState::running;
    }));
  }
  /// Waits until it has read what it may.
  void read() {
    REQUIRE(comes_to([&](const JobDetails& now) {
      return now.operators.at(2).records_in >= job.gate->limit();
    }));
  }

  JobDetails details() {
    const auto now = cluster.request<JobDetails>(RequestJobDetails{id});
    REQUIRE(now);
    return *now;
  }
  bool comes_to(const std::function<bool(const JobDetails&)>& holds) {
    for (int i = 0; i < 1000; ++i) {
      if (holds(details())) return true;
      cluster.run_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  /// Both tasks are RUNNING, and nothing has been completed, given up or committed.
  bool is_untouched() {
    const JobDetails now = details();
    return now.overview.state == JobState::running && now.overview.restarts == 1 &&
           std::ranges::all_of(now.tasks,
                               [](const auto& task) { return task.second == "running"; }) &&
           now.checkpoints.completed == 0 && now.checkpoints.failed == 0 &&
           job.committed->sums.empty();
  }
  /// The job takes a checkpoint, reads the rest and commits exactly what it should.
  void goes_on_exactly() {
    const auto checkpoint = cluster.request<CheckpointCompleted>(RequestCheckpoint{id});
    INFO((checkpoint ? "" : checkpoint.error().what) << cluster.log());
    REQUIRE(checkpoint);
    job.gate->open_to(CommittingJob::records);
    CHECK(comes_to([](const JobDetails& now) { return now.overview.state == JobState::finished; }));
    CHECK(details().overview.restarts == 1);
    CHECK(job.sorted() == CommittingJob::model());
  }
  /// A checkpoint that every task has still to take: no task makes a step.
  SteppedCluster::Awaited<CheckpointCompleted> begin_held_checkpoint() {
    cluster.tasks_are_held = true;
    auto answer = cluster.ask<CheckpointCompleted>(RequestCheckpoint{id});
    REQUIRE(cluster.run_until([&] { return details().checkpoints.in_progress.size() == 1; }));
    return answer;
  }
  /// It is still on its way, and completes when the tasks go on.
  void completes(const SteppedCluster::Awaited<CheckpointCompleted>& answer) {
    cluster.run_for(std::chrono::seconds(1));
    CHECK_FALSE(answer->has_value());
    CHECK(details().checkpoints.in_progress.size() == 1);
    CHECK(is_untouched());
    cluster.tasks_are_held = false;
    const auto completed = cluster.wait_for<CheckpointCompleted>(answer);
    INFO((completed ? "" : completed.error().what) << cluster.log());
    REQUIRE(completed);
    CHECK(completed->checkpoint == held_checkpoint);
    CHECK(details().checkpoints.failed == 0);
  }
  bool log_says(const std::string& sentence) { return cluster.log().contains(sentence); }

  CommittingJob job;
  SteppedCluster cluster;
  const JobId id{1, 1};
  const ExecutionId source{0, 0, 1};
  const ExecutionId sink{1, 0, 1};
  const CheckpointId held_checkpoint{1};
};

std::string shown(const Fence& fence) {
  return "leader epoch " + std::to_string(fence.epoch.value) + ", attempt " +
         std::to_string(fence.attempt);
}
/// How the TaskManager refuses a message for `task`.
std::string refusal(const std::string& message, const std::string& task, const Fence& fence) {
  return "TaskManager:1 refuses " + message + " for task " + task + ": it is of " + shown(fence) +
         ", the job is at leader epoch 1, attempt 1";
}
/// How the JobManager refuses a message of `task`.
std::string refusal_of(const std::string& message, const std::string& task, const Fence& fence) {
  return "the JobManager refuses " + message + " of task " + task + ": it is of " + shown(fence) +
         ", the job is at leader epoch 1, attempt 1";
}

TEST_CASE("a job that goes on under its id has a newer fence, also if it has left no snapshot",
          "[actors]") {
  RestartedJob test;
  REQUIRE(test.cluster.request<CancellationSuccess>(CancelJob{test.id}));
  auto again = test.cluster.submission(test.id, "job");
  REQUIRE(again);
  again->continues = true;
  REQUIRE(test.cluster.request<SubmitJobSuccess>(SubmitJob{*again}));
  CHECK(test.comes_to([](const JobDetails& now) {
    return now.overview.restarts == 0 && now.overview.state == JobState::running;
  }));
  CHECK_FALSE(test.log_says("refuses SubmitTask"));
}

TEST_CASE("a stale SubmitTask is refused, naming its fence", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  SubmitTask message;
  message.job = test.id;
  message.fence = fence;
  message.execution = {0, 0, 0};
  const auto answer = test.cluster.wait_for<Done>(test.cluster.ask_task_manager<Done>(message));
  REQUIRE_FALSE(answer);
  CHECK(answer.error() == Error{Errc::stale, refusal("SubmitTask", "0/0", fence)});
  CHECK(test.is_untouched());
  test.goes_on_exactly();
}

TEST_CASE("a stale StartTask starts no source", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  int started = 0;
  RestartedJob test([&started](const DeliveryRecord& record) {
    // The first attempt starts and fails; the second is not told to start, however often.
    return record.message == "StartTask" && record.from.kind == EndpointKind::job_manager &&
           ++started >= 2;
  });
  test.cluster.run_for(std::chrono::seconds(3));  // heartbeats bring the counters
  REQUIRE(test.details().operators.at(0).records_out == 0);
  test.cluster.tell_task_manager(StartTask{test.id, fence, test.source});
  test.cluster.run_for(std::chrono::seconds(3));
  CHECK(test.log_says(refusal("StartTask", "0/0", fence)));
  CHECK(test.details().operators.at(0).records_out == 0);
  CHECK(test.is_untouched());
  test.cluster.tell_task_manager(StartTask{test.id, {LeaderEpoch{1}, 1}, test.source});
  test.read();
  test.goes_on_exactly();
}

TEST_CASE("a stale CancelTask cancels nothing", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  const auto before = test.cluster.delivered;
  test.cluster.tell_task_manager(CancelTask{test.id, fence, test.source});
  test.cluster.run_for(std::chrono::seconds(1));
  CHECK(test.log_says(refusal("CancelTask", "0/0", fence)));
  for (const auto state : {"UpdateTaskState canceling", "UpdateTaskState canceled"})
    CHECK(test.cluster.delivered[state] == before.at(state));
  CHECK(test.is_untouched());
  test.goes_on_exactly();
}

TEST_CASE("a stale DrainTask ends no input", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  test.cluster.tell_task_manager(DrainTask{test.id, fence, test.source});
  test.cluster.run_for(std::chrono::seconds(1));
  CHECK(test.log_says(refusal("DrainTask", "0/0", fence)));
  CHECK(test.is_untouched());
  test.goes_on_exactly();
}

TEST_CASE("a stale TriggerCheckpoint begins nothing and is declined, naming its fence",
          "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  test.cluster.tell_task_manager(
      TriggerCheckpoint{test.id, fence, test.source, test.held_checkpoint, 0, {}});
  REQUIRE(test.cluster.run_until([&] { return test.cluster.delivered["DeclineCheckpoint"] > 0; }));
  test.cluster.run_for(std::chrono::seconds(1));
  CHECK(test.log_says(refusal("TriggerCheckpoint", "0/0", fence)));
  // The decline is as stale as its trigger.
  CHECK(test.log_says(refusal_of("DeclineCheckpoint", "0/0", fence)));
  CHECK(test.cluster.delivered["AcknowledgeCheckpoint"] == 0);
  CHECK(test.is_untouched());
  test.goes_on_exactly();
}

TEST_CASE("a stale NotifyCheckpointComplete commits and ends nothing", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  // The sink has something that it would commit.
  REQUIRE(test.cluster.request<TriggerSavepointSuccess>(TriggerSavepoint{test.id, "/savepoints"}));
  const auto sums = test.job.committed->sums;
  REQUIRE(sums.empty());
  test.cluster.tell_task_manager(NotifyCheckpointComplete{
      test.id, fence, test.sink, CheckpointId{1}, 0, SnapshotKind::checkpoint, true});
  test.cluster.run_for(std::chrono::seconds(1));
  CHECK(test.log_says(refusal("NotifyCheckpointComplete", "1/0", fence)));
  CHECK(test.job.committed->sums.empty());
  CHECK(test.details().tasks.at(1).second == "running");
  test.goes_on_exactly();
}

TEST_CASE("a stale NotifyCheckpointAborted gives nothing up", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  const auto checkpoint = test.begin_held_checkpoint();
  test.cluster.tell_task_manager(
      NotifyCheckpointAborted{test.id, fence, test.source, test.held_checkpoint});
  test.completes(checkpoint);
  CHECK(test.log_says(refusal("NotifyCheckpointAborted", "0/0", fence)));
  test.goes_on_exactly();
}

TEST_CASE("a stale AcknowledgeCheckpoint is counted by nobody", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  const auto checkpoint = test.begin_held_checkpoint();
  for (const ExecutionId& execution : {test.source, test.sink})
    test.cluster.tell_job_manager(
        AcknowledgeCheckpoint{test.id, fence, execution, test.held_checkpoint, {}, {}});
  test.completes(checkpoint);
  CHECK(test.log_says(refusal_of("AcknowledgeCheckpoint", "0/0", fence)));
  CHECK(test.log_says(refusal_of("AcknowledgeCheckpoint", "1/0", fence)));
  test.goes_on_exactly();
}

TEST_CASE("a stale DeclineCheckpoint gives no checkpoint up", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  RestartedJob test;
  test.read();
  const auto checkpoint = test.begin_held_checkpoint();
  test.cluster.tell_job_manager(DeclineCheckpoint{test.id, fence, test.source, test.held_checkpoint,
                                                  DeclineReason::snapshot_failed, "of the test"});
  test.completes(checkpoint);
  CHECK(test.log_says(refusal_of("DeclineCheckpoint", "0/0", fence)));
  test.goes_on_exactly();
}

TEST_CASE("a stale UpdateTaskState changes no task and is answered with its fence", "[actors]") {
  const Fence fence = GENERATE(older_leader, older_attempt);
  const TaskState state = GENERATE(TaskState::finished, TaskState::canceled, TaskState::failed);
  RestartedJob test;
  test.read();
  const OperatorMetrics invented{"numbers", "gated", 1, 0, 1'000'000, 0};
  const auto answer = test.cluster.request<Done>(UpdateTaskState{
      test.id, fence, test.source, state, {Errc::io_error, "of the test"}, true, {invented}});
  REQUIRE_FALSE(answer);
  CHECK(answer.error() == Error{Errc::stale, refusal_of("UpdateTaskState", "0/0", fence)});
  CHECK(test.details().operators.at(0).records_out < invented.records_out);
  CHECK(test.is_untouched());
  test.goes_on_exactly();
}

TEST_CASE("any message about a task counts as a heartbeat of its TaskManager unless it is stale",
          "[actors]") {
  const Fence current{LeaderEpoch{1}, 1};
  const Fence fence = GENERATE_COPY(as<Fence>(), current, older_leader, older_attempt);
  const std::string message =
      GENERATE("UpdateTaskState", "AcknowledgeCheckpoint", "DeclineCheckpoint");
  INFO(message << " of " << shown(fence));
  bool lose = false;
  RestartedJob test(
      [&lose](const DeliveryRecord& record) { return lose && record.message == "Heartbeat"; });
  test.read();
  const CheckpointId unknown{99};
  const auto is_lost = [&] { return test.log_says("TaskManager 1 is lost"); };
  lose = true;
  for (int i = 0; i < 100 && !is_lost(); ++i) {
    if (message == "UpdateTaskState")
      CHECK(test.cluster
                .request<Done>(
                    UpdateTaskState{test.id, fence, test.sink, TaskState::running, {}, true, {}})
                .has_value() == (fence == current));
    else if (message == "AcknowledgeCheckpoint")
      test.cluster.tell_job_manager(
          AcknowledgeCheckpoint{test.id, fence, test.sink, unknown, {}, {}});
    else
      test.cluster.tell_job_manager(DeclineCheckpoint{
          test.id, fence, test.sink, unknown, DeclineReason::snapshot_failed, "of the test"});
    test.cluster.run_for(std::chrono::seconds(1));
  }
  CHECK(is_lost() == (fence != current));
  if (fence != current) return;
  CHECK(test.is_untouched());
  test.cluster.run_for(std::chrono::seconds(100));
  CHECK(is_lost());
}

SCENARIO("a stale Heartbeat tells nothing", "[actors]") {
  const OperatorMetrics invented{"numbers", "gated", 1, 0, 1'000'000, 0};
  const TaskManagerId sender{1};
  WHEN("it is of an older leader, or of tasks of an older attempt") {
    const bool leader = GENERATE(false, true);
    RestartedJob test;
    test.read();
    test.cluster.tell_job_manager(Heartbeat{sender,
                                            LeaderEpoch{leader ? 0U : 1U},
                                            1000,
                                            {{test.id,
                                              {LeaderEpoch{1}, leader ? 1U : 0U},
                                              leader ? test.source : ExecutionId{0, 0, 0},
                                              true,
                                              false,
                                              {},
                                              {invented}}}});
    test.cluster.run_for(std::chrono::milliseconds(10));
    THEN("its metrics are not taken") {
      CHECK(test.log_says("the JobManager refuses Heartbeat of TaskManager:1: it is of cluster "
                          "epoch 0, this is 1") == leader);
      CHECK(test.details().operators.at(0).records_out < invented.records_out);
      CHECK(test.is_untouched());
      test.goes_on_exactly();
    }
  }
  WHEN("the TaskManager's own are lost and others come in its name") {
    bool lose = false;
    RestartedJob test([&lose](const DeliveryRecord& record) {
      return lose && record.message == "Heartbeat" &&
             record.from.kind == EndpointKind::task_manager;
    });
    test.read();
    lose = true;
    const auto is_lost_with = [&](LeaderEpoch epoch) {
      for (int i = 0; i < 300 && !test.log_says("TaskManager 1 is lost"); ++i) {
        const Fence fence{LeaderEpoch{1}, 1};
        test.cluster.tell_job_manager(
            Heartbeat{sender,
                      epoch,
                      1000 + static_cast<std::uint64_t>(i),
                      {{test.id, fence, test.source, true, false, {}, {}},
                       {test.id, fence, test.sink, true, false, {}, {}}}});
        test.cluster.run_for(std::chrono::seconds(1));
      }
      return test.log_says("TaskManager 1 is lost");
    };
    THEN("it is not taken for alive if they are of an older leader") {
      CHECK(is_lost_with(LeaderEpoch{0}));
    }
    THEN("it is taken for alive if they are of this one") {
      CHECK_FALSE(is_lost_with(LeaderEpoch{1}));
      CHECK(test.is_untouched());
    }
  }
}

}  // namespace
}  // namespace weir::test
