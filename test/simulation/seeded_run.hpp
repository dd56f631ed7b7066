#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "messages/interfaces.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/keyed_state_backend.hpp"
#include "test/simulation/seeded_job.hpp"

namespace weir {

/// What a run uses in place of production code, to see whether the promises notice. Nothing: the real code.
struct SeededRunCode {
  // As in `SimulatedCluster::Settings`:
  std::function<std::unique_ptr<FileSystem>(FileSystem&)> files;
  std::function<std::shared_ptr<CheckpointStorage>(FileSystem&, Random&)> storage;
  std::function<TaskManagerInterface(caf::actor_system&, const TaskManagerInterface&)> between;
  /// What a process gets for the drawn backend.
  std::function<std::shared_ptr<StateBackend>(std::shared_ptr<StateBackend>)> backend;
  WrapSink sink;
  std::map<std::string, std::string> configuration;  ///< on top of the drawn one
};

/// What became of one seed.
struct SeededRunReport {
  std::uint64_t trace_hash = 0;
  std::string story;  ///< the drawn job and cluster, in a line
  /// Promises that were broken, one sentence each; empty if all is well.
  std::vector<std::string> violations;
  std::vector<std::string> last_lines;  ///< of the trace and the logs, if there are violations
  /// How often things happened: `checkpoint completed`, `crash of the host`, ...
  std::map<std::string, std::uint64_t> counts;
};

/// Runs one job over a cluster that crashes, fails, is rescaled and moved by savepoints, all as `seed`
/// draws it, until the job has reached the end of its input, and checks what was promised (docs/simulation.md):
///
/// - E1: every keyed state is what a sequential program computes from the same input;
/// - E2: every record is in the committed files exactly once;
/// - E3: a checkpoint that was reported complete can be restored;
/// - E4: a savepoint that was reported survives whatever comes, and restores at any parallelism;
/// - E5: no run starts from nothing while there is a snapshot;
/// - and once nothing fails any more, the job ends.
///
/// The same seed gives the same report.
[[nodiscard]] SeededRunReport run_seed(std::uint64_t seed, const SeededRunCode& code = {});

}  // namespace weir
