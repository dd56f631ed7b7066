#include "simulation/testing/fault_sets.hpp"

#include <initializer_list>
#include <string>

#include "simulation/testing/failure.hpp"

namespace weir::testing {
namespace {

FaultPlan half_of_the_runs(std::initializer_list<FaultClass> classes) {
  FaultPlan plan;
  for (const FaultClass one : classes) plan.of(one) = 0.5;
  return plan;
}

}  // namespace

FaultPlan crashes() {
  return half_of_the_runs({FaultClass::crash_task_manager, FaultClass::crash_job_manager,
                           FaultClass::crash_host, FaultClass::crash_at_file_operation,
                           FaultClass::crash_at_message});
}

FaultPlan storage_faults() {
  return half_of_the_runs({FaultClass::torn_write, FaultClass::failed_write,
                           FaultClass::failed_rename, FaultClass::failed_sync,
                           FaultClass::full_disk, FaultClass::slow_disk, FaultClass::bit_flip});
}

FaultPlan network_faults() {
  return half_of_the_runs({FaultClass::delay_message, FaultClass::drop_message,
                           FaultClass::repeat_message, FaultClass::cut_link,
                           FaultClass::one_way_cut, FaultClass::pause});
}

FaultPlan operations() {
  return half_of_the_runs({FaultClass::savepoint, FaultClass::cancel,
                           FaultClass::cancel_with_savepoint, FaultClass::stop,
                           FaultClass::rescale});
}

FaultPlan everything() { return FaultPlan::everything(); }

FaultPlan no_faults() { return FaultPlan::nothing(); }

FaultPlan fault(FaultClass fault, double probability) {
  if (!(probability >= 0 && probability <= 1))
    throw BadUse("fault(" + std::string(to_string(fault)) + ", " + std::to_string(probability) +
                 "): a probability is from 0 to 1");
  FaultPlan plan;
  plan.of(fault) = probability;
  return plan;
}

FaultPlan fault_plan(std::string_view yaml) {
  auto plan = parse_fault_plan(yaml, "fault plan");
  if (!plan) throw BadUse(plan.error().what);
  return *plan;
}

}  // namespace weir::testing
