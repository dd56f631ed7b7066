#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/plan_description.hpp"
#include "state/ids.hpp"

namespace weir {

/// How many slots a job needs. A slot takes one subtask of each vertex, so that is the largest parallelism.
[[nodiscard]] std::uint32_t slots_needed(const JobGraph& graph);
/// The sentence for a job that does not get them.
[[nodiscard]] std::string missing_slots(const JobGraph& graph);

/// Decides in which TaskManagers the slots of a job lie.
///
///   SlotPlacement placement;
///   placement.add_task_manager(id, 4);
///   placement.occupy(id, other_job, execution);
///   auto slots = placement.place(slots_needed(graph));
///
/// Threads: none of its own.
class SlotPlacement {
 public:
  /// A TaskManager with `slots` slots, all free so far.
  void add_task_manager(TaskManagerId id, std::uint32_t slots) { slots_[id] = slots; }
  /// A subtask of a job that has not ended lies in the TaskManager, which may be lost. Those of the job with
  /// the same subtask number share a slot.
  void occupy(TaskManagerId id, const JobId& job, const ExecutionId& execution) {
    taken_[id].insert({job, execution.subtask});
  }
  /// `count` free slots, by slot number, which is that of the subtasks in it; none if there are not as many.
  /// `count` is at least 1. All in one TaskManager if one has room for the whole job, so that no record
  /// leaves its process, and of several in that with the lowest id; else, or if they are to be spread, dealt out to
  /// them in turn.
  [[nodiscard]] std::optional<std::vector<TaskManagerId>> place(std::uint32_t count,
                                                                bool spread = false) const;

 private:
  std::map<TaskManagerId, std::uint32_t> slots_;
  std::map<TaskManagerId, std::set<std::pair<JobId, std::uint32_t>>> taken_;
};

}  // namespace weir
