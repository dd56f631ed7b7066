#include "state/keyed_state.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace weir {
namespace {

const TableOptions options{{0, 4}, 4, 8};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, 4), word, {}};
}

TEST_CASE("a descriptor says how its state is declared", "[state]") {
  const Schema key = schema_of<std::uint64_t>();
  const StateDeclaration value = declare(ValueStateDescriptor<std::string>{"names"}, key);
  CHECK(value.name == "names");
  CHECK(value.kind == StateKind::value);
  CHECK(value.key == key);
  CHECK(value.value == schema_of<std::string>());
  const StateDeclaration list = declare(ListStateDescriptor<std::int32_t>{"visits"}, key);
  CHECK(list.kind == StateKind::list);
  CHECK(list.value == schema_of<std::int32_t>());  // of one element
  CHECK(declare(ReducingStateDescriptor<double>{"sum", {}}, key).kind == StateKind::reducing);
}

TEST_CASE("a value handle sees the key that is current", "[state]") {
  const auto table = make_table(ValueStateDescriptor<std::string>{"names"}, {}, options);
  KeyContext key;
  ValueState<std::string> names(table.get(), &key);
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

TEST_CASE("a list handle appends, replaces and clears", "[state]") {
  const auto table = make_table(ListStateDescriptor<std::string>{"words"}, {}, options);
  KeyContext key = key_of(1);
  ListState<std::string> words(table.get(), &key);
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
  const auto table = make_table(
      ReducingStateDescriptor<std::string>{"joined",
                                           [](const std::string& a, const std::string& b) {
                                             if (b == "bad") throw std::runtime_error("bad");
                                             return a + b;
                                           }},
      {}, options);
  KeyContext key = key_of(1);
  ReducingState<std::string> joined(table.get(), &key);
  CHECK(joined.get() == nullptr);
  joined.add("a");
  joined.add("b");
  CHECK_THROWS(joined.add("bad"));
  joined.add("c");
  CHECK(*joined.get() == "abc");
  joined.clear();
  CHECK(joined.get() == nullptr);
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
