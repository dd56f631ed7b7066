#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <caf/allowed_unsafe_message_type.hpp>

#include "messages/interfaces.hpp"

/// What the actors of one process say to each other and never to another process's: JobManager and
/// CheckpointCoordinator, TaskManager and Task.
namespace weir {

/// Work that an actor has put off for itself: what is done when the I/O pool has finished, or when a
/// delay is over. It runs on the actor that made it, as one of its messages, and never leaves the process.
struct ActorMail {
  std::shared_ptr<std::function<void()>> run;
};

// ---- JobManager and CheckpointCoordinator -----------------------------------------------------------

/// Where one subtask of an attempt was placed.
struct PlacedExecution {
  ExecutionId execution;
  TaskManagerId task_manager;
};
WEIR_FIELDS(PlacedExecution, execution, task_manager)

/// The job is being deployed.
struct AttemptStarted {
  JobId job;
  std::uint32_t attempt = 0;
  std::vector<PlacedExecution> executions;
};
WEIR_FIELDS(AttemptStarted, job, attempt, executions)
struct TaskStateChanged {
  JobId job;
  ExecutionId execution;
  TaskState state = TaskState::created;
};
WEIR_FIELDS(TaskStateChanged, job, execution, state)
struct JobStateChanged {
  JobId job;
  JobState state = JobState::created;
};
WEIR_FIELDS(JobStateChanged, job, state)
/// What a heartbeat says of the tasks of the running attempt that lie in one TaskManager.
struct TasksHeard {
  JobId job;
  std::map<ExecutionId, HeardCheckpoints> tasks;
};
WEIR_FIELDS(TasksHeard, job, tasks)

/// The coordinator wants the job to fail.
struct FailJobRequest {
  JobId job;
  Error cause;
  bool recoverable = true;
};
WEIR_FIELDS(FailJobRequest, job, cause, recoverable)
/// A terminal savepoint is durable: the job ends, whatever comes.
struct SavepointEndsJob {
  JobId job;
  CheckpointId checkpoint;
  std::string directory;
  JobState ends_as = JobState::finished;
};
WEIR_FIELDS(SavepointEndsJob, job, checkpoint, directory, ends_as)
/// No metadata is being written any more; the job goes on from here if it restarts.
struct CoordinatorSettled {
  JobId job;
  JobState state = JobState::created;                     ///< the newest that it was told
  std::string directory;                                  ///< of the restore point
  std::shared_ptr<const SnapshotMetadata> restore_point;  ///< null: from the beginning
};
WEIR_FIELDS(CoordinatorSettled, job, state, directory, restore_point)
struct CheckpointCountsChanged {
  JobId job;
  CheckpointCounts counts;
};
WEIR_FIELDS(CheckpointCountsChanged, job, counts)

/// What the JobManager says to the coordinator of a job.
using CheckpointCoordinatorActor = caf::typed_actor<
    OneWay<AttemptStarted>, OneWay<TaskStateChanged>, OneWay<JobStateChanged>, OneWay<TasksHeard>,
    Request<TriggerSavepoint, TriggerSavepointSuccess>,
    Request<RequestCheckpoint, CheckpointCompleted>, Request<StopJobWithSavepoint, StoppingSuccess>,
    Request<CancelJobWithSavepoint, CancellationSuccess>, OneWay<AcknowledgeCheckpoint>,
    OneWay<DeclineCheckpoint>, caf::reacts_to<ActorMail>>;

/// The JobManager with what the coordinators of its process say to it.
using JobManagerActor =
    JobManagerInterface::extend<OneWay<FailJobRequest>, OneWay<SavepointEndsJob>,
                                OneWay<CoordinatorSettled>, OneWay<CheckpointCountsChanged>,
                                caf::reacts_to<ActorMail>>;

// ---- TaskManager and Task -----------------------------------------------------------------------------

/// A task has ended and the JobManager knows.
struct TaskEnded {
  JobId job;
  Fence fence;
  ExecutionId execution;
};
WEIR_FIELDS(TaskEnded, job, fence, execution)

/// What the TaskManager hands on to a task.
using TaskActor = caf::typed_actor<OneWay<StartTask>, OneWay<CancelTask>, OneWay<DrainTask>,
                                   OneWay<TriggerCheckpoint>, OneWay<NotifyCheckpointComplete>,
                                   OneWay<NotifyCheckpointAborted>, caf::reacts_to<ActorMail>>;
/// The TaskManager with what its tasks say to it.
using TaskManagerActor = TaskManagerInterface::extend<OneWay<TaskEnded>, caf::reacts_to<ActorMail>>;

}  // namespace weir

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(weir::ActorMail)
