#include "backends/rocksdb/expiry_filter.hpp"

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <rocksdb/cache.h>

#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"
#include "backends/rocksdb/stored_value.hpp"
#include "state/entry_key.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"
#include "test/state/memory_payload.hpp"
#include "test/state/state_clock.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr KeyGroupRange groups{0, 4};
constexpr std::uint64_t keys = 100;

}  // namespace

/// A value whose decoding throws, as that of a user's type may.
struct Undecodable {
  std::uint8_t number = 0;
};
struct UndecodableMirror {
  std::uint8_t number = 0;
  UndecodableMirror() = default;
  explicit UndecodableMirror(const Undecodable& undecodable) : number(undecodable.number) {}
  explicit operator Undecodable() const { throw std::runtime_error("not today"); }
};

WEIR_FIELDS(UndecodableMirror, number)
WEIR_AS(Undecodable, UndecodableMirror)

namespace {

/// One subtask with a value and a list, of which an entry lives for a second.
struct Subtask {
  template <class Descriptor>
  auto add(const Descriptor& descriptor) {
    auto made =
        make_state(descriptor, schema_of<std::uint64_t>(), {groups, groups.end, 8}, &key, time);
    const auto added = keyed->add_table(std::move(made.table));
    INFO((added ? "" : added.error().what));
    REQUIRE(added);
    return std::move(made.handle);
  }
  explicit Subtask(std::size_t table_bytes) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = 8;
    context.groups = groups;
    context.max_parallelism = groups.end;
    context.local_directory = directory.path() + "/local";
    context.files = &files;
    auto created =
        RocksDBKeyedStateBackend::create(context, std::make_shared<TableMemory>(table_bytes),
                                         rocksdb::NewLRUCache(std::size_t{1} << 20));
    REQUIRE(created);
    keyed = std::move(*created);
    value = add(ValueStateDescriptor<std::int64_t>{
        "value", StateTtlConfig{1s, TtlUpdateType::on_read_and_write}});
    list = add(ListStateDescriptor<std::int64_t>{"list", StateTtlConfig{1s}});
    REQUIRE(keyed->load_restored() == Result<bool>(true));
  }
  ~Subtask() { keyed->dispose(); }

  void select(std::uint64_t word) {
    const KeyHash hash = hash_key(word);
    key = {hash, key_group_of(hash, groups.end), word, {}};
  }
  void pass(std::chrono::milliseconds passed) {
    clock.advance(passed);
    time->advance();
    REQUIRE(keyed->store_changes());
  }
  std::unique_ptr<SnapshotTask> begin_snapshot() {
    auto task = keyed->begin_snapshot({.id = {1}});
    REQUIRE(task);
    return std::move(*task);
  }
  /// Entries of the value and of the list.
  using Counts = std::pair<std::uint64_t, std::uint64_t>;
  Counts run(SnapshotTask& task) {
    CountingSink sink;
    const auto written = task.run(sink);
    REQUIRE(written);
    REQUIRE(keyed->store_changes());
    std::vector<std::uint64_t> entries;
    for (const KeyedStateHandle& handle : written->handles) {
      entries.push_back(0);
      for (const KeyGroupExtent& extent : handle.groups) entries.back() += extent.entries;
    }
    REQUIRE(entries.size() == 2);
    return {entries[0], entries[1]};
  }
  /// Brings all changes into the database.
  void flush() { (void)run(*begin_snapshot()); }
  /// Merges all files, as the database does from time to time.
  void compact() {
    for (rocksdb::ColumnFamilyHandle* family : keyed->database().families())
      REQUIRE(keyed->database().db().CompactRange({}, family, nullptr, nullptr).ok());
  }
  std::map<std::string, std::string> stored(std::size_t family) {
    std::map<std::string, std::string> stored;
    const std::unique_ptr<rocksdb::Iterator> entries(
        keyed->database().db().NewIterator({}, keyed->database().families()[family]));
    for (entries->SeekToFirst(); entries->Valid(); entries->Next())
      stored[entries->key().ToString()] = keyed->database().canonical(entries->value()).value();
    return stored;
  }
  Counts stored_counts() { return {stored(0).size(), stored(1).size()}; }
  std::string entry_key() const {
    std::string bytes;
    append_entry_key({key.group, encode_value(key.word), {}, {}}, 8, bytes);
    return bytes;
  }
  std::size_t live_keys() {
    std::size_t count = 0;
    for (std::uint32_t group = 0; group < groups.end; ++group)
      count += keyed->keys_of_group(group).value().size();
    return count;
  }

  TemporaryDirectory directory;
  PosixFileSystem files;
  StateClock clock;
  std::shared_ptr<StateTime> time = std::make_shared<StateTime>(clock);
  KeyContext key;
  std::unique_ptr<RocksDBKeyedStateBackend> keyed;
  ValueState<std::int64_t> value;
  ListState<std::int64_t> list;
};

