#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <rocksdb/cache.h>

#include "backends/rocksdb/flush_queue.hpp"
#include "backends/rocksdb/rocksdb_database.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"
#include "test/state/memory_payload.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

using Value = std::array<std::uint64_t, 13>;
constexpr KeyGroupRange groups{0, 16};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, groups.end), word, {}};
}

/// One subtask with two states.
struct Subtask {
  template <class T>
  Table<T>* add(const ValueStateDescriptor<T>& descriptor) {
    auto state = make_state(descriptor, schema_of<std::uint64_t>(), {groups, groups.end, 8}, &key);
    auto* typed = static_cast<Table<T>*>(state.table.get());
    REQUIRE(keyed->add_table(std::move(state.table)));
    return typed;
  }
  Subtask(std::size_t table_bytes, std::size_t block_bytes)
      : memory(std::make_shared<TableMemory>(table_bytes)),
        cache(rocksdb::NewLRUCache(block_bytes)) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = 8;
    context.groups = groups;
    context.max_parallelism = groups.end;
    context.local_directory = directory.path() + "/local";
    context.files = &files;
    auto created = RocksDBKeyedStateBackend::create(context, memory, cache);
    REQUIRE(created);
    keyed = std::move(*created);
    values = add(ValueStateDescriptor<Value>{"values"});
    names = add(ValueStateDescriptor<std::string>{"names"});
    REQUIRE(keyed->load_restored() == Result<bool>(true));
  }
  ~Subtask() { keyed->dispose(); }
  [[nodiscard]] std::size_t table_bytes() const {
    return values->memory_bytes() + names->memory_bytes();
  }

  TemporaryDirectory directory;
  PosixFileSystem files;
  std::shared_ptr<TableMemory> memory;
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<KeyedStateBackend> keyed;
  KeyContext key;  // of handles, which are not used
  Table<Value>* values = nullptr;
  Table<std::string>* names = nullptr;
};

SCENARIO("state that is ten times larger than its memory stays within it", "[backends]") {
  GIVEN("2 MiB for tables and 1 MiB for blocks") {
    constexpr std::size_t table_bytes = std::size_t{2} << 20;
    constexpr std::size_t block_bytes = std::size_t{1} << 20;
    Subtask subtask(table_bytes, block_bytes);
    constexpr std::uint64_t keys = 100'000;
    std::size_t most = 0;
    const auto end_slice = [&](std::uint64_t i) {
      if (i % 256 != 0) return;
      REQUIRE(subtask.keyed->store_changes());
      most = std::max(most, subtask.table_bytes());
    };
    std::unique_ptr<SnapshotTask> held_back;
    WHEN("20 MiB are written and read again, while a snapshot is held back") {
      for (std::uint64_t i = 1; i <= keys; ++i) {
        subtask.values->find_or_insert(key_of(i))[0] = i;
        subtask.names->find_or_insert(key_of(i)) = std::string(40, 'n') + std::to_string(i);
        end_slice(i);
        if (i == keys / 2) {
          auto task = subtask.keyed->begin_snapshot({.id = {1}});
          REQUIRE(task);
          held_back = std::move(*task);
        }
      }
      for (std::uint64_t i = 1; i <= keys; ++i) {
        const std::uint64_t key = 1 + i * 7919 % keys;
        const Value* value = subtask.values->find(key_of(key));
        REQUIRE(value != nullptr);
        REQUIRE((*value)[0] == key);
        const std::string* name = subtask.names->find(key_of(key));
        REQUIRE(name != nullptr);
        REQUIRE(*name == std::string(40, 'n') + std::to_string(key));
        end_slice(i);
      }
      THEN("tables and blocks took what they may, and the snapshot has what it should") {
        // What one slice adds, and an eighth that may wait for the next.
        CHECK(most <= table_bytes + table_bytes / 8 + 256 * 2048);
        CHECK(most > table_bytes / 2);
        CHECK(subtask.cache->GetUsage() <= block_bytes * 3 / 2);
        CHECK(subtask.keyed->size_bytes() > 4'000'000);
        CountingSink sink;
        const auto written = held_back->run(sink);
        REQUIRE(written);
        REQUIRE(written->handles.size() == 2);
        for (const KeyedStateHandle& handle : written->handles) {
          std::uint64_t entries = 0;
          for (const KeyGroupExtent& extent : handle.groups) entries += extent.entries;
          CHECK(entries == keys / 2);
        }
      }
      THEN("iteration sees every key once") {
        std::size_t found = 0;
        for (std::uint32_t group = 0; group < groups.end; ++group) {
          const auto keys_of_group = subtask.keyed->keys_of_group(group);
          REQUIRE(keys_of_group);
          found += keys_of_group->size();
        }
        CHECK(found == keys);
      }
    }
  }
}

