#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "test/simulation/passing_backend.hpp"
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

/// Keyed state that is a `KeyedState` around the real one, made with `arguments`.
template <class KeyedState, class... Arguments>
SeededRunCode with_keyed_state(Arguments... arguments) {
  SeededRunCode code;
  code.backend = [=](std::shared_ptr<StateBackend> inner) {
    return std::make_shared<PassingBackend>(
        std::move(inner), [=](std::shared_ptr<KeyedStateBackend> keyed) {
          return std::make_unique<KeyedState>(std::move(keyed), arguments...);
        });
  };
  return code;
}

}  // namespace weir::test
