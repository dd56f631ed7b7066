// State that is larger than its memory: 8 bytes of 100-byte values are read, changed and written, among
// many keys, evenly spread and by Zipf's law. Weir's RocksDB backend as a keyed operator uses it, beside
// two hand-written loops on RocksDB with the same memory: Get and Put of one record after the other, and
// MultiGet and WriteBatch of 256 together. Each in a process of its own, in turn.
// Prints records a second of time and of processors, and the largest resident memory.
// Usage: state_bench [MILLION KEYS] [MILLION RECORDS] [MIB] [weir|hand|batched DIRECTORY]
// MIB is the memory of the block cache, and again that of tables or memtables: 128 by default. With a
// name it runs that one alone, in this process.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
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
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "bench/keyed_count.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"

namespace {

using namespace weir;

constexpr std::uint64_t slice = 256;

struct Workload {
  std::uint64_t keys = 10'000'000;
  std::uint64_t records = 5'000'000;
  std::size_t memory_bytes = std::size_t{128}
                             << 20;  ///< of blocks, and again of tables or memtables
};

using Value = std::array<std::uint64_t, 13>;  // 104 bytes: a count, and what cannot be compressed

Value new_value(std::uint64_t key) {
  Value value{};
  for (std::size_t i = 1; i < value.size(); ++i) value[i] = hash_key(key * 16 + i);
  return value;
}

/// The state under test: adds 1 to the value of each of 256 keys.
using AddAll = std::function<void(const std::uint64_t* keys)>;

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

/// Ranks from 1 to `n`, of which the first are the most frequent. Source: Gray, Sundaresan, Englert,
/// Baclawski, Weinberger, "Quickly Generating Billion-Record Synthetic Databases", 1994.
class Zipf {
 public:
  explicit Zipf(std::uint64_t n) : n_(static_cast<double>(n)) {
    for (std::uint64_t i = 1; i <= n; ++i) zeta_ += std::pow(static_cast<double>(i), -theta);
    eta_ = (1 - std::pow(2 / n_, 1 - theta)) / (1 - (1 + std::pow(0.5, theta)) / zeta_);
  }
  [[nodiscard]] std::uint64_t rank(std::uint64_t random) const {
    const double u = static_cast<double>(random >> 11) * 0x1p-53;
    const double uz = u * zeta_;
    if (uz < 1) return 1;
    if (uz < 1 + std::pow(0.5, theta)) return 2;
    return 1 + static_cast<std::uint64_t>(n_ * std::pow(eta_ * u - eta_ + 1, 1 / (1 - theta)));
  }

