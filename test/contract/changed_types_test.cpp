// State whose types have changed since a snapshot was taken restores from every form on every backend.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "state/entry_key.hpp"
#include "storage/posix_file_system.hpp"
#include "test/contract/backends_under_test.hpp"
#include "test/state/state_clock.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {

/// A type with a serializer of its own.
struct Seal {
  std::uint16_t number = 0;
};
struct SealSerializer {
  static constexpr std::string_view name = "seal";
  static constexpr std::uint16_t version = 3;
  static void write(const Seal& seal, ByteWriter& writer) {
    writer.number(seal.number);
    writer.raw(std::string(seal.number % 5, 's'));
  }
  static void read(ByteReader& reader, std::uint16_t, Seal& seal) {
    seal.number = reader.number<std::uint16_t>();
    (void)reader.rest();
  }
};
WEIR_SERIALIZER(Seal, SealSerializer)

// The types of a job before and after its author has worked on them. In memory they take different room, in
// slots and behind them, so segments have other numbers of slots and granules.
namespace was {

using Count = std::int32_t;  // lies in a slot as it is encoded
using Flag = bool;
struct Place {  // has gaps
  std::int32_t x = 0;
  std::int8_t y = 0;
};
WEIR_FIELDS(Place, x, y)
struct Large {  // lies in a slot that is among the largest
  std::array<std::uint32_t, 33> parts{};
  std::uint8_t tail = 0;
};
WEIR_FIELDS(Large, parts, tail)
struct Note {
  std::string text;
  bool dropped = true;
};
WEIR_FIELDS(Note, text, dropped)
struct Sealed {
  Seal seal;
  std::uint16_t number = 0;
};
WEIR_FIELDS(Sealed, seal, number)

// These two are described alike ever after, but take other room in memory.
struct Room {
  std::int32_t x = 0;
  std::int8_t y = 0;
};
WEIR_FIELDS(Room, x, y)
struct Seat {  // not in a slot, but behind it
  Seat() = default;
  Seat(const Seat& other) : x(other.x), y(other.y) {}
  Seat& operator=(const Seat&) = default;
  std::int32_t x = 0;
  std::int8_t y = 0;
};
WEIR_FIELDS(Seat, x, y)

struct Types {
  using Room = was::Room;
  using Seat = was::Seat;
  using Count = was::Count;
  using Flag = was::Flag;
  using Place = was::Place;
  using Large = was::Large;
  using Note = was::Note;
  using Sealed = was::Sealed;
};

}  // namespace was

namespace is {

using Count = std::int64_t;
using Flag = std::optional<bool>;
struct Place {
  double added = 1.5;
  std::int16_t y = 0;
  std::int64_t x = 0;
};
WEIR_FIELDS(Place, added, y, x)
struct Large {
  std::array<std::uint64_t, 33> parts{};
  std::string added = "new";
};
WEIR_FIELDS(Large, parts, added)
struct Note {
  std::string text;
  std::optional<std::string> added = "more";
};
WEIR_FIELDS(Note, text, added)
struct Sealed {
  std::uint32_t number = 0;
  Seal seal;
};
WEIR_FIELDS(Sealed, number, seal)

struct Room {
  std::int32_t x = 0;
  std::int8_t y = 0;
  std::array<std::uint64_t, 5> not_described{};
};
WEIR_FIELDS(Room, x, y)
struct Seat {
  std::int32_t x = 0;
  std::int8_t y = 0;
};
WEIR_FIELDS(Seat, x, y)

struct Types {
  using Room = is::Room;
  using Seat = is::Seat;
  using Count = is::Count;
  using Flag = is::Flag;
  using Place = is::Place;
  using Large = is::Large;
  using Note = is::Note;
  using Sealed = is::Sealed;
};

// What becomes of each value.
Count now(const was::Count& old) { return old; }
Flag now(const was::Flag& old) { return old; }
Place now(const was::Place& old) { return {1.5, old.y, old.x}; }
Large now(const was::Large& old) {
  Large made;
  std::ranges::copy(old.parts, made.parts.begin());
  return made;
}
Note now(const was::Note& old) { return {old.text, "more"}; }
Sealed now(const was::Sealed& old) { return {old.number, old.seal}; }
template <class T>
auto now(const Timed<T>& old) {
  return Timed<decltype(now(old.value))>{old.accessed_at_ms, now(old.value)};
}

}  // namespace is