TEST_CASE("errors of RocksDB are told once, with what to do where that is known", "[backends]") {
  const auto told = [](const rocksdb::Status& status) {
    return to_error(status, "/local/db: cannot write").error().what;
  };
  CHECK(to_error(rocksdb::Status::OK(), "/local/db: cannot write"));
  CHECK(told(rocksdb::Status::NoSpace("While appending to file: /local/db/1.sst",
                                      "No space left on device")) ==
        "/local/db: cannot write: RocksDB: While appending to file: /local/db/1.sst: No space left "
        "on device; make room there, or set state.backend.rocksdb.localdir to a larger disk");
  CHECK(
      told(rocksdb::Status::IOError("While open a file: /local/db/1.sst", "Too many open files")) ==
      "/local/db: cannot write: RocksDB: While open a file: /local/db/1.sst: Too many open files; "
      "raise the limit of open files (ulimit -n), or lower the parallelism");
  CHECK(told(rocksdb::Status::Corruption("block checksum mismatch")) ==
        "/local/db: cannot write: RocksDB: Corruption: block checksum mismatch");
}

TEST_CASE("subtasks of a process share the memory of tables", "[backends]") {
  const auto memory = std::make_shared<TableMemory>(std::size_t{1000});
  const TableMemory::Share first(memory);
  CHECK(first.bytes() == 1000);
  {
    const TableMemory::Share second(memory);
    CHECK(first.bytes() == 500);
    CHECK(second.bytes() == 500);
    CHECK(second.entry_bytes_max() == TableMemory::least_entry_limit_bytes);
  }
  CHECK(first.bytes() == 1000);
}

TEST_CASE("an entry may be as large as a share, or as the limit for entries if that is more",
          "[backends]") {
  const auto memory = std::make_shared<TableMemory>(std::size_t{1000}, std::size_t{700});
  const TableMemory::Share first(memory);
  CHECK(first.entry_bytes_max() == 1000);
  const TableMemory::Share second(memory);
  CHECK(first.entry_bytes_max() == 700);
}

/// A database with one column family and a table in front of it.
struct Queued {
  Queued() {
    auto created = RocksDBDatabase::create(files, directory.path() + "/local",
                                           rocksdb::NewLRUCache(std::size_t{1} << 20));
    REQUIRE(created);
    database = *created;
    auto made = database->create_column_family("state");
    REQUIRE(made);
    family = *made;
    backing.database = database.get();
    backing.family = family;
    table.set_backing(&backing, true);
    queue = std::make_unique<FlushQueue>(database);
  }
  std::shared_ptr<Flush> freeze() {
    std::vector<Flush::Part> parts;
    parts.push_back({family, table.freeze()});
    return queue->append(std::move(parts));
  }
  /// The values in the database, as `snapshot` or all of it shows them.
  std::map<std::uint64_t, std::uint64_t> contents(const DatabaseSnapshot* snapshot) {
    rocksdb::ReadOptions options;
    if (snapshot != nullptr) options.snapshot = snapshot->get();
    std::map<std::uint64_t, std::uint64_t> held;
    const std::unique_ptr<rocksdb::Iterator> entries(database->db().NewIterator(options, family));
    for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
      ByteReader key(view_of(entries->key()));
      (void)key.raw(2);
      const auto value = database->canonical(entries->value());
      REQUIRE(value);
      held[key.number<std::uint64_t>()] = ByteReader(*value).number<std::uint64_t>();
    }
    return held;
  }

  struct Backing final : StateBacking {
    RocksDBDatabase* database = nullptr;
    rocksdb::ColumnFamilyHandle* family = nullptr;
    Result<bool> load(const LookUp& wanted, std::string& value) override {
      return database->get(family, wanted, value);
    }
    Status load_all(
        std::span<const LookUp> wanted,
        const std::function<Status(std::size_t index, std::string_view value)>& visit) override {
      return database->get_all(family, wanted, visit);
    }
    Status scan(std::string_view,
                const std::function<bool(std::string_view, std::string_view)>&) override {
      return error(Errc::unsupported, "this table's entries are not walked");
    }
  };
  TemporaryDirectory directory;
  PosixFileSystem files;
  std::shared_ptr<RocksDBDatabase> database;
  rocksdb::ColumnFamilyHandle* family = nullptr;
  Backing backing;
  Table<std::uint64_t> table{{"s", StateKind::value, {}, schema_of<std::uint64_t>()},
                             {groups, groups.end, 8}};
  std::unique_ptr<FlushQueue> queue;
};

