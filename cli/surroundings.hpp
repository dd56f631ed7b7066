#pragma once

#include <optional>
#include <string>

#include "cli/command_line.hpp"
#include "runtime/configuration.hpp"
#include "state/file_system.hpp"

namespace weir {

/// Exit codes, with `interrupted_exit_code` of cli/signals.hpp.
inline constexpr int success_exit_code = 0;
inline constexpr int failure_exit_code = 1;  ///< a job failed, or something is found outside
inline constexpr int usage_exit_code = 2;    ///< a word or a setting is wrong

/// Prints `weir: what` on stderr, as one line, and returns `exit_code`.
int report(const Error& error, int exit_code);
/// With the exit code of the error's kind: 2 for a wrong value, else 1.
int report(const Error& error);
/// The same for a command whose answer is this error: with `--json` it is on stdout as well,
/// as `{"error":"what"}`.
int answer_with(const Error& error, int exit_code, const CommonOptions& common);
int answer_with(const Error& error, const CommonOptions& common);
/// Prints `weir: warning: what` on stderr, as one line.
void warn(const std::string& what);
/// Prints `weir: what` on stderr.
void tell(const std::string& what);

/// `$name`; none if it is not set or empty.
[[nodiscard]] std::optional<std::string> environment_variable(const char* name);
/// Absolute.
[[nodiscard]] std::string current_directory();

/// What the configuration file says.
[[nodiscard]] Result<Configuration> load_settings_file(FileSystem& files,
                                                       const CommonOptions& common);
/// Makes the directories of `configuration` absolute.
[[nodiscard]] Status resolve_settings(Configuration& configuration);
/// What the configuration file says, and the command line over it; absolute and checked.
[[nodiscard]] Result<Configuration> load_settings(FileSystem& files, const CommonOptions& common);

/// The directory of temporary files: `io.tmp.dirs`, else `$TMPDIR`, else `/tmp`.
[[nodiscard]] std::string temporary_base(const Configuration& configuration);

}  // namespace weir
