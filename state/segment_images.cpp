#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "state/extents.hpp"
#include "state/frozen_table.hpp"
#include "state/table_storage.hpp"

// Segments as they lie in memory, so that an incremental snapshot writes what was changed and no more,
// and a restore puts it back without looking for a place for each entry. An extent is
//
//   u8 whole | u32 slots of a segment | u8 depth of the directory | u8 has the key of word 0 [value]
//   | u32 segments | segments
//   segment: u32 prefix | u8 depth | u32 granules | 1 bit per slot of these granules, padded to a byte
//   | for each bit that is set the entry's key and value
//
// where a key is its fixed-width encoding or a string with its length (of a composite table: what
// follows the key group in the entry key), and a value its encoding, with its length if that varies.
//
// What of this follows from the state's declaration is in `table::Shape`. The rest follows from the room that
// values took in memory, and an extent says it: the segments of a whole one have all of their granules,
// which tells how many slots make one; and the key of word 0 stands apart if values lay in slots.
namespace weir {

namespace {

/// A value whose type nobody here has, as it was encoded.
struct EncodedValue {
  std::string bytes;
};

}  // namespace

template <>
struct EntryCodec<EncodedValue> {
  static void encode(const EncodedValue& value, ByteWriter& writer) { writer.raw(value.bytes); }
  [[nodiscard]] static bool decode(std::string_view bytes, EncodedValue& value) {
    value.bytes = bytes;
    return true;
  }
  static std::size_t heap_bytes(const EncodedValue& value) {
    return Codec<std::string>::heap_bytes(value.bytes);
  }
  static SchemaDefaults defaults() { return {}; }
};

using table::Group;
using table::Node;
using table::Segment;
using table::SegmentHeader;

namespace {

/// Entries of a directory for each of its segments, at most: far more than chance makes of good hashes
/// (about 4 with 26 entries a segment; Flajolet, "On the performance evaluation of extendible hashing
/// and trie searching", 1983), and a bound on what a damaged extent makes a restore allocate.
constexpr std::uint64_t most_entries_a_segment = 64;

/// The slots of a segment that lie in granule `granule`.
struct SlotRange {
  std::uint32_t begin;
  std::uint32_t end;
};
SlotRange slots_of(const table::Shape& shape, std::uint32_t slot_mask, std::uint32_t granule) {
  const std::uint32_t size = 1U << shape.granule_shift;
  return {std::min(granule * size, slot_mask + 1), std::min((granule + 1) * size, slot_mask + 1)};
}
std::uint32_t granules_of(const table::Shape& shape, std::uint32_t slot_mask) {
  return (slot_mask >> shape.granule_shift) + 1;
}
std::uint32_t all_granules(const table::Shape& shape, std::uint32_t slot_mask) {
  const std::uint32_t count = granules_of(shape, slot_mask);
  return count == 32 ? ~0U : (1U << count) - 1;
}
/// Whether a taken slot is, byte for byte, an entry.
bool slots_are_entries(const table::Shape& shape) {
  return shape.inline_values && shape.layout->is_plain && shape.key_width == 8 &&
         shape.layout->value_offset == 8 && shape.slot_bytes == 8 + shape.value_width;
}

/// Calls `f(slot)` for the slots of a segment that lie in `granules`.
template <class F>
void for_each_slot_in(const table::Shape& shape, std::uint32_t slot_mask, const char* slots,
                      std::uint32_t granules, F&& f) {
  for (; granules != 0; granules &= granules - 1) {
    const auto granule = static_cast<std::uint32_t>(std::countr_zero(granules));
    const SlotRange range = slots_of(shape, slot_mask, granule);
    for (std::uint32_t i = range.begin; i < range.end; ++i)
      f(slots + std::size_t{i} * shape.slot_bytes);
  }
}

/// Which slots are taken, and their contents, where slots are entries. `width`: bytes of a slot; 0: as the shape says.
/// Appends to `out`, which has room for all of them, and returns how many were taken.
template <std::size_t width>
std::uint64_t write_slots(const table::Shape& shape, std::uint32_t slot_mask, const char* slots,
                          std::uint32_t granules, char*& out) {
  const std::size_t bytes = width == 0 ? shape.slot_bytes : width;
  const std::size_t included =
      static_cast<std::size_t>(std::popcount(granules)) * slots_of(shape, slot_mask, 0).end;
  char* const occupied = out;
  std::memset(occupied, 0, (included + 7) / 8);
  out += (included + 7) / 8;
  std::size_t bit = 0;
  std::uint64_t entries = 0;
  for_each_slot_in(shape, slot_mask, slots, granules, [&](const char* slot) {
    const std::size_t taken = table::word_of(slot) != 0 ? 1 : 0;
    occupied[bit / 8] = static_cast<char>(occupied[bit / 8] | taken << (bit % 8));
    ++bit;
    entries += taken;
    // Whether a slot is taken cannot be guessed: a small one is copied anyway, and the next one over it.
    if (width == 0 && taken == 0) return;
    std::memcpy(out, slot, bytes);
    out += taken * bytes;
  });
  return entries;
}

void write_value(const table::Shape& shape, const char* value, ByteWriter& writer,
                 std::string& scratch) {
  const table::Layout& layout = *shape.layout;
  if (layout.is_plain) {
    writer.raw({value, shape.value_width});
  } else if (shape.value_width != 0) {
    layout.encode(value, writer);
  } else {
    scratch.clear();
    ByteWriter scratch_writer(scratch);
    layout.encode(value, scratch_writer);
    writer.string(scratch);
  }
}

}  // namespace

bool FrozenTable::is_new_since(std::uint32_t group, std::uint32_t base) const {
  return base == 0 || groups_[group - range_.first].made_epoch > base;
}

Result<KeyGroupExtent> FrozenTable::write_images(std::uint32_t group, std::uint32_t base,
                                                 SnapshotSink& sink) const {
  WEIR_ASSERT(range_.contains(group));
  const table::Shape& shape = storage_->shape;
  const Group& header = groups_[group - range_.first];
  const bool whole = is_new_since(group, base);

  // Segments with what was written in any of the directory's entries that lead to them.
  struct Written {
    const char* slots;
    std::uint32_t first;  // entry of the directory
    std::uint32_t granules;
  };
  std::vector<Written> segments;
  const std::uint32_t all = all_granules(shape, header.slot_mask);
  if (header.directory != table::empty_group.directory) {
    for (std::uint32_t i = 0; i < std::uint32_t{1} << table::depth_of(header);) {
      const Segment& segment = header.directory[i];
      // Every entry that leads to a segment has its epoch. Looking into each would cost more than all the rest
      // where little has changed.
      if (!whole && segment.epoch <= base) {
        ++i;
        continue;
      }
      const std::uint32_t copies = copies_in(header, table::header_of(segment.slots).depth);
      std::uint32_t granules = whole ? all : 0;
      if (segment.epoch > base)
        for (std::uint32_t copy = 0; copy < copies; ++copy)
          granules |= header.directory[i + copy].dirty & all;
      if (granules != 0) segments.push_back({segment.slots, i, granules});
      i += copies;
    }
  }

  ExtentWriter extent(sink, group);
  std::string bytes;
  std::string scratch;
  ByteWriter writer(bytes);
  writer.number(static_cast<std::uint8_t>(whole));
  writer.number(header.slot_mask + 1);
  writer.number(static_cast<std::uint8_t>(table::depth_of(header)));
  writer.number(static_cast<std::uint8_t>(header.zero != nullptr));
  if (header.zero != nullptr)
    write_value(shape, table::value_of(shape, header.zero), writer, scratch);
  writer.number(static_cast<std::uint32_t>(segments.size()));
  WEIR_TRY(extent.add_raw(bytes, header.zero != nullptr ? 1 : 0));

  const bool blocks = slots_are_entries(shape);
  // Of a segment: what stands before its slots, a bit for each and, in the place of the last one that is taken, one more.
  const std::size_t slots = std::size_t{header.slot_mask} + 1;
  const auto room =
      blocks
          ? std::make_unique_for_overwrite<char[]>(16 + slots / 8 + (slots + 1) * shape.slot_bytes)
          : nullptr;
  for (std::size_t k = 0; k < segments.size(); ++k) {
    const Written& segment = segments[k];
    if (k + 1 < segments.size())
      table::prefetch_segment(shape, header.slot_mask, segments[k + 1].slots);
    const std::uint32_t depth = table::header_of(const_cast<char*>(segment.slots)).depth;
    bytes.clear();
    writer.number(segment.first >> (table::depth_of(header) - depth));
    writer.number(static_cast<std::uint8_t>(depth));
    writer.number(segment.granules);
    if (blocks) {
      char* const begin = room.get();
      char* end = std::ranges::copy(bytes, begin).out;
      const auto write = shape.slot_bytes == 16 ? write_slots<16> : write_slots<0>;
      const std::uint64_t entries =
          write(shape, header.slot_mask, segment.slots, segment.granules, end);
      WEIR_TRY(extent.add_raw({begin, static_cast<std::size_t>(end - begin)}, entries));
      continue;
    }
    const auto for_each_included = [&](auto&& f) {
      for_each_slot_in(shape, header.slot_mask, segment.slots, segment.granules, f);
    };
    std::uint8_t occupied = 0;
    std::uint32_t bit = 0;
    std::uint64_t entries = 0;
    for_each_included([&](const char* slot) {
      if (table::is_taken(shape, slot)) {
        occupied = static_cast<std::uint8_t>(occupied | 1U << bit);
        ++entries;
      }
      if (++bit == 8) {
        writer.number(occupied);
        occupied = 0;
        bit = 0;
      }
    });
    if (bit != 0) writer.number(occupied);

    for_each_included([&](const char* slot) {
      if (!table::is_taken(shape, slot)) return;
      if (shape.compact)
        writer.raw({slot, shape.key_width});
      else if (const std::string_view key = table::key_of(shape, table::node_of(slot));
               shape.composite || shape.key_width == 0)
        writer.string(key);
      else
        writer.raw(key);
      write_value(shape, table::slot_value(shape, const_cast<char*>(slot)), writer, scratch);
    });
    WEIR_TRY(extent.add_raw(bytes, entries));
  }
  return extent.finish();
}

/// Lays one extent over a group.
class TableBase::ImageLoader {
 public:
  ImageLoader(TableBase& table, Group& group, std::string_view bytes)
      : table_(table),
        shape_(table.shape_),
        takes_any_room_(shape_.layout == &table::layout<EncodedValue>),
        group_(group),
        reader_(bytes) {}