/// The `n`-th value of a type.
template <class T>
T make(std::uint64_t n) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>) {
    return n % 3 == 1;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<std::int32_t>(n * 2'654'435'761U));
  } else {
    T made;
    if constexpr (requires { made.x; }) {
      made.x = static_cast<std::int32_t>(n * 48'271);
      made.y = static_cast<std::int8_t>(n % 256);
    } else if constexpr (requires { made.parts; }) {
      for (std::size_t i = 0; i < made.parts.size(); ++i)
        made.parts[i] = static_cast<std::uint32_t>(n + i);
    } else if constexpr (requires { made.text; }) {
      made.text = std::string(n % 30, 't') + std::to_string(n);
    } else {
      made.seal.number = static_cast<std::uint16_t>(n);
      made.number = made.seal.number;
    }
    return made;
  }
}

template <class Count>
struct Total final : AggregateFunction<Count, Count, Count> {
  Count create_accumulator() const override { return 1; }
  void add(const Count& value, Count& sum) const override { sum = (sum + value) % 1'000'000; }
  Count get_result(const Count& sum) const override { return sum; }
  void merge(const Count& other, Count& sum) const override { add(other - 1, sum); }
};

/// One subtask of the job with `Types`.
template <class K, class Types>
class ChangedSubtask {
 public:
  ChangedSubtask(const BackendUnderTest& under_test, const std::string& directory,
                 StateClock& clock, KeyGroupRange groups = {0, max_parallelism},
                 const std::vector<Snapshot>& from = {}, CheckpointId restored = {})
      : form_(under_test.form),
        backend_(under_test.make()),
        time_(std::make_shared<StateTime>(clock)),
        groups_(groups) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'changed'";
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
    const StateTtlConfig ttl{std::chrono::seconds(10)};
    const auto larger = [](const Place& a, const Place& b) { return a.x > b.x ? a : b; };
    same_ = add(ValueStateDescriptor<std::int64_t>{"same"});
    room_ = add(ValueStateDescriptor<typename Types::Room>{"room"});
    seat_ = add(ValueStateDescriptor<typename Types::Seat>{"seat"});
    count_ = add(ValueStateDescriptor<Count>{"count"});
    flag_ = add(ValueStateDescriptor<Flag>{"flag"});
    place_ = add(ValueStateDescriptor<Place>{"place"});
    large_ = add(ValueStateDescriptor<Large>{"large"});
    note_ = add(ValueStateDescriptor<Note>{"note"});
    sealed_ = add(ValueStateDescriptor<Sealed>{"sealed"});
    timed_ = add(ValueStateDescriptor<Place>{"timed", ttl});
    counts_ = add(ListStateDescriptor<Count>{"counts"});
    timed_notes_ = add(ListStateDescriptor<Note>{"timed notes", ttl});
    largest_ = add(ReducingStateDescriptor<Place>{"largest", larger});
    timed_largest_ = add(ReducingStateDescriptor<Place>{"timed largest", larger, ttl});
    total_ = add(
        AggregatingStateDescriptor<Count, Count, Count>{"total", std::make_shared<Total<Count>>()});
    places_ = add(MapStateDescriptor<std::string, Place>{"places"});
    notes_ = add(MapStateDescriptor<std::uint32_t, Note>{"notes"});
    timed_counts_ = add(MapStateDescriptor<std::uint32_t, Count>{"timed counts", ttl});
  }
  ~ChangedSubtask() {
    if (keyed) keyed->dispose();
  }
  ChangedSubtask(const ChangedSubtask&) = delete;
  ChangedSubtask& operator=(const ChangedSubtask&) = delete;

  Status load() { return load_restored(*keyed); }

  /// Changes something of key `i`.
  void change(std::uint64_t i, std::uint64_t n) {
    if (!select(i)) return;
    const auto map_key = static_cast<std::uint32_t>(n % 4);
    switch (n % 24) {
      case 0:
        return count_.clear();
      case 1:
        return place_.clear();
      case 2:
        return large_.clear();
      case 3:
        note_.clear();
        return flag_.clear();
      case 4:
        counts_.clear();
        return timed_notes_.clear();
      case 5:
        largest_.clear();
        return total_.clear();
      case 6:
        return places_.clear();
      case 7:
        notes_.remove(map_key);
        return timed_counts_.remove(map_key);
      case 8:
        sealed_.clear();
        return timed_.clear();
      case 9:
        room_.clear();
        seat_.clear();
        return same_.clear();
      default:
        fill(n);
    }
  }
  /// Writes all states of the current key.
  void fill(std::uint64_t n) {
    const auto map_key = static_cast<std::uint32_t>(n % 7);
    same_.update(static_cast<std::int64_t>(n));
    room_.update(make<typename Types::Room>(n));
    seat_.update(make<typename Types::Seat>(n));
    count_.update(make<Count>(n));
    flag_.update(make<Flag>(n));
    place_.update(make<Place>(n));
    large_.update(make<Large>(n));
    note_.update(make<Note>(n));
    sealed_.update(make<Sealed>(n));
    timed_.update(make<Place>(n));
    counts_.add(make<Count>(n));
    if (n % 5 == 0) counts_.add_all(std::vector<Count>(70, make<Count>(n)));
    timed_notes_.add(make<Note>(n));
    largest_.add(make<Place>(n));
    timed_largest_.add(make<Place>(n));
    total_.add(static_cast<Count>(n % 1000));
    places_.put(std::string(map_key, 'p'), make<Place>(n));
    notes_.put(map_key, make<Note>(n));
    timed_counts_.put(map_key, make<Count>(n));
  }
  bool select(std::uint64_t i) {
    const K value = make_key<K>(i);
    key_ = {};
    key_.hash = hash_key(value);
    key_.group = key_group_of(key_.hash, max_parallelism);
    if constexpr (is_compact_key<K>) {
      key_.word = compact_key(value);
    } else {
      encoded_.clear();
      ByteWriter writer(encoded_);
      encode_key(value, writer);
      key_.bytes = encoded_;
    }
    return groups_.contains(key_.group);
  }
  /// Lets the time of states be that of the clock.
  void advance() { time_->advance(); }
  Snapshot snapshot(std::uint64_t id, std::uint64_t base = 0) {
    return snapshot_in(form_, id, base);
  }
  Snapshot snapshot_in(SnapshotForm form, std::uint64_t id, std::uint64_t base = 0) {
    auto task = keyed->begin_snapshot({{id}, {base}, form});
    REQUIRE(task);
    return run(**task, keyed->declarations());
  }
  /// What a canonical snapshot holds now.
  Contents contents() {
    return canonical_contents(snapshot_in(SnapshotForm::canonical, 1000), Codec<K>::fixed_width);
  }

  std::unique_ptr<KeyedStateBackend> keyed;

 private:
  using Count = typename Types::Count;
  using Flag = typename Types::Flag;
  using Place = typename Types::Place;
  using Large = typename Types::Large;
  using Note = typename Types::Note;
  using Sealed = typename Types::Sealed;

  template <class Descriptor>
  auto add(const Descriptor& descriptor) {
    auto made = make_state(descriptor, schema_of<K>(),
                           {groups_, max_parallelism, Codec<K>::fixed_width}, &key_, time_);
    const auto added = keyed->add_table(std::move(made.table));
    INFO((added ? "" : added.error().what));
    REQUIRE(added);
    return std::move(made.handle);
  }

  SnapshotForm form_;
  inline static PosixFileSystem files_;
  std::unique_ptr<StateBackend> backend_;
  std::shared_ptr<StateTime> time_;
  KeyGroupRange groups_;
  KeyContext key_;
  std::string encoded_;
  ValueState<std::int64_t> same_;
  ValueState<typename Types::Room> room_;
  ValueState<typename Types::Seat> seat_;
  ValueState<Count> count_;
  ValueState<Flag> flag_;
  ValueState<Place> place_;
  ValueState<Large> large_;
  ValueState<Note> note_;
  ValueState<Sealed> sealed_;
  ValueState<Place> timed_;
  ListState<Count> counts_;
  ListState<Note> timed_notes_;
  ReducingState<Place> largest_;
  ReducingState<Place> timed_largest_;
  AggregatingState<Count, Count, Count> total_;
  MapState<std::string, Place> places_;
  MapState<std::uint32_t, Note> notes_;
  MapState<std::uint32_t, Count> timed_counts_;
};

