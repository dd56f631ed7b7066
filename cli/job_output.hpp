#pragma once

#include <string>
#include <vector>

#include "messages/messages.hpp"
#include "runtime/plan_description.hpp"

namespace weir {

/// What the verbs print, for programs (`--json`: one object, one line) and for people.
/// Times are milliseconds since 1970.

[[nodiscard]] std::string state_name(JobState state);  ///< `RUNNING`

/// Why a job that was cancelled keeps no checkpoints, as the end of a sentence.
inline constexpr const char* deletes_because =
    ", as execution.checkpointing.externalized-checkpoint-retention is not RETAIN_ON_CANCELLATION";

/// `savepoint 7: 2 of 6 subtasks, 12.3 MB`
[[nodiscard]] std::string progress_text(const CheckpointProgress& progress);

[[nodiscard]] std::string jobs_json(const std::vector<JobOverview>& jobs);
[[nodiscard]] std::string jobs_text(const std::vector<JobOverview>& jobs);
[[nodiscard]] std::string details_json(const JobDetails& details);
[[nodiscard]] std::string details_text(const JobDetails& details);
/// `{"job", "savepoint"}`
[[nodiscard]] std::string savepoint_json(const JobId& job, const std::string& path);
/// `{"job", "state"}`
[[nodiscard]] std::string cancellation_json(const JobId& job);
/// `{"error"}`
[[nodiscard]] std::string error_json(const Error& error);
/// `{"disposed"}`
[[nodiscard]] std::string disposal_json(const std::string& path);
/// `{"job", "checkpoint", "directory"}`
[[nodiscard]] std::string checkpoint_json(const CheckpointCompleted& completed);

/// Records that entered a job from its sources and left it for its sinks, and how long it ran.
struct RunTotals {
  std::uint64_t records_in = 0;
  std::uint64_t records_out = 0;
  std::int64_t duration_ms = 0;
};
[[nodiscard]] RunTotals totals_of(const JobDetails& details, const PlanDescription& plan);
/// What `weir run` says at the end.
[[nodiscard]] std::string summary_json(const JobDetails& details, const PlanDescription& plan);
[[nodiscard]] std::string summary_text(const JobDetails& details, const PlanDescription& plan);

}  // namespace weir
