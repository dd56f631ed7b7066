#pragma once

#include <string>
#include <vector>

#include "simulation/simulated_run.hpp"
#include "simulation/staged_fault.hpp"

namespace weir {

/// One run of a crash matrix: what was made to happen at one message of a flow, and what became of it.
struct MatrixCell {
  std::string backend;
  StagedFault staged;
  FlowStep step;  ///< the message
  bool has_hit = false;
  std::string outcome;  ///< of the flow
  std::vector<Violation> violations;
};

/// What is tried of a flow whose messages were `steps`: each fault that can meet a message, at the first and the last of each
/// name. Between processes a message can be dropped, delayed and repeated, and its sender can die.
[[nodiscard]] std::vector<MatrixCell> plan_cells(const std::string& backend, Flow flow,
                                                 const std::vector<FlowStep>& steps);

/// A table for each flow: its messages by the faults, each with what happened on each backend. For terminals.
[[nodiscard]] std::string matrix_text(const std::vector<MatrixCell>& cells);
[[nodiscard]] std::string matrix_markdown(const std::vector<MatrixCell>& cells);
/// A page that needs nothing else.
[[nodiscard]] std::string matrix_html(const std::vector<MatrixCell>& cells);

}  // namespace weir
