#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/plan.hpp"

namespace weir {

/// Builds the plans of jobs in this process: the only way to a job's code.
/// Threads: any, concurrently. May block and run code of the job; never called by an actor itself.
class JobLibraries {
 public:
  virtual ~JobLibraries() = default;
  /// Runs the job function of the library named by `library_sha256` with `arguments` and returns its
  /// plan. `configuration` gives the default parallelisms. Errors: `not_found` (no such library here),
  /// `invalid_argument` (what the job function says of its arguments), `user_function_failed`.
  [[nodiscard]] virtual Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& library_sha256, const std::vector<std::string>& arguments,
      const std::map<std::string, std::string>& configuration) = 0;
};

}  // namespace weir
