// Lists that do not fit into memory (P15): 8 bytes are appended at random to one of many lists, then some
// lists are read. Weir's RocksDB backend as a keyed operator uses it, once merging and once reading each
// list before, beside a hand-written loop of Merge on RocksDB with the same memory. Each in a process of
// its own, in turn. Prints appends and reads a second of time and of processors, and the largest resident
// memory.
// Usage: append_bench [THOUSAND KEYS] [MILLION APPENDS] [MIB] [ROUNDS]
// MIB is the memory of the block cache, and again that of tables or memtables: 64 by default.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/table.h>

#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "bench/keyed_count.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"

namespace {

using namespace weir;

constexpr std::uint64_t slice = 256;
constexpr std::uint64_t reads = 100'000;

struct Workload {
  std::uint64_t keys = 1'000'000;
  std::uint64_t appends = 20'000'000;
  std::size_t memory_bytes = std::size_t{64} << 20;
};

/// The state under test: appends a number to, or reads and returns the length of, the lists of 256 keys.
using ForKeys = std::function<std::uint64_t(const std::uint64_t* keys)>;

std::uint64_t status_kib(const char* field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(field))
      return std::strtoull(line.c_str() + std::strlen(field) + 1, nullptr, 10);
  return 0;
}

double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void measure(const char* name, const Workload& workload, const ForKeys& append_all,
             const ForKeys& read_all) {
  std::array<std::uint64_t, slice> batch{};
  std::uint64_t next = 0;
  const auto run = [&](const char* what, std::uint64_t count, const ForKeys& for_keys) {
    const auto begin = std::chrono::steady_clock::now();
    const double processors = processor_seconds();
    std::uint64_t sum = 0;
    for (std::uint64_t done = 0; done < count; done += slice) {
      for (std::uint64_t& key : batch) key = bench::record(next++, workload.keys).key;
      sum += for_keys(batch.data());
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double millions = static_cast<double>(count) / 1e6;
    std::printf("%-14s %-8s %8.3f M/s %8.3f M a processor second", name, what,
                millions / time.count(), millions / (processor_seconds() - processors));
    std::printf(sum > 0 ? ", %.1f elements each\n" : "\n",
                static_cast<double>(sum) / static_cast<double>(count));
    std::fflush(stdout);
  };
  for (int part = 0; part < 4; ++part) run("append", workload.appends / 4, append_all);
  run("read", reads, read_all);
  std::printf("%-14s at most %lu MiB resident\n", name, status_kib("VmHWM") >> 10);
}

class Concatenation final : public rocksdb::AssociativeMergeOperator {
 public:
  bool Merge(const rocksdb::Slice&, const rocksdb::Slice* existing, const rocksdb::Slice& value,
             std::string* merged, rocksdb::Logger*) const override {
    if (existing != nullptr) merged->assign(existing->data(), existing->size());
    merged->append(value.data(), value.size());
    return true;
  }
  const char* Name() const override { return "concatenation"; }
};

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
  options.merge_operator = std::make_shared<Concatenation>();
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::Open(options, directory, &opened).ok()) return 1;
  const std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  const auto key_of = [](const std::uint64_t& key) {
    return rocksdb::Slice(reinterpret_cast<const char*>(&key), sizeof(key));
  };
  std::string bytes;
  measure(
      "by hand", workload,
      [&](const std::uint64_t* batch) -> std::uint64_t {
        for (std::uint64_t i = 0; i < slice; ++i)
          if (!db->Merge(write, key_of(batch[i]), key_of(i)).ok()) std::abort();
        return 0;
      },
      [&](const std::uint64_t* batch) {
        std::uint64_t elements = 0;
        for (std::uint64_t i = 0; i < slice; ++i)
          if (db->Get(rocksdb::ReadOptions(), key_of(batch[i]), &bytes).ok())
            elements += bytes.size() / sizeof(std::uint64_t);
        return elements;
      });
  return 0;
}

template <bool reads_before>
int weir_backend(const std::string& directory, const Workload& workload) {
  using List = ListValue<std::uint64_t>;
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
  auto made = make_state(ListStateDescriptor<std::uint64_t>{"list"}, schema_of<std::uint64_t>(),
                         TableOptions{context.groups, 128, 8}, &key);
  auto& table = static_cast<Table<List>&>(*made.table);
  ListState<std::uint64_t> list = made.handle;
  if (!(*keyed)->add_table(std::move(made.table)) || !(*keyed)->load_restored()) return 1;
  const auto select = [&](std::uint64_t word) {
    const KeyHash hash = hash_key(word);
    key = {hash, key_group_of(hash, 128), word, {}};
  };
  const auto for_slice = [&](const std::uint64_t* batch, auto&& f) {
    if (table.wants_keys(slice)) {
      for (std::uint64_t i = 0; i < slice; ++i) {
        select(batch[i]);
        table.look_ahead(key);
      }
      table.load_ahead();
    }
    for (std::uint64_t i = 0; i < slice; ++i) {
      select(batch[i]);
      f(i);
    }
    if (const auto stored = (*keyed)->store_changes(); !stored) {
      std::fprintf(stderr, "%s\n", stored.error().what.c_str());
      std::abort();
    }
  };
  measure(
      reads_before ? "weir, reading" : "weir, merging", workload,
      [&](const std::uint64_t* batch) -> std::uint64_t {
        for_slice(batch, [&](std::uint64_t i) {
          if constexpr (reads_before)
            table.find_or_insert(key).push_back(i);
          else
            list.add(i);
        });
        return 0;
      },
      [&](const std::uint64_t* batch) {
        std::uint64_t elements = 0;
        for_slice(batch, [&](std::uint64_t) { elements += list.size(); });
        return elements;
      });
  const TableCounters& counters = table.counters();
  std::printf(
      "               %lu runs, %lu loaded in %lu look-ups, %lu written, %lu segments evicted\n",
      counters.runs_begun, counters.entries_loaded, counters.look_ups, counters.entries_encoded,
      counters.segments_evicted);
  (*keyed)->dispose();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Workload workload;
  if (argc > 1) workload.keys = std::strtoull(argv[1], nullptr, 10) * 1000;
  if (argc > 2) workload.appends = std::strtoull(argv[2], nullptr, 10) * 1'000'000;
  if (argc > 3) workload.memory_bytes = std::strtoull(argv[3], nullptr, 10) << 20;
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 1;
  std::string directory = "/tmp/weir-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  int failures = 0;
  for (int round = 0; round < rounds; ++round) {
    for (const auto& [name, run] :
         {std::pair{"/hand", &by_hand}, std::pair{"/reading", &weir_backend<true>},
          std::pair{"/merging", &weir_backend<false>}}) {
      if (const pid_t child = ::fork(); child == 0) {
        const int result = run(directory + name, workload);
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
