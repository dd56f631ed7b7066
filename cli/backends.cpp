#include "cli/backends.hpp"

#include <mutex>
#include <utility>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"

namespace weir {
namespace {

std::shared_ptr<StateBackend> make_backend(const StateBackendConfig& config) {
  const auto budget =
      std::make_shared<MemoryBudget>(config.heap_bytes.value_or(MemoryBudget::unlimited));
  switch (config.kind) {
    case StateBackendKind::jobmanager:
      return std::make_shared<MemoryStateBackend>(MemoryStateBackend::default_max_state_bytes,
                                                  MemoryStateBackend::default_max_payload_bytes,
                                                  budget, RocksDBStateBackend::file_reader());
    case StateBackendKind::filesystem:
      return std::make_shared<FsStateBackend>(config.inline_threshold_bytes, budget,
                                              RocksDBStateBackend::file_reader());
    case StateBackendKind::rocksdb: {
      RocksDBStateBackend::Options options;
      options.memory_bytes = config.rocksdb_memory_bytes;
      options.table_ratio = config.rocksdb_table_ratio;
      options.memory_threshold_bytes = config.inline_threshold_bytes;
      return std::make_shared<RocksDBStateBackend>(options);
    }
  }
  return nullptr;
}

}  // namespace

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

}  // namespace weir
