#include "state/table.hpp"

#include <algorithm>
#include <utility>

#include "state/arena.hpp"
#include "state/entry_key.hpp"
#include "state/extents.hpp"

namespace weir {

namespace table {

namespace {

constexpr std::uint32_t first_slots = 8;
/// Retired blocks that one `reclaim` looks at, so that the end of a snapshot never stops the owner.
constexpr std::size_t reclaimed_at_once = 4096;
/// Entries whose heap use is looked at to estimate that of all.
constexpr std::uint64_t sampled_entries = 64;

/// What the directory of a group without entries points to: one free slot of any width. Nobody writes
/// it, because the group's limit of used slots is 0.
alignas(64) constexpr char empty_slot[512] = {};
constexpr Segment empty_directory{const_cast<char*>(empty_slot), 0};
constexpr Group empty_group{const_cast<Segment*>(&empty_directory), nullptr, 0, 0, 0, 0};

std::uint64_t word_of(const char* slot) {
  std::uint64_t word;
  std::memcpy(&word, slot, sizeof(word));
  return word;
}
Node*& node_of(char* slot) { return reinterpret_cast<NodeSlot*>(slot)->node; }
Node* node_of(const char* slot) { return reinterpret_cast<const NodeSlot*>(slot)->node; }

char* slot_at(const Shape& shape, const Group& group, std::uint32_t index) {
  const std::uint32_t within = index & ((1U << shape.segment_shift) - 1);
  return group.segments[index >> shape.segment_shift].slots +
         std::size_t{within} * shape.slot_bytes;
}
bool is_taken(const Shape& shape, const char* slot) {
  return shape.inline_values ? word_of(slot) != 0 : node_of(slot) != nullptr;
}
std::string_view key_of(const Shape& shape, const Node* node) {
  return {reinterpret_cast<const char*>(node) + shape.layout->node_bytes, node->key_size};
}
char* value_of(const Shape& shape, Node* node) {
  return reinterpret_cast<char*>(node) + shape.layout->value_offset;
}
const char* value_of(const Shape& shape, const Node* node) {
  return reinterpret_cast<const char*>(node) + shape.layout->value_offset;
}
/// Where the value is that belongs to a taken slot.
char* slot_value(const Shape& shape, char* slot) {
  return shape.inline_values ? slot + shape.layout->value_offset : value_of(shape, node_of(slot));
}

std::uint32_t segment_count(const Shape& shape, const Group& group) {
  return (group.mask >> shape.segment_shift) + 1;
}
std::size_t segment_bytes(const Shape& shape, const Group& group) {
  const std::uint32_t slots = std::min(group.mask + 1, 1U << shape.segment_shift);
  return std::size_t{slots} * shape.slot_bytes;
}

/// Calls `f(slot)` for each taken slot of `group`.
template <class F>
void for_each_slot(const Shape& shape, const Group& group, F&& f) {
  if (group.used == 0) return;
  for (std::uint32_t index = 0; index <= group.mask; ++index)
    if (char* slot = slot_at(shape, group, index); is_taken(shape, slot)) f(slot);
}

}  // namespace

/// The memory of a table. The owner changes it; frozen tables keep it alive and read what they saw.
class Storage {
 public:
  Storage(const Shape& form, std::uint32_t group_count)
      : shape(form), groups(group_count, empty_group) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  /// Frees a block once no snapshot sees it. It came into being in epoch `first_epoch`.
  void release(void* block, std::size_t bytes, std::uint32_t first_epoch);
  void release(Node* node);
  /// Notices snapshots that have ended and frees up to `limit` blocks that only they saw.
  void reclaim(std::size_t limit);
  std::shared_ptr<std::atomic<bool>> begin_snapshot(std::uint32_t epoch);
  /// True if a snapshot that has not ended sees what came into being in epoch `first_epoch`.
  [[nodiscard]] bool is_seen(std::uint32_t first_epoch) const {
    return first_epoch <= newest_epoch_;
  }
  /// The segment, to be written in `epoch`; copied if a snapshot sees it.
  Segment& writable_segment(Group& group, std::uint32_t segment, std::uint32_t epoch,
                            TableCounters& counters);
  /// Takes a group's array away, nodes apart.
  void release_array(Group& group);

