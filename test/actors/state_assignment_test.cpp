#include "actors/state_assignment.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "state/codec.hpp"
#include "state/key_groups.hpp"

namespace weir {
namespace {

constexpr std::uint32_t groups = 16;

StateDeclaration keyed_sum() {
  return {"sum", StateKind::value, schema_of<std::string>(), schema_of<std::int64_t>()};
}
StateDeclaration splits(StateKind kind, const std::string& name) {
  return {name, kind, std::nullopt, schema_of<std::string>()};
}

OperatorDescription describe(const std::string& uid, std::uint32_t parallelism) {
  OperatorDescription description;
  description.uid = description.name = uid;
  description.parallelism = parallelism;
  description.stateful = true;
  return description;
}

/// A source with list and union state, and a keyed operator behind an exchange.
PlanDescription plan_at(std::uint32_t parallelism) {
  PlanDescription plan;
  plan.operators = {describe("source", parallelism), describe("count", parallelism)};
  plan.operators[0].source = true;
  plan.edges = {{0, "", 1, 0, Partitioning::hash, {}}};
  return plan;
}

/// A snapshot of that plan. Subtask i has i + 1 elements of `splits`, one of `offsets`, and in each
/// of its key groups one entry of `sum`. Location 0 is named by nobody.
SnapshotMetadata snapshot_at(std::uint32_t parallelism) {
  SnapshotMetadata snapshot;
  snapshot.checkpoint = {7};
  snapshot.locations.push_back({"unused", 1, 0, {}});
  OperatorSnapshot source{"source", "source", false, parallelism, 128, {}, {}};
  source.states = {splits(StateKind::operator_list, "splits"),
                   splits(StateKind::operator_union, "offsets")};
  OperatorSnapshot count{"count", "count", false, parallelism, groups, {keyed_sum()}, {}};
  for (std::uint32_t i = 0; i < parallelism; ++i) {
    const auto location = static_cast<std::uint32_t>(snapshot.locations.size());
    snapshot.locations.push_back({"source-" + std::to_string(i), 1, 1000, {}});
    snapshot.locations.push_back({"count-" + std::to_string(i), 1, 1000, {}});
    OperatorSubtaskSnapshot of_source{i, false, {}, {}, {}};
    OperatorStateHandle list{"splits", location, 0, 4 * (i + 1), 0, {}};
    for (std::uint32_t k = 0; k <= i; ++k) list.elements.push_back(4 * k);
    of_source.operator_states = {list, {"offsets", location, 500, 4, 0, {0}}};
    OperatorSubtaskSnapshot of_count{i, false, {{"sum", location + 1, {}}}, {}, {}};
    const auto range = key_group_range(i, parallelism, groups);
    for (auto group = range.first; group < range.end; ++group)
      of_count.keyed[0].groups.push_back({group, 10 * group, 10, 1, group + 100});
    source.subtasks.push_back(of_source);
    count.subtasks.push_back(of_count);
  }
  snapshot.operators = {source, count};
  return snapshot;
}

Result<StateAssignment> assign(const SnapshotMetadata& snapshot, const PlanDescription& plan,
                               bool allow_non_restored = false) {
  return assign_state(snapshot, "/snapshots/chk-7", plan, build_job_graph(plan),
                      allow_non_restored);
}

/// The sentence with which `assign` fails; empty if it does not.
std::string failure(const SnapshotMetadata& snapshot, const PlanDescription& plan) {
  const auto assignment = assign(snapshot, plan);
  return assignment ? std::string() : assignment.error().what;
}

bool mentions(const std::string& sentence, const std::string& part) {
  return sentence.find(part) != std::string::npos;
}

/// File and place of an element, whoever gets it.
using Element = std::pair<std::string, std::uint64_t>;

std::vector<Element> elements_of(const TaskRestore& task, const std::string& state) {
  std::vector<Element> elements;
  for (const auto& restore : task.operators) {
    for (const auto& [handle, assigned] : restore.operator_states) {
      if (handle.state != state) continue;
      for (const auto index : assigned)
        elements.emplace_back(task.locations.at(handle.location).file, handle.elements.at(index));
    }
  }
  return elements;
}

}  // namespace

SCENARIO("a snapshot at any parallelism is dealt out to any other", "[actors]") {
  for (std::uint32_t p = 1; p <= 8; ++p) {
    for (std::uint32_t q = 1; q <= 8; ++q) {
      CAPTURE(p, q);
      const auto snapshot = snapshot_at(p);
      const auto assignment = assign(snapshot, plan_at(q));
      REQUIRE(assignment);
      REQUIRE(assignment->tasks.size() == 2);
      CHECK(assignment->warnings.empty());

      // Every key group exactly once, with the subtask that owns it, and the bytes it had.
      const auto& counts = assignment->tasks[1];
      REQUIRE(counts.size() == q);
      std::set<std::uint32_t> seen;
      for (std::uint32_t i = 0; i < q; ++i) {
        CHECK(counts[i].checkpoint == CheckpointId{7});
        CHECK(counts[i].directory == "/snapshots/chk-7");
        REQUIRE(counts[i].operators.size() == 1);
        CHECK(counts[i].operators[0].states == std::vector{keyed_sum()});
        for (const auto& handle : counts[i].operators[0].keyed) {
          CHECK_FALSE(handle.groups.empty());
          for (const auto& extent : handle.groups) {
            CHECK(seen.insert(extent.group).second);
            CHECK(subtask_of(extent.group, q, groups) == i);
            CHECK(counts[i].locations.at(handle.location).file ==
                  "count-" + std::to_string(subtask_of(extent.group, p, groups)));
            CHECK(extent ==
                  KeyGroupExtent{extent.group, 10 * extent.group, 10, 1, extent.group + 100});
          }
        }
      }
      CHECK(seen.size() == groups);

      // Every element of list state exactly once and evenly, all of union state to all.
      const auto& sources = assignment->tasks[0];
      std::multiset<Element> dealt;
      std::size_t fewest = 1000;
      std::size_t most = 0;
      for (std::uint32_t i = 0; i < q; ++i) {
        const auto own = elements_of(sources[i], "splits");
        dealt.insert(own.begin(), own.end());
        fewest = std::min(fewest, own.size());
        most = std::max(most, own.size());
        CHECK(elements_of(sources[i], "offsets").size() == p);
        if (p == q) CHECK(own.size() == i + 1);  // stays where it was
      }
      CHECK(dealt.size() == p * (p + 1) / 2);
      CHECK(std::set<Element>(dealt.begin(), dealt.end()).size() == dealt.size());
      if (p != q) CHECK(most - fewest <= 1);

      // A task is sent the locations it reads and no others.
      for (const auto& tasks : assignment->tasks) {
        for (const auto& task : tasks) {
          std::set<std::uint32_t> named;
          for (const auto& restore : task.operators) {
            for (const auto& handle : restore.keyed) named.insert(handle.location);
            for (const auto& state : restore.operator_states) named.insert(state.handle.location);
          }
          CHECK(named.size() == task.locations.size());
        }
      }
    }
  }
}

SCENARIO("files of a database go whole to every subtask that takes a key group over", "[actors]") {
  for (std::uint32_t p = 1; p <= 8; ++p) {
    for (std::uint32_t q = 1; q <= 8; ++q) {
      CAPTURE(p, q);
      auto snapshot = snapshot_at(p);
      for (auto& subtask : snapshot.operators[1].subtasks) {
        KeyedStateHandle& list = subtask.keyed[0];
        list.format = StateFormat::files;
        list.groups.assign(2, {0, 0, 10, 1, 0});
        list.groups[1] = {2, 10, 10, 0, 0};
        KeyedStateHandle older = list;
        older.location -= 1;  // of another payload
        older.groups.assign(1, {1, 600, 10, 0, 0});
        subtask.keyed.push_back(older);
      }
      const auto assignment = assign(snapshot, plan_at(q));
      REQUIRE(assignment);
      for (std::uint32_t i = 0; i < q; ++i) {
        // The handles of one subtask stay together, the list first.
        std::vector<std::string> expected;
        for (std::uint32_t from = 0; from < p; ++from) {
          std::set<std::uint32_t> owners;
          const auto range = key_group_range(from, p, groups);
          for (auto group = range.first; group < range.end; ++group)
            owners.insert(subtask_of(group, q, groups));
          if (!owners.contains(i)) continue;
          expected.push_back("count-" + std::to_string(from) + ": 0 2");
          expected.push_back("source-" + std::to_string(from) + ": 1");
        }
        std::vector<std::string> dealt;
        const TaskRestore& task = assignment->tasks[1][i];
        for (const auto& handle : task.operators.at(0).keyed) {
          dealt.push_back(task.locations.at(handle.location).file + ":");
          for (const auto& extent : handle.groups)
            dealt.back() += " " + std::to_string(extent.group);
        }
        CHECK(dealt == expected);
      }
    }
  }
}

SCENARIO("of broadcast state each subtask takes one copy", "[actors]") {
  for (std::uint32_t p = 1; p <= 5; ++p) {
    for (std::uint32_t q = 1; q <= 5; ++q) {
      CAPTURE(p, q);
      auto snapshot = snapshot_at(p);
      auto& rules = snapshot.operators[0].states[1];
      rules.kind = StateKind::operator_broadcast;
      rules.value = schema_of<std::map<long, long>>();
      const auto assignment = assign(snapshot, plan_at(q));
      REQUIRE(assignment);
      for (std::uint32_t i = 0; i < q; ++i)
        CHECK(elements_of(assignment->tasks[0][i], "offsets") ==
              std::vector<Element>{{"source-" + std::to_string(i % p), 0}});
    }
  }
}

SCENARIO("an operator is finished if all its subtasks had finished", "[actors]") {
  auto snapshot = snapshot_at(2);
  const auto finished = [&](const PlanDescription& plan) {
    const auto assignment = assign(snapshot, plan);
    std::vector<bool> result;
    for (const auto& task : assignment.value().tasks[1])
      result.push_back(task.operators[0].finished);
    return result;
  };
  WHEN("all subtasks had") {
    for (auto& subtask : snapshot.operators[1].subtasks) subtask.finished = true;
    THEN("every new one is, and still gets its state") {
      CHECK(finished(plan_at(2)) == std::vector<bool>{true, true});
      CHECK(finished(plan_at(3)) == std::vector<bool>{true, true, true});
      CHECK(assign(snapshot, plan_at(1))->tasks[1][0].operators[0].keyed.size() == 2);
    }
  }
  WHEN("one of two had") {
    snapshot.operators[1].subtasks[0].finished = true;
    THEN("at the same parallelism it is that one") {
      CHECK(finished(plan_at(2)) == std::vector<bool>{true, false});
    }
    THEN("at another none is") {
      CHECK(finished(plan_at(3)) == std::vector<bool>{false, false, false});
    }
    THEN("what it had emitted at its end is not emitted again: its keyed state goes") {
      const auto assignment = assign(snapshot, plan_at(1));
      REQUIRE(assignment->tasks[1][0].operators[0].keyed.size() == 1);
      CHECK(assignment->tasks[1][0].operators[0].keyed[0].groups.front().group == groups / 2);
    }
  }
}

SCENARIO("the maximum parallelism of keyed state is the snapshot's", "[actors]") {
  const auto snapshot = snapshot_at(2);
  auto plan = plan_at(2);
  WHEN("the job sets none") {
    const auto assignment = assign(snapshot, plan);
    THEN("it adopts it; operators without keyed state keep their own") {
      CHECK(assignment->plan.operators[1].max_parallelism == groups);
      CHECK(assignment->plan.operators[0].max_parallelism == 128);
    }
  }
  WHEN("the job sets the same") {
    plan.operators[1].max_parallelism = groups;
    plan.operators[1].max_parallelism_set = true;
    THEN("it fits") { CHECK(failure(snapshot, plan).empty()); }
  }
  WHEN("the job sets another") {
    plan.operators[1].max_parallelism_set = true;
    THEN("it is refused") {
      CHECK(failure(snapshot, plan) ==
            "operator 'count' sets maximum parallelism 128, its snapshot has 16: set 16 or leave "
            "it out");
      CHECK(assign(snapshot, plan).error().code == Errc::state_incompatible);
    }
  }
  WHEN("the job runs with more subtasks than key groups") {
    THEN("it is refused") {
      CHECK(failure(snapshot, plan_at(17)) ==
            "operator 'count' runs with parallelism 17, its snapshot has maximum parallelism 16: "
            "run it "
            "with at most 16");
    }
  }
}

SCENARIO("state that nobody takes over is not lost silently", "[actors]") {
  const auto snapshot = snapshot_at(2);
  GIVEN("a job that lacks an operator of the snapshot") {
    auto plan = plan_at(3);
    plan.operators[1].uid = "renamed";
    THEN("it is refused, naming the operator") {
      CHECK(failure(snapshot, plan) ==
            "the snapshot has state of operator 'count', which the job lacks: give that uid to the "
            "operator that takes it over, or skip it with -n");
    }
    THEN("several such operators are named together, and only counted beyond the fifth") {
      auto several = snapshot;
      const auto lost = several.operators[1];
      const auto lose_another = [&](int number) {
        auto& another = several.operators.emplace_back(lost);
        another.uid = "count-" + std::to_string(number);
        for (auto& subtask : another.subtasks) {
          const auto move_to_own = [&](auto& handle) {
            several.locations.push_back(several.locations[handle.location]);
            handle.location = static_cast<std::uint32_t>(several.locations.size() - 1);
            auto& file = several.locations.back().file;
            if (!file.empty()) file += "-" + std::to_string(handle.location);
          };
          std::ranges::for_each(subtask.keyed, move_to_own);
          std::ranges::for_each(subtask.operator_states, move_to_own);
        }
      };
      for (const int number : {2, 3}) lose_another(number);
      CHECK(failure(several, plan) ==
            "the snapshot has state of operator 'count', which the job lacks, operator 'count-2', "
            "which the job lacks and operator 'count-3', which the job lacks: give those uids to "
            "the operators that take it over, or skip it with -n");
      for (const int number : {4, 5, 6, 7}) lose_another(number);
      CHECK_THAT(failure(several, plan), Catch::Contains("'count-5', which the job lacks and 2 "
                                                         "others: give those uids"));
    }
    THEN("with -n it is skipped, and the new operator starts without state; both are said") {
      const auto assignment = assign(snapshot, plan, true);
      REQUIRE(assignment);
      CHECK(assignment->warnings ==
            std::vector<std::string>{
                "the snapshot has state of operator 'count', which the job lacks: it was skipped",
                "operator 'renamed' is not in the snapshot: it starts without state"});
      CHECK(assignment->tasks[1][0].operators.empty());
      CHECK(assignment->tasks[1][0].locations.empty());
      CHECK(assignment->tasks[0][0].operators.size() == 1);
    }
  }
  GIVEN("a job in which an operator has become stateless") {
    auto plan = plan_at(2);
    plan.operators[1].stateful = false;
    THEN("it is refused, or skipped with -n") {
      CHECK(mentions(failure(snapshot, plan), "operator 'count', which keeps none in the job"));
      CHECK(assign(snapshot, plan, true)->tasks[1][0].operators.empty());
    }
  }
  GIVEN("an operator of the snapshot that had no state") {
    auto empty = snapshot;
    for (auto& subtask : empty.operators[1].subtasks) subtask.keyed[0].groups.clear();
    auto plan = plan_at(2);
    plan.operators[1].uid = "renamed";
    plan.operators[1].stateful = false;
    THEN("nothing is lost and nothing said") { CHECK(assign(empty, plan)->warnings.empty()); }
  }
}

SCENARIO("a declared state of another kind or type is refused", "[actors]") {
  const auto snapshot = snapshot_at(2);
  auto plan = plan_at(2);
  WHEN("it is the same") {
    plan.operators[1].states = {keyed_sum()};
    THEN("it fits") { CHECK(failure(snapshot, plan).empty()); }
  }
  WHEN("the kind differs") {
    plan.operators[1].states = {keyed_sum()};
    plan.operators[1].states[0].kind = StateKind::reducing;
    THEN("operator, state and kinds are named") {
      CHECK(failure(snapshot, plan) ==
            "operator 'count', state 'sum': its kind is value in the snapshot and reducing in the "
            "job; "
            "undo the change, or give the state another name and start with -n, which drops the "
            "old one (docs/state.md tells which changes are read)");
    }
  }
  WHEN("the value differs") {
    plan.operators[1].states = {keyed_sum()};
    plan.operators[1].states[0].value = schema_of<std::string>();
    THEN("operator and state are named") {
      CHECK(mentions(failure(snapshot, plan), "operator 'count', state 'sum': its value: "));
      CHECK(assign(snapshot, plan).error().code == Errc::state_incompatible);
    }
  }
  WHEN("the key differs") {
    plan.operators[1].states = {keyed_sum()};
    plan.operators[1].states[0].key = schema_of<std::int32_t>();
    THEN("operator and state are named") {
      CHECK(mentions(failure(snapshot, plan), "operator 'count', state 'sum': its key: "));
    }
  }
}

SCENARIO("what cannot be restored is refused", "[actors]") {
  auto snapshot = snapshot_at(2);
  WHEN("records were on their way") {
    snapshot.operators[1].subtasks[0].channels = {{"source", "", "count", 0, 0, 0, 0, 0}};
    THEN("it is refused") {
      CHECK(mentions(failure(snapshot, plan_at(2)), "operator 'count' has records on their way"));
      CHECK(assign(snapshot, plan_at(2)).error().code == Errc::unsupported);
    }
  }
  WHEN("a state is not declared") {
    snapshot.operators[0].states.clear();
    THEN("it is damaged") { CHECK(assign(snapshot, plan_at(2)).error().code == Errc::corruption); }
  }
  WHEN("a handle lies outside of the locations") {
    snapshot.operators[1].subtasks[0].keyed[0].location = 99;
    THEN("it is damaged") { CHECK(assign(snapshot, plan_at(2)).error().code == Errc::corruption); }
  }
}

SCENARIO("chained operators get their state in one task", "[actors]") {
  auto snapshot = snapshot_at(2);
  auto plan = plan_at(3);
  plan.edges[0].partitioning = Partitioning::forward;
  const auto assignment = assign(snapshot, plan);
  REQUIRE(assignment);
  REQUIRE(assignment->tasks.size() == 1);
  REQUIRE(assignment->tasks[0].size() == 3);
  for (const auto& task : assignment->tasks[0]) {
    REQUIRE(task.operators.size() == 2);
    CHECK(task.operators[0].uid == "source");
    CHECK(task.operators[1].uid == "count");
  }
}

}  // namespace weir
