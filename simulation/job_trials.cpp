#include "simulation/job_trials.hpp"

#include <memory>

#include "runtime/crash_reporter.hpp"
#include "simulation/seeded_random.hpp"
#include "state/codec.hpp"

namespace weir {
namespace {

/// A job whose sources give more in the run without faults is taken for one that does not end, unless it is limited.
constexpr std::uint64_t most_records = 10'000'000;

std::optional<SimulatedRunReport> read_report(const std::string& bytes) {
  SimulatedRunReport report;
  ByteReader reader(bytes);
  decode(reader, report);
  if (!reader.complete()) return std::nullopt;
  return report;
}

/// What a child has to say of its run.
Result<SimulatedRunReport> report_of(const ChildResult& child) {
  if (!child.failure.empty()) return error(Errc::user_function_failed, child.failure);
  if (auto report = read_report(child.bytes)) return std::move(*report);
  return error(Errc::user_function_failed, "says nothing");
}

/// What lies at which address is another in each run: an order by addresses is another, too.
void vary_addresses(std::uint64_t seed) {
  SeededRandom random(seed);
  static std::vector<std::unique_ptr<char[]>> kept;
  std::vector<std::unique_ptr<char[]>> freed;
  for (int i = 0; i < 2000; ++i)
    (random.one_in(2) ? kept : freed)
        .push_back(std::make_unique<char[]>(static_cast<std::size_t>(random.between(16, 4096))));
}

/// Whatever differs is told as what it is when nothing fails.
void say_what_depends(SimulatedRunReport& report) {
  for (Violation& one : report.violations)
    if (one.promise == "E1" || one.promise == "E2") {
      one.promise = "determinism";
      one.what += "; under another schedule or parallelism the job gives something else";
    }
  // What is called is the cause, and comes first.
  std::vector<Violation> causes;
  for (const std::string& caught : report.caught) causes.push_back({"determinism", caught, 0});
  report.violations.insert(report.violations.begin(), causes.begin(), causes.end());
}

}  // namespace

Result<SimulatedResult> JobTrials::expected_of(std::optional<std::uint64_t> records) const {
  WEIR_TRY_ASSIGN(quiet, run_once({0, FaultPlan::nothing(), records}, nullptr));
  if (!quiet.violations.empty())
    return error(Errc::user_function_failed,
                 "a run of " + settings_.called +
                     " without any fault goes wrong: " + quiet.violations.front().what);
  for (const std::string& caught : quiet.caught)
    if (caught.find("starts a thread") != std::string::npos)
      return error(Errc::user_function_failed, settings_.called + ": " + caught);
  return std::move(quiet.result);
}

Result<SimulatedRunReport> JobTrials::run_once(const Trial& trial,
                                               const SimulatedResult* expected) const {
  std::optional<ChildResult> result;
  WEIR_TRY(settings_.children.run(
      trial.seed, trial.seed, [&](std::uint64_t) { return run_here(trial, expected); },
      [&](ChildResult one) { result = std::move(one); }));
  if (!result) return error(Errc::cancelled, "ended");
  auto report = report_of(*result);
  if (report) return report;
  return error(report.error().code,
               "a run of " + settings_.called + " " + std::move(report.error().what));
}

Status JobTrials::run(
    std::uint64_t first, std::uint64_t last,
    const std::function<Trial(std::uint64_t number)>& trial_of, const SimulatedResult& expected,
    const std::function<void(std::uint64_t number, SimulatedRunReport)>& take) const {
  return settings_.children.run(
      first, last, [&](std::uint64_t number) { return run_here(trial_of(number), &expected); },
      [&](const ChildResult& result) {
        auto report = report_of(result);
        if (report) return take(result.number, std::move(*report));
        SimulatedRunReport crashed;
        crashed.seed = trial_of(result.number).seed;
        crashed.state = "crashed";
        crashed.violations.push_back({"liveness", "the run " + report.error().what, 0});
        take(result.number, std::move(crashed));
      });
}

std::string JobTrials::run_here(const Trial& trial, const SimulatedResult* expected) const {
  if (settings_.in_child) settings_.in_child();
  set_crash_notice({"seed " + std::to_string(trial.seed) + " of " + settings_.called, ""});
  SimulatedRunSettings settings;
  settings.seed = trial.seed;
  settings.faults = trial.plan;
  settings.only = trial.only;
  settings.staged = trial.staged;
  settings.task_managers = settings_.task_managers;
  if (expected == nullptr && !trial.records) settings.most_records = most_records;
  settings.expected = expected;
  settings.ordered_lists = settings_.check_determinism;
  settings.vary_parallelism = settings_.check_determinism && expected != nullptr;
  if (settings.vary_parallelism) vary_addresses(trial.seed);
  if (trial.records) settings_.limit_generators(*trial.records);
  SimulatedJob job = settings_.job;
  if (!trial.backend.empty()) job.backends = {trial.backend};
  job.lines = trial.records;
  if (expected != nullptr && settings_.adjust) settings_.adjust(settings);
  SimulatedRunReport report = run_simulated(job, settings);
  if (expected != nullptr) {
    report.result = {};  // nobody needs it any more
    if (settings_.check_determinism) say_what_depends(report);
  }
  std::string bytes;
  ByteWriter writer(bytes);
  encode(report, writer);
  return bytes;
}

Result<std::vector<std::string>> simulated_backends(const Configuration& fixed,
                                                    bool check_determinism) {
  const auto settings = fixed.as_map();
  const auto named = settings.find("state.backend");
  if (named == settings.end())
    return check_determinism ? std::vector<std::string>{"filesystem"}
                             : std::vector<std::string>{"jobmanager", "filesystem", "rocksdb"};
  // What a database does is not what the job does.
  if (check_determinism && fixed.state_backend().kind == StateBackendKind::rocksdb)
    return error(Errc::unsupported,
                 "state.backend: a database of rocksdb reads the clock itself, which a check of "
                 "determinism would take for the job's doing; name memory or filesystem");
  return std::vector{named->second};
}

Status check_inputs(const Plan& plan, FileSystem& files) {
  for (const PlanOperator& one : plan.operators)
    if (one.check_input) WEIR_TRY(one.check_input(files));
  return {};
}

}  // namespace weir
