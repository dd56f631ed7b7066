#include <memory>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

TEST_CASE("a job that is cancelled just as it begins to restart leaves no checkpoint", "[actors]") {
  const JobId id{1, 1};
  const Endpoint coordinator = coordinator_endpoint();
  // The cancellation reaches the JobManager between what it says of the restart and the answer to that.
  std::function<void()> cancel;
  SteppedCluster cluster([&](const DeliveryRecord& record) {
    if (cancel && record.message == "JobStateChanged" && record.to == coordinator)
      std::exchange(cancel, nullptr)();
    return false;
  });
  auto gate = std::make_shared<Gate>();
  cluster.libraries().add("job", [gate](StreamEnvironment& env) {
    gated(env, gate, 100)
        .map([](std::uint64_t value) {
          if (value == 10) throw std::runtime_error("a fuse blew");
          return value;
        })
        .collect(std::make_shared<Collected<std::uint64_t>>());
  });
  const auto submission = cluster.submission(id, "job",
                                             {{"state.checkpoints.dir", "/checkpoints"},
                                              {"state.checkpoints.num-retained", "5"},
                                              {"restart-strategy", "fixed-delay"}});
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  const auto state = [&] {
    const auto now = cluster.request<JobDetails>(RequestJobDetails{id});
    REQUIRE(now);
    return now->overview.state;
  };
  REQUIRE(cluster.run_until([&] { return state() == JobState::running; }));
  for (int i = 0; i < 5; ++i) REQUIRE(cluster.request<CheckpointCompleted>(RequestCheckpoint{id}));
  const auto checkpoints = [&] {
    return std::ranges::count_if(cluster.storage->files, [](const auto& file) {
      return file.first.starts_with("/checkpoints/") && file.first.ends_with("/_metadata");
    });
  };
  REQUIRE(checkpoints() == 5);

  cancel = [&] { cluster.tell_job_manager(CancelJob{id}); };
  gate->open_to(100);
  REQUIRE(cluster.run_until([&] { return is_terminal(state()); }));
  CHECK(cancel == nullptr);
  CHECK(state() == JobState::canceled);
  CHECK(checkpoints() == 0);
}

}  // namespace
}  // namespace weir::test
