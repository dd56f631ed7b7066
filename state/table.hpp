#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "state/codec.hpp"
#include "state/key_context.hpp"
#include "state/key_groups.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/list_value.hpp"
#include "state/snapshot_metadata.hpp"
#include "state/time_to_live.hpp"

namespace weir {

/// What a table needs to know of the subtask that it serves.
struct TableOptions {
  KeyGroupRange groups;
  std::uint32_t max_parallelism = 128;
  std::size_t key_width = 0;  ///< fixed width of the key's encoding in bytes, 0 if it varies
  /// Entries have a namespace or a map key beside their key. A context's `bytes` are then all that
  /// follows the key group in the entry key, its `hash` is that of these bytes and its `word` 0; the
  /// entries of one key are linked, so that they can be walked.
  bool composite = false;
  std::shared_ptr<const TimeToLive> ttl = nullptr;  ///< of a state that has one
};

/// Work that a table did on its owner's thread, counted so that tests can assert what was not done.
struct TableCounters {
  std::uint64_t groups_frozen = 0;  ///< group headers copied by `freeze`, which does nothing else
  std::uint64_t directories_copied = 0;  ///< of key groups
  std::uint64_t segments_copied = 0;
  std::uint64_t nodes_copied = 0;     ///< values that live in a node, hence copies of user types
  std::uint64_t entries_encoded = 0;  ///< by `flush_group`
  std::uint64_t entries_loaded = 0;   ///< from a `StateBacking`
  std::uint64_t look_ups = 0;         ///< in a `StateBacking`, of one key or of several together
  std::uint64_t runs_begun = 0;       ///< appends that found nothing in memory and read nothing
  std::uint64_t segments_evicted = 0;
  bool operator==(const TableCounters&) const = default;
};

/// A state access failed below the table: the database could not be read. It is thrown through user
/// code, because a handle that pretended the key had no value would let the job emit wrong results.
class StateAccessFailed : public std::runtime_error {
 public:
  explicit StateAccessFailed(Error error)
      : std::runtime_error(error.what), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
};

/// The value of an entry that is wanted of a database.
struct LookUp {
  std::string_view entry_key;   ///< layout of state/entry_key.hpp
  std::uint32_t below_run = 0;  ///< without what this run has brought there; 0: all of it
};

/// Where a table that is only a cache finds the entries that it does not hold.
/// Threads: the table's owner.
class StateBacking {
 public:
  virtual ~StateBacking() = default;
  /// Reads what is looked up into `value`; false if there is no entry. May block. Errors: `io_error`,
  /// `corruption`.
  [[nodiscard]] virtual Result<bool> load(const LookUp& wanted, std::string& value) = 0;
  /// Reads several values together and calls `visit(index, value)` for each of `wanted`, whose keys
  /// ascend, that has an entry, in their order. May block. Errors: `io_error`, `corruption`, those of
  /// `visit`.
  [[nodiscard]] virtual Status load_all(
      std::span<const LookUp> wanted,
      const std::function<Status(std::size_t index, std::string_view value)>& visit) = 0;
  /// Calls `visit(entry key, value)` for the entries whose keys begin with `prefix`, ascending, until it
  /// returns false. May block. Errors: `io_error`.
  [[nodiscard]] virtual Status scan(
      std::string_view prefix,
      const std::function<bool(std::string_view entry_key, std::string_view value)>& visit) = 0;
};

/// Receives a changed entry: its key and its encoded value, or none if it was removed. If `run` is not 0,
/// the value is what was appended in this run: it belongs behind what the database has of earlier ones, in
/// the place of what it has of this one. All are valid during the call. An error ends the walk.
using ChangeVisitor = std::function<Status(
    std::string_view entry_key, std::optional<std::string_view> value, std::uint32_t run)>;

/// Makes the bytes of an entry, which may be several partial values, those of one value, in `buffer`.
/// Errors: `user_function_failed` if the function that folds them throws; `corruption` if they do not decode.
/// Threads: any, with a buffer of its own; also when the table that it comes from is gone.
using ValueFold = std::function<Status(std::string_view& bytes, std::string& buffer)>;

/// How a table's values become the bytes of an entry and back. This one serves value state and, with
/// `reduce`, reducing state, whose entry holds one or more partial values.
template <class V>
struct EntryCodec {
  std::function<V(const V&, const V&)> reduce;  ///< empty unless the state is reducing

