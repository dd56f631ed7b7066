#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/codec.hpp"
#include "state/ids.hpp"

namespace weir {

/// Why a snapshot was taken. The numbers are part of the snapshot format.
enum class SnapshotKind : std::uint8_t {
  checkpoint = 0,  ///< owned by the system
  savepoint = 1,   ///< asked for and owned by the user; no recovery point, commits nothing
  terminal_savepoint =
      2  ///< of `stop` or `cancel -s`: the job's newest recovery point; sinks commit
};
WEIR_ENUM(SnapshotKind, checkpoint, savepoint, terminal_savepoint)

/// How the state of a snapshot is written. The numbers travel in messages.
enum class SnapshotForm : std::uint8_t {
  canonical = 0,  ///< sorted entries, which every backend reads
  native = 1,     ///< whole, in the backend's own form if it has one
  incremental =
      2  ///< as `native`, but a checkpoint may build on an older one, and later ones on it
};
WEIR_ENUM(SnapshotForm, canonical, native, incremental)

/// What the bytes of a keyed state handle are. The numbers are part of the snapshot format.
enum class StateFormat : std::uint8_t {
  canonical = 0,  ///< entries, ascending by key
  segments = 1,   ///< segment images (docs/formats/snapshot.md), laid one over the other
  files = 2       ///< the files of a RocksDB database, and the list of them
};
WEIR_ENUM(StateFormat, canonical, segments, files)
/// What error sentences call the extents of a keyed state handle, before their number.
[[nodiscard]] std::string_view noun_of_extents(StateFormat format);

/// The kinds of state. The numbers are part of the snapshot format.
enum class StateKind : std::uint8_t {
  value = 1,          ///< keyed: one value
  reducing = 2,       ///< keyed: one or more partial values, folded in order when read
  list = 3,           ///< keyed: the elements' encodings, one behind the other
  operator_list = 4,  ///< per subtask: elements, dealt out round-robin when the parallelism changes
  operator_union = 5,     ///< per subtask: elements, all of them to every subtask
  map = 6,                ///< keyed: one entry for each map key
  aggregating = 7,        ///< keyed: one or more accumulators, merged in order when read
  timer = 8,              ///< keyed: entries without value, whose namespace is the timer's time
  operator_broadcast = 9  ///< per subtask: the entries of a map that all subtasks have alike
};
/// Whether the state belongs to a key, not to a subtask.
[[nodiscard]] constexpr bool is_keyed(StateKind kind) {
  return kind != StateKind::operator_list && kind != StateKind::operator_union &&
         kind != StateKind::operator_broadcast;
}
WEIR_ENUM(StateKind, value, reducing, list, operator_list, operator_union, map, aggregating, timer,
          operator_broadcast)

/// What an operator says of one of its states: enough to read it without the job's code.
struct StateDeclaration {
  std::string name;  ///< unique within the operator
  StateKind kind = StateKind::value;
  std::optional<Schema> key;  ///< of the key; none for operator state
  /// Of the value, accumulator or one element; of map and broadcast state a map of map key and value. What has a time
  /// to live is in a structure `weir.ttl` with the time of its last access.
  Schema value;
  bool operator==(const StateDeclaration&) const = default;
};
WEIR_FIELDS(StateDeclaration, name, kind, key, value)

/// Where the bytes of one subtask's snapshot lie: in a file beside `_metadata`, in one that checkpoints
/// of the job share, or inline.
struct DataLocation {
  std::string file;              ///< one name, in the snapshot's directory; empty if inline
  std::uint64_t file_id = 0;     ///< mixed into every block checksum of the file
  std::uint64_t size_bytes = 0;  ///< of the payload, without block headers
  SharedBytes inline_bytes;      ///< the payload itself if `file` is empty
  bool shared = false;           ///< the file lies in `../shared/` instead; checkpoints only
  bool operator==(const DataLocation&) const = default;
};
WEIR_FIELDS(DataLocation, file, file_id, size_bytes, inline_bytes, shared)

/// The entries of one key group within a `DataLocation`, or one file of a database.
struct KeyGroupExtent {
  std::uint32_t group = 0;   ///< of files: 0 for their list, then from 1 in the order of the list
  std::uint64_t offset = 0;  ///< into the payload
  std::uint64_t length = 0;  ///< bytes
  std::uint64_t entries = 0;
  std::uint64_t checksum = 0;  ///< XXH3-64 of the `length` bytes
  bool operator==(const KeyGroupExtent&) const = default;
};
WEIR_FIELDS(KeyGroupExtent, group, offset, length, entries, checksum)

/// One keyed state of one subtask, or a part of it. Canonical, it is whole, and its entries are
/// `u32 key length | key | u32 value length | value`, in ascending order of the key bytes; the key is the
/// entry layout of `state/entry_key.hpp`. As segment images, a state has a handle for each location and
/// sequence: of the extents of one key group those of lower sequence are laid first. As files, it has a handle
/// for each location, the first of which begins with the list; they belong together and to all key groups of
/// the subtask.
struct KeyedStateHandle {
  std::string state;
  std::uint32_t location = 0;          ///< index into the snapshot's locations
  std::vector<KeyGroupExtent> groups;  ///< ascending; groups without entries are left out
  StateFormat format = StateFormat::canonical;
  std::uint64_t sequence = 0;  ///< of images: number of the checkpoint that wrote them; else 0
  bool operator==(const KeyedStateHandle&) const = default;
};
WEIR_FIELDS(KeyedStateHandle, state, location, groups, format, sequence)

/// One operator state of one subtask: the encoded elements, one behind the other.
struct OperatorStateHandle {
  std::string state;
  std::uint32_t location = 0;
  std::uint64_t offset = 0;  ///< into the payload
  std::uint64_t length = 0;  ///< bytes
  std::uint64_t checksum = 0;
  std::vector<std::uint64_t> elements;  ///< where each element begins, relative to `offset`
  bool operator==(const OperatorStateHandle&) const = default;
};
WEIR_FIELDS(OperatorStateHandle, state, location, offset, length, checksum, elements)

/// Records that were on their way when an unaligned barrier overtook them, addressed by edge.
struct ChannelStateHandle {
  std::string producer_uid;
  std::string output_tag;  ///< empty for the main output
  std::string consumer_uid;
  std::uint32_t input = 0;
  std::uint32_t location = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t checksum = 0;
  bool operator==(const ChannelStateHandle&) const = default;
};
WEIR_FIELDS(ChannelStateHandle, producer_uid, output_tag, consumer_uid, input, location, offset,
            length, checksum)

/// What one subtask of one operator contributes.
struct OperatorSubtaskSnapshot {
  std::uint32_t subtask = 0;
  bool finished = false;  ///< it had seen the end of its input and emitted everything
  std::vector<KeyedStateHandle> keyed;
  std::vector<OperatorStateHandle> operator_states;
  std::vector<ChannelStateHandle> channels;
  bool operator==(const OperatorSubtaskSnapshot&) const = default;
};
WEIR_FIELDS(OperatorSubtaskSnapshot, subtask, finished, keyed, operator_states, channels)

/// One operator of one task's chain, as the task acknowledges it.
struct OperatorShare {
  std::string uid;
  std::vector<StateDeclaration> states;
  OperatorSubtaskSnapshot snapshot;
  bool operator==(const OperatorShare&) const = default;
};
WEIR_FIELDS(OperatorShare, uid, states, snapshot)

/// What one task acknowledges: its operators' shares and where their bytes lie. `location` indices
/// count within this task's `locations`.
struct TaskSnapshot {
  /// First what this snapshot has written, then what it takes over from older checkpoints.
  std::vector<DataLocation> locations;
  std::vector<OperatorShare> operators;
  bool operator==(const TaskSnapshot&) const = default;
  /// Payload bytes in all locations.
  [[nodiscard]] std::uint64_t size_bytes() const;
  /// Payload bytes that this snapshot has written; those that lie in `_metadata` are written by each.
  [[nodiscard]] std::uint64_t written_bytes() const;
};
WEIR_FIELDS(TaskSnapshot, locations, operators)

/// One operator in a complete snapshot.
struct OperatorSnapshot {
  std::string uid;
  std::string name;
  bool generated_uid = false;  ///< no uid was set; it came from the operator's place in the plan
  std::uint32_t parallelism = 0;
  std::uint32_t max_parallelism = 0;
  std::vector<StateDeclaration> states;
  std::vector<OperatorSubtaskSnapshot> subtasks;  ///< ascending by subtask, one for each
  bool operator==(const OperatorSnapshot&) const = default;
  /// True if every subtask had finished: the operator does not run again.
  [[nodiscard]] bool finished() const;
};
WEIR_FIELDS(OperatorSnapshot, uid, name, generated_uid, parallelism, max_parallelism, states,
            subtasks)

/// A complete checkpoint or savepoint: the content of `_metadata`.
struct SnapshotMetadata {
  SnapshotKind kind = SnapshotKind::checkpoint;
  JobId job;
  std::string job_name;
  CheckpointId checkpoint;
  LeaderEpoch epoch;
  std::uint32_t attempt = 0;
  std::int64_t triggered_at_ms = 0;  ///< wall clock, milliseconds since 1970
  std::int64_t completed_at_ms = 0;
  std::vector<DataLocation> locations;
  std::vector<OperatorSnapshot> operators;  ///< in the plan's topological order
  bool operator==(const SnapshotMetadata&) const = default;
  [[nodiscard]] std::uint64_t size_bytes() const;
  [[nodiscard]] const OperatorSnapshot* find(std::string_view uid) const;
};
WEIR_FIELDS(SnapshotMetadata, kind, job, job_name, checkpoint, epoch, attempt, triggered_at_ms,
            completed_at_ms, locations, operators)

/// Whether every name, index and extent in `metadata` fits: handles lie within their locations and do
/// not overlap, states are declared, key groups ascend and belong to their subtask, file names are
/// single names. Asked before writing and after reading. Errors: `corruption`, with the operator.
[[nodiscard]] Status check_consistent(const SnapshotMetadata& metadata);

/// Every byte of a `_metadata` file: header and blocks (see docs/formats/snapshot.md).
/// `file_id` is drawn at random and mixed into the checksums.
[[nodiscard]] std::string encode_metadata(const SnapshotMetadata& metadata, std::uint64_t file_id);
/// The opposite. Checks magic, version, lengths, every checksum, and that every handle lies within its
/// location and every index within its list. Errors: `corruption` or `unsupported` (a newer version),
/// naming `path`, the offset and the reason.
[[nodiscard]] Result<SnapshotMetadata> decode_metadata(std::string_view bytes,
                                                       const std::string& path);

}  // namespace weir
