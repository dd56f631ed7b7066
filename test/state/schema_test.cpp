#include "state/schema.hpp"

#include <limits>

#include <catch2/catch.hpp>

#include "state/codec.hpp"

namespace weir {
namespace schema_test {

enum class Side : std::uint8_t { buy = 1, sell = 2 };
WEIR_ENUM(Side, buy, sell)
enum class Flag : bool { off, on };
WEIR_ENUM(Flag, off, on)

struct Bid {
  std::int64_t auction = 0;
  double price = 0;
};
WEIR_FIELDS(Bid, auction, price)

struct Offer {
  std::int64_t auction = 0;
  double price = 0;
};
WEIR_FIELDS(Offer, auction, price)

struct IntegerBid {
  std::int64_t auction = 0;
  std::int64_t price = 0;
};
WEIR_FIELDS(IntegerBid, auction, price)

struct LongerBid {
  std::int64_t auction = 0;
  double price = 0;
  std::string comment;
};
WEIR_FIELDS(LongerBid, auction, price, comment)

struct RenamedBid {
  std::int64_t auction = 0;
  double amount = 0;
};
WEIR_FIELDS(RenamedBid, auction, amount)

struct SwappedBid {
  double price = 0;
  std::int64_t auction = 0;
};
WEIR_FIELDS(SwappedBid, price, auction)

struct Order {
  Side side = Side::buy;
  std::vector<Bid> bids;
  std::map<std::string, std::optional<Bid>> best;
};
WEIR_FIELDS(Order, side, bids, best)

struct ChangedOrder {
  Side side = Side::buy;
  std::vector<Bid> bids;
  std::map<std::string, std::optional<IntegerBid>> best;
};
WEIR_FIELDS(ChangedOrder, side, bids, best)

struct Node {
  std::int32_t value = 0;
  std::vector<Node> children;
};
WEIR_FIELDS(Node, value, children)
struct Knot {
  std::int32_t value = 0;
  std::vector<Knot> children;
};
WEIR_FIELDS(Knot, value, children)

template <class T>
std::string json_of(const T& value) {
  const std::string bytes = encode_value(value);
  ByteReader reader(bytes);
  std::string json;
  const Status status = append_json(schema_of<T>(), reader, json);
  REQUIRE(status);
  CHECK(reader.complete());
  return json;
}

TEST_CASE("a schema is one line for people", "[state]") {
  CHECK(to_string(schema_of<Bid>()) == "Bid{auction: int64, price: float64}");
  CHECK(to_string(schema_of<std::map<std::string, std::vector<Bid>>>()) ==
        "map<string, list<Bid{auction: int64, price: float64}>>");
  CHECK(to_string(schema_of<std::pair<bool, std::string>>()) == "(bool, string)");
  CHECK(to_string(schema_of<std::array<float, 3>>()) == "array<float32, 3>");
  CHECK(to_string(schema_of<std::optional<std::uint8_t>>()) == "optional<uint8>");
  CHECK(to_string(schema_of<std::variant<std::int16_t, std::string>>()) ==
        "variant<int16, string>");
  CHECK(to_string(schema_of<Side>()) == "enum Side{buy=1, sell=2}");
  CHECK(to_string(schema_of<Node>()) == "Node{value: int32, children: list<Node>}");
  CHECK(to_string(Schema{SchemaKind::raw, "protobuf", {}, 3, {}}) == "raw protobuf version 3");
}

TEST_CASE("values print as JSON", "[state]") {
  CHECK(json_of(true) == "true");
  CHECK(json_of(std::int8_t{-5}) == "-5");
  CHECK(json_of(~std::uint64_t{0}) == "18446744073709551615");
  CHECK(json_of(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(json_of(0.1) == "0.1");
  CHECK(json_of(0.1F) == "0.1");
  CHECK(json_of(std::numeric_limits<double>::infinity()) == "\"Infinity\"");
  CHECK(json_of(-std::numeric_limits<float>::infinity()) == "\"-Infinity\"");
  CHECK(json_of(std::numeric_limits<double>::quiet_NaN()) == "\"NaN\"");
  CHECK(json_of(Bid{7, 1.5}) == R"({"auction":7,"price":1.5})");
  CHECK(json_of(std::vector<std::int32_t>{1, 2}) == "[1,2]");
  CHECK(json_of(std::set<std::string>{"a", "b"}) == R"(["a","b"])");
  CHECK(json_of(std::array<bool, 2>{true, false}) == "[true,false]");
  CHECK(json_of(std::map<std::string, std::int32_t>{{"a", 1}, {"b", 2}}) == R"({"a":1,"b":2})");
  CHECK(json_of(std::map<std::int32_t, bool>{{-1, true}}) == R"({"-1":true})");
  CHECK(json_of(std::map<Side, bool>{{Side::sell, true}}) == R"({"sell":true})");
  CHECK(json_of(std::map<Flag, bool>{{Flag::on, true}}) == R"({"on":true})");
  CHECK(json_of(std::map<double, bool>{{std::numeric_limits<double>::infinity(), true}}) ==
        R"({"Infinity":true})");
  CHECK(json_of(std::map<std::pair<bool, bool>, std::int32_t>{{{true, false}, 1}}) ==
        "[[[true,false],1]]");
  CHECK(json_of(std::optional<std::int32_t>()) == "null");
  CHECK(json_of(std::optional<std::int32_t>(3)) == "3");
  CHECK(json_of(std::variant<std::int32_t, std::string>("x")) == R"({"index":1,"value":"x"})");
  CHECK(
      json_of(Node{1, {{2, {}}, {3, {{4, {}}}}}}) ==
      R"({"value":1,"children":[{"value":2,"children":[]},{"value":3,"children":[{"value":4,"children":[]}]}]})");
}

TEST_CASE("strings are escaped, bytes that are no UTF-8 one by one", "[state]") {
  CHECK(json_of(std::string("a\"\\\n\t\1\x7f")) == R"("a\"\\\n\t\u0001\u007f")");
  CHECK(json_of(std::string("Grüße €𝄞")) == "\"Grüße €𝄞\"");
  CHECK(json_of(std::string("\xff"
                            "a")) == R"("\u00ffa")");
  CHECK(json_of(std::string("\xc0\x80")) == R"("\u00c0\u0080")");            // overlong
  CHECK(json_of(std::string("\xed\xa0\x80")) == R"("\u00ed\u00a0\u0080")");  // a surrogate
  CHECK(json_of(std::string("\xf4\x90\x80\x80")) == R"("\u00f4\u0090\u0080\u0080")");
  CHECK(json_of(std::string("\xe2\x82")) == R"("\u00e2\u0082")");  // cut off
}

TEST_CASE("a raw value prints as hex", "[state]") {
  const std::string bytes("\4\0\0\0\xde\xad\0\1", 8);
  ByteReader reader(bytes);
  std::string json;
  REQUIRE(append_json(Schema{SchemaKind::raw, "mine", {}, 1, {}}, reader, json));
  CHECK(json == "\"dead0001\"");
}

SCENARIO("bytes that do not fit their schema are refused", "[state]") {
  const auto fails = [](const Schema& schema, std::string_view bytes) {
    ByteReader reader(bytes);
    std::string json;
    const Status status = append_json(schema, reader, json);
    return !status && status.error().code == Errc::corruption;
  };
  GIVEN("a value that is cut off") {
    const Order order{Side::sell, {{1, 2}}, {{"x", Bid{3, 4}}}};
    const std::string bytes = encode_value(order);
    THEN("it does not print") {
      for (std::size_t size = 0; size < bytes.size(); ++size)
        REQUIRE(fails(schema_of<Order>(), std::string_view(bytes).substr(0, size)));
    }
  }
  GIVEN("impossible values") {
    THEN("they do not print") {
      CHECK(fails(schema_of<bool>(), "\2"));
      CHECK(fails(schema_of<Side>(), "\3"));
      CHECK(fails(schema_of<std::optional<bool>>(), "\2"));
      CHECK(fails(schema_of<std::variant<bool, bool>>(), "\2\1"));
      CHECK(fails(schema_of<std::vector<std::string>>(), "\xff\xff\xff\xff"));
    }
  }
  GIVEN("schemas that promise endless values of no bytes") {
    const Schema nothing{SchemaKind::structure, "N", {}, 0, {}};
    const Schema many{
        SchemaKind::array, {}, {}, std::numeric_limits<std::int64_t>::max(), {nothing}};
    Schema endless{SchemaKind::structure, "E", {}, 0, {}};
    endless.children.push_back({SchemaKind::reference, "E", "a", 0, {}});
    endless.children.push_back({SchemaKind::reference, "E", "b", 0, {}});
    const Schema pairs{SchemaKind::map, {}, {}, 0, {nothing, nothing}};
    THEN("they end with an error") {
      CHECK(fails(many, ""));
      CHECK(fails(Schema{SchemaKind::array, {}, {}, 1 << 30, {many}}, ""));
      CHECK(fails(endless, ""));
      CHECK(fails(pairs, "\xff\xff\xff\xff"));
    }
  }
  GIVEN("schemas that are malformed") {
    const Schema integer{SchemaKind::int32, {}, {}, 0, {}};
    const Schema text{SchemaKind::string, {}, {}, 0, {}};
    const std::vector<Schema> malformed = {
        {SchemaKind::list, {}, {}, 0, {}},
        {SchemaKind::list, {}, {}, 0, {integer, integer}},
        {SchemaKind::map, {}, {}, 0, {integer}},
        {SchemaKind::array, {}, {}, -1, {integer}},
        {SchemaKind::variant, {}, {}, 0, {}},
        {SchemaKind::variant, {}, {}, 0, std::vector<Schema>(257, integer)},
        {SchemaKind::optional, {}, {}, 0, {}},
        {SchemaKind::enumeration, {}, {}, 0, {}},
        {SchemaKind::enumeration, {}, {}, 0, {text}},
        {SchemaKind::enumeration, {}, {}, 0, {integer, integer}},
        {SchemaKind::structure, {}, {}, 0, {integer}},
        {SchemaKind::reference, "Nobody", {}, 0, {}},
        {SchemaKind::int32, {}, {}, 0, {integer}},
        {SchemaKind::raw, "mine", {}, 2, {integer}},
        {SchemaKind::raw, "mine", {}, 2, {{SchemaKind::string, {}, "oldest", 1, {}}}},
        {SchemaKind::raw,
         "mine",
         {},
         2,
         std::vector<Schema>(2, {SchemaKind::int64, {}, "oldest", 1, {}})},
        {SchemaKind::list, {}, {}, 0, {{SchemaKind::set, {}, {}, 0, {}}}},
    };
    THEN("each is refused before it is used") {
      for (const Schema& schema : malformed) {
        CHECK(check_schema(schema).error().code == Errc::corruption);
        CHECK(fails(schema, std::string(64, '\0')));
      }
    }
  }
  GIVEN("a schema nested very deeply") {
    Schema deep{SchemaKind::int32, {}, {}, 0, {}};
    for (int i = 0; i < 70; ++i) deep = Schema{SchemaKind::list, {}, {}, 0, {deep}};
    THEN("it is refused") { CHECK_FALSE(check_schema(deep)); }
  }
}

TEST_CASE("the schemas of described types are well formed and survive encoding", "[state]") {
  for (const Schema& schema : {schema_of<Order>(), schema_of<Node>(), schema_of<Schema>(),
                               schema_of<std::tuple<>>(), schema_of<std::variant<Bid, Node>>()}) {
    CHECK(check_schema(schema));
    CHECK(decode_value<Schema>(encode_value(schema), "schema") == schema);
  }
}

SCENARIO("state is compatible when fields agree, whatever types are called", "[state]") {
  const auto reason = [](const Schema& was, const Schema& is) {
    const Status status = check_compatible(was, is);
    if (status) return std::string("compatible");
    CHECK(status.error().code == Errc::state_incompatible);
    return status.error().what;
  };
  THEN("equal shapes are compatible") {
    CHECK(reason(schema_of<Bid>(), schema_of<Bid>()) == "compatible");
    CHECK(reason(schema_of<Bid>(), schema_of<Offer>()) == "compatible");
    CHECK(reason(schema_of<Order>(), schema_of<Order>()) == "compatible");
    CHECK(reason(schema_of<Node>(), schema_of<Knot>()) == "compatible");
    CHECK(reason(schema_of<std::map<std::string, bool>>(),
                 schema_of<std::unordered_map<std::string, bool>>()) == "compatible");
  }
  THEN("the first difference is named with its path") {
    CHECK(reason(schema_of<Bid>(), schema_of<IntegerBid>()) ==
          "field 'price' was float64, is int64");
    CHECK(reason(schema_of<std::int64_t>(), schema_of<std::string>()) ==
          "the type was int64, is string");
    CHECK(reason(schema_of<Bid>(), schema_of<LongerBid>()) == "field 'comment' was added");
    CHECK(reason(schema_of<LongerBid>(), schema_of<Bid>()) == "field 'comment' was removed");
    CHECK(reason(schema_of<Bid>(), schema_of<RenamedBid>()) ==
          "field 'price' is now called 'amount'");
    CHECK(reason(schema_of<Bid>(), schema_of<SwappedBid>()) ==
          "field 'auction' has moved to another place");
    CHECK(reason(schema_of<Order>(), schema_of<ChangedOrder>()) ==
          "field 'best.<value>.price' was float64, is int64");
    CHECK(reason(schema_of<std::array<bool, 2>>(), schema_of<std::array<bool, 3>>()) ==
          "the type was array<bool, 2>, is array<bool, 3>");
    CHECK(reason(schema_of<std::vector<Bid>>(), schema_of<std::vector<IntegerBid>>()) ==
          "field '<element>.price' was float64, is int64");
    CHECK(
        reason(schema_of<std::variant<Bid, bool>>(), schema_of<std::variant<IntegerBid, bool>>()) ==
        "field '<alternative 0>.price' was float64, is int64");
  }
  THEN("enumerators and serializers count") {
    Schema more = schema_of<Side>();
    more.children.push_back({SchemaKind::int64, {}, "hold", 3, {}});
    CHECK(reason(schema_of<Side>(), more) ==
          "the type was enum Side{buy=1, sell=2}, is enum Side{buy=1, sell=2, hold=3}");
    const Schema old_raw{SchemaKind::raw, "mine", {}, 1, {}};
    CHECK(reason(old_raw, {SchemaKind::raw, "mine", {}, 2, {}}) ==
          "the type was raw mine version 1, is raw mine version 2");
    CHECK(reason(old_raw, {SchemaKind::raw, "yours", {}, 1, {}}) != "compatible");
    const auto from = [](std::int64_t oldest) {
      return std::vector<Schema>{{SchemaKind::int64, {}, "oldest", oldest, {}}};
    };
    const Schema newer{SchemaKind::raw, "mine", {}, 3, from(1)};
    CHECK(reason(old_raw, newer) == "compatible");
    CHECK(reason({SchemaKind::raw, "mine", {}, 2, from(1)}, newer) == "compatible");
    CHECK(reason(newer, newer) == "compatible");
    CHECK(reason(newer, {SchemaKind::raw, "mine", {}, 2, from(1)}) ==
          "the type was raw mine version 3 reading from 1, is raw mine version 2 reading from 1");
    CHECK(reason(old_raw, {SchemaKind::raw, "mine", {}, 3, from(2)}) ==
          "the type was raw mine version 1, is raw mine version 3 reading from 2");
    // What the older program wrote may hold values that a still older one wrote.
    CHECK(reason(newer, {SchemaKind::raw, "mine", {}, 4, from(2)}) != "compatible");
  }
}

}  // namespace schema_test
}  // namespace weir
