// What every state backend promises.

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/rocksdb/rocksdb_keyed_state_backend.hpp"
#include "state/entry_key.hpp"
#include "state/keyed_state.hpp"
#include "storage/posix_file_system.hpp"
#include "test/contract/backends_under_test.hpp"
#include "test/sanitized.hpp"
#include "test/state/state_clock.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {

/// A value that is trivially copyable but too large to lie in a slot.
using Large = std::array<std::uint64_t, 40>;

/// A value that counts how often it is copied and encoded.
struct Probe {
  std::uint64_t number = 0;
  Probe() = default;
  explicit Probe(std::uint64_t value) : number(value) {}
  Probe(const Probe& other) : number(other.number) { ++copies; }
  Probe& operator=(const Probe& other) {
    number = other.number;
    ++copies;
    return *this;
  }
  static inline std::atomic<std::uint64_t> copies = 0;
  static inline std::atomic<std::uint64_t> encodings = 0;
};
struct ProbeMirror {
  std::uint64_t number = 0;
  ProbeMirror() = default;
  explicit ProbeMirror(const Probe& probe) : number(probe.number) { ++Probe::encodings; }
  explicit operator Probe() const { return Probe(number); }
};
WEIR_FIELDS(ProbeMirror, number)
WEIR_AS(Probe, ProbeMirror)

using SumAndCount = std::pair<std::int64_t, std::int64_t>;

struct Mean final : AggregateFunction<std::int64_t, SumAndCount, std::string> {
  SumAndCount create_accumulator() const override { return {1000, 0}; }  // no default value
  void add(const std::int64_t& value, SumAndCount& accumulator) const override {
    accumulator.first += value;
    ++accumulator.second;
  }
  std::string get_result(const SumAndCount& accumulator) const override {
    return std::to_string(accumulator.first) + "/" + std::to_string(accumulator.second);
  }
  void merge(const SumAndCount& other, SumAndCount& accumulator) const override {
    accumulator.first += other.first - 1000;
    accumulator.second += other.second;
  }
};

/// What a snapshot holds, whatever its form: of images, what the tables hold that are restored from it.
template <class K>
Contents contents_of(const Snapshot& snapshot);

/// What one key should have.
struct Expected {
  std::optional<std::int64_t> count;
  std::optional<std::string> name;
  std::optional<Large> large;
  std::optional<std::uint64_t> probe;
  std::vector<std::int64_t> visits;
  std::optional<std::int64_t> sum;
  std::optional<SumAndCount> mean;
  std::map<std::string, std::int64_t> pages;
  std::map<std::uint32_t, std::string> notes;
};
using Model = std::map<std::uint64_t, Expected>;

/// One operator in one subtask with one state of each kind and each way to lie in a table.
template <class K>
class Subtask {
 public:
  Subtask(const BackendUnderTest& under_test, const std::string& directory,
          KeyGroupRange groups = {0, max_parallelism}, const std::vector<Snapshot>& from = {},
          CheckpointId restored = {})
      : form_(under_test.form), backend_(under_test.make()), groups_(groups) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = Codec<K>::fixed_width;
    context.groups = groups;
    context.max_parallelism = max_parallelism;
    context.local_directory = directory;
    context.files = &files_;
    context.restored_checkpoint = restored;
    auto created = backend_->create_keyed_state_backend(context);
    REQUIRE(created);
    keyed = std::move(*created);
    REQUIRE(keyed->restore(restored_of(from, groups)));
    count = add(ValueStateDescriptor<std::int64_t>{"count"});
    name = add(ValueStateDescriptor<std::string>{"name"});
    large = add(ValueStateDescriptor<Large>{"large"});
    probe = add(ValueStateDescriptor<Probe>{"probe"});
    visits = add(ListStateDescriptor<std::int64_t>{"visits"});
    sum = add(ReducingStateDescriptor<std::int64_t>{
        "sum", [](std::int64_t a, std::int64_t b) { return a + b; }});
    mean = add(AggregatingStateDescriptor<std::int64_t, SumAndCount, std::string>{
        "mean", std::make_shared<Mean>()});
    pages = add(MapStateDescriptor<std::string, std::int64_t>{"pages"});
    notes = add(MapStateDescriptor<std::uint32_t, std::string>{"notes"});
    const auto loaded = load_restored(*keyed);
    INFO((loaded ? "" : loaded.error().what));
    REQUIRE(loaded);
  }
  ~Subtask() {
    if (keyed) keyed->dispose();
  }

  /// Makes the `i`-th key the current one; false if it belongs to another subtask.
  bool select(std::uint64_t i) {
    const K value = make_key<K>(i);
    key = {};
    key.hash = hash_key(value);
    key.group = key_group_of(key.hash, max_parallelism);
    if constexpr (is_compact_key<K>) {
      key.word = compact_key(value);
    } else {
      encoded_.clear();
      ByteWriter writer(encoded_);
      encode_key(value, writer);
      key.bytes = encoded_;
    }
    return groups_.contains(key.group);
  }
  /// Changes something of key `i`, in the state and in `model`.
  void change(Model& model, std::uint64_t i, std::uint64_t what, std::int64_t value) {
    if (!select(i)) return;
    Expected& expected = model[i];
    const auto number = static_cast<std::uint32_t>(value % 50);
    const std::string page(number, 'p');
    switch (what % 21) {
      case 0:
      case 1:
        ++count.mutable_value();
        expected.count = expected.count.value_or(0) + 1;
        break;
      case 2:
        count.update(value);
        expected.count = value;
        break;
      case 3:
        count.clear();
        expected.count.reset();
        break;
      case 4:
        name.mutable_value() += std::to_string(value);
        expected.name = expected.name.value_or("") + std::to_string(value);
        break;
      case 5:
        name.clear();
        expected.name.reset();
        break;
      case 6:
        large.mutable_value()[static_cast<std::size_t>(value) % 40] += 1;
        if (!expected.large) expected.large = Large{};
        (*expected.large)[static_cast<std::size_t>(value) % 40] += 1;
        break;
      case 7:
        large.clear();
        expected.large.reset();
        break;
      case 8:
        ++probe.mutable_value().number;
        expected.probe = expected.probe.value_or(0) + 1;
        break;
      case 9:
        visits.add(value);
        expected.visits.push_back(value);
        break;
      case 10: {
        std::vector<std::int64_t> some(static_cast<std::size_t>(value) % 100, value);
        visits.add_all(some);
        expected.visits.insert(expected.visits.end(), some.begin(), some.end());
        break;
      }
      case 11:
        visits.clear();
        expected.visits.clear();
        break;
      case 12:
        sum.add(value);
        expected.sum = expected.sum.value_or(0) + value;
        break;
      case 13:
        sum.clear();
        probe.clear();
        mean.clear();
        expected.sum.reset();
        expected.probe.reset();
        expected.mean.reset();
        break;
      case 14:
        mean.add(value);
        if (!expected.mean) expected.mean = {1000, 0};
        expected.mean->first += value;
        ++expected.mean->second;
        break;
      case 15:
        pages.put(page, value);
        expected.pages[page] = value;
        break;
      case 16:
        ++pages.mutable_value(page);
        ++expected.pages[page];
        notes.mutable_value(number) += "+";
        expected.notes[number] += "+";
        break;
      case 17:
        pages.remove(page);
        expected.pages.erase(page);
        notes.remove(number);
        expected.notes.erase(number);
        break;
      case 18: {
        const std::map<std::uint32_t, std::string> some{
            {number, page}, {number + 1, "b"}, {number + 2, ""}};
        notes.put_all(some);
        for (const auto& [map_key, note] : some) expected.notes[map_key] = note;
        break;
      }
      case 19:
        if (value % 4 != 0) break;  // not as often as one entry
        pages.clear();
        expected.pages.clear();
        break;
      default:
        if (value % 4 != 0) break;
        notes.clear();
        expected.notes.clear();
    }
  }
  /// Sets every state of key `i`.
  void fill(Model& model, std::uint64_t i) {
    for (const std::uint64_t what : {0, 4, 6, 8, 9, 10, 12, 14, 15, 16, 18})
      change(model, i, what, static_cast<std::int64_t>(i + what));
  }
  void clear(Model& model, std::uint64_t i) {
    for (const std::uint64_t what : {3, 5, 7, 11, 13, 19, 20}) change(model, i, what, 0);
  }
  /// Compares every state of key `i` with what it should be.
  void check(const Model& model, std::uint64_t i) {
    if (!select(i)) return;
    const auto found = model.find(i);
    const Expected expected = found == model.end() ? Expected{} : found->second;
    const auto copy = [](const auto* value) {
      using V = std::remove_cvref_t<decltype(*value)>;
      return value != nullptr ? std::optional<V>(*value) : std::nullopt;
    };
    CHECK(copy(count.value()) == expected.count);
    CHECK(copy(name.value()) == expected.name);
    CHECK(copy(large.value()) == expected.large);
    const Probe* held = probe.value();
    CHECK((held != nullptr ? std::optional(held->number) : std::nullopt) == expected.probe);
    CHECK(visits.get() == expected.visits);
    CHECK(visits.size() == expected.visits.size());
    CHECK(copy(sum.get()) == expected.sum);
    CHECK(mean.get() ==
          (expected.mean ? std::optional(Mean().get_result(*expected.mean)) : std::nullopt));
    check_map(pages, expected.pages);
    check_map(notes, expected.notes);
  }
  template <class MapKey, class V>
  static void check_map(const MapState<MapKey, V>& state, const std::map<MapKey, V>& expected) {
    CHECK(state.is_empty() == expected.empty());
    std::map<MapKey, V> entries;
    std::multiset<MapKey> keys;
    std::multiset<V> values;
    std::multiset<V> expected_values;
    state.for_each(
        [&](const MapKey& key, const V& value) { CHECK(entries.emplace(key, value).second); });
    state.for_each_key([&](const MapKey& key) { keys.insert(key); });
    state.for_each_value([&](const V& value) { values.insert(value); });
    CHECK(entries == expected);
    CHECK(keys.size() == expected.size());
    for (const auto& [key, value] : expected) {
      expected_values.insert(value);
      CHECK(keys.contains(key));
      const V* held = state.get(key);
      CHECK((held != nullptr && *held == value));
    }
    CHECK(values == expected_values);
    CHECK(state.contains(MapKey{}) == expected.contains(MapKey{}));
  }
  /// What a snapshot of this subtask should hold.
  Contents contents(const Model& model) {
    Contents contents;
    for (const auto& [i, expected] : model) {
      if (!select(i)) continue;
      std::string entry_key;
      append_entry_key({key.group, encoded_key(i), {}, {}}, Codec<K>::fixed_width, entry_key);
      if (expected.count) contents["count"][entry_key] = encode_value(*expected.count);
      if (expected.name) contents["name"][entry_key] = encode_value(*expected.name);
      if (expected.large) contents["large"][entry_key] = encode_value(*expected.large);
      if (expected.probe) contents["probe"][entry_key] = encode_value(*expected.probe);
      for (const std::int64_t visit : expected.visits)
        contents["visits"][entry_key] += encode_value(visit);
      if (expected.sum) contents["sum"][entry_key] = encode_value(*expected.sum);
      if (expected.mean) contents["mean"][entry_key] = encode_value(*expected.mean);
      for (const auto& [page, number] : expected.pages)
        contents["pages"][entry_key + encode_value(page)] = encode_value(number);
      for (const auto& [number, note] : expected.notes)
        contents["notes"][entry_key + encode_value(number)] = encode_value(note);
    }
    return contents;
  }
  static std::string encoded_key(std::uint64_t i) {
    std::string bytes;
    ByteWriter writer(bytes);
    encode_key(make_key<K>(i), writer);
    return bytes;
  }
  std::unique_ptr<SnapshotTask> freeze(std::uint64_t id = 1, std::uint64_t base = 0) {
    auto task = keyed->begin_snapshot({{id}, {base}, form_});
    REQUIRE(task);
    return std::move(*task);
  }
  Snapshot snapshot(std::uint64_t id = 1, std::uint64_t base = 0) {
    return run(*freeze(id, base), keyed->declarations());
  }
  TableCounters counters() const {
    TableCounters sum;
    for (const TableBase* table : tables) {
      const TableCounters& one = table->counters();
      sum.groups_frozen += one.groups_frozen;
      sum.directories_copied += one.directories_copied;
      sum.segments_copied += one.segments_copied;
      sum.nodes_copied += one.nodes_copied;
      sum.entries_encoded += one.entries_encoded;
      sum.entries_loaded += one.entries_loaded;
      sum.look_ups += one.look_ups;
      sum.segments_evicted += one.segments_evicted;
      sum.runs_begun += one.runs_begun;
    }
    return sum;
  }

  std::unique_ptr<KeyedStateBackend> keyed;
  std::vector<const TableBase*> tables;
  KeyContext key;
  ValueState<std::int64_t> count;
  ValueState<std::string> name;
  ValueState<Large> large;
  ValueState<Probe> probe;
  ListState<std::int64_t> visits;
  ReducingState<std::int64_t> sum;
  AggregatingState<std::int64_t, SumAndCount, std::string> mean;
  MapState<std::string, std::int64_t> pages;
  MapState<std::uint32_t, std::string> notes;

 private:
  template <class Descriptor>
  auto add(const Descriptor& descriptor) {
    auto made = make_state(descriptor, schema_of<K>(),
                           {groups_, max_parallelism, Codec<K>::fixed_width}, &key);
    tables.push_back(made.table.get());
    const auto added = keyed->add_table(std::move(made.table));
    INFO((added ? "" : added.error().what));
    REQUIRE(added);
    return std::move(made.handle);
  }

  SnapshotForm form_;
  inline static PosixFileSystem files_;  ///< outlives every snapshot, as that of a process does
  std::unique_ptr<StateBackend> backend_;
  KeyGroupRange groups_;
  std::string encoded_;
};

