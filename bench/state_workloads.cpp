#include "bench/state_workloads.hpp"

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "bench/by_hand.hpp"
#include "bench/keyed_count.hpp"
#include "bench/stopwatch.hpp"
#include "state/keyed_state.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"

namespace weir::bench {

namespace {

struct Large {
  std::uint64_t count = 0;
  std::array<std::uint64_t, 15> rest{};
};
WEIR_FIELDS(Large, count, rest)

constexpr std::uint32_t key_groups = 128;
const TableOptions table_options{{0, key_groups}, key_groups, 8};

/// One operator's keyed state with one value state, and where its snapshots go.
template <class V>
class State {
 public:
  State(StateBackend& backend, const std::string& directory)
      : directory_(directory), storage_(files_, random_) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'bench'";
    context.key_width = 8;
    context.groups = {0, key_groups};
    context.max_parallelism = key_groups;
    context.local_directory = directory + "/local-" + std::to_string(random_.next());
    context.files = &files_;
    keyed_ = value_of(backend.create_keyed_state_backend(context));
  }
  ~State() { keyed_->dispose(); }

  void open(std::vector<RestoredKeyedState> restored = {}) {
    check(keyed_->restore(std::move(restored)));
    auto made = make_state(ValueStateDescriptor<V>{"value"}, schema_of<std::uint64_t>(),
                           table_options, &key_);
    value_ = std::move(made.handle);
    check(keyed_->add_table(std::move(made.table)));
    while (!value_of(keyed_->load_restored())) {
    }
  }
  V& at(std::uint64_t key) {
    key_.word = key;
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, key_groups);
    return value_.mutable_value();
  }
  void store() { check(keyed_->store_changes()); }

  struct Taken {
    KeyedSnapshot snapshot;
    DataLocation location;
    double frozen_seconds = 0;
    double seconds = 0;
  };
  Taken checkpoint(SnapshotForm form) {
    const CheckpointId id{++last_};
    const Stopwatch stopwatch;
    auto task = value_of(keyed_->begin_snapshot({id, base_, form}));
    Taken taken;
    taken.frozen_seconds = stopwatch.seconds();
    SnapshotPlacement placement;
    placement.shared = task->is_shared();
    TaskSnapshotWriter writer(&storage_, chk(id), data_file_name({1}, id, {0, 0, 0}, random_),
                              placement, random_);
    taken.snapshot = value_of(task->run(writer));
    taken.location = value_of(writer.finish());
    taken.seconds = stopwatch.seconds();
    task->payload_durable(taken.location);
    task.reset();
    keyed_->checkpoint_complete(id);
    if (form == SnapshotForm::incremental) base_ = id;
    for (int i = 0; i < 100'000; ++i) store();  // frees what no snapshot sees any more
    return taken;
  }
  /// What a restore of `taken` starts from.
  std::vector<RestoredKeyedState> restored_from(const Taken& taken) {
    std::shared_ptr<SnapshotSource> source =
        value_of(make_source(storage_, chk({last_}), taken.location));
    RestoredKeyedState state;
    state.declaration = keyed_->declarations().front();
    for (const KeyedStateHandle& handle : taken.snapshot.handles)
      state.parts.push_back(
          {source, handle.groups, handle.format, handle.sequence, taken.location});
    return {state};
  }

  template <class T>
  static T value_of(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().what);
    return std::move(*result);
  }
  static void check(const Status& status) {
    if (!status) throw std::runtime_error(status.error().what);
  }

 private:
  [[nodiscard]] std::string chk(CheckpointId id) const {
    return directory_ + "/chk-" + std::to_string(id.value);
  }
  const std::string directory_;
  PosixFileSystem files_;
  SystemRandom random_;
  FileCheckpointStorage storage_;
  std::unique_ptr<KeyedStateBackend> keyed_;
  KeyContext key_;
  ValueState<V> value_;
  std::uint64_t last_ = 0;
  CheckpointId base_;
};

std::string million(std::uint64_t count) {
  std::string text = std::to_string(count / 1'000'000);
  if (count % 1'000'000 != 0) text += "." + std::to_string(count % 1'000'000 / 100'000);
  return text + " M";
}

}  // namespace

