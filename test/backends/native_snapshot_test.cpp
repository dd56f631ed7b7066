// Snapshots that are the files of a database: what is taken, how it is put together again, what is left behind.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <rocksdb/cache.h>

#include "backends/rocksdb/database_files.hpp"
#include "backends/rocksdb/native_restore.hpp"
#include "backends/rocksdb/native_snapshot_task.hpp"
#include "backends/rocksdb/sorted_files.hpp"
#include "state/bytes.hpp"
#include "storage/posix_file_system.hpp"
#include "test/state/memory_payload.hpp"
#include "test/storage/passing_file_system.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

constexpr KeyGroupRange all_groups{0, 16};
using Contents = std::map<std::string, std::string>;

/// An entry key: `number` in `group`.
std::string key_of(std::uint32_t group, std::uint32_t number) {
  std::string key;
  ByteWriter writer(key);
  writer.big_endian(static_cast<std::uint16_t>(group));
  writer.big_endian(number);
  return key;
}

/// The system's files, of which links can be refused.
class RefusingFiles final : public PassingFileSystem {
 public:
  RefusingFiles() : PassingFileSystem(system_) {}
  int links_left = 1 << 30;
  Status link(const std::string& from, const std::string& to) override {
    if (links_left-- <= 0) return error(Errc::io_error, to + ": no more links");
    return files_.link(from, to);
  }

 private:
  PosixFileSystem system_;
};

/// One subtask's native snapshot, with the payloads of all its locations.
struct Taken {
  KeyedSnapshot written;
  std::vector<DataLocation> locations;
  std::size_t payload_bytes = 0;
};

/// A database of its own with one state.
struct Database {
  explicit Database(KeyGroupRange owned = all_groups) : groups(owned) {
    auto created = RocksDBDatabase::create(files, directory.path() + "/local",
                                           rocksdb::NewLRUCache(std::size_t{1} << 20));
    REQUIRE(created);
    database = std::move(*created);
    queue = std::make_shared<FlushQueue>(database);
  }
  void create_family() {
    auto made = database->create_column_family("state");
    REQUIRE(made);
    family = *made;
  }
  /// Ingests `changes`; none: the key is removed.
  void apply(const std::map<std::string, std::optional<std::string>>& changes) {
    SortedFiles sorted(*database);
    for (const auto& [key, value] : changes) {
      REQUIRE((value ? sorted.put(family, key, *value) : sorted.remove(family, key)));
      if (value)
        contents[key] = *value;
      else
        contents.erase(key);
    }
    REQUIRE(sorted.ingest());
  }
  /// Changes some of `keys` keys of each of its groups.
  void change(std::mt19937_64& random, std::uint32_t keys, std::uint32_t changes) {
    std::map<std::string, std::optional<std::string>> some;
    for (std::uint32_t i = 0; i < changes; ++i) {
      auto& value = some[key_of(groups.first + static_cast<std::uint32_t>(random() % groups.size()),
                                static_cast<std::uint32_t>(random() % keys))];
      value.reset();
      if (random() % 3 != 0) value = "v" + std::to_string(random());
    }
    apply(some);
  }
  void compact() { REQUIRE(database->db().CompactRange({}, family, nullptr, nullptr).ok()); }
  /// Makes one file of all that are at level 0, at level 0: a file that was not ingested.
  void merge_level_0() {
    std::vector<std::string> names;
    rocksdb::ColumnFamilyMetaData metadata;
    database->db().GetColumnFamilyMetaData(family, &metadata);
    for (const auto& file : metadata.levels.at(0).files) names.push_back(file.name);
    REQUIRE(names.size() > 1);
    const auto merged = database->db().CompactFiles({}, family, names, 0);
    INFO(merged.ToString());
    REQUIRE(merged.ok());
  }
  [[nodiscard]] Contents read() const {
    Contents held;
    const std::unique_ptr<rocksdb::Iterator> entries(
        database->db().NewIterator(rocksdb::ReadOptions(), family));
    for (entries->SeekToFirst(); entries->Valid(); entries->Next())
      held.emplace(view_of(entries->key()), database->canonical(entries->value()).value());
    REQUIRE(entries->status().ok());
    for (const auto& [key, value] : contents) {
      std::string found;
      REQUIRE(database->get(family, {key}, found) == Result<bool>(true));
      REQUIRE(found == value);
    }
    return held;
  }
  std::unique_ptr<NativeSnapshotTask> begin(std::uint64_t id = 1, std::uint64_t base = 0) {
    const auto cut = std::make_shared<NativeSnapshotTask::Cut>();
    const auto known = base == 0 ? nullptr : remembered->find({base});
    flush = queue->append({}, nullptr, [this, cut, known]() -> Status {
      WEIR_TRY_ASSIGN(taken, DatabaseFiles::take(database, {family}, known));
      cut->files = std::move(taken);
      return {};
    });
    return std::make_unique<NativeSnapshotTask>(
        queue, flush, cut, NativeSnapshotTask::Options{{id}, groups, {"state"}, remembered});
  }
  Taken snapshot(std::uint64_t id = 1, std::uint64_t base = 0) {
    const auto task = begin(id, base);
    BytesSink sink;
    auto written = task->run(sink);
    REQUIRE(written);
    DataLocation payload;
    payload.inline_bytes = SharedBytes(sink.bytes);
    payload.size_bytes = sink.bytes.size();
    task->payload_durable(payload);
    Taken taken{std::move(*written), {payload}, sink.bytes.size()};
    std::ranges::copy(taken.written.reused, std::back_inserter(taken.locations));
    return taken;
  }
  /// What lies beside the database.
  [[nodiscard]] std::vector<std::string> names_beside() {
    std::vector<std::string> names;
    const auto listed = files.list(directory.path() + "/local");
    REQUIRE(listed);
    for (const DirectoryEntry& entry : *listed)
      if (entry.name != "db") names.push_back(entry.name);
    return names;
  }

