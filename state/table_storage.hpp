#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "state/arena.hpp"
#include "state/table.hpp"

// The insides of tables, for those who write and load them (frozen_table.cpp, segment_images.cpp).
namespace weir::table {

inline constexpr std::uint32_t first_slots = 8;
/// Retired blocks that one `reclaim` looks at, so that the end of a snapshot never stops the owner.
inline constexpr std::size_t reclaimed_at_once = 4096;
/// Entries whose heap use is looked at to estimate that of all, and estimates that rest on one sample.
inline constexpr std::uint64_t sampled_entries = 64;
inline constexpr std::uint32_t estimates_of_sample = 64;
/// About what a key of a composite table takes beside its entries, so that they can be walked.
inline constexpr std::size_t bytes_of_first = 40;

/// Bits of a directory's index at most. More would mean that hundreds of keys share the topmost bits
/// of their hashes, which by chance they never do.
inline constexpr std::uint32_t max_depth = 24;

/// What the directory of a group without entries points to: one free slot of any width. Nobody writes
/// it, because it has no room.
struct EmptySegment {
  SegmentHeader header{0, 0, 0, 0, {}};
  alignas(64) char slot[512] = {};
};
inline constexpr EmptySegment empty_segment;
inline constexpr Segment empty_directory{const_cast<char*>(empty_segment.slot), 0, 0};
inline constexpr Group empty_group{
    const_cast<Segment*>(&empty_directory), nullptr, 32, 0, 0, 0, 0, 0};
/// The same for a group of which the database may have entries.
inline constexpr EmptySegment absent_segment{{0, 0, 1, 0, {}}};
inline constexpr Segment absent_directory{const_cast<char*>(absent_segment.slot), 0, 0};
inline constexpr Group absent_group{
    const_cast<Segment*>(&absent_directory), nullptr, 32, 0, 0, 0, 0, 0};

/// Whether a group has segments of its own.
inline bool is_laid_out(const Group& group) {
  return group.directory != &empty_directory && group.directory != &absent_directory;
}

/// Entry keys that a cache has removed, so that the database learns of it and is not asked meanwhile.
/// The newest set is open: its owner adds to it. A frozen table keeps the others alive and reads them.
struct Removals {
  explicit Removals(std::size_t groups) : keys(groups) {}
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const { return hash_bytes(key); }
  };
  using Keys = std::unordered_set<std::string, Hash, std::equal_to<>>;
  /// About what one of `keys` takes.
  static std::size_t bytes_of(std::string_view key) { return 80 + key.size(); }

  std::uint32_t epoch = 0;  // of the snapshot that they are the last part of; 0: open
  std::size_t bytes = 0;
  std::vector<Keys> keys;  // by group - first
};

inline std::uint64_t word_of(const char* slot) {
  std::uint64_t word;
  std::memcpy(&word, slot, sizeof(word));
  return word;
}
/// The order of compact keys is that of their bytes in memory.
inline std::uint64_t byte_order(std::uint64_t word) { return __builtin_bswap64(word); }
inline Node*& node_of(char* slot) { return reinterpret_cast<NodeSlot*>(slot)->node; }
inline Node* node_of(const char* slot) { return reinterpret_cast<const NodeSlot*>(slot)->node; }
inline Links& links_of(Node* node) { return reinterpret_cast<Links*>(node)[-1]; }
inline const Links& links_of(const Node* node) { return reinterpret_cast<const Links*>(node)[-1]; }

inline bool is_taken(const Shape& shape, const char* slot) {
  return shape.inline_values ? word_of(slot) != 0 : node_of(slot) != nullptr;
}
inline std::string_view key_of(const Shape& shape, const Node* node) {
  return {reinterpret_cast<const char*>(node) + shape.layout->node_bytes, node->key_size};
}
inline char* value_of(const Shape& shape, Node* node) {
  return reinterpret_cast<char*>(node) + shape.layout->value_offset;
}
inline const char* value_of(const Shape& shape, const Node* node) {
  return reinterpret_cast<const char*>(node) + shape.layout->value_offset;
}
/// Where the value is that belongs to a taken slot.
inline char* slot_value(const Shape& shape, char* slot) {
  return shape.inline_values ? slot + shape.layout->value_offset : value_of(shape, node_of(slot));
}

