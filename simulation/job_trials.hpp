#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/configuration.hpp"
#include "runtime/plan.hpp"
#include "simulation/child_runs.hpp"
#include "simulation/simulated_run.hpp"

namespace weir {

/// One run of a job, and what happens to it.
struct Trial {
  std::uint64_t seed = 0;
  FaultPlan plan;
  std::optional<std::uint64_t> records{};  ///< of each input; none: all
  std::optional<std::vector<std::uint64_t>> only{};
  std::optional<StagedFault> staged{};
  std::string backend{};  ///< empty: drawn
};

/// Runs one job again and again, each time in a child of this process, so that nothing is left of one run for the
/// next, and compares each with what the job makes of its input when nothing fails.
/// Threads: one, as `ChildRuns`.
class JobTrials {
 public:
  struct Settings {
    SimulatedJob job;
    std::string called;  ///< the job, as sentences name it: its path or name
    std::uint32_t task_managers = 2;
    /// Schedule, parallelism and layout of memory are varied, and whatever differs is told as what it is then.
    bool check_determinism = false;
    /// Tells whoever makes the job's plans of `Trial::records`; called in the child.
    std::function<void(std::uint64_t records)> limit_generators;
    /// Called in each child before anything else; may be empty.
    std::function<void()> in_child;
    /// Called in the child with the settings of a run that is compared; may be empty.
    std::function<void(SimulatedRunSettings&)> adjust;
    ChildRuns children;
  };
  explicit JobTrials(Settings settings) : settings_(std::move(settings)) {}

  /// What the job makes of its input, of so many records, when nothing fails. Errors: `user_function_failed` if
  /// that goes wrong, or if the job starts threads; `cancelled` if the children were asked to end.
  [[nodiscard]] Result<SimulatedResult> expected_of(std::optional<std::uint64_t> records) const;
  /// `expected` is null for a run that says so itself. Errors: the child's crash; `cancelled`, as above.
  [[nodiscard]] Result<SimulatedRunReport> run_once(const Trial& trial,
                                                    const SimulatedResult* expected) const;
  /// Makes the trials `trial_of(number)` for the numbers from `first` to `last`, and calls `take` here as each ends, in any
  /// order. A child that crashes has broken the promise `liveness`. Errors: as `ChildRuns::run`.
  [[nodiscard]] Status run(
      std::uint64_t first, std::uint64_t last,
      const std::function<Trial(std::uint64_t number)>& trial_of, const SimulatedResult& expected,
      const std::function<void(std::uint64_t number, SimulatedRunReport)>& take) const;

 private:
  /// In a child. The report, encoded.
  [[nodiscard]] std::string run_here(const Trial& trial, const SimulatedResult* expected) const;

  Settings settings_;
};

/// The backends that a seed draws from, given what the user has fixed. Errors: `unsupported` for a database
/// where determinism is checked.
[[nodiscard]] Result<std::vector<std::string>> simulated_backends(const Configuration& fixed,
                                                                  bool check_determinism);
/// Whether what the sources of the job read is there. Errors: of the first that is not.
[[nodiscard]] Status check_inputs(const Plan& plan, FileSystem& files);

}  // namespace weir
