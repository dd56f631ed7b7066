#pragma once

#include <memory>
#include <string>
#include <vector>

#include <rocksdb/sst_file_writer.h>

#include "backends/restored_states.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/table.hpp"

namespace weir {

/// Keyed state in a database of the subtask's own, one column family per state, keyed by the entry
/// layout (state/entry_key.hpp). The tables in front are write-through caches: `store_changes` writes
/// what a slice has changed in one batch, then drops groups that exceed the budget. A snapshot is one
/// of RocksDB's; its task iterates the column families, which are in the order of the canonical format.
/// Threads: the task's; snapshot tasks anywhere, also after `dispose`: the last of them to end, or to be
/// given up, closes the database and removes the local directory.
class RocksDBKeyedStateBackend final : public KeyedStateBackend {
 public:
  /// The database lies in `context.local_directory`, which is made. `cache_bytes` is the budget of each
  /// table. Errors: `io_error`.
  [[nodiscard]] static Result<std::unique_ptr<KeyedStateBackend>> create(
      const KeyedStateBackendContext& context, std::size_t cache_bytes,
      std::shared_ptr<rocksdb::Cache> block_cache,
      std::shared_ptr<rocksdb::WriteBufferManager> write_buffer);

  [[nodiscard]] Status restore(std::vector<RestoredKeyedState> states) override;
  [[nodiscard]] Status add_table(std::unique_ptr<TableBase> table) override;
  [[nodiscard]] Result<bool> load_restored() override;
  [[nodiscard]] std::vector<std::string> unclaimed_states() const override;
  [[nodiscard]] std::vector<StateDeclaration> declarations() const override;
  [[nodiscard]] Status store_changes() override;
  /// What was changed since the last `store_changes` is stored first; a task that calls it after every
  /// slice leaves nothing to do here.
  [[nodiscard]] Result<std::unique_ptr<SnapshotTask>> begin_snapshot(
      const SnapshotRequest& request) override;
  [[nodiscard]] Result<std::vector<std::string>> keys_of_group(std::uint32_t group) override;
  [[nodiscard]] std::uint64_t size_bytes() const override;
  void dispose() override;

 private:
  /// One state: its table, where it lies in the database, and how the table finds it there.
  struct State final : StateBacking {
    RocksDBDatabase* database = nullptr;
    rocksdb::ColumnFamilyHandle* family = nullptr;
    std::unique_ptr<TableBase> table;
    Result<bool> load(std::string_view entry_key, std::string& value) override {
      return database->get(family, entry_key, value);
    }
    Status scan(std::string_view prefix, std::string_view from,
                const std::function<bool(std::string_view, std::string_view)>& visit) override;
  };

  RocksDBKeyedStateBackend(const KeyedStateBackendContext& context, std::size_t cache_bytes,
                           std::shared_ptr<RocksDBDatabase> database);
  /// A state whose restored entries are on their way into the database: as sorted files, which are
  /// ingested together at the end.
  struct Loading {
    State* state = nullptr;
    RestoredEntries entries;
    std::vector<std::string> files;
    std::unique_ptr<rocksdb::SstFileWriter> writer = nullptr;  ///< of `files.back()`
  };
  [[nodiscard]] Status write_restored(Loading& loading, const EntryView& entry);
  [[nodiscard]] static Status finish_file(Loading& loading);

  const KeyedStateBackendContext context_;
  const std::size_t cache_bytes_;
  RestoredStates restored_;
  std::shared_ptr<RocksDBDatabase> database_;
  std::vector<std::unique_ptr<State>> states_;  // in the order they were added
  std::vector<Loading> loading_;                // the next one last
  std::uint32_t restored_files_ = 0;
};

}  // namespace weir
