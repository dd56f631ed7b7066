#include "actors/local_directory.hpp"

namespace weir {

std::string local_directory(const Configuration& job_configuration, const ProcessSettings& settings,
                            const JobId& job) {
  const std::string& configured = job_configuration.state_backend().rocksdb_directory;
  return (configured.empty() ? settings.temporary_directory + "/state" : configured) + "/" +
         to_string(job);
}

std::string local_directory(const Configuration& job_configuration, const ProcessSettings& settings,
                            const JobId& job, const Fence& fence, const ExecutionId& execution) {
  return local_directory(job_configuration, settings, job) + "/" +
         std::to_string(execution.vertex) + "-" + std::to_string(execution.subtask) + "-" +
         std::to_string(fence.epoch.value) + "-" + std::to_string(execution.attempt);
}

}  // namespace weir
