#include "state/table.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "state/entry_key.hpp"
#include "state/frozen_table.hpp"
#include "state/table_storage.hpp"
#include "state/thrown.hpp"

namespace weir {

using table::Group;
using table::Node;
using table::NodeSlot;
using table::Segment;

namespace {

/// Fixed width of an entry's value, 0 if it varies.
std::uint32_t value_width(const StateDeclaration& declaration) {
  if (declaration.kind == StateKind::list) return 0;  // any number of elements
  const bool is_map = declaration.kind == StateKind::map && declaration.value.children.size() == 2;
  return fixed_width(is_map ? declaration.value.children[1] : declaration.value);
}

table::Shape shape_of(const table::Layout& layout, const TableOptions& options,
                      const StateDeclaration& declaration) {
  table::Shape shape{};
  shape.layout = &layout;
  shape.key_width = options.key_width;
  shape.value_width = value_width(declaration);
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
      shape_(shape_of(layout, options, declaration)),
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

std::size_t TableBase::memory_bytes() const { return bytes_with(sample_heap_bytes()); }

std::size_t TableBase::estimated_bytes() {
  if (shape_.layout->heap_bytes != nullptr && estimates_until_sample_-- == 0) {
    heap_bytes_of_node_ = sample_heap_bytes();
    estimates_until_sample_ = table::estimates_of_sample;
  }
  return bytes_with(heap_bytes_of_node_);
}

std::size_t TableBase::bytes_with(std::size_t heap_bytes_of_node) const {
  std::size_t bytes = storage_->arena.used_bytes() + storage_->groups.size() * sizeof(Group) +
                      storage_->nodes * heap_bytes_of_node;
  for (const auto& removals : removals_) bytes += removals->bytes;
  return bytes + first_of_key_.size() * table::bytes_of_first;
}

std::size_t TableBase::sample_heap_bytes() const {
  if (shape_.layout->heap_bytes == nullptr) return 0;
  // Values with heap are never inline, so slots tell all.
  const std::uint64_t per_group =
      1 + table::sampled_entries / std::max<std::size_t>(range_.size(), 1);
  std::uint64_t sampled = 0;
  std::uint64_t heap_bytes = 0;
  for (const Group& group : storage_->groups) {
    if (sampled >= table::sampled_entries) break;
    std::uint64_t left = std::min<std::uint64_t>(per_group, group.used);
    for (std::uint32_t i = 0; left > 0 && i < 1U << table::depth_of(group);) {
      const Segment& segment = group.directory[i];
      table::for_each_slot(shape_, group, segment, [&](char* slot) {
        if (left == 0) return;
        try {
          heap_bytes += shape_.layout->heap_bytes(table::slot_value(shape_, slot));
        } catch (...) {
          // Code of the job, for an estimate: a value that cannot be asked counts as one without heap memory.
        }
        ++sampled;
        --left;
      });
      i += table::copies_in(group, table::header_of(segment.slots).depth);
    }
  }
  return sampled == 0 ? 0 : heap_bytes / sampled;
}

std::unique_ptr<FrozenTable> TableBase::freeze() {
  reclaim();
  auto progress = storage_->begin_snapshot(epoch_);
  counters_.groups_frozen += range_.size();
  if (!removals_.empty() && removals_.back()->epoch == 0) removals_.back()->epoch = epoch_;
  std::unique_ptr<FrozenTable> frozen(new FrozenTable(
      storage_, declaration_, range_, epoch_, snapshot_filter(), removals_, std::move(progress)));
  epoch_ += backing_ == nullptr ? 1 : 2;
  return frozen;
}

void TableBase::confirm(std::uint32_t epoch) {
  WEIR_ASSERT(epoch < epoch_);
  storage_->confirmed_epoch = std::max(storage_->confirmed_epoch, epoch);
  std::erase_if(removals_, [&](const auto& removals) {
    return removals->epoch != 0 && removals->epoch <= epoch;
  });
}

void TableBase::reclaim() { storage_->reclaim(table::reclaimed_at_once); }

void TableBase::reserve(std::uint32_t group, std::uint64_t entries) {
  WEIR_ASSERT(range_.contains(group));
  Group& header = groups_[group - range_.first];
  if (!table::is_laid_out(header) && entries > 0) lay_out(header, entries);
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
  return table::decoded(declaration_->name, [&] { return decode(bytes, value); });
}

void table::handle_not_bound() {
  throw std::logic_error(
      "a state was used that the function has not asked for: keep what `open` gets from the "
      "RuntimeContext");
}

std::unexpected<Error> table::folding_threw(const std::string& state) {
  return error(Errc::user_function_failed,
               "code of the job that decodes or folds state '" + state + "' threw" + thrown_text());
}

std::unexpected<Error> table::does_not_decode(const std::string& state) {
  return error(Errc::corruption, "a value of state '" + state +
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

std::uint32_t TableBase::put_slot(const Group& group, char* slots, const char* slot) const {
  std::uint32_t i = table::first_slot(home_of(slot), group.slot_mask);
  while (table::is_taken(shape_, slots + std::size_t{i} * shape_.slot_bytes))
    i = (i + 1) & group.slot_mask;
  std::memcpy(slots + std::size_t{i} * shape_.slot_bytes, slot, shape_.slot_bytes);
  ++table::header_of(slots).used;
  return i;
}

void TableBase::lay_out(Group& group, std::uint64_t entries) {
  const std::uint64_t full = std::uint64_t{1} << shape_.segment_shift;
  std::uint64_t slots = table::first_slots;
  while (slots < full && table::slot_limit(static_cast<std::uint32_t>(slots - 1)) < entries)
    slots *= 2;
  std::uint32_t depth = 0;
  // Filled to no more than two thirds of what they hold, few segments are split on the way.
  while (depth < table::max_depth && (full * 13 / 24) << depth < entries && slots == full) ++depth;

  const std::uint32_t incomplete = table::header_of(group.directory->slots).incomplete;
  group.slot_mask = static_cast<std::uint32_t>(slots - 1);
  group.shift = 32 - depth;
  group.directory_epoch = group.made_epoch = epoch_;
  group.directory = static_cast<Segment*>(storage_->arena.allocate(table::directory_bytes(group)));
  for (std::uint32_t i = 0; i < std::uint32_t{1} << depth; ++i) {
    group.directory[i] = storage_->make_segment(group.slot_mask, depth, epoch_, new_dirty());
    table::header_of(group.directory[i].slots).incomplete = incomplete;
    table::header_of(group.directory[i].slots).run = storage_->run;
  }
}

void TableBase::make_room(Group& group, std::uint64_t home) {
  storage_->thaw_directory(group, epoch_, counters_);
  const Segment old = group.directory[home >> group.shift];
  const std::uint32_t depth = table::header_of(old.slots).depth;
  const std::uint32_t full_mask = (1U << shape_.segment_shift) - 1;
  const std::uint32_t changed =
      table::changed_granules(table::entries_of(group, home), table::copies_in(group, depth),
                              table::clean_epoch(group, storage_->confirmed_epoch));
  const auto make_segment = [&](std::uint32_t slot_mask, std::uint32_t its_depth) {
    const Segment made = storage_->make_segment(slot_mask, its_depth, epoch_, new_dirty());
    table::header_of(made.slots).incomplete = table::header_of(old.slots).incomplete;
    table::header_of(made.slots).run = table::header_of(old.slots).run;
    return made;
  };
  // A change stays one in its new place, and so does a run.
  const auto move = [&](const Group& into, Segment& segment, const char* slot) {
    const auto from = static_cast<std::uint32_t>((slot - old.slots) / shape_.slot_bytes);
    const std::uint32_t to = put_slot(into, segment.slots, slot);
    segment.dirty |= (changed >> (from >> shape_.granule_shift) & 1)
                     << (to >> shape_.granule_shift);
    if (table::is_run(old.slots, from)) table::mark_run(segment.slots, to, true);
  };
  if (group.slot_mask < full_mask) {
    Group grown = group;
    grown.slot_mask = 2 * group.slot_mask + 1;
    grown.made_epoch = epoch_;
    Segment larger = make_segment(grown.slot_mask, 0);
    table::for_each_slot(shape_, group, old, [&](const char* slot) { move(grown, larger, slot); });
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
  Segment lower = make_segment(group.slot_mask, depth + 1);
  Segment upper = make_segment(group.slot_mask, depth + 1);
  table::for_each_slot(shape_, group, old, [&](const char* slot) {
    const bool is_upper = (home_of(slot) >> (31 - depth) & 1) != 0;
    move(group, is_upper ? upper : lower, slot);
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

void* TableBase::insert_default(const KeyContext& key, bool is_change) {
  Group& group = groups_[key.group - range_.first];
  const std::uint32_t node_epoch = is_change ? epoch_ : epoch_ - 1;
  if (shape_.inline_values && key.word == 0) {
    group.zero = make_node({});
    group.zero->epoch = node_epoch;
    return table::value_of(shape_, group.zero);
  }
  const std::uint64_t home = key.hash >> 32;
  if (!table::is_laid_out(group)) lay_out(group, 1);
  const auto used = [&] {
    return table::header_of(group.directory[home >> group.shift].slots).used;
  };
  while (used() == table::slot_limit(group.slot_mask)) make_room(group, home);

  Segment& segment = storage_->thaw_segment(group, home, epoch_, counters_);
  std::uint32_t i = table::first_slot(home, group.slot_mask);
  while (table::is_taken(shape_, segment.slots + std::size_t{i} * shape_.slot_bytes))
    i = (i + 1) & group.slot_mask;
  if (is_change) segment.dirty |= 1U << (i >> shape_.granule_shift);
  char* slot = segment.slots + std::size_t{i} * shape_.slot_bytes;
  void* value = nullptr;
  if (shape_.inline_values) {
    value = slot + shape_.layout->value_offset;
    shape_.layout->construct(value);
  } else {
    Node* node = make_node(key.bytes);
    node->epoch = node_epoch;
    if (shape_.composite) link(node);
    table::node_of(slot) = node;
    value = table::value_of(shape_, node);
  }
  const std::uint64_t word = shape_.compact ? key.word : key.hash;
  std::memcpy(slot, &word, sizeof(word));
  ++table::header_of(segment.slots).used;
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
  if (find_value(key) == nullptr && load(key, false) == nullptr) return false;
  note_removal(key);
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
    table::mark_run(slots, hole, table::is_run(slots, next));
    hole = next;
    (void)thaw_slot(group, home, hole);  // its granule is written too
  }
  std::memset(slot_at(hole), 0, shape_.slot_bytes);
  table::mark_run(slots, hole, false);
  --table::header_of(slots).used;
  --group.used;
  return true;
}

void TableBase::discard_entry(const KeyContext& key) {
  if (storage_->run == 0) {
    erase_entry(key);
    return;
  }
  if (find_value(key) == nullptr && !may_be_stored(key)) return;
  note_removal(key);
  remove(key);
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

}  // namespace weir
