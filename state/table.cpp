#include "state/table.hpp"

#include <algorithm>
#include <utility>

#include "state/entry_key.hpp"
#include "state/frozen_table.hpp"
#include "state/table_storage.hpp"

namespace weir {

using table::Group;
using table::Node;
using table::NodeSlot;
using table::Segment;

namespace {

table::Shape shape_of(const table::Layout& layout, const TableOptions& options) {
  table::Shape shape{};
  shape.layout = &layout;
  shape.key_width = options.key_width;
  shape.composite = options.composite;
  shape.compact = !options.composite && options.key_width >= 1 && options.key_width <= 8;
  shape.inline_values = shape.compact && layout.inline_slot_bytes != 0;
  shape.slot_bytes = shape.inline_values ? layout.inline_slot_bytes : sizeof(NodeSlot);
  shape.segment_shift = table::segment_shift(shape.slot_bytes);
  shape.granule_shift = table::granule_shift(shape.slot_bytes);
  return shape;
}

}  // namespace

TableBase::TableBase(StateDeclaration declaration, const TableOptions& options,
                     const table::Layout& layout)
    : range_(options.groups),
      shape_(shape_of(layout, options)),
      declaration_(std::make_shared<const StateDeclaration>(std::move(declaration))),
      storage_(std::make_shared<table::Storage>(shape_, options.groups.size())),
      ttl_(options.ttl) {
  WEIR_ASSERT((ttl_ != nullptr) == (layout.timed != nullptr));
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
    table::for_each_segment(group, [&](const Segment& segment) {
      if (left == 0) return;
      table::for_each_slot(shape_, group, segment, [&](char* slot) {
        if (left == 0) return;
        heap_bytes += shape_.layout->heap_bytes(table::slot_value(shape_, slot));
        ++sampled;
        --left;
      });
    });
  }
  return blocks + (sampled == 0 ? 0 : heap_bytes * entries() / sampled);
}

std::unique_ptr<FrozenTable> TableBase::freeze() {
  WEIR_ASSERT(backing_ == nullptr);
  reclaim();
  auto ended = storage_->begin_snapshot(epoch_);
  counters_.groups_frozen += range_.size();
  return std::unique_ptr<FrozenTable>(new FrozenTable(storage_, declaration_, range_, epoch_++,
                                                      snapshot_filter(), std::move(ended)));
}

void TableBase::confirm(std::uint32_t epoch) {
  WEIR_ASSERT(epoch < epoch_);
  storage_->confirmed_epoch = std::max(storage_->confirmed_epoch, epoch);
}

void TableBase::reclaim() { storage_->reclaim(table::reclaimed_at_once); }

void TableBase::reserve(std::uint32_t group, std::uint64_t entries) {
  WEIR_ASSERT(range_.contains(group));
  Group& header = groups_[group - range_.first];
  if (header.directory == table::empty_group.directory && entries > 0) lay_out(header, entries);
}

Status TableBase::insert(std::string_view entry_key, std::string_view value) {
  WEIR_TRY_ASSIGN(key, context_of(entry_key));
  if (find_value(key) != nullptr) return error(Errc::corruption, "a key appears twice");
  return decode_entry(value, insert_default(key));
}

