// Additions to state that is larger than its memory (P15): to lists of numbers, and to the largest number of
// each of ten times as many keys, at random. Weir's RocksDB backend as a keyed operator uses it, adding alone and reading what it
// adds to before, beside two hand-written loops on RocksDB with the same memory: Merge, and Get and Put. Each
// in a process of its own, in turn. Reads everything in the end and compares it with what it has to be.
// Prints additions and reads a second of time and of processors, and the largest resident memory.
// Usage: append_bench [THOUSAND LISTS] [ADDITIONS TO EACH] [MIB] [ROUNDS]
// MIB is the memory of the block cache, and again that of tables or memtables: 64 by default.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/table.h>

#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "bench/keyed_count.hpp"
#include "bench/stopwatch.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"

namespace {

using namespace weir;

constexpr std::uint64_t slice = 256;

struct Workload {
  std::uint64_t lists = 1'000'000;
  std::uint64_t additions = 20;  ///< to each list, on average
  std::size_t memory_bytes = std::size_t{64} << 20;
};

/// What a key has: numbers in their order, or one.
struct Held {
  std::uint64_t numbers = 0;
  std::uint64_t digest = 0;
  void append(std::uint64_t number) {
    ++numbers;
    digest = digest * 31 + number;
  }
  bool operator==(const Held&) const = default;
};

/// Keys and the numbers that are added to them.
struct Slice {
  std::array<std::uint64_t, slice> keys;
  std::array<std::uint64_t, slice> numbers;
};
/// The system under test.
struct System {
  const char* name;
  std::function<void(const Slice&)> add;
  /// Calls the function with what each of the keys has.
  std::function<void(const Slice&, const std::function<void(std::uint64_t, const Held&)>&)> read;
};

double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// The state under test: lists, and the largest number.
struct Lists {
  static constexpr const char* name = "list";
  static constexpr std::uint64_t keys_for_list = 1;
  static auto descriptor() { return ListStateDescriptor<std::uint64_t>{"list"}; }
  static void add(Held& held, std::uint64_t number) { held.append(number); }
  static Held held(const ListState<std::uint64_t>& state) {
    Held held;
    state.for_each([&](std::uint64_t number) { held.append(number); });
    return held;
  }
  /// Adds the bytes of one value of a database to those of another.
  static void add(std::string& bytes, std::string_view added) { bytes += added; }
};
struct Largest {
  static constexpr const char* name = "largest";
  static constexpr std::uint64_t keys_for_list = 10;
  static auto descriptor() {
    return ReducingStateDescriptor<std::uint64_t>{
        "largest", [](const std::uint64_t& a, const std::uint64_t& b) { return std::max(a, b); }};
  }
  static void add(Held& held, std::uint64_t number) { held = {1, std::max(held.digest, number)}; }
  static Held held(const ReducingState<std::uint64_t>& state) {
    const std::uint64_t* number = state.get();
    return number == nullptr ? Held() : Held{1, *number};
  }
  static void add(std::string& bytes, std::string_view added) {
    std::uint64_t held = 0;
    std::uint64_t number = 0;
    std::memcpy(&number, added.data(), sizeof(number));
    if (!bytes.empty()) std::memcpy(&held, bytes.data(), sizeof(held));
    if (number >= held) bytes = added;
  }
};

template <class State>
int measure(const Workload& workload, const System& system) {
  const std::string name = std::string(State::name) + ", " + system.name;
  const std::uint64_t keys = workload.lists * State::keys_for_list;
  Slice batch{};
  const auto print = [&](const char* what, std::uint64_t count, const bench::Stopwatch& stopwatch,
                         double processors_before) {
    const double millions = static_cast<double>(count) / 1e6;
    std::printf("%s: %-4s %8.3f M/s %8.3f M a processor second\n", name.c_str(), what,
                millions / stopwatch.seconds(),
                millions / (processor_seconds() - processors_before));
    std::fflush(stdout);
  };
  const std::uint64_t slices = workload.lists * workload.additions / slice;
  const auto fill = [&](std::uint64_t number) {
    for (std::uint64_t i = 0; i < slice; ++i) {
      const std::uint64_t record = number * slice + i;
      batch.keys[i] = bench::record(record, keys).key;
      batch.numbers[i] = record * 0x9e3779b97f4a7c15ULL;
    }
  };
  {
    const double processors = processor_seconds();
    const bench::Stopwatch stopwatch;
    for (std::uint64_t number = 0; number < slices; ++number) {
      fill(number);
      system.add(batch);
    }
    print("add", slices * slice, stopwatch, processors);
  }
  const std::uint64_t peak_kib = bench::status_kib("self", "VmHWM");

  std::vector<Held> expected(keys + 1);
  for (std::uint64_t number = 0; number < slices; ++number) {
    fill(number);
    for (std::uint64_t i = 0; i < slice; ++i) State::add(expected[batch.keys[i]], batch.numbers[i]);
  }
  std::uint64_t wrong = 0;
  const auto check = [&](std::uint64_t i, const Held& held) {
    wrong += held == expected[batch.keys[i]] ? 0 : 1;
  };
  const double processors = processor_seconds();
  const bench::Stopwatch stopwatch;
  for (std::uint64_t first = 1; first <= keys; first += slice) {
    for (std::uint64_t i = 0; i < slice; ++i) batch.keys[i] = std::min(first + i, keys);
    system.read(batch, check);
  }
  print("read", keys, stopwatch, processors);
  std::printf("%s: at most %lu MiB resident while adding\n", name.c_str(), peak_kib >> 10);
  if (wrong == 0) return 0;
  std::fprintf(stderr, "append_bench: %s: %lu keys do not have what was added to them\n",
               name.c_str(), wrong);
  return 1;
}

template <class State>
class MergeByHand final : public rocksdb::AssociativeMergeOperator {
 public:
  bool Merge(const rocksdb::Slice&, const rocksdb::Slice* existing, const rocksdb::Slice& value,
             std::string* merged, rocksdb::Logger*) const override {
    if (existing != nullptr) merged->assign(existing->data(), existing->size());
    State::add(*merged, {value.data(), value.size()});
    return true;
  }
  const char* Name() const override { return "by hand"; }
};

template <class State, bool merges>
int by_hand(const std::string& directory, const Workload& workload) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(workload.memory_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kLZ4Compression;
  options.write_buffer_size = workload.memory_bytes / 2;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 2;
  options.merge_operator = std::make_shared<MergeByHand<State>>();
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::Open(options, directory, &opened).ok()) return 1;
  const std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  const auto slice_of = [](const std::uint64_t& number) {
    return rocksdb::Slice(reinterpret_cast<const char*>(&number), sizeof(number));
  };
  std::string bytes;
  const auto get = [&](std::uint64_t key) {
    bytes.clear();
    const auto status = db->Get(rocksdb::ReadOptions(), slice_of(key), &bytes);
    if (!status.ok() && !status.IsNotFound()) std::abort();
  };
  const auto add = [&](const Slice& batch) {
    for (std::uint64_t i = 0; i < slice; ++i) {
      const rocksdb::Slice number = slice_of(batch.numbers[i]);
      if constexpr (merges) {
        if (!db->Merge(write, slice_of(batch.keys[i]), number).ok()) std::abort();
      } else {
        get(batch.keys[i]);
        State::add(bytes, {number.data(), number.size()});
        if (!db->Put(write, slice_of(batch.keys[i]), bytes).ok()) std::abort();
      }
    }
  };
  const auto read = [&](const Slice& batch,
                        const std::function<void(std::uint64_t, const Held&)>& visit) {
    for (std::uint64_t i = 0; i < slice; ++i) {
      get(batch.keys[i]);
      Held held;
      std::uint64_t number = 0;
      for (std::size_t at = 0; at + sizeof(number) <= bytes.size(); at += sizeof(number)) {
        std::memcpy(&number, bytes.data() + at, sizeof(number));
        State::add(held, number);
      }
      visit(i, held);
    }
  };
  return measure<State>(workload, {merges ? "Merge by hand" : "Get and Put by hand", add, read});
}

