#include "test/simulation/seeded_run.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include "test/simulation/mutants.hpp"

namespace weir::test {
namespace {

constexpr std::uint64_t seeds = sanitized ? 40 : 200;
/// So often each thing that seeds are to try has happened in them.
constexpr std::uint64_t least_of_each = sanitized ? 2 : 20;

std::string told(std::uint64_t seed, const SeededRunReport& report) {
  std::string text = "seed " + std::to_string(seed) + ": " + report.story + "\n";
  for (const std::string& violation : report.violations) text += "violated: " + violation + "\n";
  for (const std::string& line : report.last_lines) text += "  " + line + "\n";
  return text + "replay: WEIR_SEED=" + std::to_string(seed) +
         " build/test/simulation/seeded_run_test \"one seed*\"";
}

TEST_CASE("200 seeds keep every promise", "[simulation]") {
  std::map<std::string, std::uint64_t> counts;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const SeededRunReport report = run_seed(seed);
    for (const auto& [what, count] : report.counts) counts[what] += count;
    INFO(told(seed, report));
    CHECK(report.violations.empty());
  }
  // What the seeds are to try has happened.
  for (const char* what :
       {"crash of a TaskManager", "crash of the JobManager", "crash of the host",
        "crash between two file operations", "user function throws", "the disk fails",
        "savepoint completed", "ended with a savepoint", "continued from the latest snapshot",
        "restored under a new id", "claimed a checkpoint", "cancelled", "restarts",
        "jobs of one stream", "jobs of two streams", "jobs with rules", "jobs with operator state",
        "jobs in several TaskManagers"}) {
    INFO(what);
    CHECK(counts[what] >= least_of_each);
  }
}

TEST_CASE("a seed always gives the same trace", "[simulation]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO(seed);
    CHECK(run_seed(seed).trace_hash == run_seed(seed).trace_hash);
  }
}

/// For long searches: `WEIR_SEEDS=1000-2000`.
TEST_CASE("the seeds from the first to the second number in WEIR_SEEDS", "[.][simulation]") {
  const char* const range = std::getenv("WEIR_SEEDS");
  REQUIRE(range != nullptr);
  char* end = nullptr;
  std::uint64_t seed = std::strtoull(range, &end, 10);
  REQUIRE(*end == '-');
  for (const std::uint64_t last = std::strtoull(end + 1, nullptr, 10); seed <= last; ++seed) {
    const SeededRunReport report = run_seed(seed);
    if (!report.violations.empty()) std::cout << told(seed, report) << std::endl;
    CHECK(report.violations.empty());
  }
}

TEST_CASE("one seed, named by WEIR_SEED", "[.][simulation]") {
  const char* const seed = std::getenv("WEIR_SEED");
  REQUIRE(seed != nullptr);
  // With the code of a mutant, if WEIR_MUTANT says what is wrong with it.
  SeededRunCode code;
  if (const char* const what = std::getenv("WEIR_MUTANT"); what != nullptr) {
    const auto all = mutants();
    const auto found = std::ranges::find(all, what, &Mutant::what);
    REQUIRE(found != all.end());
    code = found->code;
  }
  const SeededRunReport report = run_seed(std::strtoull(seed, nullptr, 10), code);
  std::cout << told(std::strtoull(seed, nullptr, 10), report) << "\n";
  for (const auto& [what, count] : report.counts) std::cout << count << " x " << what << "\n";
  CHECK(report.violations.empty());
}

}  // namespace
}  // namespace weir::test
