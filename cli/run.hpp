#pragma once

#include "api/job.hpp"
#include "cli/command_line.hpp"

namespace weir {

/// `weir run`: a job in a JobManager and a TaskManager of this process, from its submission to its end.
/// `linked` is the job of a program; null: the library that the command names. Returns the exit code.
/// Threads: to be called before any other thread exists.
[[nodiscard]] int run_job(const RunCommand& command, const JobDescriptor* linked);

}  // namespace weir
