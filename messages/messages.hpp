#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/events.hpp"
#include "runtime/metrics.hpp"
#include "runtime/plan_description.hpp"
#include "runtime/task_restore.hpp"
#include "state/codec.hpp"
#include "state/ids.hpp"
#include "state/key_groups.hpp"
#include "state/snapshot_metadata.hpp"

/// What the actors say to each other: plain values with Flink's names and fields. They carry ids, never
/// actor handles or addresses. No behaviour, no CAF; `messages/interfaces.hpp` says who takes which.
namespace weir {

/// The value of a successful reply that says nothing more.
struct Done {
  bool operator==(const Done&) const = default;
};
WEIR_NO_FIELDS(Done)

/// An answer: the value, or the error if there is none.
template <class T>
struct Reply {
  std::optional<T> value;
  Error error;
  Reply() = default;
  Reply(T v)
      : value(std::move(v)) {}  // NOLINT(google-explicit-constructor): `return Success{...};`
  Reply(Error e)
      : error(std::move(e)) {}  // NOLINT(google-explicit-constructor): `return Error{...};`
  Reply(Result<T> result) {     // NOLINT(google-explicit-constructor)
    if (result)
      value = std::move(*result);
    else
      error = std::move(result.error());
  }
  bool operator==(const Reply&) const = default;
};
template <class T>
struct Codec<Reply<T>> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 1;
  template <Encoding E>
  static void encode(const Reply<T>& reply, ByteWriter& writer) {
    weir::encode(reply.value, writer);
    if (!reply.value) weir::encode(reply.error, writer);
  }
  static void decode(ByteReader& reader, Reply<T>& reply) {
    weir::decode(reader, reply.value);
    if (!reply.value) weir::decode(reader, reply.error);
  }
};

// ---- client to JobManager -------------------------------------------------------------------------

/// What a job is made from: the plan that the client built, and what a TaskManager needs to build the
/// same plan again.
struct JobSubmission {
  JobId id;  ///< drawn by the client, or found when the job continues (`-s latest`)
  std::string name;
  PlanDescription plan;
  std::string library_sha256;                        ///< 64 hex digits; names the job library
  std::vector<std::string> arguments;                ///< of the job function
  std::map<std::string, std::string> configuration;  ///< keys and values that were set
  std::string restore_directory;  ///< snapshot to start from, absolute; empty: none
  bool continues = false;  ///< `-s latest` or claimed: the job goes on under its id and counts on
  bool allow_non_restored_state = false;
};
WEIR_FIELDS(JobSubmission, id, name, plan, library_sha256, arguments, configuration,
            restore_directory, continues, allow_non_restored_state)

struct SubmitJob {
  JobSubmission job;
};
WEIR_FIELDS(SubmitJob, job)
struct SubmitJobSuccess {
  JobId job;
  std::vector<std::string> warnings;  ///< for people, such as operators that `-n` skipped
};
WEIR_FIELDS(SubmitJobSuccess, job, warnings)

struct ListJobs {};
WEIR_NO_FIELDS(ListJobs)

/// What is known of a checkpoint that completed, for people.
struct CheckpointSummary {
  CheckpointId id;
  SnapshotKind kind = SnapshotKind::checkpoint;
  std::string directory;  ///< empty if it is only kept in memory
  std::int64_t triggered_at_ms = 0;
  std::int64_t duration_ms = 0;  ///< trigger to durable metadata
  std::uint64_t size_bytes = 0;
  std::uint64_t written_bytes = 0;  ///< the rest of `size_bytes` lies in files of older checkpoints
  CheckpointMetrics longest;        ///< of any task, each duration by itself
};
WEIR_FIELDS(CheckpointSummary, id, kind, directory, triggered_at_ms, duration_ms, size_bytes,
            written_bytes, longest)

/// How far a checkpoint that has not completed yet has come.
struct CheckpointProgress {
  CheckpointId id;
  SnapshotKind kind = SnapshotKind::checkpoint;
  std::int64_t triggered_at_ms = 0;
  std::uint32_t acknowledged = 0;   ///< of the subtasks that are awaited
  std::uint32_t awaited = 0;        ///< subtasks whose acknowledgement it needs, at least 1
  std::uint64_t written_bytes = 0;  ///< by those that have acknowledged
  bool operator==(const CheckpointProgress&) const = default;
};
WEIR_FIELDS(CheckpointProgress, id, kind, triggered_at_ms, acknowledged, awaited, written_bytes)

