#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/execution.hpp"
#include "actors/execution_graph.hpp"
#include "actors/handlers.hpp"
#include "actors/job_preparation.hpp"
#include "actors/process.hpp"
#include "actors/task_reconciliation.hpp"
#include "messages/internal.hpp"

namespace weir {

/// One job as the JobManager keeps it, also after it has ended.
struct ManagedJob {
  std::shared_ptr<PreparedJob> prepared;
  std::unique_ptr<ExecutionGraph> graph;
  CheckpointCoordinatorActor coordinator;
  std::map<ExecutionId, Execution> executions;  ///< of the current attempt
  std::vector<TaskManagerId> slots;             ///< that it has, by slot number
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<OperatorMetrics>>
      metrics;                                ///< by vertex, subtask
  std::optional<StateAssignment> assignment;  ///< what the current attempt starts from
  std::string restart_directory;              ///< of the next attempt's start, and its metadata;
  std::shared_ptr<const SnapshotMetadata> restart_point;  ///< null: from the beginning
  bool released = false;  ///< its directory's lock is being given up
  CheckpointCounts counts;
  /// What clients are told: a state that ends the job only when everything of it has been released.
  JobState shown_state = JobState::created;
  std::int64_t started_at_ms = 0;
  std::int64_t ended_at_ms = 0;
  std::vector<PendingAnswer<CancellationSuccess>>
      cancellations;  ///< answered when the job has ended
};

/// One TaskManager that has registered.
struct KnownTaskManager {
  std::uint32_t slots = 0;
  MonotonicTime last_heard;
  std::uint64_t heartbeats = 0;  ///< the number of the newest
  TaskReconciliation reconciliation;
};

struct JobManagerState {
  std::shared_ptr<const ProcessSeams> seams;
  ProcessSettings settings;
  std::shared_ptr<GatewayRegistry> gateways;
  std::map<JobId, ManagedJob> jobs;
  /// The newest that each job has had here. Without bound, as TaskManagers' fences are: a job whose epoch was
  /// forgotten would begin again with one that they refuse as stale. Some 50 bytes for a job.
  std::map<JobId, LeaderEpoch> epochs;
  std::map<TaskManagerId, KnownTaskManager> task_managers;
  std::optional<Children> coordinators;
  RequestBound client_requests{"the gateway of the JobManager's clients"};
  static inline const char* name = "JobManager";
};

/// Takes jobs, places and deploys their tasks, and hands the checkpoint messages of each job to its
/// coordinator. Decisions about a job's states are `ExecutionGraph`'s.
/// Threads: CAF's scheduler.
JobManagerActor::behavior_type job_manager(JobManagerActor::stateful_pointer<JobManagerState> self,
                                           std::shared_ptr<const ProcessSeams> seams,
                                           ProcessSettings settings,
                                           std::shared_ptr<GatewayRegistry> gateways);

}  // namespace weir