  TemporaryDirectory directory;
  RefusingFiles files;
  KeyGroupRange groups;
  std::shared_ptr<RocksDBDatabase> database;
  rocksdb::ColumnFamilyHandle* family = nullptr;
  std::shared_ptr<FlushQueue> queue;
  std::shared_ptr<Flush> flush;
  std::shared_ptr<RememberedFiles> remembered = std::make_shared<RememberedFiles>();
  Contents contents;
};

NativePart part_of(const Taken& taken) {
  NativePart part;
  for (const KeyedStateHandle& handle : taken.written.handles) {
    const auto location = std::make_shared<const DataLocation>(taken.locations.at(handle.location));
    const auto source = std::make_shared<BytesSource>(std::string(location->inline_bytes.view()));
    for (const KeyGroupExtent& extent : handle.groups)
      part.push_back({source, extent, handle.format, 0, location});
  }
  std::ranges::sort(part, {}, [](const RestoredExtent& extent) { return extent.group.group; });
  return part;
}

/// Imports `parts` into `to`.
Result<FileImport::Outcome> import(Database& to, std::vector<NativePart> parts,
                                   KnownFiles* known = nullptr) {
  FileImport files(*to.database, "state", std::move(parts), to.groups);
  for (;;) {
    WEIR_TRY_ASSIGN(outcome, files.next());
    if (outcome == FileImport::Outcome::pending) continue;
    to.family = files.family();
    if (known != nullptr) *known = files.known();
    return outcome;
  }
}

/// The entries of `part` that belong to one of `groups`.
Contents entries_of(NativeStates& states, NativePart part, KeyGroupRange groups) {
  Contents held;
  const auto entries = states.open(std::move(part), groups);
  std::string previous;
  while (!entries->done()) {
    const auto some = entries->next();
    INFO((some ? "" : some.error().what));
    REQUIRE(some);
    for (const EntryView& entry : *some) {
      CHECK(previous < entry.key);
      previous = entry.key;
      held.emplace(entry.key, entry.value);
    }
  }
  return held;
}

Contents within(const Contents& contents, KeyGroupRange groups) {
  Contents some;
  for (const auto& [key, value] : contents)
    if (groups.contains(ByteReader(key).big_endian<std::uint16_t>())) some.emplace(key, value);
  return some;
}

/// Levels and sequence numbers of the files of a column family.
std::multiset<std::tuple<int, std::uint64_t, std::uint64_t, std::uint64_t>> shape_of(
    const Database& one) {
  std::multiset<std::tuple<int, std::uint64_t, std::uint64_t, std::uint64_t>> shape;
  rocksdb::ColumnFamilyMetaData metadata;
  one.database->db().GetColumnFamilyMetaData(one.family, &metadata);
  for (const auto& level : metadata.levels)
    for (const auto& file : level.files)
      shape.emplace(level.level, file.smallest_seqno, file.largest_seqno, file.size);
  return shape;
}