  Status load() {
    auto loaded = load_all();
    if (!loaded) abandon();
    return loaded;
  }

 private:
  Status load_all() {
    const bool whole = reader_.number<std::uint8_t>() != 0;
    const auto slots = reader_.number<std::uint32_t>();
    const auto depth = reader_.number<std::uint8_t>();
    if (reader_.failed()) return damaged("it is cut off");
    if (depth > table::max_depth) return damaged("its directory is too deep");
    if (slots != 1 && (!std::has_single_bit(slots) || slots > 1U << shape_.segment_shift ||
                       slots < table::first_slots))
      return damaged("its segments have another size than this program's");
    if (whole) {
      table_.clear_group(group_);
      group_.slot_mask = slots - 1;
    } else if (slots - 1 != group_.slot_mask) {
      return damaged("it does not fit what it builds on");
    }
    WEIR_TRY(load_zero());
    const auto count = reader_.number<std::uint32_t>();
    // Each segment takes at least its head.
    if (reader_.failed() || count > reader_.remaining() / 9) return damaged("it is cut off");
    if (count == 0 && group_.directory == table::empty_group.directory) {
      group_.slot_mask = 0;
      return reader_.remaining() == 0 ? Status() : damaged("it is too long");
    }
    WEIR_TRY(deepen(std::max<std::uint32_t>(depth, table::depth_of(group_)), count));
    for (std::uint32_t i = 0; i < count; ++i) {
      if (whole && i == 0 && takes_any_room_) WEIR_TRY(adopt_granules());
      WEIR_TRY(load_segment());
    }
    if (reader_.remaining() != 0) return damaged("it is too long");
    return check();
  }

