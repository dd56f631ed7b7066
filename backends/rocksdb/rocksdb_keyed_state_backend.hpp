#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/restored_states.hpp"
#include "backends/rocksdb/database_files.hpp"
#include "backends/rocksdb/expiry_filter.hpp"
#include "backends/rocksdb/flush_queue.hpp"
#include "backends/rocksdb/native_restore.hpp"
#include "backends/rocksdb/native_snapshot_task.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "backends/rocksdb/sorted_files.hpp"
#include "backends/rocksdb/table_memory.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/table.hpp"

namespace weir {

/// Keyed state in a database of the subtask's own, one column family per state, keyed by the entry
/// layout (state/entry_key.hpp). The tables in front are its memtable and its cache: what they hold
/// reaches the database in sorted files, in the asynchronous part of a snapshot or when memory is short.
/// A snapshot's task then iterates the column families, which are in the order of the canonical format
/// (docs/design/010-the-table-is-the-memtable.md), or takes the files of the database as they are
/// (docs/design/011-snapshots-of-a-database-are-its-files.md).
/// Threads: the task's; snapshot tasks anywhere, also after `dispose`: the last of them to end, or to be
/// given up, closes the database and removes the local directory.
class RocksDBKeyedStateBackend final : public KeyedStateBackend {
 public:
  /// The database lies in `context.local_directory`, which is made, on the disk of `seams` or, if that is null, of
  /// `context.files`. The tables use a share of `memory`.
  /// Errors: `io_error`.
  [[nodiscard]] static Result<std::unique_ptr<RocksDBKeyedStateBackend>> create(
      const KeyedStateBackendContext& context, std::shared_ptr<TableMemory> memory,
      std::shared_ptr<rocksdb::Cache> block_cache, const DatabaseSeams* seams = nullptr);

  [[nodiscard]] Status restore(std::vector<RestoredKeyedState> states) override;
  [[nodiscard]] Status add_table(std::unique_ptr<TableBase> table) override;
  [[nodiscard]] Result<bool> load_restored() override;
  [[nodiscard]] std::vector<std::string> unclaimed_states() const override;
  [[nodiscard]] std::vector<StateDeclaration> declarations() const override;
  [[nodiscard]] Status store_changes() override;
  [[nodiscard]] Result<std::unique_ptr<SnapshotTask>> begin_snapshot(
      const SnapshotRequest& request) override;
  [[nodiscard]] Result<std::vector<std::string>> keys_of_group(std::uint32_t group) override;
  [[nodiscard]] std::uint64_t size_bytes() const override;
  void dispose() override;

  /// What the tables lie in front of. Not after `dispose`.
  [[nodiscard]] RocksDBDatabase& database() { return *database_; }

 private:
  /// One state: its table, where it lies in the database, and how the table finds it there.
  struct State final : StateBacking {
    RocksDBDatabase* database = nullptr;
    rocksdb::ColumnFamilyHandle* family = nullptr;  // null until it is known of what it is made
    std::unique_ptr<TableBase> table;
    const TableMemory::Share* memory = nullptr;
    std::string label;  // for error sentences
    Result<bool> load(const LookUp& wanted, std::string& value) override;
    Status load_all(
        std::span<const LookUp> wanted,
        const std::function<Status(std::size_t index, std::string_view value)>& visit) override;
    /// Whether tables have room for a value of this encoded size. Errors: `limit_exceeded`.
    [[nodiscard]] Status check_size(std::size_t bytes) const;
    Status scan(std::string_view prefix,
                const std::function<bool(std::string_view, std::string_view)>& visit) override;
  };
  /// A state whose restored entries are on their way into the database.
  struct Loading {
    State* state = nullptr;
    RestoredEntries entries;
    std::unique_ptr<FileImport> import;  // as long as it may be that its files fit; null otherwise
    std::unique_ptr<SortedFiles> files;
  };
  /// What was frozen together and is not known to be in the database.
  struct Frozen {
    std::uint64_t flush = 0;
    std::vector<std::uint32_t> epochs;  // of the tables, as in `states_`
  };

  RocksDBKeyedStateBackend(const KeyedStateBackendContext& context,
                           std::shared_ptr<TableMemory> memory,
                           std::shared_ptr<RocksDBDatabase> database);
  [[nodiscard]] Status create_family(State& state);
  [[nodiscard]] std::shared_ptr<ExpiryFilterFactory> expiry_of(const TableBase& table) const;
  /// Both work off a piece of `loading`, which is the last of `loading_`, and remove it when it is done.
  [[nodiscard]] Status import_piece(Loading& loading);
  [[nodiscard]] Status load_piece(Loading& loading);
  void note_restored(const KnownFiles& files);
  [[nodiscard]] std::function<Status()> make_cut(
      const SnapshotRequest& request, std::shared_ptr<NativeSnapshotTask::Cut> cut) const;
  /// Tells the tables what is in the database.
  void confirm();
  /// What the tables use, frozen ones included.
  [[nodiscard]] std::size_t table_bytes();
  void evict(std::size_t target_bytes);
  [[nodiscard]] Status make_room();
  /// Brings some changes into the database, those that were frozen first; false if there are none.
  [[nodiscard]] Result<bool> flush_some();
  [[nodiscard]] static Status flush_group(State& state, std::uint32_t group, SortedFiles& files);

  const KeyedStateBackendContext context_;
  const TableMemory::Share memory_;
  RestoredStates restored_;
  std::shared_ptr<RocksDBDatabase> database_;
  std::shared_ptr<FlushQueue> queue_;
  const std::shared_ptr<ExpiryHorizon> horizon_;  // of the states with a time to live
  std::vector<std::unique_ptr<State>> states_;    // in the order they were added
  std::vector<Loading> loading_;                  // the next one last
  CheckpointId restored_checkpoint_;  // 0 if nobody builds on it, and once `remembered_` has it
  KnownFiles restored_files_;         // of it, and in the database
  std::vector<std::shared_ptr<const DataLocation>> restored_locations_;  // of these, each once
  const std::shared_ptr<RememberedFiles> remembered_ = std::make_shared<RememberedFiles>();
  std::deque<Frozen> frozen_;     // ascending
  std::size_t next_state_ = 0;    // with which `flush_some` goes on
  std::uint32_t next_group_ = 0;  // of it, counted from the first
};

}  // namespace weir
