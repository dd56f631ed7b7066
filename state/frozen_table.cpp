#include "state/frozen_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/table_storage.hpp"

namespace weir {

using table::Group;
using table::Node;
using table::Segment;

namespace {

/// An entry whose key is a word.
struct CompactEntry {
  std::uint64_t order;  // of its key, as `table::byte_order`
  std::uint64_t value;  // where it is; of small plain values their bytes
};
using CompactEntries = std::vector<CompactEntry>;

const char* place_of(const CompactEntry& entry) {
  return reinterpret_cast<const char*>(entry.value);
}

/// Fewer are sorted by comparing.
constexpr std::size_t fewest_dealt = 1024;
/// Bits by which entries are dealt out at once, at most: so many lists are written to at the same time.
constexpr int digit_bits_max = 12;
using DigitCounts = std::array<std::uint32_t, (std::size_t{1} << digit_bits_max) + 1>;

/// Deals `entries` out to `dealt` by the `bits` bits from `shift` on, stable. Afterwards `ends[d]` is where digit `d`
/// ends.
void deal_out(const CompactEntries& entries, int shift, int bits, CompactEntries& dealt,
              DigitCounts& ends) {
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  ends.fill(0);
  for (const CompactEntry& entry : entries) ++ends[(entry.order >> shift & mask) + 1];
  // For now where each digit begins, which moves on as its entries come.
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  dealt.resize(entries.size());
  for (const CompactEntry& entry : entries) dealt[ends[entry.order >> shift & mask]++] = entry;
}

/// Sorts by `order`, with `spare` as memory. By digits from the lowest to the highest in which any two differ if
/// these are few, as with keys that count up; else by the highest ones, after which few are left to be compared with
/// each other (Knuth, TAOCP 3, 5.2.5).
void sort_by_order(CompactEntries& entries, CompactEntries& spare) {
  constexpr int passes_max = 3;
  if (entries.size() < fewest_dealt || entries.size() > std::numeric_limits<std::uint32_t>::max()) {
    std::ranges::sort(entries, {}, &CompactEntry::order);
    return;
  }
  std::uint64_t differing = 0;
  for (const CompactEntry& entry : entries) differing |= entry.order ^ entries.front().order;
  const int lowest = std::countr_zero(differing);
  const int bits = static_cast<int>(std::bit_width(differing)) - lowest;
  DigitCounts ends;
  if (const int passes = (bits + digit_bits_max - 1) / digit_bits_max; passes <= passes_max) {
    const int digit = (bits + passes - 1) / passes;
    for (int pass = 0; pass < passes; ++pass) {
      deal_out(entries, lowest + pass * digit, digit, spare, ends);
      entries.swap(spare);
    }
    return;
  }
  deal_out(entries, lowest + bits - digit_bits_max, digit_bits_max, spare, ends);
  entries.swap(spare);
  auto first = entries.begin();
  for (std::size_t digit = 0; digit < ends.size() - 1; ++digit) {
    const auto last = entries.begin() + ends[digit];
    std::ranges::sort(first, last, {}, &CompactEntry::order);
    first = last;
  }
}

/// Whether values are kept beside their keys while these are sorted: then they are not looked for afterwards.
bool are_small(const table::Shape& shape) {
  return shape.layout->is_plain && shape.value_width <= sizeof(CompactEntry::value);
}

CompactEntry entry_of(const table::Shape& shape, std::uint64_t order, const char* value,
                      bool small) {
  CompactEntry entry{order, reinterpret_cast<std::uint64_t>(value)};
  if (small) std::memcpy(&entry.value, value, shape.value_width);
  return entry;
}

/// The entries of `group` in any order; values lie in slots. Whether a slot is taken cannot be guessed, so every slot is
/// written down, and the next one over it if it was free.
template <bool small>
void collect_inline(const table::Shape& shape, const Group& group, CompactEntries& entries) {
  entries.resize(std::size_t{group.used} + 2);
  CompactEntry* next = entries.data();
  if (group.zero != nullptr)
    *next++ = entry_of(shape, 0, table::value_of(shape, group.zero), small);
  const std::uint32_t value_offset = shape.layout->value_offset;
  table::for_each_segment_ahead(shape, group, [&](const Segment& segment) {
    const char* slot = segment.slots;
    for (std::uint32_t i = 0; i <= group.slot_mask; ++i, slot += shape.slot_bytes) {
      const std::uint64_t word = table::word_of(slot);
      *next = entry_of(shape, table::byte_order(word), slot + value_offset, small);
      next += word != 0 ? 1 : 0;
    }
  });
  entries.resize(static_cast<std::size_t>(next - entries.data()));
}
/// The same; values lie in nodes.
void collect_nodes(const table::Shape& shape, const Group& group, bool small,
                   CompactEntries& entries) {
  entries.clear();
  entries.reserve(std::size_t{group.used} + 1);
  // Of images of a table with values in slots.
  if (group.zero != nullptr)
    entries.push_back(entry_of(shape, 0, table::value_of(shape, group.zero), small));
  table::for_each_slot(shape, group, [&](char* slot) {
    entries.push_back(entry_of(shape, table::byte_order(table::word_of(slot)),
                               table::slot_value(shape, slot), small));
  });
}

/// Writes entries all of which have the same size: in a piece of them, only keys and values change.
template <bool small>
Status write_plain(const table::Shape& shape, std::span<const CompactEntry> entries,
                   ExtentWriter& writer, std::uint32_t number) {
  constexpr std::size_t piece_bytes = std::size_t{64} << 10;
  constexpr std::size_t ahead = 8;  // values are fetched so many entries before they are copied
  const std::string no_key(shape.key_width, '\0');
  std::string key;
  append_entry_key({number, no_key, {}, {}}, shape.key_width, key);
  std::string form;
  ByteWriter form_writer(form);
  form_writer.string(key);
  const std::size_t key_offset =
      form.size() - shape.key_width - 1;  // an empty namespace follows it
  form_writer.string(std::string(shape.value_width, '\0'));
  const std::size_t value_offset = form.size() - shape.value_width;

  const std::size_t a_piece = std::min(entries.size(), piece_bytes / form.size() + 1);
  std::string piece;
  for (std::size_t i = 0; i < a_piece; ++i) piece += form;
  while (!entries.empty()) {
    const std::size_t count = std::min(a_piece, entries.size());
    char* out = piece.data();
    for (std::size_t i = 0; i < count; ++i, out += form.size()) {
      const std::uint64_t word = table::byte_order(entries[i].order);
      std::memcpy(out + key_offset, &word, shape.key_width);
      if constexpr (small) {
        std::memcpy(out + value_offset, &entries[i].value, shape.value_width);
      } else {
        if (i + ahead < entries.size()) {
          const char* const value = place_of(entries[i + ahead]);
          for (std::size_t line = 0; line < shape.value_width + 63; line += 64)
            __builtin_prefetch(value + std::min<std::size_t>(line, shape.value_width - 1));
        }
        std::memcpy(out + value_offset, place_of(entries[i]), shape.value_width);
      }
    }
    WEIR_TRY(writer.add_raw(std::string_view(piece).substr(0, count * form.size()), count));
    entries = entries.subspan(count);
  }
  return {};
}

}  // namespace

FrozenTable::FrozenTable(std::shared_ptr<const table::Storage> storage,
                         std::shared_ptr<const StateDeclaration> declaration, KeyGroupRange range,
                         std::uint32_t epoch, LiveFilter filter,
                         std::span<const std::shared_ptr<table::Removals>> removals,
                         std::shared_ptr<table::SnapshotProgress> progress)
    : storage_(std::move(storage)),
      declaration_(std::move(declaration)),
      range_(range),
      epoch_(epoch),
      filter_(filter),
      confirmed_epoch_(storage_->confirmed_epoch),
      removals_(removals.begin(), removals.end()),
      progress_(std::move(progress)),
      groups_(storage_->groups) {}

struct FrozenTable::Sorting {
  CompactEntries entries;
  CompactEntries spare;
};

FrozenTable::~FrozenTable() { progress_->ended.store(true, std::memory_order_release); }

void FrozenTable::finish_group(std::uint32_t group) {
  WEIR_ASSERT(range_.contains(group));
  progress_->groups_done.store(group - range_.first + 1, std::memory_order_release);
  // By now the owner copies little. Earlier it would copy more if it had memory at once.
  if ((group - range_.first + 1) * 8 >= range_.size() * 7) storage_->arena.prepare();
}

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
  if (extent && filter_.keeps_all()) WEIR_ASSERT(extent->entries == entries(group));
  return extent;
}

