#include "test/simulation/seeded_run.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include "test/simulation/mutants.hpp"

namespace weir::test {
namespace {

constexpr std::uint64_t seeds = sanitized ? 40 : 200;
constexpr std::uint64_t traced_seeds = sanitized ? 3 : 10;
/// So often each thing that seeds are to try has happened in them.
constexpr std::uint64_t least_of_each = sanitized ? 2 : 20;

std::string told(std::uint64_t seed, const SeededRunReport& report) {
  std::string text = "seed " + std::to_string(seed) + ": " + report.story + "\n";
  for (const std::string& violation : report.violations) text += "violated: " + violation + "\n";
  for (const std::string& line : report.last_lines) text += "  " + line + "\n";
  const char* const backend = std::getenv("WEIR_BACKEND");
  return text +
         "replay: " + (backend != nullptr ? "WEIR_BACKEND=" + std::string(backend) + " " : "") +
         "WEIR_SEED=" + std::to_string(seed) +
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
  // What the seeds are to try has happened. One in four has databases.
  const auto happened = [&](const char* what, std::uint64_t least) {
    INFO(what);
    CHECK(counts[what] >= least);
  };
  for (const char* what :
       {"crash of a TaskManager", "crash of the JobManager", "crash of the host",
        "crash between two file operations", "user function throws", "the disk fails",
        "savepoint completed", "ended with a savepoint", "continued from the latest snapshot",
        "restored under a new id", "claimed a checkpoint", "cancelled", "restarts",
        "jobs of one stream", "jobs of two streams", "jobs with rules", "jobs with operator state"})
    happened(what, least_of_each);
  for (const char* what :
       {"jobs on databases", "goes on with another backend", "merges", "local files refused",
        "segments evicted", "entries loaded", "entries loaded together with others", "runs begun"})
    happened(what, least_of_each / 2);
}

/// Lets all seeds begin with the backend that WEIR_BACKEND names, if it is set.
SeededRunCode chosen_code() {
  SeededRunCode code;
  if (const char* const backend = std::getenv("WEIR_BACKEND"); backend != nullptr)
    code.configuration["state.backend"] = backend;
  return code;
}

/// The hashes of some seeds, one a line: with whatever backend they draw, then on databases.
std::string traces() {
  SeededRunCode on_databases;
  on_databases.configuration["state.backend"] = "rocksdb";
  std::string lines;
  for (std::uint64_t seed = 1; seed <= traced_seeds; ++seed)
    lines += "trace " + std::to_string(run_seed(seed).trace_hash) + " " +
             std::to_string(run_seed(seed, on_databases).trace_hash) + "\n";
  return lines;
}

TEST_CASE("a seed always gives the same trace, in any process", "[simulation]") {
  const std::string here = traces();
  CHECK(here == traces());
  // Another process has other addresses, and RocksDB draws other numbers there.
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  std::FILE* const other = ::popen(("'" + self + "' 'the traces of some seeds'").c_str(), "r");
  REQUIRE(other != nullptr);
  std::string there;
  for (char line[256]; std::fgets(line, sizeof line, other) != nullptr;)
    if (std::string_view(line).starts_with("trace ")) there += line;
  CHECK(::pclose(other) == 0);
  CHECK(here == there);
}

TEST_CASE("the traces of some seeds", "[.][simulation]") { std::cout << traces() << std::flush; }

/// For long searches: `WEIR_SEEDS=1000-2000`.
TEST_CASE("the seeds from the first to the second number in WEIR_SEEDS", "[.][simulation]") {
  const char* const range = std::getenv("WEIR_SEEDS");
  REQUIRE(range != nullptr);
  char* end = nullptr;
  std::uint64_t seed = std::strtoull(range, &end, 10);
  REQUIRE(*end == '-');
  for (const std::uint64_t last = std::strtoull(end + 1, nullptr, 10); seed <= last; ++seed) {
    const SeededRunReport report = run_seed(seed, chosen_code());
    if (!report.violations.empty()) std::cout << told(seed, report) << std::endl;
    CHECK(report.violations.empty());
  }
}

TEST_CASE("one seed, named by WEIR_SEED", "[.][simulation]") {
  const char* const seed = std::getenv("WEIR_SEED");
  REQUIRE(seed != nullptr);
  // With the code of a mutant, if WEIR_MUTANT says what is wrong with it.
  SeededRunCode code = chosen_code();
  if (const char* const what = std::getenv("WEIR_MUTANT"); what != nullptr) {
    const auto all = mutants();
    const auto found = std::ranges::find(all, what, &Mutant::what);
    REQUIRE(found != all.end());
    code = found->code;
  }
  const SeededRunReport report = run_seed(std::strtoull(seed, nullptr, 10), code);
  std::cout << told(std::strtoull(seed, nullptr, 10), report) << "\n"
            << "trace " << report.trace_hash << "\n";
  for (const auto& [what, count] : report.counts) std::cout << count << " x " << what << "\n";
  CHECK(report.violations.empty());
}

}  // namespace
}  // namespace weir::test
