// Appends to entries that are not in memory: docs/design/012-appends-that-read-nothing.md.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "state/keyed_state.hpp"
#include "test/state/map_backing.hpp"
#include "test/state/state_clock.hpp"

namespace weir::test {

/// The function x -> times * x + plus. Composition is associative, and its order matters.
struct Affine {
  std::uint64_t times = 1;
  std::uint64_t plus = 0;
  bool operator==(const Affine&) const = default;
};
WEIR_FIELDS(Affine, times, plus)

namespace {

using namespace std::chrono_literals;

constexpr KeyGroupRange all_groups{0, 4};

Affine compose(const Affine& first, const Affine& second) {
  return {first.times * second.times, first.plus * second.times + second.plus};
}

struct Composed final : AggregateFunction<std::uint64_t, std::string, std::string> {
  std::string create_accumulator() const override { return ">"; }
  void add(const std::uint64_t& value, std::string& text) const override {
    text += std::to_string(value) + ",";
  }
  std::string get_result(const std::string& text) const override { return text; }
  void merge(const std::string& other, std::string& text) const override {
    text += std::string_view(other).substr(1);
  }
};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, all_groups.end), word, {}};
}

std::string entry_key_of(std::uint64_t key) {
  std::string bytes;
  append_entry_key({key_of(key).group, encode_value(key), {}, {}}, 8, bytes);
  return bytes;
}

using Numbers = std::vector<std::uint64_t>;

/// List state by number in front of a database.
struct Lists {
  explicit Lists(std::optional<StateTtlConfig> ttl = std::nullopt, std::uint32_t newest_run = 0) {
    auto made = make_state(ListStateDescriptor<std::uint64_t>{"list", ttl},
                           schema_of<std::uint64_t>(), {all_groups, 4, 8}, &key, time);
    table = std::move(made.table);
    list = made.handle;
    table->set_backing(&backing, false);
    table->continue_runs_after(newest_run);
  }
  Numbers get(std::uint64_t word) {
    key = key_of(word);
    return list.get();
  }
  void add(std::uint64_t word, std::uint64_t element) {
    key = key_of(word);
    list.add(element);
  }
  /// Nothing stays in memory.
  void drop() {
    backing.flush(*table);
    table->evict(0);
    REQUIRE(table->entries() == 0);
  }
  [[nodiscard]] std::uint64_t look_ups() const { return table->counters().look_ups; }

  StateClock clock;
  std::shared_ptr<StateTime> time = std::make_shared<StateTime>(clock);
  MapBacking backing;
  KeyContext key;
  std::unique_ptr<TableBase> table;
  ListState<std::uint64_t> list;
};