SCENARIO("compaction removes what has expired for everybody", "[backends]") {
  using Counts = Subtask::Counts;
  GIVEN(
      "entries that are about to expire, of which every fifth is younger, in the database alone") {
    Subtask subtask(0);
    for (std::uint64_t i = 1; i <= keys; ++i) {
      subtask.select(i);
      subtask.value.update(1);
      subtask.list.add(1);
    }
    subtask.pass(600ms);
    for (std::uint64_t i = 5; i <= keys; i += 5) {
      subtask.select(i);
      subtask.value.update(2);
      subtask.list.add(2);
    }
    subtask.flush();
    subtask.pass(399ms);
    const auto check = [&] {
      for (std::uint64_t i = 1; i <= keys; ++i) {
        subtask.select(i);
        const bool lives = i % 5 == 0;
        CHECK(subtask.list.get() ==
              (lives ? std::vector<std::int64_t>{2} : std::vector<std::int64_t>{}));
        CHECK(subtask.value.value_or(0) == (lives ? 2 : 0));
      }
    };
    WHEN("they have not expired") {
      subtask.compact();
      THEN("nothing is removed") {
        CHECK(subtask.stored_counts() == Counts{keys, keys});
        CHECK(subtask.live_keys() == keys);
      }
    }
    WHEN("they have expired, but no slice of records has seen it") {
      subtask.clock.advance(1ms);
      subtask.compact();
      THEN("nothing is removed, because what was read is to be read again") {
        CHECK(subtask.stored_counts() == Counts{keys, keys});
      }
    }
    WHEN("they have expired") {
      subtask.pass(1ms);
      CHECK(subtask.live_keys() == keys / 5);
      CHECK(subtask.stored_counts() == Counts{keys, keys});
      subtask.compact();
      THEN("they are gone, and nobody notices") {
        CHECK(subtask.stored_counts() == Counts{keys / 5, keys / 5});
        CHECK(subtask.live_keys() == keys / 5);
        subtask.select(5);
        CHECK(subtask.stored(1)[subtask.entry_key()] ==
              encode_value(Timed<std::int64_t>{subtask.clock.wall.count() - 400, 2}));
        check();
        CHECK(subtask.run(*subtask.begin_snapshot()) == Counts{keys / 5, keys / 5});
      }
    }
    WHEN("they have expired since a snapshot was taken that is still to be written") {
      auto snapshot = subtask.begin_snapshot();
      subtask.pass(1ms);
      auto later = subtask.begin_snapshot();
      subtask.compact();
      THEN("they stay for it, and go with it") {
        CHECK(subtask.run(*snapshot) == Counts{keys, keys});
        subtask.compact();
        CHECK(subtask.stored_counts() == Counts{keys, keys});
        snapshot.reset();
        subtask.compact();
        CHECK(subtask.stored_counts() == Counts{keys / 5, keys / 5});
        check();
        CHECK(subtask.run(*later) == Counts{keys / 5, keys / 5});
      }
      THEN("they go when it is given up") {
        snapshot.reset();
        subtask.compact();
        CHECK(subtask.stored_counts() == Counts{keys / 5, keys / 5});
        CHECK(subtask.run(*later) == Counts{keys / 5, keys / 5});
      }
    }
  }
  GIVEN("lists to which runs were added without reading them") {
    Subtask subtask(0);
    const auto add = [&](std::int64_t element) {
      for (std::uint64_t i = 1; i <= keys; ++i) {
        subtask.select(i);
        subtask.list.add(element);
      }
      subtask.flush();
      subtask.pass(400ms);
    };
    add(1);
    add(2);
    add(3);  // the first has expired
    WHEN("the database merges its files, more is added, and they are merged again") {
      subtask.compact();
      CHECK(subtask.stored_counts() == Counts{0, keys});
      add(4);  // the second has expired
      subtask.compact();
      THEN("what has not expired is there, once") {
        for (std::uint64_t i = 1; i <= keys; ++i) {
          subtask.select(i);
          REQUIRE(subtask.list.get() == std::vector<std::int64_t>{3, 4});
          REQUIRE(subtask.stored(1).at(subtask.entry_key()).size() == 2 * 16);
        }
      }
      THEN("all of it goes when all has expired") {
        subtask.pass(1s);
        subtask.compact();
        CHECK(subtask.stored_counts() == Counts{0, 0});
      }
    }
  }
  GIVEN("a value in memory and in the database") {
    Subtask subtask(std::size_t{1} << 20);
    subtask.select(7);
    subtask.value.update(1);
    subtask.flush();
    subtask.pass(900ms);
    WHEN("it is read, which only memory knows, and what the database has expires") {
      CHECK(subtask.value.value_or(0) == 1);
      subtask.pass(100ms);
      subtask.compact();
      CHECK(subtask.stored(0).empty());
      THEN("it is there, and comes back to the database") {
        CHECK(subtask.value.value_or(0) == 1);
        subtask.flush();
        CHECK(subtask.stored(0).size() == 1);
        subtask.compact();
        CHECK(subtask.stored(0).size() == 1);
      }
    }
    WHEN("it expires and is written again") {
      subtask.pass(100ms);
      subtask.value.update(2);
      THEN("a snapshot of before it was removed and one of after it agree with what was read") {
        auto before = subtask.begin_snapshot();
        subtask.compact();
        CHECK(subtask.value.value_or(0) == 2);
        CHECK(subtask.run(*before) == Counts{1, 0});
        subtask.compact();
        CHECK(subtask.run(*subtask.begin_snapshot()) == Counts{1, 0});
      }
    }
  }
}

