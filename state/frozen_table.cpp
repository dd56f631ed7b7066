#include "state/frozen_table.hpp"

#include <algorithm>
#include <utility>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/table_storage.hpp"

namespace weir {

using table::Group;
using table::Node;

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
  struct Entry {
    std::uint64_t order;
    const char* value;
  };
  const table::Shape& shape = storage_->shape;
  std::vector<Entry> entries;
  entries.reserve(group.used + 1);
  if (group.zero != nullptr) entries.push_back({0, table::value_of(shape, group.zero)});
  table::for_each_slot(shape, group, [&](char* slot) {
    entries.push_back({table::byte_order(table::word_of(slot)), table::slot_value(shape, slot)});
  });
  std::ranges::sort(entries, {}, &Entry::order);

  std::string key;
  std::string value;
  ByteWriter value_writer(value);
  for (const Entry& entry : entries) {
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
