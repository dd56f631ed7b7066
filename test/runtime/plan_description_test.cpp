#include "runtime/plan_description.hpp"

#include <catch2/catch.hpp>

#include "state/key_groups.hpp"

namespace weir {
namespace {

OperatorDescription op(std::string name, std::uint32_t parallelism = 2) {
  OperatorDescription description;
  description.uid = name + "-uid";
  description.name = std::move(name);
  description.parallelism = parallelism;
  return description;
}

EdgeDescription edge(std::uint32_t producer, std::uint32_t consumer,
                     Partitioning partitioning = Partitioning::forward) {
  EdgeDescription description;
  description.producer = producer;
  description.consumer = consumer;
  description.partitioning = partitioning;
  return description;
}

/// Source -> Split =hash=> Count -> Sink, the shape of word_count.
PlanDescription word_count() {
  PlanDescription plan{{op("Source"), op("Split"), op("Count"), op("Sink")},
                       {edge(0, 1), edge(1, 2, Partitioning::hash), edge(2, 3)}};
  plan.operators[0].source = true;
  plan.operators[2].max_parallelism = 64;
  return plan;
}

std::string complaint(const PlanDescription& plan) {
  const Status status = check_plan(plan);
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::invalid_argument);
  return status.error().what;
}

}  // namespace

SCENARIO("a plan is cut into tasks where records change subtasks", "[runtime]") {
  GIVEN("a word count") {
    const PlanDescription plan = word_count();
    REQUIRE(check_plan(plan));
    WHEN("its job graph is built") {
      const JobGraph graph = build_job_graph(plan);
      THEN("the keyed exchange separates two chains") {
        REQUIRE(graph.vertices.size() == 2);
        CHECK(graph.vertices[0].operators == std::vector<std::uint32_t>{0, 1});
        CHECK(graph.vertices[0].name == "Source -> Split");
        CHECK(graph.vertices[0].source);
        CHECK(graph.vertices[1].operators == std::vector<std::uint32_t>{2, 3});
        CHECK(graph.vertices[1].name == "Count -> Sink");
        CHECK_FALSE(graph.vertices[1].source);
        CHECK(graph.vertices[1].parallelism == 2);
        CHECK(graph.vertices[1].max_parallelism == 64);
        CHECK(graph.vertex_of == std::vector<std::uint32_t>{0, 0, 1, 1});
        CHECK(graph.exchange_edges == std::vector<std::uint32_t>{1});
      }
    }
  }
  GIVEN("an operator with two forward inputs") {
    const PlanDescription plan{{op("A"), op("B"), op("Union"), op("Sink")},
                               {edge(0, 2), edge(1, 2), edge(2, 3)}};
    THEN("it begins a task of its own, which its consumer joins") {
      const JobGraph graph = build_job_graph(plan);
      CHECK(graph.vertex_of == std::vector<std::uint32_t>{0, 1, 2, 2});
      CHECK(graph.exchange_edges == std::vector<std::uint32_t>{0, 1});
    }
  }
  GIVEN("one operator that feeds another twice") {
    const PlanDescription plan{{op("A"), op("B")}, {edge(0, 1), edge(0, 1)}};
    THEN("they are not chained") {
      CHECK(build_job_graph(plan).vertex_of == std::vector<std::uint32_t>{0, 1});
      CHECK(build_job_graph(plan).exchange_edges == std::vector<std::uint32_t>{0, 1});
    }
  }
  GIVEN("an operator with two forward outputs, one to a sink and one to a further operator") {
    const PlanDescription plan{{op("A"), op("B"), op("C"), op("D")},
                               {edge(0, 1), edge(0, 2), edge(2, 3, Partitioning::rebalance)}};
    THEN("both consumers join its task, in the order of the plan") {
      const JobGraph graph = build_job_graph(plan);
      CHECK(graph.vertex_of == std::vector<std::uint32_t>{0, 0, 0, 1});
      CHECK(graph.vertices[0].operators == std::vector<std::uint32_t>{0, 1, 2});
    }
  }
  GIVEN("tasks that interleave in the plan") {
    const PlanDescription plan{{op("A"), op("X"), op("B"), op("Y")},
                               {edge(0, 2), edge(1, 3), edge(2, 3, Partitioning::broadcast)}};
    THEN("producers still come before their consumers") {
      const JobGraph graph = build_job_graph(plan);
      for (const std::uint32_t i : graph.exchange_edges)
        CHECK(graph.vertex_of[plan.edges[i].producer] < graph.vertex_of[plan.edges[i].consumer]);
      CHECK(graph.vertex_of == std::vector<std::uint32_t>{0, 1, 0, 2});
    }
  }
}

