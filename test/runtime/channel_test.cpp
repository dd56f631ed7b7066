#include "runtime/channel.hpp"

#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "runtime/waker.hpp"

namespace weir {
namespace {

StreamElement batch_of(std::size_t records, long value = 0) {
  auto batch = std::make_unique<Batch<long>>();
  for (std::size_t i = 0; i < records; ++i) batch->add(value);
  return std::unique_ptr<AnyBatch>(std::move(batch));
}

class CountingWakeable final : public Wakeable {
 public:
  void wake() override { ++count; }
  std::atomic<int> count{0};
};

SCENARIO("a channel is bounded in bytes and says when there is room again", "[runtime]") {
  GIVEN("a channel of 100 bytes") {
    Channel channel(100);
    const auto producer = std::make_shared<CountingWakeable>();
    const auto consumer = std::make_shared<CountingWakeable>();
    channel.set_producer(producer);
    channel.set_consumer(consumer);
    CHECK(channel.has_room());

    WHEN("it is filled to its bound") {
      channel.push(batch_of(6));
      CHECK(channel.has_room());
      channel.push(batch_of(7));
      CHECK(channel.queued_bytes() == 13 * sizeof(long));
      CHECK(consumer->count == 2);
      CHECK_FALSE(channel.has_room());
      THEN("an event still goes in, and counts") {
        channel.push(Watermark{1});
        CHECK(channel.queued_bytes() > 13 * sizeof(long));
        CHECK(consumer->count == 3);
      }
      THEN("the producer is woken once there is room, and only then") {
        channel.push(batch_of(7));
        (void)channel.pop();
        CHECK(producer->count == 0);
        CHECK_FALSE(channel.has_room());
        (void)channel.pop();
        CHECK(producer->count == 1);
        CHECK(channel.has_room());
        (void)channel.pop();
        CHECK(producer->count == 1);
        CHECK(channel.queued_bytes() == 0);
      }
    }
    WHEN("the producer has never asked") {
      channel.push(batch_of(20));
      (void)channel.pop();
      THEN("it is not woken") { CHECK(producer->count == 0); }
    }
  }
}

TEST_CASE("a spent batch comes back to the producer, empty", "[runtime]") {
  Channel channel(100);
  CHECK(channel.take_spent() == nullptr);
  channel.push(batch_of(3));
  auto element = channel.pop();
  auto& batch = std::get<std::unique_ptr<AnyBatch>>(element);
  const AnyBatch* const address = batch.get();
  channel.recycle(std::move(batch));
  const auto spent = channel.take_spent();
  CHECK(spent.get() == address);
  CHECK(spent->size() == 0);
  CHECK(channel.take_spent() == nullptr);
}

TEST_CASE("between two threads that park no element and no wake-up is lost", "[runtime]") {
  class ParkingWakeable final : public Wakeable {
   public:
    void wake() override { waker.wake(); }
    Waker waker;
  };
  constexpr long count = 50'000;
  constexpr std::size_t capacity = 256;
  Channel channel(capacity);
  const auto producer = std::make_shared<ParkingWakeable>();
  const auto consumer = std::make_shared<ParkingWakeable>();
  channel.set_producer(producer);
  channel.set_consumer(consumer);
  std::atomic<bool> within_bound{true};

  std::thread producing([&] {
    for (long i = 0; i < count;) {
      producer->waker.prepare_to_park();
      if (!channel.has_room()) {
        producer->waker.park_until(std::nullopt);
        continue;
      }
      producer->waker.cancel_park();
      auto batch = channel.take_spent();
      if (!batch) batch = std::make_unique<Batch<long>>();
      auto& typed = static_cast<Batch<long>&>(*batch);
      typed.add(i++);
      typed.add(i++);
      channel.push(std::move(batch));
      if (channel.queued_bytes() > capacity + 2 * sizeof(long)) within_bound = false;
    }
    channel.push(EndOfInput{});
  });
  long expected = 0;
  for (bool ended = false; !ended;) {
    consumer->waker.prepare_to_park();
    if (channel.peek() == nullptr) {
      consumer->waker.park_until(std::nullopt);
      continue;
    }
    consumer->waker.cancel_park();
    auto element = channel.pop();
    if (auto* batch = std::get_if<std::unique_ptr<AnyBatch>>(&element)) {
      for (const long value : static_cast<Batch<long>&>(**batch).values)
        if (value != expected++) FAIL("out of order");
      channel.recycle(std::move(*batch));
    } else {
      ended = true;
    }
  }
  producing.join();
  CHECK(expected == count);
  CHECK(within_bound);
  CHECK(channel.queued_bytes() == 0);
}

}  // namespace
}  // namespace weir
