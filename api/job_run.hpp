#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/job.hpp"
#include "runtime/configuration.hpp"
#include "runtime/plan.hpp"
#include "state/result.hpp"

namespace weir {

/// What a job function is run with. Job authors do not name it.
struct JobRunSettings {
  std::vector<std::string> arguments;
  Configuration configuration;    ///< gives the default parallelisms
  std::string working_directory;  ///< absolute; relative paths of the job count from here
  std::optional<std::uint64_t> most_generated;  ///< generators end after so many records
};

/// What a job function put together.
struct JobRun {
  std::map<std::string, std::string> settings;  ///< the job's own
  std::shared_ptr<const Plan> plan;
};

/// A mistake of the job's arguments, which the user made on the command line, or one of the job.
struct JobRunError {
  Error error;
  bool in_arguments = false;
};

/// Runs the job function, which may throw, on an environment of its own.
/// Threads: any, concurrently; runs code of the job, and may block as that does.
[[nodiscard]] std::expected<JobRun, JobRunError> run_job_function(const JobDescriptor& job,
                                                                  const JobRunSettings& settings);

}  // namespace weir