/// The encodings of values of type `V`, one behind the other, as those that they have become.
template <class V>
std::string converted(std::string_view bytes) {
  std::string out;
  ByteWriter writer(out);
  ByteReader reader(bytes);
  while (reader.remaining() > 0) {
    V value{};
    decode(reader, value);
    REQUIRE_FALSE(reader.failed());
    encode(is::now(value), writer);
  }
  return out;
}

/// Whether the state's values are encoded as before.
bool is_encoded_alike(const std::string& state) {
  return state == "same" || state == "room" || state == "seat";
}

/// What becomes of what a snapshot of the old types holds.
Contents converted(const Contents& old) {
  const std::map<std::string, std::string (*)(std::string_view)> conversions{
      {"count", converted<was::Count>},
      {"flag", converted<was::Flag>},
      {"place", converted<was::Place>},
      {"large", converted<was::Large>},
      {"note", converted<was::Note>},
      {"sealed", converted<was::Sealed>},
      {"timed", converted<Timed<was::Place>>},
      {"counts", converted<was::Count>},
      {"timed notes", converted<Timed<was::Note>>},
      {"largest", converted<was::Place>},
      {"timed largest", converted<Timed<was::Place>>},
      {"total", converted<was::Count>},
      {"places", converted<was::Place>},
      {"notes", converted<was::Note>},
      {"timed counts", converted<Timed<was::Count>>}};
  Contents now;
  for (const auto& [state, entries] : old)
    for (const auto& [key, value] : entries)
      now[state][key] = is_encoded_alike(state) ? value : conversions.at(state)(value);
  REQUIRE(now.size() == conversions.size() + 3);
  return now;
}