/// Counters of the checkpoints of a job since its JobManager took it over.
struct CheckpointCounts {
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::string
      last_failure;  ///< what happened to which checkpoint; empty: none has failed by itself
  std::vector<CheckpointProgress> in_progress;  ///< in the order of their ids
  std::optional<CheckpointSummary> last_completed;
  std::optional<CheckpointSummary> last_savepoint;
  std::optional<CheckpointId>
      restored_from;               ///< by the newest attempt; none: it began with nothing
  std::string restored_directory;  ///< empty too if that is kept in memory
};
WEIR_FIELDS(CheckpointCounts, completed, failed, last_failure, in_progress, last_completed,
            last_savepoint, restored_from, restored_directory)

struct JobOverview {
  JobId id;
  std::string name;
  JobState state = JobState::created;
  std::uint32_t parallelism = 0;  ///< the largest of any operator
  std::int64_t started_at_ms = 0;
  std::int64_t ended_at_ms = 0;  ///< 0 while it runs
  std::uint32_t restarts = 0;
};
WEIR_FIELDS(JobOverview, id, name, state, parallelism, started_at_ms, ended_at_ms, restarts)
struct JobList {
  std::vector<JobOverview> jobs;
};
WEIR_FIELDS(JobList, jobs)

struct RequestJobDetails {
  JobId job;
};
WEIR_FIELDS(RequestJobDetails, job)
struct JobDetails {
  JobOverview overview;
  std::vector<OperatorMetrics> operators;
  CheckpointCounts checkpoints;
  std::string failure;  ///< what ended or last restarted the job; empty if nothing did
  std::string checkpoint_directory;
  std::string log_file;
  std::vector<std::pair<std::string, std::string>> tasks;  ///< `vertex/subtask`, state
  std::vector<std::string> vertices;                       ///< uids of their operators, by number
};
WEIR_FIELDS(JobDetails, overview, operators, checkpoints, failure, checkpoint_directory, log_file,
            tasks, vertices)

struct CancelJob {
  JobId job;
};
WEIR_FIELDS(CancelJob, job)
struct CancelJobWithSavepoint {
  JobId job;
  std::string target;  ///< directory, absolute; empty: `state.savepoints.dir`
  SnapshotForm form = SnapshotForm::canonical;  ///< canonical or native, here and below
};
WEIR_FIELDS(CancelJobWithSavepoint, job, target, form)
struct CancellationSuccess {
  JobId job;
  std::string savepoint;  ///< directory, absolute; empty without one
};
WEIR_FIELDS(CancellationSuccess, job, savepoint)

struct StopJobWithSavepoint {
  JobId job;
  std::string target;
  bool drain = false;  ///< the sources end their input first, so that windows and `on_end` emit
  SnapshotForm form = SnapshotForm::canonical;
};
WEIR_FIELDS(StopJobWithSavepoint, job, target, drain, form)
struct StoppingSuccess {
  JobId job;
  std::string savepoint;
};
WEIR_FIELDS(StoppingSuccess, job, savepoint)

struct TriggerSavepoint {
  JobId job;
  std::string target;
  SnapshotForm form = SnapshotForm::canonical;
};
WEIR_FIELDS(TriggerSavepoint, job, target, form)
struct TriggerSavepointSuccess {
  JobId job;
  CheckpointId checkpoint;
  std::string path;
};
WEIR_FIELDS(TriggerSavepointSuccess, job, checkpoint, path)

/// `weir checkpoint JOB`: a checkpoint now, as the periodic ones are.
struct RequestCheckpoint {
  JobId job;
};
WEIR_FIELDS(RequestCheckpoint, job)
struct CheckpointCompleted {
  JobId job;
  CheckpointId checkpoint;
  std::string directory;
};
WEIR_FIELDS(CheckpointCompleted, job, checkpoint, directory)

struct DisposeSavepoint {
  std::string path;
};
WEIR_FIELDS(DisposeSavepoint, path)
struct DisposeSavepointSuccess {
  std::string path;
};
WEIR_FIELDS(DisposeSavepointSuccess, path)

// ---- JobManager to TaskManager --------------------------------------------------------------------

/// Everything a TaskManager needs to run one attempt of one subtask.
struct SubmitTask {
  JobId job;
  Fence fence;
  ExecutionId execution;
  std::string job_name;
  PlanDescription plan;
  std::string library_sha256;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> configuration;
  std::optional<TaskRestore> restore;
  bool allow_non_restored_state = false;
  /// Where the tasks lie: subtask i of every vertex in the TaskManager `slots[i]`.
  std::vector<TaskManagerId> slots;
};
WEIR_FIELDS(SubmitTask, job, fence, execution, job_name, plan, library_sha256, arguments,
            configuration, restore, allow_non_restored_state, slots)

