#include "simulation/testing/simulation.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <unistd.h>

#include "api/job_descriptor.hpp"
#include "connectors/held_files.hpp"
#include "runtime/crash_reporter.hpp"
#include "simulation/job_trials.hpp"
#include "simulation/run_text.hpp"
#include "simulation/testing/configured_backend.hpp"
#include "simulation/testing/linked_job.hpp"
#include "simulation/testing/operator_run.hpp"
#include "storage/posix_file_system.hpp"

namespace weir::testing {
namespace {

/// Failures that are told with what was broken; of the others, the seed.
constexpr std::size_t told_failures = 5;
/// Threads that are to end are waited for so long.
constexpr std::chrono::seconds longest_end_of_threads{10};
constexpr const char* seed_variable = "WEIR_SEED";
/// Of this process before it starts any. The thread sanitizer has one of its own.
#ifdef __SANITIZE_THREAD__
constexpr std::size_t first_threads = 2;
#else
constexpr std::size_t first_threads = 1;
#endif

std::string current_directory() {
  const std::unique_ptr<char, decltype(&std::free)> path(::getcwd(nullptr, 0), &std::free);
  if (path == nullptr)
    throw BadUse("the working directory of this program is gone; change to one that is there");
  return path.get();
}

std::size_t count_threads() {
  PosixFileSystem files;
  const auto threads = files.list("/proc/self/task");
  return threads ? threads->size() : first_threads;
}

/// Those of databases that operator harnesses had end as they may.
void end_threads_of_databases() {
  if (!OperatorRun::had_databases() || OperatorRun::open_databases() > 0) return;
  end_idle_backend_threads();
  const auto latest = std::chrono::steady_clock::now() + longest_end_of_threads;
  while (count_threads() > first_threads && std::chrono::steady_clock::now() < latest)
    std::this_thread::yield();
}

void require_one_thread(const std::string& call) {
  if (count_threads() > first_threads) end_threads_of_databases();
  const std::size_t threads = count_threads();
  if (threads <= first_threads) return;
  if (OperatorRun::open_databases() > 0)
    throw BadUse(call +
                 ": an operator harness on rocksdb has a database with threads, and each "
                 "seed runs in a child that is forked from this process: let the harness "
                 "go out of scope first");
  throw BadUse(call + ": this program has " + std::to_string(threads) +
               " threads, and each seed runs in a child that is forked from it, which would have "
               "one of them: simulate before the first thread is started, or in a test program "
               "that starts none");
}

/// The value of WEIR_SEED, if it is set.
std::optional<std::uint64_t> seed_of_environment() {
  const char* text = std::getenv(seed_variable);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view digits(text);
  std::uint64_t seed = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (failed != std::errc() || end != digits.data() + digits.size())
    throw BadUse(std::string(seed_variable) + "=" + text +
                 ": a seed is a whole number, as a failure tells it");
  return seed;
}

bool is_empty(const SimulatedResult& result) {
  const auto is_bare = [](const auto& one) { return one.second.empty(); };
  return result.output.empty() && (!result.state || std::ranges::all_of(*result.state, is_bare));
}

/// What the seeds have shown.
struct Findings {
  std::vector<SimulatedRunReport> failed;
  SimulationOutcome outcome;

