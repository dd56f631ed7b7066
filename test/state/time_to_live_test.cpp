#include "state/time_to_live.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "state/frozen_table.hpp"
#include "state/keyed_state.hpp"
#include "test/state/map_backing.hpp"
#include "test/state/state_clock.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

const TableOptions options{{0, 4}, 4, 8};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, 4), word, {}};
}

SCENARIO("the time of states never goes back", "[state]") {
  GIVEN("a time that has been read") {
    StateClock clock;
    StateTime time(clock);
    const std::int64_t begin = clock.wall.count();
    CHECK(time.now_ms() == begin);
    THEN("it stands still until it is advanced, and can be looked at before") {
      clock.advance(5ms);
      CHECK(time.now_ms() == begin);
      CHECK(time.read_ms() == begin + 5);
      CHECK(time.now_ms() == begin);
      time.advance();
      CHECK(time.now_ms() == begin + 5);
    }
    WHEN("the wall clock jumps back by an hour") {
      clock.wall -= 1h;
      time.advance();
      THEN("time goes on at the pace of the monotonic clock") {
        CHECK(time.now_ms() == begin);
        for (int i = 0; i < 10; ++i) {
          clock.advance(7ms);
          time.advance();
        }
        CHECK(time.now_ms() == begin + 70);
        AND_THEN("an entry written now has not grown older when the wall clock is put right") {
          clock.wall += 1h;
          time.advance();
          CHECK(time.now_ms() == begin + 70);
        }
        AND_THEN("it follows the wall clock once that is ahead") {
          clock.wall += 2h;
          time.advance();
          CHECK(time.now_ms() == clock.wall.count());
        }
      }
    }
    WHEN("the wall clock jumps forward") {
      clock.wall += 1h;
      time.advance();
      THEN("it is believed") { CHECK(time.now_ms() == begin + 3'600'000); }
    }
  }
}

TEST_CASE("parts of a millisecond are not lost while the wall clock is behind", "[state]") {
  struct FineClock final : Clock {
    std::chrono::microseconds passed{0};
    std::chrono::milliseconds wall{1000};
    MonotonicTime now() const override { return MonotonicTime(passed); }
    WallTime wall_now() const override { return WallTime(wall); }
  } clock;
  StateTime time(clock);
  clock.wall = 0ms;
  for (int i = 0; i < 1000; ++i) {
    clock.passed += 250us;
    time.advance();
  }
  CHECK(time.now_ms() == 1250);
}

TEST_CASE("a time to live is above zero", "[state]") {
  CHECK(check_ttl({1ms}));
  for (const auto none : {0ms, -1ms}) {
    const Status checked = check_ttl({none});
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code == Errc::invalid_argument);
    CHECK(checked.error().what == "its time to live is " + std::to_string(none.count()) +
                                      " ms; give one above 0, or none for state that stays");
  }
}

SCENARIO("a value expires when its time to live has passed since the last write", "[state]") {
  GIVEN("a value with a time to live of a second") {
    StateClock clock;
    const auto time = std::make_shared<StateTime>(clock);
    const auto pass = [&](std::chrono::milliseconds by) {
      clock.advance(by);
      time->advance();
    };
    const auto update_type =
        GENERATE(TtlUpdateType::on_create_and_write, TtlUpdateType::on_read_and_write);
    const bool read_renews = update_type == TtlUpdateType::on_read_and_write;
    KeyContext key = key_of(1);
    auto [table, count] =
        make_state(ValueStateDescriptor<long>{"count", StateTtlConfig{1s, update_type}}, {},
                   options, &key, time);
    count.update(5);
    pass(999ms);
    WHEN("a read comes a millisecond before") {
      CHECK(*count.value() == 5);
      pass(1ms);
      THEN("it is there a millisecond later only if reading renews it") {
        CHECK(count.contains() == read_renews);
        CHECK(table->entries() == (read_renews ? 1 : 0));  // found expired, it was removed
        pass(999ms);
        CHECK(count.contains() == read_renews);
      }
    }
    WHEN("a write comes a millisecond before") {
      CHECK(++count.mutable_value() == 6);
      pass(999ms);
      THEN("it lives for another second") {
        CHECK(table->entries() == 1);
        CHECK(*count.value() == 6);
        pass(1000ms);
        CHECK(count.value() == nullptr);
      }
    }
    WHEN("a write comes at the end") {
      pass(1ms);
      CHECK(++count.mutable_value() == 1);
      THEN("it has begun anew") { CHECK(*count.value() == 1); }
    }
    WHEN("the wall clock has jumped back") {
      clock.wall -= 1h;
      pass(0ms);
      count.update(7);
      pass(500ms);
      clock.wall += 1h;
      pass(499ms);
      THEN("an entry written meanwhile lives as long as any") {
        CHECK(table->entries() == 1);
        CHECK(*count.value() == 7);
      }
    }
  }
}