Result<KeyContext> TableBase::context_of(std::string_view entry_key) const {
  EntryKey entry;
  const bool whole = read_entry_key(entry_key, shape_.key_width, entry);
  if (!whole || (!shape_.composite && !(entry.name_space.empty() && entry.map_key.empty())))
    return error(Errc::corruption, "an entry's key is malformed");
  if (!range_.contains(entry.group))
    return error(Errc::corruption, "an entry belongs to key group " + std::to_string(entry.group) +
                                       ", which is not one of this subtask's");
  KeyContext key;
  key.group = entry.group;
  key.bytes = shape_.composite ? entry_key.substr(sizeof(std::uint16_t)) : entry.key;
  key.hash = hash_bytes(key.bytes);
  if (shape_.compact) {
    std::memcpy(&key.word, entry.key.data(), entry.key.size());
    key.bytes = {};
  }
  return key;
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
  const LiveFilter filter = live_filter();
  const auto append_word = [&](std::uint64_t word) {
    keys.emplace_back(reinterpret_cast<const char*>(&word), shape_.key_width);
  };
  if (header.zero != nullptr && !filter.drops(table::value_of(shape_, header.zero))) append_word(0);
  table::for_each_slot(shape_, header, [&](char* slot) {
    if (filter.drops(table::slot_value(shape_, slot))) return;
    if (shape_.compact) {
      append_word(table::word_of(slot));
      return;
    }
    const Node* node = table::node_of(slot);
    const std::string_view key = key_in(table::key_of(shape_, node));
    if (shape_.composite && filter.keeps_all()) {
      // Only the first entry of a key names it, or a large map would be as many keys.
      const Node* previous = table::links_of(node).previous;
      if (previous != nullptr && key_in(table::key_of(shape_, previous)) == key) return;
    }
    keys.emplace_back(key);
  });
}

std::string_view TableBase::key_in(std::string_view bytes) const {
  if (!shape_.composite) return bytes;
  ByteReader reader(bytes);
  return reader.raw(shape_.key_width == 0 ? reader.number<std::uint32_t>() : shape_.key_width);
}

void* TableBase::find_value(const KeyContext& key) const {
  const Group& group = groups_[key.group - range_.first];
  if (shape_.inline_values && key.word == 0)
    return group.zero == nullptr ? nullptr : table::value_of(shape_, group.zero);
  std::uint32_t slot = 0;
  if (!find_slot(group, key, slot)) return nullptr;
  char* slots = group.directory[(key.hash >> 32) >> group.shift].slots;
  return table::slot_value(shape_, slots + std::size_t{slot} * shape_.slot_bytes);
}

bool TableBase::find_slot(const Group& group, const KeyContext& key, std::uint32_t& slot) const {
  const std::uint64_t word = shape_.compact ? key.word : key.hash;
  const std::uint64_t home = key.hash >> 32;
  const char* slots = group.directory[home >> group.shift].slots;
  for (slot = table::first_slot(home, group.slot_mask);; slot = (slot + 1) & group.slot_mask) {
    const char* held = slots + std::size_t{slot} * shape_.slot_bytes;
    if (!table::is_taken(shape_, held)) return false;
    if (table::word_of(held) != word) continue;
    if (shape_.compact || table::key_of(shape_, table::node_of(held)) == key.bytes) return true;
  }
}

std::uint64_t TableBase::home_of(const char* slot) const {
  return (shape_.compact ? hash_bytes({slot, shape_.key_width}) : table::word_of(slot)) >> 32;
}

void TableBase::put_slot(const Group& group, char* slots, const char* slot) const {
  std::uint32_t i = table::first_slot(home_of(slot), group.slot_mask);
  while (table::is_taken(shape_, slots + std::size_t{i} * shape_.slot_bytes))
    i = (i + 1) & group.slot_mask;
  std::memcpy(slots + std::size_t{i} * shape_.slot_bytes, slot, shape_.slot_bytes);
  ++table::header_of(slots).used;
}

void TableBase::lay_out(Group& group, std::uint64_t entries) {
  const std::uint64_t full = std::uint64_t{1} << shape_.segment_shift;
  std::uint64_t slots = table::first_slots;
  while (slots < full && table::slot_limit(static_cast<std::uint32_t>(slots - 1)) < entries)
    slots *= 2;
  std::uint32_t depth = 0;
  // Filled to no more than two thirds of what they hold, few segments are split on the way.
  while (depth < table::max_depth && (full * 13 / 24) << depth < entries && slots == full) ++depth;

  group.slot_mask = static_cast<std::uint32_t>(slots - 1);
  group.shift = 32 - depth;
  group.directory_epoch = group.made_epoch = epoch_;
  group.directory = static_cast<Segment*>(storage_->arena.allocate(table::directory_bytes(group)));
  for (std::uint32_t i = 0; i < std::uint32_t{1} << depth; ++i)
    group.directory[i] = storage_->make_segment(group.slot_mask, depth, epoch_);
}