/// Whether the snapshot consists of a database's files, in which entries are not counted.
bool is_of_files(const Snapshot& snapshot) {
  return std::ranges::any_of(snapshot.handles, [](const KeyedStateHandle& handle) {
    return handle.format == StateFormat::files;
  });
}

/// The entries that the state `name` has in a snapshot, pieces that replace others counted as well.
std::uint64_t entries_of(const Snapshot& snapshot, std::string_view name) {
  std::uint64_t entries = 0;
  for (const KeyedStateHandle& handle : snapshot.handles)
    if (handle.state == name)
      for (const KeyGroupExtent& extent : handle.groups) entries += extent.entries;
  return entries;
}

template <class K>
Contents contents_of(const Snapshot& snapshot) {
  if (is_canonical(snapshot)) return canonical_contents(snapshot, Codec<K>::fixed_width);
  TemporaryDirectory directory;
  const BackendUnderTest memory{"memory", make_memory};
  Subtask<K> restored(memory, directory.path() + "/local", {0, max_parallelism}, {snapshot});
  return canonical_contents(restored.snapshot(), Codec<K>::fixed_width);
}

#define WEIR_ALL_KEYS std::uint64_t, std::uint16_t, std::string, WideKey

TEMPLATE_TEST_CASE("a backend keeps every kind of state per key", "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Subtask<TestType> subtask(backend, directory.path() + "/local");
  Model model;
  for (std::uint64_t i = 0; i < 300; ++i) subtask.check(model, i);
  for (std::uint64_t i = 0; i < 300; ++i) subtask.fill(model, i);
  for (std::uint64_t i = 0; i < 300; ++i) subtask.check(model, i);
  REQUIRE(subtask.keyed->store_changes());
  for (std::uint64_t i = 0; i < 300; i += 3) subtask.clear(model, i);
  for (std::uint64_t i = 0; i < 300; ++i) subtask.check(model, i);
  REQUIRE(subtask.keyed->store_changes());
  for (std::uint64_t i = 0; i < 300; ++i) subtask.check(model, i);

  SECTION("a value in a handle reads as absent until it is set") {
    REQUIRE(subtask.select(1000));
    CHECK(subtask.count.value() == nullptr);
    CHECK_FALSE(subtask.count.contains());
    CHECK(subtask.count.value_or(7) == 7);
    subtask.count.update(8);
    CHECK(subtask.count.contains());
    CHECK(subtask.count.value_or(7) == 8);
    CHECK(subtask.visits.empty());
    subtask.visits.update({3, 4});
    subtask.visits.add(5);
    CHECK(subtask.visits.get() == std::vector<std::int64_t>{3, 4, 5});
    subtask.visits.update({});
    CHECK(subtask.visits.empty());
    CHECK(subtask.sum.get() == nullptr);
  }
  SECTION("the keys of a group are listed once each, in order") {
    std::map<std::uint32_t, std::vector<std::string>> expected;
    for (const auto& [i, held] : model) {
      const bool has_state = held.count || held.name || held.large || held.probe || held.sum ||
                             held.mean || !held.visits.empty() || !held.pages.empty() ||
                             !held.notes.empty();
      if (has_state && subtask.select(i))
        expected[subtask.key.group].push_back(Subtask<TestType>::encoded_key(i));
    }
    for (std::uint32_t group = 0; group < max_parallelism; ++group) {
      std::ranges::sort(expected[group]);
      const auto keys = subtask.keyed->keys_of_group(group);
      REQUIRE(keys);
      CHECK(*keys == expected[group]);
    }
  }
  SECTION("the size for people is not nothing") { CHECK(subtask.keyed->size_bytes() > 1000); }
}

TEMPLATE_TEST_CASE("a snapshot holds what was there at the barrier, whatever is written after it",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Subtask<TestType> subtask(backend, directory.path() + "/local");
  Model model;
  for (std::uint64_t i = 0; i < 500; ++i) subtask.fill(model, i);
  REQUIRE(subtask.keyed->store_changes());
  const Contents at_barrier = subtask.contents(model);

  const std::uint64_t copies = Probe::copies;
  const std::uint64_t encodings = Probe::encodings;
  TableCounters counters = subtask.counters();
  const auto task = subtask.freeze();
  // Nothing was copied or serialized: user types were not touched, and tables did nothing but copy the
  // headers of their groups.
  CHECK(Probe::copies == copies);
  CHECK(Probe::encodings == encodings);
  TableCounters after = subtask.counters();
  CHECK(after.groups_frozen - counters.groups_frozen <= subtask.tables.size() * max_parallelism);
  after.groups_frozen = counters.groups_frozen;
  CHECK(after == counters);

  for (std::uint64_t i = 0; i < 500; ++i) subtask.change(model, i, 4, 1);
  for (std::uint64_t i = 0; i < 500; ++i) subtask.change(model, i, 9, 1);
  for (std::uint64_t i = 0; i < 500; ++i) subtask.change(model, i, 8, 1);
  REQUIRE(subtask.keyed->store_changes());
  for (std::uint64_t i = 0; i < 500; ++i) subtask.clear(model, i);
  for (std::uint64_t i = 500; i < 2000; ++i) subtask.fill(model, i);
  REQUIRE(subtask.keyed->store_changes());

  const Snapshot snapshot = run(*task, subtask.keyed->declarations());
  CHECK(contents_of<TestType>(snapshot) == at_barrier);
  for (std::uint64_t i = 0; i < 2000; ++i) subtask.check(model, i);
  CHECK(contents_of<TestType>(subtask.snapshot()) == subtask.contents(model));
}

