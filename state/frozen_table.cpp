#include "state/frozen_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/table_storage.hpp"

namespace weir {

using table::Group;
using table::Node;

namespace {

/// An entry whose key is a word.
struct CompactEntry {
  std::uint64_t order;  // of its key, as `table::byte_order`
  const char* value;
};

/// Sorts by `order`, without comparing much: dealt out by the highest bits in which any two differ, few are
/// left to be compared with each other (Knuth, TAOCP 3, 5.2.5).
void sort_by_order(std::vector<CompactEntry>& entries) {
  constexpr int bits = 12;
  constexpr std::size_t buckets = std::size_t{1} << bits;
  if (entries.size() < buckets) {
    std::ranges::sort(entries, {}, &CompactEntry::order);
    return;
  }
  const auto [least, most] = std::ranges::minmax(entries, {}, &CompactEntry::order);
  const int shift = std::max(0, static_cast<int>(std::bit_width(least.order ^ most.order)) - bits);
  const auto bucket_of = [&](const CompactEntry& entry) {
    return entry.order >> shift & (buckets - 1);
  };
  std::array<std::size_t, buckets + 1> begin{};  // of each bucket; then of the one before it
  for (const CompactEntry& entry : entries) ++begin[bucket_of(entry) + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<CompactEntry> dealt(entries.size());
  for (const CompactEntry& entry : entries) dealt[begin[bucket_of(entry)]++] = entry;
  auto first = dealt.begin();
  for (std::size_t i = 0; i < buckets; ++i) {
    const auto last = dealt.begin() + static_cast<std::ptrdiff_t>(begin[i]);
    std::ranges::sort(first, last, {}, &CompactEntry::order);
    first = last;
  }
  entries.swap(dealt);
}

/// Writes entries all of which have the same size: in a piece of them, only keys and values change.
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
      if (i + ahead < entries.size()) __builtin_prefetch(entries[i + ahead].value);
      const std::uint64_t word = table::byte_order(entries[i].order);
      std::memcpy(out + key_offset, &word, shape.key_width);
      std::memcpy(out + value_offset, entries[i].value, shape.value_width);
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
                         std::shared_ptr<std::atomic<bool>> ended)
    : storage_(std::move(storage)),
      declaration_(std::move(declaration)),
      range_(range),
      epoch_(epoch),
      filter_(filter),
      confirmed_epoch_(storage_->confirmed_epoch),
      removals_(removals.begin(), removals.end()),
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
  if (extent && filter_.keeps_all()) WEIR_ASSERT(extent->entries == entries(group));
  return extent;
}

Status FrozenTable::write_compact(const Group& group, ExtentWriter& writer,
                                  std::uint32_t number) const {
  const table::Shape& shape = storage_->shape;
  std::vector<CompactEntry> entries;
  entries.reserve(group.used + 1);
  if (group.zero != nullptr) entries.push_back({0, table::value_of(shape, group.zero)});
  table::for_each_slot(shape, group, [&](char* slot) {
    entries.push_back({table::byte_order(table::word_of(slot)), table::slot_value(shape, slot)});
  });
  sort_by_order(entries);
  if (shape.layout->is_plain && filter_.keeps_all())
    return write_plain(shape, entries, writer, number);

  std::string key;
  std::string value;
  ByteWriter value_writer(value);
  for (const CompactEntry& entry : entries) {
    const std::uint64_t word = table::byte_order(entry.order);
    key.clear();
    value.clear();
    append_entry_key({number, {reinterpret_cast<const char*>(&word), shape.key_width}, {}, {}},
                     shape.key_width, key);
    if (filter_.encode(entry.value, shape.layout->encode, value_writer))
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

Result<KeyedStateHandle> FrozenTable::write(SnapshotSink& sink) const {
  KeyedStateHandle handle;
  handle.state = declaration_->name;
  sink.begin_state(handle.state);
  for (std::uint32_t group = range_.first; group < range_.end; ++group) {
    if (entries(group) == 0) continue;
    WEIR_TRY_ASSIGN(extent, write_group(group, sink));
    if (extent.entries > 0) handle.groups.push_back(extent);
  }
  return handle;
}

}  // namespace weir
