#pragma once

#include <cstdint>
#include <string>
#include <vector>

// What a specialist would write for one job alone, in one thread.
namespace weir::bench {

struct CountedByHand {
  double seconds = 0;      ///< of the records behind the warm ones
  std::uint64_t keys = 0;  ///< different ones
  std::uint64_t hash = 0;  ///< of the keys and their counts (see `entry_hash`); 0 unless asked for
};
/// Counts `warm` and then `records` keys, taken from `keys` over and over, in one flat table that has room for
/// `different` keys. `distance`: how many records ahead the table is prefetched; 0: not at all. `load`: each key
/// from 1 to it is counted once before, and not timed.
[[nodiscard]] CountedByHand count_by_hand(const std::vector<std::uint64_t>& keys,
                                          std::uint64_t different, std::uint64_t warm,
                                          std::uint64_t records, std::size_t distance,
                                          bool hashed = false, std::uint64_t load = 0);
/// Counts the lowercased words of a text. Returns seconds.
[[nodiscard]] double count_words_by_hand(const std::string& path);
/// Appends 8 bytes to one of `keys` vectors, `appends` times, keys at random. Returns seconds.
[[nodiscard]] double append_by_hand(std::uint64_t keys, std::uint64_t appends);
/// Keeps the largest of `values` numbers for each of `keys` keys, at random, in one flat table, prefetching.
/// Returns seconds.
[[nodiscard]] double reduce_by_hand(std::uint64_t keys, std::uint64_t values);

}  // namespace weir::bench
