#pragma once

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <cstdint>
#include <string>

#include <xxhash.h>

#include "state/codec.hpp"

namespace weir {

/// The largest maximum parallelism, as in Flink.
inline constexpr std::uint32_t max_key_groups = 32768;

/// XXH3-64, seed 0, of a key's canonical encoding: computed once per record, carried in the batch.
using KeyHash = std::uint64_t;

/// Hashes encoded key bytes.
[[nodiscard]] inline KeyHash hash_bytes(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

/// The hash of `key`, from its canonical encoding; never from a user's `==` or `std::hash`.
template <Described K>
[[nodiscard]] KeyHash hash_key(const K& key) {
  if constexpr (std::is_integral_v<K> || std::is_enum_v<K>) {
    return XXH3_64bits(&key, sizeof(K));
  } else if constexpr (std::is_same_v<K, std::string>) {
    char encoded[260];
    if (key.size() <= 256) {
      const auto size = static_cast<std::uint32_t>(key.size());
      std::memcpy(encoded, &size, 4);
      std::memcpy(encoded + 4, key.data(), key.size());
      return XXH3_64bits(encoded, key.size() + 4);
    }
    return hash_bytes(encode_value(key));
  } else {
    std::string encoded;
    ByteWriter writer(encoded);
    encode_key(key, writer);
    return hash_bytes(encoded);
  }
}

/// The murmur3 finaliser of 32 bits. Source: Appleby, MurmurHash3, fmix32.
[[nodiscard]] constexpr std::uint32_t murmur_finalize(std::uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bU;
  h ^= h >> 13;
  h *= 0xc2b2ae35U;
  h ^= h >> 16;
  return h;
}

/// The key group of a key: from 0 up to, not including, `max_parallelism`.
[[nodiscard]] constexpr std::uint32_t key_group_of(KeyHash hash, std::uint32_t max_parallelism) {
  return murmur_finalize(static_cast<std::uint32_t>(hash)) % max_parallelism;
}

/// The subtask that owns `group`, as in Flink: `group * parallelism / max_parallelism`.
[[nodiscard]] constexpr std::uint32_t subtask_of(std::uint32_t group, std::uint32_t parallelism,
                                                 std::uint32_t max_parallelism) {
  return static_cast<std::uint32_t>(std::uint64_t{group} * parallelism / max_parallelism);
}

/// The key groups `first` up to, not including, `end`.
struct KeyGroupRange {
  std::uint32_t first = 0;
  std::uint32_t end = 0;
  bool operator==(const KeyGroupRange&) const = default;
  [[nodiscard]] bool contains(std::uint32_t group) const { return group >= first && group < end; }
  [[nodiscard]] std::uint32_t size() const { return end - first; }
};
WEIR_FIELDS(KeyGroupRange, first, end)

/// The groups that `subtask` owns: ceil(i*max/p) up to, not including, ceil((i+1)*max/p), so that
/// `subtask_of` of each is `subtask`.
[[nodiscard]] constexpr KeyGroupRange key_group_range(std::uint32_t subtask,
                                                      std::uint32_t parallelism,
                                                      std::uint32_t max_parallelism) {
  const auto bound = [&](std::uint64_t i) {
    return static_cast<std::uint32_t>((i * max_parallelism + parallelism - 1) / parallelism);
  };
  return {bound(subtask), bound(subtask + 1)};
}

/// Flink's default: 1.5 times the parallelism rounded up to a power of two, at least 128, at most 32768.
[[nodiscard]] std::uint32_t default_max_parallelism(std::uint32_t parallelism);

}  // namespace weir
