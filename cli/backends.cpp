#include "cli/backends.hpp"

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "simulation/testing/configured_backend.hpp"

namespace weir {
namespace {

/// With less, a subtask on RocksDB would be busy with bringing entries to and fro alone.
constexpr std::uint64_t least_memory_of_subtask = std::uint64_t{1} << 20;

}  // namespace

std::shared_ptr<StateBackend> make_backend(const StateBackendConfig& config,
                                           const SimulatedDatabases* databases) {
  const auto budget =
      std::make_shared<MemoryBudget>(config.heap_bytes.value_or(MemoryBudget::unlimited));
  const NativeStatesFactory of_databases =
      RocksDBStateBackend::file_reader(databases != nullptr ? databases->seams() : nullptr);
  switch (config.kind) {
    case StateBackendKind::jobmanager:
      return std::make_shared<MemoryStateBackend>(MemoryStateBackend::default_max_state_bytes,
                                                  MemoryStateBackend::default_max_payload_bytes,
                                                  budget, of_databases);
    case StateBackendKind::filesystem:
      return std::make_shared<FsStateBackend>(config.inline_threshold_bytes, budget, of_databases);
    case StateBackendKind::rocksdb: {
      RocksDBStateBackend::Options options;
      options.memory_bytes = config.rocksdb_memory_bytes;
      options.table_ratio = config.rocksdb_table_ratio;
      options.memory_threshold_bytes = config.inline_threshold_bytes;
      if (databases != nullptr) options = databases->options(options);
      return std::make_shared<RocksDBStateBackend>(options);
    }
  }
  return nullptr;
}

std::function<Result<std::shared_ptr<StateBackend>>(const Configuration&)> make_backend_registry() {
  struct Registry {
    std::mutex mutex;  ///< guards the fields below
    std::shared_ptr<StateBackend> backend;
    StateBackendConfig config;
  };
  return [registry = std::make_shared<Registry>()](
             const Configuration& configuration) -> Result<std::shared_ptr<StateBackend>> {
    const std::scoped_lock lock(registry->mutex);
    if (registry->backend == nullptr || registry->config != configuration.state_backend()) {
      registry->config = configuration.state_backend();
      registry->backend = make_backend(registry->config);
    }
    return registry->backend;
  };
}

std::shared_ptr<StateBackend> testing::configured_backend(const Configuration& configuration,
                                                          const SimulatedDatabases* databases) {
  return make_backend(configuration.state_backend(), databases);
}

void testing::end_idle_backend_threads() { RocksDBStateBackend::end_idle_threads(); }

Status check_backend_memory(const StateBackendConfig& config, const PlanDescription& plan) {
  if (config.kind != StateBackendKind::rocksdb) return {};
  std::set<std::uint32_t> keyed;
  for (const EdgeDescription& edge : plan.edges)
    if (edge.partitioning == Partitioning::hash) keyed.insert(edge.consumer);
  std::uint64_t subtasks = 0;
  for (const std::uint32_t op : keyed) subtasks += plan.operators[op].parallelism;
  const std::uint64_t least = subtasks * least_memory_of_subtask;
  if (config.rocksdb_memory_bytes >= least) return {};
  return error(Errc::invalid_argument,
               "state.backend.rocksdb.memory.fixed-per-tm gives " + std::to_string(subtasks) +
                   " subtasks with keyed state " +
                   std::to_string(config.rocksdb_memory_bytes >> 20) +
                   " MiB together, and each needs 1 MiB: set it to at least " +
                   std::to_string(subtasks) + " mb, or lower the parallelism");
}

}  // namespace weir
