// Records that flow between simulated processes, and what becomes of a job when something happens to them.
#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/fs/fs_state_backend.hpp"
#include "simulation/simulated_cluster.hpp"
#include "test/simulation/function_libraries.hpp"
#include "test/simulation/seeded_job.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

constexpr const char* output = "/output";

/// A job of several exchanges whose subtasks lie in turn in all TaskManagers.
class SpreadJob {
 public:
  SpreadJob(std::uint64_t seed, std::uint32_t task_managers,
            const std::map<std::string, std::string>& settings = {})
      : libraries_("/"), cluster_(cluster_settings(seed, settings)) {
    SeededRandom random(seed);
    job_ = draw_job(random);
    job_.rebalanced = job_.mapped = true;
    libraries_.add("spread", [this](StreamEnvironment& env) {
      build_job(env, job_, output, std::make_shared<Chaos>(), {});
    });
    cluster_.start_job_manager();
    for (std::uint32_t i = 0; i < task_managers; ++i) (void)cluster_.start_task_manager(4);
    // A job is dealt out to those that have registered.
    run_until([&] { return told("RegistrationSuccess") == task_managers; });
    JobSubmission submission;
    submission.id = {1, seed};
    submission.name = submission.library_sha256 = "spread";
    submission.configuration = configuration_;
    const auto plan = libraries_.build_plan("spread", {}, configuration_);
    REQUIRE(plan);
    submission.plan = (*plan)->describe();
    submitted_ = cluster_.ask<SubmitJobSuccess>(SubmitJob{std::move(submission)}, 2min);
  }

  /// Goes on until `holds()`.
  void run_until(const std::function<bool()>& holds) {
    const MonotonicTime end = cluster_.now() + 30min;
    while (!holds()) {
      if (!cluster_.step() || cluster_.now() > end) FAIL("it does not come to that");
      if (submitted_ && submitted_->has_value()) REQUIRE(**std::exchange(submitted_, {}));
    }
  }
  void run_to_the_end() {
    MonotonicTime next_look = cluster_.now();
    SimulatedCluster::Awaited<JobDetails> details;
    run_until([&] {
      if (submitted_) return false;
      if (!details && cluster_.now() >= next_look) {
        details = cluster_.ask<JobDetails>(RequestJobDetails{current()}, 2min);
        next_look = cluster_.now() + 100ms;
      }
      if (!details || !details->has_value()) return false;
      const auto answer = *std::exchange(details, {});
      if (!*answer) return false;
      restarts = (**answer).overview.restarts;
      CHECK((**answer).overview.state != JobState::failed);
      return is_terminal((**answer).overview.state);
    });
  }
  /// Goes on until records have been flowing for a while.
  void run_for_a_while() {
    run_until([&] { return !cluster_.record_links().empty(); });
    const std::uint64_t begin = cluster_.steps();
    run_until([&] { return cluster_.steps() > begin + 400; });
  }
  [[nodiscard]] JobId current() const { return {1, seed_}; }
  [[nodiscard]] SimulatedCluster& cluster() { return cluster_; }
  [[nodiscard]] std::size_t told(const std::string& words) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        trace_, [&](const std::string& line) { return line.find(words) != std::string::npos; }));
  }
  /// Whether it has put out what a sequential program does.
  [[nodiscard]] bool is_right() {
    Lines lines;
    for (const auto& [path, content] : cluster_.disk().contents()) {
      if (!path.starts_with(std::string(output) + "/") ||
          path[std::string(output).size() + 1] == '.')
        continue;
      for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = content.find('\n', begin);
        lines.push_back(content.substr(begin, end - begin));
        begin = end + 1;
      }
    }
    std::ranges::sort(lines);
    return lines == expected_lines(job_, true);
  }

  std::uint64_t restarts = 0;

 private:
  SimulatedCluster::Settings cluster_settings(std::uint64_t seed,
                                              const std::map<std::string, std::string>& more) {
    seed_ = seed;
    configuration_ = {{"cluster.evenly-spread-out-slots", "true"},
                      {"parallelism.default", "3"},
                      {"state.backend", "filesystem"},
                      {"state.checkpoints.dir", "/checkpoints"},
                      {"execution.checkpointing.interval", "100 ms"},
                      {"taskmanager.network.memory.per-channel", "4 kb"},
                      {"heartbeat.interval", "500 ms"},
                      {"heartbeat.timeout", "6 s"},
                      {"restart-strategy", "fixed-delay"},
                      {"restart-strategy.fixed-delay.delay", "100 ms"}};
    for (const auto& [key, value] : more) configuration_[key] = value;
    SimulatedCluster::Settings settings;
    settings.seed = seed;
    settings.pace = 10ms;
    settings.links = true;
    auto configuration = Configuration::from_map(configuration_, "test");
    REQUIRE(configuration);
    settings.configuration = std::move(*configuration);
    settings.libraries = &libraries_;
    settings.make_backend = [](const Configuration&) -> Result<std::shared_ptr<StateBackend>> {
      return std::make_shared<FsStateBackend>(0);
    };
    settings.trace = [this](const std::string& line) { trace_.push_back(line); };
    return settings;
  }

  std::uint64_t seed_ = 0;
  std::map<std::string, std::string> configuration_;
  Lines trace_;
  SeededJob job_;
  FunctionLibraries libraries_;
  SimulatedCluster cluster_;
  SimulatedCluster::Awaited<SubmitJobSuccess> submitted_;
};

