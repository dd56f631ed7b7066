#include "test/simulation/mutants.hpp"

#include <cstdlib>
#include <iostream>
#include <string>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

/// So many seeds are tried until one breaks a promise.
constexpr std::uint64_t seeds_max = 2000;

TEST_CASE("the promises of seeded runs notice code that is wrong in one place", "[simulation]") {
  for (const Mutant& mutant : mutants()) {
    std::uint64_t seed = 0;
    std::string violation;
    while (violation.empty() && seed < seeds_max)
      if (const SeededRunReport report = run_seed(++seed, mutant.code); !report.violations.empty())
        violation = report.violations.front();
    std::cout << mutant.what << ": seed " << seed << ": " << violation.substr(0, 200) << std::endl;
    INFO(mutant.what);
    CHECK_FALSE(violation.empty());
  }
}

}  // namespace
}  // namespace weir::test
