#pragma once

#include <chrono>
#include <memory>

#include "actors/gateways.hpp"
#include "actors/process.hpp"
#include "messages/internal.hpp"
#include "runtime/stream_task.hpp"

namespace weir {

/// What the actor around a `StreamTask` needs.
struct TaskSetup {
  std::shared_ptr<const ProcessSeams> seams;
  std::shared_ptr<const JobManagerGateway> job_manager;
  TaskManagerActor task_manager;
  TaskManagerId task_manager_id;
  Fence fence;
  std::chrono::milliseconds cancellation_timeout{0};  ///< 0: waits for ever
  std::shared_ptr<StreamTask> task;                   ///< not yet started
};

struct TaskActorState {
  TaskSetup setup;
  JobId job;
  ExecutionId execution;
  TaskState reported = TaskState::created;  ///< what the JobManager was last told
  static inline const char* name = "Task";
};

/// Owns one subtask's `StreamTask`: starts it on a worker thread, posts what it is told into the task's
/// mailbox, and reports what the task says to the JobManager. Ends when the JobManager knows that the
/// task has ended. It never waits for the worker thread, which reports its own end.
/// Threads: CAF's scheduler.
TaskActor::behavior_type task_actor(TaskActor::stateful_pointer<TaskActorState> self,
                                    TaskSetup setup);

}  // namespace weir
