#include "bench/state_workloads.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "backends/fs/fs_state_backend.hpp"
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

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().what);
  return std::move(*result);
}
void check(const Status& status) {
  if (!status) throw std::runtime_error(status.error().what);
}

/// One operator's keyed state of the Fs backend with the one state that `Descriptor` describes, and its
/// checkpoints, as files below `directory`.
template <class Descriptor>
class State {
 public:
  State(const Descriptor& descriptor, std::string directory)
      : directory_(std::move(directory)), storage_(files_, random_) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'bench'";
    context.key_width = 8;
    context.groups = {0, key_groups};
    context.max_parallelism = key_groups;
    context.local_directory = directory_ + "/local";
    context.files = &files_;
    keyed_ = value_of(backend_.create_keyed_state_backend(context));
    auto made = make_state(descriptor, schema_of<std::uint64_t>(), table_options, &key_);
    handle_ = std::move(made.handle);
    table_ = made.table.get();
    check(keyed_->add_table(std::move(made.table)));
    while (!value_of(keyed_->load_restored())) {
    }
  }
  ~State() { keyed_->dispose(); }

  /// Calls `work(handle, key, i)` for the keys `key_at(i)`, `i` from `begin` to before `end`, prefetching as a keyed
  /// operator does. Returns seconds.
  template <class KeyAt, class Work>
  double for_each(std::uint64_t begin, std::uint64_t end, const KeyAt& key_at, const Work& work) {
    constexpr std::size_t distance = 24;
    std::array<std::pair<std::uint64_t, KeyHash>, 1024> batch;
    const auto prefetch = [&](std::size_t i) {
      table_->prefetch(batch[i].second, key_group_of(batch[i].second, key_groups));
    };
    const Stopwatch stopwatch;
    while (begin < end) {
      const std::size_t size = std::min<std::uint64_t>(batch.size(), end - begin);
      for (std::size_t k = 0; k < size; ++k) {
        const std::uint64_t key = key_at(begin + k);
        batch[k] = {key, hash_key(key)};
      }
      for (std::size_t k = 0; k < std::min(distance, size); ++k) prefetch(k);
      for (std::size_t k = 0; k < size; ++k) {
        if (k + distance < size) prefetch(k + distance);
        key_ = {batch[k].second, key_group_of(batch[k].second, key_groups), batch[k].first, {}};
        work(handle_, begin + k);
      }
      check(keyed_->store_changes());
      begin += size;
    }
    return stopwatch.seconds();
  }

  struct Taken {
    double seconds = 0;  ///< until it is complete
    std::uint64_t written_bytes = 0;
  };
  /// Takes a checkpoint as a task, a coordinator and the I/O pool do it together.
  Taken checkpoint(SnapshotForm form) {
    const CheckpointId id{++last_};
    const Stopwatch stopwatch;
    auto task = value_of(keyed_->begin_snapshot({id, base_, form}));
    SnapshotPlacement placement;
    placement.shared = task->is_shared();
    TaskSnapshotWriter writer(&storage_, chk(id), data_file_name({1}, id, {0, 0, 0}, random_),
                              placement, random_);
    const KeyedSnapshot snapshot = value_of(task->run(writer));
    const DataLocation location = value_of(writer.finish());
    SnapshotMetadata metadata;
    metadata.job_name = "bench";
    metadata.checkpoint = id;
    metadata.epoch = {1};
    metadata.locations = snapshot.reused;
    metadata.locations.insert(metadata.locations.begin(), location);
    metadata.operators = {{"bench",
                           "bench",
                           false,
                           1,
                           key_groups,
                           keyed_->declarations(),
                           {{0, false, snapshot.handles, {}, {}}}}};
    check(write_metadata(storage_, chk(id), metadata, random_));
    const Taken taken{stopwatch.seconds(), location.size_bytes};
    task->payload_durable(location);
    task.reset();
    keyed_->checkpoint_complete(id);
    if (form == SnapshotForm::incremental) base_ = id;
    // Frees what no snapshot sees any more, a bounded number of blocks a call.
    for (int i = 0; i < 1000; ++i) check(keyed_->store_changes());
    return taken;
  }

 private:
  [[nodiscard]] std::string chk(CheckpointId id) const {
    return directory_ + "/chk-" + std::to_string(id.value);
  }
  using Handle = decltype(make_state(std::declval<Descriptor>(), Schema(), table_options,
                                     static_cast<KeyContext*>(nullptr))
                              .handle);
  const std::string directory_;
  PosixFileSystem files_;
  SystemRandom random_;
  FileCheckpointStorage storage_;
  FsStateBackend backend_{0};
  std::unique_ptr<KeyedStateBackend> keyed_;
  KeyContext key_;
  Handle handle_;
  TableBase* table_ = nullptr;
  std::uint64_t last_ = 0;
  CheckpointId base_;
};

