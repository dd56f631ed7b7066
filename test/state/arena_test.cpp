// Arena: what is handed out, taken back, and made ready by another thread.

#include "state/arena.hpp"

#include <cstdint>
#include <cstring>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"

using namespace weir;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

/// Blocks of `bytes` that are filled with their number, as one that overlaps another would show.
class Blocks {
 public:
  Blocks(Arena& arena, std::size_t bytes) : arena_(arena), bytes_(bytes) {}
  void add() {
    blocks_.push_back(static_cast<char*>(arena_.allocate(bytes_)));
    std::memset(blocks_.back(), static_cast<int>(blocks_.size() % 251), bytes_);
  }
  [[nodiscard]] bool are_whole() const {
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      for (const std::size_t at : {std::size_t{0}, bytes_ / 2, bytes_ - 1})
        if (blocks_[i][at] != static_cast<char>((i + 1) % 251)) return false;
    return true;
  }
  void free_all() {
    for (char* block : blocks_) arena_.free(block, bytes_);
    blocks_.clear();
  }
  [[nodiscard]] const std::vector<char*>& all() const { return blocks_; }

 private:
  Arena& arena_;
  std::size_t bytes_;
  std::vector<char*> blocks_;
};

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

}  // namespace

TEST_CASE("an arena hands out blocks of every size that do not overlap", "[state]") {
  Arena arena;
  std::vector<Blocks> sizes;
  for (const std::size_t bytes : {1UL, 16UL, 17UL, 64UL, 1000UL, 1024UL, 1025UL, 16384UL, 16385UL,
                                  32768UL, 40000UL, 131072UL, 262144UL, 262145UL, 3 * mib})
    sizes.emplace_back(arena, bytes);
  for (int round = 0; round < 20; ++round)
    for (Blocks& blocks : sizes) blocks.add();
  for (const Blocks& blocks : sizes) CHECK(blocks.are_whole());
  for (const Blocks& blocks : sizes)
    for (const char* block : blocks.all()) CHECK(reinterpret_cast<std::uintptr_t>(block) % 16 == 0);
  for (Blocks& blocks : sizes) blocks.free_all();
  CHECK(arena.used_bytes() == 0);
}

TEST_CASE("a freed block is the next of its size", "[state]") {
  const std::size_t bytes = GENERATE(8UL, 96UL, 4096UL, 16384UL, 20000UL, 65536UL, 262144UL);
  Arena arena;
  void* first = arena.allocate(bytes);
  void* second = arena.allocate(bytes);
  CHECK(first != second);
  arena.free(first, bytes);
  CHECK(arena.allocate(bytes) == first);
  CHECK(arena.used_bytes() >= 2 * bytes);
}

TEST_CASE("memory that was made ready is there without a page fault", "[state]") {
  if (test::sanitized) return;  // touches memory of its own
  constexpr std::size_t bytes = 64 << 10;
  Arena arena;
  const auto take = [&] {
    auto* block = static_cast<char*>(arena.allocate(bytes));
    std::memset(block, 1, bytes);
    return reinterpret_cast<std::uintptr_t>(block);
  };
  while (arena.used_bytes() < 160 * mib) take();
  std::thread([&] { arena.prepare(); }).join();
  while (take() % (2 * mib) != 2 * mib - bytes) {
  }  // the rest of the newest chunk
  const long before = page_faults();
  for (std::size_t taken = 0; taken < 2 * mib; taken += bytes) take();
  const long faults = page_faults() - before;
  CHECK(faults == 0);
}

TEST_CASE("chunks are made ready while others are taken", "[state]") {
  Arena arena;
  Blocks blocks(arena, 256 << 10);
  while (arena.used_bytes() < 140 * mib) blocks.add();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) arena.prepare();
      });
    while (arena.used_bytes() < 300 * mib) blocks.add();
  }
  CHECK(blocks.are_whole());
  blocks.free_all();
}