TEST_CASE("the horizon of expiry does not pass who holds it", "[backends]") {
  const auto horizon = std::make_shared<ExpiryHorizon>();
  horizon->advance(10);
  CHECK(horizon->time_ms() == 10);
  auto first = std::make_unique<ExpiryHorizon::Hold>(horizon);
  horizon->advance(20);
  const auto second = std::make_unique<ExpiryHorizon::Hold>(horizon);
  auto third = std::make_unique<ExpiryHorizon::Hold>(horizon);
  horizon->advance(30);
  CHECK(horizon->time_ms() == 10);
  third.reset();
  CHECK(horizon->time_ms() == 10);
  first.reset();
  CHECK(horizon->time_ms() == 20);
}

TEST_CASE("compaction leaves alone what it cannot tell", "[backends]") {
  const auto horizon = std::make_shared<ExpiryHorizon>();
  horizon->advance(1100);
  using Decision = rocksdb::CompactionFilter::Decision;
  std::string changed;
  const auto decide = [&](const table::TimedLayout* timed, std::string bytes,
                          rocksdb::CompactionFilter::ValueType type =
                              rocksdb::CompactionFilter::kValue,
                          StoredRun run = {}) {
    ExpiryFilterFactory factory({timed, 1s}, horizon);
    append_trailer(bytes, run);
    std::string skip_until;
    return factory.CreateCompactionFilter({})->FilterV2(0, "key", type, bytes, &changed,
                                                        &skip_until);
  };
  const auto timed = [](std::int64_t at) { return encode_value(Timed<std::string>{at, "value"}); };
  const auto* values = table::timed_layout<Timed<std::string>>;
  const auto* lists = table::timed_layout<ListValue<Timed<std::string>>>;
  CHECK(decide(values, timed(100)) == Decision::kRemove);
  CHECK(decide(values, timed(101)) == Decision::kKeep);
  CHECK(decide(lists, timed(100) + timed(101)) == Decision::kChangeValue);
  const auto with_run = [](std::string bytes, std::uint32_t run_bytes) {
    append_trailer(bytes, {3, run_bytes});
    return bytes;
  };
  const auto size = static_cast<std::uint32_t>(timed(0).size());
  const auto decide_run = [&](std::int64_t below, std::int64_t run) {
    return decide(lists, timed(below) + timed(run), rocksdb::CompactionFilter::kValue, {3, size});
  };
  CHECK(decide_run(101, 102) == Decision::kKeep);
  CHECK(decide_run(100, 101) == Decision::kChangeValue);
  CHECK(changed == with_run(timed(101), size));
  CHECK(decide_run(101, 100) == Decision::kChangeValue);
  CHECK(changed == with_run(timed(101), 0));
  CHECK(decide_run(99, 100) == Decision::kRemove);
  CHECK(decide(values, "?") == Decision::kKeep);
  CHECK(decide(lists, timed(100) + "?") == Decision::kKeep);
  CHECK(decide(lists, timed(100), rocksdb::CompactionFilter::kValue, {3, size + 1}) ==
        Decision::kKeep);
  CHECK(decide(values, timed(100), rocksdb::CompactionFilter::kMergeOperand) == Decision::kKeep);
  CHECK(decide(table::timed_layout<Timed<Undecodable>>,
               encode_value(std::int64_t{100}) + std::string(1, '\1')) == Decision::kKeep);
}

TEST_CASE("a file without changes is rewritten about as often as its entries expire",
          "[backends]") {
  const auto period = [](std::chrono::milliseconds time_to_live) {
    rocksdb::ColumnFamilyOptions options;
    expire_by(std::make_shared<ExpiryFilterFactory>(
                  ExpiryRule{table::timed_layout<Timed<int>>, time_to_live},
                  std::make_shared<ExpiryHorizon>()),
              options);
    return std::chrono::seconds(options.periodic_compaction_seconds);
  };
  CHECK(period(1s) == 1h);
  CHECK(period(24h) == 24h);
  CHECK(period(std::chrono::milliseconds::max()) == std::chrono::days(30));
}

}  // namespace
}  // namespace weir::test
