#include <algorithm>
#include <utility>

#include "state/entry_key.hpp"
#include "state/table.hpp"
#include "state/table_storage.hpp"

// Tables as the memtable and cache of a database.
namespace weir {

using table::Group;
using table::Node;
using table::Segment;

namespace table {
namespace {

/// Passes entries and removed keys to a visitor in one order.
class ChangeMerger {
 public:
  ChangeMerger(std::span<const Removals::Keys* const> removals, const ChangeVisitor& visit)
      : visit_(visit) {
    for (const Removals::Keys* keys : removals)
      removed_.insert(removed_.end(), keys->begin(), keys->end());
    std::ranges::sort(removed_);
  }
  /// Keys ascend.
  Status put(std::string_view key, std::string_view value, std::uint32_t run) {
    WEIR_TRY(remove_up_to(key));
    // A key that was removed and then written again has its entry, which is whole.
    for (; next_ < removed_.size() && removed_[next_] == key; ++next_) WEIR_ASSERT(run == 0);
    return visit_(key, value, run);
  }
  Status finish() {
    while (next_ < removed_.size()) WEIR_TRY(remove_next());
    return {};
  }

 private:
  Status remove_up_to(std::string_view key) {
    while (next_ < removed_.size() && removed_[next_] < key) WEIR_TRY(remove_next());
    return {};
  }
  Status remove_next() {
    const std::string_view key = removed_[next_];
    while (next_ < removed_.size() && removed_[next_] == key) ++next_;
    return visit_(key, std::nullopt, 0);
  }

