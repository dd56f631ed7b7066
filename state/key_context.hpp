#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "state/key_groups.hpp"

namespace weir {

/// Computes key groups without a division per record. Source: Lemire, Kaser, Kurz, "Faster remainder
/// by direct computation", 2019.
class KeyGroupMapper {
 public:
  /// `max_parallelism` from 1 to `max_key_groups`.
  explicit KeyGroupMapper(std::uint32_t max_parallelism)
      : divisor_(max_parallelism), magic_(~std::uint64_t{0} / max_parallelism + 1) {}
  /// The same as `key_group_of(hash, max_parallelism)`.
  [[nodiscard]] std::uint32_t operator()(KeyHash hash) const {
    const std::uint64_t low = magic_ * murmur_finalize(static_cast<std::uint32_t>(hash));
    return static_cast<std::uint32_t>((static_cast<Wide>(low) * divisor_) >> 64);
  }
  [[nodiscard]] std::uint32_t max_parallelism() const { return divisor_; }

 private:
  __extension__ using Wide = unsigned __int128;
  std::uint32_t divisor_;
  std::uint64_t magic_;  // wraps to 0 for max_parallelism 1, which then yields group 0 as it should
};

/// The key whose state the handles of a function see, set by its operator before each record.
/// A key whose encoding has a fixed width of at most 8 bytes is `compact`: the encoding, zero-extended,
/// is in `word` and `bytes` is empty. Any other key's encoding is in `bytes`.
/// Threads: belongs to one task.
struct KeyContext {
  KeyHash hash = 0;
  std::uint32_t group = 0;  ///< of the key, within the whole key space
  std::uint64_t word = 0;
  std::string_view bytes;
};

/// Whether keys of type `K` are compact (see `KeyContext`).
template <Described K>
constexpr bool is_compact_key = Codec<K>::fixed_width > 0 && Codec<K>::fixed_width <= 8;

/// The compact form of `key`.
template <Described K>
  requires is_compact_key<K>
[[nodiscard]] std::uint64_t compact_key(const K& key) {
  std::uint64_t word = 0;
  if constexpr (std::is_integral_v<K> || std::is_enum_v<K>) {
    std::memcpy(&word, &key, sizeof(K));
  } else {
    std::string encoded;  // at most 8 bytes: stays within the string
    ByteWriter writer(encoded);
    encode_key(key, writer);
    std::memcpy(&word, encoded.data(), encoded.size());
  }
  return word;
}

}  // namespace weir
