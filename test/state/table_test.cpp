#include "state/table.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/frozen_table.hpp"
#include "state/keyed_state.hpp"
#include "test/state/map_backing.hpp"
#include "test/state/memory_payload.hpp"

namespace weir {
namespace {

using test::BytesSink;
using test::BytesSource;
using test::write_all;

constexpr KeyGroupRange all_groups{0, 4};
const TableOptions compact_keys{all_groups, 4, 8};
const TableOptions string_keys{all_groups, 4, 0};

/// Of a state with values, or elements, of type `T`.
template <class T>
StateDeclaration declaration(StateKind kind = StateKind::value) {
  return {"s", kind, {}, schema_of<T>()};
}

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, 4), word, {}};
}

/// A string key; holds the bytes that its context views.
struct StringKey {
  explicit StringKey(const std::string& key) {
    ByteWriter writer(bytes);
    encode_key(key, writer);
    context.hash = hash_bytes(bytes);
    context.group = key_group_of(context.hash, 4);
    context.bytes = bytes;
  }
  std::string bytes;
  KeyContext context;
};

/// The entries that `frozen` writes: keys of its table to encoded values.
std::map<std::string, std::string> contents(const FrozenTable& frozen, std::size_t key_width) {
  BytesSink sink;
  const auto handle = write_all(frozen, sink);
  REQUIRE(handle);
  BytesSource source(sink.bytes);
  std::map<std::string, std::string> entries;
  for (const KeyGroupExtent& extent : handle->groups) {
    CHECK(extent.entries == frozen.entries(extent.group));
    REQUIRE(read_extent(source, extent, key_width, [&](auto bytes, auto value) -> Status {
      EntryKey key;
      REQUIRE(read_entry_key(bytes, key_width, key));
      entries[std::string(key.key)] = value;
      return {};
    }));
  }
  return entries;
}

std::map<std::string, std::string> counted(std::uint64_t keys, std::uint64_t value) {
  std::map<std::string, std::string> entries;
  for (std::uint64_t i = 0; i < keys; ++i) entries[encode_value(i)] = encode_value(value);
  return entries;
}

