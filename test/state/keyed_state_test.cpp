#include "state/keyed_state.hpp"

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "test/state/state_clock.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

const TableOptions options{{0, 4}, 4, 8};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, 4), word, {}};
}

/// Joins numbers to a text, of which it tells the length.
struct Joined final : AggregateFunction<int, std::string, std::size_t> {
  std::string create_accumulator() const override { return ">"; }
  void add(const int& value, std::string& text) const override { text += std::to_string(value); }
  std::size_t get_result(const std::string& text) const override { return text.size(); }
  void merge(const std::string& other, std::string& text) const override {
    text += other.substr(1);
  }
};
std::shared_ptr<const Joined> joined() { return std::make_shared<Joined>(); }

TEST_CASE("a descriptor says how its state is declared", "[state]") {
  const Schema key = schema_of<std::uint64_t>();
  test::StateClock clock;
  const auto time = std::make_shared<StateTime>(clock);
  const auto declare = [&](const auto& descriptor) {
    return make_state(descriptor, key, options, nullptr, time).table->declaration();
  };
  const StateDeclaration value = declare(ValueStateDescriptor<std::string>{"names"});
  CHECK(value.name == "names");
  CHECK(value.kind == StateKind::value);
  CHECK(value.key == key);
  CHECK(value.value == schema_of<std::string>());
  const StateDeclaration list = declare(ListStateDescriptor<std::int32_t>{"visits"});
  CHECK(list.kind == StateKind::list);
  CHECK(list.value == schema_of<std::int32_t>());  // of one element
  const auto sum = [](double a, double b) { return a + b; };
  CHECK(declare(ReducingStateDescriptor<double>{"sum", sum}).kind == StateKind::reducing);
  const StateDeclaration text =
      declare(AggregatingStateDescriptor<int, std::string, std::size_t>{"text", joined()});
  CHECK(text.kind == StateKind::aggregating);
  CHECK(text.value == schema_of<std::string>());
  const StateDeclaration map = declare(MapStateDescriptor<std::string, double>{"prices"});
  CHECK(map.kind == StateKind::map);
  CHECK(map.value == schema_of<std::map<std::string, double>>());

  // With a time to live, what is stored has its time with it, and the declaration says so.
  const StateTtlConfig ttl{1s};
  const StateDeclaration timed = declare(ValueStateDescriptor<std::string>{"names", ttl});
  CHECK(to_string(timed.value) == "weir.ttl{accessed_at_ms: int64, value: string}");
  const StateDeclaration timed_list = declare(ListStateDescriptor<std::int32_t>{"visits", ttl});
  CHECK(to_string(timed_list.value) == "weir.ttl{accessed_at_ms: int64, value: int32}");
  const StateDeclaration timed_map = declare(MapStateDescriptor<std::string, double>{"p", ttl});
  CHECK(to_string(timed_map.value) ==
        "map<string, weir.ttl{accessed_at_ms: int64, value: float64}>");
  for (const StateDeclaration& without : {value, list, text, map})
    CHECK_FALSE(has_time_to_live(without));
  for (const StateDeclaration& with : {timed, timed_list, timed_map}) CHECK(has_time_to_live(with));
}

TEST_CASE("a value handle sees the key that is current", "[state]") {
  KeyContext key;
  auto [table, names] = make_state(ValueStateDescriptor<std::string>{"names"}, {}, options, &key);
  ValueState<std::string> copy = names;
  key = key_of(1);
  names.update("one");
  key = key_of(2);
  CHECK(names.value() == nullptr);
  copy.mutable_value() += "two";
  CHECK(names.value_or("none") == "two");
  key = key_of(1);
  CHECK(*copy.value() == "one");
  copy.clear();
  CHECK_FALSE(names.contains());
  CHECK(names.value_or("none") == "none");
}

