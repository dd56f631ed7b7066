#include "runtime/spsc_queue.hpp"

#include <memory>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

namespace weir {
namespace {

TEST_CASE("a queue gives back what was pushed, in order, however the two sides alternate",
          "[runtime]") {
  // Around 64, where a block ends, and far beyond it.
  const int burst = GENERATE(1, 2, 63, 64, 65, 200);
  SpscQueue<std::string> queue;
  int pushed = 0;
  int popped = 0;
  for (int round = 0; round < 50; ++round) {
    CHECK(queue.empty());
    CHECK(queue.front() == nullptr);
    for (int i = 0; i < burst; ++i)
      queue.push("a value beyond the small ones: " + std::to_string(pushed++));
    while (std::string* value = queue.front()) {
      REQUIRE(value == queue.front());
      REQUIRE_FALSE(queue.empty());
      REQUIRE(*value == "a value beyond the small ones: " + std::to_string(popped++));
      queue.pop();
    }
    REQUIRE(popped == pushed);
  }
}

TEST_CASE("a queue keeps its order when it is never empty", "[runtime]") {
  SpscQueue<int> queue;
  for (int i = 0; i < 100; ++i) queue.push(i);
  for (int i = 100; i < 1000; ++i) {
    queue.push(i);
    REQUIRE(*queue.front() == i - 100);
    queue.pop();
  }
}

TEST_CASE("a queue destroys what is left in it, once", "[runtime]") {
  const int left = GENERATE(0, 1, 63, 64, 65, 128, 300);
  const int taken = GENERATE(0, 1, 64, 70);
  const auto counted = std::make_shared<int>(0);
  {
    SpscQueue<std::shared_ptr<int>> queue;
    for (int i = 0; i < left + taken; ++i) queue.push(counted);
    for (int i = 0; i < taken; ++i) queue.pop();
    CHECK(counted.use_count() == left + 1);
  }
  CHECK(counted.use_count() == 1);
}

TEST_CASE("a queue moves values that cannot be copied, and aligns them", "[runtime]") {
  struct alignas(64) Wide {
    std::unique_ptr<int> value;
  };
  SpscQueue<Wide> queue;
  for (int i = 0; i < 130; ++i) queue.push({std::make_unique<int>(i)});
  for (int i = 0; i < 130; ++i) {
    REQUIRE(reinterpret_cast<std::uintptr_t>(queue.front()) % 64 == 0);
    REQUIRE(*queue.front()->value == i);
    queue.pop();
  }
}

TEST_CASE("two threads: everything arrives once, in order, with its contents", "[runtime]") {
  constexpr int count = 200000;
  SpscQueue<std::unique_ptr<int>> queue;
  std::thread producer([&] {
    for (int i = 0; i < count; ++i) queue.push(std::make_unique<int>(i));
  });
  bool right = true;
  for (int expected = 0; expected < count;) {
    std::unique_ptr<int>* value = queue.front();
    if (value == nullptr) {
      std::this_thread::yield();
      continue;
    }
    right = right && **value == expected++;
    queue.pop();
  }
  producer.join();
  CHECK(right);
  CHECK(queue.empty());
}

}  // namespace
}  // namespace weir
