// Appends to entries that are not in memory, with a real database below:
// docs/design/012-appends-that-read-nothing.md.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <rocksdb/cache.h>
#include <rocksdb/metadata.h>
#include <rocksdb/utilities/checkpoint.h>

#include "backends/rocksdb/flush_queue.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "backends/rocksdb/sorted_files.hpp"
#include "state/entry_key.hpp"
#include "state/extents.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"
#include "test/runtime/probe_operators.hpp"
#include "test/state/memory_payload.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

constexpr KeyGroupRange groups{0, 16};

KeyContext key_of(std::uint64_t word) {
  const KeyHash hash = hash_key(word);
  return {hash, key_group_of(hash, groups.end), word, {}};
}

using Numbers = std::vector<std::uint64_t>;
using Contents = std::map<std::uint64_t, Numbers>;

Numbers numbers_of(std::string_view canonical) {
  Numbers numbers;
  ByteReader reader(canonical);
  while (reader.remaining() > 0) numbers.push_back(reader.number<std::uint64_t>());
  REQUIRE(reader.complete());
  return numbers;
}

/// A database with list states by number in front.
struct Lists {
  Lists() {
    auto created = RocksDBDatabase::create(files, directory.path() + "/local",
                                           rocksdb::NewLRUCache(std::size_t{1} << 20));
    REQUIRE(created);
    database = *created;
    queue = std::make_unique<FlushQueue>(database);
    auto made = database->create_column_family("state");
    REQUIRE(made);
    open(*made, true);
  }
  /// The column family becomes what is below the table, which is a new one.
  void open(rocksdb::ColumnFamilyHandle* opened, bool is_empty) {
    family = opened;
    backing = std::make_unique<Backing>(*this);
    auto made = make_state(ListStateDescriptor<std::uint64_t>{"list"}, schema_of<std::uint64_t>(),
                           {groups, groups.end, 8}, &key);
    table = std::move(made.table);
    list = made.handle;
    const auto newest_run = database->newest_run(family);
    REQUIRE(newest_run);
    table->set_backing(backing.get(), is_empty);
    table->continue_runs_after(*newest_run);
  }
  void add(std::uint64_t word, std::uint64_t element) {
    key = key_of(word);
    list.add(element);
  }
  Numbers get(std::uint64_t word) {
    key = key_of(word);
    return list.get();
  }
  std::shared_ptr<Flush> freeze() {
    auto frozen = table->freeze();
    epochs.push_back(frozen->epoch());
    std::vector<Flush::Part> parts;
    parts.push_back({family, std::move(frozen)});
    return queue->append(std::move(parts));
  }
  void confirm() {
    if (const std::uint64_t newest = queue->newest_completed(); newest > 0)
      table->confirm(epochs[newest - 1]);
  }
  /// Nothing stays in memory.
  void drop() {
    REQUIRE(queue->complete(*freeze()));
    confirm();
    table->evict(0);
    REQUIRE(table->entries() == 0);
  }
  /// The lists in the database, as `snapshot` or all of it shows them.
  Contents contents(const DatabaseSnapshot* snapshot = nullptr) {
    rocksdb::ReadOptions options;
    if (snapshot != nullptr) options.snapshot = snapshot->get();
    Contents held;
    const std::unique_ptr<rocksdb::Iterator> entries(database->db().NewIterator(options, family));
    for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
      EntryKey entry;
      REQUIRE(read_entry_key(view_of(entries->key()), 8, entry));
      const auto value = database->canonical(entries->value());
      REQUIRE(value);
      held[ByteReader(entry.key).number<std::uint64_t>()] = numbers_of(*value);
    }
    REQUIRE(entries->status().ok());
    return held;
  }
  /// Files by level, as far as there are any.
  std::map<int, std::vector<std::string>> files_by_level() {
    rocksdb::ColumnFamilyMetaData all;
    database->db().GetColumnFamilyMetaData(family, &all);
    std::map<int, std::vector<std::string>> levels;
    for (const auto& level : all.levels)
      for (const auto& file : level.files) levels[level.level].push_back(file.name);
    return levels;
  }
  void compact_all() { REQUIRE(database->db().CompactRange({}, family, nullptr, nullptr).ok()); }

  struct Backing final : StateBacking {
    explicit Backing(Lists& lists) : database(*lists.database), family(lists.family) {}
    RocksDBDatabase& database;
    rocksdb::ColumnFamilyHandle* family;
    Result<bool> load(const LookUp& wanted, std::string& value) override {
      return database.get(family, wanted, value);
    }
    Status load_all(
        std::span<const LookUp> wanted,
        const std::function<Status(std::size_t index, std::string_view value)>& visit) override {
      return database.get_all(family, wanted, visit);
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
  std::unique_ptr<FlushQueue> queue;
  std::unique_ptr<Backing> backing;
  KeyContext key;
  std::unique_ptr<TableBase> table;
  ListState<std::uint64_t> list;
  std::vector<std::uint32_t> epochs;  // of the flushes, by number - 1
};

SCENARIO("appends are merged in the database", "[backends]") {
  GIVEN("a hundred lists, deep in a database") {
    Lists lists;
    Contents model;
    for (std::uint64_t i = 1; i <= 100; ++i) lists.add(i, i);
    for (std::uint64_t i = 1; i <= 100; ++i) model[i] = {i};
    lists.drop();
    lists.compact_all();
    const auto add_to_all = [&](std::uint64_t element) {
      for (std::uint64_t i = 1; i <= 100; ++i) lists.add(i, element);
      for (std::uint64_t i = 1; i <= 100; ++i) model[i].push_back(element);
    };
    WHEN("runs of them lie above, and are compacted with each other alone") {
      add_to_all(1000);
      REQUIRE(lists.queue->complete(*lists.freeze()));  // a run ...
      add_to_all(1001);
      lists.drop();  // ... and the same, longer
      add_to_all(1002);
      lists.drop();
      const auto levels = lists.files_by_level();
      REQUIRE(levels.size() == 4);
      std::vector<std::string> above;
      for (const auto& [level, names] : levels)
        if (level != levels.rbegin()->first) above.insert(above.end(), names.begin(), names.end());
      const int target = std::prev(levels.end(), 2)->first;
      REQUIRE(lists.database->db()
                  .CompactFiles(rocksdb::CompactionOptions(), lists.family, above, target)
                  .ok());
      REQUIRE(lists.files_by_level().size() == 2);
      THEN("everything is there once, whoever reads it") {
        CHECK((lists.contents() == model));
        add_to_all(1003);
        CHECK(lists.table->counters().look_ups == 0);
        for (std::uint64_t i = 1; i <= 50; ++i) REQUIRE(lists.get(i) == model[i]);
        for (std::uint64_t i = 51; i <= 100; ++i) lists.table->look_ahead(key_of(i));
        lists.table->load_ahead();
        for (std::uint64_t i = 51; i <= 100; ++i) REQUIRE(lists.get(i) == model[i]);
        CHECK(lists.table->counters().look_ups == 51);
        lists.compact_all();
        lists.drop();
        CHECK((lists.contents() == model));
      }
      THEN("the files know the highest number of a run, at any depth") {
        CHECK(lists.database->newest_run(lists.family) == Result<std::uint32_t>(2));
        lists.compact_all();
        CHECK(lists.database->newest_run(lists.family) == Result<std::uint32_t>(2));
      }
    }
    WHEN("the files are copied into another database") {
      add_to_all(1000);
      lists.drop();
      rocksdb::Checkpoint* checkpoint = nullptr;
      REQUIRE(rocksdb::Checkpoint::Create(&lists.database->db(), &checkpoint).ok());
      const std::unique_ptr<rocksdb::Checkpoint> owned(checkpoint);
      rocksdb::ExportImportFilesMetaData* exported = nullptr;
      REQUIRE(
          checkpoint
              ->ExportColumnFamily(lists.family, lists.directory.path() + "/exported", &exported)
              .ok());
      const std::unique_ptr<rocksdb::ExportImportFilesMetaData> files(exported);
      Lists other;
      rocksdb::ColumnFamilyHandle* imported = nullptr;
      REQUIRE(other.database->db()
                  .CreateColumnFamilyWithImport(other.database->options(), "imported", {}, *files,
                                                &imported)
                  .ok());
      other.open(imported, false);
      THEN("new runs do not replace those that came with them") {
        for (std::uint64_t i = 1; i <= 100; ++i) other.add(i, 2000);
        CHECK(other.table->counters().runs_begun == 100);
        REQUIRE(other.queue->complete(*other.freeze()));
        for (std::uint64_t i = 1; i <= 100; ++i) model[i].push_back(2000);
        CHECK((other.contents() == model));
        for (std::uint64_t i = 1; i <= 100; ++i) REQUIRE(other.get(i) == model[i]);
      }
      REQUIRE(other.database->db().DestroyColumnFamilyHandle(imported).ok());
    }
    WHEN("something in the database is no stored value") {
      std::string entry;
      append_entry_key({key_of(7).group, encode_value(std::uint64_t{7}), {}, {}}, 8, entry);
      lists.add(7, 1000);
      rocksdb::WriteOptions write;
      write.disableWAL = true;
      REQUIRE(lists.database->db().Put(write, lists.family, entry, "?").ok());
      THEN("that is reported, also if a run is merged into it") {
        CHECK_THROWS_WITH(lists.get(7), Catch::Contains("malformed"));
        lists.table->look_ahead(key_of(7));
        CHECK_THROWS_WITH(lists.table->load_ahead(), Catch::Contains("malformed"));
        REQUIRE(lists.queue->complete(*lists.freeze()));
        CHECK_THROWS_AS(lists.get(7), StateAccessFailed);
      }
    }
  }
}

TEST_CASE("a flush that is given up half-way leaves nothing behind that the next does not replace",
          "[backends]") {
  Lists lists;
  Contents model;
  for (std::uint64_t i = 1; i <= 200; ++i) lists.add(i, i);
  for (std::uint64_t i = 1; i <= 200; ++i) model[i] = {i};
  lists.drop();
  const auto add_to_all = [&](std::uint64_t element, std::size_t count) {
    for (std::uint64_t i = 1; i <= 200; ++i) {
      lists.key = key_of(i);
      const Numbers some(count, element);
      lists.list.add_all(some);
      model[i].insert(model[i].end(), some.begin(), some.end());
    }
  };
  add_to_all(1000, 10'000);  // 16 MB: more than one step brings in
  const auto given_up = lists.freeze();
  REQUIRE(lists.queue->help());
  const Contents half = lists.contents();
  CHECK(std::ranges::count_if(half, [](const auto& one) { return one.second.size() == 1; }) > 20);
  CHECK(std::ranges::count_if(half, [](const auto& one) { return one.second.size() > 1; }) > 20);
  lists.queue->discard(*given_up);
  const bool reads = GENERATE(false, true);
  if (reads)
    for (std::uint64_t i = 1; i <= 200; i += 2) REQUIRE(lists.get(i) == model[i]);
  add_to_all(1001, 3);
  const auto next = lists.freeze();
  add_to_all(1002, 3);
  const auto snapshot = lists.queue->complete(*next);
  REQUIRE(snapshot);
  Contents expected = model;
  for (auto& [key, numbers] : expected) numbers.resize(numbers.size() - 3);
  CHECK((lists.contents(snapshot->get()) == expected));
  lists.drop();
  CHECK((lists.contents() == model));
}

TEST_CASE("lists in a database agree with a simple model, whatever becomes of flushes",
          "[backends]") {
  const std::uint64_t seed = GENERATE(1, 2, 3, 4, 5, 6);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Lists lists;
  Contents model;
  const auto expected = [&] {
    Contents all;
    for (const auto& [key, numbers] : model)
      if (!numbers.empty()) all[key] = numbers;
    return all;
  };
  struct InFlight {
    std::shared_ptr<Flush> flush;
    Contents expected;
  };
  std::vector<InFlight> in_flight;
  struct Held {
    std::unique_ptr<DatabaseSnapshot> snapshot;
    Contents expected;
  };
  std::vector<Held> held;  // what compactions have to keep apart
  const auto complete = [&](std::size_t one) {
    auto snapshot = lists.queue->complete(*in_flight[one].flush);
    REQUIRE(snapshot);
    REQUIRE((lists.contents(snapshot->get()) == in_flight[one].expected));
    held.push_back({std::move(*snapshot), std::move(in_flight[one].expected)});
    in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(one));
  };
  std::uint64_t highest = 300;
  for (int operation = 0; operation < 10'000; ++operation) {
    if (operation % 1000 == 0) highest = 10 + random() % 1000;
    const std::uint64_t i = random() % highest;
    const std::uint64_t element = random();
    switch (random() % 16) {
      case 0:
        lists.key = key_of(i);
        lists.list.clear();
        model[i].clear();
        break;
      case 1:
        lists.key = key_of(i);
        lists.list.update({element, element + 1});
        model[i] = {element, element + 1};
        break;
      case 2:
        lists.table->look_ahead(key_of(i));
        lists.table->look_ahead(key_of(i + 1));
        lists.table->load_ahead();
        break;
      case 3:
      case 4:
        REQUIRE(lists.get(i) == model[i]);
        break;
      default:
        lists.add(i, element);
        model[i].push_back(element);
    }
    lists.table->reclaim();
    const std::size_t one = in_flight.empty() ? 0 : random() % in_flight.size();
    switch (random() % 160) {
      case 0:
      case 1:
        if (in_flight.size() < 6) in_flight.push_back({lists.freeze(), expected()});
        break;
      case 2:
        if (!in_flight.empty()) complete(one);
        break;
      case 3:
        (void)lists.queue->help();
        break;
      case 4:
        if (in_flight.empty()) break;
        lists.queue->discard(*in_flight[one].flush);
        in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(one));
        break;
      case 5:
      case 6:
        lists.confirm();
        break;
      case 7:
        lists.table->evict(0);
        break;
      case 8:
        lists.table->evict(lists.table->memory_bytes() * 3 / 4);
        break;
      case 9: {  // the task is short of memory
        while (lists.queue->help()) {
        }
        lists.confirm();
        SortedFiles files(*lists.database);
        for (std::uint32_t group = 0; group < groups.end; ++group)
          if (random() % 2 == 0)
            REQUIRE(lists.table->flush_group(group, [&](auto key, auto value, auto run) {
              return files.change(lists.family, key, value, run);
            }));
        REQUIRE(files.ingest());
        break;
      }
      case 10:
        if (random() % 8 == 0) lists.compact_all();
        break;
      case 11: {  // two levels become one
        const auto levels = lists.files_by_level();
        if (levels.size() < 2 || levels.begin()->first == 0) break;
        auto names = levels.begin()->second;
        const auto& [level, below] = *std::next(levels.begin());
        names.insert(names.end(), below.begin(), below.end());
        // What RocksDB is compacting by itself is refused.
        (void)lists.database->db().CompactFiles(rocksdb::CompactionOptions(), lists.family, names,
                                                level);
        break;
      }
      case 12:
        if (held.empty()) break;
        REQUIRE((lists.contents(held.front().snapshot.get()) == held.front().expected));
        held.erase(held.begin());
        break;
      default:
        break;
    }
  }
  while (!in_flight.empty()) complete(random() % in_flight.size());
  for (const Held& one : held) REQUIRE((lists.contents(one.snapshot.get()) == one.expected));
  for (const auto& [key, numbers] : model) REQUIRE(lists.get(key) == numbers);
  lists.drop();
  CHECK((lists.contents() == expected()));
  CHECK(lists.table->counters().runs_begun > 300);
  CHECK(lists.table->counters().entries_loaded > 100);
}