  static void encode(const V& value, ByteWriter& writer) { weir::encode(value, writer); }
  /// False if `bytes` are not one value (or, reducing, at least one). May call the user's function.
  [[nodiscard]] bool decode(std::string_view bytes, V& value) const {
    ByteReader reader(bytes);
    weir::decode(reader, value);
    while (reduce && reader.remaining() > 0) {
      const std::size_t before = reader.remaining();
      V partial{};
      weir::decode(reader, partial);
      if (reader.remaining() == before) return false;  // of a type without width there is one
      if (!reader.failed()) value = reduce(value, partial);
    }
    return reader.complete();
  }
  static std::size_t heap_bytes(const V& value) { return Codec<V>::heap_bytes(value); }
  static SchemaDefaults defaults() { return defaults_of<V>(); }
};

/// A list's elements stand one behind the other, without a count, so that appending is concatenation.
template <class T>
struct EntryCodec<ListValue<T>> {
  static_assert(Codec<T>::min_width > 0, "an element of a list state needs at least one byte");

  static void encode(const ListValue<T>& list, ByteWriter& writer) {
    list.for_each([&](const T& element) { weir::encode(element, writer); });
  }
  [[nodiscard]] static bool decode(std::string_view bytes, ListValue<T>& list) {
    ByteReader reader(bytes);
    while (reader.remaining() > 0) {
      T element{};
      weir::decode(reader, element);
      if (!reader.failed()) list.push_back(std::move(element));
    }
    return reader.complete();
  }
  static std::size_t heap_bytes(const ListValue<T>& list) { return list.heap_bytes(); }
  static SchemaDefaults defaults() { return defaults_of<T>(); }
};

namespace table {

/// A value that lives behind its slot: because it is not trivially copyable, because its key is not
/// compact, or because the key's word is 0, which an inline slot needs to be empty. The value follows
/// at `Layout::value_offset`, the key's bytes (unless compact) at `Layout::node_bytes`.
struct Node {
  std::uint32_t epoch;
  std::uint32_t key_size;
};
template <class V>
struct NodeOf : Node {
  V value;
};

/// Before the nodes of a composite table: the entries of one key. Only their owner reads and changes
/// them, also while a snapshot sees the node.
struct Links {
  Node* next;
  Node* previous;
};

/// A slot with its value behind it. `word` is the compact key or the key's hash.
struct NodeSlot {
  std::uint64_t word;
  Node* node;  // null: the slot is empty
};
/// A slot with its value in it.
template <class V>
struct InlineSlot {
  std::uint64_t word;  // the compact key; 0: the slot is empty
  V value;
};

/// Slots of a full segment at most, as a power of two.
inline constexpr std::uint32_t most_segment_shift = 8;

/// What lies before the slots of a segment.
struct alignas(64) SegmentHeader {
  std::uint32_t used;   // slots taken
  std::uint32_t depth;  // topmost bits of their homes that all entries share
  // 1: a database may hold entries of this segment that are not in memory
  std::uint32_t incomplete;
  std::uint32_t run;  // the number of runs that begin here; 0: none do
  // by slot: the value is a run, to which belongs what a database has
  std::array<std::uint64_t, (1U << most_segment_shift) / 64> runs;
};

/// An entry of a group's directory: about 4 KiB of slots, in which linear probing wraps around.
struct Segment {
  char* slots;          // behind a `SegmentHeader`
  std::uint32_t epoch;  // in which they were last written; 0: shared and empty, never to be written
  std::uint32_t dirty;  // granules written since the last confirmed snapshot, one bit each
};

/// One key group: an extendible hash table. The directory has 2^depth entries; the topmost bits of an
/// entry's home lead to one of them, the lowest to a slot within the segment. A segment of a lesser
/// depth stands in the directory several times. Copying this header freezes the group: whoever finds
/// that `directory_epoch` may be seen by a snapshot copies the directory before changing it.
struct Group {
  Segment* directory;
  Node* zero;               // the entry of the compact key 0 if values are inline, else null
  std::uint32_t shift;      // 32 - depth
  std::uint32_t slot_mask;  // slots of each segment - 1; small only while there is one segment
  std::uint32_t used;       // slots taken
  std::uint32_t directory_epoch;
  std::uint32_t made_epoch;     // in which the group was last laid out anew, not by splitting alone
  std::uint32_t flushed_epoch;  // what a cache wrote up to here is in the database
};

/// Where things lie in slots and nodes, and what can be done with a value whose type is not known:
/// everything that is not on the path of a hit is written once, for all types, in table.cpp.
struct Layout {
  std::uint32_t inline_slot_bytes;               // 0: values of this type are never inline
  std::uint32_t node_bytes;                      // without the key's bytes
  std::uint32_t value_offset;                    // in slots and nodes
  bool is_plain;                                 // the encoding is the value's bytes in memory
  void (*construct)(void* value);                // the default value
  void (*copy)(void* value, const void* other);  // constructs a copy
  void (*destroy)(void* value);                  // null: nothing to do
  void (*encode)(const void* value, ByteWriter& writer);
  std::size_t (*heap_bytes)(const void* value);  // null: always 0
  const TimedLayout* timed;                      // null: nothing in it expires
};

template <class V>
inline constexpr bool is_inline =
    std::is_trivially_copyable_v<V> && sizeof(V) <= 256 && alignof(V) <= 16;

/// Slots of a full segment, as a power of two: as many as fit into 4 KiB, but from 32 to 256.
constexpr std::uint32_t segment_shift(std::size_t slot_bytes) {
  const auto fitting = static_cast<std::uint32_t>(std::bit_width(4096 / slot_bytes)) - 1;
  return fitting < 5 ? 5 : fitting > most_segment_shift ? most_segment_shift : fitting;
}
/// Slots of a granule, as a power of two: a full segment has 32 granules.
constexpr std::uint32_t granule_shift(std::size_t slot_bytes) {
  return segment_shift(slot_bytes) - 5;
}

/// The slot within a segment at which the search for an entry of `home` begins.
constexpr std::uint32_t first_slot(std::uint64_t home, std::uint32_t slot_mask) {
  return static_cast<std::uint32_t>(home) & slot_mask;
}

/// Whether a `T` consists of numbers alone, any bytes of which are a value.
template <class T>
constexpr bool is_numbers() {
  if constexpr (std::is_arithmetic_v<T>)
    return !std::is_same_v<T, bool>;
  else if constexpr (is_timed<T>)
    return is_numbers<decltype(T::value)>();
  else if constexpr (HasFields<T> && std::is_trivially_copyable_v<T>)
    return []<class Owner, class... Members>(std::type_identity<FieldList<Owner, Members...>>) {
      return (is_numbers<Members>() && ...);
    }(std::type_identity<detail::FieldsOf<T>>{});
  else if constexpr (requires {
                       std::tuple_size<T>::value;
                       typename T::value_type;
                     })
    return is_numbers<typename T::value_type>();  // std::array
  else
    return false;
}
/// Whether the encoding of a `V` is what lies in memory: numbers without gaps, described in the order in
/// which they lie.
template <class V>
bool is_plain() {
  if constexpr (is_numbers<V>()) {
    if constexpr (Codec<V>::fixed_width == sizeof(V)) {
      std::string bytes(sizeof(V), '\0');
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
      V value;
      std::memcpy(&value, bytes.data(), sizeof(V));
      return encode_value(value) == bytes;
    }
  }
  return false;
}

/// The layout for values of type `V`.
template <class V>
Layout layout_of() {
  static_assert(alignof(V) <= 16, "values of state are aligned to at most 16 bytes");
  constexpr std::uint32_t value_offset = alignof(V) <= 8 ? 8 : 16;
  Layout layout{};
  if constexpr (is_inline<V>) {
    static_assert(sizeof(InlineSlot<V>) >= value_offset + sizeof(V));
    layout.inline_slot_bytes = sizeof(InlineSlot<V>);
  }
  layout.node_bytes = sizeof(NodeOf<V>);
  layout.value_offset = value_offset;
  layout.is_plain = is_plain<V>();
  layout.construct = [](void* value) { new (value) V{}; };
  layout.copy = [](void* value, const void* other) {
    new (value) V(*static_cast<const V*>(other));
  };
  if constexpr (!std::is_trivially_destructible_v<V>)
    layout.destroy = [](void* value) { static_cast<V*>(value)->~V(); };
  layout.encode = [](const void* value, ByteWriter& writer) {
    EntryCodec<V>::encode(*static_cast<const V*>(value), writer);
  };
  if constexpr (!is_flat<V>)
    layout.heap_bytes = [](const void* value) {
      return EntryCodec<V>::heap_bytes(*static_cast<const V*>(value));
    };
  layout.timed = timed_layout<V>;
  return layout;
}
template <class V>
inline const Layout layout = layout_of<V>();

/// The form of one table: a layout, and what follows from its keys and its declaration.
struct Shape {
  const Layout* layout;
  std::size_t key_width;
  std::uint32_t value_width;  // of an encoded value, by its declaration; 0 if it varies
  bool compact;               // keys are words
  bool inline_values;         // `InlineSlot`, else `NodeSlot`
  bool composite;             // nodes have `Links`
  std::uint32_t slot_bytes;
  std::uint32_t segment_shift;
  std::uint32_t granule_shift;
};

/// A function uses a handle that nobody has given it. Throws `std::logic_error`.
[[noreturn]] void handle_not_bound();
/// The errors of `decoded`; the first is to be called in a handler.
[[nodiscard]] std::unexpected<Error> folding_threw(const std::string& state);
[[nodiscard]] std::unexpected<Error> does_not_decode(const std::string& state);
/// What comes of `decode()`, which decodes a value of `state` and returns whether that worked.
/// Errors: `user_function_failed` if it throws, `corruption` if it returns false.
template <class Decode>
[[nodiscard]] Status decoded(const std::string& state, const Decode& decode) {
  try {
    if (decode()) return {};
  } catch (...) {
    return folding_threw(state);
  }
  return does_not_decode(state);
}

/// How far a frozen table is, for the owner of what it sees.
struct SnapshotProgress {
  std::atomic<bool> ended = false;
  // From the first on; of their segments nothing is read any more.
  std::atomic<std::uint32_t> groups_done = 0;
};

class Storage;    // owns groups, segments and nodes; shared with frozen tables
struct Removals;  // keys that a cache removed

}  // namespace table

class FrozenTable;

/// One keyed state of one subtask, whatever its value's type: what backends do with it.
///
/// Each key group is an extendible hash table (Fagin, Nievergelt, Pippenger, Strong, 1979) of segments
/// of 4 KiB: a full segment is split in two, so that growing never takes longer than copying one
/// segment, and a segment keeps its place in the order of hashes for ever. `freeze` copies the group
/// headers and counts up the epoch; that is all. Before a segment, a directory or a node that an
/// unfinished snapshot can see is changed for the first time in an epoch, it is copied; the old one is
/// never written again and is freed, by the owner, after the last snapshot that saw it has ended.
///
/// A table may be the memtable and cache of a database (`set_backing`). What was written since the last
/// confirmed snapshot is known by segment and granule, removed keys are remembered beside; both reach
/// the database by `FrozenTable::for_each_changed` or `flush_group`, never by the key. What is in the
/// database may leave the memory (`evict`), and a miss in a segment that does not hold all there is of
/// its range is looked up. So that a pointer stays valid while a batch is processed, nothing is evicted
/// but by that call.
///
/// What is appended to an entry that is not in memory begins a run, which is flushed as such, until
/// somebody reads the entry (docs/design/012-appends-that-read-nothing.md). Of list state, and of reducing
/// and aggregating state without a time to live.
/// Threads: one owner, at a time; frozen tables go anywhere.
class TableBase {
 public:
  virtual ~TableBase();
  TableBase(const TableBase&) = delete;
  TableBase& operator=(const TableBase&) = delete;