TEST_CASE(
    "files that were ingested over each other and compacted mean the same in another database",
    "[backends]") {
  std::mt19937_64 random(7);
  Database first;
  first.create_family();
  std::set<int> levels;
  for (int round = 0; round < 60; ++round) {
    first.change(random, 200, 150);
    if (round == 20 || round == 45) first.compact();
    if (round == 35) first.merge_level_0();
    if (round % 7 != 3 && round != 35) continue;
    INFO("round " << round);
    const auto shape = shape_of(first);
    Database second;
    REQUIRE(import(second, {part_of(first.snapshot())}) ==
            Result<FileImport::Outcome>(FileImport::Outcome::imported));
    CHECK(shape_of(second) == shape);
    for (const auto& file : shape) levels.insert(std::get<0>(file));
    second.contents = first.contents;
    REQUIRE(second.read() == first.contents);
    // And goes on to, when more is written over it, and when it is compacted.
    second.change(random, 200, 150);
    REQUIRE(second.read() == second.contents);
    second.compact();
    REQUIRE(second.read() == second.contents);
  }
  REQUIRE(first.read() == first.contents);
  CHECK(levels.contains(0));
  CHECK(levels.size() > 4);
}

TEST_CASE("the files of several databases become one, whatever their sequence numbers",
          "[backends]") {
  std::mt19937_64 random(8);
  Database left({0, 5});
  Database right({5, 16});
  left.create_family();
  right.create_family();
  for (int round = 0; round < 12; ++round) {
    left.change(random, 300, 100);
    if (round % 3 == 0) right.change(random, 300, 100);
  }
  for (int round = 0; round < 9; ++round) right.change(random, 300, 100);
  Contents both = left.contents;
  both.insert(right.contents.begin(), right.contents.end());
  Database joined;
  SECTION("as they are") {
    KnownFiles known;
    REQUIRE(import(joined, {part_of(left.snapshot()), part_of(right.snapshot())}, &known) ==
            Result<FileImport::Outcome>(FileImport::Outcome::imported));
    CHECK(known.size() == shape_of(joined).size());
    joined.contents = both;
    REQUIRE(joined.read() == both);
    // What is written later is newer, and what was joined can be read again from its own snapshot.
    for (int round = 0; round < 30; ++round) joined.change(random, 300, 100);
    REQUIRE(joined.read() == joined.contents);
    Database again;
    REQUIRE(import(again, {part_of(joined.snapshot())}) ==
            Result<FileImport::Outcome>(FileImport::Outcome::imported));
    REQUIRE(again.read() == joined.contents);
  }
  SECTION("those that have been merged at level 0 do not fit beside others") {
    right.merge_level_0();
    const auto parts = std::vector{part_of(left.snapshot()), part_of(right.snapshot())};
    CHECK(import(joined, parts) == Result<FileImport::Outcome>(FileImport::Outcome::unfit));
    CHECK(joined.names_beside().empty());
    Database alone;
    CHECK(import(alone, {parts[1]}) == Result<FileImport::Outcome>(FileImport::Outcome::imported));
    CHECK(alone.read() == right.contents);
  }
  SECTION("groups that are not wanted do not fit") {
    joined.groups = {0, 15};
    CHECK(import(joined, {part_of(left.snapshot()), part_of(right.snapshot())}) ==
          Result<FileImport::Outcome>(FileImport::Outcome::unfit));
    CHECK(joined.names_beside().empty());
  }
}

TEST_CASE("the entries of some groups are read from files, and nothing is left of it",
          "[backends]") {
  std::mt19937_64 random(9);
  Database first;
  first.create_family();
  for (int round = 0; round < 40; ++round) {
    first.change(random, 3'000, 2'000);
    if (round == 20) first.compact();
  }
  const NativePart part = part_of(first.snapshot());
  TemporaryDirectory directory;
  PosixFileSystem files;
  {
    auto states = DatabaseStates::create(files, directory.path() + "/local");
    REQUIRE(states);
    for (const KeyGroupRange groups :
         {all_groups, KeyGroupRange{3, 4}, KeyGroupRange{14, 16}, KeyGroupRange{0, 9}})
      CHECK((entries_of(**states, part, groups) == within(first.contents, groups)));
    // Given up in between.
    const auto begun = (*states)->open(part, all_groups);
    for (int i = 0; i < 4; ++i) REQUIRE(begun->next());
  }
  CHECK(files.list(directory.path()).value().empty());
  // In a database that has other state.
  DatabaseStates states(first.database);
  CHECK((entries_of(states, part, {3, 9}) == within(first.contents, {3, 9})));
  CHECK(first.names_beside().empty());
  CHECK(first.read() == first.contents);
}