  static std::unexpected<Error> damaged(std::string_view reason) {
    return error(Errc::corruption, "a segment image does not fit: " + std::string(reason));
  }

  Status load_zero() {
    const auto present = reader_.number<std::uint8_t>();
    if (reader_.failed()) return damaged("it is cut off");
    if (present == 0) {
      if (group_.zero != nullptr)
        table_.storage_->release_node(std::exchange(group_.zero, nullptr));
      return {};
    }
    if (!shape_.inline_values && !(takes_any_room_ && shape_.compact))
      return damaged("it has a key apart, which this table has not");
    if (group_.zero == nullptr) group_.zero = table_.make_node({});
    return load_value(table::value_of(shape_, group_.zero));
  }

  /// Gives the directory 2^depth entries, of which those that nothing leads to yet have no slots; `count`
  /// segments are to come.
  Status deepen(std::uint32_t depth, std::uint32_t count) {
    const bool empty = group_.directory == table::empty_group.directory;
    if (!empty && depth == table::depth_of(group_)) return {};
    Group grown = group_;
    grown.shift = 32 - depth;
    const std::uint64_t segments =
        count + (empty ? 0 : std::uint64_t{1} << table::depth_of(group_));
    if ((std::uint64_t{1} << depth) > most_entries_a_segment * (segments + 1))
      return damaged("its directory is too large for its segments");
    grown.directory =
        static_cast<Segment*>(table_.storage_->arena.allocate(table::directory_bytes(grown)));
    for (std::uint32_t i = 0; i < std::uint32_t{1} << depth; ++i)
      grown.directory[i] =
          empty ? Segment{nullptr, 0, 0} : group_.directory[i >> (depth - table::depth_of(group_))];
    if (!empty)
      table_.storage_->release(group_.directory, table::directory_bytes(group_),
                               group_.directory_epoch);
    grown.directory_epoch = table_.epoch_;
    grown.made_epoch = empty ? table_.epoch_ : group_.made_epoch;
    group_ = grown;
    return {};
  }