  [[nodiscard]] const StateDeclaration& declaration() const { return *declaration_; }
  [[nodiscard]] KeyGroupRange groups() const { return range_; }
  [[nodiscard]] std::size_t key_width() const { return shape_.key_width; }
  /// Entries in memory.
  [[nodiscard]] std::uint64_t entries() const;
  /// Bytes of memory, what frozen tables still see included; what values hold on the heap is estimated
  /// from a sample.
  [[nodiscard]] std::size_t memory_bytes() const;
  /// The same, but quick: samples seldom.
  [[nodiscard]] std::size_t estimated_bytes();
  [[nodiscard]] const TableCounters& counters() const { return counters_; }

  /// Fetches the slot of a key that will be needed soon. `group` is one of `groups()`.
  void prefetch(KeyHash hash, std::uint32_t group) const {
    const table::Group& header = groups_[group - range_.first];
    const std::uint64_t home = hash >> 32;
    const char* slots = header.directory[home >> header.shift].slots;
    const char* slot = slots + (home & header.slot_mask) * shape_.slot_bytes;
    __builtin_prefetch(slot, 1);
    // GCC drops calls of functions without effect, and a prefetch is none to it: measured, 3 times slower.
    asm volatile("" : : "r"(slot));
  }

  /// A table without entries, for `group` alone, that keeps values as they were encoded. It takes the images of any
  /// table with such keys that was declared as `written`, whatever the type of its values and the room that
  /// it took; nothing in it expires.
  [[nodiscard]] std::unique_ptr<TableBase> make_encoded(StateDeclaration written,
                                                        std::uint32_t group) const;
  /// Of the structures in its values, for entries that were written before a field was added.
  [[nodiscard]] virtual SchemaDefaults defaults() const = 0;
  /// What makes one value of the partial ones that an entry may hold; none if it holds no such.
  [[nodiscard]] virtual ValueFold value_fold() const = 0;
  /// The contents as they are now; of a cache, those in memory. Copies and serializes no entry.
  [[nodiscard]] std::unique_ptr<FrozenTable> freeze();
  /// The snapshot of `epoch` is one that later ones build on: what was written up to it no longer counts
  /// as written.
  void confirm(std::uint32_t epoch);
  /// Frees some of what no unfinished snapshot sees any more. Cheap if there is nothing.
  void reclaim();