SCENARIO("a plan that cannot run is refused with the operator and the mend", "[runtime]") {
  PlanDescription plan = word_count();
  GIVEN("two operators with one uid") {
    plan.operators[3].uid = "Count-uid";
    THEN("both are named") {
      CHECK(complaint(plan) ==
            "two operators have the uid 'Count-uid': 'Count' and 'Sink'; give each a uid(...) of "
            "its own");
    }
  }
  GIVEN("a parallelism above the maximum") {
    plan.operators[2].parallelism = plan.operators[3].parallelism = 65;
    THEN("both numbers are named") {
      CHECK(complaint(plan) ==
            "operator 'Count-uid' has the parallelism 65, above its maximum parallelism of 64; "
            "lower the parallelism or raise the maximum");
    }
  }
  GIVEN("a parallelism of 0") {
    plan.operators[1].parallelism = 0;
    THEN("it is refused") { CHECK_THAT(complaint(plan), Catch::Contains("has the parallelism 0")); }
    THEN("an operator without a uid of its own is named by its name, too") {
      plan.operators[1].uid = "generated-1";
      plan.operators[1].generated_uid = true;
      CHECK_THAT(complaint(plan), Catch::StartsWith("operator 'Split' (uid 'generated-1') has "));
    }
  }
  GIVEN("a maximum parallelism out of range") {
    plan.operators[1].max_parallelism = max_key_groups;
    CHECK(check_plan(plan));
    plan.operators[1].max_parallelism = max_key_groups + 1;
    THEN("it is refused") {
      CHECK_THAT(complaint(plan), Catch::Contains("32769; set one from 1 to 32768"));
      plan.operators[1].max_parallelism = 0;
      CHECK_THAT(complaint(plan), Catch::Contains("maximum parallelism 0"));
    }
  }
  GIVEN("a forward edge between unequal parallelisms") {
    plan.operators[1].parallelism = 3;
    THEN("both sides are named") {
      CHECK_THAT(complaint(plan),
                 Catch::StartsWith(
                     "the forward edge from operator 'Source-uid' with parallelism 2 to operator "
                     "'Split-uid' with parallelism 3"));
    }
  }
  GIVEN("an edge that points backwards, or at its own producer") {
    plan.edges[1] = edge(2, 1, Partitioning::hash);
    THEN("it is refused") {
      CHECK_THAT(complaint(plan), Catch::EndsWith("points backwards; a plan has no cycles"));
      plan.edges[1] = edge(2, 2, Partitioning::hash);
      CHECK_THAT(complaint(plan), Catch::EndsWith("points backwards; a plan has no cycles"));
    }
  }
  GIVEN("an edge to an operator that is not there") {
    plan.edges[2].consumer = 4;
    THEN("it is refused") { CHECK_THAT(complaint(plan), Catch::Contains("edge 2 of the plan")); }
  }
  GIVEN("an output directory whose place is not known") {
    plan.operators[3].output_directory = "/out";
    CHECK(check_plan(plan));
    plan.operators[3].output_directory = "out";
    THEN("operator and directory are named") {
      CHECK(complaint(plan) ==
            "operator 'Sink-uid' writes to 'out', which is not an absolute path; give it one");
    }
  }
  GIVEN("no operators") {
    THEN("it is refused") { CHECK_THAT(complaint({}), Catch::Contains("no operators")); }
  }
}

TEST_CASE("two plans have one hash only if they are equal", "[runtime]") {
  const std::uint64_t hash = plan_hash(word_count());
  CHECK(hash == plan_hash(word_count()));
  PlanDescription plan = word_count();
  plan.operators[2].name = "Counts";
  CHECK(plan_hash(plan) != hash);
  plan = word_count();
  plan.edges[1].partitioning = Partitioning::rebalance;
  CHECK(plan_hash(plan) != hash);
  plan = word_count();
  std::swap(plan.edges[0], plan.edges[2]);
  CHECK(plan_hash(plan) != hash);
}

}  // namespace weir
