#pragma once

#include <string_view>

#include "simulation/fault_plan.hpp"

/// What may happen to a job, for `Simulation::with_faults`. Each class of a set is in half of the runs, because runs that
/// leave some out reach places that runs with all of them do not. Sets are joined by `|`; `disturbances` bounds how much
/// happens in one run.
///
///   auto faults = crashes() | network_faults() | fault(FaultClass::rescale);
///   faults.disturbances = 5;
namespace weir::testing {

/// Of a TaskManager, the JobManager and the host, at any step, between two file operations, and right before or after a
/// message is handled.
[[nodiscard]] FaultPlan crashes();
/// Writes, renames and syncs that fail, a full disk, a slow one, a bit that flips in a checkpoint.
[[nodiscard]] FaultPlan storage_faults();
/// Messages that are late, lost and repeated, links that are cut, processes that stand still for a while.
[[nodiscard]] FaultPlan network_faults();
/// What people do to a job: savepoints, cancellations, stops, another parallelism at the next start.
[[nodiscard]] FaultPlan operations();
/// All of these, a wall clock that jumps, and functions of the job that throw.
[[nodiscard]] FaultPlan everything();
[[nodiscard]] FaultPlan no_faults();
/// One class, in so many of the runs: 1 is all of them. Throws `BadUse` unless `probability` is from 0 to 1.
[[nodiscard]] FaultPlan fault(FaultClass fault, double probability = 1);
/// A plan as `weir simulate --faults` reads it (`parse_fault_plan`). Throws `BadUse` with line and column.
[[nodiscard]] FaultPlan fault_plan(std::string_view yaml);

}  // namespace weir::testing
