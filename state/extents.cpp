#include "state/extents.hpp"

#include <algorithm>

#include "state/bytes.hpp"
#include "state/entry_key.hpp"

namespace weir {

namespace {

constexpr std::size_t piece_bytes = std::size_t{256} << 10;

}  // namespace

ExtentWriter::ExtentWriter(SnapshotSink& sink, std::uint32_t group) : sink_(sink) {
  extent_.group = group;
  extent_.offset = sink.position();
  XXH3_64bits_reset(&hash_);
}

Status ExtentWriter::add(std::string_view key, std::string_view value) {
  ByteWriter writer(buffer_);
  writer.string(key);
  writer.string(value);
  ++extent_.entries;
  if (buffer_.size() >= piece_bytes) return flush();
  return {};
}

Result<KeyGroupExtent> ExtentWriter::finish() {
  WEIR_TRY(flush());
  extent_.checksum = XXH3_64bits_digest(&hash_);
  return extent_;
}

Status ExtentWriter::flush() {
  if (buffer_.empty()) return {};
  XXH3_64bits_update(&hash_, buffer_.data(), buffer_.size());
  WEIR_TRY(sink_.append(buffer_));
  extent_.length += buffer_.size();
  buffer_.clear();
  return {};
}

Status read_extent(SnapshotSource& source, const KeyGroupExtent& extent, std::size_t key_width,
                   const EntryVisitor& visit) {
  const auto damaged = [&](std::string_view reason) {
    return error(Errc::corruption, source.name() + ": key group " + std::to_string(extent.group) +
                                       " at offset " + std::to_string(extent.offset) + ": " +
                                       std::string(reason));
  };
  XXH3_state_t hash;
  XXH3_64bits_reset(&hash);
  std::uint64_t read = 0;
  std::uint64_t entries = 0;
  std::string pending;  // an entry whose end has not been read yet
  std::string previous_key;
  std::size_t wanted = piece_bytes;
  while (read < extent.length) {
    const std::uint64_t size = std::min<std::uint64_t>(wanted, extent.length - read);
    WEIR_TRY_ASSIGN(piece, source.read(extent.offset + read, size));
    if (piece.size() != size) return damaged("the source ended early");
    XXH3_64bits_update(&hash, piece.data(), piece.size());
    read += size;
    pending += piece;

    std::size_t consumed = 0;
    for (;;) {
      ByteReader reader(std::string_view(pending).substr(consumed));
      const std::string_view key = reader.string();
      const std::string_view value = reader.string();
      if (reader.failed()) break;
      EntryKey entry;
      if (!read_entry_key(key, key_width, entry)) return damaged("an entry's key is malformed");
      if (entry.group != extent.group) return damaged("an entry belongs to another key group");
      if (entries > 0 && key <= previous_key) return damaged("entries are not in ascending order");
      WEIR_TRY(visit(key, value));
      previous_key = key;
      ++entries;
      consumed = pending.size() - reader.remaining();
    }
    pending.erase(0, consumed);
    // A long entry is read in ever larger pieces, or parsing it again and again would take quadratic time.
    wanted = std::max(piece_bytes, pending.size());
  }
  if (!pending.empty()) return damaged("the last entry is cut off");
  if (entries != extent.entries) return damaged("the number of entries is not the recorded one");
  if (XXH3_64bits_digest(&hash) != extent.checksum) return damaged("the checksum does not match");
  return {};
}

}  // namespace weir
