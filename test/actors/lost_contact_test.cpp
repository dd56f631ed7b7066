#include <chrono>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A job whose TaskManager can be cut off from the JobManager, either way.
struct CutOffJob {
  explicit CutOffJob(const std::map<std::string, std::string>& settings = {}) {
    cluster.libraries().add("job", [job = job](StreamEnvironment& env) { job.build(env); });
    std::map<std::string, std::string> all{{"restart-strategy", "fixed-delay"},
                                           {"restart-strategy.fixed-delay.delay", "1 ms"},
                                           {"execution.checkpointing.interval", "700 ms"}};
    all.insert(settings.begin(), settings.end());
    auto made = cluster.submission(id, "job", all);
    REQUIRE(made);
    submission = std::move(*made);
  }
  void submit() { REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{submission})); }
  /// Submits it and lets it read some of its input.
  void run() {
    submit();
    job.gate->open_to(100);
    REQUIRE(comes_to([](const JobDetails& now) { return now.operators.at(1).records_in >= 100; }));
  }
  JobDetails details() {
    const auto now = cluster.request<JobDetails>(RequestJobDetails{id});
    REQUIRE(now);
    return *now;
  }
  bool comes_to(const std::function<bool(const JobDetails&)>& holds) {
    for (int i = 0; i < 300; ++i) {
      if (holds(details())) return true;
      cluster.run_for(milliseconds(100));
    }
    return false;
  }
  /// The job goes on by itself, to the end of its input, and has committed exactly what it should.
  void goes_on_exactly() {
    job.gate->open_to(CommittingJob::records);
    INFO(cluster.log());
    CHECK(comes_to([](const JobDetails& now) { return now.overview.state == JobState::finished; }));
    CHECK(job.sorted() == CommittingJob::model());
  }
  bool is_cut(const DeliveryRecord& record) const {
    const auto is_worker = [](const Endpoint& one) {
      return one.kind == EndpointKind::task_manager || one.kind == EndpointKind::task;
    };
    if (is_worker(record.from) == is_worker(record.to)) return false;
    return is_worker(record.from) ? cut_from : cut_to;
  }
  /// A deployment of `execution`, as the JobManager of this attempt of the job sends it.
  [[nodiscard]] SubmitTask deployment(const ExecutionId& execution) const {
    SubmitTask message;
    message.job = id;
    message.fence = {LeaderEpoch{1}, execution.attempt};
    message.execution = execution;
    message.job_name = submission.name;
    message.plan = submission.plan;
    message.library_sha256 = submission.library_sha256;
    message.arguments = submission.arguments;
    message.configuration = submission.configuration;
    message.slots = {TaskManagerId{1}, TaskManagerId{1}};
    return message;
  }
  std::size_t delivered(const std::string& name) { return cluster.delivered[name]; }

  const JobId id{1, 1};
  CommittingJob job;
  bool cut_to = false;    ///< what is said to the TaskManager is lost
  bool cut_from = false;  ///< what it says is lost
  SteppedCluster cluster{[this](const DeliveryRecord& record) { return is_cut(record); }};
  JobSubmission submission;
};

SCENARIO("a job goes on by itself when its TaskManager could not be reached for a while",
         "[actors]") {
  const bool to = GENERATE(true, false);
  const bool from = GENERATE(true, false);
  if (!to && !from) return;
  // A TaskManager that is silent for 50 seconds is given up.
  const seconds length = GENERATE(seconds(2), seconds(30), seconds(60), seconds(90));
  INFO((to ? "cut to" : "") << (from ? " cut from" : "") << ", " << length.count() << " s");
  CutOffJob test;
  const auto cut_off = [&] {
    test.cut_to = to;
    test.cut_from = from;
    test.cluster.run_for(length);
    test.cut_to = test.cut_from = false;
  };
  WHEN("it runs") {
    test.run();
    test.job.gate->open_to(200);
    cut_off();
    THEN("it reads on") {
      test.goes_on_exactly();
      CHECK((test.details().overview.restarts > 0) == (from && length > seconds(50)));
    }
  }
  WHEN("it is being deployed") {
    test.submit();
    cut_off();
    THEN("it begins") { test.goes_on_exactly(); }
  }
  WHEN("it reaches the end of its input") {
    test.run();
    test.job.gate->open_to(CommittingJob::records);
    cut_off();
    THEN("it finishes") { test.goes_on_exactly(); }
  }
  WHEN("it is cancelled") {
    test.run();
    const auto cancelled = test.cluster.ask<CancellationSuccess>(CancelJob{test.id});
    cut_off();
    THEN("it ends") { CHECK(test.cluster.wait_for<CancellationSuccess>(cancelled)); }
  }
  WHEN("it is stopped with a savepoint that cannot be written") {
    test.run();
    test.cluster.storage->failing_prefix = "create /refused/";
    const auto failed = test.cluster.ask<StoppingSuccess>(
        StopJobWithSavepoint{test.id, "/refused", false, SnapshotForm::canonical});
    cut_off();
    THEN("it reads on") { test.goes_on_exactly(); }
  }
}

