#include "cli/program.hpp"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "api/job_descriptor.hpp"
#include "cli/command_line.hpp"
#include "cli/compile.hpp"
#include "cli/completion.hpp"
#include "cli/run.hpp"
#include "cli/scenario_verb.hpp"
#include "cli/signals.hpp"
#include "cli/simulate.hpp"
#include "cli/surroundings.hpp"
#include "cli/verbs.hpp"

namespace weir {
namespace {

int print(const std::string& text) {
  const bool printed = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (printed) return success_exit_code;
  return report({Errc::io_error, "cannot write to standard output"}, failure_exit_code);
}

int compile(const CompileCommand& command) {
  const auto compiled = compile_job(command);
  if (!compiled) return report(compiled.error(), failure_exit_code);
  if (!*compiled)
    return report(
        {Errc::user_function_failed,
         command.sources.front() + ": does not compile; the compiler's messages are above"},
        failure_exit_code);
  return success_exit_code;
}

/// One overload for each command.
struct Runner {
  const JobDescriptor* linked = nullptr;
  int operator()(const RunCommand& command) const { return run_job(command, linked); }
  int operator()(const CompileCommand& command) const {
    end_on_signals();
    return compile(command);
  }
  int operator()(const ScenarioRunCommand& command) const {
    end_on_signals();
    return run_scenarios(command);
  }
  int operator()(const ScenarioNewCommand& command) const { return write_scenario(command); }
  int operator()(const SimulateCommand& command) const { return simulate_job(command); }
  int operator()(const CompletionCommand& command) const {
    return print(completion_script(command.shell));
  }
  int operator()(const PrintCommand& command) const { return print(command.text); }
  template <class Verb>
  int operator()(const Verb& command) const {
    end_on_signals();
    return run_verb(command);
  }
};

std::vector<std::string> words_of(int argc, char** argv) {
  return argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : std::vector<std::string>();
}

}  // namespace

int run_program(int argc, char** argv) {
  const auto command = parse_command_line(words_of(argc, argv));
  if (!command) return report(command.error(), usage_exit_code);
  return std::visit(Runner{}, *command);
}

int run_job_program(int argc, char** argv, const JobDescriptor& job) {
  const std::string program = argc > 0 ? argv[0] : "this program";
  if (const Status fits = check_descriptor(job, program); !fits)
    return report(fits.error(), failure_exit_code);
  const auto command =
      parse_program_line(program.substr(program.find_last_of('/') + 1), words_of(argc, argv));
  if (!command) return report(command.error(), usage_exit_code);
  return std::visit(Runner{&job}, *command);
}

}  // namespace weir
