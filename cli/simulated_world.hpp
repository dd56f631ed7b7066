#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "simulation/scenario/scenario_world.hpp"

namespace weir {

/// Plays a scenario in a simulated cluster, under virtual time: the job in `library`, unmodified, on the production
/// actors, tasks and storage. `seed` decides in which order things happen. What the job writes stays in memory; `${work}` lies
/// there, too. `scenario` outlives the world. Errors: `not_found` and `unsupported` of the library; those of the job
/// function. Threads: one; at most one world runs at a time.
[[nodiscard]] Result<std::unique_ptr<ScenarioWorld>> make_simulated_world(
    const Scenario& scenario, const std::string& library, std::uint64_t seed);

}  // namespace weir
