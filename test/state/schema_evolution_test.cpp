#include "state/schema_evolution.hpp"

#include <array>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <variant>

#include <catch2/catch.hpp>

namespace weir::test {

// The types of a job before (`was`) and after (`is`) somebody has worked on it.
namespace was {

enum class Colour : std::uint8_t { red = 1, green = 2 };
WEIR_ENUM(Colour, red, green)

struct Point {
  std::int32_t x = 0;
  std::int32_t y = 0;
};
WEIR_FIELDS(Point, x, y)

struct Order {
  std::string customer;
  std::int16_t count = 0;
  std::vector<Point> places;
  Colour colour = Colour::red;
  float price = 0;
  std::map<std::string, Point> by_name;
  std::variant<std::int32_t, std::string> note;
  std::array<std::uint8_t, 2> pair = {};
};
WEIR_FIELDS(Order, customer, count, places, colour, price, by_name, note, pair)

struct Tree {
  std::int32_t value = 0;
  std::vector<Tree> children;
  std::string gone;
};
WEIR_FIELDS(Tree, value, children, gone)

struct Forest {
  std::vector<Tree> dropped;
  std::int8_t kept = 0;
};
WEIR_FIELDS(Forest, dropped, kept)

}  // namespace was

namespace is {

enum class Colour : std::uint16_t { red = 1, green = 2, blue = 300 };
WEIR_ENUM(Colour, red, green, blue)

struct Point {
  std::int64_t y = 0;
  std::int32_t z = 7;
  std::optional<std::int32_t> x;
};
WEIR_FIELDS(Point, y, z, x)

struct Order {
  std::array<std::uint16_t, 2> pair = {};
  double price = 0;
  std::vector<Point> places;
  std::string currency = "EUR";
  double count = 0;
  std::map<std::string, Point> by_name;
  Colour colour = Colour::blue;
  Point home{1, 2, 3};
  std::variant<std::int64_t, std::string, bool> note;
};
WEIR_FIELDS(Order, pair, price, places, currency, count, by_name, colour, home, note)

struct Tree {
  std::vector<Tree> children;
  std::int64_t value = 0;
  std::string colour = "green";
};
WEIR_FIELDS(Tree, children, value, colour)

struct Forest {
  std::int8_t kept = 0;
};
WEIR_FIELDS(Forest, kept)

}  // namespace is

namespace {

template <class From, class To>
Result<SchemaMigration> migration() {
  return SchemaMigration::between(schema_of<From>(), schema_of<To>(), defaults_of<To>());
}
/// `value` as a `To`, by its bytes.
template <class To, class From>
To migrated(const From& value) {
  const auto plan = migration<From, To>();
  if (!plan) FAIL(plan.error().what);
  const std::string before = encode_value(value);
  ByteReader reader(before);
  std::string after;
  plan->migrate(reader, after);
  CHECK(reader.complete());
  const auto result = decode_value<To>(after, "after");
  if (!result) FAIL(result.error().what);
  return *result;
}
template <class From, class To>
std::string refusal() {
  const auto plan = migration<From, To>();
  CHECK(check_readable(schema_of<From>(), schema_of<To>()).has_value() == plan.has_value());
  return plan ? "" : plan.error().what;
}

TEST_CASE("fields are added, removed, moved and widened, at any depth", "[state]") {
  was::Order order{"me",   -3,    {{1, 2}, {3, 4}}, was::Colour::green, 1.5F, {{"a", {5, 6}}},
                   "text", {8, 9}};
  auto now = migrated<is::Order>(order);
  CHECK(now.pair == std::array<std::uint16_t, 2>{8, 9});
  CHECK(now.price == 1.5);
  CHECK(now.count == -3);
  REQUIRE(now.places.size() == 2);
  CHECK(now.places[1].x == 3);
  CHECK(now.places[1].y == 4);
  CHECK(now.places[1].z == 7);
  CHECK(now.currency == "EUR");
  CHECK(now.colour == is::Colour::green);
  CHECK(now.by_name.at("a").y == 6);
  CHECK(now.by_name.at("a").z == 7);
  CHECK(now.home.y == 1);
  CHECK(now.home.z == 2);
  CHECK(now.home.x == 3);
  CHECK(std::get<std::string>(now.note) == "text");
  order.note = -5;
  now = migrated<is::Order>(order);
  CHECK(std::get<std::int64_t>(now.note) == -5);
}

TEST_CASE("a type that contains itself is migrated to its leaves", "[state]") {
  const was::Tree tree{1, {{2, {{3, {}, "x"}}, "y"}, {4, {}, "z"}}, "w"};
  const auto now = migrated<is::Tree>(tree);
  CHECK(now.value == 1);
  CHECK(now.colour == "green");
  REQUIRE(now.children.size() == 2);
  REQUIRE(now.children[0].children.size() == 1);
  CHECK(now.children[0].children[0].value == 3);
  CHECK(now.children[0].children[0].colour == "green");
  CHECK(now.children[1].value == 4);

  THEN("also when it is what is dropped") {
    CHECK(migrated<is::Forest>(was::Forest{{tree, tree}, 5}).kept == 5);
  }
}

TEMPLATE_TEST_CASE("numbers keep their values when they are widened", "[state]",
                   (std::pair<std::int8_t, std::int16_t>), (std::pair<std::int8_t, std::int64_t>),
                   (std::pair<std::int16_t, float>), (std::pair<std::int32_t, double>),
                   (std::pair<std::uint8_t, std::int16_t>),
                   (std::pair<std::uint32_t, std::int64_t>),
                   (std::pair<std::uint32_t, std::uint64_t>), (std::pair<std::uint32_t, double>),
                   (std::pair<std::uint16_t, float>), (std::pair<float, double>)) {
  using From = typename TestType::first_type;
  using To = typename TestType::second_type;
  using Limits = std::numeric_limits<From>;
  for (const From value : {Limits::lowest(), Limits::max(), From{0}, From{1}, From{77}})
    CHECK(migrated<To>(value) == static_cast<To>(value));
  // And never the other way.
  CHECK_FALSE(refusal<To, From>().empty());
}

TEST_CASE("what would lose data, or cannot be told, is refused with the field", "[state]") {
  CHECK(refusal<std::int64_t, std::int32_t>() == "the type was int64, is int32");
  CHECK(refusal<std::int32_t, std::uint64_t>() == "the type was int32, is uint64");
  CHECK(refusal<std::int32_t, float>() == "the type was int32, is float32");
  CHECK(refusal<std::int64_t, double>() == "the type was int64, is float64");
  CHECK(refusal<bool, std::int32_t>() == "the type was bool, is int32");
  CHECK(refusal<std::optional<long>, long>() == "the type was optional<int64>, is int64");
  CHECK(refusal<is::Colour, was::Colour>() == "the type was uint16, is uint8");
  CHECK(refusal<is::Point, was::Point>() == "field 'y' was int64, is int32");
  CHECK(refusal<std::vector<is::Tree>, std::vector<was::Tree>>() ==
        "field '<element>.value' was int64, is int32");
  CHECK(refusal<std::set<std::int32_t>, std::set<std::int64_t>>() ==
        "the type was set<int32>, is set<int64>");
  CHECK(refusal<std::map<std::int32_t, long>, std::map<std::int64_t, long>>() ==
        "field '<key>' was int32, is int64");
  CHECK(refusal<std::variant<long, int>, std::variant<long>>() ==
        "the type was variant<int64, int32>, is variant<int64>");
  CHECK(refusal<std::array<int, 3>, std::array<int, 4>>().starts_with("the type was "));
  CHECK(refusal<std::pair<int, int>, std::tuple<int, int, int>>() ==
        "field '2' was added to a tuple");
}

TEST_CASE("fields that are lost are told, and what may be their new name", "[state]") {
  using Dropped = std::vector<DroppedField>;
  const auto lost = []<class From, class To>(std::type_identity<From>, std::type_identity<To>) {
    return dropped_fields(schema_of<From>(), schema_of<To>());
  };
  const std::type_identity<was::Tree> old_tree;
  const std::type_identity<is::Tree> new_tree;
  CHECK(lost(old_tree, new_tree) == Dropped{{"gone", "colour"}});
  CHECK(lost(old_tree, old_tree).empty());
  CHECK(lost(std::type_identity<std::map<int, std::vector<was::Tree>>>{},
             std::type_identity<std::map<int, std::vector<is::Tree>>>{}) ==
        Dropped{{"<value>.<element>.gone", "colour"}});
  CHECK(lost(std::type_identity<was::Forest>{}, std::type_identity<is::Forest>{}) ==
        Dropped{{"dropped", ""}});
  CHECK(lost(std::type_identity<was::Order>{}, std::type_identity<is::Order>{}) ==
        Dropped{{"customer", "currency"}});
  // What cannot be read at all is refused elsewhere.
  CHECK(lost(new_tree, old_tree).empty());
}

TEST_CASE("what has not changed is not touched", "[state]") {
  const auto plan = migration<was::Order, was::Order>();
  REQUIRE(plan);
  CHECK(plan->changes_nothing());
  const auto tree = migration<was::Tree, was::Tree>();
  REQUIRE(tree);
  CHECK(tree->changes_nothing());
  const auto changed = migration<was::Tree, is::Tree>();
  REQUIRE(changed);
  CHECK_FALSE(changed->changes_nothing());
}

TEST_CASE("bytes that are no value fail the reader at every length", "[state]") {
  const auto plan = migration<was::Order, is::Order>();
  REQUIRE(plan);
  const std::string whole =
      encode_value(was::Order{"me", 1, {{1, 2}}, was::Colour::red, 2, {{"a", {}}}, "b", {}});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    ByteReader reader(std::string_view(whole).substr(0, length));
    std::string out;
    plan->migrate(reader, out);
    CHECK(reader.failed());
  }
  // A count that no bytes stand for.
  const auto counted = migration<std::vector<std::int32_t>, std::vector<std::int64_t>>();
  REQUIRE(counted);
  ByteReader reader(std::string_view("\xff\xff\xff\xff", 4));
  std::string out;
  counted->migrate(reader, out);
  CHECK(reader.failed());
  CHECK(out.size() < 100);
}

}  // namespace
}  // namespace weir::test
