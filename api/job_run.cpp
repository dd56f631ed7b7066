#include "api/job_run.hpp"

#include <utility>

#include "runtime/crash_reporter.hpp"
#include "state/thrown.hpp"

namespace weir {
namespace {

std::unexpected<JobRunError> fail(Error error, bool in_arguments = false) {
  return std::unexpected(JobRunError{std::move(error), in_arguments});
}

}  // namespace

std::expected<JobRun, JobRunError> run_job_function(const JobDescriptor& job,
                                                    const JobRunSettings& settings) {
  const ExecutionConfig& execution = settings.configuration.execution();
  StreamEnvironment env(settings.arguments, execution.parallelism, settings.working_directory);
  if (execution.max_parallelism) env.set_max_parallelism(*execution.max_parallelism);
  if (settings.most_generated) env.limit_generators(*settings.most_generated);
  const auto threw = [&](const std::string& what) {
    // A function that goes on with what a missing argument left it is not the one to blame.
    if (const Status arguments_fit = env.check_arguments(); !arguments_fit)
      return fail(arguments_fit.error(), true);
    return fail({Errc::user_function_failed,
                 "the function of job " + std::string(job.name) + " threw" + what});
  };
  try {
    const UserCode user_code;
    job.entry(env);
  } catch (...) {
    return threw(thrown_text());
  }
  if (const Status arguments_fit = env.check_arguments(); !arguments_fit)
    return fail(arguments_fit.error(), true);
  auto plan = env.build();
  if (!plan) return fail(plan.error());
  return JobRun{env.settings(), std::make_shared<const Plan>(std::move(*plan))};
}

}  // namespace weir