  /// Makes room for `entries` entries in `group`, if it is empty.
  void reserve(std::uint32_t group, std::uint64_t entries);
  /// Adds a restored entry. Errors: `corruption` if it does not decode, is there already or belongs to
  /// a group outside `groups()`; `user_function_failed` if folding the partial values throws.
  [[nodiscard]] Status insert(std::string_view entry_key, std::string_view value);
  /// Lays what `FrozenTable::write_images` wrote over `group`: first an extent that is whole, then those
  /// that build on it, in order. Errors: `corruption`, also if values of the table that wrote it took another
  /// room in memory; the group has then no entries. Those of decoding.
  /// What has expired since, or had expired when they were written, comes back to be found here.
  [[nodiscard]] Status load_images(std::uint32_t group, std::string_view bytes);
  /// Appends the encoded keys in memory of `group`, in no order; keys whose entries have all expired
  /// are left out.
  void append_keys(std::uint32_t group, std::vector<std::string>& keys) const;

  /// Calls `visit(bytes)` for every entry of `group` of a composite table, in no order: what follows the
  /// key group in its entry key. May throw `StateAccessFailed`.
  void for_each_entry(std::uint32_t group,
                      const std::function<void(std::string_view bytes)>& visit) const;
  /// Removes the entries that `Table::walk` would visit, of a composite table. May throw
  /// `StateAccessFailed`.
  void erase_all(std::uint32_t group, std::string_view key, std::string_view prefix);

