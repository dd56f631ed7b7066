#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "state/bytes.hpp"

namespace weir {

/// The one entry layout of keyed state, in snapshots, databases and tools:
///
///   key group (u16, big-endian) | key length (u32) | key | namespace length (u8) | namespace | map key
///
/// The key is its canonical encoding; the length stands before it only when its type's encoding varies
/// in width. The namespace is empty unless a window or a timer fills it; the map key is there for map
/// state alone and reaches to the end.
struct EntryKey {
  std::uint32_t group = 0;
  std::string_view key;  ///< canonical encoding
  std::string_view name_space;
  std::string_view map_key;
};

/// Appends what follows the key group in the layout of `entry` to `out`. `key_width` is the fixed width
/// of the key's encoding in bytes, 0 if it varies.
inline void append_entry_suffix(const EntryKey& entry, std::size_t key_width, std::string& out) {
  ByteWriter writer(out);
  if (key_width == 0) writer.number(static_cast<std::uint32_t>(entry.key.size()));
  writer.raw(entry.key);
  writer.number(static_cast<std::uint8_t>(entry.name_space.size()));
  writer.raw(entry.name_space);
  writer.raw(entry.map_key);
}
/// Appends the layout of `entry` to `out`.
inline void append_entry_key(const EntryKey& entry, std::size_t key_width, std::string& out) {
  ByteWriter(out).big_endian(static_cast<std::uint16_t>(entry.group));
  append_entry_suffix(entry, key_width, out);
}

/// Reads what `append_entry_suffix` wrote; views into `bytes`. Returns false if they are too short.
[[nodiscard]] inline bool read_entry_suffix(std::string_view bytes, std::size_t key_width,
                                            EntryKey& entry) {
  ByteReader reader(bytes);
  entry.key = reader.raw(key_width == 0 ? reader.number<std::uint32_t>() : key_width);
  entry.name_space = reader.raw(reader.number<std::uint8_t>());
  if (reader.failed()) return false;
  entry.map_key = reader.rest();
  return true;
}
/// Reads what `append_entry_key` wrote, in the same way.
[[nodiscard]] inline bool read_entry_key(std::string_view bytes, std::size_t key_width,
                                         EntryKey& entry) {
  ByteReader reader(bytes);
  entry.group = reader.big_endian<std::uint16_t>();
  return !reader.failed() && read_entry_suffix(reader.rest(), key_width, entry);
}

}  // namespace weir
