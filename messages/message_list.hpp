#pragma once

#include "messages/envelope.hpp"

/// Every message that crosses a process boundary: the one list from which CAF's registration and the
/// round-trip test are made. `X(Type, name)`; the name stands in frames and is the alphabet of the wire.
#define WEIR_MESSAGE_LIST(X)                                 \
  X(SubmitJob, "SubmitJob")                                  \
  X(Reply<SubmitJobSuccess>, "SubmitJobReply")               \
  X(ListJobs, "ListJobs")                                    \
  X(Reply<JobList>, "ListJobsReply")                         \
  X(RequestJobDetails, "RequestJobDetails")                  \
  X(Reply<JobDetails>, "RequestJobDetailsReply")             \
  X(CancelJob, "CancelJob")                                  \
  X(CancelJobWithSavepoint, "CancelJobWithSavepoint")        \
  X(Reply<CancellationSuccess>, "CancellationReply")         \
  X(StopJobWithSavepoint, "StopJobWithSavepoint")            \
  X(Reply<StoppingSuccess>, "StoppingReply")                 \
  X(TriggerSavepoint, "TriggerSavepoint")                    \
  X(Reply<TriggerSavepointSuccess>, "TriggerSavepointReply") \
  X(RequestCheckpoint, "RequestCheckpoint")                  \
  X(Reply<CheckpointCompleted>, "RequestCheckpointReply")    \
  X(DisposeSavepoint, "DisposeSavepoint")                    \
  X(Reply<DisposeSavepointSuccess>, "DisposeSavepointReply") \
  X(SubmitTask, "SubmitTask")                                \
  X(StartTask, "StartTask")                                  \
  X(CancelTask, "CancelTask")                                \
  X(DrainTask, "DrainTask")                                  \
  X(TriggerCheckpoint, "TriggerCheckpoint")                  \
  X(NotifyCheckpointComplete, "NotifyCheckpointComplete")    \
  X(NotifyCheckpointAborted, "NotifyCheckpointAborted")      \
  X(AcknowledgeCheckpoint, "AcknowledgeCheckpoint")          \
  X(DeclineCheckpoint, "DeclineCheckpoint")                  \
  X(UpdateTaskState, "UpdateTaskState")                      \
  X(RegisterTaskManager, "RegisterTaskManager")              \
  X(Reply<RegistrationSuccess>, "RegisterTaskManagerReply")  \
  X(Heartbeat, "Heartbeat")                                  \
  X(Reply<Done>, "DoneReply")