TEMPLATE_TEST_CASE("several snapshots are in flight and end in any order", "[contract]",
                   WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Subtask<TestType> subtask(backend, directory.path() + "/local");
  Model model;
  std::vector<std::unique_ptr<SnapshotTask>> tasks;
  std::vector<Contents> expected;
  for (std::uint64_t round = 0; round < 5; ++round) {
    for (std::uint64_t i = 0; i < 200; ++i) subtask.change(model, i, i * 3 + round, 5);
    for (std::uint64_t i = 0; i < 100; ++i) subtask.fill(model, 200 + 100 * round + i);
    for (std::uint64_t i = round; i < 200; i += 7) subtask.clear(model, i);
    REQUIRE(subtask.keyed->store_changes());
    expected.push_back(subtask.contents(model));
    tasks.push_back(subtask.freeze());
  }
  for (const std::size_t one : {2, 4, 0, 1, 3}) {
    const Snapshot snapshot = run(*tasks[one], subtask.keyed->declarations());
    CHECK(contents_of<TestType>(snapshot) == expected[one]);
    tasks[one].reset();
    for (std::uint64_t i = 0; i < 200; ++i) subtask.change(model, i, i + one, 6);
    REQUIRE(subtask.keyed->store_changes());
  }
  CHECK(contents_of<TestType>(subtask.snapshot()) == subtask.contents(model));
}

TEMPLATE_TEST_CASE("a snapshot of any backend restores on any other with the same bytes",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& from = GENERATE(from_range(all_backends()));
  const BackendUnderTest& to = GENERATE(from_range(all_backends()));
  INFO(from.name << " to " << to.name);
  TemporaryDirectory directory;
  Model model;
  Subtask<TestType> first(from, directory.path() + "/first");
  for (std::uint64_t i = 0; i < 400; ++i) first.fill(model, i);
  for (std::uint64_t i = 0; i < 400; i += 5) first.clear(model, i);
  const Snapshot snapshot = first.snapshot();

  Subtask<TestType> second(to, directory.path() + "/second", {0, max_parallelism}, {snapshot});
  CHECK(second.keyed->unclaimed_states().empty());
  for (std::uint64_t i = 0; i < 401; ++i) second.check(model, i);
  const Snapshot again = second.snapshot();
  CHECK(again.declarations == snapshot.declarations);
  if (from.form == SnapshotForm::canonical && to.form == SnapshotForm::canonical) {
    CHECK(again.payloads == snapshot.payloads);
    CHECK(again.handles == snapshot.handles);
  } else {
    CHECK(contents_of<TestType>(again) == contents_of<TestType>(snapshot));
  }

  for (std::uint64_t i = 0; i < 400; ++i) second.change(model, i, i, 3);
  REQUIRE(second.keyed->store_changes());
  for (std::uint64_t i = 0; i < 400; ++i) second.check(model, i);
  CHECK(contents_of<TestType>(second.snapshot()) == second.contents(model));
}

TEMPLATE_TEST_CASE("canonical snapshots of equal state are equal byte for byte on every backend",
                   "[contract]", WEIR_ALL_KEYS) {
  TemporaryDirectory directory;
  std::optional<Snapshot> first;
  for (const BackendUnderTest& backend : all_backends()) {
    if (backend.form != SnapshotForm::canonical) continue;
    INFO(backend.name);
    Model model;
    Subtask<TestType> subtask(backend, directory.path() + "/" + backend.name);
    // What is added is folded when it comes, when it is read, or not until the snapshot.
    for (std::int64_t round = 1; round <= 12; ++round) {
      for (std::uint64_t i = 0; i < 300; ++i)
        for (const std::uint64_t what : {9, 12, 14}) subtask.change(model, i, what, round);
      REQUIRE(subtask.keyed->store_changes());
    }
    const Snapshot snapshot = subtask.snapshot();
    if (backend.name == "rocksdb without memory") CHECK(subtask.counters().runs_begun > 3000);
    if (!first) first = snapshot;
    CHECK((snapshot.payloads == first->payloads));
    CHECK((snapshot.handles == first->handles));
    CHECK((contents_of<TestType>(snapshot) == subtask.contents(model)));
  }
}

TEMPLATE_TEST_CASE("state is dealt out anew when the parallelism changes", "[contract]",
                   WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Model model;
  std::vector<Snapshot> snapshots;
  Contents first;
  int round = 0;
  // Up, down, and to a number that is no power of two. All pairs, with one type of keys, are those of
  // rescaling_test.cpp.
  for (const std::uint32_t parallelism : {1U, 4U, 3U, 8U, 2U, 1U}) {
    std::vector<Snapshot> next;
    for (std::uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const std::string local =
          directory.path() + "/" + std::to_string(round) + "-" + std::to_string(subtask);
      Subtask<TestType> one(backend, local, key_group_range(subtask, parallelism, max_parallelism),
                            snapshots);
      if (snapshots.empty())
        for (std::uint64_t i = 0; i < 300; ++i) one.fill(model, i);
      for (std::uint64_t i = 0; i < 300; ++i) one.check(model, i);
      next.push_back(one.snapshot());
    }
    snapshots = std::move(next);
    ++round;
    if (first.empty()) first = contents_of<TestType>(snapshots[0]);
  }
  CHECK(contents_of<TestType>(snapshots[0]) == first);
}

TEST_CASE("a native snapshot at any parallelism restores at any other, on every backend",
          "[contract]") {
  const BackendUnderTest& from = backend_named(GENERATE("fs native", "rocksdb native"));
  TemporaryDirectory directory;
  std::uint64_t locals = 0;
  const auto local = [&] { return directory.path() + "/" + std::to_string(locals++); };
  constexpr std::uint32_t most_subtasks = sanitized ? 3 : 8;
  for (std::uint32_t p = 1; p <= most_subtasks; ++p) {
    Model model;
    std::vector<Snapshot> snapshots;
    for (std::uint32_t i = 0; i < p; ++i) {
      Subtask<std::uint64_t> one(from, local(), key_group_range(i, p, max_parallelism));
      for (std::uint64_t key = 0; key < 100; ++key) one.fill(model, key);
      (void)one.snapshot();  // so that there are files over each other
      for (std::uint64_t key = 0; key < 100; key += 7) one.clear(model, key);
      for (std::uint64_t key = 90; key < 120; ++key) one.fill(model, key);
      snapshots.push_back(one.snapshot());
    }
    for (std::uint32_t q = 1; q <= most_subtasks; ++q) {
      // One of the others for each pair, so that each has each parallelism.
      const std::array<std::string, 3> names{"memory", "fs native", "rocksdb native"};
      const BackendUnderTest& to = backend_named(names[(p + q) % names.size()]);
      INFO(from.name << " at " << p << " on " << to.name << " at " << q);
      Contents together;
      Contents expected;
      for (std::uint32_t i = 0; i < q; ++i) {
        const KeyGroupRange groups = key_group_range(i, q, max_parallelism);
        Subtask<std::uint64_t> one(to, local(), groups, snapshots_for(snapshots, groups));
        CHECK(one.keyed->unclaimed_states().empty());
        for (std::uint64_t key = 0; key < 121; key += 5) one.check(model, key);
        for (auto& [state, entries] : contents_of<std::uint64_t>(one.snapshot()))
          together[state].merge(entries);
        for (auto& [state, entries] : one.contents(model)) expected[state].merge(entries);
      }
      CHECK((together == expected));
    }
  }
}

TEMPLATE_TEST_CASE("a backend agrees with a simple model over many random operations", "[contract]",
                   WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  std::mt19937_64 random(20240607);
  Subtask<TestType> subtask(backend, directory.path() + "/local");
  Model model;
  struct InFlight {
    std::unique_ptr<SnapshotTask> task;
    Contents expected;
  };
  std::vector<InFlight> in_flight;
  constexpr std::uint64_t operations = sanitized ? 5'000 : 100'000;
  constexpr std::uint64_t rare = operations / 20;
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    // A few keys are hot; deletions come in waves, so that groups grow and shrink.
    const std::uint64_t i = random() % 4 == 0 ? random() % 10 : random() % 500;
    if (operation / rare % 3 == 2 && random() % 2 == 0)
      subtask.clear(model, i);
    else
      subtask.change(model, i, random(), static_cast<std::int64_t>(random() % 1000));
    if (random() % 64 == 0) subtask.check(model, random() % 500);
    if (random() % 128 == 0) REQUIRE(subtask.keyed->store_changes());
    if (random() % rare == 0 && in_flight.size() < 4) {
      REQUIRE(subtask.keyed->store_changes());
      in_flight.push_back({subtask.freeze(), subtask.contents(model)});
    }
    if (!in_flight.empty() && random() % rare == 0) {
      const std::size_t one = random() % in_flight.size();
      const Snapshot snapshot = run(*in_flight[one].task, subtask.keyed->declarations());
      CHECK((contents_of<TestType>(snapshot) == in_flight[one].expected));
      in_flight.erase(in_flight.begin() + static_cast<std::ptrdiff_t>(one));
    }
  }
  for (const InFlight& one : in_flight) {
    const Snapshot snapshot = run(*one.task, subtask.keyed->declarations());
    CHECK((contents_of<TestType>(snapshot) == one.expected));
  }
  for (std::uint64_t i = 0; i < 500; ++i) subtask.check(model, i);
}

TEMPLATE_TEST_CASE("a snapshot is written on another thread while the task goes on", "[contract]",
                   WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Subtask<TestType> subtask(backend, directory.path() + "/local");
  Model model;
  for (std::uint64_t i = 0; i < 2000; ++i) subtask.fill(model, i);
  for (std::uint64_t round = 0; round < 3; ++round) {
    REQUIRE(subtask.keyed->store_changes());
    const Contents expected = subtask.contents(model);
    BytesSink sink;
    Result<KeyedSnapshot> written;
    std::thread writer([&, task = subtask.freeze()] { written = task->run(sink); });
    for (std::uint64_t i = 0; i < 3000; ++i) {
      subtask.change(model, i, i + round, 5);
      if (i % 5 == round) subtask.clear(model, i);
      if (i % 50 == 0) CHECK(subtask.keyed->store_changes());
    }
    writer.join();
    REQUIRE(written);
    const Snapshot snapshot = assemble(*written, sink.bytes, false, subtask.keyed->declarations());
    CHECK((contents_of<TestType>(snapshot) == expected));
  }
}