  /// Of a state that has one. Requires `declaration()` to say so.
  [[nodiscard]] const TimeToLive& ttl() const { return *ttl_; }
  [[nodiscard]] bool has_ttl() const { return ttl_ != nullptr; }
  /// Of a state that has a time to live.
  [[nodiscard]] ExpiryRule expiry_rule() const {
    return {shape_.layout->timed, ttl_->config.time_to_live};
  }
  /// What handles would return of an encoded value, and what a snapshot taken now keeps of it.
  [[nodiscard]] LiveFilter live_filter() const;
  [[nodiscard]] LiveFilter snapshot_filter() const;
  /// Looks for expired entries in memory behind those that it looked at before, and removes them: a
  /// bounded piece of work. Errors: those of `StateBacking::load`.
  [[nodiscard]] Status clean_up();

  /// Makes the table a cache in front of `backing`, which outlives it; before the first access.
  /// `backing_is_empty` saves the look-ups of keys that were never there.
  void set_backing(StateBacking* backing, bool backing_is_empty);
  /// The highest number of a run in the database is `newest`. Before the first access, and needed if the
  /// database has runs of another table.
  void continue_runs_after(std::uint32_t newest);
  /// Passes all that was changed in `group` and is in no confirmed snapshot to `visit`, ascending by
  /// entry key, and takes it for stored: the caller brings it into the database, behind all that was
  /// frozen before, or gives the table up. Errors: those of `visit`; then it is still to be stored.
  [[nodiscard]] Status flush_group(std::uint32_t group, const ChangeVisitor& visit);
  /// Drops segments without changes, those longest unwritten first, until at most `target_bytes` of
  /// memory are used or only changes are left.
  void evict(std::size_t target_bytes);
  /// Whether the keys of the next `records` records should be handed to `look_ahead`, because many were
  /// not in memory lately. Asked once before each slice of a batch.
  [[nodiscard]] bool wants_keys(std::size_t records) {
    if ((misses_ | ahead_slices_) != 0) [[unlikely]]
      return plan_ahead(records);
    runs_ = 0;
    return false;
  }
  /// Notes a key that will be needed soon, if it is not in memory but may be in the database.
  void look_ahead(const KeyContext& key);
  /// Loads what was noted, in one look-up, and remembers until the next what the database does not have.
  /// May throw `StateAccessFailed`.
  void load_ahead();

 protected:
  TableBase(StateDeclaration declaration, const TableOptions& options, const table::Layout& layout);

  /// Decodes `bytes` into the default-constructed `value`.
  [[nodiscard]] virtual bool decode(std::string_view bytes, void* value) const = 0;

  // What is off the path of a hit. A `slot` is an index within the segment of `home`.
  void* insert_default(const KeyContext& key, bool is_change = true);
  void* load(const KeyContext& key, bool for_write);
  /// The entry of `key`, whose value in memory is `value`, made whole if that is a run.
  void* whole(const KeyContext& key, void* value);
  /// What `load` returns for an entry to be changed, null if a run is to begin.
  void* load_for_append(const KeyContext& key);
  void* insert_appended(const KeyContext& key);
  char* thaw_slot(table::Group& group, std::uint64_t home, std::uint32_t slot);
  table::Node* thaw_node(table::Group& group, std::uint64_t home, std::uint32_t slot);
  table::Node* thaw_zero(table::Group& group);
  bool erase_entry(const KeyContext& key);
  void discard_entry(const KeyContext& key);
  /// The first entry of `key`, and the one that follows `node`; null if there is none.
  [[nodiscard]] const table::Node* first_of(std::string_view key) const;
  [[nodiscard]] const table::Node* next_of(const table::Node* node, std::string_view key) const;
  /// Calls `visit` for the entries in the database whose contexts' bytes begin with `prefix`, in group
  /// `group` of a composite table, unless memory knows better, until it returns false. May throw
  /// `StateAccessFailed`.
  void scan_stored(
      std::uint32_t group, std::string_view prefix,
      const std::function<bool(std::string_view bytes, std::string_view value)>& visit) const;
  [[nodiscard]] Status decode_entry(std::string_view bytes, void* value) const;

