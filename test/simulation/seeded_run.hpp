#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir {

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
[[nodiscard]] SeededRunReport run_seed(std::uint64_t seed);

}  // namespace weir
