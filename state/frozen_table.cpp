#include "state/frozen_table.hpp"

#include <algorithm>
#include <utility>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/table_storage.hpp"

namespace weir {

using table::Group;
using table::Node;

namespace {

/// The order of compact keys is that of their bytes in memory.
std::uint64_t byte_order(std::uint64_t word) { return __builtin_bswap64(word); }

}  // namespace

FrozenTable::FrozenTable(std::shared_ptr<const table::Storage> storage,
                         std::shared_ptr<const StateDeclaration> declaration, KeyGroupRange range,
                         std::uint32_t epoch, LiveFilter filter,
                         std::shared_ptr<std::atomic<bool>> ended)
    : storage_(std::move(storage)),
      declaration_(std::move(declaration)),
      range_(range),
      epoch_(epoch),
      filter_(filter),
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
    if (filter_.encode(entry.value, shape.layout->encode, value_writer))
      WEIR_TRY(writer.add(key, value));
  }
  return {};
}

void FrozenTable::append_node_key(std::uint32_t group, const Node* node, std::string& out) const {
  const table::Shape& shape = storage_->shape;
  const std::string_view key = table::key_of(shape, node);
  if (shape.composite) {
    ByteWriter(out).big_endian(static_cast<std::uint16_t>(group));
    out += key;
  } else {
    append_entry_key({group, key, {}, {}}, shape.key_width, out);
  }
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
    append_node_key(number, node, keys);
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
