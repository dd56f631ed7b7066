// The bytes of docs/formats/snapshot.md, "Test vectors". A released format never changes: if a vector
// fails, the code is wrong, or it is a new version.
#include "test/format_vectors.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "state/frozen_table.hpp"
#include "state/keyed_state.hpp"
#include "test/state/memory_payload.hpp"
#include "test/state/snapshot_samples.hpp"
#include "test/state/state_clock.hpp"

namespace weir {
namespace format_vectors {

struct Bid {
  std::int64_t auction = 0;
  double price = 0;
};
WEIR_FIELDS(Bid, auction, price)

constexpr std::uint64_t file_id = 0x1122334455667788U;
const JobId job{0x0123456789abcdefU, 0xfedcba9876543210U};

constexpr std::string_view bid_value = "2a00000000000000000000000000f83f";
constexpr std::string_view bid_schema =
    "1203000000426964000000000000000000000000020000000500000000070000"
    "0061756374696f6e0000000000000000000000000b0000000005000000707269"
    "6365000000000000000000000000";
constexpr std::string_view weir_key = "0400000077656972";
constexpr std::string_view weir_hash = "75f25bd2a7af9a96";
constexpr std::string_view weir_entry =
    "0f000000003908000000040000007765697200080000000300000000000000";
constexpr std::string_view number_entry = "00382a0000000000000000";
constexpr std::string_view map_entry =
    "1300000000382a000000000000000004000000776569721000000000"
    "68e5cf8b0100000300000000000000";
constexpr std::string_view hello_blocks =
    "169f3eb4ca95de3f887766554433221100000000000000000500000001000000"
    "68656c6c6f";
constexpr std::string_view empty_blocks =
    "005288dcffd338da887766554433221100000000000000000000000001000000";
constexpr std::string_view metadata_file =
    "57454952534e4150010000000000000088776655443322113101000000000000"
    "3123c9ea678594d98bce3dd9d0b2530188776655443322110000000000000000"
    "310100000100000001efcdab89674523011032547698badcfe0a000000776f72"
    "642d636f756e7407000000000000000200000000000000010000000068e5cf8b"
    "010000fa68e5cf8b010000010000000000000000000000000000001f00000000"
    "0000001f0000000f000000003908000000040000007765697200080000000300"
    "000000000000000100000006000000636f756e74730b000000636f756e742077"
    "6f7264730001000000800000000100000005000000636f756e7401010c000000"
    "0000000000000000000000000000000000050000000000000000000000000000"
    "0000000000000100000000000000000100000005000000636f756e7400000000"
    "010000003900000000000000000000001f000000000000000100000000000000"
    "a6229955c751342c0000000000000000000000000000000000";
constexpr std::string_view map_image =
    "01080000000000010000000000000000010000000811000000"
    "2a00000000000000000400000077656972"
    "0068e5cf8b0100000300000000000000";
constexpr std::string_view whole_image =
    "01080000000001050000000000000001000000000000000001000000012a0000"
    "00000000000300000000000000";
constexpr std::string_view changed_image =
    "00080000000001050000000000000001000000000000000001000000012a0000"
    "00000000000400000000000000";
constexpr std::string_view pointer_file =
    "57454952504e5452010000000000000088776655443322115b00000000000000"
    "22601c535d7e0a617cde7c461d16e93a88776655443322110000000000000000"
    "5b00000001000000efcdab89674523011032547698badcfe0a000000776f7264"
    "2d636f756e7407000000000000000200000000000000fa68e5cf8b0100002100"
    "00002f73702f73617665706f696e742d3031323334352d306131623263336434"
    "653566";

using test::hex;
using test::unhex;

std::string blocks_of(std::string_view payload) {
  test::MemoryStorage storage;
  auto output = storage.create("/f");
  BlockWriter writer(**output, file_id);
  REQUIRE(writer.append(payload));
  REQUIRE(writer.finish());
  REQUIRE((*output)->publish());
  return storage.bytes("/f");
}

/// One entry of keyed state: the word "weir" counted 3 times, at maximum parallelism 128.
std::string entry_of_weir() {
  std::string out;
  const std::string word = "weir";
  test::append_entry({key_group_of(hash_key(word), 128), encode_value(word), {}, {}}, 0,
                     encode_value(std::int64_t{3}), out);
  return out;
}

/// The smallest snapshot with keyed state: that entry, inline.
SnapshotMetadata small_snapshot() {
  const std::string entry = entry_of_weir();
  SnapshotMetadata metadata;
  metadata.kind = SnapshotKind::savepoint;
  metadata.job = job;
  metadata.job_name = "word-count";
  metadata.checkpoint = {7};
  metadata.epoch = {2};
  metadata.attempt = 1;
  metadata.triggered_at_ms = 1'700'000'000'000;
  metadata.completed_at_ms = 1'700'000'000'250;
  metadata.locations.push_back({"", 0, entry.size(), SharedBytes(entry)});
  OperatorSnapshot counts{"counts", "count words", false, 1, 128, {}, {}};
  counts.states.push_back(
      {"count", StateKind::value, schema_of<std::string>(), schema_of<std::int64_t>()});
  const KeyGroupExtent extent{key_group_of(hash_key(std::string("weir")), 128), 0, entry.size(), 1,
                              test::checksum(entry)};
  counts.subtasks.push_back({0, false, {{"count", 0, {extent}}}, {}, {}});
  metadata.operators.push_back(counts);
  return metadata;
}

const SavepointPointer small_pointer{job, "word-count",      {7},
                                     {2}, 1'700'000'000'250, "/sp/savepoint-012345-0a1b2c3d4e5f"};

TEST_CASE("values, schemas, keys and entries have the documented bytes", "[state]") {
  CHECK(hex(encode_value(Bid{42, 1.5})) == bid_value);
  CHECK(hex(encode_value(schema_of<Bid>())) == bid_schema);
  CHECK(hex(encode_value(std::string("weir"))) == weir_key);
  std::string hash;
  ByteWriter(hash).big_endian(hash_key(std::string("weir")));
  CHECK(hex(hash) == weir_hash);
  CHECK(hex(entry_of_weir()) == weir_entry);
  std::string numbered;
  append_entry_key(
      {key_group_of(hash_key(std::int64_t{42}), 128), encode_value(std::int64_t{42}), {}, {}}, 8,
      numbered);
  CHECK(hex(numbered) == number_entry);
  std::string of_map;
  append_entry_key({key_group_of(hash_key(std::int64_t{42}), 128),
                    encode_value(std::int64_t{42}),
                    {},
                    encode_value(std::string("weir"))},
                   8, of_map);
  CHECK(hex(encode_value(of_map) +
            encode_value(encode_value(Timed<std::int64_t>{1'700'000'000'000, 3}))) == map_entry);
}

TEST_CASE("segment images have the documented bytes", "[state]") {
  const KeyGroupRange groups{0, 1};
  Table<std::int64_t> counts(
      {"count", StateKind::value, schema_of<std::uint64_t>(), schema_of<std::int64_t>()},
      {groups, 1, 8});
  const auto set = [&](std::uint64_t word, std::int64_t value) {
    KeyContext key;
    key.word = word;
    key.hash = hash_key(word);
    counts.find_or_insert(key) = value;
  };
  const auto images = [&](std::uint32_t base) {
    const auto frozen = counts.freeze();
    test::BytesSink sink;
    REQUIRE(frozen->write_images(0, base, sink));
    counts.confirm(frozen->epoch());
    return std::pair(hex(sink.bytes), frozen->epoch());
  };
  set(0, 5);
  set(42, 3);
  const auto [whole, epoch] = images(0);
  CHECK(whole == whole_image);
  set(42, 4);
  CHECK(images(epoch).first == changed_image);

  // It says what lies in memory, however long ago that has expired.
  test::StateClock clock;
  const auto time = std::make_shared<StateTime>(clock);
  KeyContext key;
  key.word = 42;
  key.hash = hash_key(std::int64_t{42});
  auto [pages, map] = make_state(
      MapStateDescriptor<std::string, std::int64_t>{"pages",
                                                    StateTtlConfig{std::chrono::seconds(1)}},
      schema_of<std::int64_t>(), {groups, 1, 8}, &key, time);
  map.put("weir", 3);
  clock.advance(std::chrono::hours(1));
  test::BytesSink sink;
  REQUIRE(pages->freeze()->write_images(0, 0, sink));
  CHECK(hex(sink.bytes) == map_image);
}

TEST_CASE("block files have the documented bytes", "[state]") {
  CHECK(hex(blocks_of("hello")) == hello_blocks);
  CHECK(hex(blocks_of("")) == empty_blocks);
}

TEST_CASE("metadata and pointers have the documented bytes and read back from them", "[state]") {
  CHECK(hex(encode_metadata(small_snapshot(), file_id)) == metadata_file);
  CHECK(decode_metadata(unhex(metadata_file), "vector") == small_snapshot());

  CHECK(hex(encode_document("WEIRPNTR", 1, file_id, encode_value(small_pointer))) == pointer_file);
  test::MemoryStorage storage;
  storage.put("/pointer", unhex(pointer_file));
  CHECK(read_savepoint_pointer(storage, "/pointer") == small_pointer);
}

TEST_CASE("the documentation shows the same bytes", "[state]") {
  for (const auto vector : {bid_value, bid_schema, weir_key, weir_hash, weir_entry, number_entry,
                            map_entry, whole_image, changed_image, map_image, hello_blocks,
                            empty_blocks, metadata_file, pointer_file}) {
    INFO(vector);
    CHECK(test::is_documented(vector));
  }
}

}  // namespace format_vectors
}  // namespace weir