  const ChangeVisitor& visit_;
  std::vector<std::string_view> removed_;  // a key may be there twice, removed in two epochs
  std::size_t next_ = 0;
};

/// Calls `f(slot, run)` for each taken slot with a change; `run` is 0 if its value is whole.
template <class F>
void for_each_changed_slot(const Shape& shape, const Group& group, std::uint32_t clean, F&& f) {
  if (group.used == 0) return;
  for (std::uint32_t i = 0; i < std::uint32_t{1} << depth_of(group);) {
    const Segment* segment = group.directory + i;
    const std::uint32_t copies = copies_in(group, header_of(segment->slots).depth);
    const std::uint32_t changed = changed_granules(segment, copies, clean);
    i += copies;
    for (std::uint32_t left = changed; left != 0; left &= left - 1) {
      const std::uint32_t begin = static_cast<std::uint32_t>(std::countr_zero(left))
                                  << shape.granule_shift;
      const std::uint32_t end = std::min(begin + (1U << shape.granule_shift), group.slot_mask + 1);
      for (std::uint32_t at = begin; at < end; ++at)
        if (char* slot = segment->slots + std::size_t{at} * shape.slot_bytes; is_taken(shape, slot))
          f(slot, is_run(segment->slots, at) ? header_of(segment->slots).run : 0);
    }
  }
}

Status visit_compact(const Shape& shape, const Group& group, std::uint32_t number,
                     std::uint32_t clean, ChangeMerger& changes) {
  struct Entry {
    std::uint64_t order;
    const char* value;
    std::uint32_t run;
  };
  std::vector<Entry> entries;
  if (group.zero != nullptr && group.zero->epoch > clean)
    entries.push_back({0, value_of(shape, group.zero), 0});
  for_each_changed_slot(shape, group, clean, [&](char* slot, std::uint32_t run) {
    entries.push_back({byte_order(word_of(slot)), slot_value(shape, slot), run});
  });
  std::ranges::sort(entries, {}, &Entry::order);
  std::string key;
  std::string value;
  ByteWriter writer(value);
  for (const Entry& entry : entries) {
    const std::uint64_t word = byte_order(entry.order);
    key.clear();
    value.clear();
    append_entry_key({number, {reinterpret_cast<const char*>(&word), shape.key_width}, {}, {}},
                     shape.key_width, key);
    shape.layout->encode(entry.value, writer);
    WEIR_TRY(changes.put(key, value, entry.run));
  }
  return changes.finish();
}

Status visit_wide(const Shape& shape, const Group& group, std::uint32_t number, std::uint32_t clean,
                  ChangeMerger& changes) {
  struct Entry {
    std::size_t offset;  // of the entry key
    std::size_t size;
    const char* value;
    std::uint32_t run;
  };
  std::vector<Entry> entries;
  std::string keys;
  for_each_changed_slot(shape, group, clean, [&](char* slot, std::uint32_t run) {
    const Node* node = node_of(slot);
    const std::size_t offset = keys.size();
    append_node_key(shape, number, node, keys);
    entries.push_back({offset, keys.size() - offset, value_of(shape, node), run});
  });
  const auto key_of = [&](const Entry& entry) {
    return std::string_view(keys).substr(entry.offset, entry.size);
  };
  std::ranges::sort(entries, {}, key_of);
  std::string value;
  ByteWriter writer(value);
  for (const Entry& entry : entries) {
    value.clear();
    shape.layout->encode(entry.value, writer);
    WEIR_TRY(changes.put(key_of(entry), value, entry.run));
  }
  return changes.finish();
}

}  // namespace

Status visit_changes(const Shape& shape, const Group& group, std::uint32_t number,
                     std::uint32_t confirmed_epoch, std::span<const Removals::Keys* const> removals,
                     const ChangeVisitor& visit) {
  ChangeMerger changes(removals, visit);
  const std::uint32_t clean = clean_epoch(group, confirmed_epoch);
  return shape.compact ? visit_compact(shape, group, number, clean, changes)
                       : visit_wide(shape, group, number, clean, changes);
}

}  // namespace table

namespace {

/// Slices for which keys are loaded ahead before it is measured again whether that is worth it.
constexpr std::uint32_t slices_ahead = 64;
/// Keys are loaded ahead when at least one record of so many had to be looked up.
constexpr std::uint32_t records_of_miss = 8;
constexpr std::uint64_t homes = std::uint64_t{1} << 32;
/// Of so many runs of a value that is folded one does not begin, so that its partial values are folded.
constexpr std::uint32_t runs_of_fold = 16;

/// Whether additions to the values that `declaration` describes can be stored apart and put together by
/// putting the one behind the other. Whether a folded value had expired before something was added to it
/// could not be seen then.
bool may_be_runs(const StateDeclaration& declaration) {
  const bool is_folded =
      declaration.kind == StateKind::reducing || declaration.kind == StateKind::aggregating;
  return declaration.kind == StateKind::list || (is_folded && !has_time_to_live(declaration));
}

}  // namespace

void TableBase::set_backing(StateBacking* backing, bool backing_is_empty) {
  WEIR_ASSERT(entries() == 0 && epoch_ == 1);
  backing_ = backing;
  epoch_ = 2;
  if (may_be_runs(*declaration_)) storage_->run = 1;
  complete_.assign(range_.size(), backing_is_empty);
  if (!backing_is_empty) std::ranges::fill(storage_->groups, table::absent_group);
}

void TableBase::continue_runs_after(std::uint32_t newest) {
  if (storage_->run != 0 && storage_->run <= newest)
    storage_->run = newest + 1;  // 0 if that was the last
}

void TableBase::append_entry_key_of(const KeyContext& key, std::string& out) const {
  if (shape_.composite) {
    ByteWriter(out).big_endian(static_cast<std::uint16_t>(key.group));
    out += key.bytes;
    return;
  }
  const std::string_view word(reinterpret_cast<const char*>(&key.word), shape_.key_width);
  append_entry_key({key.group, shape_.compact ? word : key.bytes, {}, {}}, shape_.key_width, out);
}

bool TableBase::is_complete(const KeyContext& key) const {
  const Group& group = groups_[key.group - range_.first];
  return table::header_of(group.directory[(key.hash >> 32) >> group.shift].slots).incomplete == 0;
}

bool TableBase::is_removed(const Group& group, std::uint32_t number,
                           std::string_view entry_key) const {
  return std::ranges::any_of(removals_, [&](const auto& removals) {
    return (removals->epoch == 0 || removals->epoch > group.flushed_epoch) &&
           removals->keys[number - range_.first].contains(entry_key);
  });
}

bool TableBase::is_overridden(const KeyContext& key, std::string_view entry_key) const {
  return find_value(key) != nullptr ||
         is_removed(groups_[key.group - range_.first], key.group, entry_key);
}

void TableBase::note_removal(const KeyContext& key) {
  if (removals_.empty() || removals_.back()->epoch != 0)
    removals_.push_back(std::make_shared<table::Removals>(range_.size()));
  table::Removals& open = *removals_.back();
  std::string entry_key;
  append_entry_key_of(key, entry_key);
  const std::size_t bytes = table::Removals::bytes_of(entry_key);
  if (open.keys[key.group - range_.first].insert(std::move(entry_key)).second) open.bytes += bytes;
}

bool TableBase::may_be_stored(const KeyContext& key) {
  if (is_complete(key)) return false;
  key_buffer_.clear();
  append_entry_key_of(key, key_buffer_);
  return !is_removed(groups_[key.group - range_.first], key.group, key_buffer_) &&
         !std::ranges::binary_search(absent_, std::string_view(key_buffer_));
}

void* TableBase::load(const KeyContext& key, bool for_write) {
  return may_be_stored(key) ? load_stored(key, for_write) : nullptr;
}

void* TableBase::load_stored(const KeyContext& key, bool for_write) {
  ++misses_;
  ++counters_.look_ups;
  auto found = backing_->load({key_buffer_}, value_buffer_);
  if (!found) throw StateAccessFailed(std::move(found.error()));
  return *found ? insert_loaded(key, value_buffer_, for_write) : nullptr;
}

bool TableBase::may_be_run(const KeyContext& key) const {
  if (storage_->run == 0 || (shape_.inline_values && key.word == 0)) return false;
  const Group& group = groups_[key.group - range_.first];
  const Segment& segment = group.directory[(key.hash >> 32) >> group.shift];
  const std::uint32_t run =
      segment.epoch == 0 ? storage_->run : table::header_of(segment.slots).run;
  if (run == 0) return false;
  if (declaration_->kind == StateKind::list) return true;
  const std::array<std::uint64_t, 2> chance{key.hash, run};
  return hash_bytes({reinterpret_cast<const char*>(chance.data()), sizeof(chance)}) %
             runs_of_fold !=
         0;
}

void* TableBase::load_for_append(const KeyContext& key) {
  run_begins_ = false;
  if (!may_be_stored(key)) return nullptr;
  if (!may_be_run(key)) return load_stored(key, true);
  run_begins_ = true;
  return nullptr;
}

void* TableBase::insert_appended(const KeyContext& key) {
  void* value = insert_default(key);
  if (run_begins_) {
    const Group& group = groups_[key.group - range_.first];
    std::uint32_t slot = 0;
    WEIR_ASSERT(find_slot(group, key, slot));
    table::mark_run(group.directory[(key.hash >> 32) >> group.shift].slots, slot, true);
    has_runs_ = run_is_used_ = true;
    ++runs_;
    ++counters_.runs_begun;
  }
  return value;
}

std::uint32_t TableBase::run_of(const KeyContext& key) const {
  const Group& group = groups_[key.group - range_.first];
  std::uint32_t slot = 0;
  if ((shape_.inline_values && key.word == 0) || !find_slot(group, key, slot)) return 0;
  char* slots = group.directory[(key.hash >> 32) >> group.shift].slots;
  return table::is_run(slots, slot) ? table::header_of(slots).run : 0;
}

void* TableBase::whole(const KeyContext& key, void* value) {
  const std::uint32_t run = run_of(key);
  if (run == 0) return value;
  ++misses_;
  return load_below(key, run);
}

void* TableBase::load_below(const KeyContext& key, std::uint32_t run) {
  key_buffer_.clear();
  append_entry_key_of(key, key_buffer_);
  ++counters_.look_ups;
  auto found = backing_->load({key_buffer_, run}, value_buffer_);
  if (!found) throw StateAccessFailed(std::move(found.error()));
  return complete_run(key, *found ? std::string_view(value_buffer_) : std::string_view());
}

void* TableBase::complete_run(const KeyContext& key, std::string_view below) {
  Group& group = groups_[key.group - range_.first];
  std::uint32_t index = 0;
  WEIR_ASSERT(find_slot(group, key, index));
  char* slots = storage_->thaw_segment(group, key.hash >> 32, epoch_, counters_).slots;
  char* slot = slots + std::size_t{index} * shape_.slot_bytes;
  char* value = table::slot_value(shape_, slot);
  if (!below.empty()) {
    ++counters_.entries_loaded;
    std::string bytes(below);
    ByteWriter writer(bytes);
    shape_.layout->encode(value, writer);
    // The old value is there until the new one is.
    Node* made = make_node(shape_.inline_values ? std::string_view() : key.bytes);
    char* joined = table::value_of(shape_, made);
    if (auto decoded = decode_entry(bytes, joined); !decoded) {
      storage_->release_node(made);
      throw StateAccessFailed(std::move(decoded.error()));
    }
    if (shape_.inline_values) {
      shape_.layout->copy(value, joined);  // trivial
      storage_->release_node(made);
    } else {
      Node* run = table::node_of(slot);
      made->epoch = std::max(run->epoch, epoch_ - 1);
      storage_->release_node(run);
      table::node_of(slot) = made;
      value = joined;
    }
  }
  table::mark_run(slots, index, false);
  return value;
}

void* TableBase::insert_loaded(const KeyContext& key, std::string_view bytes, bool is_change) {
  ++counters_.entries_loaded;
  void* value = insert_default(key, is_change);
  if (auto decoded = decode_entry(bytes, value); !decoded) {
    remove(key);
    throw StateAccessFailed(std::move(decoded.error()));
  }
  return value;
}

bool TableBase::plan_ahead(std::size_t records) {
  // What is only appended need not be read, nor what is in the same slice as much of that.
  const bool often = std::size_t{misses_} * records_of_miss >= records && misses_ >= runs_;
  misses_ = runs_ = 0;
  // Without keys the last of these slices shows what is missing now.
  if (ahead_slices_ > 0) return --ahead_slices_ > 0;
  // The entries of one key of a composite table are known to nobody before they are used.
  if (often && !shape_.composite) ahead_slices_ = slices_ahead;
  return ahead_slices_ > 0;
}

void TableBase::look_ahead(const KeyContext& key) {
  if (ahead_keys_.empty()) {
    ahead_.clear();
    absent_.clear();
  }
  if (is_complete(key)) return;
  const std::uint32_t run = has_runs_ ? run_of(key) : 0;
  if (run == 0 && find_value(key) != nullptr) return;
  const std::size_t begin = ahead_.size();
  append_entry_key_of(key, ahead_);
  const Group& group = groups_[key.group - range_.first];
  if (is_removed(group, key.group, std::string_view(ahead_).substr(begin)))
    ahead_.resize(begin);
  else
    ahead_keys_.push_back({ahead_.size(), run});
}

void TableBase::load_ahead() {
  if (ahead_keys_.empty()) return;
  std::vector<LookUp> wanted;
  wanted.reserve(ahead_keys_.size());
  std::size_t begin = 0;
  for (const Ahead& key : std::exchange(ahead_keys_, {})) {
    wanted.push_back({std::string_view(ahead_).substr(begin, key.end - begin), key.run});
    begin = key.end;
  }
  std::ranges::sort(wanted, {}, &LookUp::entry_key);
  const auto repeated = std::ranges::unique(wanted, {}, &LookUp::entry_key);
  wanted.erase(repeated.begin(), repeated.end());
  ++counters_.look_ups;
  std::size_t next = 0;
  // What the database lacks, up to the key `end`.
  const auto pass_absent = [&](std::size_t end) -> Status {
    for (; next < end; ++next) {
      absent_.push_back(wanted[next].entry_key);
      if (wanted[next].below_run == 0) continue;
      WEIR_TRY_ASSIGN(key, context_of(wanted[next].entry_key));
      complete_run(key, {});
    }
    return {};
  };
  const auto take = [&](std::size_t index, std::string_view value) -> Status {
    WEIR_TRY(pass_absent(index));
    next = index + 1;
    WEIR_TRY_ASSIGN(key, context_of(wanted[index].entry_key));
    if (wanted[index].below_run != 0)
      complete_run(key, value);
    else
      insert_loaded(key, value, false);
    return {};
  };
  auto loaded = backing_->load_all(wanted, take);
  if (loaded) loaded = pass_absent(wanted.size());
  if (!loaded) throw StateAccessFailed(std::move(loaded.error()));
}

Status TableBase::flush_group(std::uint32_t group, const ChangeVisitor& visit) {
  WEIR_ASSERT(backing_ != nullptr && range_.contains(group));
  if (epoch_ >= last_flushing_epoch)
    return error(Errc::limit_exceeded,
                 "state '" + declaration_->name +
                     "' has been flushed 4 billion times by this attempt; restarting counts anew");
  Group& header = groups_[group - range_.first];
  std::vector<const table::Removals::Keys*> removals;
  for (const auto& one : removals_)
    if (one->epoch == 0 || one->epoch > header.flushed_epoch)
      removals.push_back(&one->keys[group - range_.first]);
  std::uint64_t changes = 0;
  const auto visit_and_count = [&](std::string_view key, std::optional<std::string_view> value,
                                   std::uint32_t run) {
    ++changes;
    if (value) ++counters_.entries_encoded;
    return visit(key, value, run);
  };
  WEIR_TRY(table::visit_changes(shape_, header, group, storage_->confirmed_epoch, removals,
                                visit_and_count));
  if (changes == 0) return {};
  // What is written from here has a later epoch, so that it is noticed.
  header.flushed_epoch = epoch_++;
  if (removals_.empty()) return {};
  if (table::Removals& open = *removals_.back(); open.epoch == 0) {
    for (const std::string& key : open.keys[group - range_.first])
      open.bytes -= table::Removals::bytes_of(key);
    open.keys[group - range_.first].clear();
  }
  const std::uint32_t flushed =
      std::ranges::min(storage_->groups, {}, &Group::flushed_epoch).flushed_epoch;
  std::erase_if(removals_,
                [&](const auto& one) { return one->epoch != 0 && one->epoch <= flushed; });
  return {};
}

void TableBase::evict(std::size_t target_bytes) {
  WEIR_ASSERT(backing_ != nullptr);
  heap_bytes_of_node_ = sample_heap_bytes();
  absent_.clear();  // from here an entry of theirs may be in the database alone
  // What comes in the place of a segment that is dropped here has runs of its own.
  if (std::exchange(run_is_used_, false) && storage_->run != 0) ++storage_->run;
  // To the end of the circle, and once around without regard to what was written lately.
  for (int ends = 0; bytes_with(heap_bytes_of_node_) > target_bytes;) {
    hand_home_ = evict_from(groups_[hand_group_], hand_home_, target_bytes);
    if (hand_home_ < homes) return;
    hand_home_ = 0;
    if (++hand_group_ < range_.size()) continue;
    hand_group_ = 0;
    if (++ends == 2) return;
    circle_epoch_ = epoch_++;
  }
}

std::uint64_t TableBase::evict_from(Group& group, std::uint64_t home, std::size_t target_bytes) {
  const std::uint32_t clean = table::clean_epoch(group, storage_->confirmed_epoch);
  while (table::is_laid_out(group) && home < homes) {
    const Segment& seen = group.directory[home >> group.shift];
    const bool is_changed = seen.epoch > clean && seen.dirty != 0;
    if (seen.epoch == 0 || seen.epoch > circle_epoch_ || is_changed) {
      home = ((home >> group.shift) + 1) << group.shift;
      continue;
    }
    const Segment* first = table::entries_of(group, home);
    const std::uint32_t copies = table::copies_in(group, table::header_of(first->slots).depth);
    const auto next = static_cast<std::uint64_t>(first - group.directory) + copies;
    const std::uint64_t end = next << group.shift;
    if (table::changed_granules(first, copies, clean) == 0) {
      evict_segment(group, home);
      if (bytes_with(heap_bytes_of_node_) <= target_bytes) return end;
    }
    home = end;
  }
  return homes;
}

void TableBase::evict_segment(Group& group, std::uint64_t home) {
  storage_->thaw_directory(group, epoch_, counters_);
  const Segment* first = table::entries_of(group, home);
  const Segment evicted = *first;
  std::uint32_t depth = table::header_of(evicted.slots).depth;
  auto index = static_cast<std::uint32_t>(first - group.directory);
  if (!shape_.inline_values)
    table::for_each_slot(shape_, group, evicted, [&](char* slot) {
      Node* node = table::node_of(slot);
      if (shape_.composite) unlink(node);
      storage_->release_node(node);
    });
  group.used -= table::header_of(evicted.slots).used;
  storage_->release_segment(group, evicted);
  ++counters_.segments_evicted;
  // For ever, as what is loaded is single entries; only segments know of more.
  complete_[static_cast<std::size_t>(&group - groups_)] = false;

  // Two halves that are both absent are one, so that what is loaded next does not lie scattered.
  for (; depth > 0; --depth) {
    const std::uint32_t copies = table::copies_in(group, depth);
    const Segment& buddy = group.directory[index ^ copies];
    if (buddy.epoch != 0 || table::header_of(buddy.slots).depth != depth) break;
    index &= ~copies;
  }
  if (depth > 0) {
    std::fill_n(group.directory + index, table::copies_in(group, depth), storage_->absent(depth));
    return;
  }
  storage_->release(group.directory, table::directory_bytes(group), group.directory_epoch);
  Group absent = table::absent_group;
  absent.zero = group.zero;
  absent.flushed_epoch = group.flushed_epoch;
  group = absent;
}

}  // namespace weir
