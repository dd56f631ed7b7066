#include "actors/task_reconciliation.hpp"

#include <algorithm>
#include <iterator>

namespace weir {

std::vector<TaskReconciliation::Found> TaskReconciliation::compare(
    const std::map<TaskKey, Wanted>& wanted, const std::vector<TaskStatus>& told) {
  std::set<Found> now;
  std::set<TaskKey> present;
  for (const TaskStatus& status : told) {
    const TaskKey task{status.job, status.fence, status.execution};
    present.insert(task);
    const auto want = wanted.find(task);
    if (want == wanted.end() || want->second.ends) {
      if (!status.cancelled) now.insert({Finding::not_cancelled, task});
    } else if (want->second.starts && !status.started) {
      now.insert({Finding::not_started, task});
    }
  }
  for (const auto& [task, want] : wanted) {
    if (present.contains(task)) continue;
    // What is to end and is not there answers that it has ended, and begins no more if it is still on its way.
    now.insert({want.ends      ? Finding::not_cancelled
                : want.arrived ? Finding::lost
                               : Finding::not_submitted,
                task});
  }
  std::vector<Found> again;
  std::ranges::set_intersection(now, shown_, std::back_inserter(again));
  for (const Found& found : again) now.erase(found);
  shown_ = std::move(now);
  return again;
}

}  // namespace weir