void TableBase::make_room(Group& group, std::uint64_t home) {
  storage_->thaw_directory(group, epoch_, counters_);
  const Segment old = group.directory[home >> group.shift];
  const std::uint32_t depth = table::header_of(old.slots).depth;
  const std::uint32_t full_mask = (1U << shape_.segment_shift) - 1;
  if (group.slot_mask < full_mask) {
    Group grown = group;
    grown.slot_mask = 2 * group.slot_mask + 1;
    grown.made_epoch = epoch_;
    const Segment larger = storage_->make_segment(grown.slot_mask, 0, epoch_);
    table::for_each_slot(shape_, group, old,
                         [&](const char* slot) { put_slot(grown, larger.slots, slot); });
    grown.directory[0] = larger;
    storage_->release_segment(group, old);
    group = grown;
    return;
  }
  if (depth == table::max_depth)
    throw StateAccessFailed(
        {Errc::limit_exceeded, "state '" + declaration_->name +
                                   "': hundreds of keys have the same hash; keys of such a kind "
                                   "cannot be kept apart"});
  if (depth == table::depth_of(group)) {
    Group grown = group;
    --grown.shift;
    grown.directory =
        static_cast<Segment*>(storage_->arena.allocate(table::directory_bytes(grown)));
    for (std::uint32_t i = 0; i < std::uint32_t{1} << depth; ++i)
      grown.directory[2 * i] = grown.directory[2 * i + 1] = group.directory[i];
    storage_->release(group.directory, table::directory_bytes(group), group.directory_epoch);
    group = grown;
  }
  const Segment lower = storage_->make_segment(group.slot_mask, depth + 1, epoch_);
  const Segment upper = storage_->make_segment(group.slot_mask, depth + 1, epoch_);
  table::for_each_slot(shape_, group, old, [&](const char* slot) {
    const bool is_upper = (home_of(slot) >> (31 - depth) & 1) != 0;
    put_slot(group, is_upper ? upper.slots : lower.slots, slot);
  });
  Segment* entry = table::entries_of(group, home);
  const std::uint32_t copies = table::copies_in(group, depth + 1);
  std::fill_n(entry, copies, lower);
  std::fill_n(entry + copies, copies, upper);
  storage_->release_segment(group, old);
}

Node* TableBase::make_node(std::string_view key) {
  Node* node = storage_->allocate_node(key.size());
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
  const std::uint64_t home = key.hash >> 32;
  if (group.directory == table::empty_group.directory) lay_out(group, 1);
  const auto used = [&] {
    return table::header_of(group.directory[home >> group.shift].slots).used;
  };
  while (used() == table::slot_limit(group.slot_mask)) make_room(group, home);

  const char* slots = group.directory[home >> group.shift].slots;
  std::uint32_t i = table::first_slot(home, group.slot_mask);
  while (table::is_taken(shape_, slots + std::size_t{i} * shape_.slot_bytes))
    i = (i + 1) & group.slot_mask;
  char* slot = thaw_slot(group, home, i);
  void* value = nullptr;
  if (shape_.inline_values) {
    value = slot + shape_.layout->value_offset;
    shape_.layout->construct(value);
  } else {
    Node* node = make_node(key.bytes);
    if (shape_.composite) link(node);
    table::node_of(slot) = node;
    value = table::value_of(shape_, node);
  }
  const std::uint64_t word = shape_.compact ? key.word : key.hash;
  std::memcpy(slot, &word, sizeof(word));
  ++table::header_of(group.directory[home >> group.shift].slots).used;
  ++group.used;
  return value;
}

char* TableBase::thaw_slot(Group& group, std::uint64_t home, std::uint32_t slot) {
  Segment& segment = storage_->thaw_segment(group, home, epoch_, counters_);
  segment.dirty |= 1U << (slot >> shape_.granule_shift);
  return segment.slots + std::size_t{slot} * shape_.slot_bytes;
}

Node* TableBase::thaw_node(Group& group, std::uint64_t home, std::uint32_t slot) {
  // The slot's segment counts as written too: it leads to what this epoch has changed.
  char* held = thaw_slot(group, home, slot);
  return table::node_of(held) = thaw(table::node_of(held));
}