TEST_CASE("a job in several TaskManagers does what it does in one", "[simulation]") {
  for (const std::uint32_t task_managers : {2U, 3U})
    for (const char* mode : {"EXACTLY_ONCE", "AT_LEAST_ONCE"})
      for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        INFO(task_managers << " TaskManagers, " << mode << ", seed " << seed);
        SpreadJob job(seed, task_managers, {{"execution.checkpointing.mode", mode}});
        job.run_to_the_end();
        CHECK(job.restarts == 0);
        CHECK(job.told(" is there") == (task_managers == 2 ? 2 : 6));
        CHECK(job.is_right());
      }
}

TEST_CASE("what happens to records on their way ends the attempt, and nothing is lost or doubled",
          "[simulation]") {
  const std::string fault =
      GENERATE("both ways are cut", "the way there is cut", "the way back is cut",
               "some bytes are lost", "some bytes come twice", "a process ends");
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    INFO(fault << ", seed " << seed);
    SpreadJob job(seed, 2);
    job.run_for_a_while();
    const auto links = job.cluster().record_links();
    REQUIRE(links.size() == 1);
    const auto [there, back] = links[0];
    const MonotonicTime end = job.cluster().now() + 20s;
    if (fault == "both ways are cut" || fault == "the way there is cut") there->cut_until(end);
    if (fault == "both ways are cut" || fault == "the way back is cut") back->cut_until(end);
    if (fault == "some bytes are lost") there->drop_next();
    if (fault == "some bytes come twice") there->repeat_next(1s);
    if (fault == "a process ends") {
      job.cluster().crash_task_manager(TaskManagerId{1});
      (void)job.cluster().start_task_manager(4);
    }
    job.run_to_the_end();
    CHECK(job.restarts >= 1);
    CHECK(job.is_right());
    // Both ends have noticed, if both are still there.
    CHECK(job.told("between TaskManager 2 and TaskManager 1 is lost: ") >= 1);
    if (fault != "a process ends")
      CHECK(job.told("between TaskManager 1 and TaskManager 2 is lost: ") >= 1);
  }
}

TEST_CASE("records that are only late change nothing", "[simulation]") {
  for (const char* mode : {"EXACTLY_ONCE", "AT_LEAST_ONCE"})
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      INFO(mode << ", seed " << seed);
      SpreadJob job(seed, 3, {{"execution.checkpointing.mode", mode}});
      job.run_for_a_while();
      for (const auto& [there, back] : job.cluster().record_links()) {
        there->delay_next(4s);
        back->delay_next(1s);
      }
      job.run_to_the_end();
      CHECK(job.restarts == 0);
      CHECK(job.told(" is delayed") >= 1);
      CHECK(job.is_right());
    }
}

TEST_CASE("records between processes come in the order that the seed draws", "[simulation]") {
  const auto hash = [](std::uint64_t seed) {
    SpreadJob job(seed, 3);
    job.run_to_the_end();
    return job.cluster().trace_hash();
  };
  CHECK(hash(1) == hash(1));
  CHECK(hash(2) == hash(2));
  CHECK(hash(1) != hash(2));
}

}  // namespace
}  // namespace weir::test
