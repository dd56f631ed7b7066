#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/channel.hpp"
#include "runtime/events.hpp"
#include "runtime/metrics.hpp"
#include "runtime/plan.hpp"
#include "runtime/task_restore.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/executor.hpp"
#include "state/file_system.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/standard_streams.hpp"

namespace weir {

/// Hears what becomes of a task.
/// Threads: the task thread and the I/O pool, `on_decline` also the one that triggers. Never blocks.
class TaskListener {
 public:
  virtual ~TaskListener() = default;
  /// The task has reached `state`. It has ended only when no snapshot of it is being written any more:
  /// whoever hears so may clean up behind it, or start the next attempt. `failure` is set for FAILED;
  /// `recoverable` is false if a restart would fail the same way.
  virtual void on_state(TaskState state, const Error& failure, bool recoverable) = 0;
  virtual void on_acknowledge(CheckpointId id, TaskSnapshot snapshot,
                              CheckpointMetrics metrics) = 0;
  virtual void on_decline(CheckpointId id, DeclineReason reason, std::string detail) = 0;
  /// Something that people should know, a sentence.
  virtual void on_warning(std::string text) = 0;
};

/// Everything that a task needs from outside. Pointers outlive the task unless they are shared.
struct TaskEnvironment {
  JobId job;
  std::string job_name;
  LeaderEpoch epoch;
  ExecutionId execution;
  std::shared_ptr<const Plan> plan;
  PlanDescription description;  ///< with the parallelisms that the JobManager decided
  JobGraph graph;
  std::optional<TaskRestore> restore;
  bool allow_non_restored_state = false;

  std::shared_ptr<StateBackend> backend;
  std::shared_ptr<CheckpointStorage> storage;
  FileSystem* files = nullptr;
  const Clock* clock = nullptr;
  Random* random = nullptr;
  StandardStreams* standard_streams = nullptr;
  IoExecutor* io = nullptr;
  std::shared_ptr<TaskListener> listener;
  std::string local_directory;  ///< of this attempt alone; made when needed
  std::chrono::nanoseconds buffer_timeout{std::chrono::milliseconds(5)};

  /// The channels of one exchange edge that end at this subtask, and which input they feed.
  struct InputEdge {
    std::uint32_t input = 0;
    std::vector<std::shared_ptr<Channel>> channels;  ///< by producing subtask
  };
  std::vector<InputEdge> inputs;
  /// The channels of one exchange edge that begin at this subtask, by consuming subtask.
  struct OutputEdge {
    std::uint32_t edge = 0;  ///< index into the plan's edges
    std::vector<std::shared_ptr<Channel>> channels;
  };
  std::vector<OutputEdge> outputs;
};

}  // namespace weir
