#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/key_groups.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// Writes the entries of one key group as snapshots hold them (see `KeyedStateHandle`), in pieces, so
/// that a large group needs no large buffer.
/// Threads: one at a time.
class ExtentWriter {
 public:
  /// Begins at the present position of `sink`, which outlives the writer.
  ExtentWriter(SnapshotSink& sink, std::uint32_t group);
  /// Appends one entry. Keys come in strictly ascending order. Errors: those of `sink`.
  [[nodiscard]] Status add(std::string_view key, std::string_view value);
  /// Appends `bytes` that hold `entries` entries in a form of their own.
  [[nodiscard]] Status add_raw(std::string_view bytes, std::uint64_t entries);
  /// The extent of everything added. Errors: those of `sink`.
  [[nodiscard]] Result<KeyGroupExtent> finish();

 private:
  [[nodiscard]] Status flush();
  [[nodiscard]] Status pass_on(std::string_view bytes);

  SnapshotSink& sink_;
  KeyGroupExtent extent_;
  std::string buffer_;
  XXH3_state_t hash_;
};

/// One entry of an extent.
struct EntryView {
  std::string_view key;  ///< layout of state/entry_key.hpp
  std::string_view value;
};

/// Reads one extent piece by piece, so that whoever reads it can do other things in between.
///
///   ExtentReader reader(source, extent, key_width);
///   while (!reader.done()) {
///     auto piece = reader.next();
///     ...
///   }
///
/// What was read is only to be kept once `done`: the checksum is known at the end.
/// Threads: one at a time.
class ExtentReader {
 public:
  /// `source` outlives the reader. `key_width` is that of the key's encoding in entry keys, 0 if it varies.
  ExtentReader(SnapshotSource& source, const KeyGroupExtent& extent, std::size_t key_width);
  /// The entries of about 256 KiB, ascending by key; the views are valid until the next call. Requires
  /// `!done()`. Errors: `corruption` if checksum, length, count, order or group are not as they should
  /// be, naming the source; those of the source.
  [[nodiscard]] Result<std::span<const EntryView>> next();
  /// Whether everything was read, and found to be what was written.
  [[nodiscard]] bool done() const { return done_; }

 private:
  [[nodiscard]] std::unexpected<Error> damaged(std::string_view reason) const;

  SnapshotSource& source_;
  const KeyGroupExtent extent_;
  const std::size_t key_width_;
  XXH3_state_t hash_;
  bool done_ = false;
  std::uint64_t read_ = 0;     // bytes
  std::uint64_t entries_ = 0;  // handed out
  std::string pending_;  // what `views_` point into, and behind it an entry yet without its end
  std::size_t consumed_ = 0;  // of `pending_`
  std::string previous_key_;
  std::vector<EntryView> views_;
};

/// Receives one entry of an extent; an error ends the reading. The views are valid during the call.
using EntryVisitor = std::function<Status(std::string_view key, std::string_view value)>;

/// Reads a whole extent and calls `visit` for each entry. What was visited is only to be kept if the
/// result is a success. Errors: as `ExtentReader::next`, and those of `visit`.
[[nodiscard]] Status read_extent(SnapshotSource& source, const KeyGroupExtent& extent,
                                 std::size_t key_width, const EntryVisitor& visit);

}  // namespace weir
