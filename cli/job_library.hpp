#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "actors/job_libraries.hpp"
#include "api/job.hpp"
#include "api/job_run.hpp"
#include "runtime/configuration.hpp"
#include "state/file_system.hpp"

namespace weir {

/// A job's code in this process.
struct JobCode {
  std::string name;    ///< in `WEIR_JOB`
  std::string sha256;  ///< of the library or program, 64 hex digits
  const JobDescriptor* descriptor = nullptr;
};

/// Loads job libraries and runs their functions. A library is loaded from a copy that is named by its
/// SHA-256, so that one that is rebuilt meanwhile does no harm, and it is never closed.
/// Threads: any, concurrently.
class LocalJobLibraries final : public JobLibraries {
 public:
  /// `directory` is private and absolute, for the copies; it exists. Relative paths of jobs count from
  /// `working_directory`. `files` outlives the libraries.
  LocalJobLibraries(FileSystem& files, std::string directory, std::string working_directory)
      : files_(files),
        directory_(std::move(directory)),
        working_directory_(std::move(working_directory)) {}

  /// Sources that generate end after so many records, in every plan from now on.
  void limit_generators(std::uint64_t records) { most_generated_ = records; }
  /// Loads the library at `path` unless the same one was loaded before.
  /// Errors: `not_found`, `io_error`; `unsupported` if it is no job library of this version.
  [[nodiscard]] Result<JobCode> load(const std::string& path);
  /// Takes the job that is linked into this program.
  [[nodiscard]] Result<JobCode> add_linked(const JobDescriptor& descriptor);

  /// Runs the job function. `configuration` gives the default parallelisms.
  [[nodiscard]] std::expected<JobRun, JobRunError> run(const JobCode& code,
                                                       const std::vector<std::string>& arguments,
                                                       const Configuration& configuration) const;
  [[nodiscard]] Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& library_sha256, const std::vector<std::string>& arguments,
      const std::map<std::string, std::string>& configuration) override;

 private:
  [[nodiscard]] Result<JobCode> open_copy(const std::string& bytes, const std::string& sha256,
                                          const std::string& path);

  FileSystem& files_;
  const std::string directory_;
  const std::string working_directory_;
  std::optional<std::uint64_t> most_generated_;
  std::mutex mutex_;                       ///< guards `loaded_`
  std::map<std::string, JobCode> loaded_;  ///< by SHA-256
};

}  // namespace weir
