#include "simulation/fault_plan.hpp"

#include <set>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

std::string refusal(const std::string& text) {
  const auto plan = parse_fault_plan(text, "plan.yaml");
  REQUIRE_FALSE(plan);
  CHECK(plan.error().code == Errc::invalid_argument);
  return plan.error().what;
}

}  // namespace

TEST_CASE("a fault plan has the classes that it names, and no others", "[simulation]") {
  const auto plan = parse_fault_plan(
      "disturbances: 4\nfaults:\n  crash-host: 1\n  drop-message: 0.25\n  rescale: 0\n", "p");
  REQUIRE(plan);
  CHECK(plan->disturbances == 4);
  CHECK(plan->of(FaultClass::crash_host) == 1);
  CHECK(plan->of(FaultClass::drop_message) == 0.25);
  for (std::size_t i = 0; i < fault_classes; ++i) {
    const auto fault = static_cast<FaultClass>(i);
    if (fault != FaultClass::crash_host && fault != FaultClass::drop_message)
      CHECK(plan->of(fault) == 0);
  }
  CHECK_FALSE(plan->is_empty());
}

TEST_CASE("every class of faults can be named in a plan, by the name that reports give it",
          "[simulation]") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < fault_classes; ++i) {
    const auto fault = static_cast<FaultClass>(i);
    names.insert(to_string(fault));
    const auto plan = parse_fault_plan("faults: {" + std::string(to_string(fault)) + ": 0.5}", "p");
    REQUIRE(plan);
    CHECK(plan->of(fault) == 0.5);
    CHECK(FaultPlan::everything().of(fault) == 0.5);
  }
  CHECK(names.size() == fault_classes);
}

TEST_CASE("a plan with nothing in it lets nothing happen", "[simulation]") {
  CHECK(FaultPlan::nothing().is_empty());
  CHECK_FALSE(FaultPlan::everything().is_empty());
  for (const char* text :
       {"faults: {}", "faults: {crash-host: 0}", "{disturbances: 0, faults: {crash-host: 1}}"}) {
    const auto plan = parse_fault_plan(text, "p");
    REQUIRE(plan);
    CHECK(plan->is_empty());
  }
}

TEST_CASE("what is wrong in a fault plan is told with its line and column", "[simulation]") {
  const auto head = [](const std::string& line) { return "faults:\n  " + line + "\n"; };
  struct Wrong {
    std::string text;
    std::string sentence;
  };
  const std::vector<Wrong> all{
      {head("crash-host: 1.5"), "plan.yaml:2:15: crash-host: a probability is from 0 to 1"},
      {head("crash-host: -0.1"), "plan.yaml:2:15: crash-host: a probability is from 0 to 1"},
      {head("crash-host: .inf"), "plan.yaml:2:15: crash-host: a probability is from 0 to 1"},
      {head("crash-host: .nan"), "plan.yaml:2:15: crash-host: is a number"},
      {head("crash-host: often"), "plan.yaml:2:15: crash-host: is a number"},
      {head("crash-host: [1]"), "plan.yaml:2:15: crash-host: is a number"},
      {head("crash-host:"), "plan.yaml:2:3: crash-host: is a number"},
      {head("crash-hosts: 1"),
       "plan.yaml:2:3: 'crash-hosts' is no class of faults; did you mean 'crash-host'?"},
      {head("earthquake: 1"),
       "plan.yaml:2:3: 'earthquake' is no class of faults; docs/simulation.md lists them"},
      {head("[a]: 1"), "plan.yaml:2:3: a class of faults is a word"},
      {head("crash-host: 1\n  pause: 1\n  crash-host: 0.5"),
       "plan.yaml:4:3: 'crash-host' stands here twice"},
      {"faults: [crash-host]\n",
       "plan.yaml:1:9: faults: is a map of classes of faults to probabilities"},
      {"faults: {}\nfaults: {pause: 1}\n", "plan.yaml:2:1: 'faults' stands here twice"},
      {"disturbances: 1\nfaults: {}\ndisturbances: 2\n",
       "plan.yaml:3:1: 'disturbances' stands here twice"},
      {"disturbance: 3\nfaults: {}\n",
       "plan.yaml:1:1: 'disturbance' is no part of a fault plan; did you mean 'disturbances'?"},
      {"colour: 3\nfaults: {}\n",
       "plan.yaml:1:1: 'colour' is no part of a fault plan; it has `disturbances` and `faults`"},
      {"disturbances: 2.5\nfaults: {}\n",
       "plan.yaml:1:15: disturbances: is a whole number from 0 to 10000"},
      {"disturbances: 10001\nfaults: {}\n",
       "plan.yaml:1:15: disturbances: is a whole number from 0 to 10000"},
      {"disturbances: -1\nfaults: {}\n",
       "plan.yaml:1:15: disturbances: is a whole number from 0 to 10000"},
      {"disturbances: many\nfaults: {}\n", "plan.yaml:1:15: disturbances: is a number"},
      {"disturbances: 5\n", "plan.yaml:1:1: a fault plan names its `faults`"},
      {"- crash-host\n", "plan.yaml:1:1: a fault plan is a map of `disturbances` and `faults`"},
      {"crash-host\n", "plan.yaml:1:1: a fault plan is a map of `disturbances` and `faults`"},
      {"", "plan.yaml:1:1: a fault plan is a map of `disturbances` and `faults`"},
      {"# nothing\n", "plan.yaml:1:1: a fault plan is a map of `disturbances` and `faults`"},
  };
  for (const Wrong& one : all) {
    INFO(one.text);
    CHECK(refusal(one.text) == one.sentence);
  }
}

TEST_CASE("a fault plan that is no YAML is refused where it ceases to be", "[simulation]") {
  CHECK_THAT(refusal("faults: {crash-host: 1\npause: [\n"), StartsWith("plan.yaml:"));
  CHECK_THAT(refusal("faults:\n\tcrash-host: 1\n"), StartsWith("plan.yaml:2:"));
  CHECK_THAT(refusal("faults: *nobody\n"), StartsWith("plan.yaml:1:"));
}

TEST_CASE("a fault plan that is too long or too deep is refused", "[simulation]") {
  CHECK_THAT(refusal(std::string(64 * 1024 + 1, '#')),
             Contains("is longer than the 64 KiB that a fault plan may have"));
  CHECK(parse_fault_plan("faults: {}\n" + std::string(64 * 1024 - 11, '#'), "p"));
  for (const char* open : {"[", "{", "- ", "{a: ", "? "}) {
    std::string deep = "faults: ";
    if (*open == '-' || *open == '?') deep.clear();
    while (deep.size() < 60'000) deep += open;
    CHECK_THAT(refusal(deep), StartsWith("plan.yaml:"));
  }
}

}  // namespace weir::test
