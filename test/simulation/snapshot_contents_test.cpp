#include "simulation/snapshot_contents.hpp"

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

const SnapshotContents expected{
    {{"count", "n"}, {{"\"a\"", "1"}, {"\"b\"", "2"}, {"\"c\"", "3"}}},
    {{"totals", "sum"}, {{"1", "10"}}},
};

/// What `change` makes of the expected contents, compared with them.
template <class F>
std::optional<std::string> after(F change) {
  SnapshotContents found = expected;
  change(found);
  return first_difference(found, expected);
}

}  // namespace

TEST_CASE("equal contents of savepoints have no difference", "[simulation]") {
  CHECK_FALSE(first_difference(expected, expected));
  CHECK_FALSE(first_difference({}, {}));
  // A state without a key is as good as none.
  CHECK_FALSE(after([](auto& found) { found[{"count", "empty"}]; }));
  CHECK_FALSE(first_difference({{{"a", "b"}, {}}}, {}));
}

TEST_CASE("the first difference names operator, state, key and both values", "[simulation]") {
  CHECK(after([](auto& found) {
          found[{"count", "n"}] = {{"\"a\"", "1"}, {"\"b\"", "7"}, {"\"c\"", "3"}};
        }) == "operator 'count', state 'n', key \"b\": found 7, expected 2");
}

TEST_CASE("a key that is missing or too many is named, and not the one behind it", "[simulation]") {
  const StateName n{"count", "n"};
  for (const auto& [key, value] : expected.at(n)) {
    CHECK(after([&](auto& found) { found[n].erase({key, value}); }) ==
          "operator 'count', state 'n', key " + key + ": found nothing, expected " + value);
  }
  for (const std::string key : {"\"A\"", "\"aa\"", "\"d\""})
    CHECK(after([&](auto& found) { found[n].insert({key, "5"}); }) ==
          "operator 'count', state 'n', key " + key + ": found 5, expected nothing");
}

TEST_CASE("a whole state or operator that one side lacks differs", "[simulation]") {
  CHECK(after([](auto& found) { found.erase({"count", "n"}); }) ==
        "operator 'count', state 'n', key \"a\": found nothing, expected 1");
  CHECK(after([](auto& found) { found[{"another", "s"}] = {{"4", "true"}}; }) ==
        "operator 'another', state 's', key 4: found true, expected nothing");
  CHECK(first_difference({}, expected) ==
        "operator 'count', state 'n', key \"a\": found nothing, expected 1");
}

SCENARIO("what event-time timers have done is compared once the watermark has come as far",
         "[simulation]") {
  GIVEN("an operator with event-time timers, and one without") {
    const StateName timers{"watch", "event-time timers"};
    const StateName waiting{"watch", "waiting"};
    const SnapshotContents alike{{timers, {{"\"a\"", "[10,20]"}}},
                                 {waiting, {{"\"a\"", "1"}}},
                                 {{"sum", "n"}, {{"\"a\"", "3"}}}};
    SnapshotContents other = alike;
    other[waiting] = {{"\"a\"", "2"}};
    WHEN("both have the same timers left") {
      THEN("its other states are compared") { CHECK(first_difference(other, alike)); }
    }
    WHEN("one has fewer timers left") {
      other[timers] = {{"\"a\"", "[20]"}};
      THEN("only the other operator is compared") {
        CHECK_FALSE(first_difference(other, alike));
        other[{"sum", "n"}] = {};
        CHECK(first_difference(other, alike) ==
              "operator 'sum', state 'n', key \"a\": found nothing, expected 3");
      }
    }
  }
}

TEST_CASE("of several differences the first by operator, state and key is told", "[simulation]") {
  CHECK(after([](auto& found) {
          found[{"totals", "sum"}] = {};
          found[{"count", "n"}] = {{"\"a\"", "1"}, {"\"b\"", "0"}, {"\"c\"", "0"}};
        }) == "operator 'count', state 'n', key \"b\": found 0, expected 2");
}

}  // namespace weir::test
