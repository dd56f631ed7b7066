// Every kind of state, with and without a time to live, from every parallelism of 1 to 8 to every other, on
// every backend.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/state_assignment.hpp"
#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "runtime/operator_state.hpp"
#include "runtime/snapshot_job.hpp"
#include "runtime/timer_queue.hpp"
#include "state/keyed_state.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "test/connectors/operator_harness.hpp"
#include "test/sanitized.hpp"
#include "test/state/state_clock.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t most_subtasks = sanitized ? 4 : 8;
constexpr std::uint32_t max_parallelism = 16;
constexpr std::uint64_t keys = 40;
constexpr milliseconds time_to_live(1000);
/// Later keys are written when those before have lived half of their time.
constexpr std::uint64_t young_keys = 20;

struct Backend {
  std::string name;
  std::function<std::unique_ptr<StateBackend>()> make;
  SnapshotForm form = SnapshotForm::canonical;
};
const std::vector<Backend>& backends() {
  const auto fs = [] { return std::make_unique<FsStateBackend>(0); };
  const auto rocksdb = [] { return std::make_unique<RocksDBStateBackend>(); };
  static const std::vector<Backend> all{
      {"memory", [] { return std::make_unique<MemoryStateBackend>(); }},
      {"fs", fs},
      {"fs native", fs, SnapshotForm::native},
      {"fs incremental", fs, SnapshotForm::incremental},
      {"rocksdb", rocksdb},
      {"rocksdb native", rocksdb, SnapshotForm::native},
      {"rocksdb incremental", rocksdb, SnapshotForm::incremental},
  };
  return all;
}

/// From every parallelism to every other and to itself: each pair of neighbours comes once.
std::vector<std::uint32_t> all_changes() {
  std::vector<std::vector<std::uint32_t>> left(most_subtasks + 1);
  for (std::uint32_t from = 1; from <= most_subtasks; ++from)
    for (std::uint32_t to = 1; to <= most_subtasks; ++to) left[from].push_back(to);
  // Hierholzer's walk through all edges of the complete graph.
  std::vector<std::uint32_t> open{1};
  std::vector<std::uint32_t> walk;
  while (!open.empty()) {
    auto& edges = left[open.back()];
    if (edges.empty()) {
      walk.push_back(open.back());
      open.pop_back();
    } else {
      open.push_back(edges.back());
      edges.pop_back();
    }
  }
  return walk;
}

/// Up and down between 1 and 8, by little and by much.
const std::vector<std::uint32_t> some_changes{1, 8, 2, 7, 3, 6, 4, 5, 5, 1, 3, 2, 4, 8, 6, 8, 1};

struct Count final : AggregateFunction<std::uint64_t, std::uint64_t, std::string> {
  std::uint64_t create_accumulator() const override { return 0; }
  void add(const std::uint64_t& value, std::uint64_t& sum) const override { sum += value; }
  std::string get_result(const std::uint64_t& sum) const override { return std::to_string(sum); }
  void merge(const std::uint64_t& other, std::uint64_t& sum) const override { sum += other; }
};

/// The five kinds of state that a function asks for.
struct Kinds {
  ValueState<std::uint64_t> value;
  ListState<std::string> list;
  ReducingState<std::uint64_t> reducing;
  AggregatingState<std::uint64_t, std::uint64_t, std::string> aggregating;
  MapState<std::string, std::uint64_t> map;

  void write(std::uint64_t key) {
    value.update(key);
    for (std::uint64_t i = 0; i < key % 4; ++i) list.add(std::to_string(key + i));
    reducing.add(key);
    reducing.add(1);
    aggregating.add(key);
    for (std::uint64_t i = 0; i < key % 3; ++i) map.put(std::string(i, 'm'), key + i);
  }
  void check(std::uint64_t key, bool lives) {
    CHECK(value.value_or(keys) == (lives ? key : keys));
    std::vector<std::string> elements;
    std::map<std::string, std::uint64_t> entries;
    for (std::uint64_t i = 0; lives && i < key % 4; ++i)
      elements.push_back(std::to_string(key + i));
    for (std::uint64_t i = 0; lives && i < key % 3; ++i) entries[std::string(i, 'm')] = key + i;
    CHECK(list.get() == elements);
    const std::uint64_t* sum = reducing.get();
    CHECK((sum != nullptr ? *sum : 0) == (lives ? key + 1 : 0));
    CHECK(aggregating.get().value_or("") == (lives ? std::to_string(key) : ""));
    std::map<std::string, std::uint64_t> found;
    map.for_each([&](const std::string& map_key, std::uint64_t held) { found[map_key] = held; });
    CHECK(found == entries);
  }
};