 private:
  static constexpr double theta = 0.99;
  const double n_;
  double zeta_ = 0;
  double eta_ = 0;
};

/// `uniform` is how the rows of evenly spread keys are called.
void measure(const char* name, const char* uniform, const Workload& workload,
             const AddAll& add_all) {
  std::array<std::uint64_t, slice> batch{};
  const auto run = [&](const char* what, std::uint64_t count, auto&& key_at) {
    const auto begin = std::chrono::steady_clock::now();
    const double processors = processor_seconds();
    for (std::uint64_t done = 0; done < count; done += slice) {
      for (std::uint64_t i = 0; i < slice; ++i) batch[i] = key_at(done + i);
      add_all(batch.data());
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const double millions = static_cast<double>(count) / 1e6;
    std::printf("%-8s %-20s %8.3f M/s %8.3f M a processor second\n", name, what,
                millions / time.count(), millions / (processor_seconds() - processors));
    std::fflush(stdout);
  };
  run("insert", workload.keys, [&](std::uint64_t i) { return 1 + i % workload.keys; });
  std::uint64_t next = 0;
  for (int part = 0; part < 5; ++part)
    run(uniform, workload.records / 5,
        [&](std::uint64_t) { return bench::record(next++, workload.keys).key; });
  const Zipf zipf(workload.keys);
  for (int part = 0; part < 5; ++part)
    run("the same, by Zipf", workload.records / 5, [&](std::uint64_t) {
      const std::uint64_t random = hash_key(next++);
      return 1 + zipf.rank(random) * 2'654'435'761 % workload.keys;
    });
  std::printf("%-8s at most %lu MiB resident\n", name, status_kib("VmHWM") >> 10);
}

std::unique_ptr<rocksdb::DB> open_database(const std::string& directory, const Workload& workload) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(workload.memory_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kLZ4Compression;
  options.write_buffer_size = workload.memory_bytes / 2;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 2;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* db = nullptr;
  if (!rocksdb::DB::Open(options, directory, &db).ok()) std::abort();
  return std::unique_ptr<rocksdb::DB>(db);
}

int by_hand(const std::string& directory, const Workload& workload) {
  const auto db = open_database(directory, workload);
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  std::string bytes;
  measure("by hand", "read, change, write", workload, [&](const std::uint64_t* batch) {
    for (std::uint64_t i = 0; i < slice; ++i) {
      const rocksdb::Slice key(reinterpret_cast<const char*>(batch + i), 8);
      Value value;
      if (db->Get(rocksdb::ReadOptions(), key, &bytes).ok())
        std::memcpy(&value, bytes.data(), sizeof(value));
      else
        value = new_value(batch[i]);
      ++value[0];
      if (!db->Put(write, key, {reinterpret_cast<const char*>(&value), sizeof(value)}).ok())
        std::abort();
    }
  });
  return 0;
}

int batched(const std::string& directory, const Workload& workload) {
  const auto db = open_database(directory, workload);
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  std::array<std::pair<std::uint64_t, Value>, slice> entries;  // by key: a batch may have one twice
  std::array<rocksdb::Slice, slice> keys;
  std::array<rocksdb::PinnableSlice, slice> bytes;
  std::array<rocksdb::Status, slice> statuses;
  rocksdb::WriteBatch writes;
  measure("batched", "MultiGet, WriteBatch", workload, [&](const std::uint64_t* batch) {
    std::array<std::uint64_t, slice> sorted;
    std::copy_n(batch, slice, sorted.begin());
    std::ranges::sort(sorted, {}, [](std::uint64_t key) { return __builtin_bswap64(key); });
    std::size_t different = 0;
    for (std::uint64_t i = 0; i < slice; ++i)
      if (i == 0 || sorted[i] != sorted[i - 1]) entries[different++] = {sorted[i], {}};
    for (std::size_t i = 0; i < different; ++i)
      keys[i] = {reinterpret_cast<const char*>(&entries[i].first), 8};
    db->MultiGet(rocksdb::ReadOptions(), db->DefaultColumnFamily(), different, keys.data(),
                 bytes.data(), statuses.data(), true);
    for (std::size_t i = 0; i < different; ++i) {
      auto& [key, value] = entries[i];
      if (statuses[i].ok())
        std::memcpy(&value, bytes[i].data(), sizeof(value));
      else
        value = new_value(key);
      bytes[i].Reset();
    }
    std::size_t at = 0;
    for (std::uint64_t i = 0; i < slice; ++i) {
      if (sorted[i] != entries[at].first) ++at;
      ++entries[at].second[0];
    }
    writes.Clear();
    for (std::size_t i = 0; i < different; ++i) {
      const auto* value = reinterpret_cast<const char*>(&entries[i].second);
      if (!writes.Put(keys[i], {value, sizeof(Value)}).ok()) std::abort();
    }
    if (!db->Write(write, &writes).ok()) std::abort();
  });
  return 0;
}

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
  auto owned = std::make_unique<Table<Value>>(
      StateDeclaration{"value", StateKind::value, schema_of<std::uint64_t>(), schema_of<Value>()},
      TableOptions{context.groups, 128, 8});
  Table<Value>& table = *owned;
  if (!(*keyed)->add_table(std::move(owned)) || !(*keyed)->load_restored()) return 1;
  const auto key_of = [](std::uint64_t word) -> KeyContext {
    const KeyHash hash = hash_key(word);
    return {hash, key_group_of(hash, 128), word, {}};
  };
  measure("weir", "read, change, write", workload, [&](const std::uint64_t* batch) {
    if (table.wants_keys(slice)) {
      for (std::uint64_t i = 0; i < slice; ++i) table.look_ahead(key_of(batch[i]));
      table.load_ahead();
    }
    for (std::uint64_t i = 0; i < slice; ++i) {
      Value& value = table.find_or_insert(key_of(batch[i]));
      if (value[0] == 0) value = new_value(batch[i]);
      ++value[0];
    }
    if (const auto stored = (*keyed)->store_changes(); !stored) {
      std::fprintf(stderr, "%s\n", stored.error().what.c_str());
      std::abort();
    }
  });
  const TableCounters& counters = table.counters();
  std::printf("         %lu loaded in %lu look-ups, %lu written, %lu segments evicted\n",
              counters.entries_loaded, counters.look_ups, counters.entries_encoded,
              counters.segments_evicted);
  (*keyed)->dispose();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Workload workload;
  if (argc > 1) workload.keys = std::strtoull(argv[1], nullptr, 10) * 1'000'000;
  if (argc > 2) workload.records = std::strtoull(argv[2], nullptr, 10) * 1'000'000;
  if (argc > 3) workload.memory_bytes = std::strtoull(argv[3], nullptr, 10) << 20;
  constexpr std::array systems{std::pair{"hand", &by_hand}, std::pair{"batched", &batched},
                               std::pair{"weir", &weir_backend}};
  if (argc > 5)
    for (const auto& [name, run] : systems)
      if (argv[4] == std::string(name)) return run(argv[5], workload);
  std::string directory = "/tmp/weir-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  int failures = 0;
  for (int round = 0; round < 2; ++round) {
    for (const auto& [name, run] : systems) {
      if (const pid_t child = ::fork(); child == 0) {
        const int result = run(directory + "/" + name + std::to_string(round), workload);
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
