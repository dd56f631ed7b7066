#include "backends/rocksdb/rocksdb_state_backend.hpp"

#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/env.h>

#include "backends/rocksdb/native_restore.hpp"
#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"

namespace weir {

namespace {

std::size_t table_bytes(const RocksDBStateBackend::Options& options) {
  return static_cast<std::size_t>(static_cast<double>(options.memory_bytes) * options.table_ratio);
}

}  // namespace

RocksDBStateBackend::RocksDBStateBackend(const Options& options)
    : options_(options),
      block_cache_(rocksdb::NewLRUCache(options.memory_bytes - table_bytes(options))),
      table_memory_(
          std::make_shared<TableMemory>(table_bytes(options), options.entry_limit_bytes)) {}

NativeStatesFactory RocksDBStateBackend::file_reader(std::shared_ptr<const DatabaseSeams> seams) {
  return [seams = std::move(seams)](FileSystem& files, const std::string& directory) {
    return DatabaseStates::create(seams != nullptr ? *seams : DatabaseSeams(files), directory);
  };
}

void RocksDBStateBackend::end_idle_threads() {
  // Databases ask for as many as they need when they are opened.
  for (const auto pool : {rocksdb::Env::Priority::LOW, rocksdb::Env::Priority::HIGH})
    rocksdb::Env::Default()->SetBackgroundThreads(0, pool);
}

Result<std::unique_ptr<KeyedStateBackend>> RocksDBStateBackend::create_keyed_state_backend(
    const KeyedStateBackendContext& context) {
  return RocksDBKeyedStateBackend::create(context, table_memory_, block_cache_,
                                          options_.seams.get());
}

SnapshotPlacement RocksDBStateBackend::placement(SnapshotKind) const {
  return {.inline_threshold_bytes = options_.memory_threshold_bytes};
}

}  // namespace weir