  const Shape shape;
  Arena arena;
  std::vector<Group> groups;

 private:
  /// A block, or a node if `bytes` is 0, that the owner has replaced.
  struct Retired {
    void* block;
    std::size_t bytes;
    std::uint32_t first_epoch;
  };
  /// What the snapshot taken at the end of `epoch` is the newest to see.
  struct Snapshot {
    std::uint32_t epoch;
    std::shared_ptr<std::atomic<bool>> ended;
    std::vector<Retired> retired;
  };

  void free_now(const Retired& retired);
  void destroy(Node* node) {
    if (shape.layout->destroy != nullptr) shape.layout->destroy(value_of(shape, node));
  }

  std::uint32_t newest_epoch_ = 0;   // of `snapshots_`; 0 if there are none
  std::vector<Snapshot> snapshots_;  // not ended, as far as the owner has noticed; ascending
  std::vector<Snapshot> ended_;      // with blocks yet to be freed or handed to an older snapshot
};

Storage::~Storage() {
  if (shape.layout->destroy == nullptr) return;  // the arena takes all memory back at once
  for (const Group& group : groups) {
    if (group.zero != nullptr) destroy(group.zero);
    if (!shape.inline_values)
      for_each_slot(shape, group, [&](char* slot) { destroy(node_of(slot)); });
  }
  for (const auto* list : {&snapshots_, &ended_})
    for (const Snapshot& snapshot : *list)
      for (const Retired& retired : snapshot.retired)
        if (retired.bytes == 0) destroy(static_cast<Node*>(retired.block));
}

void Storage::release(void* block, std::size_t bytes, std::uint32_t first_epoch) {
  const Retired retired{block, bytes, first_epoch};
  if (is_seen(first_epoch))
    snapshots_.back().retired.push_back(retired);
  else
    free_now(retired);
}

void Storage::release(Node* node) { release(node, 0, node->epoch); }

void Storage::free_now(const Retired& retired) {
  if (retired.bytes != 0) {
    arena.free(retired.block, retired.bytes);
    return;
  }
  auto* node = static_cast<Node*>(retired.block);
  destroy(node);
  arena.free(node, shape.layout->node_bytes + node->key_size);
}

void Storage::reclaim(std::size_t limit) {
  if (snapshots_.empty() && ended_.empty()) return;
  for (std::size_t i = 0; i < snapshots_.size();) {
    if (!snapshots_[i].ended->load(std::memory_order_acquire)) {
      ++i;
      continue;
    }
    ended_.push_back(std::move(snapshots_[i]));
    snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  newest_epoch_ = snapshots_.empty() ? 0 : snapshots_.back().epoch;

  while (!ended_.empty()) {
    Snapshot& snapshot = ended_.back();
    // Of the older snapshots the newest one inherits what it sees.
    Snapshot* heir = nullptr;
    for (Snapshot& older : snapshots_)
      if (older.epoch < snapshot.epoch) heir = &older;
    for (; !snapshot.retired.empty(); --limit) {
      if (limit == 0) return;
      const Retired retired = snapshot.retired.back();
      snapshot.retired.pop_back();
      if (heir != nullptr && retired.first_epoch <= heir->epoch)
        heir->retired.push_back(retired);
      else
        free_now(retired);
    }
    ended_.pop_back();
  }
}

std::shared_ptr<std::atomic<bool>> Storage::begin_snapshot(std::uint32_t epoch) {
  auto ended = std::make_shared<std::atomic<bool>>(false);
  snapshots_.push_back({epoch, ended, {}});
  newest_epoch_ = epoch;
  return ended;
}

Segment& Storage::writable_segment(Group& group, std::uint32_t segment, std::uint32_t epoch,
                                   TableCounters& counters) {
  if (group.directory_epoch != epoch) {
    if (is_seen(group.directory_epoch)) {
      const std::size_t bytes = segment_count(shape, group) * sizeof(Segment);
      auto* copy = static_cast<Segment*>(arena.allocate(bytes));
      std::memcpy(copy, group.segments, bytes);
      release(group.segments, bytes, group.directory_epoch);
      group.segments = copy;
      ++counters.directories_copied;
    }
    group.directory_epoch = epoch;
  }
  Segment& written = group.segments[segment];
  if (written.epoch != epoch) {
    if (is_seen(written.epoch)) {
      const std::size_t bytes = segment_bytes(shape, group);
      auto* copy = static_cast<char*>(arena.allocate(bytes));
      std::memcpy(copy, written.slots, bytes);
      release(written.slots, bytes, written.epoch);
      written.slots = copy;
      ++counters.segments_copied;
    }
    written.epoch = epoch;
  }
  return written;
}

void Storage::release_array(Group& group) {
  if (group.segments == empty_group.segments) return;
  const std::uint32_t count = segment_count(shape, group);
  for (std::uint32_t i = 0; i < count; ++i)
    release(group.segments[i].slots, segment_bytes(shape, group), group.segments[i].epoch);
  release(group.segments, count * sizeof(Segment), group.directory_epoch);
}

}  // namespace table

using table::Group;
using table::Node;
using table::NodeSlot;
using table::Segment;

namespace {

table::Shape shape_of(const table::Layout& layout, const TableOptions& options) {
  table::Shape shape{};
  shape.layout = &layout;
  shape.key_width = options.key_width;
  shape.compact = options.key_width >= 1 && options.key_width <= 8;
  shape.inline_values = shape.compact && layout.inline_slot_bytes != 0;
  shape.slot_bytes = shape.inline_values ? layout.inline_slot_bytes : sizeof(NodeSlot);
  shape.segment_shift = table::segment_shift(shape.slot_bytes);
  return shape;
}

/// The order of compact keys is that of their bytes in memory.
std::uint64_t byte_order(std::uint64_t word) { return __builtin_bswap64(word); }

}  // namespace

FrozenTable::FrozenTable(std::shared_ptr<const table::Storage> storage,
                         std::shared_ptr<const StateDeclaration> declaration, KeyGroupRange range,
                         std::shared_ptr<std::atomic<bool>> ended)
    : storage_(std::move(storage)),
      declaration_(std::move(declaration)),
      range_(range),
      ended_(std::move(ended)),
      groups_(storage_->groups) {}

FrozenTable::~FrozenTable() { ended_->store(true, std::memory_order_release); }

std::uint64_t FrozenTable::entries(std::uint32_t group) const {
  WEIR_ASSERT(range_.contains(group));
  const Group& header = groups_[group - range_.first];
  return header.used + (header.zero != nullptr ? 1 : 0);
}

Result<KeyGroupExtent> FrozenTable::write_group(std::uint32_t group, SnapshotSink& sink) const {
  WEIR_ASSERT(range_.contains(group));
  const Group& header = groups_[group - range_.first];
  ExtentWriter writer(sink, group);
  WEIR_TRY(storage_->shape.compact ? write_compact(header, writer, group)
                                   : write_wide(header, writer, group));
  auto extent = writer.finish();
  if (extent) WEIR_ASSERT(extent->entries == entries(group));
  return extent;
}

Status FrozenTable::write_compact(const Group& group, ExtentWriter& writer,
                                  std::uint32_t number) const {
  struct Entry {
    std::uint64_t order;
    const char* value;
  };
  const table::Shape& shape = storage_->shape;
  std::vector<Entry> entries;
  entries.reserve(group.used + 1);
  if (group.zero != nullptr) entries.push_back({0, table::value_of(shape, group.zero)});
  table::for_each_slot(shape, group, [&](char* slot) {
    entries.push_back({byte_order(table::word_of(slot)), table::slot_value(shape, slot)});
  });
  std::ranges::sort(entries, {}, &Entry::order);

  std::string key;
  std::string value;
  ByteWriter value_writer(value);
  for (const Entry& entry : entries) {
    const std::uint64_t word = byte_order(entry.order);
    key.clear();
    value.clear();
    append_entry_key({number, {reinterpret_cast<const char*>(&word), shape.key_width}, {}, {}},
                     shape.key_width, key);
    shape.layout->encode(entry.value, value_writer);
    WEIR_TRY(writer.add(key, value));
  }
  return {};
}

Status FrozenTable::write_wide(const Group& group, ExtentWriter& writer,
                               std::uint32_t number) const {
  struct Entry {
    std::size_t offset;  // of the entry key
    std::size_t size;
    const char* value;
  };
  const table::Shape& shape = storage_->shape;
  std::vector<Entry> entries;
  entries.reserve(group.used);
  std::string keys;  // in one place, so that comparing them does not touch the nodes again
  table::for_each_slot(shape, group, [&](char* slot) {
    const Node* node = table::node_of(slot);
    const std::size_t offset = keys.size();
    append_entry_key({number, table::key_of(shape, node), {}, {}}, shape.key_width, keys);
    entries.push_back({offset, keys.size() - offset, table::value_of(shape, node)});
  });
  const auto key_of = [&](const Entry& entry) {
    return std::string_view(keys).substr(entry.offset, entry.size);
  };
  std::ranges::sort(entries, {}, key_of);

  std::string value;
  ByteWriter value_writer(value);
  for (const Entry& entry : entries) {
    value.clear();
    shape.layout->encode(entry.value, value_writer);
    WEIR_TRY(writer.add(key_of(entry), value));
  }
  return {};
}

Result<KeyedStateHandle> FrozenTable::write(SnapshotSink& sink) const {
  KeyedStateHandle handle;
  handle.state = declaration_->name;
  sink.begin_state(handle.state);
  for (std::uint32_t group = range_.first; group < range_.end; ++group) {
    if (entries(group) == 0) continue;
    WEIR_TRY_ASSIGN(extent, write_group(group, sink));
    handle.groups.push_back(extent);
  }
  return handle;
}

TableBase::TableBase(StateDeclaration declaration, const TableOptions& options,
                     const table::Layout& layout)
    : range_(options.groups),
      shape_(shape_of(layout, options)),
      declaration_(std::make_shared<const StateDeclaration>(std::move(declaration))),
      storage_(std::make_shared<table::Storage>(shape_, options.groups.size())) {
  WEIR_ASSERT(range_.first <= range_.end && range_.end <= options.max_parallelism);
  groups_ = storage_->groups.data();
}

TableBase::~TableBase() = default;

std::uint64_t TableBase::entries() const {
  std::uint64_t sum = 0;
  for (const Group& group : storage_->groups) sum += group.used + (group.zero != nullptr ? 1 : 0);
  return sum;
}

std::size_t TableBase::memory_bytes() const {
  const std::size_t blocks = storage_->arena.used_bytes() + storage_->groups.size() * sizeof(Group);
  if (shape_.layout->heap_bytes == nullptr) return blocks;
  // Values with heap are never inline, so slots tell all.
  const std::uint64_t per_group =
      1 + table::sampled_entries / std::max<std::size_t>(range_.size(), 1);
  std::uint64_t sampled = 0;
  std::uint64_t heap_bytes = 0;
  for (const Group& group : storage_->groups) {
    if (sampled >= table::sampled_entries) break;
    std::uint64_t left = std::min<std::uint64_t>(per_group, group.used);
    for (std::uint32_t index = 0; left > 0; ++index) {
      char* slot = table::slot_at(shape_, group, index);
      if (!table::is_taken(shape_, slot)) continue;
      heap_bytes += shape_.layout->heap_bytes(table::slot_value(shape_, slot));
      ++sampled;
      --left;
    }
  }
  return blocks + (sampled == 0 ? 0 : heap_bytes * entries() / sampled);
}

std::unique_ptr<FrozenTable> TableBase::freeze() {
  WEIR_ASSERT(backing_ == nullptr);
  reclaim();
  auto ended = storage_->begin_snapshot(epoch_);
  ++epoch_;
  counters_.groups_frozen += range_.size();
  return std::unique_ptr<FrozenTable>(
      new FrozenTable(storage_, declaration_, range_, std::move(ended)));
}

void TableBase::reclaim() { storage_->reclaim(table::reclaimed_at_once); }

void TableBase::reserve(std::uint32_t group, std::uint64_t entries) {
  WEIR_ASSERT(range_.contains(group));
  Group& header = groups_[group - range_.first];
  if (header.used > 0 || entries == 0) return;
  std::uint64_t slots = table::first_slots;
  while (slots * 7 / 10 < entries) slots *= 2;
  WEIR_ASSERT(slots <= std::uint64_t{1} << 31);
  if (slots > header.mask + std::uint64_t{1}) resize(header, static_cast<std::uint32_t>(slots));
}

Status TableBase::insert(std::string_view entry_key, std::string_view value) {
  EntryKey entry;
  if (!read_entry_key(entry_key, shape_.key_width, entry) || !entry.name_space.empty() ||
      !entry.map_key.empty())
    return error(Errc::corruption, "an entry's key is malformed");
  if (!range_.contains(entry.group))
    return error(Errc::corruption, "an entry belongs to key group " + std::to_string(entry.group) +
                                       ", which is not one of this subtask's");
  KeyContext key{hash_bytes(entry.key), entry.group, 0, {}};
  if (shape_.compact)
    std::memcpy(&key.word, entry.key.data(), entry.key.size());
  else
    key.bytes = entry.key;
  if (find_value(key) != nullptr) return error(Errc::corruption, "a key appears twice");
  return decode_entry(value, insert_default(key));
}

Status TableBase::decode_entry(std::string_view bytes, void* value) const {
  try {
    if (decode(bytes, value)) return {};
  } catch (const std::exception& failure) {
    return error(Errc::user_function_failed, "the function that folds state '" +
                                                 declaration_->name + "' threw: " + failure.what());
  }
  return error(Errc::corruption, "a value of state '" + declaration_->name +
                                     "' does not decode: it is damaged or of another version");
}

void TableBase::append_keys(std::uint32_t group, std::vector<std::string>& keys) const {
  WEIR_ASSERT(range_.contains(group));
  const Group& header = groups_[group - range_.first];
  const auto append_word = [&](std::uint64_t word) {
    keys.emplace_back(reinterpret_cast<const char*>(&word), shape_.key_width);
  };
  if (header.zero != nullptr) append_word(0);
  table::for_each_slot(shape_, header, [&](char* slot) {
    if (shape_.compact)
      append_word(table::word_of(slot));
    else
      keys.emplace_back(table::key_of(shape_, table::node_of(slot)));
  });
}

void* TableBase::find_value(const KeyContext& key) const {
  const Group& group = groups_[key.group - range_.first];
  if (shape_.inline_values && key.word == 0)
    return group.zero == nullptr ? nullptr : table::value_of(shape_, group.zero);
  std::uint32_t index = 0;
  if (!find_index(group, key, index)) return nullptr;
  return table::slot_value(shape_, table::slot_at(shape_, group, index));
}

bool TableBase::find_index(const Group& group, const KeyContext& key, std::uint32_t& index) const {
  const std::uint64_t word = shape_.compact ? key.word : key.hash;
  for (index = static_cast<std::uint32_t>(key.hash >> 32) & group.mask;;
       index = (index + 1) & group.mask) {
    const char* slot = table::slot_at(shape_, group, index);
    if (!table::is_taken(shape_, slot)) return false;
    if (table::word_of(slot) != word) continue;
    if (shape_.compact || table::key_of(shape_, table::node_of(slot)) == key.bytes) return true;
  }
}

std::uint32_t TableBase::free_index(const Group& group, KeyHash hash) const {
  std::uint32_t index = static_cast<std::uint32_t>(hash >> 32) & group.mask;
  while (table::is_taken(shape_, table::slot_at(shape_, group, index)))
    index = (index + 1) & group.mask;
  return index;
}

KeyHash TableBase::hash_of(const char* slot) const {
  return shape_.compact ? hash_bytes({slot, shape_.key_width}) : table::word_of(slot);
}

void TableBase::resize(Group& group, std::uint32_t slots) {
  Group grown = group;
  grown.mask = slots - 1;
  grown.used_limit = static_cast<std::uint32_t>(std::uint64_t{slots} * 7 / 10);
  grown.directory_epoch = epoch_;
  const std::uint32_t count = table::segment_count(shape_, grown);
  const std::size_t bytes = table::segment_bytes(shape_, grown);
  grown.segments = static_cast<Segment*>(storage_->arena.allocate(count * sizeof(Segment)));
  for (std::uint32_t i = 0; i < count; ++i) {
    auto* memory = static_cast<char*>(storage_->arena.allocate(bytes));
    std::memset(memory, 0, bytes);
    grown.segments[i] = {memory, epoch_};
  }
  table::for_each_slot(shape_, group, [&](const char* slot) {
    char* target = table::slot_at(shape_, grown, free_index(grown, hash_of(slot)));
    std::memcpy(target, slot, shape_.slot_bytes);
  });
  storage_->release_array(group);
  group = grown;
}

Node* TableBase::make_node(std::string_view key) {
  auto* node = static_cast<Node*>(storage_->arena.allocate(shape_.layout->node_bytes + key.size()));
  node->epoch = epoch_;
  node->key_size = static_cast<std::uint32_t>(key.size());
  shape_.layout->construct(table::value_of(shape_, node));
  key.copy(reinterpret_cast<char*>(node) + shape_.layout->node_bytes, key.size());
  return node;
}

void* TableBase::insert_default(const KeyContext& key) {
  Group& group = groups_[key.group - range_.first];
  if (shape_.inline_values && key.word == 0) {
    group.zero = make_node({});
    return table::value_of(shape_, group.zero);
  }
  if (group.used == group.used_limit) {
    WEIR_ASSERT(group.mask < std::uint32_t{1} << 30);
    resize(group, group.used_limit == 0 ? table::first_slots : 2 * (group.mask + 1));
  }
  char* slot = thaw_slot(group, free_index(group, key.hash));
  void* value = nullptr;
  if (shape_.inline_values) {
    value = slot + shape_.layout->value_offset;
    shape_.layout->construct(value);
  } else {
    Node* node = make_node(key.bytes);
    table::node_of(slot) = node;
    value = table::value_of(shape_, node);
  }
  const std::uint64_t word = shape_.compact ? key.word : key.hash;
  std::memcpy(slot, &word, sizeof(word));
  ++group.used;
  return value;
}

char* TableBase::thaw_slot(Group& group, std::uint32_t index) {
  storage_->writable_segment(group, index >> shape_.segment_shift, epoch_, counters_);
  return table::slot_at(shape_, group, index);
}

Node* TableBase::thaw_node(Group& group, std::uint32_t index) {
  // The slot's segment counts as written too: it leads to what this epoch has changed.
  char* slot = thaw_slot(group, index);
  return table::node_of(slot) = thaw(table::node_of(slot));
}

Node* TableBase::thaw_zero(Group& group) { return group.zero = thaw(group.zero); }

Node* TableBase::thaw(Node* node) {
  if (storage_->is_seen(node->epoch)) {
    const std::string_view key = table::key_of(shape_, node);
    auto* copy =
        static_cast<Node*>(storage_->arena.allocate(shape_.layout->node_bytes + key.size()));
    copy->key_size = node->key_size;
    shape_.layout->copy(table::value_of(shape_, copy), table::value_of(shape_, node));
    key.copy(reinterpret_cast<char*>(copy) + shape_.layout->node_bytes, key.size());
    storage_->release(node);
    ++counters_.nodes_copied;
    node = copy;
  }
  node->epoch = epoch_;
  return node;
}

bool TableBase::erase_entry(const KeyContext& key) {
  if (backing_ == nullptr) return remove(key);
  if (find_value(key) == nullptr && load(key) == nullptr) return false;
  note_change(key);
  return remove(key);
}

bool TableBase::remove(const KeyContext& key) {
  Group& group = groups_[key.group - range_.first];
  if (shape_.inline_values && key.word == 0) {
    if (group.zero == nullptr) return false;
    storage_->release(std::exchange(group.zero, nullptr));
    return true;
  }
  std::uint32_t hole = 0;
  if (!find_index(group, key, hole)) return false;
  if (!shape_.inline_values) storage_->release(table::node_of(table::slot_at(shape_, group, hole)));
  // Every entry behind the hole that would not be found across it moves into it, and leaves the next.
  for (std::uint32_t next = (hole + 1) & group.mask;; next = (next + 1) & group.mask) {
    const char* slot = table::slot_at(shape_, group, next);
    if (!table::is_taken(shape_, slot)) break;
    const std::uint32_t home = static_cast<std::uint32_t>(hash_of(slot) >> 32) & group.mask;
    if (((next - home) & group.mask) < ((next - hole) & group.mask)) continue;
    char* target = thaw_slot(group, hole);  // may have copied the segment that `slot` is in
    std::memcpy(target, table::slot_at(shape_, group, next), shape_.slot_bytes);
    hole = next;
  }
  std::memset(thaw_slot(group, hole), 0, shape_.slot_bytes);
  --group.used;
  return true;
}

void TableBase::set_backing(StateBacking* backing, bool backing_is_empty) {
  WEIR_ASSERT(entries() == 0);
  backing_ = backing;
  complete_.assign(range_.size(), backing_is_empty);
}

void* TableBase::load(const KeyContext& key) {
  // A changed key that is not in memory was removed; the database still has it.
  if (complete_[key.group - range_.first] || is_changed(key)) return nullptr;
  std::string bytes;
  auto found = backing_->load(entry_key_of(key), bytes);
  if (!found) throw StateAccessFailed(std::move(found.error()));
  if (!*found) return nullptr;
  ++counters_.entries_loaded;
  void* value = insert_default(key);
  if (auto decoded = decode_entry(bytes, value); !decoded) {
    remove(key);
    throw StateAccessFailed(std::move(decoded.error()));
  }
  return value;
}

std::string TableBase::entry_key_of(const KeyContext& key) const {
  std::string bytes;
  const std::string_view word(reinterpret_cast<const char*>(&key.word), shape_.key_width);
  append_entry_key({key.group, shape_.compact ? word : key.bytes, {}, {}}, shape_.key_width, bytes);
  return bytes;
}

std::size_t TableBase::change_position(const KeyContext& key) const {
  const std::size_t mask = change_index_.size() - 1;
  for (std::size_t position = (key.hash >> 32) & mask;; position = (position + 1) & mask) {
    if (change_index_[position] == 0) return position;
    const Change& change = changes_[change_index_[position] - 1];
    if (change.hash == key.hash && change.word == key.word && change.bytes == key.bytes)
      return position;
  }
}

bool TableBase::is_changed(const KeyContext& key) const {
  return !changes_.empty() && change_index_[change_position(key)] != 0;
}

void TableBase::note_change(const KeyContext& key) {
  if (2 * (changes_.size() + 1) > change_index_.size()) {
    change_index_.assign(std::max<std::size_t>(512, change_index_.size() * 2), 0);
    for (std::uint32_t i = 0; i < changes_.size(); ++i)
      change_index_[change_position(context_of(changes_[i]))] = i + 1;
  }
  std::uint32_t& place = change_index_[change_position(key)];
  if (place != 0) return;
  changes_.push_back({key.hash, key.group, key.word, std::string(key.bytes)});
  place = static_cast<std::uint32_t>(changes_.size());
}

void TableBase::for_each_change(
    const std::function<void(std::string_view entry_key, const std::string* value)>& store) {
  std::string value;
  ByteWriter writer(value);
  for (const Change& change : changes_) {
    const KeyContext key = context_of(change);
    const std::string entry_key = entry_key_of(key);
    if (const void* held = find_value(key); held != nullptr) {
      value.clear();
      shape_.layout->encode(held, writer);
      ++counters_.entries_encoded;
      store(entry_key, &value);
    } else {
      store(entry_key, nullptr);
    }
  }
}

void TableBase::forget_changes() {
  changes_.clear();
  std::ranges::fill(change_index_, 0);
}

void TableBase::drop_groups(std::size_t budget_bytes) {
  if (!changes_.empty()) return;
  for (std::uint32_t tried = 0; tried < range_.size() && memory_bytes() > budget_bytes; ++tried) {
    Group& group = groups_[next_dropped_];
    if (!shape_.inline_values)
      table::for_each_slot(shape_, group,
                           [&](char* slot) { storage_->release(table::node_of(slot)); });
    if (group.zero != nullptr) storage_->release(group.zero);
    storage_->release_array(group);
    group = table::empty_group;
    complete_[next_dropped_] = false;
    next_dropped_ = (next_dropped_ + 1) % range_.size();
  }
}

}  // namespace weir
