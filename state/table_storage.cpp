#include "state/table_storage.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "state/entry_key.hpp"

namespace weir::table {

Storage::~Storage() {
  if (shape.layout->destroy == nullptr) return;  // the arena takes all memory back at once
  for (const Group& group : groups) {
    if (group.zero != nullptr) destroy(group.zero);
    if (!shape.inline_values)
      for_each_slot(shape, group, [&](char* slot) { destroy(node_of(slot)); });
  }
  for (const auto* list : {&snapshots_, &ended_})
    for (const Snapshot& snapshot : *list)  // segments have no nodes of their own
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

void Storage::free_now(const Retired& retired) {
  if (retired.bytes != 0) {
    arena.free(retired.block, retired.bytes);
    return;
  }
  auto* node = static_cast<Node*>(retired.block);
  destroy(node);
  --nodes;
  const std::size_t links = shape.composite ? sizeof(Links) : 0;
  arena.free(reinterpret_cast<char*>(node) - links,
             links + shape.layout->node_bytes + node->key_size);
}

Node* Storage::allocate_node(std::size_t key_bytes) {
  const std::size_t links = shape.composite ? sizeof(Links) : 0;
  auto* memory = static_cast<char*>(arena.allocate(links + shape.layout->node_bytes + key_bytes));
  ++nodes;
  return reinterpret_cast<Node*>(memory + links);
}

void Storage::reclaim(std::size_t limit) {
  if (snapshots_.empty() && ended_.empty()) return;
  for (std::size_t i = 0; i < snapshots_.size();) {
    if (!snapshots_[i].progress->ended.load(std::memory_order_acquire)) {
      ++i;
      continue;
    }
    ended_.push_back(std::move(snapshots_[i]));
    snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  newest_epoch_ = snapshots_.empty() ? 0 : snapshots_.back().epoch;

  for (Snapshot& snapshot : snapshots_) {
    const std::size_t done = snapshot.progress->groups_done.load(std::memory_order_acquire);
    if (!free_segments(snapshot, done, limit)) return;
  }
  while (!ended_.empty()) {
    Snapshot& snapshot = ended_.back();
    snapshot.freed_groups = 0;  // some may have been added to groups that were done
    if (!free_segments(snapshot, groups.size(), limit)) return;
    for (; !snapshot.retired.empty(); --limit) {
      if (limit == 0) return;
      const Retired retired = snapshot.retired.back();
      snapshot.retired.pop_back();
      if (Snapshot* heir = heir_of(snapshot.epoch, retired.first_epoch, no_group))
        heir->retired.push_back(retired);
      else
        free_now(retired);
    }
    ended_.pop_back();
  }
}

bool Storage::free_segments(Snapshot& snapshot, std::size_t end, std::size_t& limit) {
  for (; snapshot.freed_groups < end; ++snapshot.freed_groups) {
    const std::size_t group = snapshot.freed_groups;
    auto& segments = snapshot.segments[group];
    for (; !segments.empty(); --limit) {
      if (limit == 0) return false;
      const Retired retired = segments.back();
      segments.pop_back();
      if (Snapshot* heir = heir_of(snapshot.epoch, retired.first_epoch, group))
        heir->segments[group].push_back(retired);
      else
        free_now(retired);
    }
  }
  return true;
}

Storage::Snapshot* Storage::heir_of(std::uint32_t epoch, std::uint32_t first_epoch,
                                    std::size_t group) {
  for (std::size_t i = snapshots_.size(); i-- > 0;) {
    Snapshot& older = snapshots_[i];
    if (older.epoch >= epoch) continue;
    if (first_epoch > older.epoch) return nullptr;
    if (older.progress->groups_done.load(std::memory_order_acquire) <= group) return &older;
  }
  return nullptr;
}

std::shared_ptr<SnapshotProgress> Storage::begin_snapshot(std::uint32_t epoch) {
  auto progress = std::make_shared<SnapshotProgress>();
  snapshots_.push_back({epoch, progress, {}, std::vector<std::vector<Retired>>(groups.size()), 0});
  newest_epoch_ = epoch;
  return progress;
}

bool Storage::is_read(const Group& group, std::uint32_t first_epoch) const {
  const std::size_t index = index_of(group);
  return std::ranges::any_of(snapshots_, [&](const Snapshot& snapshot) {
    return first_epoch <= snapshot.epoch &&
           snapshot.progress->groups_done.load(std::memory_order_acquire) <= index;
  });
}

Segment Storage::make_segment(std::uint32_t slot_mask, std::uint32_t depth, std::uint32_t epoch,
                              std::uint32_t dirty) {
  const std::size_t bytes = segment_bytes(shape, slot_mask);
  auto* memory = static_cast<char*>(arena.allocate(bytes));
  std::memset(memory, 0, bytes);
  char* slots = memory + sizeof(SegmentHeader);
  header_of(slots).depth = depth;
  return {slots, epoch, dirty};
}

Segment Storage::absent(std::uint32_t depth) {
  char*& slots = absent_[depth];
  if (slots == nullptr) {
    slots = make_segment((1U << shape.segment_shift) - 1, depth, 0).slots;
    header_of(slots).incomplete = 1;
  }
  return {slots, 0, 0};
}

void Storage::release_segment(const Group& group, const Segment& segment) {
  if (segment.epoch == 0) return;
  const Retired retired{segment.slots - sizeof(SegmentHeader),
                        segment_bytes(shape, group.slot_mask), segment.epoch};
  const std::size_t index = index_of(group);
  if (!is_read(group, segment.epoch))
    free_now(retired);
  else if (index == no_group)
    snapshots_.back().retired.push_back(retired);
  else
    snapshots_.back().segments[index].push_back(retired);
}

void Storage::thaw_directory(Group& group, std::uint32_t epoch, TableCounters& counters) {
  if (group.directory_epoch == epoch) return;
  if (is_seen(group.directory_epoch)) {
    const std::size_t bytes = directory_bytes(group);
    auto* copy = static_cast<Segment*>(arena.allocate(bytes));
    std::memcpy(copy, group.directory, bytes);
    release(group.directory, bytes, group.directory_epoch);
    group.directory = copy;
    ++counters.directories_copied;
  }
  group.directory_epoch = epoch;
}

Segment& Storage::thaw_segment(Group& group, std::uint64_t home, std::uint32_t epoch,
                               TableCounters& counters) {
  thaw_directory(group, epoch, counters);
  Segment& written = group.directory[home >> group.shift];
  if (written.epoch == epoch) return written;
  const Segment old = written;
  Segment thawed = old;
  bool is_replaced = false;
  if (written.epoch == 0) {
    thawed = make_segment(group.slot_mask, header_of(written.slots).depth, epoch);
    header_of(thawed.slots).incomplete = 1;
    header_of(thawed.slots).run = run;
  } else if (is_read(group, written.epoch)) {
    const std::size_t bytes = segment_bytes(shape, group.slot_mask);
    auto* copy = static_cast<char*>(arena.allocate(bytes));
    std::memcpy(copy, written.slots - sizeof(SegmentHeader), bytes);
    is_replaced = true;
    thawed.slots = copy + sizeof(SegmentHeader);
    ++counters.segments_copied;
  }
  Segment* entry = entries_of(group, home);
  const std::uint32_t copies = copies_in(group, header_of(thawed.slots).depth);
  thawed.epoch = epoch;
  // What was written since the last confirmed snapshot stays so, whichever entry led to it.
  thawed.dirty = changed_granules(entry, copies, clean_epoch(group, confirmed_epoch));
  std::fill_n(entry, copies, thawed);
  if (is_replaced) release_segment(group, old);  // its header told which entries lead to it
  return written;
}

void append_node_key(const Shape& shape, std::uint32_t group, const Node* node, std::string& out) {
  const std::string_view key = key_of(shape, node);
  if (shape.composite) {
    ByteWriter(out).big_endian(static_cast<std::uint16_t>(group));
    out += key;
  } else {
    append_entry_key({group, key, {}, {}}, shape.key_width, out);
  }
}

void Storage::release_segments(const Group& group) {
  if (!is_laid_out(group)) return;
  const std::uint32_t count = 1U << depth_of(group);
  for (std::uint32_t i = 0; i < count;) {
    const Segment segment = group.directory[i];
    i += copies_in(group, header_of(segment.slots).depth);
    release_segment(group, segment);
  }
  release(group.directory, directory_bytes(group), group.directory_epoch);
}

}  // namespace weir::table