TEST_CASE("a snapshot outlives the backend that took it", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  std::unique_ptr<SnapshotTask> task;
  std::vector<StateDeclaration> declarations;
  Contents expected;
  {
    Subtask<std::string> subtask(backend, directory.path() + "/local");
    Model model;
    for (std::uint64_t i = 0; i < 300; ++i) subtask.fill(model, i);
    REQUIRE(subtask.keyed->store_changes());
    expected = subtask.contents(model);
    declarations = subtask.keyed->declarations();
    task = subtask.freeze();
    for (std::uint64_t i = 0; i < 300; ++i) subtask.fill(model, i);
    REQUIRE(subtask.keyed->store_changes());
    subtask.keyed.reset();  // destroyed, not disposed of
  }
  CHECK(contents_of<std::string>(run(*task, declarations)) == expected);
}

TEST_CASE("a backend that is disposed of leaves no files", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  PosixFileSystem files;
  Model model;
  Snapshot snapshot;
  for (int round = 0; round < 2; ++round) {
    Subtask<std::uint64_t> subtask(
        backend, directory.path() + "/local", {0, max_parallelism},
        round == 0 ? std::vector<Snapshot>{} : std::vector<Snapshot>{snapshot});
    for (std::uint64_t i = 0; i < 300; ++i) subtask.fill(model, i);
    snapshot = subtask.snapshot();
    subtask.keyed->dispose();
    subtask.keyed.reset();
    const auto left = files.list(directory.path());
    REQUIRE(left);
    CHECK(left->empty());
  }
}

/// A sink that says when the first byte comes and then waits to be let go on.
class GatedSink final : public SnapshotSink {
 public:
  Status append(std::string_view part) override {
    if (collected.position() == 0) {
      begun.set_value();
      opened.get_future().wait();
    }
    return collected.append(part);
  }
  std::uint64_t position() const override { return collected.position(); }

  BytesSink collected;
  std::promise<void> begun;
  std::promise<void> opened;
};

TEST_CASE("snapshots that are still to be written outlive the disposal of their backend",
          "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  PosixFileSystem files;
  Model model;
  auto subtask = std::make_unique<Subtask<std::uint64_t>>(backend, directory.path() + "/local");
  for (std::uint64_t i = 0; i < 300; ++i) subtask->fill(model, i);
  // What was restored lies in other files than what was written since.
  const Snapshot first = subtask->snapshot();
  subtask = std::make_unique<Subtask<std::uint64_t>>(backend, directory.path() + "/restored",
                                                     KeyGroupRange{0, max_parallelism},
                                                     std::vector<Snapshot>{first});
  for (std::uint64_t i = 200; i < 400; ++i) subtask->fill(model, i);
  REQUIRE(subtask->keyed->store_changes());
  const std::vector<StateDeclaration> declarations = subtask->keyed->declarations();
  const Contents expected = subtask->contents(model);
  std::unique_ptr<SnapshotTask> running = subtask->freeze();
  std::unique_ptr<SnapshotTask> waiting = subtask->freeze();
  for (std::uint64_t i = 0; i < 400; ++i) subtask->change(model, i, 2, 77);
  REQUIRE(subtask->keyed->store_changes());
  std::unique_ptr<SnapshotTask> given_up = subtask->freeze();

  GatedSink sink;
  Result<KeyedSnapshot> written;
  std::thread writer([&] {
    written = running->run(sink);
    if (sink.position() == 0) sink.begun.set_value();  // it failed before its first byte
    running.reset();
  });
  sink.begun.get_future().wait();
  subtask->keyed->dispose();
  subtask->keyed.reset();
  sink.opened.set_value();
  writer.join();
  REQUIRE(written);
  CHECK(contents_of<std::uint64_t>(assemble(*written, sink.collected.bytes, false, declarations)) ==
        expected);

  CHECK(contents_of<std::uint64_t>(run(*waiting, declarations)) == expected);
  waiting.reset();
  given_up.reset();
  const auto left = files.list(directory.path());
  REQUIRE(left);
  CHECK(left->empty());
}

TEST_CASE("a backend that is disposed of within a restore leaves no files", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  PosixFileSystem files;
  Model model;
  Snapshot snapshot;
  {
    Subtask<std::uint64_t> subtask(backend, directory.path() + "/first");
    for (std::uint64_t i = 0; i < 300; ++i) subtask.fill(model, i);
    snapshot = subtask.snapshot();
  }
  const auto state_backend = backend.make();
  KeyedStateBackendContext context;
  context.operator_label = "operator 'counter'";
  context.key_width = 8;
  context.groups = {0, max_parallelism};
  context.max_parallelism = max_parallelism;
  context.local_directory = directory.path() + "/second";
  context.files = &files;
  auto created = state_backend->create_keyed_state_backend(context);
  REQUIRE(created);
  KeyedStateBackend& keyed = **created;
  REQUIRE(keyed.restore(restored_of({snapshot}, context.groups)));
  REQUIRE(keyed.add_table(make_state(ValueStateDescriptor<std::int64_t>{"count"},
                                     schema_of<std::uint64_t>(),
                                     {context.groups, max_parallelism, 8}, nullptr)
                              .table));
  CHECK(keyed.load_restored() == Result<bool>(false));
  keyed.dispose();
  CHECK(files.list(directory.path()).value().empty());
}

TEST_CASE("local files go with the last snapshot that reads them, not before", "[contract]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  Model model;
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  Subtask<std::uint64_t> subtask(backend, directory.path() + "/local");
  const auto names = [&] { return files.list(directory.path()).value(); };
  const auto used = names();
  for (std::uint64_t i = 0; i < 30; ++i) subtask.fill(model, i);
  REQUIRE(subtask.keyed->store_changes());
  std::unique_ptr<SnapshotTask> task = subtask.freeze();
  subtask.keyed->dispose();
  subtask.keyed.reset();
  CHECK(names() == used);
  task.reset();
  CHECK(names().empty());
}

TEST_CASE("local files that a killed process has left are no obstacle", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  PosixFileSystem files;
  const std::string local = directory.path() + "/local";
  Model model;
  {
    Subtask<std::uint64_t> killed(backend, local);
    for (std::uint64_t i = 0; i < 300; ++i) killed.fill(model, i);
    REQUIRE(killed.keyed->store_changes());
    killed.keyed.reset();  // destroyed, not disposed of
  }
  // It may have been about to bring a file in, or to read one that a compaction has replaced.
  const bool has_directory = files.create(local + "/beside-0.sst").has_value();
  CHECK(has_directory == (backend.name.starts_with("rocksdb")));
  const Model nothing;
  {
    Subtask<std::uint64_t> next(backend, local);
    for (std::uint64_t i = 0; i < 300; ++i) next.check(nothing, i);
    for (std::uint64_t i = 100; i < 400; ++i) next.fill(model, i);
    const Snapshot snapshot = next.snapshot();
    CHECK(snapshot.handles.size() == next.tables.size());
  }
  CHECK(files.list(directory.path()).value().empty());
}

TEST_CASE("a database that is in use is not taken for one that was left", "[contract]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  RocksDBStateBackend backend;
  KeyedStateBackendContext context;
  context.operator_label = "operator 'counter'";
  context.key_width = 8;
  context.groups = {0, max_parallelism};
  context.max_parallelism = max_parallelism;
  context.local_directory = directory.path() + "/local";
  context.files = &files;
  const auto first = backend.create_keyed_state_backend(context);
  REQUIRE(first);
  const auto second = backend.create_keyed_state_backend(context);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::io_error);
  CHECK_THAT(second.error().what,
             Catch::StartsWith(directory.path() + "/local/db: ") && Catch::Contains("lock"));
  (*first)->dispose();
}

