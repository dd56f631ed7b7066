#include "storage/system.hpp"

#include <set>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace weir {

TEST_CASE("random numbers differ between sources and threads", "[storage]") {
  SystemRandom shared;
  SystemRandom other;
  std::vector<std::vector<std::uint64_t>> drawn(4);
  std::vector<std::thread> threads;
  for (auto& numbers : drawn)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) numbers.push_back(shared.next());
    });
  for (auto& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  for (const auto& numbers : drawn) all.insert(numbers.begin(), numbers.end());
  for (int i = 0; i < 1000; ++i) all.insert(other.next());
  CHECK(all.size() == 5000);
}

TEST_CASE("the monotonic clock does not go back and the wall clock is of this age", "[storage]") {
  const SystemClock clock;
  const auto first = clock.now();
  CHECK(clock.now() >= first);
  CHECK(clock.wall_now().time_since_epoch() > std::chrono::hours(24 * 365 * 50));
}

}  // namespace weir
