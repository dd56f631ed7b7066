#include "actors/slot_placement.hpp"

#include <catch2/catch.hpp>

namespace weir {
namespace {

constexpr TaskManagerId first{1};
constexpr TaskManagerId second{2};
constexpr TaskManagerId third{3};
constexpr JobId job{1, 2};
constexpr JobId other_job{3, 4};
using Slots = std::vector<TaskManagerId>;

JobGraph graph_of(const std::vector<std::uint32_t>& parallelisms) {
  JobGraph graph;
  for (const std::uint32_t parallelism : parallelisms)
    graph.vertices.push_back({{}, parallelism, 128, false, ""});
  return graph;
}

}  // namespace

SCENARIO("a job's slots lie together if one TaskManager has room for all of them", "[actors]") {
  SlotPlacement placement;
  GIVEN("no TaskManager") {
    THEN("there is no slot") { CHECK_FALSE(placement.place(1)); }
  }
  GIVEN("a small TaskManager and two larger ones") {
    placement.add_task_manager(first, 1);
    placement.add_task_manager(second, 3);
    placement.add_task_manager(third, 3);
    THEN("a job lies in the first that has room for the whole of it") {
      CHECK(placement.place(1) == Slots{first});
      CHECK(placement.place(2) == Slots{second, second});
      CHECK(placement.place(3) == Slots{second, second, second});
    }
    THEN("a larger one is dealt out in turn") {
      CHECK(placement.place(4) == Slots{first, second, third, second});
      CHECK(placement.place(7) == Slots{first, second, third, second, third, second, third});
    }
    THEN("a small one is dealt out, too, if jobs are to be spread") {
      CHECK(placement.place(2, true) == Slots{first, second});
      CHECK(placement.place(4, true) == Slots{first, second, third, second});
    }
    THEN("one that is too large gets none") {
      CHECK_FALSE(placement.place(8));
      CHECK_FALSE(placement.place(8, true));
    }
  }
}

SCENARIO("slots that other jobs hold are not dealt out", "[actors]") {
  GIVEN("a TaskManager with two slots") {
    SlotPlacement placement;
    placement.add_task_manager(first, 2);
    WHEN("subtasks 0 of three vertices of a job lie there") {
      for (const std::uint32_t vertex : {0, 1, 2}) placement.occupy(first, job, {vertex, 0, 0});
      THEN("they share one slot") {
        CHECK(placement.place(1) == Slots{first});
        CHECK_FALSE(placement.place(2));
      }
      AND_WHEN("another job's subtask 0 lies there") {
        placement.occupy(first, other_job, {0, 0, 5});
        THEN("that has a slot of its own") { CHECK_FALSE(placement.place(1)); }
      }
    }
    WHEN("more is placed there than it has slots, because it has registered anew with fewer") {
      for (const std::uint32_t subtask : {0, 1, 2}) placement.occupy(first, job, {0, subtask, 0});
      THEN("it has none to give") { CHECK_FALSE(placement.place(1)); }
    }
    WHEN("a subtask lies in a TaskManager that is lost") {
      placement.occupy(second, job, {0, 0, 0});
      THEN("it holds nothing here") { CHECK(placement.place(2) == Slots{first, first}); }
    }
  }
}

TEST_CASE("a job needs as many slots as its widest vertex has subtasks", "[actors]") {
  CHECK(slots_needed(graph_of({1, 4, 2})) == 4);
  CHECK(missing_slots(graph_of({1, 4, 2})).starts_with("the job needs 4 slots"));
}

}  // namespace weir
