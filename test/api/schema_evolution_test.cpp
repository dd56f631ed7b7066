#include <chrono>
#include <map>
#include <tuple>
#include <vector>

#include "test/api/restore_harness.hpp"

namespace weir::test {

// A job's types before and after its author has worked on them.
namespace was {
struct Visit {
  std::int32_t number = 0;
  std::vector<std::string> dropped = {"x"};
};
WEIR_FIELDS(Visit, number, dropped)
}  // namespace was
namespace is {
struct Visit {
  std::string place = "home";
  std::int64_t number = 0;
};
WEIR_FIELDS(Visit, place, number)
}  // namespace is
namespace broken {
struct Visit {
  std::int16_t number = 0;
  std::vector<std::string> dropped = {"x"};
};
WEIR_FIELDS(Visit, number, dropped)
}  // namespace broken
namespace renamed {
struct Visit {
  std::int32_t number = 0;
  std::vector<std::string> thrown_away = {"y"};
};
WEIR_FIELDS(Visit, number, thrown_away)
}  // namespace renamed

namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };

std::string place_of(const was::Visit& visit) { return visit.dropped.at(0); }
std::string place_of(const is::Visit& visit) { return visit.place; }
std::string place_of(const broken::Visit& visit) { return visit.dropped.at(0); }
std::string place_of(const renamed::Visit& visit) { return visit.thrown_away.at(0); }

template <class Visit>
Visit visit(long number) {
  Visit made;
  made.number = static_cast<decltype(Visit::number)>(number);
  return made;
}

template <class Visit>
struct Sum final : AggregateFunction<Visit, Visit, long> {
  Visit create_accumulator() const override { return {}; }
  void add(const Visit& value, Visit& sum) const override {
    sum = visit<Visit>(sum.number + value.number);
  }
  long get_result(const Visit& sum) const override { return sum.number; }
  void merge(const Visit& other, Visit& sum) const override { add(other, sum); }
};

/// Keeps visits in every kind of keyed state and tells at the end of the input what is there.
template <class Visit>
struct Keep final : KeyedProcessFunction<std::string, Entry, std::string> {
  void open(RuntimeContext& context) override {
    const StateTtlConfig ttl{std::chrono::hours(1)};
    last_ = context.state(ValueStateDescriptor<Visit>{"last"});
    timed_ = context.state(ValueStateDescriptor<Visit>{"timed", ttl});
    all_ = context.list_state(ListStateDescriptor<Visit>{"all"});
    largest_ = context.reducing_state(ReducingStateDescriptor<Visit>{
        "largest", [](const Visit& a, const Visit& b) { return a.number > b.number ? a : b; }});
    sum_ = context.aggregating_state(
        AggregatingStateDescriptor<Visit, Visit, long>{"sum", std::make_shared<Sum<Visit>>()});
    by_number_ = context.map_state(MapStateDescriptor<long, Visit>{"by number"});
  }
  void process_element(const Entry& entry, Context&, Collector<std::string>&) override {
    const auto one = visit<Visit>(entry.number);
    last_.update(one);
    timed_.update(one);
    all_.add(one);
    largest_.add(one);
    sum_.add(one);
    by_number_.put(entry.number, one);
  }
  void on_end_of_input(const std::string& key, Context&, Collector<std::string>& out) {
    const auto text = [](const Visit& one) { return place_of(one) + std::to_string(one.number); };
    std::string line = key + " last " + text(*last_.value()) + " timed " + text(*timed_.value());
    line += " largest " + text(*largest_.get()) + " sum " + std::to_string(*sum_.get()) + " all";
    all_.for_each([&](const Visit& one) { line += " " + text(one); });
    std::map<long, std::string> visits;
    by_number_.for_each([&](long number, const Visit& one) { visits[number] = text(one); });
    line += " map";
    for (const auto& [number, one] : visits) line += " " + std::to_string(number) + ":" + one;
    out.collect(std::move(line));
  }
  ValueState<Visit> last_;
  ValueState<Visit> timed_;
  ListState<Visit> all_;
  ReducingState<Visit> largest_;
  AggregatingState<Visit, Visit, long> sum_;
  MapState<long, Visit> by_number_;
};
template <class Visit>
DataStream<std::string> keep(const DataStream<Entry>& stream) {
  return stream.key_by(by_key).process(Keep<Visit>{});
}

