#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/job_libraries.hpp"
#include "messages/messages.hpp"
#include "runtime/configuration.hpp"
#include "simulation/fault_plan.hpp"
#include "simulation/simulated_databases.hpp"
#include "simulation/snapshot_contents.hpp"
#include "simulation/staged_fault.hpp"
#include "state/file_system.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir {

/// A job as simulations run it, unmodified: its library, and what it is given.
struct SimulatedJob {
  std::string name;
  std::string library_sha256;  ///< its name in `libraries`
  std::vector<std::string> arguments;
  JobLibraries* libraries = nullptr;            ///< outlives every run
  std::map<std::string, std::string> settings;  ///< the job's own, over which a seed draws others
  std::map<std::string, std::string> fixed;     ///< which no seed draws
  std::vector<std::string> backends;  ///< that a seed draws from, as `state.backend` names them
  /// A backend whose databases are those of the run, which outlive it.
  std::function<Result<std::shared_ptr<StateBackend>>(const Configuration&,
                                                      const SimulatedDatabases&)>
      make_backend;
  /// Of a snapshot: the paths of output files that it holds and that are, or will be, committed; may be empty.
  std::function<Result<std::set<std::string>>(CheckpointStorage&, const std::string&)> held_output;
  FileSystem* inputs = nullptr;        ///< what the job reads; outlives every run
  std::optional<std::uint64_t> lines;  ///< of every input file; none: all
  /// What the user can do about a job that does not end, as the end of a sentence.
  std::string how_to_limit = "limit its input with --for RECORDS";
};

/// What a job has made of its input at the end of it.
struct SimulatedResult {
  std::map<std::string, std::vector<std::string>>
      output;                             ///< committed lines, sorted, by directory
  std::optional<SnapshotContents> state;  ///< none if the run took no savepoint there
  std::uint64_t steps = 0;                ///< that the run took until it had read all
};
WEIR_FIELDS(SimulatedResult, output, state, steps)

/// One promise that was broken.
struct Violation {
  std::string promise;  ///< `E1` to `E5`, `liveness`, or `protocol`
  std::string what;     ///< a sentence: what was expected, and what was found
  std::uint64_t step = 0;
};
WEIR_FIELDS(Violation, promise, what, step)

struct SimulatedRunSettings {
  std::uint64_t seed = 0;
  FaultPlan faults;
  std::uint32_t task_managers = 2;
  /// What the run must come to; null: it is the one without faults that says so.
  const SimulatedResult* expected = nullptr;
  /// The job must reach the end of its input within so much virtual time once nothing fails any more.
  std::chrono::milliseconds time_to_heal = std::chrono::minutes(30);
  /// A run that takes more steps is given up.
  std::uint64_t most_steps = 50'000'000;
  /// A run whose sources give more, all together and again and again if they were restored, is given up; none: no bound.
  std::optional<std::uint64_t> most_records;
  /// Whether the state at the end of the input is looked at; else the job ends at once, as it does in production.
  bool look_at_state = true;
  /// Of the disturbances that the seed draws, in the order of their steps, only these happen; none: all.
  std::optional<std::vector<std::uint64_t>> only;
  /// The first run has a parallelism that the seed draws.
  bool vary_parallelism = false;
  /// Lists are compared in their order.
  bool ordered_lists = false;
  /// The run goes through this flow once, and meets this at it, beside the faults.
  std::optional<StagedFault> staged;
  /// Called with each line of the trace; may be empty.
  std::function<void(const std::string& line)> trace;
  /// Whether the report has what the run has left on its disk, for people who want to look at it.
  bool keep_files = false;
};

/// What became of one seed.
struct SimulatedRunReport {
  std::uint64_t seed = 0;
  std::uint64_t trace_hash = 0;
  std::string
      state;  ///< how the job ended, as in `FINISHED`; `REFUSED` if it rightly went on from nothing
  std::string story;  ///< what was drawn, in a line
  std::vector<Violation> violations;
  std::vector<std::string> last_lines;          ///< of trace and logs, if there are violations
  std::map<std::string, std::uint64_t> faults;  ///< how often each class of faults has hit
  std::map<std::string, std::uint64_t>
      kill_points;                              ///< how often a process has ended there, by name
  std::map<std::string, std::uint64_t> counts;  ///< of other things
  std::uint64_t disturbances = 0;               ///< that were to happen
  std::vector<FlowStep> flow;                   ///< the messages of the staged flow, in their order
  std::string flow_outcome;                     ///< what became of the flow, in a few words
  bool staged_has_hit = false;                  ///< the staged fault has happened
  /// Calls of the job that make a run depend on more than its input, a sentence each.
  std::vector<std::string> caught;
  std::map<std::string, std::string> files;  ///< by path, if they were to be kept
  SimulatedResult result;
};
WEIR_FIELDS(SimulatedRunReport, seed, trace_hash, state, story, violations, last_lines, faults,
            kill_points, counts, disturbances, flow, flow_outcome, staged_has_hit, caught, files,
            result)

/// Runs `job` on a simulated cluster that fails, is rescaled and moved by savepoints, all as the seed draws it, until it
/// has reached the end of its input, and checks what was promised: E1 to E5 (docs/simulation.md), that it ends once nothing
/// fails any more, and that nothing is left behind. The same seed gives the same report.
/// Threads: one; at most one run in a process at a time.
[[nodiscard]] SimulatedRunReport run_simulated(const SimulatedJob& job,
                                               const SimulatedRunSettings& settings);

}  // namespace weir
