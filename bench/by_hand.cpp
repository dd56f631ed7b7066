#include "bench/by_hand.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "bench/keyed_count.hpp"
#include "bench/stopwatch.hpp"
#include "state/key_groups.hpp"

namespace weir::bench {

double count_by_hand(std::uint64_t records, std::uint64_t keys) {
  struct Slot {
    std::uint64_t key;
    std::uint64_t count;
  };
  std::uint64_t capacity = 1;
  while (capacity * 7 / 10 < keys) capacity *= 2;
  std::vector<Slot> table(capacity);
  constexpr std::size_t block = 1024;
  constexpr std::size_t distance = 24;
  std::array<std::uint64_t, block> key{};
  std::array<std::uint64_t, block> slot{};
  const Stopwatch stopwatch;
  for (std::uint64_t begin = 0; begin < records; begin += block) {
    const std::size_t size = std::min<std::uint64_t>(block, records - begin);
    for (std::size_t i = 0; i < size; ++i) {
      key[i] = record(begin + i, keys).key;
      slot[i] = hash_key(key[i]) & (capacity - 1);
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (i + distance < size) __builtin_prefetch(&table[slot[i + distance]], 1);
      std::uint64_t at = slot[i];
      while (table[at].key != 0 && table[at].key != key[i]) at = (at + 1) & (capacity - 1);
      table[at].key = key[i];
      ++table[at].count;
    }
  }
  keep(table[0].count);
  return stopwatch.seconds();
}

double count_words_by_hand(const std::string& path) {
  const Stopwatch stopwatch;
  std::ifstream in(path, std::ios::binary);
  std::unordered_map<std::string, std::int64_t> counts;
  std::string line;
  std::string word;
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  while (std::getline(in, line)) {
    for (const char c : line) {
      if (is_letter(c)) {
        word += static_cast<char>(c | 0x20);
      } else if (!word.empty()) {
        ++counts[word];
        word.clear();
      }
    }
    if (!word.empty()) ++counts[word];
    word.clear();
  }
  keep(counts.size());
  return stopwatch.seconds();
}

double append_by_hand(std::uint64_t keys, std::uint64_t appends) {
  std::vector<std::vector<std::uint64_t>> lists(keys);
  const Stopwatch stopwatch;
  for (std::uint64_t i = 0; i < appends; ++i) lists[record(i, keys).key - 1].push_back(i);
  keep(lists[0].size());
  return stopwatch.seconds();
}

double write_by_hand(const std::string& path, std::uint64_t bytes) {
  const std::vector<char> block(std::size_t{1} << 20, 'x');
  const Stopwatch stopwatch;
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return 0;
  bool failed = false;
  for (std::uint64_t written = 0; written < bytes && !failed;) {
    const auto size = std::min<std::uint64_t>(block.size(), bytes - written);
    failed = ::write(file, block.data(), size) != static_cast<ssize_t>(size);
    written += size;
  }
  failed = ::fdatasync(file) != 0 || failed;
  ::close(file);
  ::unlink(path.c_str());
  return failed ? 0 : stopwatch.seconds();
}

}  // namespace weir::bench