TEST_CASE("a handle that was never asked for throws", "[state]") {
  ValueState<std::string> value;
  ListState<std::string> list;
  MapState<std::string, std::uint64_t> map;
  CHECK_THROWS_AS(value.update("one"), std::logic_error);
  CHECK_THROWS_AS(value.clear(), std::logic_error);
  CHECK_THROWS_AS(list.add("one"), std::logic_error);
  CHECK_THROWS_AS(map.put("one", 1), std::logic_error);
  CHECK_THROWS_WITH(value.value(), Catch::Contains("has not asked for"));
}

TEST_CASE("a list handle appends, replaces and clears", "[state]") {
  KeyContext key = key_of(1);
  auto [table, words] = make_state(ListStateDescriptor<std::string>{"words"}, {}, options, &key);
  CHECK(words.get().empty());
  words.add_all(std::vector<std::string>{});
  CHECK(table->entries() == 0);  // a key without elements has no entry
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    words.add(std::to_string(i));
    expected.push_back(std::to_string(i));
  }
  CHECK(words.get() == expected);
  CHECK(words.size() == 300);
  words.update({"a", "b"});
  words.add_all(std::vector<std::string>{"c", "d"});
  CHECK(words.get() == std::vector<std::string>{"a", "b", "c", "d"});
  words.update({});
  CHECK(words.empty());
  CHECK(table->entries() == 0);
}

TEST_CASE("a reducing handle folds in the order of adding; a throwing fold changes nothing",
          "[state]") {
  KeyContext key = key_of(1);
  auto [table, joined] = make_state(
      ReducingStateDescriptor<std::string>{"joined",
                                           [](const std::string& a, const std::string& b) {
                                             if (b == "bad") throw std::runtime_error("bad");
                                             return a + b;
                                           }},
      {}, options, &key);
  CHECK(joined.get() == nullptr);
  joined.add("a");
  joined.add("b");
  CHECK_THROWS(joined.add("bad"));
  joined.add("c");
  CHECK(*joined.get() == "abc");
  joined.clear();
  CHECK(joined.get() == nullptr);
}

TEST_CASE("an aggregating handle keeps an accumulator and tells its result", "[state]") {
  KeyContext key = key_of(1);
  auto [table, lengths] =
      make_state(AggregatingStateDescriptor<int, std::string, std::size_t>{"lengths", joined()}, {},
                 options, &key);
  CHECK(lengths.get() == std::nullopt);
  lengths.add(12);
  CHECK(lengths.get() == 3);
  lengths.add(345);
  auto copy = lengths;
  CHECK(copy.get() == 6);
  key = key_of(2);
  CHECK(lengths.get() == std::nullopt);
  key = key_of(1);
  copy.clear();
  CHECK(lengths.get() == std::nullopt);
  CHECK(table->entries() == 0);
}

TEST_CASE("accumulators that a snapshot holds apart are merged in their order", "[state]") {
  KeyContext key = key_of(1);
  auto [table, lengths] =
      make_state(AggregatingStateDescriptor<int, std::string, std::size_t>{"lengths", joined()}, {},
                 options, &key);
  std::string entry_key;
  append_entry_key({key.group, encode_value(std::uint64_t{1}), {}, {}}, 8, entry_key);
  REQUIRE(table->insert(entry_key, encode_value(std::string(">12")) +
                                       encode_value(std::string(">3")) +
                                       encode_value(std::string(">"))));
  CHECK(lengths.get() == 4);
}

