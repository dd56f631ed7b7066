#include "runtime/waker.hpp"

#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "runtime/spsc_queue.hpp"

namespace weir {
namespace {

/// Long past on the steady clock, so that a wait with it ends at once.
constexpr MonotonicTime long_ago{};

TEST_CASE("a wake after the announcement ends the next park at once", "[runtime]") {
  Waker waker;
  waker.prepare_to_park();
  waker.wake();
  CHECK(waker.park_until(std::nullopt));
}

TEST_CASE("a wake before the announcement is not saved up", "[runtime]") {
  Waker waker;
  waker.wake();
  waker.prepare_to_park();
  CHECK_FALSE(waker.park_until(long_ago));
}

TEST_CASE("an announcement can be taken back", "[runtime]") {
  Waker waker;
  waker.prepare_to_park();
  waker.cancel_park();
  waker.wake();
  waker.prepare_to_park();
  CHECK_FALSE(waker.park_until(long_ago));
}

TEST_CASE("a wake counts even if the deadline has passed", "[runtime]") {
  Waker waker;
  waker.prepare_to_park();
  waker.wake();
  CHECK(waker.park_until(long_ago));
}

/// What the header shows: look, announce, look again, sleep.
template <class T>
T receive(SpscQueue<T>& queue, Waker& waker) {
  while (queue.front() == nullptr) {
    waker.prepare_to_park();
    if (queue.empty())
      waker.park_until(std::nullopt);
    else
      waker.cancel_park();
  }
  T value = std::move(*queue.front());
  queue.pop();
  return value;
}

TEST_CASE("ping-pong: no wake-up is lost in 100,000 rounds", "[runtime]") {
  constexpr int rounds = 100000;
  SpscQueue<int> there;
  SpscQueue<int> back;
  Waker other;
  Waker self;
  std::thread partner([&] {
    for (int i = 0; i < rounds; ++i) {
      back.push(receive(there, other) + 1);
      self.wake();
    }
  });
  bool right = true;
  for (int i = 0; i < rounds; ++i) {
    there.push(i);
    other.wake();
    right = right && receive(back, self) == i + 1;
  }
  partner.join();
  CHECK(right);
}

TEST_CASE("several wakers, one sleeper: nothing is missed", "[runtime]") {
  constexpr int count = 50000;
  SpscQueue<int> queues[2];
  Waker waker;
  const auto produce = [&](SpscQueue<int>& queue) {
    for (int i = 0; i < count; ++i) {
      queue.push(i);
      waker.wake();
    }
  };
  std::thread first(produce, std::ref(queues[0]));
  std::thread second(produce, std::ref(queues[1]));
  int received[2] = {0, 0};
  bool right = true;
  while (received[0] + received[1] < 2 * count) {
    for (int i = 0; i < 2; ++i) {
      while (int* value = queues[i].front()) {
        right = right && *value == received[i]++;
        queues[i].pop();
      }
    }
    waker.prepare_to_park();
    const bool idle = queues[0].empty() && queues[1].empty();
    if (idle && received[0] + received[1] < 2 * count)
      waker.park_until(std::nullopt);
    else
      waker.cancel_park();
  }
  first.join();
  second.join();
  CHECK(right);
}

TEST_CASE("deadlines that run out beside real wakes lose nothing", "[runtime]") {
  constexpr int count = 20000;
  SpscQueue<int> queue;
  Waker waker;
  std::thread producer([&] {
    for (int i = 0; i < count; ++i) {
      queue.push(i);
      waker.wake();
    }
  });
  int received = 0;
  while (received < count) {
    while (queue.front() != nullptr) {
      ++received;
      queue.pop();
    }
    waker.prepare_to_park();
    if (queue.empty())
      waker.park_until(long_ago);
    else
      waker.cancel_park();
  }
  producer.join();
  CHECK(received == count);
}

}  // namespace
}  // namespace weir
