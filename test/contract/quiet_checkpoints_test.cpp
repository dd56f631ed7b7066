// Incremental checkpoints of state that is changed now and then: each is so small that it lies in `_metadata`, and
// those without a change have the same bytes.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "runtime/snapshot_job.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "test/connectors/operator_harness.hpp"
#include "test/contract/backends_under_test.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

constexpr std::uint64_t keys = 400;

/// A counter for each key, in one subtask of two operators, which are chained.
class Counters {
 public:
  explicit Counters(StateBackend& backend) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = sizeof(std::uint64_t);
    context.groups = {0, max_parallelism};
    context.max_parallelism = max_parallelism;
    keyed_ = backend.create_keyed_state_backend(context).value();
  }
  void open(std::vector<RestoredKeyedState> restored) {
    if (!restored.empty()) REQUIRE(keyed_->restore(std::move(restored)));
    auto made = make_state(ValueStateDescriptor<std::uint64_t>{"count"}, schema_of<std::uint64_t>(),
                           {{0, max_parallelism}, max_parallelism, sizeof(std::uint64_t)}, &key_);
    count_ = std::move(made.handle);
    REQUIRE(keyed_->add_table(std::move(made.table)));
    REQUIRE(load_restored(*keyed_));
  }
  std::uint64_t& count_of(std::uint64_t key) {
    key_.word = key;
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, max_parallelism);
    return count_.mutable_value();
  }
  FrozenOperator freeze(const SnapshotRequest& request, const std::string& uid) {
    FrozenOperator frozen;
    frozen.uid = frozen.label = uid;
    frozen.states = keyed_->declarations();
    frozen.keyed = keyed_->begin_snapshot(request).value();
    return frozen;
  }
  void complete(CheckpointId id) { keyed_->checkpoint_complete(id); }

 private:
  std::unique_ptr<KeyedStateBackend> keyed_;
  KeyContext key_;
  ValueState<std::uint64_t> count_;
};

/// What a checkpoint of one task says in `_metadata`.
SnapshotMetadata metadata_of(const TaskSnapshot& task, CheckpointId id) {
  SnapshotMetadata metadata;
  metadata.job = {1, 1};
  metadata.checkpoint = id;
  metadata.epoch = {1};
  metadata.locations = task.locations;
  for (const OperatorShare& share : task.operators) {
    OperatorSnapshot& one = metadata.operators.emplace_back();
    one.uid = one.name = share.uid;
    one.parallelism = 1;
    one.max_parallelism = max_parallelism;
    one.states = share.states;
    one.subtasks = {share.snapshot};
  }
  return metadata;
}

}  // namespace

TEST_CASE("checkpoints in which nothing has changed are told apart", "[contract]") {
  const BackendUnderTest& under_test = backend_named("fs incremental");
  const bool quiet_between = GENERATE(true, false);
  const auto backend = under_test.make();
  TemporaryDirectory directory;
  PosixFileSystem files;
  CountingRandom random;
  FileCheckpointStorage storage(files, random);
  const std::vector<std::string> uids{"first", "second"};
  std::vector<std::unique_ptr<Counters>> chained;
  for ([[maybe_unused]] const std::string& uid : uids) {
    chained.push_back(std::make_unique<Counters>(*backend));
    chained.back()->open({});
  }
  for (auto& counters : chained)
    for (std::uint64_t key = 0; key < keys; ++key) counters->count_of(key) = 1;

  TaskSnapshot last;
  for (std::uint64_t id = 1; id <= 48; ++id) {
    CAPTURE(id);
    // One key goes to and fro, or one after the other is counted and nothing is changed in between.
    if (!quiet_between)
      for (auto& counters : chained) counters->count_of(3) = id % 2;
    else if (id % 2 == 0)
      for (auto& counters : chained) ++counters->count_of(id);
    const SnapshotRequest request{{id}, {id - 1}, under_test.form};
    std::vector<FrozenOperator> frozen;
    for (std::size_t i = 0; i < chained.size(); ++i)
      frozen.push_back(chained[i]->freeze(request, uids[i]));
    SnapshotPlacement placement;
    placement.inline_threshold_bytes = 20 << 10;
    SnapshotJob job(std::move(frozen), std::make_unique<TaskSnapshotWriter>(
                                           &storage, directory.path(), "data", placement, random));
    auto written = job.run();
    REQUIRE(written);
    last = std::move(*written);
    REQUIRE(last.locations.front().file.empty());
    const Status consistent = check_consistent(metadata_of(last, {id}));
    INFO((consistent ? "" : consistent.error().what));
    REQUIRE(consistent);
    for (auto& counters : chained) counters->complete({id});
  }

  for (std::size_t i = 0; i < chained.size(); ++i) {
    const OperatorShare& share = last.operators.at(i);
    RestoredKeyedState state{share.states.at(0), {}};
    for (const KeyedStateHandle& handle : share.snapshot.keyed) {
      const DataLocation& location = last.locations.at(handle.location);
      state.parts.push_back({make_source(storage, directory.path(), location).value(),
                             handle.groups, handle.format, handle.sequence, location});
    }
    const auto other = under_test.make();
    Counters restored(*other);
    restored.open({state});
    for (std::uint64_t key = 0; key < keys; ++key)
      CHECK(restored.count_of(key) == chained[i]->count_of(key));
  }
}

}  // namespace weir::test