inline SegmentHeader& header_of(char* slots) { return reinterpret_cast<SegmentHeader*>(slots)[-1]; }
/// Whether the value of a slot is a run.
inline bool is_run(char* slots, std::uint32_t slot) {
  return (header_of(slots).runs[slot / 64] >> (slot % 64) & 1) != 0;
}
inline void mark_run(char* slots, std::uint32_t slot, bool is_run) {
  std::uint64_t& runs = header_of(slots).runs[slot / 64];
  const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
  runs = is_run ? runs | bit : runs & ~bit;
}
inline std::uint32_t depth_of(const Group& group) { return 32 - group.shift; }
inline std::size_t directory_bytes(const Group& group) {
  return sizeof(Segment) << depth_of(group);
}
/// Of a segment with its header.
inline std::size_t segment_bytes(const Shape& shape, std::uint32_t slot_mask) {
  return sizeof(SegmentHeader) + (std::size_t{slot_mask} + 1) * shape.slot_bytes;
}
/// Slots of a segment that may be taken.
inline std::uint32_t slot_limit(std::uint32_t slot_mask) { return (slot_mask + 1) * 13 / 16; }
/// How often a segment of depth `depth` stands in the group's directory, one entry behind the other.
inline std::uint32_t copies_in(const Group& group, std::uint32_t depth) {
  return 1U << (depth_of(group) - depth);
}
/// The first of the entries that lead to the same segment as that of `home`.
inline Segment* entries_of(const Group& group, std::uint64_t home) {
  const std::uint64_t index = home >> group.shift;
  const std::uint32_t copies = copies_in(group, header_of(group.directory[index].slots).depth);
  return group.directory + (index & ~std::uint64_t{copies - 1});
}

/// What was written up to this epoch is no change any more.
inline std::uint32_t clean_epoch(const Group& group, std::uint32_t confirmed_epoch) {
  return std::max(group.flushed_epoch, confirmed_epoch);
}
/// The granules with changes of the segment that `copies` entries from `first` on lead to.
inline std::uint32_t changed_granules(const Segment* first, std::uint32_t copies,
                                      std::uint32_t clean_epoch) {
  std::uint32_t granules = 0;
  if (first->epoch > clean_epoch)
    for (std::uint32_t i = 0; i < copies; ++i) granules |= first[i].dirty;
  return granules;
}
/// Passes the changes of key group `number` to `visit`, ascending by entry key: what was written after
/// `confirmed_epoch`, and the keys in `removals` that are not there.
[[nodiscard]] Status visit_changes(const Shape& shape, const Group& group, std::uint32_t number,
                                   std::uint32_t confirmed_epoch,
                                   std::span<const Removals::Keys* const> removals,
                                   const ChangeVisitor& visit);
/// The entry key of a node.
void append_node_key(const Shape& shape, std::uint32_t group, const Node* node, std::string& out);

/// Fetches all of a segment, which is read soon: all at once, so that memory is waited for once and not by line.
inline void prefetch_segment(const Shape& shape, std::uint32_t slot_mask, const char* slots) {
  const std::size_t bytes = (std::size_t{slot_mask} + 1) * shape.slot_bytes;
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(slots + i, 0, 2);
}
/// Calls `f(segment)` for each segment of `group`, in the order of its homes.
template <class F>
void for_each_segment(const Group& group, F&& f) {
  if (group.used == 0) return;
  const std::uint32_t count = 1U << depth_of(group);
  for (std::uint32_t i = 0; i < count;) {
    const Segment& segment = group.directory[i];
    f(segment);
    i += copies_in(group, header_of(segment.slots).depth);
  }
}
/// Calls `f(slot)` for each taken slot of `segment`.
template <class F>
void for_each_slot(const Shape& shape, const Group& group, const Segment& segment, F&& f) {
  char* slot = segment.slots;
  for (std::uint32_t i = 0; i <= group.slot_mask; ++i, slot += shape.slot_bytes)
    if (is_taken(shape, slot)) f(slot);
}
/// Calls `f(segment)` for each segment of `group` in which there may be entries, in the order of its homes, with the
/// next one on its way from memory.
template <class F>
void for_each_segment_ahead(const Shape& shape, const Group& group, F&& f) {
  if (group.used == 0) return;
  const std::uint32_t count = 1U << depth_of(group);
  for (std::uint32_t i = 0; i < count;) {
    const Segment& segment = group.directory[i];
    do ++i;
    while (i < count && group.directory[i].slots == segment.slots);
    if (i < count) prefetch_segment(shape, group.slot_mask, group.directory[i].slots);
    f(segment);
  }
}
/// Calls `f(slot)` for each taken slot of `group`, in the order of its homes.
template <class F>
void for_each_slot(const Shape& shape, const Group& group, F&& f) {
  for_each_segment_ahead(shape, group,
                         [&](const Segment& segment) { for_each_slot(shape, group, segment, f); });
}

