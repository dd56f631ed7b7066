#include "state/snapshot_metadata.hpp"

#include <functional>

#include <catch2/catch.hpp>

#include "test/state/snapshot_samples.hpp"

namespace weir {
namespace {

const std::string path = "/d/_metadata";

SnapshotMetadata sample() {
  test::MemoryStorage storage;
  test::CountedRandom random;
  return test::write_sample(storage, "/d", random);
}

TEST_CASE("metadata reads back as it was written", "[state]") {
  for (const auto& metadata : {SnapshotMetadata(), sample()}) {
    const auto back = decode_metadata(encode_metadata(metadata, 42), path);
    REQUIRE(back);
    CHECK(*back == metadata);
  }
}

TEST_CASE("metadata with inline state of several blocks reads back", "[state]") {
  SnapshotMetadata metadata = sample();
  metadata.locations.push_back({"", 0, 200'000, SharedBytes(std::string(200'000, 'i'))});
  const auto back = decode_metadata(encode_metadata(metadata, 42), path);
  REQUIRE(back);
  CHECK(*back == metadata);
}

TEST_CASE("a state may consist of images of several checkpoints", "[state]") {
  SnapshotMetadata metadata = sample();
  auto& keyed = metadata.operators[1].subtasks[0].keyed;
  keyed[0].format = StateFormat::segments;
  keyed[0].sequence = metadata.checkpoint.value;
  for (std::uint64_t sequence = 1; sequence < metadata.checkpoint.value; ++sequence) {
    keyed.push_back(keyed[0]);
    keyed.back().sequence = sequence;
    for (auto& extent : keyed.back().groups) extent.length = 0;
  }
  REQUIRE(keyed.size() > 1);
  const auto back = decode_metadata(encode_metadata(metadata, 42), path);
  REQUIRE(back);
  CHECK(*back == metadata);
}

TEST_CASE("metadata answers what is asked of it", "[state]") {
  const SnapshotMetadata metadata = sample();
  REQUIRE(metadata.find("counts"));
  CHECK(metadata.find("counts")->name == "count words");
  CHECK(metadata.find("nobody") == nullptr);
  CHECK_FALSE(metadata.find("counts")->finished());
  CHECK(metadata.find("source")->finished());
  std::uint64_t bytes = 0;
  for (const auto& location : metadata.locations) bytes += location.size_bytes;
  CHECK(metadata.size_bytes() == bytes);
  CHECK(TaskSnapshot{metadata.locations, {}}.size_bytes() == bytes);
  // The last is inline, so it is written again; a file of an older checkpoint is not.
  TaskSnapshot task{metadata.locations, {}};
  REQUIRE(task.locations.size() == 3);
  REQUIRE(task.locations[2].file.empty());
  CHECK(task.written_bytes() == task.locations[0].size_bytes + task.locations[2].size_bytes);
  CHECK(TaskSnapshot().written_bytes() == 0);
}

SCENARIO("every flipped bit and every truncation of a metadata file is noticed", "[state]") {
  std::string bytes = encode_metadata(sample(), 42);
  REQUIRE(bytes.size() > 500);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const auto result = decode_metadata(bytes, path);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    REQUIRE_FALSE(result);
    REQUIRE(result.error().code == Errc::corruption);
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto result = decode_metadata(std::string_view(bytes).substr(0, size), path);
    REQUIRE_FALSE(result);
    REQUIRE(result.error().code == Errc::corruption);
    REQUIRE_THAT(result.error().what, Catch::StartsWith(path + ": "));
  }
  for (const std::size_t more : {1U, 8U, 65536U})
    CHECK_FALSE(decode_metadata(bytes + std::string(more, 'x'), path));
  CHECK(decode_metadata(bytes, path));
}

TEST_CASE("metadata of a newer version is refused as such", "[state]") {
  const std::string newer = encode_document("WEIRSNAP", 2, 42, "whatever version 2 may hold");
  const auto result = decode_metadata(newer, path);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::unsupported);
  CHECK(result.error().what ==
        "/d/_metadata: was written by a newer version of Weir (format 2, this one reads up to 1); "
        "use that version");
}