TEST_CASE("a time to live of centuries does not overflow", "[state]") {
  StateClock clock;
  KeyContext key = key_of(1);
  auto [table, mean] = make_state(
      ReducingStateDescriptor<long>{
          "sum", [](long a, long b) { return a + b; },
          StateTtlConfig{std::chrono::milliseconds::max(), TtlUpdateType::on_read_and_write}},
      {}, options, &key, std::make_shared<StateTime>(clock));
  mean.add(1);
  clock.advance(24h * 365);
  mean.add(2);
  CHECK(*mean.get() == 3);
}

SCENARIO("a map in front of a database is walked as a whole", "[state]") {
  GIVEN("entries that only the database has, some that were changed and some that were removed") {
    MapBacking backing;
    KeyContext key;
    auto [table, map] =
        make_state(MapStateDescriptor<std::uint32_t, long>{"map"}, {}, options, &key);
    table->set_backing(&backing, true);
    for (const std::uint64_t n : {1, 2}) {
      key = key_of(n);
      for (std::uint32_t i = 0; i < 100; ++i) map.put(i, i);
    }
    backing.flush(*table);
    table->evict(0);
    REQUIRE(table->entries() == 0);
    key = key_of(1);
    map.put(3, 33);
    map.put(1000, 1);
    map.remove(4);
    map.remove(1001);
    const auto sum = [&] {
      long total = 0;
      map.for_each_value([&](long value) { total += value; });
      return total;
    };
    const auto size = [&] {
      std::size_t count = 0;
      map.for_each_key([&](std::uint32_t) { ++count; });
      return count;
    };
    THEN("each entry is visited once, as it is now, before and after the database knows") {
      CHECK(size() == 100);
      CHECK(sum() == 4950 - 3 + 33 - 4 + 1);
      CHECK(table->entries() == 2);  // walking keeps nothing in memory
      backing.flush(*table);
      table->evict(0);
      CHECK(size() == 100);
      CHECK(sum() == 4950 - 3 + 33 - 4 + 1);
    }
    THEN("finding out that it is not empty reads one entry") {
      key = key_of(2);
      backing.scanned = 0;
      CHECK_FALSE(map.is_empty());
      CHECK(backing.scanned == 1);
    }
    WHEN("it is cleared") {
      map.clear();
      THEN("nothing of it is left, at once and in the database, and the other key's map is there") {
        CHECK(map.is_empty());
        CHECK(map.get(5) == nullptr);
        map.put(6, 7);
        CHECK(size() == 1);
        backing.flush(*table);
        CHECK(backing.entries.size() == 101);
        key = key_of(2);
        CHECK(size() == 100);
      }
    }
    WHEN("the database cannot be read") {
      backing.failure = Error{Errc::io_error, "/db: gone"};
      THEN("the walk says so") {
        CHECK_THROWS_WITH(sum(), "/db: gone");
        CHECK_THROWS_AS(map.clear(), StateAccessFailed);
      }
    }
    WHEN("the database is damaged") {
      THEN("a value or a map key that does not decode is reported") {
        for (auto& [entry_key, value] : backing.entries) value = "?";
        CHECK_THROWS_AS(sum(), StateAccessFailed);
        std::string cut;
        append_entry_key({key.group, encode_value(std::uint64_t{1}), {}, "k"}, 8, cut);
        backing.entries = {{cut, encode_value(1L)}};
        CHECK_THROWS_WITH(size(), Catch::Contains("map key"));
      }
    }
  }
}

SCENARIO("a map of which a part has left the memory is walked as a whole", "[state]") {
  GIVEN("a map of ten thousand entries, about half of which only the database has") {
    MapBacking backing;
    KeyContext key = key_of(1);
    auto [table, map] =
        make_state(MapStateDescriptor<std::uint32_t, long>{"map"}, {}, options, &key);
    table->set_backing(&backing, true);
    constexpr std::uint32_t entries = 10'000;
    for (std::uint32_t i = 0; i < entries; ++i) map.put(i, i);
    backing.flush(*table);
    table->evict(table->memory_bytes() / 2);
    REQUIRE(table->entries() > entries / 10);
    REQUIRE(table->entries() < entries * 9 / 10);
    long value_of_7 = 7;
    const auto keys = [&] {
      std::multiset<std::uint32_t> found;
      map.for_each([&](std::uint32_t i, long value) {
        found.insert(i);
        CHECK(value == (i == 7 ? value_of_7 : i));
      });
      return found;
    };
    THEN("each entry is visited once") {
      const auto found = keys();
      CHECK(found.size() == entries);
      CHECK(std::set(found.begin(), found.end()).size() == entries);
    }
    WHEN("entries are changed and removed, and a snapshot of that is under way") {
      map.put(7, value_of_7 = 70);
      for (std::uint32_t i = 100; i < 200; ++i) map.remove(i);
      auto frozen = table->freeze();
      THEN("a walk shows it before the database knows, and when it does") {
        CHECK(keys().size() == entries - 100);
        backing.take(*frozen);
        CHECK(keys().size() == entries - 100);
        table->confirm(frozen->epoch());
        table->evict(0);
        CHECK(table->entries() == 0);
        CHECK(keys().size() == entries - 100);
      }
      THEN("what is cleared meanwhile is gone, and stays so when the snapshot is in the database") {
        map.clear();
        CHECK(map.is_empty());
        backing.take(*frozen);
        CHECK(backing.entries.size() == entries - 100);
        table->confirm(frozen->epoch());
        CHECK(map.is_empty());
        map.put(5, 5);
        CHECK(keys() == std::multiset<std::uint32_t>{5});
        backing.flush(*table);
        CHECK(backing.entries.size() == 1);
      }
    }
  }
}

