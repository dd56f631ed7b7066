// A whole checkpoint of the Fs backend beside incremental ones after few changes: bytes and seconds until
// the file is durable, values of 128 bytes, in one thread.
// Usage: checkpoint_bench [million keys [directory]]
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "backends/fs/fs_state_backend.hpp"
#include "state/keyed_state.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"

namespace {

using namespace weir;

struct Value {
  std::uint64_t count = 0;
  std::array<std::uint64_t, 15> rest{};
};
WEIR_FIELDS(Value, count, rest)

constexpr std::uint32_t key_groups = 128;

class Bench {
 public:
  Bench(std::uint64_t keys, std::string directory)
      : keys_(keys), directory_(std::move(directory)), storage_(files_, random_) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = 8;
    context.groups = {0, key_groups};
    context.max_parallelism = key_groups;
    keyed_ = std::move(*backend_.create_keyed_state_backend(context));
    auto made = make_state(ValueStateDescriptor<Value>{"value"}, schema_of<std::uint64_t>(),
                           {{0, key_groups}, key_groups, 8}, &key_);
    value_ = std::move(made.handle);
    WEIR_ASSERT(keyed_->add_table(std::move(made.table)));
  }

  void touch(std::uint64_t key) {
    key_.word = key;
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, key_groups);
    ++value_.mutable_value().count;
  }
  void touch_all() {
    for (std::uint64_t key = 1; key <= keys_; ++key) touch(key);
  }
  void touch_random(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) touch(1 + random_.next() % keys_);
  }

  /// Takes a checkpoint, prints a row and completes it.
  void checkpoint(const char* what, SnapshotForm form) {
    using Clock = std::chrono::steady_clock;
    const CheckpointId id{++last_};
    const auto begin = Clock::now();
    auto task = keyed_->begin_snapshot({id, base_, form});
    WEIR_ASSERT(task);
    const std::chrono::duration<double> frozen = Clock::now() - begin;
    SnapshotPlacement placement;
    placement.shared = (*task)->is_shared();
    TaskSnapshotWriter writer(&storage_, directory_ + "/chk-" + std::to_string(id.value),
                              data_file_name({1}, id, {0, 0, 0}, random_), placement, random_);
    auto written = (*task)->run(writer);
    WEIR_ASSERT(written);
    const auto location = writer.finish();
    WEIR_ASSERT(location);
    (*task)->payload_durable(*location);
    const std::chrono::duration<double> seconds = Clock::now() - begin;
    task->reset();
    keyed_->checkpoint_complete(id);
    if (form == SnapshotForm::incremental) base_ = id;
    const double megabytes = static_cast<double>(location->size_bytes) / 1e6;
    if (full_ == 0) full_ = megabytes;
    std::printf("%-42s %9.1f MB %6.1f %%  %7.3f s  frozen in %.0f us\n", what, megabytes,
                100 * megabytes / full_, seconds.count(), frozen.count() * 1e6);
    for (int i = 0; i < 100'000; ++i)
      WEIR_ASSERT(keyed_->store_changes());  // frees what is not seen any more
  }

 private:
  const std::uint64_t keys_;
  const std::string directory_;
  PosixFileSystem files_;
  SystemRandom random_;
  FileCheckpointStorage storage_;
  FsStateBackend backend_;
  std::unique_ptr<KeyedStateBackend> keyed_;
  KeyContext key_;
  ValueState<Value> value_;
  std::uint64_t last_ = 0;
  CheckpointId base_;
  double full_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t keys = (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2) * 1'000'000;
  const std::string directory = argc > 2 ? argv[2] : "/tmp/weir-checkpoint-bench";
  Bench bench(keys, directory);
  bench.touch_all();
  std::printf("%lu keys with values of %zu bytes\n", keys, sizeof(Value));
  bench.checkpoint("whole, canonical", SnapshotForm::canonical);
  bench.checkpoint("whole, as segments", SnapshotForm::incremental);
  for (const std::uint64_t percent : {1, 1, 10, 10}) {
    bench.touch_random(keys * percent / 100);
    bench.checkpoint(percent == 1 ? "incremental, 1 % of the keys written"
                                  : "incremental, 10 % of the keys written",
                     SnapshotForm::incremental);
  }
  bench.checkpoint("incremental, nothing written", SnapshotForm::incremental);
  std::printf("files are left in %s\n", directory.c_str());
}
