#include "cli/scenario_verb.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <sys/stat.h>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/filesystem.hpp>

#include "cli/compile.hpp"
#include "cli/process_files.hpp"
#include "cli/real_world.hpp"
#include "cli/scenario_jobs.hpp"
#include "cli/surroundings.hpp"
#include "cli/text.hpp"
#include "simulation/scenario/message_diagram.hpp"
#include "simulation/scenario/scenario_parser.hpp"
#include "simulation/scenario/scenario_runner.hpp"
#include "state/remove_tree.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"

namespace weir {
namespace {

namespace fs = boost::filesystem;

std::string absolute(const std::string& path) {
  return path.starts_with('/') ? path : current_directory() + "/" + path;
}

/// What the file or the words say wrongly, against what is missing or broken.
int exit_code_of(const Error& error) {
  return error.code == Errc::invalid_argument || error.code == Errc::unsupported
             ? usage_exit_code
             : failure_exit_code;
}

/// Replaces what is there. Errors: `io_error`.
Status write_report(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  const bool written =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int failure = errno;
  if (file != nullptr && std::fclose(file) == 0 && written) return {};
  return error(Errc::io_error,
               path + ": cannot be written: " + std::generic_category().message(failure));
}

/// The directories of the worlds of one command.
class WorldDirectories {
 public:
  explicit WorldDirectories(std::string base) : base_(std::move(base)) {}
  /// A new one, which is named after `scenario`. Errors: `already_exists`, `io_error`.
  Result<std::string> make(const Scenario& scenario) {
    const std::string stem = fs::path(scenario.path).stem().string();
    const std::size_t count = ++made_[stem];
    std::string path = base_ + "/" + stem + (count == 1 ? "" : "-" + std::to_string(count));
    if (::mkdir(path.c_str(), 0700) == 0) return path;
    return error(errno == EEXIST ? Errc::already_exists : Errc::io_error,
                 path + ": cannot be made: " + std::generic_category().message(errno) +
                     "; name an empty directory with --keep");
  }

 private:
  const std::string base_;
  std::map<std::string, std::size_t> made_;
};

/// The longest name of a socket leaves this much for the directory of a world.
constexpr std::size_t longest_directory = 60;

Result<std::string> keep_directory(FileSystem& files, const std::string& word) {
  const std::string path = absolute(word);
  WEIR_TRY(files.create_directories(path));
  if (path.size() > longest_directory)
    return error(Errc::invalid_argument,
                 "--keep " + word + ": the path is longer than " +
                     std::to_string(longest_directory) +
                     " bytes, too long for the sockets below it; name a shorter one");
  return path;
}

/// Runs all scenarios; `directory` is this command's.
int run_all(const ScenarioRunCommand& command, FileSystem& files,
            const std::vector<Scenario>& scenarios, const std::string& directory,
            const std::string& kept, const MakeSimulatedWorld& simulated) {
  const std::string jobs = directory + "/jobs";
  if (::mkdir(jobs.c_str(), 0700) != 0)
    return report({Errc::io_error, jobs + ": " + std::generic_category().message(errno)},
                  failure_exit_code);
  std::vector<std::string> job_directories;
  for (const std::string& word : command.job_directories) job_directories.push_back(absolute(word));
  ScenarioJobs libraries(files, std::move(job_directories), jobs);
  WorldDirectories worlds(kept.empty() ? directory : kept);
  std::vector<ScenarioReport> reports;
  int exit_code = success_exit_code;
  for (const Scenario& scenario : scenarios) {
    const auto library = libraries.library_of(scenario);
    if (!library) {
      exit_code = std::max(exit_code, report(library.error(), failure_exit_code));
      continue;
    }
    const auto make_world = [&](const Scenario& one) -> Result<std::unique_ptr<ScenarioWorld>> {
      if (command.simulate) return simulated(one, *library, command.seed.value_or(1));
      WEIR_TRY_ASSIGN(path, worlds.make(one));
      return make_real_world(one,
                             {fs::read_symlink("/proc/self/exe").string(), *library, path,
                              kept.empty() ? "run it with --keep DIRECTORY to look at its files"
                                           : "its files are in " + path});
    };
    auto ran = ScenarioRunner(scenario, make_world).run();
    if (!ran) {
      exit_code = std::max(exit_code, report(ran.error(), exit_code_of(ran.error())));
      continue;
    }
    // What scenarios say may come from anybody.
    std::string line;
    for (const char c : to_text(*ran)) {
      if (c != '\n') {
        line += c;
        continue;
      }
      std::printf("%s\n", printable(line).c_str());
      line.clear();
    }
    std::fflush(stdout);
    if (!ran->passed()) exit_code = std::max(exit_code, failure_exit_code);
    if (command.diagram)
      if (const Status written = write_report(*command.diagram, draw_messages(*ran)); !written)
        exit_code = std::max(exit_code, report(written.error(), failure_exit_code));
    ran->messages.clear();
    reports.push_back(std::move(*ran));
  }
  if (command.junit)
    if (const Status written = write_report(*command.junit, to_junit(reports)); !written)
      exit_code = std::max(exit_code, report(written.error(), failure_exit_code));
  return exit_code;
}

/// A library of the examples beside the running command, as in a build directory; else the bare name.
std::string example_library(FileSystem& files, const std::string& name) {
  const std::string path = running_library_directory() + "/examples/" + name;
  const auto entry = files.stat(path);
  return entry && !entry->is_directory ? path : name;
}

constexpr const char* scenario_template =
    R"(# A scenario: a job, what is done to it, and what must be so in the end.
# Run it with `weir scenario run FILE`. What may stand here is in docs/scenarios.md;
# editors complete it with the schema in docs/scenario.schema.json.

scenario: words are counted once, although the process was killed
description: >
  A savepoint is written while words are counted. Then the process is killed, and the job goes on
  from the savepoint with another parallelism, to the end of its input.

cluster:
  configuration:                    # keys and values as in weir.yaml
    state.backend: filesystem       # memory, filesystem or rocksdb

job:
  # Beside this file, below a directory of --jobs, or absolute. A `source:` is compiled first.
  library: @LIBRARY@
  # ${work} is a directory of this run alone, ${output} is where `output` looks for committed files,
  # ${scenario} is the directory of this file.
  arguments: --input ${work}/words.txt --output ${output} --rate 2000
  parallelism: 2

files:                              # made below ${work} before the first step
  words.txt:
    lines:
      - to be or not to be
      - that is the question
    repeat: 1000

steps:                              # done one after the other
  - run                             # until every task runs
  - wait: {records: 400, by: words} # taken in by the operator with this uid
  - savepoint: halfway              # a name for it
  - kill: job manager               # kill -9; real processes are one, with everything in it
  - restore: {from: halfway, parallelism: 3}
  - wait: finished                  # the job's state; also: {records: N}, {output: N}, {checkpoints: N}

expect:
  - output: exactly_once            # the lines of the same job when nothing happens to it
  - job: finished
  - state:                          # of an operator, as the savepoint has it
      in: halfway
      operator: count
      name: count
      keys: 8
  - messages:                       # in this order, with any others between them
      of: halfway
      in_order:
        - client -> JobManager: TriggerSavepoint
        - JobManager -> CheckpointCoordinator: TriggerSavepoint
        - CheckpointCoordinator -> TaskManager: TriggerCheckpoint
        - TaskManager -> Task: TriggerCheckpoint
        - Task -> JobManager: AcknowledgeCheckpoint
        - CheckpointCoordinator -> TaskManager: NotifyCheckpointComplete
        - JobManager -> client: TriggerSavepointSuccess
  - not: {output: empty}            # the opposite of any expectation
)";

}  // namespace

