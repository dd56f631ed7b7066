#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cli/command_line.hpp"
#include "simulation/scenario/scenario_world.hpp"

namespace weir {

/// Makes the simulated world of a scenario whose job lies in `library`; `seed` decides whatever is drawn.
using MakeSimulatedWorld = std::function<Result<std::unique_ptr<ScenarioWorld>>(
    const Scenario& scenario, const std::string& library, std::uint64_t seed)>;
/// The one that is built in; empty if there is none.
[[nodiscard]] MakeSimulatedWorld simulated_world_factory();

/// `weir scenario run`. Returns the exit code: 1 if a scenario failed or a job is missing, 2 if a file says
/// something wrong, or what the world cannot do.
[[nodiscard]] int run_scenarios(const ScenarioRunCommand& command);
/// `weir scenario new`
[[nodiscard]] int write_scenario(const ScenarioNewCommand& command);

}  // namespace weir
