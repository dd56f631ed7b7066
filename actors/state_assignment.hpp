#pragma once

#include <string>
#include <vector>

#include "runtime/plan_description.hpp"
#include "runtime/task_restore.hpp"
#include "state/result.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// What every subtask of a job starts from.
struct StateAssignment {
  /// The job's plan with the maximum parallelism of the snapshot where the user had set none.
  PlanDescription plan;
  std::vector<std::vector<TaskRestore>> tasks;  ///< by vertex of the job graph, then by subtask
  std::vector<std::string> warnings;            ///< sentences for people
};

/// Deals a snapshot out to the subtasks of a job, whose parallelism may differ from the snapshot's.
/// Operators are found by uid. Keyed state goes where its key group goes; files of a database go whole to
/// every subtask that gets a key group of the one that wrote them. Elements of operator list
/// state stay with their subtask if the parallelism is the same and are else dealt out round-robin;
/// union state goes to all.
///
/// An operator of which every subtask had finished is finished in every subtask. One of which only
/// some had is so by subtask if the parallelism is the same; else none is finished, and the keyed
/// state of those that were is left out, because they had emitted what follows from it.
///
/// A stateful operator that the snapshot lacks starts empty, with a warning. `directory` is where
/// the snapshot lies; `graph` is that of `plan`, to be built anew from the plan that is returned.
/// Errors: `state_incompatible`, `unsupported` or `corruption`, naming operator and state:
///  - the snapshot has state of an operator that the job lacks or that keeps none, unless
///    `allow_non_restored` (then it is skipped with a warning);
///  - the operator's maximum parallelism was set and is not the snapshot's, or is exceeded;
///  - a state that the plan declares has another kind or type in the snapshot;
///  - the snapshot holds records that were on their way (unaligned checkpoint).
[[nodiscard]] Result<StateAssignment> assign_state(const SnapshotMetadata& snapshot,
                                                   const std::string& directory,
                                                   PlanDescription plan, const JobGraph& graph,
                                                   bool allow_non_restored);

}  // namespace weir