std::string million(std::uint64_t count) {
  std::string text = std::to_string(count / 1'000'000);
  if (count % 1'000'000 != 0) text += "." + std::to_string(count % 1'000'000 / 100'000);
  return text + " M";
}

std::string percent(std::uint64_t per_mille) {
  std::string text = std::to_string(per_mille / 10);
  if (per_mille % 10 != 0) text += "." + std::to_string(per_mille % 10);
  return text + " %";
}

}  // namespace

void measure_incremental(Report& report, const std::string& directory, std::uint64_t keys) {
  State state(ValueStateDescriptor<Large>{"value"}, directory);
  const auto count = [](auto& value, std::uint64_t) { ++value.mutable_value().count; };
  state.for_each(0, keys, [](std::uint64_t i) { return 1 + i; }, count);
  const std::string what = million(keys) + " keys of 128 B";
  const auto first = state.checkpoint(SnapshotForm::incremental);
  report.add(report.row("P4", "weir", what + ", the first one", "ms"), first.seconds * 1e3);

  // Each key comes once: the factor has no divisor in common with a number of keys that is round.
  const auto scattered = [&](std::uint64_t i) { return 1 + i * 7'368'787 % keys; };
  const auto in_order = [](std::uint64_t i) { return 1 + i; };
  const auto measure = [&](std::uint64_t per_mille, const std::string& how, const auto& key_at) {
    const std::uint64_t touched = keys * per_mille / 1000;
    state.for_each(0, touched, key_at, count);
    const auto taken = state.checkpoint(SnapshotForm::incremental);
    const std::string name = what + ", " + percent(per_mille) + " " + how;
    std::optional<Floor> most_bytes;
    std::optional<Floor> most_ms;
    if (per_mille == 100) most_bytes = at_most(8);
    if (per_mille == 10 && how == "clustered") most_ms = at_most(100);
    report.add(report.row("P4", "weir", name, "written/touched", nullptr, most_bytes),
               static_cast<double>(taken.written_bytes) / static_cast<double>(touched * 136));
    report.add(report.row("P4", "weir", name + ", time", "ms", nullptr, most_ms),
               taken.seconds * 1e3);
  };
  for (const std::uint64_t per_mille : {1, 10, 100}) {
    measure(per_mille, "clustered", in_order);
    measure(per_mille, "at random", scattered);
  }
}

void measure_appends(Report& report, const std::string& directory, std::uint64_t keys) {
  constexpr std::uint64_t elements = 100;
  const std::uint64_t appends = keys * elements;
  const auto rate = [](std::uint64_t count, double seconds) {
    return static_cast<double>(count) / seconds / 1e6;
  };
  const auto key_at = [&](std::uint64_t i) { return record(i, keys).key; };
  const std::string what = million(keys) + " keys, ";
  {
    Row& by_hand = report.row("P15", "by hand", what + "8 B to a std::vector", "M/s");
    report.add(by_hand, rate(appends, append_by_hand(keys, appends)));
    State state(ListStateDescriptor<std::uint64_t>{"list"}, directory + "/list");
    const auto append = [](auto& list, std::uint64_t i) { list.add(i); };
    report.add(report.row("P15", "weir", what + "8 B to ListState, until each has 100", "M/s",
                          &by_hand, ratio_at_least(0.3)),
               rate(appends, state.for_each(0, appends, key_at, append)));
    const auto taken = state.checkpoint(SnapshotForm::canonical);
    report.add(report.row("P15", "weir", what + "the snapshot of these lists", "MB/s"),
               static_cast<double>(taken.written_bytes) / taken.seconds / 1e6);
    report.add(report.row("P15", "weir", what + "clearing these lists", "M/s"),
               rate(keys, state.for_each(
                              0, keys, [](std::uint64_t i) { return 1 + i; },
                              [](auto& list, std::uint64_t) { list.clear(); })));
    report.add(report.row("P15", "weir", what + "8 B to ListState, once more", "M/s", &by_hand),
               rate(appends / 4, state.for_each(0, appends / 4, key_at, append)));
  }
  const std::uint64_t values = appends / 4;
  Row& by_hand = report.row("P15", "by hand", what + "largest in a flat table", "M/s");
  report.add(by_hand, rate(values, reduce_by_hand(keys, values)));
  State state(
      ReducingStateDescriptor<std::uint64_t>{
          "largest", [](const std::uint64_t& a, const std::uint64_t& b) { return std::max(a, b); }},
      directory + "/largest");
  const double seconds = state.for_each(0, values, key_at, [](auto& largest, std::uint64_t i) {
    largest.add(i * 0x9e3779b97f4a7c15ULL);
  });
  report.add(report.row("P15", "weir", what + "largest in ReducingState", "M/s", &by_hand,
                        ratio_at_least(0.3)),
             rate(values, seconds));
}

}  // namespace weir::bench
