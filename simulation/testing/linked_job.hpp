#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/job_libraries.hpp"
#include "api/job_run.hpp"

namespace weir::testing {

/// The job function of a test, as the JobManager and the TaskManagers find it: there is no library to load.
/// Threads: any, but for `limit_generators`, which comes first.
class LinkedJob final : public JobLibraries {
 public:
  /// Stands for the SHA-256 of a library.
  static constexpr const char* name = "linked into the test";

  LinkedJob(const JobDescriptor& job, std::string working_directory)
      : job_(job), working_directory_(std::move(working_directory)) {}

  void limit_generators(std::uint64_t records) { most_generated_ = records; }
  [[nodiscard]] std::expected<JobRun, JobRunError> run(const std::vector<std::string>& arguments,
                                                       const Configuration& configuration) const {
    return run_job_function(job_, {arguments, configuration, working_directory_, most_generated_});
  }
  [[nodiscard]] Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& /*library_sha256*/, const std::vector<std::string>& arguments,
      const std::map<std::string, std::string>& configuration) override {
    WEIR_TRY_ASSIGN(settings, Configuration::from_map(configuration, "job"));
    auto built = run(arguments, settings);
    if (!built) return std::unexpected(std::move(built.error().error));
    return std::move(built->plan);
  }

 private:
  const JobDescriptor job_;
  const std::string working_directory_;
  std::optional<std::uint64_t> most_generated_;
};

}  // namespace weir::testing
