#include "connectors/held_files.hpp"

#include <catch2/catch.hpp>

#include "connectors/file_committer.hpp"
#include "test/state/snapshot_samples.hpp"

namespace weir::test {
namespace {

const std::string snapshot = "/savepoint";

/// Adds a union state of elements of type `T` to the only operator of `metadata`, inline.
template <class T>
void add_state(SnapshotMetadata& metadata, const std::string& name,
               const std::vector<T>& elements) {
  std::string payload;
  OperatorStateHandle handle{.state = name, .location = 0};
  handle.location = static_cast<std::uint32_t>(metadata.locations.size());
  for (const T& element : elements) {
    handle.elements.push_back(payload.size());
    payload += encode_value(element);
  }
  handle.length = payload.size();
  handle.checksum = checksum(payload);
  metadata.operators[0].states.push_back(
      {name, StateKind::operator_union, std::nullopt, schema_of<T>()});
  metadata.operators[0].subtasks[0].operator_states.push_back(handle);
  DataLocation location;
  location.size_bytes = payload.size();
  location.inline_bytes = SharedBytes(payload);
  metadata.locations.push_back(location);
}

SnapshotMetadata with_one_operator() {
  SnapshotMetadata metadata;
  metadata.kind = SnapshotKind::savepoint;
  metadata.job = sample_job;
  metadata.job_name = "sample";
  metadata.checkpoint = CheckpointId{7};
  metadata.epoch = LeaderEpoch{1};
  OperatorSnapshot& one = metadata.operators.emplace_back();
  one.uid = one.name = "sink";
  one.parallelism = 1;
  one.max_parallelism = 128;
  one.subtasks.resize(1);
  return metadata;
}

}  // namespace

TEST_CASE("what a snapshot holds for file sinks is known by its committed names", "[connectors]") {
  MemoryStorage storage;
  CountedRandom random;
  SnapshotMetadata metadata = with_one_operator();
  add_state<std::int64_t>(metadata, "numbers", {1, 2});
  add_state<PreCommittedFile>(metadata, "files",
                              {{"/out", "sink-0-1-a-b", 10, CheckpointId{5}},
                               {"/elsewhere", "sink-1-2-a-c", 20, CheckpointId{7}}});
  REQUIRE(write_metadata(storage, snapshot, metadata, random));
  const auto held = files_held_by(storage, snapshot);
  REQUIRE(held);
  CHECK(*held == std::set<std::string>{"/elsewhere/sink-1-2-a-c-7", "/out/sink-0-1-a-b-5"});
}

TEST_CASE("a snapshot without file sinks holds no output files", "[connectors]") {
  MemoryStorage storage;
  CountedRandom random;
  SnapshotMetadata metadata = with_one_operator();
  // Only the type tells: a function of the job may call its own state so.
  add_state<std::int64_t>(metadata, "files", {1});
  REQUIRE(write_metadata(storage, snapshot, metadata, random));
  const auto held = files_held_by(storage, snapshot);
  REQUIRE(held);
  CHECK(held->empty());
  CHECK(files_held_by(storage, "/nowhere").error().code == Errc::not_found);
}

}  // namespace weir::test