template <class K>
using Before = ChangedSubtask<K, was::Types>;
template <class K>
using After = ChangedSubtask<K, is::Types>;

/// Lets the job go on over four checkpoints, each of which builds on the one before if its form is incremental,
/// with growth, so that segments are split, and deletions. Returns the last one.
template <class Subtask>
Snapshot work(Subtask& subtask, StateClock& clock, std::uint64_t keys) {
  std::mt19937_64 random(11);
  Snapshot last;
  for (std::uint64_t id = 1; id <= 4; ++id) {
    for (std::uint64_t i = 0; i < keys * (id + 2) / 6; ++i)
      if (id == 1 || i >= keys * (id + 1) / 6 || random() % 8 == 0) subtask.change(i, random());
    last = subtask.snapshot(id, id - 1);
    // Of what has a time to live, some has expired in the end.
    clock.advance(std::chrono::seconds(3));
    subtask.advance();
  }
  return last;
}

#define WEIR_ALL_KEYS std::uint64_t, std::uint16_t, std::string, WideKey

TEMPLATE_TEST_CASE("state of types that have changed restores from every form on every backend",
                   "[contract]", WEIR_ALL_KEYS) {
  const BackendUnderTest& from = backend_named(
      GENERATE("memory", "fs native", "fs incremental", "rocksdb native", "rocksdb incremental"));
  INFO("from " << from.name);
  // A database sees bytes: keys of one width and keys whose width varies.
  const bool is_files = from.name.starts_with("rocksdb");
  if (is_files && !std::is_same_v<TestType, std::uint64_t> &&
      !std::is_same_v<TestType, std::string>)
    return;
  TemporaryDirectory directory;
  StateClock clock;
  Before<TestType> subtask(from, directory.path() + "/local", clock);
  REQUIRE(subtask.load());
  const Snapshot snapshot = work(subtask, clock, is_files ? 300 : 1200);
  if (from.form == SnapshotForm::incremental) CHECK(snapshot.locations.size() == 4);
  const Contents expected = converted(subtask.contents());
  for (const char* name : {"memory", "fs incremental", "rocksdb", "rocksdb, tiny budget"}) {
    const BackendUnderTest& to = backend_named(name);
    for (const std::uint32_t parallelism : {1U, 3U}) {
      INFO("to " << to.name << " at " << parallelism);
      Contents together;
      for (std::uint32_t i = 0; i < parallelism; ++i) {
        After<TestType> restored(
            to, directory.path() + "/" + to.name + std::to_string(parallelism) + std::to_string(i),
            clock, key_group_range(i, parallelism, max_parallelism), {snapshot});
        const Status loaded = restored.load();
        INFO((loaded ? "" : loaded.error().what));
        REQUIRE(loaded);
        CHECK(restored.keyed->unclaimed_states().empty());
        for (auto& [state, entries] : restored.contents()) together[state].merge(entries);
      }
      for (const auto& [state, entries] : expected) {
        INFO("state " << state);
        CHECK((together[state] == entries));
      }
      CHECK(together.size() == expected.size());
    }
  }
}

