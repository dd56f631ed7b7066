#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/checkpoint_coordinator.hpp"
#include "actors/process.hpp"
#include "actors/state_assignment.hpp"
#include "messages/messages.hpp"
#include "runtime/configuration.hpp"
#include "runtime/output_directory.hpp"

namespace weir {

/// A submitted job, checked and ready to be deployed.
struct PreparedJob {
  JobSubmission submission;
  Configuration configuration;
  PlanDescription plan;  ///< with the maximum parallelisms of the snapshot that it starts from
  JobGraph graph;
  CheckpointCoordinator::Job coordinator;
  std::vector<CompletedCheckpoint> found;
  std::optional<StateAssignment> restore;  ///< none: every operator starts empty
  std::string restored_from;               ///< the snapshot's directory, for people
  std::string checkpoint_directory;        ///< as configured, absolute; empty: none was
  std::unique_ptr<DirectoryLock> lock;     ///< of the job's checkpoint directory
  OutputDirectoryLocks outputs;            ///< held until the job has ended
  std::vector<std::string> warnings;
};

/// Does everything of a submission that touches files: locks the job's directory against every other
/// process, removes what crashes left there, counts on above what is found, reads the snapshot to start
/// from and deals its state out, locks the output directories against every other job, and refuses those
/// that hold files if the job begins anew.
/// Errors: what the submission, the directories or the snapshot are wrong in, one sentence each; then
/// nothing is left of it, as after `abandon_job`. Threads: the I/O pool.
[[nodiscard]] Result<std::shared_ptr<PreparedJob>> prepare_job(JobSubmission submission,
                                                               const ProcessSeams& seams,
                                                               const ProcessSettings& settings);

/// Gives up a job of which nothing was deployed: removes the directories that were made for it and are
/// still empty, and lets its locks go. Threads: the I/O pool.
void abandon_job(PreparedJob& job, const ProcessSeams& seams);

}  // namespace weir