  /// Flushing counts epochs up; behind this one it is refused, so that they never begin anew at 0.
  static constexpr std::uint32_t last_flushing_epoch = 0xffff'0000;

  // The path of a hit reads these.
  table::Group* groups_ = nullptr;  // of `storage_`, by group - range_.first
  KeyGroupRange range_;
  std::uint32_t epoch_ = 1;
  bool has_runs_ = false;  // a value in memory may be a run
  StateBacking* backing_ = nullptr;
  table::Shape shape_;

 private:
  [[nodiscard]] void* find_value(const KeyContext& key) const;
  /// Finds the slot of `key` in its segment; false if there is none.
  [[nodiscard]] bool find_slot(const table::Group& group, const KeyContext& key,
                               std::uint32_t& slot) const;
  /// The part of an entry's bytes that is its key.
  [[nodiscard]] std::string_view key_in(std::string_view bytes) const;
  /// The half of the hash of a slot's entry that places it within its group.
  [[nodiscard]] std::uint64_t home_of(const char* slot) const;
  /// Puts a copy of `slot` into the segment at `slots`, which has room, and says which of its slots it is.
  std::uint32_t put_slot(const table::Group& group, char* slots, const char* slot) const;
  class ImageLoader;
  /// Takes the entry out of a slot that no snapshot sees.
  void clear_slot(char* slot);
  void clear_group(table::Group& group);
  /// Lays an empty group out for `entries` entries.
  void lay_out(table::Group& group, std::uint64_t entries);
  /// What of a new segment counts as written. Segment images need all of it.
  [[nodiscard]] std::uint32_t new_dirty() const { return backing_ == nullptr ? ~0U : 0; }
  /// Makes room for one more entry in the segment of `home`.
  void make_room(table::Group& group, std::uint64_t home);
  /// A node without links.
  table::Node* make_node(std::string_view key);
  table::Node* thaw(table::Node* node);
  /// Puts a node among those of its key, takes it from there, and puts `copy` where `node` was.
  void link(table::Node* node);
  void unlink(table::Node* node);
  void relink(table::Node* node, table::Node* copy);
  bool remove(const KeyContext& key);
  /// The context that `entry_key` was made from; views into it. Errors: `corruption`.
  [[nodiscard]] Result<KeyContext> context_of(std::string_view entry_key) const;
  void append_entry_key_of(const KeyContext& key, std::string& out) const;
  /// Whether a key that is not in memory cannot be in the database either.
  [[nodiscard]] bool is_complete(const KeyContext& key) const;
  /// Whether the database may have an entry of a key that is not in memory; then `key_buffer_` holds its
  /// entry key.
  [[nodiscard]] bool may_be_stored(const KeyContext& key);
  /// The entry of `key`, which the database may have.
  void* load_stored(const KeyContext& key, bool for_write);
  /// Whether what is appended to `key`, of which memory has nothing and the database may have something, begins
  /// a run.
  [[nodiscard]] bool may_be_run(const KeyContext& key) const;
  /// The run that the entry of `key` in memory is, 0 if it is whole.
  [[nodiscard]] std::uint32_t run_of(const KeyContext& key) const;
  /// Makes the entry of `key` whole, which is the run `run`. May throw `StateAccessFailed`.
  void* load_below(const KeyContext& key, std::uint32_t run);
  /// The same with `below`, what the database has of it but for the run. No change.
  void* complete_run(const KeyContext& key, std::string_view below);
  [[nodiscard]] bool is_removed(const table::Group& group, std::uint32_t number,
                                std::string_view entry_key) const;
  /// Whether what the database says of `key`, whose entry key is `entry_key`, does not count.
  [[nodiscard]] bool is_overridden(const KeyContext& key, std::string_view entry_key) const;
  /// The database is to remove what it may have of `key`.
  void note_removal(const KeyContext& key);
  /// Decodes what the database holds for a key that is not in memory. May throw `StateAccessFailed`.
  void* insert_loaded(const KeyContext& key, std::string_view bytes, bool is_change);
  bool plan_ahead(std::size_t records);
  /// Bytes that values hold on the heap, for each node.
  [[nodiscard]] std::size_t sample_heap_bytes() const;
  [[nodiscard]] std::size_t bytes_with(std::size_t heap_bytes_of_node) const;
  /// Evicts from `group`, from `home` on, while more than `target_bytes` are used; returns where it has
  /// stopped, 2^32 at the end.
  std::uint64_t evict_from(table::Group& group, std::uint64_t home, std::size_t target_bytes);
  void evict_segment(table::Group& group, std::uint64_t home);
  void remove_expired();