TEMPLATE_TEST_CASE("checkpoints do not build on images of types that have changed", "[contract]",
                   std::uint64_t, std::string) {
  const BackendUnderTest& backend = backend_named("fs incremental");
  TemporaryDirectory directory;
  StateClock clock;
  Snapshot snapshot;
  {
    Before<TestType> subtask(backend, directory.path() + "/before", clock);
    REQUIRE(subtask.load());
    snapshot = work(subtask, clock, 600);
  }
  const std::string old_file = snapshot.locations[0].file;
  After<TestType> subtask(backend, directory.path() + "/after", clock, {0, max_parallelism},
                          {snapshot}, CheckpointId{4});
  REQUIRE(subtask.load());
  std::mt19937_64 random(12);
  std::size_t first_bytes = 0;
  for (std::uint64_t id = 5; id <= 7; ++id) {
    for (int n = 0; n < 40; ++n) subtask.change(random() % 700, random());
    snapshot = subtask.snapshot(id, id - 1);
    for (const KeyedStateHandle& handle : snapshot.handles)
      if (!is_encoded_alike(handle.state)) CHECK(handle.sequence >= 5);
    // What has its old type is not written anew, nor is what was written since.
    CHECK(std::ranges::find(snapshot.locations, old_file, &DataLocation::file) !=
          snapshot.locations.end());
    CHECK(std::ranges::any_of(snapshot.handles, [](const KeyedStateHandle& handle) {
      return handle.state == "same" && handle.sequence <= 4;
    }));
    if (id == 5) first_bytes = snapshot.payloads[0].size();
    INFO(snapshot.payloads[0].size() << " of " << first_bytes << " bytes");
    CHECK((id == 5 || snapshot.payloads[0].size() * 2 < first_bytes));
    subtask.keyed->checkpoint_complete({id});
    After<TestType> again(backend, directory.path() + "/again", clock, {0, max_parallelism},
                          {snapshot}, CheckpointId{id});
    REQUIRE(again.load());
    CHECK((again.contents() == subtask.contents()));
  }
}

TEST_CASE("damaged images of a type that has changed are refused", "[contract]") {
  const BackendUnderTest& to = backend_named(GENERATE("memory", "fs", "rocksdb"));
  INFO(to.name);
  TemporaryDirectory directory;
  StateClock clock;
  Snapshot snapshot;
  {
    Before<std::uint64_t> subtask(backend_named("fs incremental"), directory.path() + "/before",
                                  clock);
    REQUIRE(subtask.load());
    for (std::uint64_t i = 0; i < 6; ++i) {
      subtask.select(i);
      subtask.fill(i);
    }
    subtask.snapshot(1, 0);
    subtask.change(3, 10);
    snapshot = subtask.snapshot(2, 1);
  }
  REQUIRE(snapshot.payloads.size() == 2);
  std::uint64_t number = 0;
  const auto load = [&](const Snapshot& damaged) {
    After<std::uint64_t> subtask(to, directory.path() + "/" + std::to_string(number++), clock,
                                 {0, max_parallelism}, {damaged});
    return subtask.load();
  };
  REQUIRE(load(snapshot));
  const std::size_t step = to.name == "rocksdb" ? 13 : 1;  // databases take their time
  std::size_t nth = 0;
  for (KeyedStateHandle& handle : snapshot.handles) {
    for (KeyGroupExtent& extent : handle.groups) {
      if (nth++ % step != 0) continue;
      INFO(handle.state << ", sequence " << handle.sequence << ", group " << extent.group);
      std::string& payload = snapshot.payloads[handle.location];
      char& byte = payload[extent.offset + extent.length / 2];
      byte = static_cast<char>(byte ^ 8);
      const Status flipped = load(snapshot);
      byte = static_cast<char>(byte ^ 8);
      REQUIRE_FALSE(flipped);
      CHECK(flipped.error().code == Errc::corruption);
      CHECK_THAT(flipped.error().what, Catch::Contains("the checksum does not match"));

      // An extent that is cut off, under a checksum that matches.
      const KeyGroupExtent whole = extent;
      --extent.length;
      extent.checksum = hash_bytes(std::string_view(payload).substr(extent.offset, extent.length));
      const Status cut = load(snapshot);
      extent = whole;
      REQUIRE_FALSE(cut);
      INFO(cut.error().what);
      CHECK(cut.error().code == Errc::corruption);
      CHECK_THAT(cut.error().what,
                 Catch::Contains("/snapshot/data: operator 'changed', state '" + handle.state +
                                 "', key group " + std::to_string(extent.group)));
    }
  }
  REQUIRE(nth > 10);
}

}  // namespace weir::test
