#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/configuration.hpp"
#include "state/result.hpp"

namespace weir {

/// What every verb that talks to a job understands.
struct CommonOptions {
  std::optional<std::string> configuration_file;  ///< `--config`
  Configuration settings;                         ///< of `-D`, and of options that stand for a key
  bool json = false;
};

/// `weir run`
struct RunCommand {
  CommonOptions common;
  std::optional<std::string> restore;  ///< `-s`: `latest` or the path of a snapshot
  bool claim = false;  ///< `--claimMode CLAIM`: the checkpoint becomes the job's own
  bool allow_non_restored_state = false;
  bool detached = false;
  bool verbose = false;
  std::optional<std::string> trace_file;
  std::string library;                 ///< empty in a program with a job of its own
  std::vector<std::string> arguments;  ///< the job's
};
/// `weir list`
struct ListCommand {
  CommonOptions common;
};
/// `weir info JOB`. A job is named by its id, or by how its id begins.
struct InfoCommand {
  CommonOptions common;
  std::string job;
};
/// `weir savepoint JOB [DIR]`
struct SavepointCommand {
  CommonOptions common;
  std::string job;
  std::string target;                           ///< as written; empty: the configured directory
  SnapshotForm form = SnapshotForm::canonical;  ///< `--type`, here and below
};
/// `weir savepoint -d PATH`
struct DisposeCommand {
  CommonOptions common;
  std::string path;
};
/// `weir cancel [-s [DIR]] JOB`
struct CancelCommand {
  CommonOptions common;
  std::string job;
  bool with_savepoint = false;
  std::string target;
  SnapshotForm form = SnapshotForm::canonical;
};
/// `weir stop [--drain] JOB`
struct StopCommand {
  CommonOptions common;
  std::string job;
  bool drain = false;
  std::string target;
  SnapshotForm form = SnapshotForm::canonical;
};
/// `weir checkpoint JOB`
struct CheckpointCommand {
  CommonOptions common;
  std::string job;
};
/// `weir compile SOURCE -o OUTPUT`
struct CompileCommand {
  std::vector<std::string> sources;
  std::string output;              ///< empty: the first source's name with `.so`
  std::vector<std::string> flags;  ///< for the compiler, from behind `--`
  bool verbose = false;
};
/// `weir scenario run FILE...`
struct ScenarioRunCommand {
  std::vector<std::string> files;
  bool simulate = false;  ///< else real processes
  std::optional<std::uint64_t> seed;
  std::optional<std::string> junit;
  std::optional<std::string> diagram;
  std::vector<std::string> job_directories;  ///< where libraries are looked for first
  std::optional<std::string> keep;           ///< where the files of the runs stay
};
/// `weir scenario new [FILE]`
struct ScenarioNewCommand {
  std::string file;  ///< empty: standard output
};
/// `weir completion SHELL`
struct CompletionCommand {
  std::string shell;
};
/// `--help` and `--version`
struct PrintCommand {
  std::string text;
};

using Command = std::variant<RunCommand, ListCommand, InfoCommand, SavepointCommand, DisposeCommand,
                             CancelCommand, StopCommand, CheckpointCommand, ScenarioRunCommand,
                             ScenarioNewCommand, CompileCommand, CompletionCommand, PrintCommand>;

/// Reads the words behind `weir`. Opens nothing. A word that begins with a dash is an option and never the
/// value of the one before it; such a value is written behind `=`.
/// Errors: `invalid_argument`, one sentence that names what is nearest to a word that is not known.
[[nodiscard]] Result<Command> parse_command_line(std::span<const std::string> words);

/// Reads the words behind the name of a program with one job in it: options of `weir run`, then `--`
/// and the job's arguments. The result holds a `RunCommand` or a `PrintCommand`.
[[nodiscard]] Result<Command> parse_program_line(const std::string& program,
                                                 std::span<const std::string> words);

/// One option, for shell completion.
struct OptionName {
  std::string short_name;  ///< without dash; may be empty
  std::string long_name;   ///< without dashes; may be empty
  std::string description;
  bool takes_value = false;
};
/// One verb, for shell completion.
struct VerbDescription {
  std::string name;
  std::string description;
  bool names_job = false;   ///< its word is a job id
  bool names_file = false;  ///< its word is a file
  std::vector<OptionName> options;
};
/// All verbs in the order of `weir --help`.
[[nodiscard]] std::vector<VerbDescription> describe_verbs();

/// `weir 0.1.0`
[[nodiscard]] std::string version_text();

}  // namespace weir