TEST_CASE("lists that are ten times larger than their memory grow without being read",
          "[backends]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  RocksDBStateBackend backend({.memory_bytes = std::size_t{2} << 20, .table_ratio = 0.5});
  KeyedStateBackendContext context;
  context.operator_label = "operator 'lists'";
  context.key_width = 8;
  context.groups = groups;
  context.max_parallelism = groups.end;
  context.local_directory = directory.path() + "/local";
  context.files = &files;
  auto keyed = backend.create_keyed_state_backend(context);
  REQUIRE(keyed);
  KeyContext key;
  auto lists = make_state(ListStateDescriptor<std::uint64_t>{"lists"}, schema_of<std::uint64_t>(),
                          {groups, groups.end, 8}, &key);
  auto most = make_state(
      ReducingStateDescriptor<std::uint64_t>{
          "most", [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); }},
      schema_of<std::uint64_t>(), {groups, groups.end, 8}, &key);
  const TableCounters& list_counters = lists.table->counters();
  const TableCounters& most_counters = most.table->counters();
  REQUIRE((*keyed)->add_table(std::move(lists.table)));
  REQUIRE((*keyed)->add_table(std::move(most.table)));
  REQUIRE((*keyed)->load_restored() == Result<bool>(true));
  constexpr std::uint64_t keys = 20'000;
  constexpr std::uint64_t rounds = 20;
  std::unique_ptr<SnapshotTask> task;
  for (std::uint64_t i = 0; i < keys * rounds; ++i) {
    key = key_of(i * 7919 % keys);
    lists.handle.add(i / keys);
    most.handle.add(i / keys);
    if (i % 256 == 0) REQUIRE((*keyed)->store_changes());
    if (i + 1 != keys * rounds / 2) continue;
    auto begun = (*keyed)->begin_snapshot({.id = {1}});
    REQUIRE(begun);
    task = std::move(*begun);
  }
  CHECK(list_counters.runs_begun > keys * rounds / 4);
  CHECK(list_counters.look_ups == 0);
  CHECK(most_counters.runs_begun > keys * rounds / 4);
  CHECK(most_counters.look_ups < most_counters.runs_begun / 10);
  BytesSink sink;
  const auto written = task->run(sink);
  REQUIRE(written);
  BytesSource source(sink.bytes);
  std::map<std::string, std::uint64_t> found;
  Numbers first_half(rounds / 2);
  for (std::uint64_t round = 0; round < rounds / 2; ++round) first_half[round] = round;
  for (const KeyedStateHandle& handle : written->handles)
    for (const KeyGroupExtent& extent : handle.groups)
      REQUIRE(read_extent(source, extent, 8, [&](auto, auto value) -> Status {
        ++found[handle.state];
        // A sum of parts is one number there, whatever the database has of it.
        REQUIRE(numbers_of(value) ==
                (handle.state == "lists" ? first_half : Numbers{rounds / 2 - 1}));
        return {};
      }));
  CHECK(found == std::map<std::string, std::uint64_t>{{"lists", keys}, {"most", keys}});
  Numbers all(rounds);
  for (std::uint64_t round = 0; round < rounds; ++round) all[round] = round;
  for (std::uint64_t i = 0; i < keys; ++i) {
    key = key_of(i);
    REQUIRE(lists.handle.get() == all);
    REQUIRE(most.handle.get() != nullptr);
    REQUIRE(*most.handle.get() == rounds - 1);
    if (i % 256 == 0) REQUIRE((*keyed)->store_changes());
  }
  task.reset();
  (*keyed)->dispose();
}