Node* TableBase::thaw_zero(Group& group) { return group.zero = thaw(group.zero); }

Node* TableBase::thaw(Node* node) {
  if (storage_->is_seen(node->epoch)) {
    const std::string_view key = table::key_of(shape_, node);
    Node* copy = storage_->allocate_node(key.size());
    copy->key_size = node->key_size;
    shape_.layout->copy(table::value_of(shape_, copy), table::value_of(shape_, node));
    key.copy(reinterpret_cast<char*>(copy) + shape_.layout->node_bytes, key.size());
    if (shape_.composite) relink(node, copy);
    storage_->release_node(node);
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
    storage_->release_node(std::exchange(group.zero, nullptr));
    return true;
  }
  std::uint32_t hole = 0;
  if (!find_slot(group, key, hole)) return false;
  const std::uint64_t home = key.hash >> 32;
  char* slots = thaw_slot(group, home, hole) - std::size_t{hole} * shape_.slot_bytes;
  const auto slot_at = [&](std::uint32_t i) { return slots + std::size_t{i} * shape_.slot_bytes; };
  if (!shape_.inline_values) {
    Node* node = table::node_of(slot_at(hole));
    if (shape_.composite) unlink(node);
    storage_->release_node(node);
  }
  // Every entry behind the hole that would not be found across it moves into it, and leaves the next.
  for (std::uint32_t next = (hole + 1) & group.slot_mask; table::is_taken(shape_, slot_at(next));
       next = (next + 1) & group.slot_mask) {
    const std::uint32_t wanted = table::first_slot(home_of(slot_at(next)), group.slot_mask);
    if (((next - wanted) & group.slot_mask) < ((next - hole) & group.slot_mask)) continue;
    std::memcpy(slot_at(hole), slot_at(next), shape_.slot_bytes);
    hole = next;
    (void)thaw_slot(group, home, hole);  // its granule is written too
  }
  std::memset(slot_at(hole), 0, shape_.slot_bytes);
  --table::header_of(slots).used;
  --group.used;
  return true;
}

void TableBase::link(Node* node) {
  Node*& first = first_of_key_[hash_bytes(key_in(table::key_of(shape_, node)))];
  table::links_of(node) = {first, nullptr};
  if (first != nullptr) table::links_of(first).previous = node;
  first = node;
}

void TableBase::unlink(Node* node) {
  const table::Links links = table::links_of(node);
  if (links.next != nullptr) table::links_of(links.next).previous = links.previous;
  if (links.previous != nullptr) {
    table::links_of(links.previous).next = links.next;
    return;
  }
  const KeyHash hash = hash_bytes(key_in(table::key_of(shape_, node)));
  if (links.next != nullptr)
    first_of_key_[hash] = links.next;
  else
    first_of_key_.erase(hash);
}

void TableBase::relink(Node* node, Node* copy) {
  const table::Links links = table::links_of(node);
  table::links_of(copy) = links;
  if (links.next != nullptr) table::links_of(links.next).previous = copy;
  if (links.previous != nullptr)
    table::links_of(links.previous).next = copy;
  else
    first_of_key_[hash_bytes(key_in(table::key_of(shape_, node)))] = copy;
}

const Node* TableBase::first_of(std::string_view key) const {
  const auto first = first_of_key_.find(hash_bytes(key));
  if (first == first_of_key_.end()) return nullptr;
  const Node* node = first->second;
  return key_in(table::key_of(shape_, node)) == key ? node : next_of(node, key);
}

const Node* TableBase::next_of(const Node* node, std::string_view key) const {
  // Keys with the same hash share a list.
  do {
    node = table::links_of(node).next;
  } while (node != nullptr && key_in(table::key_of(shape_, node)) != key);
  return node;
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
  if (shape_.composite) {
    ByteWriter(bytes).big_endian(static_cast<std::uint16_t>(key.group));
    bytes += key.bytes;
    return bytes;
  }
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
    clear_group(group);
    complete_[next_dropped_] = false;
    next_dropped_ = (next_dropped_ + 1) % range_.size();
  }
}

}  // namespace weir