MakeSimulatedWorld simulated_world_factory() { return {}; }

int run_scenarios(const ScenarioRunCommand& command) {
  const MakeSimulatedWorld simulated = simulated_world_factory();
  if (command.simulate && !simulated)
    return report({Errc::unsupported,
                   "--simulate: this version plays scenarios with real processes alone; leave "
                   "--simulate and --seed out"},
                  usage_exit_code);
  PosixFileSystem files;
  // All files are read before anything is done.
  std::vector<Scenario> scenarios;
  int exit_code = success_exit_code;
  for (const std::string& path : command.files) {
    auto scenario = read_scenario(files, path, current_directory());
    if (scenario)
      scenarios.push_back(std::move(*scenario));
    else
      exit_code = std::max(exit_code, report(scenario.error()));
  }
  if (exit_code != success_exit_code) return exit_code;

  std::string kept;
  if (command.keep) {
    auto directory = keep_directory(files, *command.keep);
    if (!directory) return report(directory.error());
    kept = std::move(*directory);
  }
  SystemRandom random;
  const auto temporary =
      TemporaryDirectory::make(files, environment_variable("TMPDIR").value_or("/tmp"), random);
  if (!temporary) return report(temporary.error(), failure_exit_code);
  exit_code = run_all(command, files, scenarios, temporary->path(), kept, simulated);
  temporary->remove();
  return exit_code;
}

int write_scenario(const ScenarioNewCommand& command) {
  PosixFileSystem files;
  std::string text = scenario_template;
  const std::string mark = "@LIBRARY@";
  text.replace(text.find(mark), mark.size(), example_library(files, "word_count.so"));
  if (command.file.empty()) {
    if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return success_exit_code;
    return report({Errc::io_error, "cannot write to standard output"}, failure_exit_code);
  }
  const std::string path = absolute(command.file);
  const auto write = [&]() -> Status {
    WEIR_TRY_ASSIGN(file, files.create(path));
    WEIR_TRY(file->append(text));
    return file->close();
  };
  const Status written = write();
  if (written) return success_exit_code;
  if (written.error().code == Errc::already_exists)
    return report(
        {Errc::already_exists,
         command.file +
             ": is there already, and a new scenario replaces nothing; name another file"},
        failure_exit_code);
  return report(written.error(), failure_exit_code);
}

}  // namespace weir
