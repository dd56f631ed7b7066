#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "actors/gateways.hpp"
#include "actors/handlers.hpp"
#include "actors/process.hpp"
#include "actors/task_reconciliation.hpp"
#include "messages/internal.hpp"
#include "network/remote_channel.hpp"
#include "runtime/channel.hpp"
#include "runtime/plan.hpp"
#include "runtime/stream_task.hpp"

namespace weir {

/// A job's code and backend as one TaskManager has them.
struct LoadedJob {
  std::shared_ptr<const Plan> plan;
  Configuration configuration;
  std::shared_ptr<StateBackend> backend;
};

/// The channels between the subtasks of this TaskManager. Whichever end is deployed first makes one.
/// Threads: the TaskManager actor.
class ChannelTable {
 public:
  [[nodiscard]] std::shared_ptr<Channel> get(const ChannelId& id, std::size_t capacity_bytes);
  /// Forgets channels that no task holds.
  void prune();

 private:
  std::map<ChannelId, std::weak_ptr<Channel>> channels_;
};

/// One end of a channel, whose other end lies in another TaskManager.
struct RemoteEnd {
  TaskManagerId peer;
  ChannelId id;
  ChannelEnd end = ChannelEnd::producer;
};

/// A job under one leader in one attempt.
struct AttemptKey {
  JobId job;
  Fence fence;
  auto operator<=>(const AttemptKey&) const = default;
};

/// A task of this TaskManager, and which messages for it have come.
struct ManagedTask {
  TaskActor actor;
  std::shared_ptr<StreamTask> task;
  bool started = false;
  bool cancelled = false;
  CheckpointId triggered;  ///< the newest
  CheckpointId completed;  ///< the newest that is complete, savepoints aside
  std::vector<RemoteEnd> remote;
};

/// A deployment that waits for its job to be loaded.
struct WaitingTask {
  SubmitTask message;
  bool cancelled = false;
};

/// The newest attempt of a job that has come here.
struct NewestAttempt {
  Fence fence;
  bool over = false;  ///< one of its tasks has ended, or was to end: none of them begins any more
};

struct TaskManagerState {
  std::shared_ptr<const ProcessSeams> seams;
  ProcessSettings settings;
  std::shared_ptr<const JobManagerGateway> job_manager;
  TaskManagerId id;
  std::uint32_t slots = 0;
  LeaderEpoch epoch;
  std::uint64_t registrations = 0;  ///< begun so far; answers to what came before the last are void
  std::uint64_t heartbeats = 0;     ///< sent so far
  /// Until then the JobManager has not given this TaskManager up: `heartbeat.timeout` after the newest message
  /// that it has answered was sent.
  MonotonicTime known_until;
  /// Also of attempts that are over, until they have ended.
  std::map<TaskKey, ManagedTask> tasks;
  std::optional<Children> task_actors;
  std::map<AttemptKey, LoadedJob> jobs;
  std::map<JobId, NewestAttempt> newest;
  ChannelTable channels;
  std::map<AttemptKey, std::vector<WaitingTask>> waiting;
  /// That have not begun and never will, which the JobManager is being told.
  std::set<TaskKey> reported;
  static inline const char* name = "TaskManager";
};

/// Runs tasks: builds a job's plan from its library, connects the subtasks' channels, and hands each
/// task what is meant for it. A checkpoint for a task that it does not know is declined (A6).
/// Threads: CAF's scheduler.
TaskManagerActor::behavior_type task_manager(
    TaskManagerActor::stateful_pointer<TaskManagerState> self,
    std::shared_ptr<const ProcessSeams> seams, ProcessSettings settings,
    std::shared_ptr<const JobManagerGateway> job_manager, TaskManagerId id, std::uint32_t slots);

}  // namespace weir