  /// Takes over how many slots make a granule from the segment that comes next, the first of a whole extent.
  Status adopt_granules() {
    ByteReader segment = reader_;
    (void)segment.number<std::uint32_t>();
    (void)segment.number<std::uint8_t>();
    const auto count = static_cast<std::uint32_t>(std::popcount(segment.number<std::uint32_t>()));
    const std::uint32_t slots = group_.slot_mask + 1;
    if (segment.failed()) return damaged("it is cut off");
    if (!std::has_single_bit(count) || count > slots)
      return damaged("its first segment has not all of its parts");
    table_.shape_.granule_shift = static_cast<std::uint32_t>(std::countr_zero(slots / count));
    return {};
  }

  Status load_segment() {
    const auto prefix = reader_.number<std::uint32_t>();
    const std::uint32_t depth = reader_.number<std::uint8_t>();
    const auto granules = reader_.number<std::uint32_t>();
    const std::uint32_t all = all_granules(shape_, group_.slot_mask);
    if (reader_.failed()) return damaged("it is cut off");
    if (depth > table::depth_of(group_) || (std::uint64_t{prefix} >> depth) != 0 ||
        (granules & ~all) != 0)
      return damaged("a segment lies outside its group");
    const std::uint32_t copies = table::copies_in(group_, depth);
    Segment* entries = group_.directory + std::size_t{prefix} * copies;
    const bool known = entries->slots != nullptr && table::header_of(entries->slots).depth == depth;
    if (!known) {
      // A new segment, perhaps one half of another, whose contents the two halves replace.
      if (granules != all) return damaged("a part of a segment comes before the whole");
      for (std::uint32_t i = 0; i < copies; ++i) {
        if (entries[i].slots == nullptr) continue;
        if (table::header_of(entries[i].slots).depth > depth)
          return damaged("a segment comes after its halves");
        replaced_.push_back(entries[i].slots);
      }
      std::fill_n(entries, copies,
                  table_.storage_->make_segment(group_.slot_mask, depth, table_.epoch_));
    }
    char* slots = entries->slots;
    SegmentHeader& header = table::header_of(slots);

    const std::uint32_t included = static_cast<std::uint32_t>(std::popcount(granules)) *
                                   slots_of(shape_, group_.slot_mask, 0).end;
    const std::string_view occupied = reader_.raw((included + 7) / 8);
    if (reader_.failed()) return damaged("it is cut off");
    const bool blocks = slots_are_entries(shape_);
    std::uint32_t bit = 0;
    for (std::uint32_t left = granules; left != 0; left &= left - 1) {
      const auto granule = static_cast<std::uint32_t>(std::countr_zero(left));
      const SlotRange range = slots_of(shape_, group_.slot_mask, granule);
      for (std::uint32_t i = range.begin; i < range.end; ++i, ++bit) {
        char* slot = slots + std::size_t{i} * shape_.slot_bytes;
        if (table::is_taken(shape_, slot)) {
          table_.clear_slot(slot);
          --header.used;
          --group_.used;
        }
        if ((static_cast<std::uint8_t>(occupied[bit / 8]) >> bit % 8 & 1) == 0) continue;
        if (blocks) {
          const std::string_view entry = reader_.raw(shape_.slot_bytes);
          if (reader_.failed()) return damaged("it is cut off");
          std::memcpy(slot, entry.data(), entry.size());
        } else {
          WEIR_TRY(load_entry(slot));
        }
        if (depth > 0 && table_.home_of(slot) >> (32 - depth) != prefix)
          return damaged("an entry lies in another segment than its hash says");
        if (!table::is_taken(shape_, slot)) return damaged("an entry has no key");
        ++header.used;
        ++group_.used;
      }
    }
    if (header.used > table::slot_limit(group_.slot_mask)) return damaged("a segment is too full");
    return {};
  }

