#include "backends/rocksdb/stored_value.hpp"

#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/rocksdb/database_files.hpp"
#include "test/format_vectors.hpp"

namespace weir::test {
namespace {

using namespace std::string_literals;

std::string operand(std::uint32_t run, std::string bytes) {
  append_trailer(bytes, {run, static_cast<std::uint32_t>(bytes.size())});
  return bytes;
}
std::string whole(std::string bytes) {
  append_trailer(bytes);
  return bytes;
}
std::string merged(std::optional<std::string> base, const std::vector<std::string>& operands) {
  const std::vector<std::string_view> views(operands.begin(), operands.end());
  const auto result = merge_stored_values(base, views);
  REQUIRE(result);
  return *result;
}
std::string joined(const std::vector<std::string>& operands) {
  const std::vector<std::string_view> views(operands.begin(), operands.end());
  const auto result = merge_operands(views);
  REQUIRE(result);
  return *result;
}

TEST_CASE("a stored value is the canonical one and a trailer", "[backends]") {
  CHECK(whole("") == "\0"s);
  CHECK(whole("abc") == "abc\0"s);
  CHECK(operand(5, "xy") == "xy\5\0\0\0\2\0\0\0\1"s);
  CHECK(merged(whole("abc"), {operand(5, "xy")}) == "abcxy\5\0\0\0\2\0\0\0\1"s);
  CHECK(joined({operand(5, "xy"), operand(6, "z")}) == "xyz\5\0\0\0\2\0\0\0\6\0\0\0\1\0\0\0\2"s);
  const std::string stored = merged(whole("abc"), {operand(5, "xy")});
  const auto value = read_stored_value(stored);
  REQUIRE(value);
  CHECK(value->canonical == "abcxy");
  CHECK(value->below(0) == "abcxy");
  CHECK(value->below(4) == "abcxy");
  CHECK(value->below(5) == "abc");
  CHECK(value->last == StoredRun{5, 2});
  CHECK(read_stored_value(whole("abc"))->below(5) == "abc");
}

TEST_CASE("stored values and lists of files have the documented bytes", "[backends]") {
  const auto number = [](std::int64_t value) { return encode_value(value); };
  const std::string with_run = merged(whole(number(3)), {operand(5, number(4))});
  CHECK(hex(whole(number(3))) == "030000000000000000");
  CHECK(hex(with_run) == "03000000000000000400000000000000050000000800000001");
  const FileList list{{0, 128}, {{6, 0, 127, 1, 1, 1124}}};
  CHECK(hex(encode_value(list)) ==
        "0000000080000000010000000600000000"
        "7f000000010000000000000001000000000000006404000000000000");
  for (const std::string& bytes : {whole(number(3)), with_run, encode_value(list)}) {
    INFO(hex(bytes));
    CHECK(is_documented(hex(bytes)));
  }
}

TEST_CASE("a run takes the place of what was there of it, and follows what is older",
          "[backends]") {
  const auto contents = [](const std::string& stored) {
    return std::string(read_stored_value(stored).value().canonical);
  };
  const std::string base = merged(whole("0"), {operand(5, "a")});
  CHECK(contents(merged(base, {operand(5, "a")})) == "0a");
  CHECK(contents(merged(base, {operand(5, "ab"), operand(5, "abc")})) == "0abc");
  CHECK(contents(merged(base, {operand(6, "b")})) == "0ab");
  CHECK(contents(merged(base, {operand(6, "b"), operand(6, "bc"), operand(9, "d")})) == "0abcd");
  CHECK(contents(merged(std::nullopt, {operand(5, "a"), operand(7, "b")})) == "ab");
  // Elements may expire.
  CHECK(contents(merged(base, {operand(5, "")})) == "0");
  CHECK(contents(merged(base, {joined({operand(5, "ab"), operand(6, "c")}), operand(6, "cd")})) ==
        "0abcd");
}

TEST_CASE("operands may be put together in any grouping", "[backends]") {
  const std::uint64_t seed = GENERATE(range(1, 200));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::vector<std::string> operands;
  std::uint32_t run = 3;
  std::string bytes;
  for (std::uint64_t i = 0; i < 2 + random() % 12; ++i) {
    if (random() % 2 == 0) {
      run += 1 + static_cast<std::uint32_t>(random() % 3);
      bytes.clear();
    }
    if (random() % 4 != 0) bytes += static_cast<char>('a' + i);
    operands.push_back(operand(run, bytes));
  }
  const std::vector<std::optional<std::string>> bases{std::nullopt, whole("base"),
                                                      merged(whole("base"), {operand(2, "2")}),
                                                      merged(whole("base"), {operands.front()})};
  const auto& base = bases[random() % bases.size()];
  const std::string expected = merged(base, operands);
  while (operands.size() > 1) {
    const std::size_t first = random() % (operands.size() - 1);
    const std::size_t count = 2 + random() % (operands.size() - first - 1);
    const auto begin = operands.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(count);
    *begin = joined({begin, end});
    operands.erase(begin + 1, end);
    REQUIRE(merged(base, operands) == expected);
  }
}

TEST_CASE("stored values that are malformed are refused", "[backends]") {
  for (const std::string& stored :
       {""s, "abc\3"s, "\1"s, "ab\5\0\0\0\3\0\0\0\1"s, "ab\0\0\0\0\2\0\0\0\1"s,
        "xyz\5\0\0\0\2\0\0\0\6\0\0\0\2\0\0\0\2"s, "xyz\0\0\0\0\2\0\0\0\6\0\0\0\1\0\0\0\2"s,
        "xyz\6\0\0\0\2\0\0\0\6\0\0\0\1\0\0\0\2"s, "\5\0\0\0\2\0\0\0\6\0\0\0\1\0\0\2"s}) {
    CAPTURE(stored);
    CHECK_FALSE(read_stored_value(stored));
    const std::string good = operand(5, "a");
    const std::vector<std::string_view> with{good, stored};
    CHECK_FALSE(merge_stored_values(std::nullopt, with));
    CHECK_FALSE(merge_operands(with));
    CHECK_FALSE(merge_stored_values(stored, std::vector<std::string_view>{good}));
  }
  // Whole values, or what follows something that is not there, are no operands.
  const std::string no_operand = whole("a");
  CHECK_FALSE(merge_operands(std::vector<std::string_view>{no_operand, no_operand}));
  const std::string value = merged(whole("abc"), {operand(5, "xy")});
  CHECK_FALSE(merge_stored_values(std::nullopt, std::vector<std::string_view>{value}));
}

}  // namespace
}  // namespace weir::test