TEST_CASE("a function that throws while a snapshot folds its state declines the checkpoint",
          "[backends]") {
  TaskWorld world;
  world.backend = std::make_shared<RocksDBStateBackend>(
      RocksDBStateBackend::Options{.memory_bytes = 1 << 20, .table_ratio = 0});
  const auto script = std::make_shared<Script>();
  std::function<void()> refuse;
  const ReducingStateDescriptor<long> descriptor{"sum", [&](const long& a, const long& b) {
                                                   if (refuse) refuse();
                                                   return a + b;
                                                 }};
  KeyContext key;
  ReducingState<long> sum;
  KeyedStateBackend* backend = nullptr;
  script->open = [&](OperatorContext& context) -> Status {
    WEIR_TRY_ASSIGN(opened, context.keyed_state(8));
    backend = opened;
    auto made = make_state(descriptor, schema_of<long>(), {{0, 128}, 128, 8}, &key);
    sum = made.handle;
    return backend->add_table(std::move(made.table));
  };
  TaskUnderTest test(world, task_plan(script, std::make_shared<Script>()), 1);
  (void)test.run();
  for (long round = 0; round < 3; ++round)  // each leaves the memory before the next
    for (std::uint64_t word = 1; word <= 20; ++word) {
      const KeyHash hash = hash_key(word);
      key = {hash, key_group_of(hash, 128), word, {}};
      sum.add(1);
      REQUIRE(backend->store_changes());
    }
  const auto checkpoint = [&](std::uint64_t id) {
    test.inputs[0]->push(barrier_of(id));
    CHECK(test.settle() == StepResult::idle);
    world.io.run_all();
    return test.listener->last();
  };
  refuse = [] { throw std::runtime_error("not today"); };
  CHECK(checkpoint(1) == "decline 1 snapshot_failed");
  CHECK(test.listener->detail ==
        "operator 'head': code of the job that decodes or folds state 'sum' threw: not today");
  refuse = [] { throw 3; };
  CHECK(checkpoint(2) == "decline 2 snapshot_failed");
  CHECK(test.listener->detail ==
        "operator 'head': code of the job that decodes or folds state 'sum' threw a value of type "
        "int, which says "
        "nothing; throw a std::exception whose text says what is wrong");
  refuse = nullptr;
  CHECK(checkpoint(3) == "acknowledge 3");
  CHECK(*sum.get() == 3);
}

}  // namespace
}  // namespace weir::test