SCENARIO("expired entries in memory are removed from there and from the database", "[state]") {
  GIVEN("many entries that memory and the database have") {
    StateClock clock;
    const auto time = std::make_shared<StateTime>(clock);
    MapBacking backing;
    KeyContext key;
    auto [table, list] =
        make_state(ListStateDescriptor<long>{"list", StateTtlConfig{1s}}, {}, options, &key, time);
    table->set_backing(&backing, true);
    const auto entry_key = [&] {
      std::string bytes;
      append_entry_key({key.group, encode_value(key.word), {}, {}}, 8, bytes);
      return bytes;
    };
    for (std::uint64_t n = 0; n < 5000; ++n) {
      key = key_of(n);
      list.add(1);
    }
    clock.advance(500ms);
    time->advance();
    for (std::uint64_t n = 0; n < 1000; ++n) {
      key = key_of(n);
      list.add(2);
    }
    backing.flush(*table);
    REQUIRE(backing.entries.size() == 5000);
    const auto clean = [&](int times) {
      for (int i = 0; i < times; ++i) REQUIRE(table->clean_up());
      backing.flush(*table);
    };
    WHEN("nothing has expired") {
      clean(500);
      THEN("nothing is removed") {
        CHECK(table->entries() == 5000);
        CHECK(backing.entries.size() == 5000);
      }
    }
    WHEN("some have expired") {
      clock.advance(500ms);
      time->advance();
      key = key_of(4999);
      list.add(3);  // its old element is still in the database
      THEN("the work of one call is bounded, and many calls do all of it") {
        clean(16);
        CHECK(backing.entries.size() > 3900);
        clean(500);
        CHECK(table->entries() == 1001);
        CHECK(backing.entries.size() == 1001);
        key = key_of(7);
        CHECK(list.get() == std::vector<long>{2});
        CHECK(backing.entries.at(entry_key()) ==
              encode_value(Timed<long>{clock.wall.count() - 500, 2}));
        key = key_of(4999);
        CHECK(list.get() == std::vector<long>{3});
        CHECK(backing.entries.at(entry_key()) == encode_value(Timed<long>{clock.wall.count(), 3}));
      }
    }
    WHEN("some have expired that only the database has") {
      table->evict(0);
      REQUIRE(table->entries() == 0);
      clock.advance(500ms);
      time->advance();
      clean(500);
      THEN("they are left to it, and none is returned") {
        CHECK(backing.entries.size() == 5000);
        CHECK(backing.scanned == 0);
        key = key_of(4999);
        CHECK(list.empty());
        key = key_of(7);
        CHECK(list.get() == std::vector<long>{2});
      }
    }
  }
}

TEST_CASE("a snapshot keeps of encoded values what has not expired", "[state]") {
  std::string buffer;
  const auto kept = [&](const LiveFilter& filter, const std::string& bytes) {
    std::string_view value = bytes;
    return filter.keep(value, buffer) ? std::optional<std::string>(value) : std::nullopt;
  };
  const auto timed = [](std::int64_t at, const std::string& value) {
    return encode_value(Timed<std::string>{at, value});
  };
  CHECK(kept({}, "anything") == "anything");

  const LiveFilter values(table::timed_layout<Timed<std::string>>, 100);
  CHECK(kept(values, timed(101, "young")) == timed(101, "young"));
  CHECK(kept(values, timed(100, "old")) == std::nullopt);
  // Partial values that are yet to be folded live as long as the youngest of them.
  CHECK(kept(values, timed(100, "a") + timed(99, "b")) == std::nullopt);
  CHECK(kept(values, timed(100, "a") + timed(101, "b")) == timed(100, "a") + timed(101, "b"));

  const LiveFilter lists(table::timed_layout<ListValue<Timed<std::string>>>, 100);
  CHECK(kept(lists, timed(101, "a") + timed(102, "b")) == timed(101, "a") + timed(102, "b"));
  CHECK(kept(lists, timed(1, "a") + timed(102, "b") + timed(2, "c")) == timed(102, "b"));
  CHECK(kept(lists, timed(1, "a") + timed(100, "b")) == std::nullopt);

  // Whoever reads damaged bytes complains; the filter does not hide them.
  for (const LiveFilter& filter : {values, lists})
    for (const std::string& damaged : {std::string("?"), timed(1, "cut off").substr(0, 14),
                                       timed(1, "a") + timed(1, "b").substr(0, 9)})
      CHECK(kept(filter, damaged) == damaged);
}

}  // namespace
}  // namespace weir::test
