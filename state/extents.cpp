#include "state/extents.hpp"

#include <algorithm>

#include "state/bytes.hpp"
#include "state/entry_key.hpp"

namespace weir {

namespace {

constexpr std::size_t piece_bytes = std::size_t{256} << 10;
/// What comes in pieces as large as this goes on as it is.
constexpr std::size_t uncopied_bytes = std::size_t{32} << 10;

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

Status ExtentWriter::add_raw(std::string_view bytes, std::uint64_t entries) {
  extent_.entries += entries;
  if (bytes.size() >= uncopied_bytes) {
    WEIR_TRY(flush());
    return pass_on(bytes);
  }
  buffer_ += bytes;
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
  WEIR_TRY(pass_on(buffer_));
  buffer_.clear();
  return {};
}

Status ExtentWriter::pass_on(std::string_view bytes) {
  XXH3_64bits_update(&hash_, bytes.data(), bytes.size());
  extent_.length += bytes.size();
  return sink_.append(bytes);
}

ExtentReader::ExtentReader(SnapshotSource& source, const KeyGroupExtent& extent,
                           std::size_t key_width)
    : source_(source), extent_(extent), key_width_(key_width) {
  XXH3_64bits_reset(&hash_);
}

std::unexpected<Error> ExtentReader::damaged(std::string_view reason) const {
  return error(Errc::corruption, source_.name() + ": key group " + std::to_string(extent_.group) +
                                     " at offset " + std::to_string(extent_.offset) + ": " +
                                     std::string(reason));
}

Result<std::span<const EntryView>> ExtentReader::next() {
  WEIR_ASSERT(!done_);
  if (!views_.empty()) previous_key_ = views_.back().key;
  views_.clear();
  pending_.erase(0, consumed_);
  consumed_ = 0;
  if (read_ < extent_.length) {
    // A long entry is read in ever larger pieces, or parsing it again and again would take quadratic time.
    const std::uint64_t size =
        std::min<std::uint64_t>(std::max(piece_bytes, pending_.size()), extent_.length - read_);
    WEIR_TRY_ASSIGN(piece, source_.read(extent_.offset + read_, size));
    if (piece.size() != size) return damaged("the source ended early");
    XXH3_64bits_update(&hash_, piece.data(), piece.size());
    read_ += size;
    if (pending_.empty())
      pending_ = std::move(piece);
    else
      pending_ += piece;
  }
  for (;;) {
    ByteReader reader(std::string_view(pending_).substr(consumed_));
    const EntryView view{reader.string(), reader.string()};
    if (reader.failed()) break;
    EntryKey entry;
    if (!read_entry_key(view.key, key_width_, entry)) return damaged("an entry's key is malformed");
    if (entry.group != extent_.group) return damaged("an entry belongs to another key group");
    const std::string_view previous = views_.empty() ? previous_key_ : views_.back().key;
    if (entries_ > 0 && view.key <= previous) return damaged("entries are not in ascending order");
    views_.push_back(view);
    ++entries_;
    consumed_ = pending_.size() - reader.remaining();
  }
  if (read_ == extent_.length) {
    if (consumed_ != pending_.size()) return damaged("the last entry is cut off");
    if (entries_ != extent_.entries)
      return damaged("the number of entries is not the recorded one");
    if (XXH3_64bits_digest(&hash_) != extent_.checksum)
      return damaged("the checksum does not match");
    done_ = true;
  }
  return views_;
}

Status read_extent(SnapshotSource& source, const KeyGroupExtent& extent, std::size_t key_width,
                   const EntryVisitor& visit) {
  ExtentReader reader(source, extent, key_width);
  while (!reader.done()) {
    WEIR_TRY_ASSIGN(entries, reader.next());
    for (const EntryView& entry : entries) WEIR_TRY(visit(entry.key, entry.value));
  }
  return {};
}

}  // namespace weir
