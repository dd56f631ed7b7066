#include "state/codec.hpp"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "state/time_to_live.hpp"

namespace weir {
namespace codec_test {

enum class Colour : std::uint8_t { red = 1, green = 5 };
WEIR_ENUM(Colour, red, green)
enum class Level : std::int16_t {};  // not described: any number is a level

struct Point {
  std::int32_t x = 0;
  std::int32_t y = 0;
  bool operator==(const Point&) const = default;
};
WEIR_FIELDS(Point, x, y)

struct Tree {
  std::int64_t value = 0;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
WEIR_FIELDS(Tree, value, children)

struct Nothing {
  bool operator==(const Nothing&) const = default;
};
WEIR_NO_FIELDS(Nothing)

/// A foreign type and its mirror.
struct Celsius {
  double degrees = 0;
};
struct CelsiusMirror {
  double degrees = 0;
  CelsiusMirror() = default;
  explicit CelsiusMirror(const Celsius& foreign) : degrees(foreign.degrees) {}
  explicit operator Celsius() const { return {degrees}; }
};
WEIR_FIELDS(CelsiusMirror, degrees)
WEIR_AS(Celsius, CelsiusMirror)

/// A type that only its own serializer can write.
class Sketch {
 public:
  Sketch() = default;
  explicit Sketch(std::vector<bool> bits, int rate = 0) : bits_(std::move(bits)), rate_(rate) {}
  const std::vector<bool>& bits() const { return bits_; }
  int rate() const { return rate_; }
  bool operator==(const Sketch&) const = default;

