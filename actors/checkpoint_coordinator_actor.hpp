#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/checkpoint_coordinator.hpp"
#include "actors/deletion_queue.hpp"
#include "actors/execution.hpp"
#include "actors/process.hpp"
#include "messages/internal.hpp"

namespace weir {

/// What the actor around a `CheckpointCoordinator` needs.
struct CoordinatorSetup {
  std::shared_ptr<const ProcessSeams> seams;
  std::shared_ptr<GatewayRegistry> gateways;
  CheckpointCoordinator::Job job;
  CheckpointConfig config;
  std::string savepoint_directory;  ///< `state.savepoints.dir`, absolute; empty: none
  std::vector<CompletedCheckpoint> found;
  JobManagerActor job_manager;
};

/// Carries messages to a `CheckpointCoordinator` and carries out the effects that it answers with.
/// Files are touched on the I/O pool alone; outcomes come back as calls on this actor.
/// Threads: CAF's scheduler.
struct CoordinatorState {
  CoordinatorSetup setup;
  std::optional<CheckpointCoordinator> coordinator;
  std::map<ExecutionId, Execution> executions;  ///< of the current attempt
  /// Directories being made, and deletions besides those in the queue: the job's directory is not let go
  /// of before.
  std::size_t file_work = 0;
  DeletionQueue deletion_queue;     ///< of checkpoints and shared files
  std::optional<JobState> settled;  ///< to be told once they are done
  RequestId next_request = 1;
  std::map<RequestId, std::function<void(const decltype(AnswerRequest::answer)&)>> requests;
  static inline const char* name = "CheckpointCoordinator";
};

CheckpointCoordinatorActor::behavior_type checkpoint_coordinator(
    CheckpointCoordinatorActor::stateful_pointer<CoordinatorState> self, CoordinatorSetup setup);

}  // namespace weir
