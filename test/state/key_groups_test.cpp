#include "state/key_groups.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "state/key_context.hpp"
#include "test/state/memory_storage.hpp"

namespace weir {

TEST_CASE("the default maximum parallelism is Flink's", "[state]") {
  CHECK(default_max_parallelism(1) == 128);
  CHECK(default_max_parallelism(85) == 128);
  CHECK(default_max_parallelism(86) == 256);
  CHECK(default_max_parallelism(128) == 256);
  CHECK(default_max_parallelism(20000) == 32768);
  CHECK(default_max_parallelism(32768) == 32768);
  CHECK(default_max_parallelism(~std::uint32_t{0}) == 32768);
}

SCENARIO("subtasks share all key groups, each in one piece", "[state]") {
  for (const std::uint32_t max : {1U, 2U, 3U, 7U, 127U, 128U, 1000U, 4096U, 32768U}) {
    for (std::uint32_t p = 1; p <= std::min(max, 40U); ++p) {
      std::uint32_t next = 0;
      for (std::uint32_t subtask = 0; subtask < p; ++subtask) {
        const auto range = key_group_range(subtask, p, max);
        REQUIRE(range.first == next);
        REQUIRE(range.size() >= max / p);
        REQUIRE(range.size() <= max / p + 1);
        for (std::uint32_t group = range.first; group < range.end; ++group) {
          REQUIRE(subtask_of(group, p, max) == subtask);
          REQUIRE(range.contains(group));
        }
        REQUIRE_FALSE(range.contains(range.end));
        next = range.end;
      }
      REQUIRE(next == max);
    }
  }
}

TEST_CASE("as many subtasks as key groups own one each", "[state]") {
  for (std::uint32_t i = 0; i < max_key_groups; ++i)
    REQUIRE(key_group_range(i, max_key_groups, max_key_groups) == KeyGroupRange{i, i + 1});
}

TEST_CASE("the mapper without a division finds the same key group", "[state]") {
  test::CountedRandom random;
  for (const std::uint32_t max : {1U, 2U, 3U, 5U, 127U, 128U, 129U, 720U, 8191U, 32767U, 32768U}) {
    const KeyGroupMapper mapper(max);
    CHECK(mapper.max_parallelism() == max);
    for (const KeyHash hash : {KeyHash{0}, ~KeyHash{0}, KeyHash{1} << 32, KeyHash{0xffffffffU}})
      REQUIRE(mapper(hash) == key_group_of(hash, max));
    for (int i = 0; i < 100'000; ++i) {
      const KeyHash hash = random.next();
      REQUIRE(mapper(hash) == key_group_of(hash, max));
    }
  }
}

TEST_CASE("the hash of a key is the hash of its canonical encoding", "[state]") {
  const auto canonical = [](const auto& key) {
    std::string bytes;
    ByteWriter writer(bytes);
    encode_key(key, writer);
    return hash_bytes(bytes);
  };
  CHECK(hash_key(std::int64_t{42}) == canonical(std::int64_t{42}));
  CHECK(hash_key(true) == canonical(true));
  for (const std::size_t size : {0U, 1U, 255U, 256U, 257U, 5000U}) {
    const std::string key(size, 'k');
    CHECK(hash_key(key) == canonical(key));
  }
  CHECK(hash_key(0.0) == hash_key(-0.0));
  CHECK(hash_key(std::numeric_limits<double>::quiet_NaN()) ==
        hash_key(-std::numeric_limits<double>::signaling_NaN()));
  CHECK(hash_key(1.0) != hash_key(2.0));
}

TEST_CASE("a compact key is its canonical encoding, zero-extended", "[state]") {
  CHECK(compact_key(std::int8_t{-1}) == 0xff);
  CHECK(compact_key(std::uint32_t{7}) == 7);
  CHECK(compact_key(std::int64_t{-1}) == ~std::uint64_t{0});
  CHECK(compact_key(-0.0) == compact_key(0.0));
  CHECK(compact_key(std::pair<std::uint16_t, std::uint16_t>{1, 2}) == 0x00020001);
  CHECK(compact_key(1.5F) == std::bit_cast<std::uint32_t>(1.5F));
  static_assert(!is_compact_key<std::string>);
  static_assert(!is_compact_key<std::pair<std::int64_t, std::int8_t>>);
}

}  // namespace weir
