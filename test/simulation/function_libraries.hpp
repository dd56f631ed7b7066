#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/job_libraries.hpp"
#include "api/weir/weir.hpp"
#include "runtime/configuration.hpp"

namespace weir {

/// Jobs that are functions of this program, by name, in place of job libraries.
class FunctionLibraries final : public JobLibraries {
 public:
  /// Relative paths in jobs lie below `working_directory`.
  explicit FunctionLibraries(std::string working_directory)
      : working_directory_(std::move(working_directory)) {}
  void add(const std::string& name, std::function<void(StreamEnvironment&)> job) {
    jobs_[name] = std::move(job);
  }
  Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& library, const std::vector<std::string>& arguments,
      const std::map<std::string, std::string>& settings) override {
    WEIR_TRY_ASSIGN(configuration, Configuration::from_map(settings, "simulation"));
    StreamEnvironment env(arguments, configuration.execution().parallelism, working_directory_);
    jobs_.at(library)(env);
    WEIR_TRY_ASSIGN(plan, env.build());
    return std::make_shared<const Plan>(std::move(plan));
  }

 private:
  std::string working_directory_;
  std::map<std::string, std::function<void(StreamEnvironment&)>> jobs_;
};

}  // namespace weir
