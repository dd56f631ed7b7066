#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "simulation/scenario/scenario_world.hpp"

namespace weir {

/// How one step went.
struct StepReport {
  Place place;
  std::string text;
  bool failed = false;
  std::string what;  ///< why it failed
  std::chrono::milliseconds time{0};
  std::size_t first_message = 0;  ///< how many messages had been delivered when it began
  ProcessName process;            ///< of a fault that meets one process; `client` if it meets none
  bool is_fault = false;
  bool is_crash = false;
};

/// What was found where something was expected.
struct ExpectationReport {
  Place place;
  std::string text;
  bool met = false;
  std::string expected;
  std::string found;
};

/// What a run of a scenario has shown.
struct ScenarioReport {
  std::string path;
  std::string name;
  std::vector<StepReport> steps;  ///< those that were begun; only the last can have failed
  std::size_t steps_in_all = 0;
  std::vector<ExpectationReport> expectations;  ///< those that were looked at
  std::vector<SeenMessage> messages;
  std::map<std::uint32_t, std::string> vertex_names;
  bool one_process = false;           ///< a crash ends all actors
  std::chrono::milliseconds time{0};  ///< virtual if simulated, else real
  std::string how_to_repeat;

  [[nodiscard]] bool passed() const;
  /// What failed, a line each, with place; empty if nothing did.
  [[nodiscard]] std::vector<std::string> failures() const;
};

/// One line for people, and for what failed some more.
[[nodiscard]] std::string to_text(const ScenarioReport& report);
/// A JUnit file: a suite for each scenario, a case for its steps and one for each expectation.
[[nodiscard]] std::string to_junit(std::span<const ScenarioReport> reports);

}  // namespace weir
