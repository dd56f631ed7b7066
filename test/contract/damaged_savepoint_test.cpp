// No bit of a savepoint can be wrong without being noticed before anything is restored from it.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "cli/starting_point.hpp"
#include "runtime/snapshot_job.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"
#include "test/sanitized.hpp"
#include "test/state/memory_storage.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

const std::string directory = "/savepoints/savepoint-012345-0123456789ab";
const std::string metadata_path = directory + "/_metadata";
constexpr std::uint32_t max_parallelism = 4;

/// Keyed state of one subtask on `backend`, with the state "count"; disposed of at the end.
class Counter {
 public:
  Counter(StateBackend& backend, std::vector<RestoredKeyedState> restored = {}) {
    context_.operator_label = "operator 'counts'";
    context_.key_width = Codec<std::uint64_t>::fixed_width;
    context_.groups = {0, max_parallelism};
    context_.max_parallelism = max_parallelism;
    context_.local_directory = local_.path() + "/local";
    context_.files = &files_;
    auto created = backend.create_keyed_state_backend(context_);
    REQUIRE(created);
    keyed = std::move(*created);
    REQUIRE(keyed->restore(std::move(restored)));
  }
  ~Counter() { keyed->dispose(); }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  /// Adds the state with its restored entries.
  Status add_state() {
    auto made = make_state(ValueStateDescriptor<std::int64_t>{"count"}, schema_of<std::uint64_t>(),
                           {context_.groups, max_parallelism, context_.key_width}, &key_);
    WEIR_TRY(keyed->add_table(std::move(made.table)));
    count = made.handle;
    for (;;) {
      WEIR_TRY_ASSIGN(all_loaded, keyed->load_restored());
      if (all_loaded) return {};
    }
  }
  void select(std::uint64_t key) {
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, max_parallelism);
    key_.word = compact_key(key);
  }

  std::unique_ptr<KeyedStateBackend> keyed;
  ValueState<std::int64_t> count;

 private:
  TemporaryDirectory local_;
  PosixFileSystem files_;
  KeyedStateBackendContext context_;
  KeyContext key_;
};

std::int64_t count_of(std::uint64_t key) { return static_cast<std::int64_t>(key * 3 + 1); }

/// Writes a savepoint of `backend` as tasks and coordinator do: the counts of `keys` keys and one operator
/// state in a data file, beside it `_metadata`. Returns the data file's path.
std::string write_savepoint(StateBackend& backend, std::uint64_t keys, MemoryStorage& storage,
                            SnapshotForm form = SnapshotForm::canonical) {
  CountedRandom random;
  Counter counter(backend);
  REQUIRE(counter.add_state());
  for (std::uint64_t key = 0; key < keys; ++key) {
    counter.select(key);
    counter.count.update(count_of(key));
  }
  REQUIRE(counter.keyed->store_changes());

  FrozenOperator frozen;
  frozen.uid = "counts";
  frozen.states = counter.keyed->declarations();
  frozen.states.push_back(
      {"splits", StateKind::operator_list, std::nullopt, schema_of<std::string>()});
  const std::string splits =
      encode_value(std::string("first")) + encode_value(std::string("second"));
  frozen.operator_states.push_back({"splits", splits, {0, 9}});
  auto task = counter.keyed->begin_snapshot({{1}, {}, form});
  REQUIRE(task);
  frozen.keyed = std::move(*task);
  std::vector<FrozenOperator> operators;
  operators.push_back(std::move(frozen));
  SnapshotJob job(std::move(operators),
                  std::make_unique<TaskSnapshotWriter>(
                      &storage, directory, data_file_name({1}, {1}, {0, 0, 0}, random),
                      backend.placement(SnapshotKind::savepoint), random));
  auto written = job.run();
  REQUIRE(written);

  SnapshotMetadata metadata;
  metadata.kind = SnapshotKind::savepoint;
  metadata.job = {0x0123456789abcdefU, 0xfedcba9876543210U};
  metadata.job_name = "word-count";
  metadata.checkpoint = {1};
  metadata.epoch = {1};
  metadata.locations = written->locations;
  OperatorSnapshot& counts = metadata.operators.emplace_back();
  counts.uid = "counts";
  counts.name = "count words";
  counts.parallelism = 1;
  counts.max_parallelism = max_parallelism;
  counts.states = written->operators[0].states;
  counts.subtasks.push_back(written->operators[0].snapshot);
  REQUIRE(write_metadata(storage, directory, metadata, random));
  REQUIRE_FALSE(metadata.locations[0].file.empty());
  return directory + "/" + metadata.locations[0].file;
}