  std::shared_ptr<const StateDeclaration> declaration_;
  std::shared_ptr<table::Storage> storage_;
  std::unordered_map<KeyHash, table::Node*>
      first_of_key_;  // of a composite table, by the key's hash
  TableCounters counters_;
  std::size_t heap_bytes_of_node_ = 0;  // as last sampled
  std::uint32_t estimates_until_sample_ = 0;
  // Of a state with a time to live only:
  const std::shared_ptr<const TimeToLive> ttl_;
  struct {
    std::uint32_t group = 0;  // from `range_.first`
    std::uint32_t segment = 0;
    std::uint32_t slot = 0;
  } cleaned_;  // where `remove_expired` goes on
  // Of a cache only. Its epoch before the current one is never that of a snapshot: a loaded node is
  // given it, so that its first change is noticed and copies nothing.
  std::vector<std::shared_ptr<table::Removals>> removals_;  // ascending by epoch, the open one last
  std::vector<bool> complete_;      // by group: every entry of the database is in memory
  std::uint32_t hand_group_ = 0;    // where the next eviction goes on: index of the group
  std::uint64_t hand_home_ = 0;     // and home within it
  std::uint32_t circle_epoch_ = 0;  // when the hand last began anew: what was written since stays
  bool run_begins_ = false;         // at the key that was last looked up to be appended to
  bool run_is_used_ = false;        // a run has begun since the number was last counted up
  std::uint32_t runs_ = 0;          // that have begun since the last slice
  std::uint32_t misses_ = 0;        // loaded one by one since the last slice
  std::uint32_t ahead_slices_ = 0;  // for which keys are still wanted
  /// A key that was noted: where its entry key ends in `ahead_`, and its run in memory.
  struct Ahead {
    std::size_t end;
    std::uint32_t run;
  };
  std::string ahead_;  // entry keys, one behind the other
  std::vector<Ahead> ahead_keys_;
  std::vector<std::string_view> absent_;  // of them those that the database lacks; ascending
  std::string key_buffer_;
  std::string value_buffer_;
};

/// One keyed state of one subtask with values of type `V`. A hit is a direct call: no virtual function,
/// no allocation, one cache miss if the value is trivially copyable and the key compact, else two.
/// A value is copied alone before its first change after a snapshot: a copy of a `V` must be deep, and
/// reading a const `V` from another thread safe.
/// A pointer or reference that a table returns is valid until the next call on it.
/// Threads: one owner.
template <class V>
class Table final : public TableBase {
 public:
  Table(StateDeclaration declaration, const TableOptions& options, EntryCodec<V> codec = {})
      : TableBase(std::move(declaration), options, table::layout<V>), codec_(std::move(codec)) {
    // Images are read by what the declaration says.
    if constexpr (Described<V>) WEIR_ASSERT(shape_.value_width == Codec<V>::fixed_width);
  }

  /// The value of `key`, null if there is none. May throw `StateAccessFailed`, as all accesses, if the
  /// table is a cache.
  [[nodiscard]] const V* find(const KeyContext& key) {
    V* value = locate<false>(key);
    if (value == nullptr) {
      if (backing_ != nullptr) [[unlikely]]
        value = static_cast<V*>(load(key, false));
    } else if (has_runs_) [[unlikely]] {
      value = static_cast<V*>(whole(key, value));
    }
    return value;
  }
  /// The same, to be changed.
  [[nodiscard]] V* find_for_write(const KeyContext& key) {
    V* value = locate<true>(key);
    if (value == nullptr) {
      if (backing_ != nullptr) [[unlikely]]
        value = static_cast<V*>(load(key, true));
    } else if (has_runs_) [[unlikely]] {
      value = static_cast<V*>(whole(key, value));
    }
    return value;
  }
  /// The value of `key`, to be changed; the default value if there was none.
  [[nodiscard]] V& find_or_insert(const KeyContext& key) {
    V* value = locate<true>(key);
    if (value == nullptr) [[unlikely]] {
      if (backing_ != nullptr) value = static_cast<V*>(load(key, true));
      if (value == nullptr) value = static_cast<V*>(insert_default(key));
    } else if (has_runs_) [[unlikely]] {
      value = static_cast<V*>(whole(key, value));
    }
    return *value;
  }
  /// What `key` has, to be added to without being looked at: a value, or the part of one that does not
  /// begin in memory. If there is null, `insert_for_append` comes next.
  [[nodiscard]] V* find_for_append(const KeyContext& key) {
    V* value = locate<true>(key);
    if (value == nullptr && backing_ != nullptr) [[unlikely]]
      value = static_cast<V*>(load_for_append(key));
    return value;
  }
  /// A default value for what is added to `key`, of which `find_for_append` has just returned null.
  [[nodiscard]] V& insert_for_append(const KeyContext& key) {
    return *static_cast<V*>(backing_ == nullptr ? insert_default(key) : insert_appended(key));
  }
  /// Both together, for values whose default is the empty one.
  [[nodiscard]] V& append_to(const KeyContext& key) {
    V* value = find_for_append(key);
    return value != nullptr ? *value : insert_for_append(key);
  }
  /// Removes the entry of `key`; false if there was none.
  bool erase(const KeyContext& key) { return erase_entry(key); }
  /// Removes the entry of `key` if there is one, without looking where appends do not either.
  void discard(const KeyContext& key) { discard_entry(key); }
  /// Calls `f(bytes, value)` for each entry in memory of the key `key` of a composite table, in no
  /// promised order; `bytes` are those of the entry's context. `key` is the canonical encoding. `f` must
  /// not use the table.
  template <class F>
  void for_each_of_key(std::string_view key, F&& f) const {
    for (const table::Node* node = first_of(key); node != nullptr; node = next_of(node, key))
      f(node_key_of(node), static_cast<const Node*>(node)->value);
  }

