#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

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
  /// The extent of everything added. Errors: those of `sink`.
  [[nodiscard]] Result<KeyGroupExtent> finish();

 private:
  [[nodiscard]] Status flush();

  SnapshotSink& sink_;
  KeyGroupExtent extent_;
  std::string buffer_;
  XXH3_state_t hash_;
};

/// Receives one entry of an extent; an error ends the reading. The views are valid during the call.
using EntryVisitor = std::function<Status(std::string_view key, std::string_view value)>;

/// Reads `extent` from `source` and calls `visit` for each entry. What was visited is only to be kept if
/// the result is a success: the checksum is known at the end. `key_width` is that of entry keys.
/// Errors: `corruption` if checksum, length, count, order or group are not as they should be, naming
/// the source; those of `source` and `visit`.
[[nodiscard]] Status read_extent(SnapshotSource& source, const KeyGroupExtent& extent,
                                 std::size_t key_width, const EntryVisitor& visit);

}  // namespace weir
