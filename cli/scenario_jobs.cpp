#include "cli/scenario_jobs.hpp"

#include "cli/compile.hpp"

namespace weir {

Result<std::string> ScenarioJobs::library_of(const Scenario& scenario) {
  const ScenarioJob& job = scenario.job;
  const std::string place = to_string(scenario, job.place) + ": ";
  std::vector<std::string> candidates;
  if (job.path.starts_with('/')) {
    candidates.push_back(job.path);
  } else {
    if (!job.is_source)
      for (const std::string& directory : directories_)
        candidates.push_back(directory + "/" + job.path);
    candidates.push_back(scenario.directory + "/" + job.path);
  }
  std::string looked_for;
  for (const std::string& candidate : candidates) {
    looked_for += (looked_for.empty() ? "" : ", ") + candidate;
    if (const auto entry = files_.stat(candidate); !entry || entry->is_directory) continue;
    if (!job.is_source) return candidate;
    auto library = compile(candidate);
    if (!library) return error(library.error().code, place + library.error().what);
    return library;
  }
  return error(
      Errc::not_found,
      place + "there is no " + (job.is_source ? "source" : "job library") + " '" + job.path +
          "' (looked for " + looked_for + ")" +
          (job.is_source ? "" : "; build it with `weir compile`, or say with --jobs where it is"));
}

Result<std::string> ScenarioJobs::compile(const std::string& source) {
  const auto known = compiled_.find(source);
  if (known != compiled_.end()) return known->second;
  CompileCommand command;
  command.sources = {source};
  command.output = output_directory_ + "/" + std::to_string(compiled_.size()) + ".so";
  WEIR_TRY_ASSIGN(done, compile_job(command));
  if (!done)
    return error(Errc::user_function_failed,
                 source + " does not compile; the compiler's messages are above");
  compiled_[source] = command.output;
  return command.output;
}

}  // namespace weir
