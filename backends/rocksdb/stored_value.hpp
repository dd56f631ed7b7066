#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir {

/// What was appended to an entry without reading it (docs/design/012-appends-that-read-nothing.md).
struct StoredRun {
  std::uint32_t number = 0;  ///< 0: there is none
  std::uint32_t bytes = 0;
  bool operator==(const StoredRun&) const = default;
};

/// A value as it lies in the database, and an operand that RocksDB merges into one: the canonical value
/// and a trailer. The last byte of the trailer says what is before it, numbers are little-endian:
///
///   0  nothing: the value is whole
///   1  number (4) and bytes (4) of the run that the canonical value ends with; an operand is this run
///   2  number and bytes of the first run, number and bytes of the last one (4 each): of an operand alone,
///      that was merged from several
///
/// What is before the last run is final, but the last one may be followed by a longer one of the same
/// number, which takes its place. The form is stable: files are copied from one database to another.
struct StoredValue {
  std::string_view canonical;  ///< views into what it was read from
  StoredRun first;             ///< of an operand
  StoredRun last;

  /// The canonical value without what run `number` has brought; 0: all of it.
  [[nodiscard]] std::string_view below(std::uint32_t number) const {
    return number != 0 && number == last.number ? canonical.substr(0, canonical.size() - last.bytes)
                                                : canonical;
  }
};

/// None if `stored` is malformed.
[[nodiscard]] std::optional<StoredValue> read_stored_value(std::string_view stored);

/// Appends the trailer to `stored`, which is the canonical value: of a whole one, or of one that ends with
/// `last`.
void append_trailer(std::string& stored, StoredRun last = {});

/// Puts `operands`, the oldest first and at least one, behind `base`, or behind each other alone if that
/// is none. Associative. None if one of them is malformed.
[[nodiscard]] std::optional<std::string> merge_stored_values(
    std::optional<std::string_view> base, std::span<const std::string_view> operands);
/// The operand that does what `operands` do one after the other.
[[nodiscard]] std::optional<std::string> merge_operands(std::span<const std::string_view> operands);

}  // namespace weir