/// One operator in one subtask: all kinds of state twice, with and without a time to live, timers, and the
/// three kinds of operator state.
class Subtask {
 public:
  Subtask(const Backend& under_test, std::string directory, const Clock& clock,
          std::uint32_t subtask, std::uint32_t parallelism)
      : form_(under_test.form),
        directory_(std::move(directory)),
        subtask_(subtask),
        groups_(key_group_range(subtask, parallelism, max_parallelism)),
        backend_(under_test.make()),
        time_(std::make_shared<StateTime>(clock)) {}
  ~Subtask() {
    if (keyed_) keyed_->dispose();
  }

  /// `task` names what it gets of a snapshot in `task->directory`; null: it begins.
  void open(CheckpointStorage& storage, FileSystem& files, const TaskRestore* task) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'all'";
    context.key_width = sizeof(std::uint64_t);
    context.groups = groups_;
    context.max_parallelism = max_parallelism;
    context.local_directory = directory_;
    context.files = &files;
    if (task != nullptr && form_ == SnapshotForm::incremental)
      context.restored_checkpoint = task->checkpoint;
    keyed_ = backend_->create_keyed_state_backend(context).value();
    if (task != nullptr) restore(storage, *task);
    for (Kinds* kinds : {&lasting_, &passing_}) add_kinds(*kinds, kinds == &passing_);
    add_timers();
    while (!keyed_->load_restored().value()) {
    }
    while (!timers_.load_restored()) {
    }
    CHECK(keyed_->unclaimed_states().empty());
    dealt = operator_state_.list_state<std::uint64_t>("dealt").value();
    shared = operator_state_.list_state<std::uint64_t>("shared", StateKind::operator_union).value();
    copied = operator_state_.broadcast_state<std::string, std::uint64_t>("copied").value();
  }

  /// Whether the key is one of this subtask.
  bool select(std::uint64_t key) {
    key_.word = key;
    key_.hash = hash_key(key);
    key_.group = key_group_of(key_.hash, max_parallelism);
    return groups_.contains(key_.group);
  }
  void write(std::uint64_t key) {
    time_->advance();
    if (!select(key)) return;
    lasting_.write(key);
    passing_.write(key);
    for (std::uint64_t i = 0; i < key % 3; ++i)
      timers_.add(key_, key, static_cast<std::int64_t>(100 * i + key));
  }
  /// `lives`: whether the states of `key` with a time to live are still there.
  void check(std::uint64_t key, bool lives) {
    time_->advance();
    if (!select(key)) return;
    CAPTURE(key, lives);
    lasting_.check(key, true);
    passing_.check(key, lives);
  }
  [[nodiscard]] std::size_t timers() const { return timers_.size(); }
  /// Time and key of all timers; none is left.
  void take_timers(std::set<std::pair<std::int64_t, std::uint64_t>>& taken) {
    while (const auto timer = timers_.take_due(INT64_MAX)) {
      CHECK(groups_.contains(timer->group));
      CHECK(taken.emplace(timer->time, timer->key).second);
    }
  }

  TaskSnapshot snapshot(CheckpointStorage& storage, const std::string& directory,
                        const SnapshotRequest& request, Random& random) {
    std::vector<FrozenOperator> frozen(1);
    frozen[0].uid = "all";
    frozen[0].label = "operator 'all'";
    frozen[0].subtask = subtask_;
    frozen[0].states = operator_state_.declarations();
    frozen[0].operator_states = operator_state_.freeze();
    std::ranges::move(keyed_->declarations(), std::back_inserter(frozen[0].states));
    frozen[0].keyed = keyed_->begin_snapshot(request).value();
    SnapshotPlacement placement;
    placement.shared = frozen[0].keyed->is_shared();
    SnapshotJob job(
        std::move(frozen),
        std::make_unique<TaskSnapshotWriter>(
            &storage, directory, data_file_name({1}, request.id, {0, subtask_, 0}, random),
            placement, random));
    return job.run().value();
  }

  OperatorListState<std::uint64_t>* dealt = nullptr;
  OperatorListState<std::uint64_t>* shared = nullptr;
  BroadcastState<std::string, std::uint64_t>* copied = nullptr;

 private:
  void restore(CheckpointStorage& storage, const TaskRestore& task) {
    const OperatorRestore& own = task.operators.at(0);
    const auto declared = [&](const std::string& state) {
      return *std::ranges::find(own.states, state, &StateDeclaration::name);
    };
    std::map<std::string, RestoredKeyedState> keyed;
    for (const KeyedStateHandle& handle : own.keyed) {
      const DataLocation& location = task.locations.at(handle.location);
      auto& state = keyed
                        .try_emplace(handle.state, declared(handle.state),
                                     std::vector<RestoredKeyedState::Part>())
                        .first->second;
      state.parts.push_back({make_source(storage, task.directory, location).value(), handle.groups,
                             handle.format, handle.sequence, location});
    }
    std::vector<RestoredKeyedState> states;
    for (auto& [name, state] : keyed) states.push_back(std::move(state));
    REQUIRE(keyed_->restore(std::move(states)));

    std::map<std::string, OperatorStateStore::Restored> of_operator;
    for (const OperatorStateRestore& part : own.operator_states) {
      const OperatorStateHandle& handle = part.handle;
      const auto source =
          make_source(storage, task.directory, task.locations.at(handle.location)).value();
      const std::string bytes = source->read(handle.offset, handle.length).value();
      auto& state =
          of_operator
              .try_emplace(handle.state, declared(handle.state), std::vector<std::string>(), false)
              .first->second;
      for (const std::uint32_t i : part.assigned) {
        const std::uint64_t begin = handle.elements[i];
        const std::uint64_t end =
            i + 1 < handle.elements.size() ? handle.elements[i + 1] : handle.length;
        state.elements.push_back(bytes.substr(begin, end - begin));
      }
    }
    std::vector<OperatorStateStore::Restored> restored;
    for (auto& [name, state] : of_operator) restored.push_back(std::move(state));
    operator_state_.restore(std::move(restored));
  }
  template <class Descriptor>
  auto add(const Descriptor& descriptor) {
    auto made = make_state(descriptor, schema_of<std::uint64_t>(),
                           {groups_, max_parallelism, sizeof(std::uint64_t)}, &key_, time_);
    REQUIRE(keyed_->add_table(std::move(made.table)));
    return std::move(made.handle);
  }
  void add_kinds(Kinds& kinds, bool passes) {
    const std::string prefix = passes ? "passing " : "lasting ";
    const auto ttl = passes ? std::optional(StateTtlConfig{time_to_live}) : std::nullopt;
    kinds.value = add(ValueStateDescriptor<std::uint64_t>{prefix + "value", ttl});
    kinds.list = add(ListStateDescriptor<std::string>{prefix + "list", ttl});
    kinds.reducing =
        add(ReducingStateDescriptor<std::uint64_t>{prefix + "reducing", std::plus<>(), ttl});
    kinds.aggregating = add(AggregatingStateDescriptor<std::uint64_t, std::uint64_t, std::string>{
        prefix + "aggregating", std::make_shared<Count>(), ttl});
    kinds.map = add(MapStateDescriptor<std::string, std::uint64_t>{prefix + "map", ttl});
  }
  void add_timers() {
    TableOptions options{groups_, max_parallelism, sizeof(std::uint64_t)};
    options.composite = true;
    auto table = std::make_unique<Table<TimerMark>>(
        StateDeclaration{"timers", StateKind::timer, schema_of<std::uint64_t>(),
                         schema_of<TimerMark>()},
        options, EntryCodec<TimerMark>{});
    timers_ = TimerQueue<std::uint64_t>(table.get());
    REQUIRE(keyed_->add_table(std::move(table)));
  }

  const SnapshotForm form_;
  const std::string directory_;
  const std::uint32_t subtask_;
  const KeyGroupRange groups_;
  std::unique_ptr<StateBackend> backend_;
  std::shared_ptr<StateTime> time_;
  std::unique_ptr<KeyedStateBackend> keyed_;
  OperatorStateStore operator_state_{"operator 'all'"};
  KeyContext key_;
  Kinds lasting_;
  Kinds passing_;
  TimerQueue<std::uint64_t> timers_;
};

