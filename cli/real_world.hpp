#pragma once

#include <memory>
#include <string>

#include "simulation/scenario/scenario_world.hpp"

namespace weir {

/// What a world of real processes works with.
struct RealWorldParts {
  std::string program;    ///< the path of `weir`
  std::string library;    ///< the job's
  std::string directory;  ///< of this world alone; there, and empty
  std::string how_to_repeat;
};

/// Plays a scenario with the command line: the job is a process of `weir run`, savepoints and the like are
/// other processes of `weir`, a kill is `kill -9`. Messages are read from `--trace`. `scenario` outlives
/// the world. A real world has one process for JobManager and TaskManager, its own disk and its own clock,
/// so that cut links, lost messages, full disks and the like are `unsupported`.
[[nodiscard]] std::unique_ptr<ScenarioWorld> make_real_world(const Scenario& scenario,
                                                             RealWorldParts parts);

}  // namespace weir
