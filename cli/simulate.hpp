#pragma once

#include "cli/command_line.hpp"

namespace weir {

/// `weir simulate`: runs a job under one seed or many, each in a process of its own, and says which promises were
/// broken. Returns the exit code: 0 if none was, 1 if one was or the job is missing, 2 for what is wrong in the words or the
/// fault plan. Threads: to be called before any other thread exists.
[[nodiscard]] int simulate_job(const SimulateCommand& command);

}  // namespace weir