SCENARIO("appending to a list that is not in memory reads nothing", "[state]") {
  GIVEN("a hundred lists that only the database has") {
    Lists lists;
    for (std::uint64_t i = 0; i < 100; ++i) lists.add(i, i);
    lists.drop();
    REQUIRE(lists.look_ups() == 0);
    REQUIRE_FALSE(lists.table->wants_keys(100));
    WHEN("something is appended to each, and some of it flushed in between") {
      for (std::uint64_t i = 0; i < 100; ++i) lists.add(i, 1000);
      const auto frozen = lists.table->freeze();
      for (std::uint64_t i = 0; i < 50; ++i) lists.add(i, 1001);
      THEN("nothing was read, and reading then finds all of it, with one look-up a list") {
        CHECK(lists.look_ups() == 0);
        CHECK(lists.table->counters().runs_begun == 200);
        for (std::uint64_t i = 0; i < 100; ++i) {
          const Numbers expected = i < 50 ? Numbers{i, 1000, 1001} : Numbers{i, 1000};
          REQUIRE(lists.get(i) == expected);
          REQUIRE(lists.get(i) == expected);
        }
        CHECK(lists.look_ups() == 100);
      }
      THEN("whatever is flushed how often, the database has everything once") {
        lists.backing.take(*frozen);
        lists.backing.take(*frozen);
        CHECK(lists.backing.entries.at(entry_key_of(7)) ==
              encode_value(std::array<std::uint64_t, 2>{7, 1000}));
        lists.backing.flush(*lists.table);
        CHECK(lists.backing.entries.at(entry_key_of(7)) ==
              encode_value(std::array<std::uint64_t, 3>{7, 1000, 1001}));
        // The run is also in the database now, and is not read twice.
        CHECK(lists.get(7) == Numbers{7, 1000, 1001});
        lists.add(7, 1002);
        lists.drop();
        CHECK(lists.get(7) == Numbers{7, 1000, 1001, 1002});
        CHECK(lists.look_ups() == 2);
      }
      THEN("reading is no change") {
        lists.backing.flush(*lists.table);
        for (std::uint64_t i = 0; i < 100; ++i) (void)lists.get(i);
        lists.table->evict(0);
        CHECK(lists.table->entries() == 0);
      }
      THEN("a frozen run stays one when the list is read") {
        for (std::uint64_t i = 0; i < 100; ++i) (void)lists.get(i);
        lists.backing.take(*frozen);
        CHECK(lists.backing.entries.at(entry_key_of(7)) ==
              encode_value(std::array<std::uint64_t, 2>{7, 1000}));
        CHECK(lists.backing.runs.contains(entry_key_of(7)));
        lists.backing.flush(*lists.table);
        CHECK_FALSE(lists.backing.runs.contains(entry_key_of(7)));
        CHECK(lists.backing.entries.at(entry_key_of(7)) ==
              encode_value(std::array<std::uint64_t, 3>{7, 1000, 1001}));
      }
      THEN("clearing and replacing read nothing, and nothing from below comes back") {
        for (std::uint64_t i = 0; i < 100; ++i) {
          lists.key = key_of(i);
          if (i % 2 == 0)
            lists.list.clear();
          else
            lists.list.update({i, i});
          if (i % 4 == 0) lists.list.add(5);
        }
        const auto check = [&] {
          for (std::uint64_t i = 0; i < 100; ++i)
            REQUIRE(lists.get(i) == (i % 2 == 1   ? Numbers{i, i}
                                     : i % 4 == 0 ? Numbers{5}
                                                  : Numbers{}));
        };
        check();
        CHECK(lists.look_ups() == 0);
        lists.backing.take(*frozen);
        check();
        lists.drop();
        CHECK(lists.backing.entries.size() == 75);
        check();
      }
    }
    WHEN("lists that are not in memory are cleared or replaced") {
      for (std::uint64_t i = 0; i < 100; ++i) {
        lists.key = key_of(i);
        if (i % 2 == 0)
          lists.list.clear();
        else
          lists.list.update({i + 1});
      }
      THEN("that reads nothing either") {
        CHECK(lists.look_ups() == 0);
        lists.drop();
        CHECK(lists.backing.entries.size() == 50);
        CHECK(lists.get(7) == Numbers{8});
        CHECK(lists.get(8).empty());
      }
    }
    WHEN("most of what is used is appended to") {
      for (std::uint64_t i = 0; i < 60; ++i) lists.add(i, 1);
      for (std::uint64_t i = 60; i < 90; ++i) (void)lists.get(i);
      THEN("no keys are read ahead") { CHECK_FALSE(lists.table->wants_keys(100)); }
    }
    WHEN("what is appended to is read as well") {
      for (std::uint64_t i = 0; i < 30; ++i) lists.add(i, 1);
      for (std::uint64_t i = 0; i < 30; ++i) (void)lists.get(i);
      THEN("keys are read ahead, also those of runs") {
        CHECK(lists.table->wants_keys(100));
        for (std::uint64_t i = 30; i < 40; ++i) lists.add(i, 1);
        for (std::uint64_t i = 30; i < 60; ++i) lists.table->look_ahead(key_of(i));
        lists.table->look_ahead(key_of(1000));
        lists.table->load_ahead();
        CHECK(lists.look_ups() == 31);
        for (std::uint64_t i = 30; i < 60; ++i)
          REQUIRE(lists.get(i) == (i < 40 ? Numbers{i, 1} : Numbers{i}));
        lists.add(1000, 1);  // known not to be in the database
        CHECK(lists.get(1000) == Numbers{1});
        CHECK(lists.look_ups() == 31);
      }
    }
    WHEN("the database cannot be read, or what it has does not decode") {
      lists.add(7, 1000);
      lists.backing.failure = Error{Errc::io_error, "/db: gone"};
      CHECK_THROWS_WITH(lists.get(7), "/db: gone");
      lists.backing.failure.reset();
      std::string stored = std::exchange(lists.backing.entries.at(entry_key_of(7)), "?");
      CHECK_THROWS_AS(lists.get(7), StateAccessFailed);
      lists.table->look_ahead(key_of(7));
      CHECK_THROWS_AS(lists.table->load_ahead(), StateAccessFailed);
      THEN("the run is still there") {
        lists.backing.entries.at(entry_key_of(7)) = stored;
        CHECK(lists.get(7) == Numbers{7, 1000});
      }
    }
  }
  GIVEN("a table whose numbers of runs are nearly used up") {
    Lists lists(std::nullopt, ~std::uint32_t{0} - 1);
    lists.add(1, 1);
    lists.add(2, 2);
    CHECK(lists.look_ups() == 0);
    lists.drop();
    THEN("appends read first, and nothing is lost") {
      lists.add(1, 10);
      CHECK(lists.look_ups() == 1);
      lists.drop();
      lists.key = key_of(2);
      lists.list.clear();
      CHECK(lists.get(1) == Numbers{1, 10});
      CHECK(lists.get(2).empty());
      CHECK(lists.table->counters().runs_begun == 2);
    }
  }
}

