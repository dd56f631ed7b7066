#pragma once

#include <cstdint>
#include <string>

// What a specialist would write for one job alone, in one thread. Each returns seconds.
namespace weir::bench {

/// Counts `records` records (bench/keyed_count.hpp) by key in one flat table, with prefetching.
[[nodiscard]] double count_by_hand(std::uint64_t records, std::uint64_t keys);
/// Counts the lowercased words of a text in a `std::unordered_map`.
[[nodiscard]] double count_words_by_hand(const std::string& path);
/// Appends 8 bytes to one of `keys` vectors, `appends` times, keys at random.
[[nodiscard]] double append_by_hand(std::uint64_t keys, std::uint64_t appends);
/// Writes `bytes` to a new file in blocks of 1 MiB, and has them on disk at the end.
[[nodiscard]] double write_by_hand(const std::string& path, std::uint64_t bytes);

}  // namespace weir::bench
