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
#include "messages/internal.hpp"
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
  struct Key {
    JobId job;
    std::uint32_t attempt = 0;
    std::uint32_t edge = 0;
    std::uint32_t producer = 0;
    std::uint32_t consumer = 0;
    auto operator<=>(const Key&) const = default;
  };
  [[nodiscard]] std::shared_ptr<Channel> get(const Key& key, std::size_t capacity_bytes);
  /// Forgets channels that no task holds.
  void prune();

 private:
  std::map<Key, std::weak_ptr<Channel>> channels_;
};

struct TaskManagerState {
  std::shared_ptr<const ProcessSeams> seams;
  ProcessSettings settings;
  std::shared_ptr<const JobManagerGateway> job_manager;
  TaskManagerId id;
  std::uint32_t slots = 0;
  LeaderEpoch epoch;
  std::map<std::pair<JobId, ExecutionId>, TaskActor> tasks;
  std::optional<Children> task_actors;
  std::map<JobId, LoadedJob> jobs;
  std::map<JobId, Fence>
      fences;  ///< the newest that a deployment (`SubmitTask`) of each job carried
  ChannelTable channels;
  /// Deployments that wait for their job to be loaded.
  std::map<JobId, std::vector<std::pair<SubmitTask, PendingAnswer<Done>>>> waiting;
  std::set<std::pair<JobId, ExecutionId>> cancelled;  ///< of those
  std::map<std::pair<JobId, ExecutionId>, std::shared_ptr<StreamTask>>
      running;  ///< for their metrics
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
