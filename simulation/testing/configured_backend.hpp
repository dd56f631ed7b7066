#pragma once

#include <memory>

#include "runtime/configuration.hpp"
#include "simulation/simulated_databases.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir::testing {

// Defined in cli/backends.cpp, which alone knows the backends.

/// Makes the backend that `state.backend` names. Its databases are `databases`, which outlive it, or, if that is null,
/// lie on the local disk.
[[nodiscard]] std::shared_ptr<StateBackend> configured_backend(
    const Configuration& configuration, const SimulatedDatabases* databases = nullptr);
/// Has the threads end that backends have left behind. Requires that no state of any is there any more.
void end_idle_backend_threads();

}  // namespace weir::testing