/// Every subtask of the job is RUNNING: the sources may emit. Goes to tasks with a source.
struct StartTask {
  JobId job;
  Fence fence;
  ExecutionId execution;
};
WEIR_FIELDS(StartTask, job, fence, execution)

struct CancelTask {
  JobId job;
  Fence fence;
  ExecutionId execution;
};
WEIR_FIELDS(CancelTask, job, fence, execution)

struct TriggerCheckpoint {
  JobId job;
  Fence fence;
  ExecutionId execution;
  CheckpointId checkpoint;
  std::int64_t timestamp_ms = 0;  ///< wall clock, milliseconds since 1970
  CheckpointOptions options;
};
WEIR_FIELDS(TriggerCheckpoint, job, fence, execution, checkpoint, timestamp_ms, options)

/// Ends the input of a task's sources (`stop --drain`).
struct DrainTask {
  JobId job;
  Fence fence;
  ExecutionId execution;
};
WEIR_FIELDS(DrainTask, job, fence, execution)

struct NotifyCheckpointComplete {
  JobId job;
  Fence fence;
  ExecutionId execution;
  CheckpointId checkpoint;
  std::int64_t timestamp_ms = 0;
  SnapshotKind kind =
      SnapshotKind::checkpoint;  ///< sinks commit unless it is an ordinary savepoint
  bool ends_task =
      false;  ///< final checkpoint or terminal savepoint: the task commits and is FINISHED
};
WEIR_FIELDS(NotifyCheckpointComplete, job, fence, execution, checkpoint, timestamp_ms, kind,
            ends_task)

struct NotifyCheckpointAborted {
  JobId job;
  Fence fence;
  ExecutionId execution;
  CheckpointId checkpoint;
};
WEIR_FIELDS(NotifyCheckpointAborted, job, fence, execution, checkpoint)

// ---- TaskManager to JobManager --------------------------------------------------------------------

struct AcknowledgeCheckpoint {
  JobId job;
  Fence fence;
  ExecutionId execution;
  CheckpointId checkpoint;
  TaskSnapshot snapshot;
  CheckpointMetrics metrics;
};
WEIR_FIELDS(AcknowledgeCheckpoint, job, fence, execution, checkpoint, snapshot, metrics)

struct DeclineCheckpoint {
  JobId job;
  Fence fence;
  ExecutionId execution;
  CheckpointId checkpoint;
  DeclineReason reason = DeclineReason::task_not_ready;
  std::string detail;  ///< the sentence for people
};
WEIR_FIELDS(DeclineCheckpoint, job, fence, execution, checkpoint, reason, detail)

struct UpdateTaskState {
  JobId job;
  Fence fence;
  ExecutionId execution;
  TaskState state = TaskState::created;
  Error failure;  ///< if `state` is failed
  bool recoverable =
      true;  ///< false: a restart would fail the same way (state does not fit, bad input)
  std::vector<OperatorMetrics> metrics;
};
WEIR_FIELDS(UpdateTaskState, job, fence, execution, state, failure, recoverable, metrics)

struct RegisterTaskManager {
  TaskManagerId id;
  std::uint32_t slots = 0;
};
WEIR_FIELDS(RegisterTaskManager, id, slots)
struct RegistrationSuccess {
  TaskManagerId id;
  LeaderEpoch epoch;
};
WEIR_FIELDS(RegistrationSuccess, id, epoch)

/// Which messages about checkpoints have reached a task.
struct HeardCheckpoints {
  CheckpointId triggered;  ///< the newest trigger; 0: none
  CheckpointId completed;  ///< the newest that is complete, savepoints aside; 0: none
  std::vector<CheckpointId>
      open;  ///< whose outcome the task waits for, or for more of its barriers
};
WEIR_FIELDS(HeardCheckpoints, triggered, completed, open)
/// What a TaskManager says of one task that it has, or that it is about to have.
struct TaskStatus {
  JobId job;
  Fence fence;
  ExecutionId execution;
  bool started = false;    ///< was told to start
  bool cancelled = false;  ///< was told to end
  HeardCheckpoints checkpoints;
  std::vector<OperatorMetrics> operators;
};
WEIR_FIELDS(TaskStatus, job, fence, execution, started, cancelled, checkpoints, operators)
/// Every task that a TaskManager has. Answered with `not_found` or `stale` if the JobManager does not
/// know the TaskManager (any more): it ends them and registers again.
struct Heartbeat {
  TaskManagerId id;
  LeaderEpoch epoch;
  std::uint64_t number = 0;  ///< counted by the TaskManager, from 1: an older one tells nothing
  std::vector<TaskStatus> tasks;
};
WEIR_FIELDS(Heartbeat, id, epoch, number, tasks)

}  // namespace weir
