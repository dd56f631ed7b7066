#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

SCENARIO("a TaskManager without connections for records takes no task of a spread job",
         "[actors]") {
  SteppedCluster cluster;
  const JobId id{1, 1};
  const CommittingJob job;
  cluster.libraries().add("job", [&](StreamEnvironment& env) { job.build(env); });
  const auto submission = cluster.submission(id, "job", {{"parallelism.default", "2"}});
  REQUIRE(submission);
  SubmitTask message;
  message.job = id;
  message.fence = {LeaderEpoch{1}, 0};
  message.execution = {0, 0, 0};
  message.job_name = submission->name;
  message.plan = submission->plan;
  message.library_sha256 = submission->library_sha256;
  message.configuration = submission->configuration;
  const auto answer = [&] {
    return cluster.wait_for<Done>(cluster.ask_task_manager<Done>(message));
  };
  GIVEN("a deployment whose tasks lie in two TaskManagers") {
    message.slots = {TaskManagerId{1}, TaskManagerId{2}};
    const auto refused = answer();
    REQUIRE_FALSE(refused);
    CHECK(refused.error() ==
          Error{Errc::unsupported,
                "tasks of the job lie in other TaskManagers, and TaskManager:1 has no connections "
                "for records with them: raise taskmanager.numberOfTaskSlots, so that one "
                "TaskManager has room for all"});
  }
  GIVEN("a deployment that does not say where all tasks lie") {
    message.slots = {TaskManagerId{1}};
    const auto refused = answer();
    REQUIRE_FALSE(refused);
    CHECK(refused.error() ==
          Error{Errc::invalid_argument, "SubmitTask names 1 slots, and the job has 2"});
  }
  GIVEN("a deployment whose tasks lie here") {
    message.slots = {TaskManagerId{1}, TaskManagerId{1}};
    CHECK(answer());
  }
}

}  // namespace
}  // namespace weir::test