/// A snapshot of `keys` keys, some of which have values of a type that counts its copies.
Snapshot snapshot_of(std::uint64_t keys) {
  TemporaryDirectory directory;
  Subtask<std::uint64_t> subtask(all_backends().front(), directory.path() + "/local");
  for (std::uint64_t i = 0; i < keys; ++i) {
    subtask.select(i);
    subtask.count.update(1);
    if (i < 1'000) subtask.probe.update(Probe(i));
  }
  return subtask.snapshot();
}

TEST_CASE(
    "the synchronous part of a snapshot does the same work for a million keys as for a thousand",
    "[contract]") {
  // The keys come from a snapshot: a database ingests them by the file, not by the key.
  constexpr std::uint64_t many = sanitized ? 100'000 : 1'000'000;
  const std::array<Snapshot, 2> snapshots{snapshot_of(1'000), snapshot_of(many)};
  for (const BackendUnderTest& backend : all_backends()) {
    INFO(backend.name);
    TemporaryDirectory directory;
    std::array<std::uint64_t, 2> groups_frozen{};
    for (std::size_t i = 0; i < 2; ++i) {
      Subtask<std::uint64_t> subtask(backend, directory.path() + "/" + std::to_string(i),
                                     KeyGroupRange{0, max_parallelism},
                                     std::vector<Snapshot>{snapshots[i]});
      for (std::uint64_t repetition = 0; repetition < 20; ++repetition) {
        REQUIRE(subtask.select(repetition * 4));
        subtask.count.update(2);
        REQUIRE(subtask.keyed->store_changes());
        const TableCounters before = subtask.counters();
        const std::uint64_t copies = Probe::copies;
        const std::uint64_t encodings = Probe::encodings;
        const auto task =
            subtask.keyed->begin_snapshot({{repetition}, {}, SnapshotForm::canonical});
        REQUIRE(task);
        TableCounters after = subtask.counters();
        groups_frozen[i] += after.groups_frozen - before.groups_frozen;
        after.groups_frozen = before.groups_frozen;
        REQUIRE((after == before));  // no entry was copied, encoded or loaded
        REQUIRE(Probe::copies == copies);
        REQUIRE(Probe::encodings == encodings);
      }
    }
    CHECK(groups_frozen[0] == groups_frozen[1]);
  }
}

TEST_CASE("restored state that does not fit the job is refused by name", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  Model model;
  Snapshot snapshot;
  {
    Subtask<std::uint64_t> subtask(backend, directory.path() + "/first");
    for (std::uint64_t i = 0; i < 50; ++i) subtask.fill(model, i);
    snapshot = subtask.snapshot();
  }
  PosixFileSystem files;
  const auto state_backend = backend.make();
  KeyedStateBackendContext context;
  context.operator_label = "operator 'counter'";
  context.key_width = 8;
  context.groups = {0, max_parallelism};
  context.max_parallelism = max_parallelism;
  context.local_directory = directory.path() + "/second";
  context.files = &files;
  auto created = state_backend->create_keyed_state_backend(context);
  REQUIRE(created);
  KeyedStateBackend& keyed = **created;
  const TableOptions options{context.groups, max_parallelism, 8};
  const Schema key = schema_of<std::uint64_t>();

  const auto refused = [&](const Status& status, Errc code, std::vector<std::string> words) {
    REQUIRE_FALSE(status);
    INFO(status.error().what);
    CHECK(status.error().code == code);
    for (const std::string& word : words) CHECK_THAT(status.error().what, Catch::Contains(word));
  };
  const auto damage = [&](std::size_t at) {
    Snapshot damaged = snapshot;
    std::string& payload = damaged.payloads[0];
    payload[at] = static_cast<char>(payload[at] ^ 4);
    return damaged;
  };
  const auto restore = [&](const Snapshot& from) {
    REQUIRE(keyed.restore(restored_of({from}, context.groups)));
  };

  SECTION("a value of another type") {
    restore(snapshot);
    refused(
        keyed.add_table(
            make_state(ValueStateDescriptor<std::string>{"count"}, key, options, nullptr).table),
        Errc::state_incompatible, {"counter", "count"});
  }
  SECTION("a state of another kind") {
    restore(snapshot);
    refused(
        keyed.add_table(
            make_state(ListStateDescriptor<std::int64_t>{"count"}, key, options, nullptr).table),
        Errc::state_incompatible, {"counter", "count", "value", "list"});
  }
  SECTION("a map for a value, a map of other keys and a map of other values") {
    restore(snapshot);
    refused(keyed.add_table(make_state(MapStateDescriptor<std::int64_t, std::int64_t>{"count"}, key,
                                       options, nullptr)
                                .table),
            Errc::state_incompatible, {"counter", "count", "value", "map"});
    refused(keyed.add_table(make_state(MapStateDescriptor<std::int64_t, std::int64_t>{"pages"}, key,
                                       options, nullptr)
                                .table),
            Errc::state_incompatible, {"counter", "pages", "<key>", "string", "int64"});
    refused(keyed.add_table(
                make_state(MapStateDescriptor<std::string, double>{"pages"}, key, options, nullptr)
                    .table),
            Errc::state_incompatible, {"counter", "pages", "<value>", "int64", "float64"});
  }
  SECTION("a time to live where there was none") {
    restore(snapshot);
    StateClock clock;
    const auto time = std::make_shared<StateTime>(clock);
    const StateTtlConfig ttl{std::chrono::hours(1)};
    refused(keyed.add_table(make_state(ValueStateDescriptor<std::int64_t>{"count", ttl}, key,
                                       options, nullptr, time)
                                .table),
            Errc::state_incompatible, {"counter", "'count'", "no time to live in the snapshot"});
    refused(keyed.add_table(make_state(ListStateDescriptor<std::int64_t>{"visits", ttl}, key,
                                       options, nullptr, time)
                                .table),
            Errc::state_incompatible, {"counter", "'visits'", "no time to live in the snapshot"});
    refused(keyed.add_table(make_state(MapStateDescriptor<std::string, std::int64_t>{"pages", ttl},
                                       key, options, nullptr, time)
                                .table),
            Errc::state_incompatible, {"counter", "'pages'", "no time to live in the snapshot"});
  }
  SECTION("a key of another type") {
    restore(snapshot);
    refused(keyed.add_table(make_state(ValueStateDescriptor<std::int64_t>{"count"},
                                       schema_of<std::int64_t>(), options, nullptr)
                                .table),
            Errc::state_incompatible, {"counter", "count", "key"});
  }
  SECTION("any damaged byte") {
    const KeyGroupExtent extent = snapshot.handles[0].groups[0];
    const std::size_t step = GENERATE(range(std::size_t{0}, std::size_t{20}));
    const std::size_t at = step * 7 % extent.length;
    restore(damage(extent.offset + at));
    REQUIRE(keyed.add_table(
        make_state(ValueStateDescriptor<std::int64_t>{"count"}, key, options, nullptr).table));
    refused(load_restored(keyed), Errc::corruption,
            {"/snapshot/data", is_of_files(snapshot) ? ": file " : "key group"});
  }
  SECTION("a wrong number of entries") {
    if (backend.form != SnapshotForm::canonical) return;  // nothing is done with that of an image
    ++snapshot.handles[0].groups[0].entries;
    restore(snapshot);
    REQUIRE(keyed.add_table(
        make_state(ValueStateDescriptor<std::int64_t>{"count"}, key, options, nullptr).table));
    refused(load_restored(keyed), Errc::corruption, {"number of entries"});
  }
  SECTION("nothing, but a restore is many pieces of work") {
    restore(snapshot);
    REQUIRE(keyed.add_table(
        make_state(ValueStateDescriptor<std::int64_t>{"count"}, key, options, nullptr).table));
    const std::size_t groups = snapshot.handles[0].groups.size();
    REQUIRE(groups > 1);
    std::size_t pieces = 0;
    for (bool done = false; !done; ++pieces) {
      const auto all = keyed.load_restored();
      REQUIRE(all);
      done = *all;
    }
    CHECK((is_of_files(snapshot) ? pieces > groups : pieces == groups));
    CHECK(keyed.load_restored() == Result<bool>(true));
  }
  SECTION("a name used twice") {
    REQUIRE(keyed.add_table(
        make_state(ValueStateDescriptor<std::int64_t>{"n"}, key, options, nullptr).table));
    refused(keyed.add_table(
                make_state(ValueStateDescriptor<std::int64_t>{"n"}, key, options, nullptr).table),
            Errc::already_exists, {"counter", "'n'"});
    refused(keyed.add_table(make_state(MapStateDescriptor<std::int64_t, std::int64_t>{"n"}, key,
                                       options, nullptr)
                                .table),
            Errc::already_exists, {"counter", "'n'"});
  }
  SECTION("states that nobody declares are named") {
    restore(snapshot);
    REQUIRE(keyed.add_table(
        make_state(ValueStateDescriptor<std::int64_t>{"count"}, key, options, nullptr).table));
    CHECK(keyed.unclaimed_states() == std::vector<std::string>{"name", "large", "probe", "visits",
                                                               "sum", "mean", "pages", "notes"});
    CHECK(keyed.declarations().size() == 1);
  }
  keyed.dispose();
}

const BackendUnderTest& fs_incremental() { return backend_named("fs incremental"); }

TEMPLATE_TEST_CASE("an incremental snapshot restores on every backend, however long its chain",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& from = backend_named(GENERATE("fs incremental", "rocksdb incremental"));
  TemporaryDirectory directory;
  Subtask<TestType> subtask(from, directory.path() + "/local");
  Model model;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    for (std::uint64_t i = id; i < 400; i += id) subtask.fill(model, i);
    for (std::uint64_t i = id; i < 400; i += 11) subtask.clear(model, i);
    const Snapshot snapshot = subtask.snapshot(id, id - 1);
    CHECK(snapshot.locations.size() == id);
    CHECK(std::ranges::all_of(snapshot.locations, &DataLocation::shared));
    const Contents expected = subtask.contents(model);
    for (const BackendUnderTest& to : all_backends()) {
      INFO(id << " of " << from.name << " on " << to.name);
      const std::string local = directory.path() + "/" + std::to_string(id) + to.name;
      for (const std::uint32_t parallelism : {1U, 3U}) {
        Contents together;
        for (std::uint32_t i = 0; i < parallelism; ++i) {
          Subtask<TestType> restored(to, local + std::to_string(parallelism) + std::to_string(i),
                                     key_group_range(i, parallelism, max_parallelism), {snapshot});
          CHECK(restored.keyed->unclaimed_states().empty());
          for (std::uint64_t key = 0; key < 400; key += 7) restored.check(model, key);
          for (auto& [state, entries] : contents_of<TestType>(restored.snapshot()))
            together[state].merge(entries);
        }
        CHECK((together == expected));
      }
    }
  }
}

TEMPLATE_TEST_CASE("incremental snapshots agree with a model over aborts, restarts and rescales",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& backend =
      backend_named(GENERATE("fs incremental", "rocksdb incremental"));
  INFO(backend.name);
  const bool is_files = backend.name == "rocksdb incremental";
  // A database sees bytes: keys of one width and keys whose width varies.
  if (is_files && !std::is_same_v<TestType, std::uint64_t> &&
      !std::is_same_v<TestType, std::string>)
    return;
  std::mt19937_64 random(4711);
  TemporaryDirectory directory;
  std::uint64_t locals = 0;
  const auto make = [&](std::uint32_t parallelism, const std::vector<Snapshot>& from,
                        std::uint64_t restored) {
    std::vector<std::unique_ptr<Subtask<TestType>>> subtasks;
    for (std::uint32_t i = 0; i < parallelism; ++i)
      subtasks.push_back(std::make_unique<Subtask<TestType>>(
          backend, directory.path() + "/" + std::to_string(locals++),
          key_group_range(i, parallelism, max_parallelism), from, CheckpointId{restored}));
    return subtasks;
  };
  auto subtasks = make(1, {}, 0);
  Model model;
  std::vector<Snapshot> completed;
  Model completed_model;
  std::uint64_t base = 0;
  std::size_t longest = 0;
  bool was_small = false;
  // Each look at a snapshot of files makes a database.
  const std::uint64_t rounds = is_files ? 50 : 150;
  for (std::uint64_t id = 1; id <= rounds; ++id) {
    // Waves of growth, of few changes and of deletions.
    const std::uint64_t changes = id % 40 < 10 ? 200 : 10;
    for (std::uint64_t n = 0; n < changes; ++n) {
      const std::uint64_t i = random() % 400;
      const std::uint64_t what = random();
      const auto value = static_cast<std::int64_t>(random() % 1000);
      for (auto& subtask : subtasks) {
        if (id % 40 > 30)
          subtask->clear(model, i);
        else
          subtask->change(model, i, what, value);
      }
    }
    std::vector<Snapshot> snapshots;
    Contents together;
    Contents expected;
    for (auto& subtask : subtasks) {
      snapshots.push_back(subtask->snapshot(id, base));
      for (auto& [state, entries] : subtask->contents(model)) expected[state].merge(entries);
    }
    for (const Snapshot& snapshot : snapshots) {
      for (auto& [state, entries] : contents_of<TestType>(snapshot)) together[state].merge(entries);
      longest = std::max(longest, snapshot.locations.size());
      was_small = was_small || (snapshot.locations.size() > 1 &&
                                snapshot.payloads[0].size() * 4 < snapshot.payloads[1].size());
    }
    INFO("checkpoint " << id << " on " << base);
    REQUIRE((together == expected));
    const std::uint64_t fate = random() % 12;
    if (fate == 0) continue;  // aborted, though every task had written it
    completed = std::move(snapshots);
    completed_model = model;
    base = id;
    if (fate < 6)
      for (auto& subtask : subtasks) subtask->keyed->checkpoint_complete({id});
    if (fate == 11 || fate == 10) {
      // A failure: what came behind the checkpoint is lost.
      for (auto& subtask : subtasks) subtask->change(model, 3, 2, 99);
      model = completed_model;
      subtasks = make(1 + static_cast<std::uint32_t>(random() % 3), completed, base);
    }
  }
  CHECK(longest > 8);
  CHECK(was_small);
}

TEST_CASE("a snapshot after few changes is a small part of the first", "[contract]") {
  TemporaryDirectory directory;
  Subtask<std::uint64_t> subtask(fs_incremental(), directory.path() + "/local");
  Model model;
  for (std::uint64_t i = 0; i < 20'000; ++i) subtask.change(model, i, 2, 1);
  const Snapshot first = subtask.snapshot(1, 0);
  subtask.keyed->checkpoint_complete({1});
  for (std::uint64_t i = 0; i < 20'000; i += 100) subtask.change(model, i, 2, 2);
  const Snapshot second = subtask.snapshot(2, 1);
  INFO(second.payloads[0].size() << " of " << first.payloads[0].size() << " bytes");
  CHECK(second.payloads[0].size() * 5 < first.payloads[0].size());
  subtask.keyed->checkpoint_complete({2});

  SECTION("after none it is no larger than what is the same in every group") {
    subtask.snapshot(3, 2);
    CHECK(subtask.snapshot(4, 3).payloads[0].empty());
  }
  SECTION("on a base that is not known, and that is older than a completed one, it is whole") {
    for (const std::uint64_t base : {77U, 1U}) {
      const Snapshot whole = subtask.snapshot(9, base);
      CHECK(whole.locations.size() == 1);
      CHECK((contents_of<std::uint64_t>(whole) == subtask.contents(model)));
    }
  }
  SECTION("a native one is whole, and nothing builds on it") {
    auto task = subtask.keyed->begin_snapshot({{3}, {2}, SnapshotForm::native});
    REQUIRE(task);
    CHECK_FALSE((*task)->is_shared());
    const Snapshot native = run(**task, subtask.keyed->declarations());
    CHECK(native.locations.size() == 1);
    CHECK((contents_of<std::uint64_t>(native) == subtask.contents(model)));
    CHECK(subtask.snapshot(4, 3).locations.size() == 1);
  }
  SECTION("groups that have outgrown what they build on are written whole again") {
    std::uint64_t base = 2;
    for (std::uint64_t id = 3; id < 60; ++id) {
      for (std::uint64_t i = id % 3; i < 20'000; i += 3)
        subtask.change(model, i, 2, static_cast<std::int64_t>(id));
      const Snapshot snapshot = subtask.snapshot(id, base);
      std::uint64_t bytes = 0;
      for (const KeyedStateHandle& handle : snapshot.handles)
        for (const KeyGroupExtent& extent : handle.groups) bytes += extent.length;
      CHECK(bytes < 6 * first.payloads[0].size());
      subtask.keyed->checkpoint_complete({id});
      base = id;
    }
  }
}

TEST_CASE("after a hundredth of the keys, which lie together, a checkpoint of a database is small",
          "[contract]") {
  TemporaryDirectory directory;
  Subtask<std::uint64_t> subtask(backend_named("rocksdb incremental"), directory.path() + "/local");
  Model model;
  constexpr std::uint64_t keys = 20'000;
  for (std::uint64_t i = 0; i < keys; ++i) subtask.change(model, i, 2, 1);
  const Snapshot first = subtask.snapshot(1, 0);
  std::uint64_t base = 1;
  for (std::uint64_t round = 2; round < 6; ++round) {
    std::uint64_t touched = 0;
    for (std::uint64_t i = 0; i < keys && touched < keys / 100; ++i) {
      if (!subtask.select(i) || subtask.key.group != 7) continue;
      subtask.change(model, i, 2, static_cast<std::int64_t>(round));
      ++touched;
    }
    REQUIRE(touched == keys / 100);
    const Snapshot next = subtask.snapshot(round, base);
    base = round;
    INFO(next.payloads[0].size() << " of " << first.payloads[0].size() << " bytes");
    CHECK(next.payloads[0].size() * 10 < first.payloads[0].size());
    CHECK(next.locations.size() == round);
    // From what it names alone, so that the older ones can go.
    CHECK((contents_of<std::uint64_t>(next) == subtask.contents(model)));
  }
}

TEST_CASE("every byte of every piece of a chain is under a checksum", "[contract]") {
  TemporaryDirectory directory;
  Snapshot snapshot;
  {
    Subtask<std::uint64_t> subtask(fs_incremental(), directory.path() + "/local");
    Model model;
    for (std::uint64_t i = 0; i < 12; ++i) subtask.fill(model, i);
    subtask.snapshot(1, 0);
    for (std::uint64_t i = 0; i < 4; ++i) subtask.fill(model, i);
    snapshot = subtask.snapshot(2, 1);
  }
  REQUIRE(snapshot.payloads.size() == 2);
  const BackendUnderTest& to =
      all_backends()[static_cast<std::size_t>(GENERATE(0, 1))];  // memory, fs
  for (std::size_t location = 0; location < 2; ++location) {
    // Of the older payload some bytes are no part of the snapshot any more.
    std::vector<bool> named(snapshot.payloads[location].size(), false);
    for (const KeyedStateHandle& handle : snapshot.handles)
      if (handle.location == location)
        for (const KeyGroupExtent& extent : handle.groups)
          std::fill_n(named.begin() + static_cast<std::ptrdiff_t>(extent.offset), extent.length,
                      true);
    for (std::size_t at = 0; at < named.size(); ++at) {
      if (!named[at]) continue;
      Snapshot damaged = snapshot;
      damaged.payloads[location][at] = static_cast<char>(damaged.payloads[location][at] ^ 1);
      KeyedStateBackendContext context;
      context.operator_label = "operator 'counter'";
      context.key_width = 8;
      context.groups = {0, max_parallelism};
      context.max_parallelism = max_parallelism;
      const auto backend = to.make();
      auto keyed = backend->create_keyed_state_backend(context);
      REQUIRE(keyed);
      REQUIRE((*keyed)->restore(restored_of({damaged}, context.groups)));
      const TableOptions options{context.groups, max_parallelism, 8};
      const Schema key = schema_of<std::uint64_t>();
      const auto add = [&](const auto& descriptor) {
        REQUIRE((*keyed)->add_table(make_state(descriptor, key, options, nullptr).table));
      };
      add(ValueStateDescriptor<std::int64_t>{"count"});
      add(ValueStateDescriptor<std::string>{"name"});
      add(ValueStateDescriptor<Large>{"large"});
      add(ValueStateDescriptor<Probe>{"probe"});
      add(ListStateDescriptor<std::int64_t>{"visits"});
      add(ReducingStateDescriptor<std::int64_t>{
          "sum", [](std::int64_t a, std::int64_t b) { return a + b; }});
      add(AggregatingStateDescriptor<std::int64_t, SumAndCount, std::string>{
          "mean", std::make_shared<Mean>()});
      add(MapStateDescriptor<std::string, std::int64_t>{"pages"});
      add(MapStateDescriptor<std::uint32_t, std::string>{"notes"});
      REQUIRE((*keyed)->unclaimed_states().empty());
      const Status loaded = load_restored(**keyed);
      REQUIRE_FALSE(loaded);
      REQUIRE(loaded.error().code == Errc::corruption);
    }
  }
}

/// What one key should have of states with a time to live: each value with the time of its last access.
struct TimedExpected {
  std::map<int, Timed<std::int64_t>> count;  // with the key 0, so that all are maps
  std::map<int, Timed<std::string>> name;
  std::multimap<int, Timed<std::int64_t>> visits;  // all with the key 0: in the order of adding
  std::map<int, Timed<std::int64_t>> sum;
  std::map<int, Timed<SumAndCount>> mean;
  std::map<std::string, Timed<std::int64_t>> pages;
  template <class F>
  void for_each_state(F&& f) {
    f("count", count);
    f("name", name);
    f("visits", visits);
    f("sum", sum);
    f("mean", mean);
    f("pages", pages);
  }
};

/// One operator in one subtask whose states all have a time to live of a second.
template <class K>
class TimedSubtask {
 public:
  static constexpr std::chrono::milliseconds time_to_live{1000};

  TimedSubtask(const BackendUnderTest& under_test, const std::string& directory, StateClock& clock,
               TtlUpdateType update_type, const std::vector<Snapshot>& from = {},
               CheckpointId restored = {})
      : form_(under_test.form),
        backend_(under_test.make()),
        time_(std::make_shared<StateTime>(clock)),
        clock_(clock),
        ttl_{time_to_live, update_type} {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = Codec<K>::fixed_width;
    context.groups = {0, max_parallelism};
    context.max_parallelism = max_parallelism;
    context.local_directory = directory;
    context.files = &files_;
    context.restored_checkpoint = restored;
    auto created = backend_->create_keyed_state_backend(context);
    REQUIRE(created);
    keyed = std::move(*created);
    REQUIRE(keyed->restore(restored_of(from, context.groups)));
    count_ = add(ValueStateDescriptor<std::int64_t>{"count", ttl_});
    name_ = add(ValueStateDescriptor<std::string>{"name", ttl_});
    visits_ = add(ListStateDescriptor<std::int64_t>{"visits", ttl_});
    sum_ = add(ReducingStateDescriptor<std::int64_t>{
        "sum", [](std::int64_t a, std::int64_t b) { return a + b; }, ttl_});
    mean_ = add(AggregatingStateDescriptor<std::int64_t, SumAndCount, std::string>{
        "mean", std::make_shared<Mean>(), ttl_});
    pages_ = add(MapStateDescriptor<std::string, std::int64_t>{"pages", ttl_});
    REQUIRE(load_restored(*keyed));
  }
  ~TimedSubtask() { keyed->dispose(); }
  TimedSubtask(const TimedSubtask&) = delete;
  TimedSubtask& operator=(const TimedSubtask&) = delete;

  void pass(std::chrono::milliseconds time) {
    clock_.advance(time);
    time_->advance();
  }
  /// Changes something of key `i`, in the state and in `expected`, which is that of the key.
  void change(TimedExpected& expected, std::uint64_t i, std::uint64_t what, std::int64_t value) {
    select(i);
    drop_expired(expected);
    const std::int64_t now = clock_.wall.count();
    const std::string page(static_cast<std::size_t>(value % 20), 'p');
    switch (what % 12) {
      case 0:
        ++count_.mutable_value();
        expected.count[0] = {now, expected.count[0].value + 1};
        break;
      case 1:
        count_.update(value);
        expected.count[0] = {now, value};
        break;
      case 2:
        count_.clear();
        expected.count.clear();
        break;
      case 3:
        name_.update(page);
        expected.name[0] = {now, page};
        break;
      case 4:
        visits_.add(value);
        expected.visits.insert({0, {now, value}});
        break;
      case 5: {
        const std::vector<std::int64_t> some(static_cast<std::size_t>(value) % 70, value);
        visits_.add_all(some);
        for (const std::int64_t visit : some) expected.visits.insert({0, {now, visit}});
        break;
      }
      case 6:
        if (value % 4 != 0) break;
        visits_.update({1, 2});
        expected.visits = {{0, {now, 1}}, {0, {now, 2}}};
        break;
      case 7:
        sum_.add(value);
        expected.sum[0] = {now, expected.sum[0].value + value};
        break;
      case 8:
        mean_.add(value);
        if (expected.mean.empty()) expected.mean[0] = {now, {1000, 0}};
        expected.mean[0] = {
            now, {expected.mean[0].value.first + value, expected.mean[0].value.second + 1}};
        break;
      case 9:
        pages_.put(page, value);
        expected.pages[page] = {now, value};
        break;
      case 10:
        ++pages_.mutable_value(page);
        expected.pages[page] = {now, expected.pages[page].value + 1};
        break;
      default:
        pages_.remove(page);
        expected.pages.erase(page);
        if (value % 8 != 0) break;
        pages_.clear();
        expected.pages.clear();
    }
  }
  void fill(TimedExpected& expected, std::uint64_t i) {
    for (const std::uint64_t what : {0, 3, 4, 7, 8, 9})
      change(expected, i, what, static_cast<std::int64_t>(i + what));
  }
  /// Reads every state of key `i` and compares it with what it should be.
  void check(TimedExpected& expected, std::uint64_t i) {
    select(i);
    drop_expired(expected);
    const auto same = [](const auto* value, const auto& values) {
      return value == nullptr ? values.empty()
                              : values.size() == 1 && *value == values.begin()->second.value;
    };
    CHECK(count_.contains() == !expected.count.empty());
    CHECK(same(count_.value(), expected.count));
    CHECK(same(name_.value(), expected.name));
    CHECK(same(sum_.get(), expected.sum));
    CHECK(mean_.get() == (expected.mean.empty()
                              ? std::nullopt
                              : std::optional(Mean().get_result(expected.mean[0].value))));
    std::vector<std::int64_t> visits;
    for (const auto& [zero, visit] : expected.visits) visits.push_back(visit.value);
    CHECK(visits_.get() == visits);
    CHECK(visits_.size() == visits.size());
    CHECK(pages_.is_empty() == expected.pages.empty());
    std::map<std::string, std::int64_t> pages;
    pages_.for_each([&](const std::string& page, std::int64_t value) { pages[page] = value; });
    CHECK(pages.size() == expected.pages.size());
    for (const auto& [page, timed] : expected.pages) {
      const std::int64_t* held = pages_.get(page);
      CHECK((held != nullptr && *held == timed.value && pages[page] == timed.value));
    }
    if (ttl_.update_type == TtlUpdateType::on_read_and_write)
      expected.for_each_state([&](const char*, auto& values) {
        for (auto& [key, timed] : values) timed.accessed_at_ms = clock_.wall.count();
      });
  }
  /// What has not expired in `snapshot`, whatever its form.
  Contents contents_of(const Snapshot& snapshot) {
    if (is_canonical(snapshot)) return canonical_contents(snapshot, Codec<K>::fixed_width);
    TemporaryDirectory directory;
    const BackendUnderTest memory{"memory", make_memory};
    TimedSubtask restored(memory, directory.path() + "/local", clock_, ttl_.update_type,
                          {snapshot});
    return canonical_contents(restored.snapshot(), Codec<K>::fixed_width);
  }
  /// What that should be.
  Contents contents(std::map<std::uint64_t, TimedExpected>& model) {
    Contents contents;
    for (auto& [i, expected] : model) {
      select(i);
      drop_expired(expected);
      std::string entry_key;
      append_entry_key({key_.group, Subtask<K>::encoded_key(i), {}, {}}, Codec<K>::fixed_width,
                       entry_key);
      expected.for_each_state([&](const char* name, auto& values) {
        for (const auto& [map_key, timed] : values) {
          std::string of_map;
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(map_key)>, std::string>)
            of_map = encode_value(map_key);
          contents[name][entry_key + of_map] += encode_value(timed);
        }
      });
    }
    return contents;
  }
  std::vector<std::string> all_keys() {
    std::vector<std::string> keys;
    for (std::uint32_t group = 0; group < max_parallelism; ++group)
      std::ranges::copy(keyed->keys_of_group(group).value(), std::back_inserter(keys));
    std::ranges::sort(keys);
    return keys;
  }
  std::uint64_t entries() const {
    std::uint64_t sum = 0;
    for (const TableBase* table : tables_) sum += table->entries();
    return sum;
  }
  /// Lets a database merge all its files.
  void compact() {
    auto* rocksdb = dynamic_cast<RocksDBKeyedStateBackend*>(keyed.get());
    if (rocksdb == nullptr) return;
    RocksDBDatabase& database = rocksdb->database();
    for (rocksdb::ColumnFamilyHandle* family : database.families())
      REQUIRE(database.db().CompactRange({}, family, nullptr, nullptr).ok());
  }
  Snapshot snapshot(std::uint64_t id = 1, std::uint64_t base = 0) {
    auto task = keyed->begin_snapshot({{id}, {base}, form_});
    REQUIRE(task);
    return run(**task, keyed->declarations());
  }

  std::unique_ptr<KeyedStateBackend> keyed;

 private:
  void select(std::uint64_t i) {
    const K value = make_key<K>(i);
    key_ = {};
    key_.hash = hash_key(value);
    key_.group = key_group_of(key_.hash, max_parallelism);
    if constexpr (is_compact_key<K>) {
      key_.word = compact_key(value);
    } else {
      encoded_ = Subtask<K>::encoded_key(i);
      key_.bytes = encoded_;
    }
  }
  void drop_expired(TimedExpected& expected) {
    expected.for_each_state([&](const char*, auto& values) {
      std::erase_if(values, [&](const auto& entry) {
        return entry.second.accessed_at_ms + time_to_live.count() <= clock_.wall.count();
      });
    });
  }
  template <class Descriptor>
  auto add(const Descriptor& descriptor) {
    auto made =
        make_state(descriptor, schema_of<K>(),
                   {{0, max_parallelism}, max_parallelism, Codec<K>::fixed_width}, &key_, time_);
    tables_.push_back(made.table.get());
    const auto added = keyed->add_table(std::move(made.table));
    INFO((added ? "" : added.error().what));
    REQUIRE(added);
    return std::move(made.handle);
  }

  SnapshotForm form_;
  inline static PosixFileSystem files_;  ///< as above
  std::unique_ptr<StateBackend> backend_;
  std::shared_ptr<StateTime> time_;
  StateClock& clock_;
  const StateTtlConfig ttl_;
  std::vector<const TableBase*> tables_;
  KeyContext key_;
  std::string encoded_;
  ValueState<std::int64_t> count_;
  ValueState<std::string> name_;
  ListState<std::int64_t> visits_;
  ReducingState<std::int64_t> sum_;
  AggregatingState<std::int64_t, SumAndCount, std::string> mean_;
  MapState<std::string, std::int64_t> pages_;
};

TEMPLATE_TEST_CASE("state with a time to live agrees with a simple model, across restores",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  const TtlUpdateType update_type =
      GENERATE(TtlUpdateType::on_create_and_write, TtlUpdateType::on_read_and_write);
  INFO(backend.name << (update_type == TtlUpdateType::on_read_and_write ? ", read" : ""));
  TemporaryDirectory directory;
  StateClock clock;
  std::mt19937_64 random(20240608);
  std::map<std::uint64_t, TimedExpected> model;
  std::vector<Snapshot> from;
  std::uint64_t checkpoint = 0;
  for (std::size_t attempt = 0; attempt < 4; ++attempt) {
    // First again on the same backend, which may build on what it is restored from.
    const BackendUnderTest& now =
        attempt < 2 ? backend : all_backends()[random() % all_backends().size()];
    TimedSubtask<TestType> subtask(now, directory.path() + "/" + std::to_string(attempt), clock,
                                   update_type, from, CheckpointId{checkpoint});
    const auto take = [&] {
      const Snapshot snapshot = subtask.snapshot(checkpoint + 1, checkpoint);
      subtask.keyed->checkpoint_complete({++checkpoint});
      CHECK((subtask.contents_of(snapshot) == subtask.contents(model)));
      return snapshot;
    };
    constexpr int operations = sanitized ? 700 : 2000;
    for (int operation = 0; operation < operations; ++operation) {
      const std::uint64_t i = random() % 3 == 0 ? random() % 5 : random() % 60;
      subtask.change(model[i], i, random(), static_cast<std::int64_t>(random() % 1000));
      if (random() % 8 == 0) {
        const std::uint64_t read = random() % 60;
        subtask.check(model[read], read);
      }
      if (random() % 16 == 0) subtask.pass(std::chrono::milliseconds(random() % 60));
      if (random() % 32 == 0) REQUIRE(subtask.keyed->store_changes());
      if (random() % 300 == 0) subtask.compact();
      if (random() % 500 == 0) take();
    }
    from = {take()};
    clock.advance(std::chrono::milliseconds(200));
  }
}

TEMPLATE_TEST_CASE("expired entries leave snapshots at once and the memory in the background",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  const bool canonical = backend.form == SnapshotForm::canonical;
  TemporaryDirectory directory;
  StateClock clock;
  TimedSubtask<TestType> subtask(backend, directory.path() + "/local", clock,
                                 TtlUpdateType::on_create_and_write);
  std::map<std::uint64_t, TimedExpected> model;
  for (std::uint64_t i = 0; i < 500; ++i) subtask.fill(model[i], i);
  REQUIRE(subtask.keyed->store_changes());
  subtask.pass(std::chrono::milliseconds(600));
  for (std::uint64_t i = 0; i < 500; i += 5) subtask.fill(model[i], i);
  subtask.pass(std::chrono::milliseconds(399));
  CHECK(subtask.all_keys().size() == 500);
  CHECK(subtask.contents_of(subtask.snapshot(1, 0)) == subtask.contents(model));
  clock.advance(std::chrono::milliseconds(1));  // no record comes: only the snapshot sees it
  const Snapshot half = subtask.snapshot(2, 0);
  CHECK(subtask.contents_of(half) == subtask.contents(model));
  // Images are what lies in memory, where what has expired is yet to be found.
  const bool counted = !is_of_files(half);
  for (const char* state : {"count", "name", "sum", "mean", "pages"})
    if (counted) CHECK(entries_of(half, state) == (canonical ? 100 : 500));
  subtask.pass(std::chrono::milliseconds(0));
  CHECK(subtask.all_keys().size() == 100);

  const auto clean = [&] {
    for (int slice = 0; slice < 500; ++slice) REQUIRE(subtask.keyed->store_changes());
  };
  clean();
  CHECK(subtask.entries() <= 600);  // one value, name, list, sum, mean and page for 100 keys
  CHECK(subtask.contents_of(subtask.snapshot(3, 2)) == subtask.contents(model));
  for (const char* state : {"count", "name", "sum", "mean", "pages"})
    if (counted) CHECK(entries_of(subtask.snapshot(4, 0), state) == 100);
  for (std::uint64_t i = 0; i < 500; ++i) subtask.check(model[i], i);

  subtask.pass(std::chrono::milliseconds(600));
  clean();
  CHECK(subtask.entries() == 0);
  CHECK(subtask.all_keys().empty());
  const Snapshot empty = subtask.snapshot(5, 0);
  CHECK(subtask.contents_of(empty).empty());
  for (const KeyedStateHandle& handle : empty.handles)
    if (counted) CHECK(handle.groups.empty());

  SECTION("what was restored expires as if it had not been away") {
    StateClock later;
    later.wall = clock.wall - std::chrono::milliseconds(1);
    TimedSubtask<TestType> restored(backend, directory.path() + "/restored", later,
                                    TtlUpdateType::on_create_and_write, {half});
    CHECK(restored.all_keys().size() == 100);
    restored.pass(std::chrono::milliseconds(1));
    CHECK(restored.all_keys().empty());
    CHECK(restored.contents_of(restored.snapshot()).empty());
    for (int slice = 0; slice < 500; ++slice) REQUIRE(restored.keyed->store_changes());
    CHECK(restored.entries() == 0);
    if (counted) CHECK(entries_of(restored.snapshot(), "count") == 0);
  }
}

TEMPLATE_TEST_CASE("what an incremental snapshot no longer holds does not come back", "[contract]",
                   WEIR_ALL_KEYS) {
  const BackendUnderTest& incremental =
      backend_named(GENERATE("fs incremental", "rocksdb incremental"));
  INFO(incremental.name);
  TemporaryDirectory directory;
  StateClock clock;
  // Nothing has expired yet for whoever has this clock, so he sees whatever is there.
  StateClock early = clock;
  const auto keys_in = [&](const Snapshot& snapshot, const BackendUnderTest& backend) {
    early.wall = std::chrono::milliseconds(1'700'000'000'000);
    static std::uint64_t locals = 0;
    TimedSubtask<TestType> restored(backend, directory.path() + "/" + std::to_string(locals++),
                                    early, TtlUpdateType::on_create_and_write, {snapshot});
    return restored.all_keys().size();
  };
  std::map<std::uint64_t, TimedExpected> model;
  auto subtask = std::make_unique<TimedSubtask<TestType>>(
      incremental, directory.path() + "/1", clock, TtlUpdateType::on_create_and_write);
  for (std::uint64_t i = 0; i < 200; ++i) subtask->fill(model[i], i);
  Snapshot snapshot = subtask->snapshot(1, 0);
  subtask->pass(std::chrono::milliseconds(600));
  for (std::uint64_t i = 0; i < 200; i += 5) subtask->fill(model[i], i);
  subtask->pass(std::chrono::milliseconds(500));
  snapshot = subtask->snapshot(2, 1);
  REQUIRE(snapshot.locations.size() == 2);
  CHECK(subtask->contents_of(snapshot) == subtask->contents(model));

  const bool restores = GENERATE(false, true);
  if (restores)
    subtask = std::make_unique<TimedSubtask<TestType>>(
        incremental, directory.path() + "/2", clock, TtlUpdateType::on_create_and_write,
        std::vector<Snapshot>{snapshot}, CheckpointId{2});
  CHECK(subtask->all_keys().size() == 40);
  CHECK(keys_in(snapshot, all_backends().front()) == 200);
  for (int slice = 0; slice < 500; ++slice) REQUIRE(subtask->keyed->store_changes());
  CHECK(subtask->all_keys().size() == 40);
  subtask->compact();  // what only a database has goes when it merges its files
  snapshot = subtask->snapshot(3, 2);
  if (incremental.name == "fs incremental") REQUIRE(snapshot.locations.size() >= 2);
  for (const BackendUnderTest& backend : all_backends()) {
    INFO(backend.name);
    CHECK(keys_in(snapshot, backend) == 40);
  }
}

TEST_CASE("state with a time to live is not restored without one", "[contract]") {
  const BackendUnderTest& backend = GENERATE(from_range(all_backends()));
  INFO(backend.name);
  TemporaryDirectory directory;
  StateClock clock;
  Snapshot snapshot;
  {
    TimedSubtask<std::uint64_t> subtask(backend, directory.path() + "/first", clock,
                                        TtlUpdateType::on_create_and_write);
    TimedExpected expected;
    subtask.fill(expected, 1);
    snapshot = subtask.snapshot();
  }
  PosixFileSystem files;
  const auto state_backend = backend.make();
  KeyedStateBackendContext context;
  context.operator_label = "operator 'counter'";
  context.key_width = 8;
  context.groups = {0, max_parallelism};
  context.max_parallelism = max_parallelism;
  context.local_directory = directory.path() + "/second";
  context.files = &files;
  auto created = state_backend->create_keyed_state_backend(context);
  REQUIRE(created);
  REQUIRE((*created)->restore(restored_of({snapshot}, context.groups)));
  const TableOptions options{context.groups, max_parallelism, 8};
  const Schema key = schema_of<std::uint64_t>();
  const auto check_refused = [&](const auto& descriptor) {
    const Status added = (*created)->add_table(make_state(descriptor, key, options, nullptr).table);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == Errc::state_incompatible);
    CHECK_THAT(added.error().what,
               Catch::StartsWith("operator 'counter', state '" + descriptor.name + "': ") &&
                   Catch::Contains("a time to live in the snapshot and none in the job"));
  };
  check_refused(ValueStateDescriptor<std::int64_t>{"count"});
  check_refused(ListStateDescriptor<std::int64_t>{"visits"});
  check_refused(MapStateDescriptor<std::string, std::int64_t>{"pages"});
  check_refused(AggregatingStateDescriptor<std::int64_t, SumAndCount, std::string>{
      "mean", std::make_shared<Mean>()});
  (*created)->dispose();
}

TEST_CASE("a backend says where its snapshots go", "[contract]") {
  const MemoryStateBackend memory;
  CHECK_FALSE(memory.placement(SnapshotKind::checkpoint).files);
  CHECK(memory.placement(SnapshotKind::checkpoint).max_state_bytes == 5 << 20);
  CHECK(memory.placement(SnapshotKind::checkpoint).max_payload_bytes == 16 << 20);
  CHECK(memory.placement(SnapshotKind::savepoint).files);
  CHECK(memory.placement(SnapshotKind::savepoint).max_state_bytes == ~std::uint64_t{0});
  CHECK(memory.placement(SnapshotKind::terminal_savepoint).files);
  const FsStateBackend fs(100);
  CHECK(fs.placement(SnapshotKind::checkpoint).files);
  CHECK(fs.placement(SnapshotKind::checkpoint).inline_threshold_bytes == 100);
  const RocksDBStateBackend rocksdb;
  CHECK(rocksdb.placement(SnapshotKind::checkpoint).files);
  CHECK(memory.name() == "memory");
  CHECK(fs.name() == "fs");
  CHECK(rocksdb.name() == "rocksdb");
}

}  // namespace weir::test