TEST_CASE("a table finds what was put in, at any size", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
  table.prefetch(hash_key(std::uint64_t{3}), 2);  // of an empty group
  CHECK(table.find(key_of(0)) == nullptr);
  CHECK_FALSE(table.erase(key_of(7)));
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    REQUIRE(table.find(key_of(i)) == nullptr);
    table.find_or_insert(key_of(i)) = i * 3;
    table.prefetch(key_of(i).hash, key_of(i).group);
  }
  CHECK(table.entries() == 20'000);
  for (std::uint64_t i = 0; i < 20'000; i += 2) REQUIRE(table.erase(key_of(i)));
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const std::uint64_t* value = table.find(key_of(i));
    REQUIRE((value != nullptr) == (i % 2 == 1));
    if (value != nullptr) REQUIRE(*value == i * 3);
  }
  CHECK(table.entries() == 10'000);
  CHECK(table.counters() == TableCounters{});
}

TEST_CASE("the compact key whose word is 0 is a key like any other", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
  CHECK(table.find_for_write(key_of(0)) == nullptr);
  table.find_or_insert(key_of(0)) = 5;
  const auto frozen = table.freeze();
  table.find_or_insert(key_of(0)) = 6;
  CHECK(*table.find(key_of(0)) == 6);
  CHECK(contents(*frozen, 8) == counted(1, 5));
  CHECK(table.erase(key_of(0)));
  CHECK_FALSE(table.erase(key_of(0)));
  CHECK(table.entries() == 0);
  CHECK(contents(*frozen, 8) == counted(1, 5));
}

SCENARIO("a snapshot copies nothing; a first write after it copies one segment", "[state]") {
  GIVEN("a table of 10,000 values that lie in their slots") {
    Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
    for (std::uint64_t i = 0; i < 10'000; ++i) table.find_or_insert(key_of(i)) = 1;
    WHEN("it is frozen") {
      auto frozen = table.freeze();
      THEN("only group headers were copied") {
        CHECK(table.counters() == TableCounters{.groups_frozen = 4});
      }
      THEN("the first write copies the list of segments and one segment, the second nothing") {
        ++table.find_or_insert(key_of(1));
        CHECK(table.counters() ==
              TableCounters{.groups_frozen = 4, .directories_copied = 1, .segments_copied = 1});
        ++table.find_or_insert(key_of(1));
        CHECK(table.counters().segments_copied == 1);
        CHECK(contents(*frozen, 8) == counted(10'000, 1));
      }
      THEN("reading copies nothing") {
        CHECK(*table.find(key_of(1)) == 1);
        CHECK(table.counters().segments_copied == 0);
      }
      THEN("nothing is copied once the snapshot has ended") {
        frozen.reset();
        table.reclaim();
        for (std::uint64_t i = 0; i < 10'000; ++i) ++table.find_or_insert(key_of(i));
        CHECK(table.counters() == TableCounters{.groups_frozen = 4});
      }
      THEN("it still holds all after every key was removed and others were added") {
        for (std::uint64_t i = 0; i < 10'000; ++i) REQUIRE(table.erase(key_of(i)));
        for (std::uint64_t i = 10'000; i < 90'000; ++i) table.find_or_insert(key_of(i)) = 2;
        CHECK(contents(*frozen, 8) == counted(10'000, 1));
      }
    }
  }
  GIVEN("a table whose values live in nodes") {
    Table<std::string> table(declaration<std::string>(), compact_keys);
    for (std::uint64_t i = 0; i < 1000; ++i) table.find_or_insert(key_of(i)) = "before";
    const auto frozen = table.freeze();
    WHEN("one value is changed twice") {
      table.find_or_insert(key_of(5)) += "1";
      table.find_or_insert(key_of(5)) += "2";
      THEN("it alone was copied, once") {
        CHECK(table.counters().nodes_copied == 1);
        CHECK(*table.find(key_of(5)) == "before12");
        CHECK(contents(*frozen, 8)[encode_value(std::uint64_t{5})] ==
              encode_value(std::string("before")));
      }
    }
  }
}

TEST_CASE("what only an ended snapshot saw is used again", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
  for (std::uint64_t i = 0; i < 50'000; ++i) table.find_or_insert(key_of(i)) = 1;
  const std::size_t bytes = table.memory_bytes();
  for (int round = 0; round < 5; ++round) {
    auto older = table.freeze();
    for (std::uint64_t i = 0; i < 50'000; i += 2) ++table.find_or_insert(key_of(i));
    auto newer = table.freeze();
    for (std::uint64_t i = 0; i < 50'000; ++i) ++table.find_or_insert(key_of(i));
    CHECK(table.memory_bytes() > 2 * bytes);
    // The older snapshot inherits what both saw.
    if (round % 2 == 0)
      newer.reset();
    else
      older.reset();
    table.reclaim();
    CHECK(table.memory_bytes() > bytes);
    older.reset();
    newer.reset();
    table.reclaim();
    CHECK(table.memory_bytes() == bytes);
  }
}

TEST_CASE("a frozen table outlives its table and is read on another thread", "[state]") {
  auto table = std::make_unique<Table<std::string>>(declaration<std::string>(), string_keys);
  for (int i = 0; i < 3000; ++i)
    table->find_or_insert(StringKey(std::to_string(i)).context) = "value of " + std::to_string(i);
  auto frozen = table->freeze();
  std::map<std::string, std::string> read;
  std::thread reader([&, held = std::move(frozen)] { read = contents(*held, 0); });
  for (int i = 0; i < 3000; ++i) {
    table->find_or_insert(StringKey(std::to_string(i)).context) += " changed";
    if (i % 3 == 0) table->erase(StringKey(std::to_string(i)).context);
    if (i % 100 == 0) table->reclaim();
  }
  table.reset();
  reader.join();
  REQUIRE(read.size() == 3000);
  for (int i = 0; i < 3000; ++i)
    REQUIRE(read[StringKey(std::to_string(i)).bytes] ==
            encode_value("value of " + std::to_string(i)));
}

TEST_CASE("long lists freeze, grow and are destroyed without recursion", "[state]") {
  Table<ListValue<std::uint64_t>> table(declaration<std::uint64_t>(StateKind::list), compact_keys);
  ListValue<std::uint64_t>& list = table.find_or_insert(key_of(1));
  for (std::uint64_t i = 0; i < 2'000'000; ++i) list.push_back(i);
  auto frozen = table.freeze();
  for (std::uint64_t i = 0; i < 1000; ++i) table.find_or_insert(key_of(1)).push_back(7);
  CHECK(table.find(key_of(1))->size() == 2'001'000);
  CHECK(contents(*frozen, 8)[encode_value(std::uint64_t{1})].size() == 16'000'000);
  frozen.reset();
  table.reclaim();
  std::uint64_t expected = 0;
  table.find(key_of(1))->for_each([&](std::uint64_t element) {
    if (expected < 2'000'000) REQUIRE(element == expected);
    ++expected;
  });
  CHECK(expected == 2'001'000);
  CHECK(table.memory_bytes() > 16'000'000);
  CHECK(table.erase(key_of(1)));
}

TEST_CASE("entries written by a frozen table are in order and restore", "[state]") {
  Table<std::string> table(declaration<std::string>(), string_keys);
  for (int i = 0; i < 500; ++i)
    table.find_or_insert(StringKey(std::string(static_cast<std::size_t>(i), 'a')).context) = "x";
  BytesSink sink;
  const auto handle = write_all(*table.freeze(), sink);
  REQUIRE(handle);
  BytesSource source(sink.bytes);
  Table<std::string> restored(declaration<std::string>(), string_keys);
  for (const KeyGroupExtent& extent : handle->groups) {
    restored.reserve(extent.group, extent.entries);
    REQUIRE(read_extent(source, extent, 0,
                        [&](auto key, auto value) { return restored.insert(key, value); }));
  }
  CHECK(restored.entries() == 500);
  BytesSink again;
  REQUIRE(write_all(*restored.freeze(), again));
  CHECK(again.bytes == sink.bytes);
}

/// The `i`-th of many values.
template <class V>
V numbered(std::uint32_t i) {
  if constexpr (std::is_arithmetic_v<V>)
    return static_cast<V>(~i);
  else if constexpr (std::is_same_v<V, std::string>)
    return std::to_string(i);
  else
    return {i, 1U, ~i};
}

// Values that are kept beside their keys while these are sorted, that stay where they are, and that lie in nodes.
TEMPLATE_TEST_CASE("entries are in order however their keys are spread", "[state]", std::uint64_t,
                   std::uint16_t, (std::array<std::uint32_t, 3>), std::string) {
  // `contents` refuses entries that do not ascend. Each group has more than are sorted by comparing alone.
  const auto spread = GENERATE(as<std::string>(), "dense", "random", "two clusters", "few bytes");
  CAPTURE(spread);
  std::mt19937_64 random(7);
  std::map<std::string, std::string> expected;
  Table<TestType> table(declaration<TestType>(), compact_keys);
  for (std::uint64_t i = 0; i < 40'000; ++i) {
    std::uint64_t key = i;
    if (spread == "random") key = random();
    if (spread == "two clusters" && i % 2 == 1) key = ~i;
    if (spread == "few bytes") key = (i % 251) << 56 | i / 251;
    const auto value = numbered<TestType>(static_cast<std::uint32_t>(i));
    table.find_or_insert(key_of(key)) = value;
    expected[encode_value(key)] = encode_value(value);
  }
  CHECK(contents(*table.freeze(), 8) == expected);
}

TEST_CASE("segments of groups that a snapshot is done with are written where they are", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
  const auto write_all = [&](std::uint64_t value) {
    for (std::uint64_t key = 1; key <= 4000; ++key) table.find_or_insert(key_of(key)) = value;
  };
  const auto written = [](const FrozenTable& frozen, std::uint32_t group) {
    BytesSink sink;
    REQUIRE(frozen.write_group(group, sink));
    return sink.bytes;
  };
  const auto copied = [&] { return table.counters().segments_copied; };
  write_all(1);
  const auto reference = table.freeze();
  const std::string last = written(*reference, 3);

  WHEN("one snapshot is done with the first two of four groups") {
    const auto frozen = table.freeze();
    for (const std::uint32_t group : {0U, 1U}) {
      reference->finish_group(group);
      frozen->finish_group(group);
    }
    const std::uint64_t before = copied();
    write_all(2);
    THEN("the others are copied, and stay what they were") {
      const std::uint64_t first_time = copied() - before;
      CHECK(first_time > 0);
      CHECK(written(*frozen, 3) == last);
      const auto none_done = table.freeze();
      write_all(3);
      CHECK(copied() - before - first_time > first_time * 3 / 2);
      CHECK(written(*none_done, 3) != last);
      CHECK(written(*frozen, 3) == last);
    }
  }
  WHEN("the newer of two snapshots is done with a group that the older one is still to read") {
    const auto newer = table.freeze();
    newer->finish_group(3);
    const std::uint64_t before = copied();
    write_all(2);
    THEN("it is copied") {
      CHECK(copied() > before);
      CHECK(written(*reference, 3) == last);
    }
  }
  WHEN("all snapshots are done") {
    reference->finish_group(3);
    const std::uint64_t before = copied();
    write_all(2);
    THEN("nothing is copied") { CHECK(copied() == before); }
  }
}

TEST_CASE("a table grows and changes while another thread writes its snapshots", "[state]") {
  // Each entry counts how often it was asked for, so every snapshot holds as many as were asked for before it.
  Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
  std::mt19937_64 random(1);
  std::atomic<bool> is_writing = false;
  std::thread writer;
  std::uint64_t counted_so_far = 0;
  std::uint64_t most_keys = 1000;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> sums;  // expected, found
  while (sums.size() < 40) {
    for (int i = 0; i < 5000; ++i) {
      ++table.find_or_insert(key_of(1 + random() % most_keys));
      ++counted_so_far;
    }
    most_keys += 2000;
    table.reclaim();
    if (is_writing) continue;
    if (writer.joinable()) writer.join();
    is_writing = true;
    writer = std::thread([&found = sums.emplace_back(counted_so_far, 0).second, &is_writing,
                          frozen = std::shared_ptr(table.freeze())]() mutable {
      BytesSink sink;
      const auto handle = frozen->write(sink);
      frozen.reset();
      BytesSource source(sink.bytes);
      for (const KeyGroupExtent& extent : handle->groups)
        (void)read_extent(source, extent, 8, [&](auto, auto value) -> Status {
          found += ByteReader(value).number<std::uint64_t>();
          return {};
        });
      is_writing = false;
    });
  }
  writer.join();
  for (const auto& [expected, found] : sums) CHECK(found == expected);
}

TEST_CASE("restored entries that do not fit are refused", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), {{1, 3}, 4, 8});
  const auto entry = [](std::uint32_t group, std::uint64_t key) {
    std::string bytes;
    append_entry_key({group, encode_value(key), {}, {}}, 8, bytes);
    return bytes;
  };
  CHECK(table.insert(entry(1, 5), encode_value(std::uint64_t{9})));
  CHECK(table.insert(entry(1, 5), encode_value(std::uint64_t{9})).error().code == Errc::corruption);
  CHECK(table.insert(entry(0, 6), encode_value(std::uint64_t{9})).error().code == Errc::corruption);
  CHECK(table.insert(entry(3, 6), encode_value(std::uint64_t{9})).error().code == Errc::corruption);
  CHECK(table.insert(entry(1, 6), "short").error().code == Errc::corruption);
  CHECK(table.insert(entry(1, 7), "more than enough").error().code == Errc::corruption);
  CHECK(table.insert("x", "y").error().code == Errc::corruption);
  CHECK(table.insert(entry(1, 8) + "map key", encode_value(std::uint64_t{9})).error().code ==
        Errc::corruption);
}

TEST_CASE("partial values of a reducing state are folded in order when read", "[state]") {
  Table<std::string> table(declaration<std::string>(StateKind::reducing), compact_keys,
                           {[](const std::string& a, const std::string& b) {
                             if (b == "bad") throw std::runtime_error("cannot fold");
                             return a + b;
                           }});
  std::string entry;
  append_entry_key({1, encode_value(std::uint64_t{1}), {}, {}}, 8, entry);
  const auto bytes = [](const char* text) { return encode_value(std::string(text)); };
  SECTION("several") {
    REQUIRE(table.insert(entry, bytes("a") + bytes("b") + bytes("c")));
    const auto frozen = table.freeze();
    CHECK(contents(*frozen, 8)[encode_value(std::uint64_t{1})] == bytes("abc"));
  }
  SECTION("none is damage") { CHECK(table.insert(entry, "").error().code == Errc::corruption); }
  SECTION("a function that throws is reported") {
    const auto inserted = table.insert(entry, bytes("a") + bytes("bad"));
    REQUIRE_FALSE(inserted);
    CHECK(inserted.error().code == Errc::user_function_failed);
    CHECK_THAT(inserted.error().what, Catch::Contains("cannot fold"));
  }
}

/// The context of the entry that has `map_key` under the key `key`; holds the bytes that it views.
struct MapKey {
  MapKey(std::uint64_t key, const std::string& map_key) {
    const std::string encoded = encode_value(key);
    append_entry_key({key_of(key).group, encoded, {}, map_key}, 8, bytes);
    context.group = key_of(key).group;
    context.bytes = std::string_view(bytes).substr(2);
    context.hash = hash_bytes(context.bytes);
  }
  std::string bytes;
  KeyContext context;
};

std::map<std::string, int> entries_of(const Table<int>& table, std::uint64_t key) {
  std::map<std::string, int> entries;
  table.for_each_of_key(encode_value(key), [&](std::string_view bytes, int value) {
    CHECK(entries.emplace(bytes.substr(9), value).second);
  });
  return entries;
}

SCENARIO("the entries of one key of a composite table are walked", "[state]") {
  GIVEN("a table with three keys of ten entries each, frozen") {
    Table<int> table(declaration<int>(), {all_groups, 4, 8, true});
    for (const std::uint64_t key : {0, 1, 2})
      for (int i = 0; i < 10; ++i) {
        const MapKey entry(key, std::to_string(i));
        table.find_or_insert(entry.context) = i;
      }
    const auto frozen = table.freeze();
    WHEN("some are changed, removed and added") {
      for (int i = 0; i < 10; i += 3)
        table.find_or_insert(MapKey(1, std::to_string(i)).context) = 7;
      for (const char* gone : {"9", "8", "0"}) REQUIRE(table.erase(MapKey(1, gone).context));
      table.find_or_insert(MapKey(1, "new").context) = 11;
      THEN("the walk sees them, and the other keys are as they were") {
        CHECK(
            entries_of(table, 1) ==
            std::map<std::string, int>{
                {"1", 1}, {"2", 2}, {"3", 7}, {"4", 4}, {"5", 5}, {"6", 7}, {"7", 7}, {"new", 11}});
        CHECK(entries_of(table, 0).size() == 10);
        CHECK(entries_of(table, 3).empty());
      }
      THEN("the frozen table has what there was, in the order of the entry keys") {
        BytesSink sink;
        const auto handle = write_all(*frozen, sink);
        REQUIRE(handle);
        BytesSource source(sink.bytes);
        Table<int> restored(declaration<int>(), {all_groups, 4, 8, true});
        for (const KeyGroupExtent& extent : handle->groups)
          REQUIRE(read_extent(source, extent, 8,
                              [&](auto key, auto value) { return restored.insert(key, value); }));
        CHECK(restored.entries() == 30);
        CHECK(entries_of(restored, 1).at("9") == 9);
        std::vector<std::string> keys;
        for (const std::uint32_t group : {0, 1, 2, 3}) restored.append_keys(group, keys);
        std::ranges::sort(keys);
        CHECK(keys == std::vector<std::string>{encode_value(std::uint64_t{0}),
                                               encode_value(std::uint64_t{1}),
                                               encode_value(std::uint64_t{2})});
      }
    }
    WHEN("all entries of a key are removed") {
      for (int i = 0; i < 10; ++i) REQUIRE(table.erase(MapKey(2, std::to_string(i)).context));
      THEN("nothing is left to walk") {
        CHECK(entries_of(table, 2).empty());
        CHECK(table.entries() == 20);
      }
    }
  }
}

TEST_CASE("keys that were made to have the same hash fail the access, not the process", "[state]") {
  Table<std::uint64_t> table(declaration<std::uint64_t>(), string_keys);
  const auto insert_all = [&] {
    for (std::uint64_t i = 1; i < 1000; ++i)
      table.find_or_insert({std::uint64_t{7} << 32, 0, 0, std::to_string(i)}) = i;
  };
  CHECK_THROWS_WITH(insert_all(), Catch::Contains("same hash"));
}

using test::MapBacking;

/// Keys that `frozen` brings, and those that it removes.
std::pair<std::size_t, std::size_t> changes_of(const FrozenTable& frozen) {
  std::pair<std::size_t, std::size_t> changes;
  for (std::uint32_t group = 0; group < 4; ++group)
    REQUIRE(frozen.for_each_changed(group, [&](auto, auto value, auto) -> Status {
      ++(value ? changes.first : changes.second);
      return {};
    }));
  return changes;
}

std::string entry_key_of(std::uint64_t key) {
  std::string bytes;
  append_entry_key({key_of(key).group, encode_value(key), {}, {}}, 8, bytes);
  return bytes;
}

SCENARIO("a table in front of a database is its memtable and cache", "[state]") {
  GIVEN("an empty database and a thousand keys, each written twice") {
    MapBacking backing;
    Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
    table.set_backing(&backing, true);
    for (std::uint64_t i = 0; i < 2000; ++i) table.find_or_insert(key_of(i % 1000)) += i % 1000;
    THEN("the database is not asked, and gets each key once") {
      CHECK(table.find(key_of(5000)) == nullptr);
      CHECK(backing.loads == 0);
      backing.flush(table);
      CHECK(backing.entries.size() == 1000);
      CHECK(table.counters().entries_encoded == 1000);
      backing.flush(table);
      CHECK(table.counters().entries_encoded == 1000);
    }
    THEN("changes stay in memory, whatever the budget") {
      table.evict(0);
      CHECK(table.entries() == 1000);
    }
    WHEN("it is frozen and the snapshot is in the database") {
      const auto frozen = table.freeze();
      CHECK(changes_of(*frozen) == std::pair<std::size_t, std::size_t>{1000, 0});
      backing.take(*frozen);
      THEN("what was not confirmed is a change of the next snapshot too") {
        CHECK(changes_of(*table.freeze()).first == 1000);
      }
      THEN("a few writes after it are few changes") {
        table.confirm(frozen->epoch());
        for (std::uint64_t i = 1; i <= 10; ++i) ++table.find_or_insert(key_of(i));
        REQUIRE(table.erase(key_of(500)));
        const auto next = changes_of(*table.freeze());
        CHECK(next.first >= 10);
        CHECK(next.first <= 100);  // granules are written whole
        CHECK(next.second == 1);
      }
    }
    WHEN("all is flushed and evicted") {
      backing.flush(table);
      const std::size_t full = table.memory_bytes();
      table.evict(0);
      CHECK(table.entries() <= 1);  // the key 0 has a place of its own
      CHECK(table.memory_bytes() < full / 5);
      CHECK(table.counters().segments_evicted > 0);
      THEN("values come back from the database, once") {
        for (std::uint64_t i = 1; i < 1000; ++i) REQUIRE(*table.find(key_of(i)) == 2 * i);
        for (std::uint64_t i = 1; i < 1000; ++i)
          REQUIRE(table.find_for_write(key_of(i)) != nullptr);
        CHECK(backing.loads == 999);
        CHECK(table.counters().entries_loaded == 999);
        CHECK(table.find(key_of(5000)) == nullptr);
        CHECK(backing.loads == 1000);
      }
      THEN("what was only read is no change") {
        for (std::uint64_t i = 1; i < 1000; ++i) REQUIRE(table.find(key_of(i)) != nullptr);
        CHECK(changes_of(*table.freeze()).first == 0);
        table.evict(0);
        CHECK(table.entries() <= 1);
      }
      THEN("several keys are loaded together") {
        for (std::uint64_t i = 1; i < 300; ++i) table.look_ahead(key_of(i));
        for (std::uint64_t i = 1; i < 300; ++i) table.look_ahead(key_of(i));
        table.look_ahead(key_of(5000));
        table.load_ahead();
        table.load_ahead();
        CHECK(backing.loads == 1);
        CHECK(table.find(key_of(5000)) == nullptr);
        CHECK(backing.loads == 1);  // it is known not to be there
        for (std::uint64_t i = 1; i < 300; ++i) REQUIRE(*table.find(key_of(i)) == 2 * i);
        CHECK(backing.loads == 1);
        CHECK(changes_of(*table.freeze()).first == 0);
        ++table.find_or_insert(key_of(7));
        CHECK(changes_of(*table.freeze()).first >= 1);
      }
      THEN("keys are wanted while many are missing, and it is measured again") {
        CHECK_FALSE(table.wants_keys(100));
        for (std::uint64_t i = 1; i < 30; ++i) REQUIRE(table.find(key_of(i)) != nullptr);
        int wanted = 0;
        for (int slice = 0; slice < 100; ++slice) wanted += table.wants_keys(100) ? 1 : 0;
        CHECK(wanted == 64);
        REQUIRE(table.find(key_of(30)) != nullptr);
        CHECK_FALSE(table.wants_keys(100));
      }
      THEN("a key that was removed stays removed at each stage") {
        REQUIRE(table.erase(key_of(3)));
        const auto check_removed = [&] {
          const int loads = backing.loads;
          CHECK(table.find(key_of(3)) == nullptr);
          CHECK(table.find_for_write(key_of(3)) == nullptr);
          CHECK_FALSE(table.erase(key_of(3)));
          table.look_ahead(key_of(3));
          table.load_ahead();
          CHECK(backing.loads == loads);
        };
        check_removed();
        table.evict(0);
        check_removed();
        auto discarded = table.freeze();
        CHECK(changes_of(*discarded).second == 1);
        check_removed();
        discarded.reset();
        const auto frozen = table.freeze();
        CHECK(changes_of(*frozen).second == 1);
        check_removed();
        backing.take(*frozen);
        CHECK_FALSE(backing.entries.contains(entry_key_of(3)));
        check_removed();
        table.confirm(frozen->epoch());
        table.evict(0);
        CHECK(table.find(key_of(3)) == nullptr);
        CHECK(changes_of(*table.freeze()).second == 0);
        ++table.find_or_insert(key_of(3));
        REQUIRE(table.erase(key_of(3)));
        ++table.find_or_insert(key_of(3));
        const auto again = table.freeze();
        CHECK(changes_of(*again) == std::pair<std::size_t, std::size_t>{1, 0});
        REQUIRE(table.erase(key_of(3)));
        backing.flush(table);
        CHECK_FALSE(backing.entries.contains(entry_key_of(3)));
        table.evict(0);
        CHECK(table.find(key_of(3)) == nullptr);
      }
      THEN("a database that cannot be read is reported through the user's code") {
        backing.failure = Error{Errc::io_error, "/db: gone"};
        CHECK_THROWS_AS(table.find(key_of(1)), StateAccessFailed);
        CHECK_THROWS_WITH(table.find_or_insert(key_of(1)), "/db: gone");
        table.look_ahead(key_of(1));
        CHECK_THROWS_WITH(table.load_ahead(), "/db: gone");
        backing.failure.reset();
        CHECK(*table.find(key_of(1)) == 2);
      }
      THEN("an entry that does not decode is reported and not kept") {
        backing.entries[entry_key_of(1)] = "?";
        CHECK_THROWS_AS(table.find(key_of(1)), StateAccessFailed);
        table.look_ahead(key_of(1));
        CHECK_THROWS_AS(table.load_ahead(), StateAccessFailed);
        CHECK_THROWS_AS(table.find_or_insert(key_of(1)), StateAccessFailed);
      }
    }
    WHEN("a flush fails") {
      const auto fail = [](auto, auto, auto) -> Status { return error(Errc::io_error, "full"); };
      CHECK(table.flush_group(1, fail).error().what == "full");
      THEN("the changes are still there") {
        backing.flush(table);
        CHECK(backing.entries.size() == 1000);
      }
    }
  }
  GIVEN("a database with more than fits into memory, all of it read") {
    MapBacking backing;
    for (std::uint64_t i = 1; i <= 50'000; ++i) backing.entries[entry_key_of(i)] = encode_value(i);
    Table<std::uint64_t> table(declaration<std::uint64_t>(), compact_keys);
    table.set_backing(&backing, false);
    constexpr std::size_t budget = 200'000;
    for (std::uint64_t i = 1; i <= 50'000; ++i) {
      REQUIRE(*table.find(key_of(i)) == i);
      if (table.estimated_bytes() > budget) table.evict(budget * 7 / 8);
    }
    THEN("the memory is bounded and mostly used by entries") {
      CHECK(table.memory_bytes() <= budget);
      CHECK(table.entries() * 16 > budget / 4);
    }
    THEN("what was written lately stays longer than what was not") {
      // A group that is written again and again is not evicted, though it could be.
      std::vector<std::uint64_t> hot;
      for (std::uint64_t i = 1; hot.size() < 50; ++i)
        if (key_of(i).group == 2) hot.push_back(i);
      int loads = 0;
      for (std::uint64_t i = 1; i <= 50'000; ++i) {
        const int before = backing.loads;
        if (i % 20 == 0)
          for (const std::uint64_t key : hot) ++table.find_or_insert(key_of(key));
        loads += backing.loads - before;
        REQUIRE(table.find(key_of(i)) != nullptr);
        if (table.estimated_bytes() > budget) {
          table.evict(budget * 7 / 8);
          if (table.estimated_bytes() > budget) backing.flush(table);
        }
      }
      CHECK(loads < 50 * 30);
      CHECK(table.memory_bytes() < budget * 2);
    }
  }
}

/// Random work on a cache beside a `std::map`, with snapshots that are completed, given up or held back,
/// flushes, evictions, and look-ups that fail.
template <class V, class Key, class Value>
void check_cache(const TableOptions& options, std::uint64_t seed, const Key& key_at,
                 const Value& value_of) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  MapBacking backing;
  Table<V> table(declaration<V>(), options);
  table.set_backing(&backing, true);
  std::map<std::uint64_t, V> model;
  using Expected = std::map<std::string, std::string, std::less<>>;
  struct InFlight {
    std::unique_ptr<FrozenTable> frozen;
    Expected expected;  // what the database has to hold behind it
  };
  std::vector<InFlight> in_flight;  // in the order of their freezes
  const auto expected = [&] {
    Expected all;
    for (const auto& [n, value] : model) {
      std::string entry;
      const auto key = key_at(n);
      const std::string_view word(reinterpret_cast<const char*>(&key.context.word), 8);
      append_entry_key(
          {key.context.group, options.key_width == 8 ? word : key.context.bytes, {}, {}},
          options.key_width, entry);
      all[entry] = encode_value(value);
    }
    return all;
  };
  const auto complete_first = [&] {
    backing.take(*in_flight.front().frozen);
    REQUIRE((backing.entries == in_flight.front().expected));
    table.confirm(in_flight.front().frozen->epoch());
    in_flight.erase(in_flight.begin());
  };
  std::uint64_t highest = 50;
  for (int operation = 0; operation < 20'000; ++operation) {
    const auto n = random() % highest;
    const auto key = key_at(n);
    if (operation % 1000 == 0) highest = 50 + random() % 4000;
    const auto held = model.find(n);
    switch (random() % 8) {
      case 0:
        REQUIRE(table.erase(key.context) == (held != model.end()));
        model.erase(n);
        break;
      case 1: {
        V* value = table.find_for_write(key.context);
        REQUIRE((value != nullptr) == (held != model.end()));
        if (value != nullptr) *value = model[n] = value_of(random());
        break;
      }
      case 2:
      case 3: {
        const V* value = table.find(key.context);
        REQUIRE((value != nullptr) == (held != model.end()));
        if (value != nullptr) REQUIRE(*value == held->second);
        break;
      }
      case 4: {
        V& value = table.find_or_insert(key.context);
        REQUIRE((value == (held != model.end() ? held->second : V{})));
        value = model[n] = value_of(random());
        break;
      }
      case 5:
        table.find_or_insert(key.context) = model[n] = value_of(random());
        break;
      default:
        table.look_ahead(key.context);
        if (random() % 8 == 0) backing.failure = Error{Errc::io_error, "gone"};
        try {
          table.load_ahead();
          (void)table.find(key.context);
        } catch (const StateAccessFailed&) {
          REQUIRE(backing.failure);
        }
        backing.failure.reset();
    }
    table.reclaim();
    switch (random() % 400) {
      case 0:
      case 1:
        in_flight.push_back({table.freeze(), expected()});
        break;
      case 2:
        if (!in_flight.empty()) complete_first();
        break;
      case 3:  // given up
        if (!in_flight.empty())
          in_flight.erase(in_flight.begin() +
                          static_cast<std::ptrdiff_t>(random() % in_flight.size()));
        break;
      case 4: {  // what was frozen before comes first
        while (!in_flight.empty()) complete_first();
        REQUIRE(table.flush_group(static_cast<std::uint32_t>(random() % 4), backing.taker()));
        break;
      }
      case 5:
        while (!in_flight.empty()) complete_first();
        backing.flush(table);
        REQUIRE((backing.entries == expected()));
        break;
      case 6:
        table.evict(0);
        break;
      case 7:
      case 8:
        table.evict(table.memory_bytes() * 3 / 4);
        break;
      default:
        break;
    }
  }
  for (std::uint64_t n = 0; n < 4050; ++n) {
    const auto key = key_at(n);
    const V* value = table.find(key.context);
    const auto held = model.find(n);
    REQUIRE((value != nullptr) == (held != model.end()));
    if (value != nullptr) REQUIRE(*value == held->second);
  }
  CHECK(table.counters().segments_evicted > 0);
  CHECK(table.counters().entries_loaded > 0);
}

TEST_CASE("a cache agrees with a simple model, whatever is frozen, flushed, evicted or fails",
          "[state]") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4);
  struct NumberKey {
    KeyContext context;
  };
  const auto number = [](std::uint64_t n) { return NumberKey{key_of(n)}; };
  const auto text = [](std::uint64_t n) { return std::string(n % 30, 'v') + std::to_string(n); };
  SECTION("numbers by number") {
    check_cache<std::uint64_t>(compact_keys, seed, number, [](std::uint64_t n) { return n; });
  }
  SECTION("strings by number") { check_cache<std::string>(compact_keys, seed, number, text); }
  SECTION("strings by string") {
    std::map<std::uint64_t, std::unique_ptr<StringKey>> keys;
    check_cache<std::string>(
        string_keys, seed,
        [&](std::uint64_t n) {
          auto& key = keys[n];
          if (!key) key = std::make_unique<StringKey>("key " + std::to_string(n));
          return NumberKey{key->context};
        },
        text);
  }
}

TEST_CASE("a cache with map keys evicts and loads their entries", "[state]") {
  MapBacking backing;
  Table<int> table(declaration<int>(), {all_groups, 4, 8, true});
  table.set_backing(&backing, true);
  for (const std::uint64_t key : {0, 1, 2})
    for (int i = 0; i < 300; ++i) table.find_or_insert(MapKey(key, std::to_string(i)).context) = i;
  backing.flush(table);
  CHECK(backing.entries.size() == 900);
  table.evict(0);
  CHECK(table.entries() == 0);
  CHECK(entries_of(table, 1).empty());
  CHECK(*table.find(MapKey(1, "17").context) == 17);
  CHECK(entries_of(table, 1) == std::map<std::string, int>{{"17", 17}});
  REQUIRE(table.erase(MapKey(1, "17").context));
  backing.flush(table);
  CHECK(backing.entries.size() == 899);
}

TEST_CASE("an arena hands freed blocks out again and aligns them", "[state]") {
  Table<std::string> table(declaration<std::string>(), string_keys);
  // Keys of all lengths up to large blocks, twice: the second round needs no more memory.
  std::size_t first = 0;
  for (int round = 0; round < 2; ++round) {
    for (std::size_t size = 0; size < 40'000; size += 331)
      table.find_or_insert(StringKey(std::string(size, 'x')).context) = "v";
    if (round == 0)
      first = table.memory_bytes();
    else
      CHECK(table.memory_bytes() == first);
    for (std::size_t size = 0; size < 40'000; size += 331)
      REQUIRE(table.erase(StringKey(std::string(size, 'x')).context));
  }
}

}  // namespace
}  // namespace weir
