#pragma once

#include <map>
#include <string>
#include <vector>

#include "simulation/scenario/scenario.hpp"
#include "state/file_system.hpp"
#include "state/result.hpp"

namespace weir {

/// Finds the job libraries of scenarios, and compiles the sources of others, each once.
/// Threads: one.
class ScenarioJobs {
 public:
  /// Libraries are looked for in `directories`, absolute, before beside the scenario file. What is compiled
  /// goes to `output_directory`, which is there.
  ScenarioJobs(FileSystem& files, std::vector<std::string> directories,
               std::string output_directory)
      : files_(files),
        directories_(std::move(directories)),
        output_directory_(std::move(output_directory)) {}

  /// The absolute path of the library of the job of `scenario`. Errors: `not_found`, `user_function_failed`
  /// if it does not compile; with the place in the scenario file.
  [[nodiscard]] Result<std::string> library_of(const Scenario& scenario);

 private:
  [[nodiscard]] Result<std::string> compile(const std::string& source);

  FileSystem& files_;
  const std::vector<std::string> directories_;
  const std::string output_directory_;
  std::map<std::string, std::string> compiled_;  ///< library by source
};

}  // namespace weir