  Status load_entry(char* slot) {
    const bool has_length = shape_.composite || shape_.key_width == 0;
    const std::string_view key = has_length ? reader_.string() : reader_.raw(shape_.key_width);
    if (reader_.failed()) return damaged("it is cut off");
    std::uint64_t word = 0;
    if (shape_.compact)
      std::memcpy(&word, key.data(), key.size());
    else
      word = hash_bytes(key);
    void* value = nullptr;
    if (shape_.inline_values) {
      value = slot + shape_.layout->value_offset;
      shape_.layout->construct(value);
    } else {
      Node* node = table_.make_node(shape_.compact ? std::string_view() : key);
      if (shape_.composite) table_.link(node);
      table::node_of(slot) = node;
      value = table::value_of(shape_, node);
    }
    std::memcpy(slot, &word, sizeof(word));
    return load_value(value);
  }

  Status load_value(void* value) {
    const std::uint32_t width = shape_.value_width;
    const std::string_view bytes = width != 0 ? reader_.raw(width) : reader_.string();
    if (reader_.failed()) return damaged("it is cut off");
    if (shape_.layout->is_plain) {
      std::memcpy(value, bytes.data(), bytes.size());
      return {};
    }
    return table_.decode_entry(bytes, value);
  }

  /// Every entry of the directory leads to a segment that belongs there.
  Status check() {
    for (std::uint32_t i = 0; i < std::uint32_t{1} << table::depth_of(group_);) {
      const Segment& first = group_.directory[i];
      if (first.slots == nullptr) return damaged("a segment is missing");
      const std::uint32_t copies = table::copies_in(group_, table::header_of(first.slots).depth);
      if (i % copies != 0) return damaged("a segment is missing");
      for (std::uint32_t copy = 1; copy < copies; ++copy)
        if (group_.directory[i + copy].slots != first.slots) return damaged("a segment is missing");
      i += copies;
    }
    release_replaced();
    return {};
  }

  void release_replaced() {
    std::ranges::sort(replaced_);
    const auto twice = std::ranges::unique(replaced_);
    replaced_.erase(twice.begin(), twice.end());
    for (char* slots : replaced_) {
      group_.used -= table::header_of(slots).used;
      clear(slots);
      table_.storage_->release_segment(group_, {slots, table_.epoch_, 0});
    }
  }

  /// After a failure: takes all entries away.
  void abandon() {
    const bool laid_out = group_.directory != table::empty_group.directory;
    for (std::uint32_t i = 0; laid_out && i < std::uint32_t{1} << table::depth_of(group_); ++i)
      if (char* slots = group_.directory[i].slots; slots != nullptr) replaced_.push_back(slots);
    release_replaced();
    if (laid_out)
      table_.storage_->release(group_.directory, table::directory_bytes(group_),
                               group_.directory_epoch);
    if (group_.zero != nullptr) table_.storage_->release_node(group_.zero);
    group_ = table::empty_group;
  }
  void clear(char* slots) {
    for (std::uint32_t i = 0; i <= group_.slot_mask; ++i)
      if (char* slot = slots + std::size_t{i} * shape_.slot_bytes; table::is_taken(shape_, slot))
        table_.clear_slot(slot);
  }

  TableBase& table_;
  const table::Shape& shape_;
  const bool takes_any_room_;  // whatever room values took where the image was written
  Group& group_;
  ByteReader reader_;
  std::vector<char*> replaced_;  // slots of segments that others took the place of
};

Status TableBase::load_images(std::uint32_t group, std::string_view bytes) {
  WEIR_ASSERT(range_.contains(group));
  return ImageLoader(*this, groups_[group - range_.first], bytes).load();
}

std::unique_ptr<TableBase> TableBase::make_encoded(StateDeclaration written,
                                                   std::uint32_t group) const {
  const KeyGroupRange groups{group, group + 1};
  // Its slots are as small as any, so that a segment has as many as an image can have.
  static_assert(table::segment_shift(sizeof(table::NodeSlot)) == table::most_segment_shift);
  return std::make_unique<Table<EncodedValue>>(
      std::move(written), TableOptions{groups, groups.end, shape_.key_width, shape_.composite});
}

void TableBase::clear_slot(char* slot) {
  if (!shape_.inline_values) {
    Node* node = table::node_of(slot);
    if (shape_.composite) unlink(node);
    storage_->release_node(node);
  }
  std::memset(slot, 0, shape_.slot_bytes);
}

void TableBase::clear_group(Group& group) {
  if (!shape_.inline_values)
    table::for_each_slot(shape_, group, [&](char* slot) {
      Node* node = table::node_of(slot);
      if (shape_.composite) unlink(node);
      storage_->release_node(node);
    });
  if (group.zero != nullptr) storage_->release_node(group.zero);
  storage_->release_segments(group);
  group = table::empty_group;
}

}  // namespace weir
