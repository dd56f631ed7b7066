#pragma once

#include <cstddef>
#include <memory>

#include "state/keyed_state_backend.hpp"

namespace rocksdb {
class Cache;
class WriteBufferManager;
}  // namespace rocksdb

namespace weir {

/// Keeps state in RocksDB, in a local directory per subtask, and snapshots in files:
/// `state.backend: rocksdb`. For state that is larger than memory.
/// Threads: any.
class RocksDBStateBackend final : public StateBackend {
 public:
  struct Options {
    /// Blocks read and entries not yet flushed, of all subtasks of the process together.
    std::size_t memory_bytes = std::size_t{256} << 20;
    /// What the table in front of one state of one subtask may use.
    std::size_t table_cache_bytes = std::size_t{64} << 20;
    /// A subtask's payload up to this size goes into the acknowledgement (`FsStateBackend`).
    std::uint64_t memory_threshold_bytes = 20480;
  };

  explicit RocksDBStateBackend(const Options& options);
  RocksDBStateBackend() : RocksDBStateBackend(Options{}) {}

  [[nodiscard]] std::string_view name() const override { return "rocksdb"; }
  [[nodiscard]] Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override;
  [[nodiscard]] SnapshotPlacement placement(SnapshotKind kind) const override;

 private:
  const Options options_;
  const std::shared_ptr<rocksdb::Cache> block_cache_;
  const std::shared_ptr<rocksdb::WriteBufferManager> write_buffer_;
};

}  // namespace weir