  /// The same, also with those that only the database has, until `f` returns false. `prefix` is what the
  /// bytes of the entries to be visited begin with: `key`, with its length if that varies, and a namespace.
  template <class F>
  void walk(std::uint32_t group, std::string_view key, std::string_view prefix, F&& f) const {
    for (const table::Node* node = first_of(key); node != nullptr; node = next_of(node, key))
      if (node_key_of(node).starts_with(prefix) &&
          !f(node_key_of(node), static_cast<const Node*>(node)->value))
        return;
    if (backing_ == nullptr) return;
    scan_stored(group, prefix, [&](std::string_view bytes, std::string_view encoded) {
      V value{};
      if (auto decoded = decode_entry(encoded, &value); !decoded)
        throw StateAccessFailed(std::move(decoded.error()));
      return f(bytes, std::as_const(value));
    });
  }

  [[nodiscard]] const EntryCodec<V>& codec() const { return codec_; }

  [[nodiscard]] SchemaDefaults defaults() const override { return EntryCodec<V>::defaults(); }
  [[nodiscard]] ValueFold value_fold() const override {
    if constexpr (requires { codec_.reduce; }) {
      if (codec_.reduce)
        return [codec = codec_, state = declaration().name](std::string_view& bytes,
                                                            std::string& buffer) -> Status {
          V value{};
          WEIR_TRY(table::decoded(state, [&] { return codec.decode(bytes, value); }));
          buffer.clear();
          ByteWriter writer(buffer);
          codec.encode(value, writer);
          bytes = buffer;
          return {};
        };
    }
    return {};
  }

 private:
  using Node = table::NodeOf<V>;

  template <bool for_write>
  [[gnu::always_inline]] V* locate(const KeyContext& key) {
    table::Group& group = groups_[key.group - range_.first];
    const std::uint64_t home = key.hash >> 32;
    table::Segment& segment = group.directory[home >> group.shift];
    if constexpr (table::is_inline<V>) {
      if (shape_.inline_values) [[likely]] {
        if (key.word == 0) [[unlikely]]
          return locate_zero<for_write>(group);
        using Slot = table::InlineSlot<V>;
        Slot* const slots = reinterpret_cast<Slot*>(segment.slots);
        for (std::uint32_t i = table::first_slot(home, group.slot_mask);;
             i = (i + 1) & group.slot_mask) {
          Slot* slot = slots + i;
          if (slot->word == key.word) [[likely]] {
            if constexpr (for_write) {
              if (segment.epoch != epoch_) [[unlikely]]
                slot = reinterpret_cast<Slot*>(thaw_slot(group, home, i));
              else
                segment.dirty |= 1U << (i >> table::granule_shift(sizeof(Slot)));
            }
            return &slot->value;
          }
          if (slot->word == 0) return nullptr;
        }
      }
    }
    table::NodeSlot* const slots = reinterpret_cast<table::NodeSlot*>(segment.slots);
    for (std::uint32_t i = table::first_slot(home, group.slot_mask);;
         i = (i + 1) & group.slot_mask) {
      const table::NodeSlot& slot = slots[i];
      table::Node* node = slot.node;
      if (node == nullptr) return nullptr;
      const bool matches = shape_.compact ? slot.word == key.word
                                          : slot.word == key.hash && node_key_of(node) == key.bytes;
      if (matches) {
        if constexpr (for_write)
          if (node->epoch != epoch_) [[unlikely]]
            node = thaw_node(group, home, i);
        return &static_cast<Node*>(node)->value;
      }
    }
  }
  template <bool for_write>
  V* locate_zero(table::Group& group) {
    table::Node* node = group.zero;
    if (node == nullptr) return nullptr;
    if constexpr (for_write)
      if (node->epoch != epoch_) node = thaw_zero(group);
    return &static_cast<Node*>(node)->value;
  }
  static std::string_view node_key_of(const table::Node* node) {
    return {reinterpret_cast<const char*>(node) + sizeof(Node), node->key_size};
  }
  bool decode(std::string_view bytes, void* value) const override {
    return codec_.decode(bytes, *static_cast<V*>(value));
  }

  EntryCodec<V> codec_;
};

}  // namespace weir