  void take(SimulatedRunReport report) {
    ++outcome.seeds;
    for (const auto& [fault, hits] : report.faults) outcome.faults[fault] += hits;
    if (!report.violations.empty()) failed.push_back(std::move(report));
  }
  [[nodiscard]] std::string text(bool with_history) {
    std::ranges::sort(failed, {}, &SimulatedRunReport::seed);
    std::vector<std::uint64_t> seeds;
    for (const SimulatedRunReport& one : failed) seeds.push_back(one.seed);
    std::string text = std::to_string(outcome.seeds) +
                       (outcome.seeds == 1 ? " seed, " : " seeds, ") + failed_text(seeds) + "\n";
    for (std::size_t i = 0; i < std::min(failed.size(), told_failures); ++i) {
      const SimulatedRunReport& one = failed[i];
      // What led to one failure is enough to begin with; and nothing that failed leads to a difference without faults.
      if (i == 0 && with_history)
        text += story_text(one) + faults_text(one.faults) + last_lines_text(one);
      const std::string seed = std::to_string(one.seed);
      text += violations_text(one);
      text += "  replay: .seeds(" + seed + ", " + seed + ") in the test, or " + seed_variable +
              "=" + seed + " in its environment\n";
    }
    text.pop_back();
    return text;
  }
};

}  // namespace

Simulation::Simulation(const JobDescriptor& job) : job_(job) {
  if (job.entry == nullptr || job.name == nullptr)
    throw BadUse(
        "simulate() was given no job: pass the function that WEIR_JOB defines, by its name");
  if (const Status fits = check_descriptor(job, "this program"); !fits)
    throw BadUse(fits.error().what);
}

std::string Simulation::call() const { return std::string("simulate(") + job_.name + ")"; }

Simulation& Simulation::seeds(std::uint64_t first, std::uint64_t last) {
  const auto written = [](std::uint64_t a, std::uint64_t b) {
    return "seeds(" + std::to_string(a) + ", " + std::to_string(b) + ")";
  };
  if (first > last)
    throw BadUse(written(first, last) + ": the first seed comes behind the last; write " +
                 written(last, first));
  seeds_ = {first, last};
  return *this;
}

Simulation& Simulation::with_faults(const FaultPlan& faults) {
  faults_ = faults_ ? *faults_ | faults : faults;
  return *this;
}

Simulation& Simulation::with_faults(std::string_view yaml) { return with_faults(fault_plan(yaml)); }

Simulation& Simulation::arguments(std::vector<std::string> arguments) {
  arguments_ = std::move(arguments);
  return *this;
}

Simulation& Simulation::with(const std::string& key, const std::string& value) {
  const auto valid = Configuration::from_map({{key, value}}, "with()");
  if (!valid) throw BadUse(valid.error().what);
  const auto canonical = valid->as_map();  // without deprecated names
  for (const auto& [name, text] : canonical) settings_[name] = text;
  return *this;
}

Simulation& Simulation::parallelism(std::uint32_t parallelism) {
  return with("parallelism.default", std::to_string(parallelism));
}

Simulation& Simulation::task_managers(std::uint32_t count) {
  if (count == 0 || count > 64)
    throw BadUse("task_managers(" + std::to_string(count) + "): give a number from 1 to 64");
  task_managers_ = count;
  return *this;
}

Simulation& Simulation::records(std::uint64_t count) {
  if (count == 0)
    throw BadUse("records(0): a job without input shows nothing; give a number of at least 1");
  records_ = count;
  return *this;
}

Simulation& Simulation::at_a_time(std::uint32_t count) {
  if (count == 0) throw BadUse("at_a_time(0): give a number of at least 1");
  at_a_time_ = count;
  return *this;
}

std::pair<std::uint64_t, std::uint64_t> Simulation::chosen_seeds(Expectation expectation) const {
  if (const auto seed = seed_of_environment()) return {*seed, *seed};
  if (seeds_) return *seeds_;
  return {1, expectation == Expectation::determinism ? 20 : 100};
}

SimulationOutcome Simulation::expect_exactly_once() const {
  return check(Expectation::exactly_once);
}
SimulationOutcome Simulation::expect_survival() const { return check(Expectation::survival); }
SimulationOutcome Simulation::expect_determinism() const { return check(Expectation::determinism); }

SimulationOutcome Simulation::check(Expectation expectation) const {
  const bool determinism = expectation == Expectation::determinism;
  const auto [first, last] = chosen_seeds(expectation);
  require_one_thread(call());
  const auto bad_use = [&](const Error& error) { return BadUse(call() + ": " + error.what); };
  const auto fixed = Configuration::from_map(settings_, "with()");
  if (!fixed) throw bad_use(fixed.error());
  const auto backends = simulated_backends(*fixed, determinism);
  if (!backends) throw bad_use(backends.error());

  PosixFileSystem files;
  LinkedJob linked(job_, current_directory());
  auto run = linked.run(arguments_, *fixed);
  if (!run) throw bad_use(run.error().error);
  if (const Status readable = check_inputs(*run->plan, files); !readable)
    throw bad_use(readable.error());

  JobTrials::Settings settings;
  settings.called = "the job";
  settings.task_managers = task_managers_;
  settings.check_determinism = determinism;
  settings.limit_generators = [&](std::uint64_t records) { linked.limit_generators(records); };
  // The handlers of the test framework would take a crash for one of theirs.
  settings.in_child = install_crash_reporter;
  settings.children.at_a_time =
      at_a_time_ > 0 ? at_a_time_ : std::max(1U, std::thread::hardware_concurrency());
  SimulatedJob& job = settings.job;
  job.name = job_.name;
  job.library_sha256 = LinkedJob::name;
  job.arguments = arguments_;
  job.libraries = &linked;
  job.settings = run->settings;
  job.fixed = settings_;
  job.backends = *backends;
  job.make_backend = [](const Configuration& configuration, const SimulatedDatabases& databases) {
    return Result<std::shared_ptr<StateBackend>>(configured_backend(configuration, &databases));
  };
  job.held_output = files_held_by;
  job.inputs = &files;
  job.how_to_limit = "limit its input with .records(count)";
  const JobTrials trials(std::move(settings));

  auto expected = trials.expected_of(records_);
  if (!expected) throw Failure(call() + ": " + expected.error().what);
  if (expectation == Expectation::survival) {
    *expected = {.output = {}, .state = {}, .steps = expected->steps};
  } else if (is_empty(*expected)) {
    throw BadUse(call() +
                 ": the job has no keyed state at the end of its input and writes no files, so "
                 "that there is nothing to compare: let it write_files, or expect_survival()");
  }
  const FaultPlan plan = determinism ? no_faults() : faults_.value_or(everything());
  Findings findings;
  const Status ran = trials.run(
      first, last, [&](std::uint64_t seed) { return Trial{seed, plan, records_}; }, *expected,
      [&](std::uint64_t, SimulatedRunReport report) { findings.take(std::move(report)); });
  if (!ran) throw BadUse(call() + ": " + ran.error().what);
  if (!findings.failed.empty()) throw Failure(call() + ": " + findings.text(!determinism));
  return findings.outcome;
}

}  // namespace weir::testing