/// The memory of a table. The owner changes it; frozen tables keep it alive and read what they saw.
class Storage {
 public:
  /// Of one table; its groups are empty.
  Storage(const Shape& form, std::uint32_t group_count)
      : shape(form), groups(group_count, empty_group) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  /// Frees a block once no snapshot sees it. It came into being in epoch `first_epoch`.
  void release(void* block, std::size_t bytes, std::uint32_t first_epoch);
  /// Notices snapshots that have ended, and groups that they are done with, and frees up to `limit` blocks that only
  /// they saw.
  void reclaim(std::size_t limit);
  std::shared_ptr<SnapshotProgress> begin_snapshot(std::uint32_t epoch);
  /// True if a snapshot that has not ended sees what came into being in epoch `first_epoch`.
  [[nodiscard]] bool is_seen(std::uint32_t first_epoch) const {
    return first_epoch <= newest_epoch_;
  }
  /// The same of a segment of `group`, with which a snapshot may be done before it has ended.
  [[nodiscard]] bool is_read(const Group& group, std::uint32_t first_epoch) const;
  /// An empty segment, to be written in `epoch`.
  Segment make_segment(std::uint32_t slot_mask, std::uint32_t depth, std::uint32_t epoch,
                       std::uint32_t dirty = ~0U);
  /// What stands for a full segment of `depth` whose entries are in the database alone.
  Segment absent(std::uint32_t depth);
  void release_segment(const Group& group, const Segment& segment);
  /// Makes the directory one to be written in `epoch`; copied if a snapshot sees it.
  void thaw_directory(Group& group, std::uint32_t epoch, TableCounters& counters);
  /// Makes the segment of `home` one to be written in `epoch`; copied if a snapshot is still to read it.
  Segment& thaw_segment(Group& group, std::uint64_t home, std::uint32_t epoch,
                        TableCounters& counters);
  /// Takes a group's directory and segments away, nodes apart.
  void release_segments(const Group& group);
  void release_node(Node* node) { release(node, 0, node->epoch); }
  /// Memory for a node, whose links, if it has any, are not set.
  Node* allocate_node(std::size_t key_bytes);

  const Shape shape;
  Arena arena;
  std::vector<Group> groups;
  std::size_t nodes = 0;  // allocated
  // What was written up to here is where the next snapshot builds on.
  std::uint32_t confirmed_epoch = 0;
  // The number of the runs of segments that come into being; 0: none begin.
  std::uint32_t run = 0;

 private:
  static constexpr std::size_t no_group = ~std::size_t{0};
  /// A block, or a node if `bytes` is 0, that the owner has replaced.
  struct Retired {
    void* block;
    std::size_t bytes;
    std::uint32_t first_epoch;
  };
  /// What the snapshot taken at the end of `epoch` is the newest to see.
  struct Snapshot {
    std::uint32_t epoch;
    std::shared_ptr<SnapshotProgress> progress;
    std::vector<Retired> retired;                // all but segments
    std::vector<std::vector<Retired>> segments;  // by group
    std::size_t freed_groups;                    // those of groups before this one are freed
  };

  /// Which of `groups` it is; none of them if it is a copy.
  [[nodiscard]] std::size_t index_of(const Group& group) const {
    const auto index = static_cast<std::size_t>(&group - groups.data());
    return index < groups.size() ? index : no_group;
  }
  /// The newest snapshot older than that of `epoch`, if it is still to read what came into being in `first_epoch`.
  Snapshot* heir_of(std::uint32_t epoch, std::uint32_t first_epoch, std::size_t group);
  /// Frees segments of groups before `end` that only `snapshot` saw. Returns false when `limit` is used up.
  bool free_segments(Snapshot& snapshot, std::size_t end, std::size_t& limit);
  void free_now(const Retired& retired);
  void destroy(Node* node) {
    if (shape.layout->destroy != nullptr) shape.layout->destroy(value_of(shape, node));
  }

  std::array<char*, max_depth + 1> absent_{};  // slots by depth, once there are any
  std::uint32_t newest_epoch_ = 0;             // of `snapshots_`; 0 if there are none
  std::vector<Snapshot> snapshots_;  // not ended, as far as the owner has noticed; ascending
  std::vector<Snapshot> ended_;      // with blocks yet to be freed or handed to an older snapshot
};

}  // namespace weir::table
