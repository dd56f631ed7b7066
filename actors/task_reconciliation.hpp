#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "messages/messages.hpp"

namespace weir {

/// Names one attempt of one subtask among all jobs, leaders and attempts.
struct TaskKey {
  JobId job;
  Fence fence;
  ExecutionId execution;
  auto operator<=>(const TaskKey&) const = default;
};

/// Compares what one TaskManager says of its tasks with what the JobManager wants of them, and finds what has
/// to be said again because it was lost.
///
/// A heartbeat that set out before a message arrived shows what that message has changed meanwhile. So only
/// what two heartbeats in a row show counts, and what is said again has the time of one more heartbeat to
/// take effect.
/// Threads: none of its own; one object for each TaskManager that has registered.
class TaskReconciliation {
 public:
  /// What the JobManager wants of a task that lies in this TaskManager and has not ended.
  struct Wanted {
    bool arrived = false;  ///< the TaskManager is known to have had it
    bool starts = false;   ///< it has a source, and the job is RUNNING
    bool ends = false;     ///< its attempt is over
  };
  enum class Finding : std::uint8_t {
    not_submitted,  ///< the TaskManager has never heard of the task
    not_started,
    not_cancelled,  ///< its attempt is over, or nobody knows it (any more)
    lost            ///< the TaskManager had the task and has it no more
  };
  struct Found {
    Finding finding = Finding::lost;
    TaskKey task;
    auto operator<=>(const Found&) const = default;
  };
  /// What the newest heartbeat, which says `told`, and the one before it both show, in order.
  [[nodiscard]] std::vector<Found> compare(const std::map<TaskKey, Wanted>& wanted,
                                           const std::vector<TaskStatus>& told);

 private:
  std::set<Found> shown_;  ///< by the heartbeat before, and not yet acted upon
};

}  // namespace weir
