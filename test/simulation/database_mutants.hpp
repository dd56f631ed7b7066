#pragma once

#include <vector>

#include "test/simulation/mutants.hpp"

namespace weir::test {

/// Code between a backend and its database that is wrong in one place. All begin on databases.
[[nodiscard]] std::vector<Mutant> database_mutants();

}  // namespace weir::test
