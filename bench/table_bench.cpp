// Keyed count: a table as the runtime uses it beside a flat hand-written one, in one thread.
// Prints records/s. Usage: table_bench [million keys...]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <vector>

#include "state/frozen_table.hpp"
#include "state/keyed_state.hpp"

namespace {

using namespace weir;

constexpr std::size_t batch = 1024;
constexpr std::size_t distance = 24;
constexpr std::uint64_t records = 40'000'000;

std::uint64_t random_state = 88172645463325252ULL;
std::uint64_t random_number() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/// One open-addressing array.
struct Flat {
  struct Slot {
    std::uint64_t key, count;
  };
  Slot* slots;
  std::uint64_t mask;
  explicit Flat(std::uint64_t keys) {
    std::uint64_t size = 1;
    while (size * 7 / 10 < keys) size *= 2;
    mask = size - 1;
    void* memory = ::mmap(nullptr, size * sizeof(Slot), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::madvise(memory, size * sizeof(Slot), MADV_HUGEPAGE);
    slots = static_cast<Slot*>(memory);
  }
  ~Flat() { ::munmap(slots, (mask + 1) * sizeof(Slot)); }
  void end_batch() {}
  void prefetch(std::uint64_t hash) { __builtin_prefetch(&slots[hash & mask], 1); }
  void add(std::uint64_t key, std::uint64_t hash) {
    std::uint64_t i = hash & mask;
    while (slots[i].key != key && slots[i].key != 0) i = (i + 1) & mask;
    slots[i].key = key;
    ++slots[i].count;
  }
};

struct Weir {
  Table<std::uint64_t> table{{"count", StateKind::value, {}, schema_of<std::uint64_t>()},
                             {{0, 128}, 128, 8}};
  ValueState<std::uint64_t> count;
  KeyContext key;
  Weir() : count(&table, &key) {}
  void end_batch() { table.reclaim(); }
  void prefetch(std::uint64_t hash) {
    table.prefetch(hash, static_cast<std::uint32_t>(hash) & 127);
  }
  void add(std::uint64_t word, std::uint64_t hash) {
    key = {hash, static_cast<std::uint32_t>(hash) & 127, word, {}};
    ++count.mutable_value();
  }
};

template <class Counter>
double run(Counter& counter, std::uint64_t keys, std::uint64_t count) {
  std::vector<std::uint64_t> key(batch), hash(batch);
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t done = 0; done < count; done += batch) {
    for (std::size_t i = 0; i < batch; ++i) hash[i] = hash_key(key[i] = 1 + random_number() % keys);
    for (std::size_t i = 0; i < distance; ++i) counter.prefetch(hash[i]);
    for (std::size_t i = 0; i < batch; ++i) {
      if (i + distance < batch) counter.prefetch(hash[i + distance]);
      counter.add(key[i], hash[i]);
    }
    counter.end_batch();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(count) / seconds.count() / 1e6;
}

/// Takes no bytes anywhere.
struct NullSink final : SnapshotSink {
  std::uint64_t written = 0;
  Status append(std::string_view bytes) override {
    written += bytes.size();
    return {};
  }
  std::uint64_t position() const override { return written; }
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint64_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::strtoull(argv[i], nullptr, 10) * 1'000'000);
  if (sizes.empty()) sizes = {1'000'000, 10'000'000};
  for (const std::uint64_t keys : sizes) {
    Flat flat(keys);
    Weir weir;
    run(flat, keys, records / 2);
    std::printf("%lu keys: insert %.1f M/s\n", keys, run(weir, keys, keys));
    run(weir, keys, records / 2);
    for (int round = 0; round < 5; ++round) {
      const double flat_rate = run(flat, keys, records);
      const double rate = run(weir, keys, records);
      const auto frozen = weir.table.freeze();
      const double frozen_rate = run(weir, keys, records);
      std::printf("  flat %.1f  table %.1f (%.2f)  with a snapshot %.1f M/s\n", flat_rate, rate,
                  rate / flat_rate, frozen_rate);
    }
    const auto frozen = weir.table.freeze();
    NullSink sink;
    const auto begin = std::chrono::steady_clock::now();
    if (!frozen->write(sink)) return 1;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("  writing out: %.2f s, %.0f MB/s\n", seconds.count(),
                static_cast<double>(sink.written) / seconds.count() / 1e6);
    const auto& counters = weir.table.counters();
    std::printf("  %lu segments copied, %zu MiB\n", counters.segments_copied,
                weir.table.memory_bytes() >> 20);
  }
}