void measure_checkpoints(Report& report, const std::string& directory, std::uint64_t keys) {
  FsStateBackend backend(0);
  State<Large> state(backend, directory);
  state.open();
  for (std::uint64_t key = 1; key <= keys; ++key) ++state.at(key).count;
  const std::string what = million(keys) + " keys of 128 B";

  const auto whole = state.checkpoint(SnapshotForm::canonical);
  const auto bytes = static_cast<double>(whole.location.size_bytes);
  Row& disk = report.row("P3", "disk", what + ", as many bytes, one fsync", "MB/s");
  disk.values.push_back(bytes / write_by_hand(directory + "/by-hand", whole.location.size_bytes) /
                        1e6);
  report.row("P3", "weir", what + ", canonical", "MB/s", &disk)
      .values.push_back(bytes / whole.seconds / 1e6);
  const auto segments = state.checkpoint(SnapshotForm::incremental);
  report.row("P3", "weir", what + ", as segments", "MB/s", &disk)
      .values.push_back(static_cast<double>(segments.location.size_bytes) / segments.seconds / 1e6);
  report.row("P5", "weir", what + ", synchronous part", "us")
      .values.push_back(segments.frozen_seconds * 1e6);

  const auto touched_bytes = [&](std::uint64_t count) { return static_cast<double>(count * 136); };
  const auto incremental = [&](const std::string& how, std::uint64_t count, const auto& touch) {
    for (std::uint64_t i = 0; i < count; ++i) ++state.at(touch(i)).count;
    const auto taken = state.checkpoint(SnapshotForm::incremental);
    report.row("P4", "weir", what + ", " + how, "written/touched")
        .values.push_back(static_cast<double>(taken.location.size_bytes) / touched_bytes(count));
    report.row("P4", "weir", what + ", " + how + ", time", "ms")
        .values.push_back(taken.seconds * 1e3);
  };
  const auto at_random = [&](std::uint64_t i) { return record(i, keys).key; };
  incremental("1 % at random", keys / 100, at_random);
  incremental("10 % at random", keys / 10, at_random);
}

void measure_restores(Report& report, const std::string& directory, std::uint64_t keys) {
  MemoryStateBackend memory;
  FsStateBackend fs(0);
  RocksDBStateBackend rocksdb;
  State<std::uint64_t> written(fs, directory);
  written.open();
  for (std::uint64_t key = 1; key <= keys; ++key) written.at(key) = key;
  const auto taken = written.checkpoint(SnapshotForm::canonical);
  const auto measure = [&](const std::string& name, StateBackend& backend) {
    auto from = written.restored_from(taken);
    State<std::uint64_t> state(backend, directory);
    const Stopwatch stopwatch;
    state.open(std::move(from));
    keep(state.at(1));
    report.row("restore", "weir", million(keys) + " counters, canonical, " + name, "s")
        .values.push_back(stopwatch.seconds());
  };
  measure("memory", memory);
  measure("rocksdb", rocksdb);
}

void measure_appends(Report& report, std::uint64_t keys, std::uint64_t appends) {
  const std::string what = million(keys) + " keys, 8 B appended";
  Row& by_hand = report.row("P15", "by hand", what + " to a vector", "M appends/s");
  by_hand.values.push_back(static_cast<double>(appends) / append_by_hand(keys, appends) / 1e6);
  KeyContext key;
  auto made = make_state(ListStateDescriptor<std::uint64_t>{"list"}, schema_of<std::uint64_t>(),
                         table_options, &key);
  constexpr std::size_t distance = 24;
  std::array<std::pair<std::uint64_t, KeyHash>, 1024> batch;
  const auto prefetch = [&](std::size_t i) {
    made.table->prefetch(batch[i].second, key_group_of(batch[i].second, key_groups));
  };
  const Stopwatch stopwatch;
  for (std::uint64_t i = 0; i < appends;) {
    const std::size_t size = std::min<std::uint64_t>(batch.size(), appends - i);
    for (std::size_t k = 0; k < size; ++k) {
      const std::uint64_t number = record(i + k, keys).key;
      batch[k] = {number, hash_key(number)};
    }
    for (std::size_t k = 0; k < std::min(distance, size); ++k) prefetch(k);
    for (std::size_t k = 0; k < size; ++k) {
      if (k + distance < size) prefetch(k + distance);
      key = {batch[k].second, key_group_of(batch[k].second, key_groups), batch[k].first, {}};
      made.handle.add(i + k);
    }
    i += size;
  }
  report.row("P15", "weir", what + " to ListState", "M appends/s", &by_hand)
      .values.push_back(static_cast<double>(appends) / stopwatch.seconds() / 1e6);
}

}  // namespace weir::bench
