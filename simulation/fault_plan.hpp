#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "state/result.hpp"

namespace weir {

/// What a simulated run may do to its job: crashes, faults and commands.
enum class FaultClass : std::uint8_t {
  crash_task_manager,
  crash_job_manager,
  crash_host,               ///< all processes, and what was not synced is lost or torn
  crash_at_file_operation,  ///< a process ends right after one
  crash_at_message,         ///< a process ends right before or after it has handled one
  pause,                    ///< a process does nothing for a while
  delay_message,
  drop_message,
  repeat_message,
  cut_link,       ///< both ways between the JobManager and a TaskManager
  one_way_cut,    ///< one of them
  torn_write,     ///< half of an append reaches the disk, then it is full
  failed_write,   ///< no space, I/O error or interrupted: any operation
  failed_rename,  ///< or one that leaves both names
  failed_sync,    ///< of a file or a directory
  full_disk,      ///< until it has room again
  slow_disk,      ///< I/O work of a process waits
  bit_flip,       ///< in a snapshot at rest
  clock_jump,     ///< of a process's wall clock, an hour at most, either way
  poison_record,  ///< a function of the job throws, once or at every attempt for a while
  savepoint,
  cancel,
  cancel_with_savepoint,
  stop,
  rescale,  ///< the next run has another parallelism
};
inline constexpr std::size_t fault_classes = static_cast<std::size_t>(FaultClass::rescale) + 1;

/// As plans and reports write it, such as `crash-task-manager`.
[[nodiscard]] std::string_view to_string(FaultClass fault);

/// How likely it is that a run meets a class of faults at all, and how many disturbances it meets. Runs that leave
/// some classes out reach places that runs with all of them do not (Groce et al., "Swarm testing", 2012).
struct FaultPlan {
  std::uint32_t disturbances = 15;  ///< at most, in one run
  std::array<double, fault_classes> probability{};

  [[nodiscard]] double of(FaultClass fault) const {
    return probability[static_cast<std::size_t>(fault)];
  }
  [[nodiscard]] double& of(FaultClass fault) {
    return probability[static_cast<std::size_t>(fault)];
  }
  [[nodiscard]] bool is_empty() const;

  /// Every class, each in half of the runs.
  [[nodiscard]] static FaultPlan everything();
  /// No faults.
  [[nodiscard]] static FaultPlan nothing() { return FaultPlan{.disturbances = 0}; }
};

/// What either lets happen, as likely as in the one where it is likelier, and as many disturbances as in the one with more.
[[nodiscard]] FaultPlan operator|(const FaultPlan& one, const FaultPlan& other);

/// Reads a plan: a YAML map of `disturbances`, and `faults`, a map of classes to probabilities; classes that it does
/// not name do not happen. `path` is for sentences.
///
///   disturbances: 10
///   faults:
///     crash-task-manager: 1
///     drop-message: 0.5
///
/// Errors: `invalid_argument` with file, line and column.
[[nodiscard]] Result<FaultPlan> parse_fault_plan(std::string_view text, const std::string& path);

}  // namespace weir
