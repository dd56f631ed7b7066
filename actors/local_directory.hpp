#pragma once

#include <string>

#include "actors/process.hpp"
#include "runtime/configuration.hpp"
#include "state/ids.hpp"

namespace weir {

/// Where the tasks of `job` keep local working files, each attempt of a subtask in a directory of its
/// own: below `state.backend.rocksdb.localdir`, else below the process's temporary directory. Made when
/// needed; the TaskManager removes an attempt's directory, if it is empty by then, when the attempt has
/// ended, and the JobManager the job's with all that is in it, under the job's lock, when the job begins
/// (what a killed process has left) and when it has ended.
[[nodiscard]] std::string local_directory(const Configuration& job_configuration,
                                          const ProcessSettings& settings, const JobId& job);
[[nodiscard]] std::string local_directory(const Configuration& job_configuration,
                                          const ProcessSettings& settings, const JobId& job,
                                          const Fence& fence, const ExecutionId& execution);

}  // namespace weir
