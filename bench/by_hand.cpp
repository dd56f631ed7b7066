#include "bench/by_hand.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <fstream>
#include <new>
#include <string_view>
#include <sys/mman.h>

#include "bench/key_files.hpp"
#include "bench/keyed_count.hpp"
#include "bench/stopwatch.hpp"

namespace weir::bench {

namespace {

/// Zeroed memory in huge pages.
class HugeMemory {
 public:
  explicit HugeMemory(std::size_t bytes) : bytes_(bytes) {
    memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    ::madvise(memory_, bytes_, MADV_HUGEPAGE);
  }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  ~HugeMemory() { ::munmap(memory_, bytes_); }
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  const std::size_t bytes_;
  void* memory_;
};

/// A number for each key, in one array with linear probing. Keys are not 0.
class FlatTable {
 public:
  static constexpr std::size_t block = 1024;

  /// Has room for `keys` of them.
  explicit FlatTable(std::uint64_t keys)
      : capacity_(std::bit_ceil(keys * 10 / 7 + 1)), memory_(capacity_ * sizeof(Slot)) {}

  /// Calls `work(value, i)` for `size` keys, at most a block, prefetching `distance` keys ahead, or not for 0.
  template <class Work>
  void for_each(const std::uint64_t* keys, std::size_t size, std::size_t distance,
                const Work& work) {
    auto* slots = memory_.as<Slot>();
    std::array<std::uint64_t, block> at;
    for (std::size_t i = 0; i < size; ++i) at[i] = hash_key(keys[i]) & (capacity_ - 1);
    for (std::size_t i = 0; i < size; ++i) {
      if (distance != 0 && i + distance < size) __builtin_prefetch(&slots[at[i + distance]], 1);
      std::uint64_t slot = at[i];
      while (slots[slot].key != 0 && slots[slot].key != keys[i])
        slot = (slot + 1) & (capacity_ - 1);
      slots[slot].key = keys[i];
      work(slots[slot].value, i);
    }
  }
  template <class Visit>
  void for_each_entry(const Visit& visit) const {
    const auto* slots = memory_.as<const Slot>();
    for (std::uint64_t slot = 0; slot < capacity_; ++slot)
      if (slots[slot].key != 0) visit(slots[slot].key, slots[slot].value);
  }

 private:
  struct Slot {
    std::uint64_t key;
    std::uint64_t value;
  };
  const std::uint64_t capacity_;
  const HugeMemory memory_;
};

}  // namespace

CountedByHand count_by_hand(const std::vector<std::uint64_t>& keys, std::uint64_t different,
                            std::uint64_t warm, std::uint64_t records, std::size_t distance,
                            bool hashed, std::uint64_t load) {
  FlatTable table(different);
  const auto count = [&](const std::uint64_t* key, std::size_t size) {
    table.for_each(key, size, distance, [](std::uint64_t& held, std::size_t) { ++held; });
  };
  for (std::uint64_t key = 1; key <= load; ++key) count(&key, 1);
  std::size_t next = 0;
  const auto count_drawn = [&](std::uint64_t drawn) {
    while (drawn > 0) {
      const std::size_t size =
          std::min<std::uint64_t>({FlatTable::block, drawn, std::uint64_t{keys.size() - next}});
      count(keys.data() + next, size);
      next = next + size == keys.size() ? 0 : next + size;
      drawn -= size;
    }
  };
  count_drawn(warm);
  const Stopwatch stopwatch;
  count_drawn(records);
  CountedByHand result{stopwatch.seconds(), 0, 0};
  table.for_each_entry([&](std::uint64_t key, std::uint64_t held) {
    ++result.keys;
    if (hashed) result.hash += entry_hash(key, held);
  });
  return result;
}

double count_words_by_hand(const std::string& path) {
  struct Slot {
    std::uint64_t hash = 0;  // 0: the slot is empty
    std::uint64_t count = 0;
    std::size_t begin = 0;  // of the word in `words`
    std::size_t size = 0;
  };
  const Stopwatch stopwatch;
  std::vector<Slot> table(1 << 16);
  std::size_t used = 0;
  std::string words;
  const auto place_of = [&](std::vector<Slot>& slots, std::uint64_t hash, std::string_view word) {
    std::size_t at = hash & (slots.size() - 1);
    while (slots[at].hash != 0 &&
           (slots[at].hash != hash ||
            std::string_view(words).substr(slots[at].begin, slots[at].size) != word))
      at = (at + 1) & (slots.size() - 1);
    return at;
  };
  const auto count = [&](std::string_view word) {
    const std::uint64_t hash = XXH3_64bits(word.data(), word.size()) | 1;
    Slot& slot = table[place_of(table, hash, word)];
    ++slot.count;
    if (slot.hash != 0) return;
    slot = {hash, 1, words.size(), word.size()};
    words += word;
    if (++used < table.size() * 7 / 10) return;
    std::vector<Slot> larger(2 * table.size());
    for (const Slot& old : table)
      if (old.hash != 0)
        larger[place_of(larger, old.hash, std::string_view(words).substr(old.begin, old.size))] =
            old;
    table = std::move(larger);
  };
  std::ifstream in(path, std::ios::binary);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  std::vector<char> block(std::size_t{1} << 20);
  std::string word;
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())), in.gcount() > 0) {
    for (const char c : std::string_view(block.data(), static_cast<std::size_t>(in.gcount()))) {
      if (is_letter(c)) {
        word += static_cast<char>(c | 0x20);
      } else if (!word.empty()) {
        count(word);
        word.clear();
      }
    }
  }
  if (!word.empty()) count(word);
  keep(used);
  return stopwatch.seconds();
}

double append_by_hand(std::uint64_t keys, std::uint64_t appends) {
  std::vector<std::vector<std::uint64_t>> lists(keys);
  const Stopwatch stopwatch;
  for (std::uint64_t i = 0; i < appends; ++i) lists[record(i, keys).key - 1].push_back(i);
  keep(lists[0].size());
  return stopwatch.seconds();
}

double reduce_by_hand(std::uint64_t keys, std::uint64_t values) {
  FlatTable table(keys);
  std::array<std::uint64_t, FlatTable::block> batch{};
  const Stopwatch stopwatch;
  for (std::uint64_t i = 0; i < values;) {
    const std::size_t size = std::min<std::uint64_t>(batch.size(), values - i);
    for (std::size_t k = 0; k < size; ++k) batch[k] = record(i + k, keys).key;
    table.for_each(batch.data(), size, 24, [&](std::uint64_t& held, std::size_t k) {
      held = std::max<std::uint64_t>(held, (i + k) * 0x9e3779b97f4a7c15ULL);
    });
    i += size;
  }
  return stopwatch.seconds();
}

}  // namespace weir::bench