SCENARIO("a map handle sees the map of the key that is current", "[state]") {
  GIVEN("two keys with maps") {
    KeyContext key;
    auto [table, prices] =
        make_state(MapStateDescriptor<std::string, double>{"prices"}, {}, options, &key);
    key = key_of(1);
    prices.put("apple", 1.5);
    prices.put_all(std::map<std::string, double>{{"pear", 2}, {"", 3}});
    key = key_of(0);
    CHECK(prices.is_empty());
    CHECK(prices.get("apple") == nullptr);
    prices.mutable_value("apple") += 4;
    const auto entries = [](const auto& handle) {
      std::map<std::string, double> found;
      handle.for_each([&](const std::string& name, double price) { found[name] = price; });
      return found;
    };
    THEN("each has its own entries, in every copy of the handle") {
      auto copy = prices;
      CHECK(entries(copy) == std::map<std::string, double>{{"apple", 4}});
      key = key_of(1);
      CHECK(entries(copy) == std::map<std::string, double>{{"apple", 1.5}, {"pear", 2}, {"", 3}});
      double sum = 0;
      copy.for_each_value([&](double price) { sum += price; });
      CHECK(sum == 6.5);
      std::set<std::string> names;
      copy.for_each_key([&](const std::string& name) { names.insert(name); });
      CHECK(names == std::set<std::string>{"", "apple", "pear"});
      CHECK(table->entries() == 4);
    }
    WHEN("an entry is removed") {
      key = key_of(1);
      prices.remove("pear");
      prices.remove("plum");
      THEN("the others stay") {
        CHECK_FALSE(prices.contains("pear"));
        CHECK(prices.contains("apple"));
        CHECK(entries(prices).size() == 2);
      }
    }
    WHEN("a map is cleared") {
      key = key_of(1);
      prices.clear();
      THEN("the other key's stays") {
        CHECK(prices.is_empty());
        CHECK(table->entries() == 1);
        key = key_of(0);
        CHECK_FALSE(prices.is_empty());
        prices.clear();
        prices.clear();
        CHECK(table->entries() == 0);
      }
    }
  }
}

TEST_CASE("map keys are equal if their encodings are", "[state]") {
  KeyContext key = key_of(1);
  auto [table, counts] = make_state(MapStateDescriptor<double, int>{"counts"}, {}, options, &key);
  ++counts.mutable_value(0.0);
  ++counts.mutable_value(-0.0);
  ++counts.mutable_value(std::nan("1"));
  ++counts.mutable_value(-std::nan("2"));
  CHECK(*counts.get(0.0) == 2);
  CHECK(*counts.get(std::nan("")) == 2);
  CHECK(table->entries() == 2);
}

TEST_CASE("keys of any width have maps", "[state]") {
  const std::size_t width = GENERATE(std::size_t{0}, std::size_t{2}, std::size_t{12});
  INFO(width);
  KeyContext key;
  auto [table, counts] = make_state(MapStateDescriptor<std::uint16_t, std::string>{"counts"}, {},
                                    {{0, 4}, 4, width}, &key);
  const auto select = [&](std::uint64_t n) {
    static std::string bytes;
    bytes = std::string(width == 0 ? n % 5 : 4, 'k') + encode_value(n);
    key = {hash_bytes(bytes), static_cast<std::uint32_t>(n % 4), 0, bytes};
    if (width == 2) key = {n, static_cast<std::uint32_t>(n % 4), n, {}};
  };
  for (std::uint64_t n = 0; n < 50; ++n) {
    select(n);
    for (std::uint16_t i = 0; i < n; ++i) counts.put(i, std::to_string(n + i));
  }
  for (std::uint64_t n = 0; n < 50; ++n) {
    select(n);
    std::uint64_t found = 0;
    counts.for_each([&](std::uint16_t i, const std::string& value) {
      CHECK(value == std::to_string(n + i));
      ++found;
    });
    CHECK(found == n);
    if (n % 2 == 0) counts.clear();
  }
  CHECK(table->entries() == 25 * 25);
}

TEST_CASE("a copy of a list is another list", "[state]") {
  ListValue<int> list;
  for (int i = 0; i < 200; ++i) list.push_back(i);
  ListValue<int> copy = list;
  copy.push_back(1000);
  list.push_back(2000);
  const auto last = [](const ListValue<int>& of) {
    int found = 0;
    of.for_each([&](int element) { found = element; });
    return found;
  };
  CHECK(last(copy) == 1000);
  CHECK(last(list) == 2000);
  CHECK(copy.size() == 201);
  copy = list;
  CHECK(last(copy) == 2000);
  ListValue<int> moved = std::move(copy);
  CHECK(moved.size() == 201);
  CHECK(moved.heap_bytes() >= 200 * sizeof(int));
  list = ListValue<int>();
  CHECK(list.empty());
  CHECK(last(moved) == 2000);
}

}  // namespace
}  // namespace weir