 private:
  std::vector<bool> bits_;
  int rate_ = 0;
};
/// Version 1 had no rate.
struct SketchSerializer {
  static constexpr std::string_view name = "sketch";
  static constexpr std::uint16_t version = 2;
  static constexpr std::uint16_t oldest_version = 1;
  static void write(const Sketch& sketch, ByteWriter& writer) {
    writer.number(static_cast<std::uint8_t>(sketch.rate()));
    for (const bool bit : sketch.bits()) writer.number(static_cast<std::uint8_t>(bit));
  }
  static void read(ByteReader& reader, std::uint16_t version_written, Sketch& sketch) {
    const int rate = version_written >= 2 ? reader.number<std::uint8_t>() : -1;
    std::vector<bool> bits;
    while (reader.remaining() > 0) bits.push_back(reader.number<std::uint8_t>() != 0);
    sketch = Sketch(std::move(bits), rate);
  }
  static std::size_t heap_bytes(const Sketch& sketch) { return sketch.bits().capacity() / 8; }
};
WEIR_SERIALIZER(Sketch, SketchSerializer)

/// A trivially copyable one, the first two bytes of whose serializer are all there is.
struct Handle {
  std::uint16_t number = 0;
  bool operator==(const Handle&) const = default;
};
struct HandleSerializer {
  static constexpr std::string_view name = "handle";
  static constexpr std::uint16_t version = 1;
  static void write(const Handle& handle, ByteWriter& writer) { writer.number(handle.number); }
  static void read(ByteReader& reader, std::uint16_t, Handle& handle) {
    handle.number = reader.number<std::uint16_t>();
  }
};
WEIR_SERIALIZER(Handle, HandleSerializer)

struct Everything {
  bool flag = false;
  std::int8_t i8 = 0;
  std::uint64_t u64 = 0;
  float f32 = 0;
  double f64 = 0;
  std::string text;
  Colour colour = Colour::red;
  Level level{};
  std::array<std::int16_t, 3> triple{};
  std::vector<std::string> list;
  std::deque<bool> queue;
  std::set<std::string> names;
  std::unordered_set<std::int64_t> numbers;
  std::map<std::string, Point> places;
  std::unordered_map<std::string, double> prices;
  std::optional<Point> maybe;
  std::pair<std::int32_t, std::string> pair;
  std::tuple<Nothing, std::int8_t> tuple;
  std::variant<std::int64_t, std::string> either;
  std::chrono::milliseconds duration{};
  SharedBytes shared;
  Tree tree;
  bool operator==(const Everything&) const = default;
};
WEIR_FIELDS(Everything, flag, i8, u64, f32, f64, text, colour, level, triple, list, queue, names,
            numbers, places, prices, maybe, pair, tuple, either, duration, shared, tree)

Everything sample() {
  Everything it;
  it.flag = true;
  it.i8 = -8;
  it.u64 = ~std::uint64_t{0};
  it.f32 = -0.0F;
  it.f64 = 1e300;
  it.text = std::string("a\0b", 3);
  it.colour = Colour::green;
  it.level = Level{-7};
  it.triple = {1, -2, 3};
  it.list = {"", "one", std::string(1000, 'x')};
  it.queue = {true, false, true};
  it.names = {"b", "a"};
  it.numbers = {5, -5, 0};
  it.places = {{"here", {1, 2}}, {"there", {3, 4}}};
  it.prices = {{"x", 1.5}, {"y", -2}};
  it.maybe = Point{7, 8};
  it.pair = {9, "nine"};
  it.tuple = {Nothing{}, std::int8_t{3}};
  it.either = std::string("text");
  it.duration = std::chrono::milliseconds(-1);
  it.shared = SharedBytes("bytes");
  it.tree = {1, {{2, {}}, {3, {{4, {}}}}}};
  return it;
}

template <class T>
std::string key_bytes(const T& key) {
  std::string bytes;
  ByteWriter writer(bytes);
  encode_key(key, writer);
  return bytes;
}

template <class T>
void check_round_trip(const T& value) {
  const std::string bytes = encode_value(value);
  const auto back = decode_value<T>(bytes, "value");
  REQUIRE(back);
  CHECK(*back == value);
  CHECK(encode_value(*back) == bytes);
  CHECK(bytes.size() >= Codec<T>::min_width);
  if (Codec<T>::fixed_width != 0) CHECK(bytes.size() == Codec<T>::fixed_width);
}

TEST_CASE("every kind of value reads back as it was written", "[state]") {
  check_round_trip(true);
  check_round_trip(std::int8_t{-128});
  check_round_trip(std::uint16_t{65535});
  check_round_trip(std::numeric_limits<std::int64_t>::min());
  check_round_trip(std::numeric_limits<double>::denorm_min());
  check_round_trip(std::string());
  check_round_trip(Colour::green);
  check_round_trip(Point{1, -1});
  check_round_trip(std::vector<std::int32_t>{1, 2, 3});
  check_round_trip(std::vector<bool>{true, false});
  check_round_trip(std::vector<Nothing>(1000));
  check_round_trip(std::optional<std::string>());
  check_round_trip(std::map<std::int64_t, std::vector<std::string>>{{1, {"a"}}, {-1, {}}});
  check_round_trip(std::variant<std::int8_t, std::int8_t>(std::in_place_index<1>, std::int8_t{3}));
  check_round_trip(Everything());
  check_round_trip(sample());
}

template <class T>
void check_width() {
  INFO(to_string(schema_of<T>()));
  CHECK(fixed_width(schema_of<T>()) == Codec<T>::fixed_width);
}
template <class... Ts>
void check_widths() {
  (check_width<Ts>(), ...);
}

TEST_CASE("a schema says of what width its values are", "[state]") {
  check_widths<bool, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
               std::uint16_t, std::uint32_t, std::uint64_t, float, double, Colour, Level>();
  check_widths<std::string, SharedBytes, std::vector<int>, std::deque<bool>, std::set<int>,
               std::unordered_set<int>, std::map<int, int>, std::unordered_map<int, int>,
               std::optional<int>, std::variant<int, int>, std::shared_ptr<const int>>();
  check_widths<Point, Nothing, Tree, Everything, Sketch, Handle, Celsius, Timed<Point>,
               Timed<std::string>, Timed<Nothing>, std::chrono::milliseconds>();
  check_widths<std::pair<std::int8_t, double>, std::pair<int, Nothing>, std::tuple<>,
               std::tuple<Point, Point, char>, std::array<Point, 3>, std::array<int, 0>,
               std::array<std::string, 2>, std::pair<int, std::array<int, 0>>,
               std::array<std::array<std::int16_t, 5>, 7>>();
  // Of a schema that came from elsewhere.
  Schema array = schema_of<std::array<std::array<double, 2>, 2>>();
  array.number = array.children[0].number = std::numeric_limits<std::int64_t>::max();
  CHECK(fixed_width(array) == std::numeric_limits<std::uint32_t>::max());
}

TEST_CASE("a value keeps the bits of its floating-point numbers", "[state]") {
  const auto negative_zero = decode_value<double>(encode_value(-0.0), "zero");
  REQUIRE(negative_zero);
  CHECK(std::signbit(*negative_zero));
  const double odd_nan = std::bit_cast<double>(0x7ff8000000000123U);
  const auto nan = decode_value<double>(encode_value(odd_nan), "nan");
  REQUIRE(nan);
  CHECK(std::bit_cast<std::uint64_t>(*nan) == 0x7ff8000000000123U);
}

TEST_CASE("a key has one zero, one NaN and one order of unordered elements", "[state]") {
  CHECK(key_bytes(-0.0) == key_bytes(0.0));
  CHECK(key_bytes(-0.0F) == key_bytes(0.0F));
  CHECK(key_bytes(std::bit_cast<double>(0xfff8000000000123U)) ==
        key_bytes(std::numeric_limits<double>::quiet_NaN()));
  CHECK(key_bytes(std::pair<std::int8_t, double>{1, -0.0}) ==
        key_bytes(std::pair<std::int8_t, double>{1, 0.0}));
  CHECK(key_bytes(std::vector<double>{-0.0}) == key_bytes(std::vector<double>{0.0}));
  CHECK(key_bytes(std::optional<float>(-0.0F)) == key_bytes(std::optional<float>(0.0F)));

  std::unordered_set<std::int64_t> forward;
  std::unordered_set<std::int64_t> backward;
  backward.rehash(4096);
  for (std::int64_t i = 0; i < 500; ++i) {
    forward.insert(i);
    backward.insert(499 - i);
  }
  CHECK(key_bytes(forward) == key_bytes(backward));
  CHECK(encode_value(forward) == encode_value(backward));
}

TEST_CASE("celsius crosses by its mirror", "[state]") {
  const auto back = decode_value<Celsius>(encode_value(Celsius{36.6}), "temperature");
  REQUIRE(back);
  CHECK(back->degrees == 36.6);
  CHECK(schema_of<Celsius>() == schema_of<CelsiusMirror>());
}

SCENARIO("hostile bytes fail to decode and allocate nothing large", "[state]") {
  GIVEN("a value of every kind") {
    const std::string bytes = encode_value(sample());
    WHEN("it is cut off anywhere") {
      THEN("it does not decode") {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
          const auto cut = decode_value<Everything>(bytes.substr(0, size), "the value");
          REQUIRE_FALSE(cut);
          REQUIRE(cut.error().code == Errc::corruption);
        }
      }
    }
    WHEN("a byte follows") {
      THEN("it does not decode") {
        CHECK_FALSE(decode_value<Everything>(bytes + "x", "the value"));
      }
    }
    WHEN("any byte is any other") {
      THEN("it decodes to something or fails, and nothing else happens") {
        for (std::size_t i = 0; i < bytes.size(); i += i < 300 ? 1 : 37) {
          for (int value = 0; value < 256; value += 5) {
            std::string changed = bytes;
            changed[i] = static_cast<char>(value);
            (void)decode_value<Everything>(changed, "the value");
          }
        }
      }
    }
  }
  GIVEN("counts and lengths that promise more than there is") {
    std::string bytes;
    ByteWriter writer(bytes);
    writer.number(~std::uint32_t{0});
    writer.raw("0123456789");
    THEN("no container and no string believes them") {
      CHECK_FALSE(decode_value<std::string>(bytes, "s"));
      CHECK_FALSE(decode_value<std::vector<std::int64_t>>(bytes, "v"));
      CHECK_FALSE(decode_value<std::vector<Nothing>>(bytes, "n"));
      CHECK_FALSE((decode_value<std::map<std::string, std::string>>(bytes, "m")));
      CHECK_FALSE(decode_value<std::unordered_set<std::int8_t>>(bytes, "u"));
      CHECK_FALSE(decode_value<SharedBytes>(bytes, "b"));
    }
  }
  GIVEN("a tree that is nested deeper than 64 levels") {
    const auto nested = [](int depth) {
      std::string bytes;
      ByteWriter writer(bytes);
      for (int i = 0; i < depth; ++i) {
        writer.number(std::int64_t{i});
        writer.number(std::uint32_t{i + 1 < depth ? 1U : 0U});
      }
      return bytes;
    };
    THEN("64 levels decode and 65 or 100,000 fail instead of exhausting the stack") {
      CHECK(decode_value<Tree>(nested(64), "tree"));
      CHECK_FALSE(decode_value<Tree>(nested(65), "tree"));
      CHECK_FALSE(decode_value<Tree>(nested(100'000), "tree"));
    }
  }
  GIVEN("values that no writer writes") {
    THEN("they fail") {
      CHECK_FALSE(decode_value<bool>("\2", "flag"));
      CHECK_FALSE(decode_value<Colour>("\2", "colour"));
      CHECK_FALSE(decode_value<std::optional<std::int8_t>>("\2x", "optional"));
      CHECK_FALSE((decode_value<std::variant<std::int8_t, bool>>("\2x", "variant")));
    }
  }
}

TEST_CASE("a type with a serializer of its own is written by it", "[state]") {
  const Sketch sketch({true, false, true}, 7);
  const std::string bytes = encode_value(sketch);
  CHECK(bytes == std::string("\6\0\0\0\2\0\7\1\0\1", 10));
  CHECK(decode_value<Sketch>(bytes, "it") == Result<Sketch>(sketch));
  const std::map<std::string, Sketch> sketches{{"a", sketch}, {"b", Sketch()}};
  check_round_trip(sketches);
  check_round_trip(Handle{513});
  CHECK(to_string(schema_of<Sketch>()) == "raw sketch version 2 reading from 1");
  CHECK(to_string(schema_of<Handle>()) == "raw handle version 1");
  CHECK(check_schema(schema_of<std::map<std::string, Sketch>>()));
  CHECK(memory_usage(sketch) > sizeof(Sketch));
  CHECK(memory_usage(Handle{}) == sizeof(Handle));

  ByteReader reader(bytes);
  std::string json;
  REQUIRE(append_json(schema_of<Sketch>(), reader, json));
  CHECK(json == "\"020007010001\"");
}

TEST_CASE("a serializer reads the versions that it says it reads", "[state]") {
  const std::string first("\4\0\0\0\1\0\1\1", 8);
  CHECK(decode_value<Sketch>(first, "it") == Result<Sketch>(Sketch({true, true}, -1)));
  for (const std::string& bad :
       {std::string("\4\0\0\0\3\0\1\1", 8), std::string("\4\0\0\0\0\0\1\1", 8),
        std::string("\1\0\0\0\1", 5), std::string("\0\0\0\0", 4), std::string("\4\0\0\0\1\0", 6)})
    CHECK_FALSE(decode_value<Sketch>(bad, "it"));
  // Fewer bytes than it wants, and more.
  CHECK_FALSE(decode_value<Handle>(std::string("\3\0\0\0\1\0\5", 7), "it"));
  CHECK_FALSE(decode_value<Handle>(std::string("\5\0\0\0\1\0\5\5\5", 9), "it"));
}

TEST_CASE("a string whose length does not fit is not written", "[state]") {
  std::string bytes;
  ByteWriter writer(bytes);
  const char one = 'x';
  // Nobody reads behind the first: its length is looked at before.
  CHECK_THROWS_AS(writer.string({&one, std::size_t{1} << 32}), std::length_error);
  CHECK(bytes.empty());
}

TEST_CASE("a failed decode names what it was reading", "[state]") {
  const auto failed = decode_value<Point>("123", "the point of state 'p'");
  REQUIRE_FALSE(failed);
  CHECK_THAT(failed.error().what, Catch::StartsWith("the point of state 'p' does not decode"));
}

TEST_CASE("memory usage counts heap", "[state]") {
  CHECK(memory_usage(Point{}) == sizeof(Point));
  CHECK(memory_usage(std::string(1000, 'x')) >= sizeof(std::string) + 1000);
  CHECK(memory_usage(std::vector<std::string>{std::string(1000, 'x')}) >=
        sizeof(std::vector<std::string>) + sizeof(std::string) + 1000);
  CHECK(memory_usage(sample()) > sizeof(Everything) + 1000);
}

}  // namespace codec_test
}  // namespace weir
