#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

TEST_CASE(
    "a cancelled task whose operator does not return ends the process, which names the operator",
    "[actors]") {
  SteppedCluster cluster;
  std::vector<std::string> fatal;
  cluster.on_fatal = [&](const std::string& why) { fatal.push_back(why); };
  const CommittingJob job;
  cluster.libraries().add("job", [job](StreamEnvironment& env) { job.build(env); });
  const JobId id{1, 1};
  const auto submission = cluster.submission(id, "job");
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  const auto is = [&](JobState state) {
    const auto details = cluster.request<JobDetails>(RequestJobDetails{id});
    return details && details->overview.state == state;
  };
  REQUIRE(cluster.run_until([&] { return is(JobState::running); }));

  cluster.tasks_are_held = true;
  const auto cancelled = cluster.ask<CancellationSuccess>(CancelJob{id}, std::chrono::minutes(10));
  cluster.run_for(std::chrono::seconds(179));
  CHECK(is(JobState::cancelling));
  CHECK(fatal.empty());
  cluster.run_for(std::chrono::seconds(2));
  const std::string end =
      " did not return for 180000 ms after it was cancelled (task.cancellation.timeout); the "
      "process ends";
  CHECK(fatal == std::vector<std::string>{"operator 'numbers' of task 0/0" + end,
                                          "operator 'commit' of task 1/0" + end});

  cluster.tasks_are_held = false;
  CHECK(cluster.wait_for<CancellationSuccess>(cancelled));
  CHECK(fatal.size() == 2);
}

TEST_CASE("an exception that leaves an actor ends the process, which names the actor", "[actors]") {
  SteppedCluster cluster;
  std::vector<std::string> fatal;
  cluster.on_fatal = [&](const std::string& why) { fatal.push_back(why); };
  const CommittingJob job;
  cluster.libraries().add("job", [job](StreamEnvironment& env) { job.build(env); });
  const auto submission = cluster.submission(JobId{1, 1}, "job");
  REQUIRE(submission);
  std::string end;
  SECTION("for want of memory") {
    cluster.break_executor([] { throw std::bad_alloc(); });
    end =
        " has no memory left, and the process ends: lower the parallelism, or raise the limit of "
        "memory (ulimit -v, or that of the control group)";
  }
  SECTION("for another reason") {
    cluster.break_executor([] { throw std::runtime_error("the clock has stopped"); });
    end = " threw: the clock has stopped; the process ends";
  }
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  REQUIRE(cluster.run_until([&] { return fatal.size() >= 2; }));
  CHECK(fatal == std::vector<std::string>{"Task:0/0" + end, "Task:1/0" + end});
}

TEST_CASE("1,000 clients wait for the end of a job that is being cancelled, and no more",
          "[actors]") {
  SteppedCluster cluster;
  const CommittingJob job;
  cluster.libraries().add("job", [job](StreamEnvironment& env) { job.build(env); });
  const JobId id{1, 1};
  const auto submission = cluster.submission(id, "job");
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  cluster.tasks_are_held = true;
  std::vector<SteppedCluster::Awaited<CancellationSuccess>> waiting;
  for (int i = 0; i < 1000; ++i) waiting.push_back(cluster.ask<CancellationSuccess>(CancelJob{id}));
  REQUIRE(cluster.run_until([&] { return cluster.delivered["CancelJob"] == 1000; }));
  const auto refused = cluster.request<CancellationSuccess>(CancelJob{id});
  REQUIRE_FALSE(refused);
  CHECK(refused.error() ==
        Error{Errc::limit_exceeded,
              "job " + to_string(id) +
                  " is being cancelled already, and 1000 clients wait for its end; `weir list` "
                  "shows its state"});
  cluster.tasks_are_held = false;
  for (const auto& one : waiting) REQUIRE(cluster.wait_for<CancellationSuccess>(one));
}

TEST_CASE("a checkpoint's directory that is made while the job is cancelled goes with the job",
          "[actors]") {
  SteppedCluster cluster;
  const CommittingJob job;
  cluster.libraries().add("job", [job](StreamEnvironment& env) { job.build(env); });
  const JobId id{1, 1};
  auto submission = cluster.submission(id, "job");
  REQUIRE(submission);
  submission->configuration["state.checkpoints.dir"] = "/checkpoints";
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  const auto is = [&](JobState state) {
    const auto details = cluster.request<JobDetails>(RequestJobDetails{id});
    return details && details->overview.state == state;
  };
  REQUIRE(cluster.run_until([&] { return is(JobState::running); }));
  cluster.storage->put("/checkpoints/" + to_string(id) + "/.lock", "");  // as that of real files

  cluster.io_is_held = true;
  const auto checkpoint = cluster.ask<CheckpointCompleted>(RequestCheckpoint{id});
  cluster.run_for(std::chrono::seconds(1));
  const auto cancelled = cluster.ask<CancellationSuccess>(CancelJob{id}, std::chrono::minutes(10));
  cluster.run_for(std::chrono::seconds(1));
  cluster.put_off_oldest_io();  // which makes the directory
  cluster.io_is_held = false;
  REQUIRE(cluster.wait_for<CancellationSuccess>(cancelled));
  CHECK_FALSE(cluster.wait_for<CheckpointCompleted>(checkpoint));
  cluster.run_for(std::chrono::seconds(1));
  CHECK_FALSE(cluster.storage->directories.contains("/checkpoints/" + to_string(id)));
}

TEST_CASE("a cancelled task that returns in time ends nothing but itself", "[actors]") {
  SteppedCluster cluster;  // a process that would end fails the test
  const CommittingJob job;
  cluster.libraries().add("job", [job](StreamEnvironment& env) { job.build(env); });
  const JobId id{1, 1};
  const auto submission = cluster.submission(id, "job");
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  cluster.tasks_are_held = true;
  const auto cancelled = cluster.ask<CancellationSuccess>(CancelJob{id}, std::chrono::minutes(10));
  cluster.run_for(std::chrono::seconds(179));
  cluster.tasks_are_held = false;
  CHECK(cluster.wait_for<CancellationSuccess>(cancelled));
  cluster.run_for(std::chrono::minutes(10));
}

}  // namespace
}  // namespace weir::test