TEST_CASE("a registration that was lost is repeated, and slots come with it", "[actors]") {
  CutOffJob test;
  test.cut_to = test.cut_from = true;
  test.cluster.run_for(seconds(1));
  test.cut_to = test.cut_from = false;
  CHECK_FALSE(test.cluster.request<SubmitJobSuccess>(SubmitJob{test.submission}));
  test.cluster.run_for(seconds(15));
  test.submit();
  test.goes_on_exactly();
}

SCENARIO("a deployment that comes again begins nothing anew", "[actors]") {
  CutOffJob test;
  test.run();
  const auto deployed = [&] {
    return test.cluster.wait_for<Done>(
        test.cluster.ask_task_manager<Done>(test.deployment({0, 0, 0})));
  };
  const std::size_t deploying = test.delivered("UpdateTaskState deploying");
  WHEN("the task runs") {
    CHECK(deployed());
    THEN("it runs on") {
      test.goes_on_exactly();
      CHECK(test.delivered("UpdateTaskState deploying") == deploying);
      CHECK(test.details().overview.restarts == 0);
    }
  }
  WHEN("the attempt is over") {
    REQUIRE(test.cluster.request<CancellationSuccess>(CancelJob{test.id}));
    const auto answer = deployed();
    THEN("it is refused") {
      REQUIRE_FALSE(answer);
      CHECK(answer.error().code == Errc::stale);
      test.cluster.run_for(seconds(5));
      CHECK(test.delivered("UpdateTaskState deploying") == deploying);
    }
  }
}

TEST_CASE("a deployment that comes again while its job is being loaded begins one task",
          "[actors]") {
  CutOffJob test;
  test.cluster.run_for(seconds(1));
  test.cluster.io_is_held = true;
  const auto first = test.cluster.ask_task_manager<Done>(test.deployment({0, 0, 0}));
  const auto second = test.cluster.ask_task_manager<Done>(test.deployment({0, 0, 0}));
  CHECK(test.cluster.wait_for<Done>(first));
  CHECK(test.cluster.wait_for<Done>(second));
  test.cluster.io_is_held = false;
  test.cluster.run_for(seconds(30));
  // Nobody knows its job: it is told to end.
  CHECK(test.delivered("UpdateTaskState deploying") == 1);
  CHECK(test.delivered("UpdateTaskState canceled") == 1);
  CHECK(test.delivered("TaskEnded") == 1);
}

TEST_CASE("a TaskManager that the JobManager may have given up takes no task", "[actors]") {
  CutOffJob test;
  test.cluster.run_for(seconds(5));
  test.cut_to = test.cut_from = true;
  test.cluster.run_for(seconds(60));
  // One that was on its way for long: the same task may run elsewhere, and both would own its output.
  SubmitTask late = test.deployment({0, 0, 0});
  test.cluster.tell_task_manager(late);
  test.cut_to = test.cut_from = false;
  test.cluster.run_for(seconds(30));
  CHECK(test.cluster.log().contains("TaskManager:1 does not take task 0/0"));
  CHECK(test.delivered("UpdateTaskState deploying") == 0);
}

}  // namespace
}  // namespace weir::test
