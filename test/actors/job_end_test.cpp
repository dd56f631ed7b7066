#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "simulation/simulated_file_system.hpp"
#include "state/checkpoint_directory.hpp"
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

TEST_CASE("a job whose task gets no thread fails and says so", "[actors]") {
  const JobId id{1, 1};
  SteppedCluster cluster({}, 8);
  cluster.libraries().add("job", [](StreamEnvironment& env) {
    env.generate(1000, [](std::uint64_t i) { return i; })
        .key_by([](std::uint64_t value) { return value; })
        .reduce([](std::uint64_t a, std::uint64_t) { return a; })
        .uid("reduce")
        .collect(std::make_shared<Collected<std::uint64_t>>());
  });
  const auto submission = cluster.submission(
      id, "job", {{"parallelism.default", "4"}, {"restart-strategy", "fixed-delay"}});
  REQUIRE(submission);
  cluster.limit_threads(GENERATE(0, 1, 7));
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  std::optional<JobDetails> details;
  REQUIRE(cluster.run_until([&] {
    const auto now = cluster.request<JobDetails>(RequestJobDetails{id});
    REQUIRE(now);
    details = *now;
    return is_terminal(now->overview.state);
  }));
  CHECK(details->overview.state == JobState::failed);
  CHECK(details->failure.find("there is no thread left") != std::string::npos);
}

/// A cluster of four slots and a job that writes into "/new/out", which is not there before.
struct WritingJob {
  static constexpr JobId id{1, 1};
  SimulatedFileSystem files;
  SteppedCluster cluster{{}, 4, &files};
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();

  WritingJob() {
    add("job", "/new/out", {});
    add("failing", "/new/out", [](std::uint64_t) { throw std::runtime_error("a fuse blew"); });
    add("elsewhere", "/other/out", {});
  }
  Result<SubmitJobSuccess> submit(const std::string& job,
                                  std::map<std::string, std::string> configuration = {}) {
    const auto submission = cluster.submission(id, job, std::move(configuration));
    REQUIRE(submission);
    return cluster.request<SubmitJobSuccess>(SubmitJob{*submission});
  }
  bool comes_to(JobState state) {
    return cluster.run_until([&] {
      const auto now = cluster.request<JobDetails>(RequestJobDetails{id});
      return now && now->overview.state == state;
    });
  }
  bool is_there(const std::string& path) { return files.stat(path).has_value(); }

 private:
  void add(const std::string& name, const std::string& directory,
           std::function<void(std::uint64_t)> look) {
    cluster.libraries().add(name, [=, gate = gate](StreamEnvironment& env) {
      gated(env, gate, 100)
          .map([look](std::uint64_t value) {
            if (look) look(value);
            return value;
          })
          .write_files(directory, [](std::uint64_t value) { return std::to_string(value); });
    });
  }
};

SCENARIO("a job leaves its output directory only if something came of it", "[actors]") {
  WritingJob job;
  GIVEN("a job that fails before it has written") {
    REQUIRE(job.submit("failing"));
    job.gate->open_to(100);
    REQUIRE(job.comes_to(JobState::failed));
    THEN("what was made for it is gone") { CHECK_FALSE(job.is_there("/new")); }
  }
  GIVEN("a job that is cancelled") {
    REQUIRE(job.submit("job"));
    REQUIRE(job.comes_to(JobState::running));
    CHECK(job.is_there("/new/out/.lock"));
    REQUIRE(job.cluster.request<CancellationSuccess>(CancelJob{WritingJob::id}));
    THEN("the directory stays, and its lock is gone") {
      CHECK(job.is_there("/new/out"));
      CHECK_FALSE(job.is_there("/new/out/.lock"));
    }
  }
  GIVEN("a job for which there are not enough slots") {
    const std::string checkpoints = job_directory("/checkpoints", WritingJob::id);
    job.cluster.storage->put(checkpoints + "/.lock", "");  // as taking a lock on a disk makes it
    const auto refused = job.submit(
        "job", {{"parallelism.default", "5"}, {"state.checkpoints.dir", "/checkpoints"}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unavailable);
    THEN("nothing that was made for it is left") {
      CHECK_FALSE(job.is_there("/new"));
      CHECK_FALSE(job.cluster.storage->directories.contains(checkpoints));
    }
  }
  GIVEN("a job with the id of one that runs") {
    REQUIRE(job.submit("job"));
    REQUIRE(job.comes_to(JobState::running));
    const auto refused = job.submit("elsewhere");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::already_exists);
    THEN("nothing that was made for it is left, and the other keeps its own") {
      CHECK_FALSE(job.is_there("/other"));
      CHECK(job.is_there("/new/out/.lock"));
    }
  }
}

}  // namespace
}  // namespace weir::test