/// What a task does with a savepoint when nobody has verified it before: it reads what its state needs.
Status restore(CheckpointStorage& storage, std::uint64_t keys) {
  WEIR_TRY_ASSIGN(metadata, read_metadata(storage, directory));
  const OperatorSnapshot& counts = metadata.operators.at(0);
  const KeyedStateHandle& handle = counts.subtasks.at(0).keyed.at(0);
  WEIR_TRY_ASSIGN(source, make_source(storage, directory, metadata.locations.at(handle.location)));
  MemoryStateBackend backend(MemoryStateBackend::default_max_state_bytes,
                             MemoryStateBackend::default_max_payload_bytes,
                             std::make_shared<MemoryBudget>(), RocksDBStateBackend::file_reader());
  std::vector<RestoredKeyedState> restored{
      {counts.states.at(0), {{source, handle.groups, handle.format, handle.sequence, {}}}}};
  Counter counter(backend, std::move(restored));
  WEIR_TRY(counter.add_state());
  for (std::uint64_t key = 0; key < keys; ++key) {
    counter.select(key);
    REQUIRE(counter.count.value_or(-1) == count_of(key));
  }
  return {};
}

/// `outcome` is a refusal that names `path` and, behind it, one of `places`.
bool refuses(const Status& outcome, const std::string& path,
             const std::vector<std::string>& places) {
  if (outcome || outcome.error().code != Errc::corruption) return false;
  const std::string_view what = outcome.error().what;
  if (!what.starts_with(path + ": ")) return false;
  const auto found = [&](const std::string& place) {
    return what.substr(path.size() + 2).starts_with(place);
  };
  return std::ranges::any_of(places, found);
}

/// Where a flipped bit of the byte at `offset` is reported.
std::vector<std::string> place_of(const std::string& path, std::size_t offset) {
  if (path != metadata_path)
    return {"block " + std::to_string(offset / block_size_bytes) + " at offset " +
            std::to_string(offset / block_size_bytes * block_size_bytes) + " is damaged"};
  if (offset < 8) return {"is no Weir snapshot metadata: it does not begin with WEIRSNAP"};
  if (offset < 40) return {"header at offset 0 is damaged"};
  return {"block 0 at offset 40 is damaged"};
}

/// A look at the savepoint in `storage`, and what came of it.
using Look = std::function<Status(MemoryStorage& storage)>;

/// `-s PATH`, which verifies every byte before the job is made.
Status start_from(MemoryStorage& storage) {
  auto start = open_starting_point(storage, directory);
  if (!start) return std::unexpected(start.error());
  return {};
}

/// Flips each bit of `path`, or one in `stride`, which has no factor in common with 8, one at a time: each is refused by
/// `look` with the file and the place.
void check_flips(MemoryStorage& storage, const std::string& path, const Look& look,
                 std::size_t stride = sanitized ? 61 : 1) {
  std::string& bytes = storage.bytes(path);
  std::size_t flipped = 0;
  std::size_t refused = 0;
  std::string first_missed;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const auto places = place_of(path, at);
    for (int bit = 0; bit < 8; ++bit) {
      if ((at * 8 + static_cast<std::size_t>(bit)) % stride != 0) continue;
      ++flipped;
      const char good = bytes[at];
      bytes[at] = static_cast<char>(good ^ (1 << bit));
      const Status outcome = look(storage);
      bytes[at] = good;
      storage.operations.clear();
      if (refuses(outcome, path, places))
        ++refused;
      else if (first_missed.empty())
        first_missed = "bit " + std::to_string(bit) + " of byte " + std::to_string(at) + ": " +
                       (outcome ? "not noticed" : outcome.error().what);
    }
  }
  INFO(path << ": " << first_missed);
  CHECK(flipped >= bytes.size() * 8 / stride);
  CHECK(refused == flipped);
  CHECK(look(storage));
}

