#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/key_context.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

class TableBase;

/// Receives the payload of one subtask's snapshot, in order.
/// Threads: one at a time; on the I/O pool.
class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  /// Says that what is appended from here belongs to the state `name`: limits of a state count from
  /// here, and error sentences name it.
  virtual void begin_state(std::string_view /*name*/) {}
  /// Appends to the payload. Errors: `io_error`; `limit_exceeded` with the limit that was hit;
  /// `cancelled` once the checkpoint has been given up.
  [[nodiscard]] virtual Status append(std::string_view bytes) = 0;
  /// Bytes appended so far: the offset of the next byte.
  [[nodiscard]] virtual std::uint64_t position() const = 0;
};

/// Reads ranges of the payload of one restored location, verifying every block.
/// Threads: one at a time.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  /// Reads exactly `length` payload bytes at `offset`. Errors: `corruption`, `io_error`, with the path.
  [[nodiscard]] virtual Result<std::string> read(std::uint64_t offset, std::uint64_t length) = 0;
  /// Names the file for error sentences.
  [[nodiscard]] virtual std::string name() const = 0;
};

/// Which snapshot a backend is asked for.
struct SnapshotRequest {
  CheckpointId id;
  /// `incremental`: a completed checkpoint of the job that this one may build on, 0 if there is none.
  CheckpointId base;
  SnapshotForm form = SnapshotForm::canonical;
};

/// What a `SnapshotTask` has written, and what of older checkpoints belongs to it.
struct KeyedSnapshot {
  /// `location` 0 is the payload just written, i >= 1 is `reused[i - 1]`.
  std::vector<KeyedStateHandle> handles;
  std::vector<DataLocation> reused;
};

/// A frozen view of one operator's keyed state and the work of writing it out.
/// Threads: made on the task thread, runs once, on any thread; released on any thread, which removes local files
/// that only it knows of.
class SnapshotTask {
 public:
  virtual ~SnapshotTask() = default;
  /// Writes to `sink` what is new in every state.
  [[nodiscard]] virtual Result<KeyedSnapshot> run(SnapshotSink& sink) = 0;
  /// Whether later checkpoints may name the payload, which then lies where they share it.
  [[nodiscard]] virtual bool is_shared() const { return false; }
  /// The payload of a `run` is durable and lies at `payload`: later snapshots may build on it. At most
  /// once, behind `run`; not called if the snapshot has failed.
  virtual void payload_durable(const DataLocation& /*payload*/) {}
};

/// One restored keyed state: its declaration and where its entries of the wanted key groups lie.
struct RestoredKeyedState {
  StateDeclaration declaration;
  struct Part {
    std::shared_ptr<SnapshotSource> source;
    std::vector<KeyGroupExtent> groups;
    StateFormat format = StateFormat::canonical;
    std::uint64_t sequence = 0;  ///< as in `KeyedStateHandle`
    DataLocation location;       ///< what `source` reads
  };
  std::vector<Part> parts;
};

/// Keyed state of one operator in one subtask. The typed tables lie in front of it: for Memory and Fs
/// they are the state, for RocksDB its memtable and a cache. Below them everything is serialized entries,
/// by the batch.
/// Threads: the task thread alone, but for what `SnapshotTask` does. The destructor releases memory
/// and descriptors, and local files only if `dispose` has asked for that.
class KeyedStateBackend {
 public:
  virtual ~KeyedStateBackend() = default;

  /// Hands the restored states over; before the first `add_table`. Errors: `corruption`, `io_error`.
  [[nodiscard]] virtual Status restore(std::vector<RestoredKeyedState> states) = 0;
  /// Adds a state; the backend owns the table from here. Its restored entries are in it once
  /// `load_restored` has said so. Errors: `already_exists` (name used twice), `state_incompatible`,
  /// `corruption`, `io_error`.
  [[nodiscard]] virtual Status add_table(std::unique_ptr<TableBase> table) = 0;
  /// Loads the next piece of the restored entries of all added tables, about a millisecond's work.
  /// Returns whether all are loaded; no table is used before. Errors: `corruption`, `io_error`,
  /// `user_function_failed`.
  [[nodiscard]] virtual Result<bool> load_restored() = 0;
  /// Names of restored states for which no table was added.
  [[nodiscard]] virtual std::vector<std::string> unclaimed_states() const = 0;
  /// The declarations of the added states, in the order they were added.
  [[nodiscard]] virtual std::vector<StateDeclaration> declarations() const = 0;

  /// Keeps the tables within their memory: passes changes on, or frees what no snapshot sees any more.
  /// Called after every slice of a batch; cheap if there is nothing to do. Errors: `io_error`,
  /// `limit_exceeded` (memory budget).
  [[nodiscard]] virtual Status store_changes() = 0;
  /// Freezes the contents for checkpoint `request.id` and returns the work of writing them out. A backend
  /// without a form of its own writes canonically whatever is asked for, and one that does not know what
  /// `base` holds writes everything.
  /// Returns quickly however large the state is; whatever is slow belongs in the returned task.
  /// Writes made after the return are not part of the snapshot. Serializes and copies no entry.
  /// Errors: `io_error`, `limit_exceeded` (memory budget).
  [[nodiscard]] virtual Result<std::unique_ptr<SnapshotTask>> begin_snapshot(
      const SnapshotRequest& request) = 0;

  /// Checkpoint `id` has completed, so that later ones build on it or on a newer one. What is written from
  /// here on is told apart from what it holds, which makes them smaller.
  virtual void checkpoint_complete(CheckpointId /*id*/) {}

  /// The encoded keys of `group` that have an entry in any state, ascending, each once.
  [[nodiscard]] virtual Result<std::vector<std::string>> keys_of_group(std::uint32_t group) = 0;
  /// Bytes of memory and local disk that the state occupies, for people.
  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
  /// Gives the local files up: they are removed once the last of its snapshots is gone, which may still
  /// read them, and so by whose destructor lets go last. That is the one thing outside of the process
  /// that a destructor does here: who is last is known to nobody before, and nothing reads the files
  /// again. The backend is not used afterwards.
  virtual void dispose() = 0;
};

/// What a backend needs to know of the subtask it serves.
struct KeyedStateBackendContext {
  std::string operator_label;  ///< `operator 'sums'`: what error sentences begin with
  std::size_t key_width = 0;   ///< fixed width of the key's encoding in bytes, 0 if it varies
  KeyGroupRange groups;
  std::uint32_t max_parallelism = 128;
  /// A directory of this operator and attempt alone, not yet created, for local working files.
  std::string local_directory;
  FileSystem* files = nullptr;  ///< outlives the backend and its snapshots
  /// The checkpoint of this job that is restored, which later ones may build on; 0: none.
  CheckpointId restored_checkpoint;
};

/// Where the payload of a snapshot goes (see `StateBackend::placement`).
struct SnapshotPlacement {
  bool files = true;                                    ///< false: everything inline
  std::uint64_t inline_threshold_bytes = 0;             ///< a payload up to this size stays inline
  std::uint64_t max_state_bytes = ~std::uint64_t{0};    ///< of one state and subtask
  std::uint64_t max_payload_bytes = ~std::uint64_t{0};  ///< of one acknowledgement
  bool shared = false;  ///< the file goes to `shared_directory`: later checkpoints may name it
};

/// Makes the keyed state of subtasks and says where their snapshots go; chosen by `state.backend`.
/// Threads: any.
class StateBackend {
 public:
  virtual ~StateBackend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) = 0;
  [[nodiscard]] virtual SnapshotPlacement placement(SnapshotKind kind) const = 0;
};

}  // namespace weir