SCENARIO("runs of elements with a time to live expire like others", "[state]") {
  GIVEN("lists whose elements live for 100 ms, half of them in the database alone") {
    Lists lists(StateTtlConfig{100ms});
    const auto pass = [&](std::chrono::milliseconds time) {
      lists.clock.advance(time);
      lists.time->advance();
    };
    for (std::uint64_t i = 1; i <= 20; ++i) lists.add(i, i);
    lists.drop();
    pass(60ms);
    for (std::uint64_t i = 1; i <= 10; ++i) lists.add(i, 100 + i);
    REQUIRE(lists.look_ups() == 0);
    THEN("each element has its own time") {
      CHECK(lists.get(1) == Numbers{1, 101});
      pass(40ms);
      CHECK(lists.get(1) == Numbers{101});
      CHECK(lists.get(2) == Numbers{102});
      lists.drop();
      CHECK(lists.get(2) == Numbers{102});
      pass(60ms);
      CHECK(lists.get(2).empty());
      CHECK(lists.get(3).empty());
    }
    THEN("the cleaning removes what has expired, below as in memory") {
      pass(100ms);
      for (int i = 0; i < 200; ++i) REQUIRE(lists.table->clean_up());
      CHECK(lists.table->entries() == 0);
      lists.backing.flush(*lists.table);
      CHECK(lists.backing.entries.size() == 10);  // of which memory has nothing
    }
    THEN("the cleaning that cannot read says so") {
      pass(100ms);
      lists.backing.failure = Error{Errc::io_error, "/db: gone"};
      Status cleaned;
      for (int i = 0; cleaned && i < 200; ++i) cleaned = lists.table->clean_up();
      REQUIRE_FALSE(cleaned);
      CHECK(cleaned.error().what == "/db: gone");
    }
  }
  GIVEN("elements in the database that are younger than the clock, as after a restore") {
    Lists lists(StateTtlConfig{100ms});
    lists.clock.advance(1000ms);
    lists.time->advance();
    lists.add(1, 1);
    lists.drop();
    lists.backing.runs.clear();
    const auto young = lists.backing.entries;
    Lists restored(StateTtlConfig{100ms});
    restored.backing.entries = young;
    restored.add(1, 2);
    restored.clock.advance(100ms);
    restored.time->advance();
    THEN("the cleaning takes what is older, and not what is below it") {
      for (int i = 0; i < 200; ++i) REQUIRE(restored.table->clean_up());
      CHECK(restored.get(1) == Numbers{1});
    }
  }
}

TEST_CASE("a folded value with a time to live is read before something is added", "[state]") {
  StateClock clock;
  auto time = std::make_shared<StateTime>(clock);
  KeyContext key = key_of(1);
  MapBacking backing;
  auto [table, sum] = make_state(
      ReducingStateDescriptor<std::uint64_t>{
          "sum", [](std::uint64_t a, std::uint64_t b) { return a + b; }, StateTtlConfig{100ms}},
      schema_of<std::uint64_t>(), {all_groups, 4, 8}, &key, time);
  table->set_backing(&backing, false);
  sum.add(1);
  backing.flush(*table);
  table->evict(0);
  clock.advance(100ms);
  time->advance();
  sum.add(2);
  CHECK(table->counters().runs_begun == 0);
  CHECK(*sum.get() == 2);
}

