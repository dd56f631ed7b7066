#pragma once

#include <string>

#include "simulation/scenario/scenario_report.hpp"

namespace weir {

/// The messages of a run as a sequence diagram in SVG: a lifeline for each actor, an arrow for each
/// message, the steps of the scenario between them, crashes and faults marked, and the numbers of the eight
/// steps of docs/architecture.md at the left. Reports of states, heartbeats and questions are left out;
/// checkpoints that go the same way as the one before, and long runs of one message, are folded.
[[nodiscard]] std::string draw_messages(const ScenarioReport& report);

}  // namespace weir
