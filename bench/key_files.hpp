#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/key_groups.hpp"

// The keys that the keyed workloads count, the same for every system.
namespace weir::bench {

enum class Distribution : std::uint8_t { uniform, zipf };

/// Writes `count` keys from 1 to `keys` to `path`, as little-endian 64-bit numbers. They are the same on every
/// machine. Zipf's law has the exponent 0.99; ranks are scrambled over the keys. `keys` is at least 2.
/// Source: xorshift128+, Vigna, 2017; Gray et al., "Quickly Generating Billion-Record Synthetic
/// Databases", 1994, as YCSB has it. Throws if the file cannot be written.
void write_keys(const std::string& path, Distribution distribution, std::uint64_t keys,
                std::size_t count);
/// The keys in `path`. Throws if there are none.
[[nodiscard]] std::vector<std::uint64_t> read_keys(const std::string& path);

/// What one entry adds to the hash of a multiset of counted keys, which is the sum over its entries.
[[nodiscard]] inline std::uint64_t entry_hash(std::uint64_t key, std::uint64_t count) {
  const std::uint64_t entry[2] = {key, count};
  return XXH3_64bits(entry, sizeof(entry));
}

}  // namespace weir::bench
