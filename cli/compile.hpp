#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command_line.hpp"
#include "state/result.hpp"

namespace weir {

/// Where the headers and the library of this Weir lie.
struct Installation {
  std::string include_directory;  ///< holds `api/weir/weir.hpp`
  std::string library_directory;  ///< holds `libweir.so`
};

/// Finds the installation that the running command belongs to: `home` (`$WEIR_HOME`) if it is given, a
/// source tree with its `build` or an installation's prefix; else from where the running library lies, in
/// a build directory or below a prefix. The headers are always the copies that were made when the library
/// was built, never those of the source tree.
/// Errors: `not_found` with what was looked for.
[[nodiscard]] Result<Installation> find_installation(const std::optional<std::string>& home,
                                                     const std::string& library_directory);
/// The directory of the running `libweir.so`.
[[nodiscard]] std::string running_library_directory();

/// The words of the compiler's command: a library if the output's name ends in `.so`, else a program.
/// Flags of the user stand last and win.
[[nodiscard]] std::vector<std::string> compiler_command(const std::string& compiler,
                                                        const Installation& installation,
                                                        const CompileCommand& command);

/// Runs the compiler (`$CXX`, else `g++`), whose messages go to stderr; it ends with this process if a
/// signal ends that (`end_on_signals`). Returns whether it succeeded.
/// Errors: `not_found` if there is no such compiler or source.
[[nodiscard]] Result<bool> compile_job(const CompileCommand& command);

}  // namespace weir
