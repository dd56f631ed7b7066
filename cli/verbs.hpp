#pragma once

#include "cli/command_line.hpp"

namespace weir {

/// The verbs that ask running jobs something. Each prints its result on stdout and returns the exit
/// code.
[[nodiscard]] int run_verb(const ListCommand& command);
[[nodiscard]] int run_verb(const InfoCommand& command);
[[nodiscard]] int run_verb(const SavepointCommand& command);
[[nodiscard]] int run_verb(const DisposeCommand& command);
[[nodiscard]] int run_verb(const CancelCommand& command);
[[nodiscard]] int run_verb(const StopCommand& command);
[[nodiscard]] int run_verb(const CheckpointCommand& command);

}  // namespace weir