/// The same of operator state.
template <class Visit>
struct KeepUnkeyed final : BroadcastProcessFunction<Entry, Entry, std::string> {
  void open(RuntimeContext& context) override {
    list_ = context.operator_list_state<Visit>("list");
    rules_ = context.broadcast_state(MapStateDescriptor<std::string, Visit>{"rules"});
  }
  void process_element(const Entry& entry, ReadOnlyContext& context,
                       Collector<std::string>& out) override {
    if (entry.number < 3) return list_->add(visit<Visit>(entry.number));
    for (const Visit& one : list_->get())
      out.collect("list " + place_of(one) + std::to_string(one.number));
    list_->clear();
    context.state(rules_).for_each([&](const std::string& key, const Visit& one) {
      out.collect("rule " + key + " " + place_of(one) + std::to_string(one.number));
    });
  }
  void process_broadcast_element(const Entry& entry, BroadcastContext& context,
                                 Collector<std::string>&) override {
    if (entry.number < 3) context.state(rules_).put(entry.key, visit<Visit>(entry.number));
  }
  OperatorListState<Visit>* list_ = nullptr;
  BroadcastStateHandle<std::string, Visit> rules_;
};

SCENARIO("state of a type that has changed since the snapshot is restored on every backend",
         "[api]") {
  using Case = std::tuple<std::string, MakeBackend, SnapshotForm>;
  std::vector<Case> from;
  for (const auto& [name, make] : all_backends()) {
    from.emplace_back(name, make, SnapshotForm::canonical);
    if (name != "memory") from.emplace_back(name + ", native", make, SnapshotForm::native);
  }
  for (const auto& [name, make, form] : from) {
    for (const auto& [other_name, make_other] : all_backends()) {
      INFO(name << " to " << other_name);
      TaskWorld world;
      world.backend = make();
      Attempt before(world, keep<was::Visit>, 2);
      for (const Entry& entry : {Entry{"a", 1}, Entry{"b", 2}, Entry{"a", -70'000}})
        before.feed(entry);
      const SnapshotMetadata snapshot = before.checkpoint(1, form);
      world.backend = make_other();
      Attempt after(world, keep<is::Visit>, 3, &snapshot);
      after.feed({"a", 5'000'000'000});
      const SnapshotMetadata newer = after.checkpoint(2);
      after.end_input();
      const Lines expected{
          "a last home5000000000 timed home5000000000 largest home5000000000 sum 4999930001 "
          "all home1 home-70000 home5000000000 map -70000:home-70000 1:home1 "
          "5000000000:home5000000000",
          "b last home2 timed home2 largest home2 sum 2 all home2 map 2:home2"};
      CHECK(sorted(after.output) == expected);
      // What is written from here on is of the new type.
      Attempt again(world, keep<is::Visit>, 1, &newer);
      again.end_input();
      CHECK(sorted(again.output) == expected);
    }
  }
}

SCENARIO("operator state of a type that has changed is restored", "[api]") {
  TaskWorld world;
  const auto build = []<class Visit>(std::type_identity<Visit>) {
    return [](const DataStream<Entry>& stream) {
      return stream.rebalance().connect(stream.broadcast()).process(KeepUnkeyed<Visit>{});
    };
  };
  Attempt before(world, build(std::type_identity<was::Visit>{}), 1);
  before.feed({"a", 1});
  before.feed({"b", 2});
  const SnapshotMetadata snapshot = before.checkpoint(1);
  Attempt after(world, build(std::type_identity<is::Visit>{}), 1, &snapshot);
  after.feed({"c", 3});
  CHECK(sorted(after.output) == Lines{"list home1", "list home2", "rule a home1", "rule b home2"});
}

/// The only task of `op` at its next start, from `snapshot`.
class Restarted {
 public:
  Restarted(TaskWorld& world, const Build& build, const SnapshotMetadata& snapshot,
            bool allow_non_restored_state = false) {
    StreamEnvironment env({}, 1, "/home/job");
    env.set_max_parallelism(16);
    auto source =
        env.add_source<Entry>("source", [] { return std::unique_ptr<Operator>(); }).uid("source");
    build(source.rebalance()).uid("op").rebalance().add_sink("sink", false, [] {
      return std::unique_ptr<Operator>();
    });
    auto plan = env.build();
    REQUIRE(plan);
    const auto shared = std::make_shared<const Plan>(std::move(*plan));
    const PlanDescription description = shared->describe();
    const auto assigned = assign_state(snapshot, barrier_of(1).options.directory, description,
                                       build_job_graph(description), false);
    REQUIRE(assigned);
    task_.emplace(world, shared, 1, 0, assigned->tasks[1][0], description,
                  allow_non_restored_state);
  }
  TaskUnderTest& operator*() { return *task_; }
  TaskUnderTest* operator->() { return &*task_; }

 private:
  std::optional<TaskUnderTest> task_;
};

SCENARIO("a change that would lose data is refused before the first record", "[api]") {
  TaskWorld world;
  Attempt before(world, keep<was::Visit>, 1);
  before.feed({"a", 1});
  const SnapshotMetadata snapshot = before.checkpoint(1);
  WHEN("a number is narrower") {
    Restarted after(world, keep<broken::Visit>, snapshot);
    CHECK(after->run() == StepResult::finished);
    CHECK(after->listener->failure.code == Errc::state_incompatible);
    CHECK(after->listener->failure.what ==
          "operator 'op', state 'last': the value has another type in the snapshot: field 'number' "
          "was int32, is int16; undo the change, or give the state another name and start with -n, "
          "which drops the old one (docs/state.md tells which changes are read)");
  }
  WHEN("a field seems to have another name") {
    Restarted after(world, keep<renamed::Visit>, snapshot);
    CHECK(after->run() == StepResult::finished);
    CHECK(after->listener->failure.code == Errc::state_incompatible);
    CHECK(after->listener->failure.what ==
          "operator 'op', state 'last': the snapshot has a field 'dropped', which the job's type "
          "lacks, while 'thrown_away' of the same type is new: a field under a new name loses its "
          "values; keep the old name, or start with --allowNonRestoredState to drop them");
  }
  WHEN("a field seems to have another name, and the user allows that its values are lost") {
    Restarted after(world, keep<renamed::Visit>, snapshot, true);
    CHECK(after->run() != StepResult::finished);
    CHECK(after->listener->last() == "running");
    CHECK(after->listener->warnings.size() == 6);
  }
  WHEN("a field is gone") {
    Attempt after(world, keep<is::Visit>, 2, &snapshot);
    THEN("one subtask says so of every state") {
      CHECK(after.tasks[1]->listener->warnings.empty());
      const auto& warnings = after.tasks[0]->listener->warnings;
      REQUIRE(warnings.size() == 6);
      CHECK(std::ranges::find(warnings,
                              "operator 'op': state 'last': the snapshot has a field 'dropped', "
                              "which the job's type lacks: its values are dropped") !=
            warnings.end());
      CHECK(std::ranges::any_of(warnings, [](const std::string& warning) {
        return warning.starts_with(
            "operator 'op': state 'by number': the snapshot has a field "
            "'<value>.dropped'");
      }));
    }
  }
}

SCENARIO("a job whose keys have another type is told that its operator needs another uid",
         "[api]") {
  const auto by_number = [](const Entry& entry) { return entry.number; };
  struct Count final : KeyedProcessFunction<long, Entry, std::string> {
    void open(RuntimeContext& context) override {
      count_ = context.state(ValueStateDescriptor<was::Visit>{"last"});
    }
    void process_element(const Entry&, Context&, Collector<std::string>&) override {}
    ValueState<was::Visit> count_;
  };
  TaskWorld world;
  Attempt before(world, keep<was::Visit>, 1);
  before.feed({"a", 1});
  const SnapshotMetadata snapshot = before.checkpoint(1);
  Restarted after(
      world,
      [&](const DataStream<Entry>& stream) { return stream.key_by(by_number).process(Count{}); },
      snapshot);
  CHECK(after->run() == StepResult::finished);
  CHECK(after->listener->failure.what ==
        "operator 'op', state 'last': the key has another type in the snapshot: the type was "
        "string, is int64; undo the change, or give the operator another uid and start with -n, "
        "which drops all its old state (a key cannot change, see docs/state.md)");
}

}  // namespace
}  // namespace weir::test