TEST_CASE("a value that is only added to does not become a long row of parts", "[state]") {
  KeyContext key;
  MapBacking backing;
  auto [table, composed] = make_state(ReducingStateDescriptor<Affine>{"composed", compose},
                                      schema_of<std::uint64_t>(), {all_groups, 4, 8}, &key);
  table->set_backing(&backing, true);
  std::map<std::uint64_t, Affine> model;
  std::size_t longest = 0;
  std::size_t total = 0;
  for (std::uint64_t round = 0; round < 500; ++round) {
    for (std::uint64_t i = 1; i <= 20; ++i) {
      key = key_of(i);
      composed.add({i + 1, round});
      model[i] = compose(model[i], {i + 1, round});
    }
    backing.flush(*table);
    table->evict(0);
    REQUIRE(table->entries() == 0);
    for (const auto& [entry_key, value] : backing.entries) {
      longest = std::max(longest, value.size() / sizeof(Affine));
      total += value.size() / sizeof(Affine);
    }
  }
  CHECK(total / (500 * 20) < 20);
  CHECK(longest > 10);
  CHECK(longest < 250);
  CHECK(table->counters().look_ups < 500 * 20 / 10);
  for (const auto& [i, expected] : model) {
    key = key_of(i);
    REQUIRE(composed.get() != nullptr);
    CHECK(*composed.get() == expected);
  }
}

/// What a state of each kind that has runs does to the `n`-th key and its model: 0 to 9 add something,
/// 10 reads, others clear.
struct ListWork {
  using Model = std::vector<std::string>;
  using V = ListValue<std::string>;
  static auto make(const TableOptions& options, const KeyContext* key) {
    return make_state(ListStateDescriptor<std::string>{"state"}, {}, options, key);
  }
  static void work(ListState<std::string>& list, Model& model, std::uint64_t what,
                   std::uint64_t n) {
    const std::string element = std::string(n % 20, 'e') + std::to_string(n);
    if (what < 8) {
      list.add(element);
      model.push_back(element);
    } else if (what < 9) {
      const Model some(n % 100, element);
      list.add_all(some);
      model.insert(model.end(), some.begin(), some.end());
    } else if (what < 10) {
      model.assign(n % 3, element);
      list.update(model);
    } else if (what < 12) {
      REQUIRE(list.get() == model);
    } else {
      list.clear();
      model.clear();
    }
  }
  static std::optional<std::string> encoded(const Model& model) {
    if (model.empty()) return std::nullopt;
    std::string bytes;
    for (const std::string& element : model) bytes += encode_value(element);
    return bytes;
  }
};
struct ReducingWork {
  using Model = std::optional<Affine>;
  using V = Affine;
  static auto make(const TableOptions& options, const KeyContext* key) {
    return make_state(ReducingStateDescriptor<Affine>{"state", compose}, {}, options, key);
  }
  static void work(ReducingState<Affine>& state, Model& model, std::uint64_t what,
                   std::uint64_t n) {
    if (what < 10) {
      const Affine added{n | 1, n % 1000};
      state.add(added);
      model = model ? compose(*model, added) : added;
    } else if (what < 12) {
      const Affine* held = state.get();
      REQUIRE((held != nullptr ? Model(*held) : Model()) == model);
    } else {
      state.clear();
      model.reset();
    }
  }
  static std::optional<std::string> encoded(const Model& model) {
    return model ? std::optional(encode_value(*model)) : std::nullopt;
  }
};
struct AggregatingWork {
  using Model = std::string;
  using V = std::string;
  static auto make(const TableOptions& options, const KeyContext* key) {
    return make_state(
        AggregatingStateDescriptor<std::uint64_t, std::string, std::string>{
            "state", std::make_shared<Composed>()},
        {}, options, key);
  }
  static void work(AggregatingState<std::uint64_t, std::string, std::string>& state, Model& model,
                   std::uint64_t what, std::uint64_t n) {
    if (what < 10) {
      state.add(n);
      if (model.empty()) model = ">";
      model += std::to_string(n) + ",";
    } else if (what < 12) {
      REQUIRE(state.get().value_or("") == model);
    } else {
      state.clear();
      model.clear();
    }
  }
  static std::optional<std::string> encoded(const Model& model) {
    return model.empty() ? std::nullopt : std::optional(encode_value(model));
  }
};

