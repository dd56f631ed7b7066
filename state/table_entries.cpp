#include <algorithm>
#include <utility>

#include "state/table.hpp"
#include "state/table_storage.hpp"

// What tables do with several entries at once: the entries of one key that a database has, and those in
// memory that have expired.
namespace weir {

using table::Group;
using table::Node;
using table::Segment;

namespace {

/// Slots in memory that one `clean_up` looks at.
constexpr std::uint32_t slots_at_once = 64;

}  // namespace

void TableBase::scan_stored(
    std::uint32_t group, std::string_view prefix,
    const std::function<bool(std::string_view bytes, std::string_view value)>& visit) const {
  WEIR_ASSERT(shape_.composite);
  if (complete_[group - range_.first]) return;
  std::string begin;
  ByteWriter(begin).big_endian(static_cast<std::uint16_t>(group));
  begin += prefix;
  const Status scanned =
      backing_->scan(begin, [&](std::string_view entry_key, std::string_view value) {
        KeyContext key;
        key.group = group;
        key.bytes = entry_key.substr(sizeof(std::uint16_t));
        key.hash = hash_bytes(key.bytes);
        return is_overridden(key, entry_key) || visit(key.bytes, value);
      });
  if (!scanned) throw StateAccessFailed(scanned.error());
}

void TableBase::for_each_entry(std::uint32_t group,
                               const std::function<void(std::string_view bytes)>& visit) const {
  WEIR_ASSERT(shape_.composite && range_.contains(group));
  table::for_each_slot(shape_, groups_[group - range_.first],
                       [&](char* slot) { visit(table::key_of(shape_, table::node_of(slot))); });
  if (backing_ == nullptr) return;
  scan_stored(group, {}, [&](std::string_view bytes, std::string_view) {
    visit(bytes);
    return true;
  });
}

void TableBase::erase_all(std::uint32_t group, std::string_view key, std::string_view prefix) {
  std::vector<std::string> found;
  for (const Node* node = first_of(key); node != nullptr; node = next_of(node, key))
    if (const std::string_view bytes = table::key_of(shape_, node); bytes.starts_with(prefix))
      found.emplace_back(bytes);
  const std::size_t in_memory = found.size();
  if (backing_ != nullptr)
    scan_stored(group, prefix, [&](std::string_view bytes, std::string_view) {
      found.emplace_back(bytes);
      return true;
    });
  for (std::size_t i = 0; i < found.size(); ++i) {
    const KeyContext entry{hash_bytes(found[i]), group, 0, found[i]};
    if (i < in_memory)
      erase_entry(entry);
    else
      note_removal(entry);
  }
}

LiveFilter TableBase::live_filter() const {
  if (ttl_ == nullptr) return {};
  return expiry_rule().at(ttl_->now_ms());
}

LiveFilter TableBase::snapshot_filter() const {
  if (ttl_ == nullptr) return {};
  return expiry_rule().at(ttl_->time->read_ms());
}

Status TableBase::clean_up() {
  if (ttl_ == nullptr) return {};
  try {
    remove_expired();
  } catch (const StateAccessFailed& failed) {
    return std::unexpected(failed.error());
  }
  return {};
}

void TableBase::remove_expired() {
  const table::TimedLayout& timed = *shape_.layout->timed;
  const std::int64_t newest_expired_ms = ttl_->newest_expired_ms();
  struct Found {
    KeyContext key;
    std::string bytes;  // that the key views
  };
  std::vector<Found> found;
  const auto look_at = [&](std::uint64_t word, const Node* node, const void* value) {
    if (timed.expiry(value, newest_expired_ms) == table::Expiry::none) return;
    Found& one = found.emplace_back();
    one.key.group = range_.first + cleaned_.group;
    if (shape_.compact) {
      WEIR_ASSERT(shape_.key_width <= sizeof(word));
      one.key.word = word;
      one.key.hash = hash_bytes({reinterpret_cast<const char*>(&word), shape_.key_width});
    } else {
      one.key.hash = word;
      one.bytes = table::key_of(shape_, node);
    }
  };

  for (std::uint32_t left = slots_at_once; left > 0;) {
    const Group& group = groups_[cleaned_.group];
    if (cleaned_.segment == 0 && cleaned_.slot == 0 && group.zero != nullptr)
      look_at(0, nullptr, table::value_of(shape_, group.zero));
    if (group.used == 0 || cleaned_.segment >= 1U << table::depth_of(group)) {
      cleaned_.group = (cleaned_.group + 1) % range_.size();
      cleaned_.segment = cleaned_.slot = 0;
      --left;  // a group without entries costs something too
      continue;
    }
    const Segment& segment = group.directory[cleaned_.segment];
    for (; cleaned_.slot <= group.slot_mask && left > 0; ++cleaned_.slot, --left) {
      char* slot = segment.slots + std::size_t{cleaned_.slot} * shape_.slot_bytes;
      if (!table::is_taken(shape_, slot)) continue;
      look_at(table::word_of(slot), shape_.inline_values ? nullptr : table::node_of(slot),
              table::slot_value(shape_, slot));
    }
    if (cleaned_.slot <= group.slot_mask) break;
    const std::uint32_t copies = table::copies_in(group, table::header_of(segment.slots).depth);
    cleaned_.segment = (cleaned_.segment & ~(copies - 1)) + copies;
    cleaned_.slot = 0;
  }

  for (Found& one : found) {
    if (!shape_.compact) one.key.bytes = one.bytes;
    const void* value = find_value(one.key);
    if (value == nullptr) continue;  // a small table is walked more than once
    table::Expiry expiry = timed.expiry(value, newest_expired_ms);
    // Below a run there may be something younger, if a clock was behind.
    if (const std::uint32_t run = has_runs_ ? run_of(one.key) : 0;
        run != 0 && expiry == table::Expiry::all)
      expiry = timed.expiry(load_below(one.key, run), newest_expired_ms);
    if (expiry == table::Expiry::all) erase_entry(one.key);
    if (expiry != table::Expiry::some) continue;
    Group& group = groups_[one.key.group - range_.first];
    std::uint32_t slot = 0;
    if (!find_slot(group, one.key, slot)) continue;
    Node* node = thaw_node(group, one.key.hash >> 32, slot);  // lists are never inline
    timed.drop_expired(table::value_of(shape_, node), newest_expired_ms);
  }
}

}  // namespace weir