PlanDescription plan_of(std::uint32_t parallelism) {
  OperatorDescription one;
  one.uid = one.name = "all";
  one.parallelism = parallelism;
  one.max_parallelism = max_parallelism;
  one.stateful = one.source = true;
  PlanDescription plan;
  plan.operators.push_back(one);
  return plan;
}

/// Puts the shares of all subtasks together, as the coordinator does.
SnapshotMetadata assemble(std::vector<TaskSnapshot> tasks, const SnapshotRequest& request) {
  SnapshotMetadata metadata;
  metadata.kind = request.form == SnapshotForm::incremental ? SnapshotKind::checkpoint
                                                            : SnapshotKind::savepoint;
  metadata.job = {1, 1};
  metadata.checkpoint = request.id;
  metadata.epoch = {1};
  OperatorSnapshot all;
  all.uid = all.name = "all";
  all.parallelism = static_cast<std::uint32_t>(tasks.size());
  all.max_parallelism = max_parallelism;
  all.states = tasks[0].operators[0].states;
  for (TaskSnapshot& task : tasks) {
    // What several subtasks take over from older checkpoints is named once.
    std::vector<std::uint32_t> numbers;
    for (DataLocation& location : task.locations) {
      const auto known = location.shared ? std::ranges::find(metadata.locations, location)
                                         : metadata.locations.end();
      numbers.push_back(static_cast<std::uint32_t>(known - metadata.locations.begin()));
      if (known == metadata.locations.end()) metadata.locations.push_back(std::move(location));
    }
    OperatorSubtaskSnapshot share = std::move(task.operators[0].snapshot);
    for (auto& handle : share.keyed) handle.location = numbers.at(handle.location);
    for (auto& handle : share.operator_states) handle.location = numbers.at(handle.location);
    all.subtasks.push_back(std::move(share));
  }
  metadata.operators.push_back(std::move(all));
  return metadata;
}