/// Random work beside a model, with snapshots that are completed, given up, given up when they are half in
/// the database, or written twice, with flushes, evictions and look-ups that fail.
template <class Work>
void check_appends(std::size_t key_width, std::uint64_t seed) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  KeyContext key;
  MapBacking backing;
  auto [table, state] = Work::make({all_groups, all_groups.end, key_width}, &key);
  const auto& codec = static_cast<Table<typename Work::V>&>(*table).codec();
  table->set_backing(&backing, seed % 2 == 0);
  std::map<std::uint64_t, typename Work::Model> model;
  std::string key_bytes;
  const auto select = [&](std::uint64_t n) {
    key = key_of(n);
    if (key_width == 8) return;
    key_bytes.clear();
    ByteWriter writer(key_bytes);
    encode_key("key " + std::to_string(n), writer);
    key.hash = hash_bytes(key_bytes);
    key.group = key_group_of(key.hash, all_groups.end);
    key.word = 0;
    key.bytes = key_bytes;
  };
  using Entries = std::map<std::string, std::string, std::less<>>;
  const auto expected = [&] {
    Entries all;
    for (const auto& [n, held] : model) {
      const auto bytes = Work::encoded(held);
      if (!bytes) continue;
      select(n);
      std::string entry;
      append_entry_key(
          {key.group, key_width == 8 ? std::string_view(encode_value(n)) : key.bytes, {}, {}},
          key_width, entry);
      all[entry] = *bytes;
    }
    return all;
  };
  // Partial values folded.
  const auto stored = [&] {
    Entries all;
    for (const auto& [entry, bytes] : backing.entries) {
      typename Work::V value{};
      REQUIRE(codec.decode(bytes, value));
      ByteWriter writer(all[entry]);
      codec.encode(value, writer);
    }
    return all;
  };
  struct InFlight {
    std::unique_ptr<FrozenTable> frozen;
    Entries expected;
  };
  std::deque<InFlight> in_flight;  // in the order of their freezes
  const auto complete_first = [&] {
    const InFlight& first = in_flight.front();
    if (random() % 4 == 0) backing.take(*first.frozen);
    backing.take(*first.frozen);
    REQUIRE((stored() == first.expected));
    table->confirm(first.frozen->epoch());
    in_flight.pop_front();
  };
  std::uint64_t highest = 50;
  for (int operation = 0; operation < 20'000; ++operation) {
    if (operation % 1000 == 0) highest = 20 + random() % 2000;
    const std::uint64_t n = random() % highest;
    select(n);
    const std::uint64_t what = random() % 16;
    if (what < 13) {
      Work::work(state, model[n], what, random());
    } else {
      table->look_ahead(key);
      if (random() % 8 == 0) backing.failure = Error{Errc::io_error, "gone"};
      try {
        table->load_ahead();
        Work::work(state, model[n], 10, 0);
      } catch (const StateAccessFailed&) {
        REQUIRE(backing.failure);
      }
      backing.failure.reset();
    }
    table->reclaim();
    switch (random() % 300) {
      case 0:
      case 1:
        in_flight.push_back({table->freeze(), expected()});
        break;
      case 2:
        if (!in_flight.empty()) complete_first();
        break;
      case 3:  // given up
        if (!in_flight.empty())
          in_flight.erase(in_flight.begin() +
                          static_cast<std::ptrdiff_t>(random() % in_flight.size()));
        break;
      case 4:  // failed when some of it was in the database
        if (!in_flight.empty()) {
          for (std::uint32_t group = 0; group < random() % 4; ++group)
            REQUIRE(in_flight.front().frozen->for_each_changed(group, backing.taker()));
          in_flight.pop_front();
        }
        break;
      case 5:  // what was frozen before comes first
        while (!in_flight.empty()) complete_first();
        REQUIRE(table->flush_group(static_cast<std::uint32_t>(random() % 4), backing.taker()));
        break;
      case 6:
        while (!in_flight.empty()) complete_first();
        backing.flush(*table);
        REQUIRE((stored() == expected()));
        break;
      case 7:
      case 8:
        table->evict(0);
        break;
      case 9:
        table->evict(table->memory_bytes() * 3 / 4);
        break;
      default:
        break;
    }
  }
  for (auto& [n, held] : model) {
    select(n);
    Work::work(state, held, 10, 0);
  }
  CHECK(table->counters().segments_evicted > 0);
  CHECK(table->counters().runs_begun > 500);
  CHECK(table->counters().entries_loaded > 100);
}

TEST_CASE("appends agree with a simple model, whatever is frozen, flushed, evicted or fails",
          "[state]") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4);
  const std::size_t key_width = GENERATE(0, 8);
  SECTION("to lists") { check_appends<ListWork>(key_width, seed); }
  SECTION("to values that are reduced") { check_appends<ReducingWork>(key_width, seed); }
  SECTION("to accumulators") { check_appends<AggregatingWork>(key_width, seed); }
}

}  // namespace
}  // namespace weir::test
