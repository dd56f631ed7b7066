#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "runtime/snapshot_job.hpp"
#include "simulation/simulated_databases.hpp"
#include "state/keyed_state.hpp"
#include "state/snapshot_io.hpp"

namespace weir::test {

/// The keyed state of a small job's one operator with a key, in the real tables: of each key how many records
/// it has had. Record `i` has the key `i % keys`.
class SmallKeyedState {
 public:
  inline static const std::string uid = "counts";
  static constexpr std::uint64_t keys = 12;
  static constexpr std::uint32_t max_parallelism = 8;

  /// With the backend Fs, or with RocksDB's, whose databases are in memory.
  explicit SmallKeyedState(bool in_database) {
    if (!in_database) {
      backend_ = std::make_unique<FsStateBackend>(0);
      return;
    }
    databases_ = std::make_unique<SimulatedDatabases>(0, 0);
    backend_ = std::make_unique<RocksDBStateBackend>(
        RocksDBStateBackend::Options{.memory_bytes = std::size_t{1} << 20,
                                     .memory_threshold_bytes = 0,
                                     .seams = databases_->seams()});
  }

  /// Empty, or as the snapshot `metadata` in `directory` holds it. `own`: later checkpoints may build on it.
  static Result<std::unique_ptr<SmallKeyedState>> open(bool in_database, FileSystem& files,
                                                       CheckpointStorage& storage,
                                                       const std::string& directory = {},
                                                       const SnapshotMetadata* metadata = nullptr,
                                                       bool own = false) {
    KeyedStateBackendContext context;
    context.operator_label = "operator '" + uid + "'";
    context.key_width = sizeof(std::uint64_t);
    context.groups = groups;
    context.max_parallelism = max_parallelism;
    context.files = &files;
    context.local_directory = "/database";
    if (own) context.restored_checkpoint = metadata->checkpoint;
    auto opened = std::make_unique<SmallKeyedState>(in_database);
    WEIR_TRY_ASSIGN(keyed, opened->backend_->create_keyed_state_backend(context));
    opened->keyed_ = std::move(keyed);
    if (metadata != nullptr) {
      WEIR_TRY_ASSIGN(states, restored(storage, directory, *metadata));
      WEIR_TRY(opened->keyed_->restore(std::move(states)));
    }
    auto made = make_state(ValueStateDescriptor<std::uint64_t>{"count"}, schema_of<std::uint64_t>(),
                           TableOptions{groups, max_parallelism, context.key_width}, &opened->key_);
    opened->count_ = std::move(made.handle);
    WEIR_TRY(opened->keyed_->add_table(std::move(made.table)));
    for (bool all = false; !all;) {
      WEIR_TRY_ASSIGN(loaded, opened->keyed_->load_restored());
      all = loaded;
    }
    return opened;
  }

  void add(int record) {
    select(static_cast<std::uint64_t>(record) % keys);
    ++count_.mutable_value();
  }
  /// What is wrong after `records` records, empty if nothing is.
  [[nodiscard]] std::string compare(int records) {
    for (std::uint64_t key = 0; key < keys; ++key) {
      select(key);
      const auto all = static_cast<std::uint64_t>(records);
      const std::uint64_t expected = all / keys + (key < all % keys ? 1 : 0);
      if (count_.value_or(0) != expected)
        return "the state of key " + std::to_string(key) + " is " +
               std::to_string(count_.value_or(0)) + " instead of " + std::to_string(expected);
    }
    return {};
  }

  /// Writes it out as a task does, and adds it to `metadata`.
  Status write(CheckpointStorage& storage, const SnapshotRequest& request, SnapshotKind kind,
               const std::string& directory, const std::string& file_name, Random& random,
               SnapshotMetadata& metadata) {
    WEIR_TRY_ASSIGN(task, keyed_->begin_snapshot(request));
    SnapshotPlacement placement = backend_->placement(kind);
    placement.shared = task->is_shared();
    std::vector<FrozenOperator> frozen(1);
    frozen[0].uid = uid;
    frozen[0].label = "operator '" + uid + "'";
    frozen[0].states = keyed_->declarations();
    frozen[0].keyed = std::move(task);
    SnapshotJob job(std::move(frozen), std::make_unique<TaskSnapshotWriter>(
                                           &storage, directory, file_name, placement, random));
    WEIR_TRY_ASSIGN(written, job.run());
    // As a coordinator numbers the locations of all tasks.
    OperatorSubtaskSnapshot share = std::move(written.operators[0].snapshot);
    for (KeyedStateHandle& handle : share.keyed)
      handle.location += static_cast<std::uint32_t>(metadata.locations.size());
    std::ranges::move(written.locations, std::back_inserter(metadata.locations));
    OperatorSnapshot snapshot;
    snapshot.uid = snapshot.name = uid;
    snapshot.parallelism = 1;
    snapshot.max_parallelism = max_parallelism;
    snapshot.states = std::move(written.operators[0].states);
    snapshot.subtasks = {std::move(share)};
    metadata.operators.push_back(std::move(snapshot));
    return {};
  }
  void checkpoint_complete(CheckpointId id) { keyed_->checkpoint_complete(id); }
  /// All files of the database become one, if there is one.
  void merge_files() {
    if (databases_ != nullptr) databases_->merge_all();
  }

 private:
  static constexpr KeyGroupRange groups{0, max_parallelism};

  static Result<std::vector<RestoredKeyedState>> restored(CheckpointStorage& storage,
                                                          const std::string& directory,
                                                          const SnapshotMetadata& metadata) {
    const OperatorSnapshot& snapshot = *metadata.find(uid);
    std::vector<RestoredKeyedState> states{{snapshot.states.at(0), {}}};
    for (const KeyedStateHandle& handle : snapshot.subtasks.at(0).keyed) {
      const DataLocation& location = metadata.locations.at(handle.location);
      WEIR_TRY_ASSIGN(source, make_source(storage, directory, location));
      states[0].parts.push_back(
          {std::move(source), handle.groups, handle.format, handle.sequence, location});
    }
    return states;
  }
  void select(std::uint64_t key) {
    key_.word = key;
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, max_parallelism);
  }

  std::unique_ptr<SimulatedDatabases> databases_;  ///< none with the backend Fs
  std::unique_ptr<StateBackend> backend_;
  std::unique_ptr<KeyedStateBackend> keyed_;
  KeyContext key_;
  ValueState<std::uint64_t> count_;
};

}  // namespace weir::test