TEST_CASE("every kind of state goes from any parallelism to any other", "[contract]") {
  const Backend& backend = GENERATE(from_range(backends()));
  INFO(backend.name);
  // Of files, each step makes a database for each subtask.
  const bool is_files = backend.name == "rocksdb native" || backend.name == "rocksdb incremental";
  const std::vector<std::uint32_t> walk = is_files ? some_changes : all_changes();
  REQUIRE((is_files || walk.size() == most_subtasks * most_subtasks + 1));

  TemporaryDirectory temporary;
  PosixFileSystem files;
  CountingRandom random;
  FileCheckpointStorage storage(files, random);
  StateClock clock;
  std::optional<SnapshotMetadata> snapshot;
  std::string from;  // its directory
  std::set<std::pair<std::int64_t, std::uint64_t>> timers;
  for (std::uint64_t key = 0; key < keys; ++key)
    for (std::uint64_t i = 0; i < key % 3; ++i)
      timers.emplace(static_cast<std::int64_t>(100 * i + key), key);
  const std::multiset<std::uint64_t> elements{1, 2, 2, 3, 5, 8, 13, 21, 34, 55};

  for (std::size_t step = 0; step < walk.size(); ++step) {
    const std::uint32_t parallelism = walk[step];
    CAPTURE(step, parallelism);
    const PlanDescription plan = plan_of(parallelism);
    std::optional<StateAssignment> assignment;
    if (snapshot)
      assignment = assign_state(*snapshot, from, plan, build_job_graph(plan), false).value();
    // The older half of the keys expires half way.
    const bool old_live = step < walk.size() / 2;
    if (step == walk.size() / 2) clock.advance(time_to_live / 2);

    std::vector<std::unique_ptr<Subtask>> subtasks;
    for (std::uint32_t i = 0; i < parallelism; ++i) {
      subtasks.push_back(std::make_unique<Subtask>(
          backend, temporary.path() + "/" + std::to_string(step) + "-" + std::to_string(i), clock,
          i, parallelism));
      subtasks[i]->open(storage, files, assignment ? &assignment->tasks.at(0).at(i) : nullptr);
    }
    if (!snapshot) {
      for (std::uint64_t key = 0; key < keys; ++key) {
        if (key == young_keys) clock.advance(time_to_live / 2);
        for (auto& subtask : subtasks) subtask->write(key);
      }
      for (const std::uint64_t element : elements) subtasks[0]->dealt->add(element);
      subtasks[0]->shared->update({7});
      subtasks[0]->copied->put("limit", 9);
      subtasks[0]->copied->put("", 0);
    }

    std::size_t held = 0;
    std::multiset<std::uint64_t> dealt;
    for (std::uint32_t i = 0; i < parallelism; ++i) {
      Subtask& subtask = *subtasks[i];
      for (std::uint64_t key = 0; key < keys; ++key)
        subtask.check(key, old_live || key >= young_keys);
      held += subtask.timers();
      dealt.insert(subtask.dealt->get().begin(), subtask.dealt->get().end());
      // All get what all had; one of them hands it on.
      CHECK(subtask.shared->get() == std::vector<std::uint64_t>{7});
      if (i > 0) subtask.shared->clear();
      REQUIRE(subtask.copied->size() == 2);
      CHECK(*subtask.copied->get("limit") == 9);
    }
    CHECK(held == timers.size());
    CHECK(dealt == elements);

    if (step + 1 == walk.size()) {
      std::set<std::pair<std::int64_t, std::uint64_t>> taken;
      for (auto& subtask : subtasks) subtask->take_timers(taken);
      CHECK(taken == timers);
      break;
    }
    const CheckpointId base{snapshot ? snapshot->checkpoint.value : 0};
    const SnapshotRequest request{{step + 1}, base, backend.form};
    from = temporary.path() + "/job/chk-" + std::to_string(step + 1);
    std::vector<TaskSnapshot> shares;
    for (auto& subtask : subtasks)
      shares.push_back(subtask->snapshot(storage, from, request, random));
    snapshot = assemble(std::move(shares), request);
    const Status written = write_metadata(storage, from, *snapshot, random);
    INFO((written ? "" : written.error().what));
    REQUIRE(written);
    snapshot = verify_snapshot(storage, from).value();
  }
}

}  // namespace
}  // namespace weir::test