TEST_CASE("a file that is no metadata is called so", "[state]") {
  for (const std::string& bytes :
       {std::string(), std::string("hello, world"), std::string(100'000, '\0')}) {
    const auto result = decode_metadata(bytes, path);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().what, Catch::Contains("is no Weir snapshot metadata"));
  }
}

SCENARIO("handles that point outside are refused although every checksum is right", "[state]") {
  using Damage = std::function<void(SnapshotMetadata&)>;
  const auto counts = [](SnapshotMetadata& m) -> OperatorSnapshot& { return m.operators[1]; };
  const auto source = [](SnapshotMetadata& m) -> OperatorSnapshot& { return m.operators[0]; };
  const auto group = [counts](SnapshotMetadata& m) -> KeyGroupExtent& {
    return counts(m).subtasks[0].keyed[0].groups[0];
  };
  const auto keyed = [counts](SnapshotMetadata& m) -> KeyedStateHandle& {
    return counts(m).subtasks[0].keyed[0];
  };
  const auto elements = [source](SnapshotMetadata& m) -> OperatorStateHandle& {
    return source(m).subtasks[0].operator_states[0];
  };
  // Makes the state a list and a file.
  const auto files = [keyed](SnapshotMetadata& m) -> KeyedStateHandle& {
    KeyedStateHandle& handle = keyed(m);
    handle.format = StateFormat::files;
    handle.groups.resize(2, handle.groups[0]);
    handle.groups[0].group = 0;
    handle.groups[1].group = 1;
    handle.groups[1].length = 0;
    return handle;
  };
  {
    SnapshotMetadata metadata = sample();
    files(metadata);
    CHECK(check_consistent(metadata));
    auto& handles = counts(metadata).subtasks[0].keyed;
    handles.push_back(handles[0]);  // the same number of files in two locations
    handles[0].groups.resize(1);
    handles[1].groups.erase(handles[1].groups.begin());
    CHECK(check_consistent(metadata));
  }
  const std::vector<std::pair<std::string, Damage>> damages = {
      {"files without a list", [&](auto& m) { files(m).groups.erase(files(m).groups.begin()); }},
      {"a file that is missing", [&](auto& m) { files(m).groups[1].group = 2; }},
      {"files out of order", [&](auto& m) { std::ranges::reverse(files(m).groups); }},
      {"a file twice",
       [&](auto& m) {
         auto again = files(m);
         again.groups.erase(again.groups.begin());
         counts(m).subtasks[0].keyed.push_back(again);
       }},
      {"a list behind the files",
       [&](auto& m) {
         auto first = files(m);
         first.groups.erase(first.groups.begin());
         keyed(m).groups.resize(1);
         auto& handles = counts(m).subtasks[0].keyed;
         handles.insert(handles.begin(), first);
       }},
      {"files with a sequence", [&](auto& m) { files(m).sequence = 1; }},
      {"files beyond their location",
       [&](auto& m) { files(m).groups[1].offset = m.locations[0].size_bytes + 1; }},
      {"files and an image",
       [&](auto& m) {
         files(m);
         counts(m).subtasks[0].keyed.push_back(
             {"count", 0, {}, StateFormat::segments, m.checkpoint.value});
       }},
      {"offset beyond", [&](auto& m) { group(m).offset = m.locations[0].size_bytes + 1; }},
      {"length beyond", [&](auto& m) { group(m).length = m.locations[0].size_bytes + 1; }},
      {"offset and length overflow",
       [&](auto& m) { group(m).offset = 8, group(m).length = ~std::uint64_t{0} - 3; }},
      {"location", [&](auto& m) { counts(m).subtasks[0].keyed[0].location = 3; }},
      {"operator location", [&](auto& m) { elements(m).location = 99; }},
      {"operator offset", [&](auto& m) { elements(m).offset = 1; }},
      {"first element", [&](auto& m) { elements(m).elements[0] = 1; }},
      {"last element", [&](auto& m) { elements(m).elements[1] = elements(m).length + 1; }},
      {"elements descend", [&](auto& m) { elements(m).elements = {0, 9, 3}; }},
      {"bytes without elements", [&](auto& m) { elements(m).elements.clear(); }},
      {"channel location", [&](auto& m) { counts(m).subtasks[0].channels[0].location = 7; }},
      {"channel length", [&](auto& m) { counts(m).subtasks[0].channels[0].length += 1; }},
      {"overlap", [&](auto& m) { counts(m).subtasks[0].channels[0].offset -= 1; }},
      {"location of a handle without groups",
       [&](auto& m) {
         counts(m).subtasks[0].keyed[0].groups.clear();
         counts(m).subtasks[0].keyed[0].location = 7;
       }},
      {"foreign key group", [&](auto& m) { group(m).group = 3; }},
      {"key group outside", [&](auto& m) { group(m).group = 40'000; }},
      {"key groups out of order",
       [&](auto& m) {
         auto& groups = counts(m).subtasks[0].keyed[0].groups;
         groups.push_back(groups.back());
       }},
      {"undeclared state", [&](auto& m) { counts(m).subtasks[0].keyed[0].state = "other"; }},
      {"state twice", [&](auto& m) { counts(m).subtasks[0].keyed.push_back({"count", 0, {}}); }},
      {"declared twice", [&](auto& m) { counts(m).states.push_back(counts(m).states[0]); }},
      {"keyed without key", [&](auto& m) { counts(m).states[0].key.reset(); }},
      {"operator state with key", [&](auto& m) { source(m).states[0].key = schema_of<bool>(); }},
      {"malformed schema",
       [&](auto& m) { counts(m).states[0].value = Schema{SchemaKind::list, {}, {}, 0, {}}; }},
      {"malformed key schema",
       [&](auto& m) { counts(m).states[0].key = Schema{SchemaKind::map, {}, {}, 0, {}}; }},
      {"map without map key", [&](auto& m) { counts(m).states[0].kind = StateKind::map; }},
      {"aggregating without key",
       [&](auto& m) {
         counts(m).states[0].kind = StateKind::aggregating;
         counts(m).states[0].key.reset();
       }},
      {"maximum parallelism", [&](auto& m) { counts(m).max_parallelism = 40'000; }},
      {"maximum below parallelism", [&](auto& m) { counts(m).max_parallelism = 1; }},
      {"parallelism", [&](auto& m) { counts(m).parallelism = 3; }},
      {"no parallelism", [&](auto& m) { counts(m).parallelism = 0, counts(m).subtasks.clear(); }},
      {"subtask order", [&](auto& m) { std::swap(counts(m).subtasks[0], counts(m).subtasks[1]); }},
      {"uid twice", [&](auto& m) { source(m).uid = "counts"; }},
      {"no uid", [&](auto& m) { source(m).uid.clear(); }},
      {"file outside", [&](auto& m) { m.locations[0].file = "../../etc/passwd"; }},
      {"absolute file", [&](auto& m) { m.locations[0].file = "/etc/passwd"; }},
      {"parent as file", [&](auto& m) { m.locations[0].file = ".."; }},
      {"metadata as file", [&](auto& m) { m.locations[0].file = "_metadata"; }},
      {"NUL in file", [&](auto& m) { m.locations[0].file = std::string("a\0b", 3); }},
      {"file twice", [&](auto& m) { m.locations.push_back(m.locations[0]); }},
      {"file and inline", [&](auto& m) { m.locations[0].inline_bytes = SharedBytes("x"); }},
      {"inline size", [&](auto& m) { m.locations[1].size_bytes += 1; }},
      {"inline and shared",
       [&](auto& m) { m.kind = SnapshotKind::checkpoint, m.locations[1].shared = true; }},
      {"shared by a savepoint",
       [&](auto& m) { m.kind = SnapshotKind::savepoint, m.locations[0].shared = true; }},
      {"sequence of a canonical state", [&](auto& m) { keyed(m).sequence = 1; }},
      {"image without a sequence", [&](auto& m) { keyed(m).format = StateFormat::segments; }},
      {"image of a later checkpoint",
       [&](auto& m) {
         keyed(m).format = StateFormat::segments;
         keyed(m).sequence = m.checkpoint.value + 1;
       }},
      {"two images from one checkpoint",
       [&](auto& m) {
         keyed(m).format = StateFormat::segments;
         keyed(m).sequence = m.checkpoint.value;
         auto again = keyed(m);
         for (auto& extent : again.groups) extent.length = 0;
         counts(m).subtasks[0].keyed.push_back(again);
       }},
      {"image of a canonical state",
       [&](auto& m) {
         counts(m).subtasks[0].keyed.push_back(
             {"count", 0, {}, StateFormat::segments, m.checkpoint.value});
       }},
      {"canonical and an image",
       [&](auto& m) {
         keyed(m).format = StateFormat::segments;
         keyed(m).sequence = m.checkpoint.value;
         counts(m).subtasks[0].keyed.push_back({"count", 0, {}});
         keyed(m).groups.resize(1);
         keyed(m).groups[0].length = 0;
       }},
      {"impossible size", [&](auto& m) { m.locations[0].size_bytes = ~std::uint64_t{0}; }},
  };
  for (const auto& [name, damage] : damages) {
    SnapshotMetadata metadata = sample();
    damage(metadata);
    INFO(name);
    CHECK_FALSE(check_consistent(metadata));
    const auto result = decode_metadata(encode_metadata(metadata, 42), path);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::corruption);
    CHECK_THAT(result.error().what,
               Catch::StartsWith(path + ": the body at offset 40 is damaged: "));
  }
}

TEST_CASE("an inconsistent share is named by operator, subtask and state", "[state]") {
  SnapshotMetadata metadata = sample();
  metadata.operators[1].subtasks[0].channels.clear();
  metadata.operators[1].subtasks[0].keyed[0].groups[0].length = 1 << 30;
  const Status status = check_consistent(metadata);
  REQUIRE_FALSE(status);
  CHECK_THAT(status.error().what,
             Catch::StartsWith("operator 'counts', subtask 0: state 'count', key group "));
}

}  // namespace
}  // namespace weir
