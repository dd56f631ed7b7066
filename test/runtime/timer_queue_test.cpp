#include "runtime/timer_queue.hpp"

#include <set>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Queue = TimerQueue<long>;

std::unique_ptr<Table<TimerMark>> make_table() {
  TableOptions options;
  options.groups = {0, 8};
  options.max_parallelism = 8;
  options.key_width = 8;
  options.composite = true;
  return std::make_unique<Table<TimerMark>>(
      StateDeclaration{"timers", StateKind::timer, schema_of<long>(), schema_of<TimerMark>()},
      options, EntryCodec<TimerMark>{});
}
KeyContext context_of(long key) {
  KeyContext context;
  context.hash = hash_key(key);
  context.group = key_group_of(context.hash, 8);
  context.word = compact_key(key);
  return context;
}
using Fired = std::vector<std::pair<std::int64_t, long>>;  // times and keys
Fired take(Queue& queue, std::int64_t now) {
  Fired fired;
  while (const auto timer = queue.take_due(now)) fired.emplace_back(timer->time, timer->key);
  return fired;
}

TEST_CASE("a time as namespace sorts as the times do and comes back", "[runtime]") {
  const std::vector<std::int64_t> times{
      std::numeric_limits<std::int64_t>::min(), -70'000, -1, 0, 1, 255, 256,
      std::numeric_limits<std::int64_t>::max()};
  for (std::size_t i = 0; i < times.size(); ++i) {
    CHECK(timer_of_namespace(timer_namespace(times[i])) == times[i]);
    if (i > 0) CHECK(timer_namespace(times[i - 1]) < timer_namespace(times[i]));
  }
  CHECK_FALSE(timer_of_namespace("1234567"));
  CHECK_FALSE(timer_of_namespace("123456789"));
}

SCENARIO("a queue yields what is due, once, by time", "[runtime]") {
  GIVEN("timers of three keys, set in any order, some twice and some removed") {
    const auto table = make_table();
    Queue queue(table.get());
    for (const auto& [time, key] : Fired{{30, 1}, {10, 2}, {20, 1}, {10, 2}, {-5, 3}, {20, 2}})
      queue.add(context_of(key), key, time);
    queue.remove(context_of(2), 2, 20);
    queue.remove(context_of(3), 3, 20);  // it has none at that time
    CHECK(queue.size() == 4);
    CHECK(queue.earliest() == -5);
    CHECK(take(queue, -6).empty());
    CHECK(take(queue, 20) == Fired{{-5, 3}, {10, 2}, {20, 1}});
    CHECK(table->entries() == 1);

    WHEN("one is removed and set again") {
      queue.remove(context_of(1), 1, 30);
      queue.add(context_of(1), 1, 30);
      THEN("it fires once") {
        CHECK(take(queue, 1000) == Fired{{30, 1}});
        CHECK(queue.size() == 0);
        CHECK(table->entries() == 0);
      }
    }
    WHEN("another queue takes the table over") {
      for (long key = 100; key < 200; ++key) queue.add(context_of(key), key, key);
      Queue other(table.get());
      while (!other.load_restored()) {
      }
      THEN("it has the same timers") {
        CHECK(other.size() == 101);
        const Fired fired = take(other, 1000);
        CHECK(fired.size() == 101);
        CHECK(fired[0] == std::pair<std::int64_t, long>(30, 1));
        CHECK(fired[1] == std::pair<std::int64_t, long>(100, 100));
        CHECK(fired[100] == std::pair<std::int64_t, long>(199, 199));
      }
    }
  }
}

SCENARIO("timers that are moved again and again take no more memory than they are", "[runtime]") {
  GIVEN("a thousand keys, each with one timer that is put off a hundred times") {
    const auto table = make_table();
    Queue queue(table.get());
    for (std::int64_t round = 0; round < 100; ++round)
      for (long key = 0; key < 1000; ++key) {
        if (round > 0) queue.remove(context_of(key), key, 1000 * (round - 1) + key);
        queue.add(context_of(key), key, 1000 * round + key);
      }
    THEN("the queue holds at most about as many removed timers as others") {
      CHECK(queue.size() == 1000);
      CHECK(table->entries() == 1000);
      CHECK(queue.held() <= 2 * queue.size() + 64);
    }
    THEN("each fires once, at its last time") {
      CHECK(take(queue, 98'999).empty());
      const Fired fired = take(queue, 200'000);
      REQUIRE(fired.size() == 1000);
      for (long key = 0; key < 1000; ++key)
        CHECK(fired[static_cast<std::size_t>(key)] ==
              std::pair<std::int64_t, long>(99'000 + key, key));
    }
  }
}

}  // namespace
}  // namespace weir::test
