#pragma once

#include <functional>
#include <memory>

#include "runtime/configuration.hpp"
#include "runtime/plan_description.hpp"
#include "simulation/simulated_databases.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir {

/// Makes the backend that a configuration asks for. Here alone, `state.backend` meets the backends that
/// are built in. Backends of the same settings share what belongs to the process, such as a cache, so
/// one registry serves a whole process.
[[nodiscard]] std::function<Result<std::shared_ptr<StateBackend>>(const Configuration&)>
make_backend_registry();

/// Makes a backend of its own, which shares nothing. Its databases are `databases`, which outlive it, or, if that is null,
/// lie on the local disk.
[[nodiscard]] std::shared_ptr<StateBackend> make_backend(
    const StateBackendConfig& config, const SimulatedDatabases* databases = nullptr);

/// Whether each subtask with keyed state has a share of the memory for databases that it can work with, if all
/// subtasks of `plan` run in one TaskManager, as those of `weir run` do. Errors: `invalid_argument`.
[[nodiscard]] Status check_backend_memory(const StateBackendConfig& config,
                                          const PlanDescription& plan);

}  // namespace weir
