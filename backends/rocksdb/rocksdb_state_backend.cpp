#include "backends/rocksdb/rocksdb_state_backend.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/write_buffer_manager.h>

#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"

namespace weir {

// Half of the memory may wait to be flushed; it is charged to the cache, so that the sum has one bound.
RocksDBStateBackend::RocksDBStateBackend(const Options& options)
    : options_(options),
      block_cache_(rocksdb::NewLRUCache(options.memory_bytes)),
      write_buffer_(
          std::make_shared<rocksdb::WriteBufferManager>(options.memory_bytes / 2, block_cache_)) {}

Result<std::unique_ptr<KeyedStateBackend>> RocksDBStateBackend::create_keyed_state_backend(
    const KeyedStateBackendContext& context) {
  return RocksDBKeyedStateBackend::create(context, options_.table_cache_bytes, block_cache_,
                                          write_buffer_);
}

SnapshotPlacement RocksDBStateBackend::placement(SnapshotKind) const {
  return {.inline_threshold_bytes = options_.memory_threshold_bytes};
}

}  // namespace weir