SCENARIO("flushes enter the database in the order of their freezes", "[backends]") {
  using Contents = std::map<std::uint64_t, std::uint64_t>;
  GIVEN("three flushes of one table, the second of which removes what the first has") {
    Queued queued;
    queued.table.find_or_insert(key_of(1)) = 10;
    queued.table.find_or_insert(key_of(2)) = 20;
    const auto first = queued.freeze();
    REQUIRE(queued.table.erase(key_of(1)));
    queued.table.find_or_insert(key_of(2)) = 21;
    const auto second = queued.freeze();
    queued.table.find_or_insert(key_of(3)) = 30;
    const auto third = queued.freeze();
    WHEN("the newest is wanted first") {
      const auto last = queued.queue->complete(*third);
      REQUIRE(last);
      CHECK(queued.queue->newest_completed() == 3);
      const auto middle = queued.queue->complete(*second);
      const auto oldest = queued.queue->complete(*first);
      REQUIRE(middle);
      REQUIRE(oldest);
      THEN("each sees its own time") {
        CHECK(queued.contents(oldest->get()) == Contents{{1, 10}, {2, 20}});
        CHECK(queued.contents(middle->get()) == Contents{{2, 21}});
        CHECK(queued.contents(last->get()) == Contents{{2, 21}, {3, 30}});
        CHECK_FALSE(queued.queue->help());
      }
    }
    WHEN("those before it are given up") {
      queued.queue->discard(*first);
      queued.queue->discard(*second);
      const auto last = queued.queue->complete(*third);
      REQUIRE(last);
      THEN("it has their changes") {
        CHECK(queued.contents(last->get()) == Contents{{2, 21}, {3, 30}});
      }
    }
    WHEN("the task helps") {
      int steps = 0;
      while (queued.queue->help()) ++steps;
      THEN("all are there, and each still has its snapshot") {
        CHECK(steps == 3);
        const auto oldest = queued.queue->complete(*first);
        REQUIRE(oldest);
        CHECK(queued.contents(oldest->get()) == Contents{{1, 10}, {2, 20}});
        CHECK(queued.contents(nullptr) == Contents{{2, 21}, {3, 30}});
      }
    }
  }
}

TEST_CASE("a compaction while the first snapshot is read loses nothing", "[backends]") {
  using Contents = std::map<std::uint64_t, std::uint64_t>;
  Queued queued;
  queued.table.find_or_insert(key_of(1)) = 10;
  queued.table.find_or_insert(key_of(2)) = 20;
  const auto snapshot = queued.queue->complete(*queued.freeze());
  REQUIRE(snapshot);
  const auto compact = [&] {
    rocksdb::CompactRangeOptions all;
    all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    REQUIRE(queued.database->db().CompactRange(all, queued.family, nullptr, nullptr).ok());
  };
  compact();
  CHECK(queued.contents(nullptr) == Contents{{1, 10}, {2, 20}});
  queued.table.find_or_insert(key_of(2)) = 21;
  REQUIRE(queued.queue->complete(*queued.freeze()));
  compact();
  CHECK(queued.contents(snapshot->get()) == Contents{{1, 10}, {2, 20}});
  CHECK(queued.contents(nullptr) == Contents{{1, 10}, {2, 21}});
}

TEST_CASE("several keys are read from a database together", "[backends]") {
  Queued queued;
  for (std::uint64_t i = 1; i <= 1000; ++i) queued.table.find_or_insert(key_of(i)) = i;
  REQUIRE(queued.queue->complete(*queued.freeze()));
  queued.table.confirm(2);
  queued.table.evict(0);
  REQUIRE(queued.table.entries() == 0);
  for (std::uint64_t i = 1; i <= 2000; i += 2) queued.table.look_ahead(key_of(i));
  queued.table.load_ahead();
  CHECK(queued.table.entries() == 500);
  CHECK(queued.table.counters().look_ups == 1);
  for (std::uint64_t i = 1; i <= 1000; ++i) REQUIRE(*queued.table.find(key_of(i)) == i);
  CHECK(queued.table.counters().look_ups == 501);
}

}  // namespace
}  // namespace weir::test
