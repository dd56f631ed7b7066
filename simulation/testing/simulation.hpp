#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/job.hpp"
#include "api/stream_environment.hpp"
#include "simulation/testing/failure.hpp"
#include "simulation/testing/fault_sets.hpp"

/// Of the job that is linked into this program; null if there is none.
extern "C" __attribute__((weak)) const weir::JobDescriptor weir_job_descriptor;

namespace weir::testing {

/// A job function: what `WEIR_JOB(name) { ... }` defines under that name, or any other one.
using JobFunction = void (*)(StreamEnvironment& env);

/// What has happened in runs that were all good.
struct SimulationOutcome {
  std::uint64_t seeds = 0;
  std::map<std::string, std::uint64_t> faults;  ///< how often each class has hit, by its name
};

/// Runs a job of this program as `weir simulate` runs a library: through crashes, failing disks, lost messages, savepoints
/// and rescalings that a seed draws, on the real runtime, in virtual time (docs/simulation.md).
///
///   simulate(word_count)
///       .arguments({"--input", "words.txt"})
///       .seeds(1, 500)
///       .with_faults(crashes() | storage_faults())
///       .expect_exactly_once();
///
/// The job begins anew for each seed and in a process of its own, forked from this one: what it leaves in statics ends
/// with the seed, and so does a crash. Nothing is written to the real disk; the job reads from it what it reads.
/// `weir.yaml` is not read. Throws `BadUse` if the test asks for what cannot be, and `Failure`, from an `expect`, with
/// seed, step, what was expected and found, the last messages and how to run that seed alone. The environment variable
/// `WEIR_SEED` does that for all simulations of a program, whatever `seeds` says.
/// Threads: to be used while the program has one thread, as a fork takes no others along.
class Simulation {
 public:
  /// `job.entry` is not null; `job.name` is how sentences name it.
  explicit Simulation(const JobDescriptor& job);

  /// The seeds from `first` to `last`; 1 to 100 if left out, for determinism 1 to 20.
  [[nodiscard]] Simulation& seeds(std::uint64_t first, std::uint64_t last);
  /// What may happen, beside what earlier calls have named; everything if there is none.
  [[nodiscard]] Simulation& with_faults(const FaultPlan& faults);
  /// The same, of the text of a plan.
  [[nodiscard]] Simulation& with_faults(std::string_view yaml);
  /// The job's own, as `weir run` would be given them.
  [[nodiscard]] Simulation& arguments(std::vector<std::string> arguments);
  /// A setting, as `-D key=value`; the seed draws no other value.
  [[nodiscard]] Simulation& with(const std::string& key, const std::string& value);
  /// As `-p`; the seed then draws no other one.
  [[nodiscard]] Simulation& parallelism(std::uint32_t parallelism);
  /// Simulated ones; 2 if left out.
  [[nodiscard]] Simulation& task_managers(std::uint32_t count);
  /// Generators end after so many records, input files after so many lines.
  [[nodiscard]] Simulation& records(std::uint64_t count);
  /// How many seeds run at a time; one for each processor if left out.
  [[nodiscard]] Simulation& at_a_time(std::uint32_t count);

  /// Every seed must come to the state and to the committed output that the job has when nothing fails, and come to an end
  /// (the promises E1 to E5, liveness and protocol). The job keeps keyed state or writes files, else there is nothing to
  /// compare.
  SimulationOutcome expect_exactly_once() const;
  /// Every seed must come to an end, and what was reported complete must be there and whole; state and output are not
  /// compared, for jobs that have given up on exactness themselves.
  SimulationOutcome expect_survival() const;
  /// Without faults, state and output are the same at every schedule, parallelism and layout of memory, and no function of
  /// the job reads the clock or draws random numbers.
  SimulationOutcome expect_determinism() const;

 private:
  enum class Expectation : std::uint8_t { exactly_once, survival, determinism };
  [[nodiscard]] SimulationOutcome check(Expectation expectation) const;
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> chosen_seeds(Expectation expectation) const;
  /// As the test has written it, for sentences.
  [[nodiscard]] std::string call() const;

  JobDescriptor job_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> seeds_;
  std::optional<FaultPlan> faults_;
  std::vector<std::string> arguments_;
  std::map<std::string, std::string> settings_;
  std::uint32_t task_managers_ = 2;
  std::optional<std::uint64_t> records_;
  std::uint32_t at_a_time_ = 0;
};

/// Begins a simulation of `job`. Throws `BadUse` if that is null, or if this program was built against other headers than
/// the library that it uses.
[[nodiscard]] inline Simulation simulate(JobFunction job) {
  const bool is_linked = &weir_job_descriptor != nullptr && weir_job_descriptor.entry == job;
  return Simulation(
      JobDescriptor{.name = is_linked ? weir_job_descriptor.name : "job", .entry = job});
}

}  // namespace weir::testing
