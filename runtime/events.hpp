#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "state/codec.hpp"
#include "state/ids.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// How a task with several input channels brings the barriers of one checkpoint together.
enum class Alignment : std::uint8_t {
  exactly_once,  ///< channels that have delivered the barrier wait for the others
  at_least_once  ///< nothing waits; records of the next checkpoint may reach this one's state
};
WEIR_ENUM(Alignment, exactly_once, at_least_once)

/// What a checkpoint is and where it goes; travels in the trigger and in the barrier.
struct CheckpointOptions {
  SnapshotKind kind = SnapshotKind::checkpoint;
  std::string directory;  ///< absolute; data files lie here beside `_metadata`; empty: inline only
  Alignment alignment = Alignment::exactly_once;
  /// Sources end at this barrier and stay blocked until the outcome is known (`stop`, `cancel -s`).
  bool terminal = false;
  /// The final checkpoint of a job whose tasks have all reached the end of their input.
  bool final = false;
  SnapshotForm form = SnapshotForm::canonical;
  /// `incremental`: the newest completed checkpoint of the job that is kept; 0 if there is none. What a
  /// checkpoint builds on is told, never guessed: this one's files are not deleted meanwhile.
  CheckpointId base;
  bool operator==(const CheckpointOptions&) const = default;
};
WEIR_FIELDS(CheckpointOptions, kind, directory, alignment, terminal, final, form, base)

/// Flows with the records: what came before belongs to checkpoint `id`, what comes behind does not.
struct CheckpointBarrier {
  CheckpointId id;
  std::int64_t triggered_at_ms = 0;  ///< wall clock of the coordinator, milliseconds since 1970
  CheckpointOptions options;
  bool operator==(const CheckpointBarrier&) const = default;
};
WEIR_FIELDS(CheckpointBarrier, id, triggered_at_ms, options)

/// Flows in place of a barrier that will not come: an upstream task gave checkpoint `id` up.
struct CancelCheckpointMarker {
  CheckpointId id;
  bool operator==(const CancelCheckpointMarker&) const = default;
};
WEIR_FIELDS(CancelCheckpointMarker, id)

/// Event time in milliseconds since 1970.
using EventTime = std::int64_t;
inline constexpr EventTime no_event_time = std::numeric_limits<EventTime>::min();

/// Promises that no record with an event time up to and including `time` follows.
struct Watermark {
  EventTime time = no_event_time;
  static constexpr EventTime max_time = std::numeric_limits<EventTime>::max();
  bool operator==(const Watermark&) const = default;
};
WEIR_FIELDS(Watermark, time)

/// No record follows; barriers still may.
struct EndOfInput {
  bool operator==(const EndOfInput&) const = default;
};
WEIR_NO_FIELDS(EndOfInput)

/// Why a task does not take part in a checkpoint, with Flink's names.
enum class DeclineReason : std::uint8_t {
  task_not_ready,
  task_not_checkpointing,
  unknown_task,
  subsumed,
  on_cancellation_barrier,
  input_end_of_stream,
  snapshot_failed,
  limit_exceeded
};
WEIR_ENUM(DeclineReason, task_not_ready, task_not_checkpointing, unknown_task, subsumed,
          on_cancellation_barrier, input_end_of_stream, snapshot_failed, limit_exceeded)

/// States of a task, as in Flink, and FINISHING: at the end of its input, waiting for the final
/// checkpoint.
enum class TaskState : std::uint8_t {
  created,
  deploying,
  running,
  finishing,
  finished,
  canceling,
  canceled,
  failed
};
WEIR_ENUM(TaskState, created, deploying, running, finishing, finished, canceling, canceled, failed)

/// Finished, canceled or failed: nothing follows.
[[nodiscard]] constexpr bool is_terminal(TaskState state) {
  return state == TaskState::finished || state == TaskState::canceled || state == TaskState::failed;
}

/// States of a job, as in Flink.
enum class JobState : std::uint8_t {
  created,
  running,
  failing,
  failed,
  cancelling,
  canceled,
  finished,
  restarting
};
WEIR_ENUM(JobState, created, running, failing, failed, cancelling, canceled, finished, restarting)
[[nodiscard]] constexpr bool is_terminal(JobState state) {
  return state == JobState::finished || state == JobState::canceled || state == JobState::failed;
}

}  // namespace weir