template <class State, bool reads_before>
int weir_backend(const std::string& directory, const Workload& workload) {
  PosixFileSystem files;
  RocksDBStateBackend backend({.memory_bytes = 2 * workload.memory_bytes, .table_ratio = 0.5});
  KeyedStateBackendContext context;
  context.operator_label = "operator 'bench'";
  context.key_width = 8;
  context.groups = {0, 128};
  context.max_parallelism = 128;
  context.local_directory = directory;
  context.files = &files;
  auto keyed = backend.create_keyed_state_backend(context);
  if (!keyed) return 1;
  KeyContext key;
  auto made = make_state(State::descriptor(), schema_of<std::uint64_t>(),
                         TableOptions{context.groups, 128, 8}, &key);
  TableBase& table = *made.table;
  auto state = made.handle;
  if (!(*keyed)->add_table(std::move(made.table)) || !(*keyed)->load_restored()) return 1;
  const auto for_slice = [&](const Slice& batch, auto&& f) {
    const auto select = [&](std::uint64_t word) {
      const KeyHash hash = hash_key(word);
      key = {hash, key_group_of(hash, 128), word, {}};
    };
    if (table.wants_keys(slice)) {
      for (const std::uint64_t word : batch.keys) {
        select(word);
        table.look_ahead(key);
      }
      table.load_ahead();
    }
    for (std::uint64_t i = 0; i < slice; ++i) {
      select(batch.keys[i]);
      f(i);
    }
    if (const auto stored = (*keyed)->store_changes(); !stored) {
      std::fprintf(stderr, "append_bench: %s\n", stored.error().what.c_str());
      std::abort();
    }
  };
  const auto add = [&](const Slice& batch) {
    for_slice(batch, [&](std::uint64_t i) {
      if constexpr (reads_before) bench::keep(State::held(state));
      state.add(batch.numbers[i]);
    });
  };
  const auto read = [&](const Slice& batch,
                        const std::function<void(std::uint64_t, const Held&)>& visit) {
    for_slice(batch, [&](std::uint64_t i) { visit(i, State::held(state)); });
  };
  const int result = measure<State>(workload, {reads_before ? "weir, reading" : "weir", add, read});
  const TableCounters& counters = table.counters();
  std::printf("  %lu runs, %lu loaded in %lu look-ups, %lu written, %lu segments evicted\n",
              counters.runs_begun, counters.entries_loaded, counters.look_ups,
              counters.entries_encoded, counters.segments_evicted);
  (*keyed)->dispose();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  Workload workload;
  if (argc > 1) workload.lists = std::strtoull(argv[1], nullptr, 10) * 1000;
  if (argc > 2) workload.additions = std::strtoull(argv[2], nullptr, 10);
  if (argc > 3) workload.memory_bytes = std::strtoull(argv[3], nullptr, 10) << 20;
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 1;
  std::string directory = "/tmp/weir-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  int failures = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const auto run :
         {&by_hand<Lists, true>, &by_hand<Lists, false>, &weir_backend<Lists, true>,
          &weir_backend<Lists, false>, &by_hand<Largest, true>, &by_hand<Largest, false>,
          &weir_backend<Largest, true>, &weir_backend<Largest, false>}) {
      if (const pid_t child = ::fork(); child == 0) {
        const int result = run(directory + "/state", workload);
        std::fflush(stdout);
        ::_exit(result);
      } else {
        int status = 0;
        ::waitpid(child, &status, 0);
        failures += status == 0 ? 0 : 1;
      }
      (void)std::system(("rm -rf '" + directory + "'/*").c_str());
    }
  }
  (void)std::system(("rm -rf '" + directory + "'").c_str());
  return failures == 0 ? 0 : 1;
}