Status FrozenTable::write_compact(const Group& group, ExtentWriter& writer,
                                  std::uint32_t number) const {
  const table::Shape& shape = storage_->shape;
  const bool plain = shape.layout->is_plain && filter_.keeps_all();
  const bool small = plain && are_small(shape);
  if (!sorting_) sorting_ = std::make_unique<Sorting>();
  CompactEntries& entries = sorting_->entries;
  if (shape.inline_values)
    small ? collect_inline<true>(shape, group, entries)
          : collect_inline<false>(shape, group, entries);
  else
    collect_nodes(shape, group, small, entries);
  sort_by_order(entries, sorting_->spare);
  if (small) return write_plain<true>(shape, entries, writer, number);
  if (plain) return write_plain<false>(shape, entries, writer, number);

  std::string key;
  std::string value;
  ByteWriter value_writer(value);
  for (const CompactEntry& entry : entries) {
    const std::uint64_t word = table::byte_order(entry.order);
    key.clear();
    value.clear();
    append_entry_key({number, {reinterpret_cast<const char*>(&word), shape.key_width}, {}, {}},
                     shape.key_width, key);
    if (filter_.encode(place_of(entry), shape.layout->encode, value_writer))
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
    table::append_node_key(shape, number, node, keys);
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
    if (filter_.encode(entry.value, shape.layout->encode, value_writer))
      WEIR_TRY(writer.add(key_of(entry), value));
  }
  return {};
}

Status FrozenTable::for_each_changed(std::uint32_t group, const ChangeVisitor& visit) const {
  WEIR_ASSERT(range_.contains(group));
  const Group& header = groups_[group - range_.first];
  std::vector<const table::Removals::Keys*> removals;
  for (const auto& one : removals_)
    if (one->epoch > header.flushed_epoch) removals.push_back(&one->keys[group - range_.first]);
  return table::visit_changes(storage_->shape, header, group, confirmed_epoch_, removals, visit);
}

Result<KeyedStateHandle> FrozenTable::write(SnapshotSink& sink) {
  KeyedStateHandle handle;
  handle.state = declaration_->name;
  sink.begin_state(handle.state);
  for (std::uint32_t group = range_.first; group < range_.end; ++group) {
    if (entries(group) == 0) continue;
    WEIR_TRY_ASSIGN(extent, write_group(group, sink));
    if (extent.entries > 0) handle.groups.push_back(extent);
    finish_group(group);
  }
  return handle;
}

}  // namespace weir