/// Cuts `path` to each length below its own, then adds a byte: each is refused by `look`.
void check_lengths(MemoryStorage& storage, const std::string& path, const Look& look) {
  std::string& bytes = storage.bytes(path);
  const std::string good = bytes;
  std::size_t refused = 0;
  std::string first_missed;
  constexpr std::size_t stride = sanitized ? 61 : 1;
  std::size_t cut = 0;
  for (std::size_t size = good.size(); size-- > 0;) {
    if (size % stride != 0) continue;
    ++cut;
    bytes.resize(size);
    const Status outcome = look(storage);
    storage.operations.clear();
    std::vector<std::string> places{"is truncated: it ends at offset " + std::to_string(size)};
    if (path == metadata_path && size < 8) places = {"is no Weir snapshot metadata"};
    if (refuses(outcome, path, places))
      ++refused;
    else if (first_missed.empty())
      first_missed = "cut to " + std::to_string(size) +
                     " bytes: " + (outcome ? "not noticed" : outcome.error().what);
  }
  INFO(path << ": " << first_missed);
  CHECK(cut >= good.size() / stride);
  CHECK(refused == cut);
  for (const char more : {'\0', '\xff'}) {
    bytes = good + more;
    CHECK(refuses(look(storage), path,
                  {"has been extended behind offset " + std::to_string(good.size()) + " ("}));
  }
  bytes = good;
  CHECK(look(storage));
}

struct Sample {
  std::string backend;
  std::function<std::unique_ptr<StateBackend>()> make;
  std::uint64_t keys;
  SnapshotForm form = SnapshotForm::canonical;
};

std::unique_ptr<StateBackend> make_rocksdb() {
  return std::make_unique<RocksDBStateBackend>(
      RocksDBStateBackend::Options{.memory_threshold_bytes = 0});
}

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all{
      {"memory", [] { return std::make_unique<MemoryStateBackend>(); }, 100},
      {"fs", [] { return std::make_unique<FsStateBackend>(0); }, 1300},
      {"rocksdb", make_rocksdb, 100},
      {"rocksdb, native", make_rocksdb, 100, SnapshotForm::native},
  };
  return all;
}

TEST_CASE("every flipped bit of a savepoint of any backend is noticed before anything is restored",
          "[contract]") {
  const Sample& sample = GENERATE(from_range(samples()));
  INFO(sample.backend);
  MemoryStorage storage;
  const std::string data_path = write_savepoint(*sample.make(), sample.keys, storage, sample.form);
  if (sample.backend == "fs") REQUIRE(storage.bytes(data_path).size() >= 32 * 1024);
  REQUIRE(storage.files.size() == 2);
  check_flips(storage, data_path, start_from);
  check_flips(storage, metadata_path, start_from);
}

TEST_CASE("a savepoint of any backend that is cut or extended anywhere is refused", "[contract]") {
  const Sample& sample = GENERATE(from_range(samples()));
  INFO(sample.backend);
  MemoryStorage storage;
  const std::string data_path = write_savepoint(*sample.make(), sample.keys, storage, sample.form);
  check_lengths(storage, data_path, start_from);
  check_lengths(storage, metadata_path, start_from);
}

TEST_CASE("state that nobody has verified before is verified as it is restored", "[contract]") {
  // A file can be damaged between the check at the start and the task that reads it.
  MemoryStorage storage;
  constexpr std::uint64_t keys = 20;
  MemoryStateBackend backend;
  const std::string data_path = write_savepoint(backend, keys, storage);
  const Look look = [](MemoryStorage& damaged) { return restore(damaged, keys); };
  check_flips(storage, data_path, look);
  check_flips(storage, metadata_path, look);
  check_lengths(storage, data_path, look);
  check_lengths(storage, metadata_path, look);
}

TEST_CASE("files of a database that nobody has verified before are verified as they are restored",
          "[contract]") {
  // Each look makes a database, so there is time for some bits; test/backends has one of every byte.
  MemoryStorage storage;
  constexpr std::uint64_t keys = 20;
  const std::string data_path =
      write_savepoint(*make_rocksdb(), keys, storage, SnapshotForm::native);
  const Look look = [](MemoryStorage& damaged) { return restore(damaged, keys); };
  check_flips(storage, data_path, look, 101);
}

}  // namespace
}  // namespace weir::test
