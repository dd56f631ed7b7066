#pragma once

#include <cstddef>
#include <memory>

#include "backends/native_states.hpp"
#include "backends/rocksdb/table_memory.hpp"
#include "state/keyed_state_backend.hpp"

namespace rocksdb {
class Cache;
}  // namespace rocksdb

namespace weir {

struct DatabaseSeams;

/// Keeps state in RocksDB, in a local directory per subtask, and snapshots in files:
/// `state.backend: rocksdb`. For state that is larger than memory. A snapshot that need not be canonical consists
/// of the database's files.
/// Threads: any.
class RocksDBStateBackend final : public StateBackend {
 public:
  struct Options {
    /// Tables and blocks of the databases, of all subtasks of the process together.
    std::size_t memory_bytes = std::size_t{512} << 20;
    /// The share of it that tables may use, from 0 to 1; the rest is for blocks.
    double table_ratio = 0.5;
    /// An entry of up to so much fits, however small the share of a subtask's tables is.
    std::size_t entry_limit_bytes = TableMemory::least_entry_limit_bytes;
    /// A subtask's payload up to this size goes into the acknowledgement (`FsStateBackend`).
    std::uint64_t memory_threshold_bytes = 20480;
    /// What the databases stand on; null: the disk of the task.
    std::shared_ptr<const DatabaseSeams> seams = nullptr;
  };

  explicit RocksDBStateBackend(const Options& options);
  RocksDBStateBackend() : RocksDBStateBackend(Options{}) {}

  /// For backends that restore what this one has written in its own form. `seams`: as in `Options`.
  [[nodiscard]] static NativeStatesFactory file_reader(
      std::shared_ptr<const DatabaseSeams> seams = nullptr);
  /// Has the threads end that closed databases have left in this process; they are gone soon after. The next
  /// database starts new ones. Requires that none is open.
  static void end_idle_threads();

  [[nodiscard]] std::string_view name() const override { return "rocksdb"; }
  [[nodiscard]] Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override;
  [[nodiscard]] SnapshotPlacement placement(SnapshotKind kind) const override;

 private:
  const Options options_;
  const std::shared_ptr<rocksdb::Cache> block_cache_;
  const std::shared_ptr<TableMemory> table_memory_;
};

}  // namespace weir
