#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "state/fields.hpp"
#include "state/result.hpp"

namespace weir {

/// Names a checkpoint or savepoint within its job: counted up from 1, never reused, gaps allowed.
struct CheckpointId {
  std::uint64_t value = 0;
  auto operator<=>(const CheckpointId&) const = default;
};
WEIR_FIELDS(CheckpointId, value)

/// Names a job: 128 random bits, written as 32 lowercase hex digits. All zero means "none".
struct JobId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const JobId&) const = default;
  [[nodiscard]] bool is_none() const { return high == 0 && low == 0; }
};
WEIR_FIELDS(JobId, high, low)

/// Names one attempt of one subtask: the vertex (a chain of operators), the subtask within it, and
/// how often the job had been started before. What belongs to an older attempt is refused.
struct ExecutionId {
  std::uint32_t vertex = 0;   ///< index of the vertex in the job graph, from 0
  std::uint32_t subtask = 0;  ///< from 0 up to, not including, the vertex's parallelism
  std::uint32_t attempt = 0;  ///< of the whole job, from 0
  auto operator<=>(const ExecutionId&) const = default;
};
WEIR_FIELDS(ExecutionId, vertex, subtask, attempt)

/// Counts the JobManagers that have led a job, from 1. Messages of an older epoch are refused.
struct LeaderEpoch {
  std::uint64_t value = 0;
  auto operator<=>(const LeaderEpoch&) const = default;
};
WEIR_FIELDS(LeaderEpoch, value)

/// Fences a message against a deposed leader and an older attempt of the job: a receiver that knows a
/// newer epoch or attempt refuses it.
struct Fence {
  LeaderEpoch epoch;
  std::uint32_t attempt = 0;  ///< of the job; counted from 0 at every restart
  auto operator<=>(const Fence&) const = default;
};
WEIR_FIELDS(Fence, epoch, attempt)

/// Names a TaskManager within its cluster, from 1.
struct TaskManagerId {
  std::uint32_t value = 0;
  auto operator<=>(const TaskManagerId&) const = default;
};
WEIR_FIELDS(TaskManagerId, value)

/// 32 lowercase hex digits.
[[nodiscard]] std::string to_string(const JobId& id);
/// The opposite of `to_string`. Errors: `invalid_argument` unless `text` is 32 lowercase hex digits.
[[nodiscard]] Result<JobId> parse_job_id(std::string_view text);
/// `vertex/subtask`, as traces and logs name a task.
[[nodiscard]] std::string to_string(const ExecutionId& id);
/// A fence as sentences name it.
[[nodiscard]] std::string to_string(const Fence& fence);

}  // namespace weir

template <>
struct std::hash<weir::JobId> {
  std::size_t operator()(const weir::JobId& id) const noexcept { return id.low ^ (id.high * 31); }
};
