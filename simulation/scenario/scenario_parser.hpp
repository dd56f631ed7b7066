#pragma once

#include <string>
#include <string_view>

#include "simulation/scenario/scenario.hpp"
#include "state/file_system.hpp"
#include "state/result.hpp"

namespace weir {

/// The most that a scenario file, and what it describes, may be.
struct ScenarioLimits {
  static constexpr std::uint64_t file_bytes = 1 << 20;
  static constexpr std::size_t nodes = 50'000;  ///< values in the YAML
  static constexpr std::size_t depth = 24;      ///< values in values
  static constexpr std::size_t steps = 1'000;
  static constexpr std::size_t expectations = 1'000;
  static constexpr std::uint64_t input_bytes = 256 << 20;  ///< of all `files` together
  static constexpr std::uint64_t expected_bytes = 16
                                                  << 20;  ///< of a file of lines that are expected
  static constexpr std::uint32_t task_managers = 64;
  static constexpr std::uint32_t parallelism = 1'024;
};

/// Reads the scenario `yaml`, which is called `path` in errors; relative names in it begin at `directory`,
/// absolute. Opens only the files that it names for content. Checks also what can be known to be
/// impossible, such as the name of a savepoint that no step takes.
/// Errors: `invalid_argument`, one sentence that begins with `path:line:column`; `not_found`, `io_error`
/// for a file that it names.
[[nodiscard]] Result<Scenario> parse_scenario(std::string_view yaml, const std::string& path,
                                              const std::string& directory, FileSystem& files);

/// Reads the file at `path`, which is taken from `working_directory` (absolute) if it is relative. Errors:
/// also `not_found`, `io_error`, `limit_exceeded`.
[[nodiscard]] Result<Scenario> read_scenario(FileSystem& files, const std::string& path,
                                             const std::string& working_directory);

}  // namespace weir
