#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/simulation/seeded_run.hpp"

namespace weir::test {

/// Code that is wrong in one place, and what is wrong, as it is called in docs/simulation.md.
struct Mutant {
  std::string what;
  SeededRunCode code;
  std::uint64_t noticed_by =
      1;  ///< a seed that breaks a promise, or where to begin looking for one
};
/// All that the promises of a seeded run must notice.
[[nodiscard]] std::vector<Mutant> mutants();

}  // namespace weir::test