TEST_CASE("a checkpoint names the files that its base has, and writes the others", "[backends]") {
  std::mt19937_64 random(10);
  Database one;
  one.create_family();
  one.change(random, 100'000, 60'000);
  const Taken first = one.snapshot(1);
  CHECK(first.written.reused.empty());
  one.change(random, 100'000, 600);
  const Taken second = one.snapshot(2, 1);
  CHECK(second.payload_bytes * 10 < first.payload_bytes);
  CHECK(second.written.reused.size() == 1);
  // Nothing was written: there is the list alone.
  const Taken third = one.snapshot(3, 2);
  CHECK(third.written.reused.size() == 2);
  CHECK(third.payload_bytes < 300);
  // A compaction replaces all of them.
  one.compact();
  const Taken fourth = one.snapshot(4, 3);
  CHECK(fourth.written.reused.empty());
  CHECK(fourth.payload_bytes > first.payload_bytes / 2);
  // A base that is not known.
  CHECK(one.snapshot(5, 1).payload_bytes == fourth.payload_bytes);
  for (const Taken* taken : {&second, &third, &fourth}) {
    Database restored;
    REQUIRE(import(restored, {part_of(*taken)}) ==
            Result<FileImport::Outcome>(FileImport::Outcome::imported));
    CHECK((restored.read() == one.contents));
  }
}

TEST_CASE("a location of which less than half is used is written anew", "[backends]") {
  Database one;
  one.create_family();
  // Files of their own, because each has groups of its own.
  const auto fill = [&](std::uint32_t group, char letter) {
    std::map<std::string, std::optional<std::string>> some;
    for (std::uint32_t i = 0; i < 2'000; ++i)
      some[key_of(group, i)] = std::string(1, letter) + std::to_string(i * 2'654'435'761U);
    one.apply(some);
  };
  const auto merge = [&](std::uint32_t group) {
    const std::string begin = key_of(group, 0);
    const std::string end = key_of(group, 1'999);
    const rocksdb::Slice from = begin;
    const rocksdb::Slice to = end;
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    REQUIRE(one.database->db().CompactRange(options, one.family, &from, &to).ok());
  };
  for (std::uint32_t group = 0; group < 5; ++group) fill(group, 'a');
  const Taken first = one.snapshot(1);
  const std::uint64_t of_one = first.payload_bytes / 5;
  for (std::uint32_t group = 0; group < 2; ++group) fill(group, 'b'), merge(group);
  const Taken second = one.snapshot(2, 1);  // three of five are as they were
  CHECK(second.written.reused.size() == 1);
  CHECK(second.payload_bytes < of_one * 5 / 2);
  fill(2, 'b'), merge(2);
  const Taken third = one.snapshot(3, 2);  // two of five
  CHECK(third.written.reused.size() == 1);
  CHECK(third.payload_bytes > of_one * 5 / 2);
  CHECK(third.payload_bytes < of_one * 7 / 2);
  CHECK(third.written.reused[0] == second.locations[0]);
  Database restored;
  KnownFiles known;
  REQUIRE(import(restored, {part_of(third)}, &known) ==
          Result<FileImport::Outcome>(FileImport::Outcome::imported));
  CHECK((restored.read() == one.contents));
  // How much was written with a file is known after a restore, too.
  std::map<std::uint64_t, std::uint64_t> live;  // by what was written with them
  for (const auto& [number, file] : known) live[file.written_bytes] += file.extent.length;
  REQUIRE(live.size() == 2);
  for (const auto& [written, bytes] : live) CHECK(bytes == written);
}

TEST_CASE("links to files are gone with the snapshot, however it ends", "[backends]") {
  std::mt19937_64 random(11);
  Database one;
  one.create_family();
  for (int round = 0; round < 5; ++round) one.change(random, 100, 100);
  SECTION("written") {
    const auto task = one.begin();
    REQUIRE(one.queue->help());
    CHECK(one.names_beside().size() == 5);
    BytesSink sink;
    REQUIRE(task->run(sink));
    CHECK(one.names_beside().empty());
  }
  SECTION("given up while it is written") {
    const auto task = one.begin();
    BytesSink sink;
    sink.limit = 2'000;
    CHECK_FALSE(task->run(sink));
    CHECK(one.names_beside().empty());
  }
  SECTION("given up before") {
    auto task = one.begin();
    task.reset();
    CHECK_FALSE(one.queue->help());
    task = one.begin();
    REQUIRE(one.queue->help());
    CHECK(one.names_beside().size() == 5);
    task.reset();
    one.flush.reset();
    CHECK(one.names_beside().empty());
  }
  SECTION("failed") {
    one.files.links_left = 3;
    const auto task = one.begin();
    BytesSink sink;
    const auto written = task->run(sink);
    REQUIRE_FALSE(written);
    CHECK_THAT(written.error().what, Catch::Contains("no more links"));
    CHECK(one.names_beside().empty());
    one.files.links_left = 1'000;
    // The database deletes files again, and the next snapshot is as good as any.
    one.compact();
    Database restored;
    REQUIRE(import(restored, {part_of(one.snapshot())}) ==
            Result<FileImport::Outcome>(FileImport::Outcome::imported));
    CHECK(restored.read() == one.contents);
  }
  SECTION("what it holds on to survives a compaction") {
    const auto task = one.begin();
    REQUIRE(one.queue->help());
    one.compact();
    BytesSink sink;
    const auto written = task->run(sink);
    REQUIRE(written);
    CHECK(written->handles.at(0).groups.size() == 6);
  }
  // All files but those that are live have been deleted.
  std::size_t tables = 0;
  const auto left = one.files.list(one.database->path());
  REQUIRE(left);
  for (const DirectoryEntry& entry : *left) tables += entry.name.ends_with(".sst") ? 1 : 0;
  CHECK(tables == shape_of(one).size());
}

TEST_CASE("every byte of a file and of the list is under a checksum", "[backends]") {
  std::mt19937_64 random(12);
  Database one;
  one.create_family();
  one.change(random, 20, 40);
  const Taken taken = one.snapshot();
  TemporaryDirectory directory;
  PosixFileSystem files;
  auto states = DatabaseStates::create(files, directory.path() + "/local");
  REQUIRE(states);
  const NativePart good = part_of(taken);
  REQUIRE(good.size() == 2);
  Database to;
  for (std::size_t at = 0; at < taken.payload_bytes; ++at) {
    NativePart part = good;
    std::string bytes(taken.locations[0].inline_bytes.view());
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    const auto source = std::make_shared<BytesSource>(std::move(bytes));
    for (RestoredExtent& extent : part) extent.source = source;
    const auto imported = import(to, {part});
    REQUIRE_FALSE(imported);
    REQUIRE(imported.error().code == Errc::corruption);
    const auto entries = (*states)->open(part, all_groups);
    Status read;
    while (read && !entries->done())
      if (const auto some = entries->next(); !some) read = std::unexpected(some.error());
    REQUIRE_FALSE(read);
    REQUIRE(read.error().code == Errc::corruption);
    REQUIRE_THAT(read.error().what,
                 Catch::StartsWith("/snapshot/data: file ") && Catch::Contains("checksum"));
  }
  CHECK(to.names_beside().empty());
  CHECK(import(to, {good}) == Result<FileImport::Outcome>(FileImport::Outcome::imported));
}

TEST_CASE("a list of files that cannot be is refused", "[backends]") {
  const auto read = [](const FileList& list, std::size_t files) {
    const std::string bytes = encode_value(list);
    const auto source = std::make_shared<BytesSource>(bytes);
    NativePart part(files + 1, {source, {}, StateFormat::files, 0, nullptr});
    part[0].group = {0, 0, bytes.size(), files, hash_bytes(bytes)};
    return read_file_list(part);
  };
  const FileList good{{2, 6}, {{6, 2, 5, 1, 9, 100}, {0, 3, 3, 7, 7, 100}}};
  CHECK(read(good, 2));
  CHECK_FALSE(read(good, 1));
  CHECK_FALSE(read(good, 3));
  const auto refused = [&](const auto& change) {
    FileList list = good;
    change(list);
    const auto outcome = read(list, 2);
    return !outcome && outcome.error().code == Errc::corruption;
  };
  CHECK(refused([](FileList& list) { list.groups = {6, 6}; }));
  CHECK(refused([](FileList& list) { list.groups = {2, 40'000}; }));
  CHECK(refused([](FileList& list) { list.files[0].level = 7; }));
  CHECK(refused([](FileList& list) { list.files[0].first_group = 1; }));
  CHECK(refused([](FileList& list) { list.files[0].last_group = 6; }));
  CHECK(refused([](FileList& list) { list.files[1].first_group = 4; }));
  CHECK(refused([](FileList& list) { list.files[1].smallest_sequence = 8; }));
  CHECK(refused([](FileList& list) { list.files[1].largest_sequence = std::uint64_t{1} << 50; }));
}

}  // namespace
}  // namespace weir::test
