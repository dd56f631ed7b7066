#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "simulation/simulated_run.hpp"

namespace weir {

/// `text` with a new line, and `indent` at its beginning, at a blank before a line would be longer than 100 columns.
[[nodiscard]] std::string wrapped(const std::string& text, const std::string& indent);

/// What a run has drawn, in wrapped lines; empty if it was given up before.
[[nodiscard]] std::string story_text(const SimulatedRunReport& report);
/// How often each class of faults has hit, in wrapped lines.
[[nodiscard]] std::string faults_text(const std::map<std::string, std::uint64_t>& faults);
/// The last 25 lines of the trace as people read them: `1803.810 s  CheckpointCoordinator -> Task:1/0: TriggerCheckpoint 3`.
[[nodiscard]] std::string last_lines_text(const SimulatedRunReport& report);
/// Each broken promise, with seed and step, in wrapped lines.
[[nodiscard]] std::string violations_text(const SimulatedRunReport& report);
/// `3 failed: 19, 30, 32`, of many the first twenty. `failed` ascends.
[[nodiscard]] std::string failed_text(const std::vector<std::uint64_t>& failed);

}  // namespace weir
