#pragma once

#include <string_view>

// In the build of test/mutants/build.py alone: every mutant of mutants.toml is compiled in beside the line that it
// changes, and this decides between the two.
namespace weir::mutant {

/// Whether `name` is the mutant that the environment variable WEIR_MUTANT switches on. It is read once; a name that no
/// mutant has ends the process.
/// Threads: any.
[[nodiscard]] bool on(std::string_view name);

}  // namespace weir::mutant
