#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "actors/completed_checkpoint_store.hpp"
#include "actors/pending_checkpoint.hpp"
#include "messages/messages.hpp"
#include "runtime/checkpoint_config.hpp"
#include "runtime/plan_description.hpp"
#include "state/clock.hpp"
#include "state/ids.hpp"
#include "state/result.hpp"

namespace weir {

/// The time of an event, read once by the actor.
struct Moment {
  MonotonicTime at;          ///< what timeouts and pauses are measured on
  std::int64_t wall_ms = 0;  ///< milliseconds since 1970, for people and snapshots
};

/// Why a checkpoint was refused or given up, with Flink's names where it has one.
enum class CheckpointFailureReason : std::uint8_t {
  // Refused before it began:
  coordinator_shutdown,              ///< the job has ended
  not_all_required_tasks_running,    ///< the job or one of its tasks is not running
  already_queued,                    ///< another one waits for its turn
  too_many_concurrent_checkpoints,   ///< as many in flight as may be; it waits for its turn
  minimum_time_between_checkpoints,  ///< too soon after the last completion; put off
  job_is_stopping,                   ///< a terminal savepoint or the final checkpoint is under way
  no_savepoint_directory,            ///< neither given nor configured
  // Given up:
  exception,            ///< its directory could not be made
  expired,              ///< not acknowledged by all tasks within the timeout
  declined,             ///< by a task
  subsumed,             ///< a newer one completed
  coordinator_suspend,  ///< the job left RUNNING
  finalize_failure,     ///< its metadata could not be written
};
WEIR_ENUM(CheckpointFailureReason, coordinator_shutdown, not_all_required_tasks_running,
          already_queued, too_many_concurrent_checkpoints, minimum_time_between_checkpoints,
          job_is_stopping, no_savepoint_directory, exception, expired, declined, subsumed,
          coordinator_suspend, finalize_failure)
/// As Flink writes it, such as `ALREADY_QUEUED`.
[[nodiscard]] std::string to_string(CheckpointFailureReason reason);

// ---- Effects: what the actor does, in the order in which they are returned ----------------------
// The messages TriggerCheckpoint, NotifyCheckpointComplete, NotifyCheckpointAborted and DrainTask
// are effects, too: each goes to the execution that it names.

/// Make the directory of a checkpoint (`state/checkpoint_directory.hpp`) on the I/O pool; answer
/// with `directory_created`. Missing parents are made.
struct CreateDirectory {
  CheckpointId checkpoint;
  SnapshotKind kind = SnapshotKind::checkpoint;
  /// A checkpoint: its own directory. A savepoint: where one with a random name is to be made.
  std::string path;
};

/// Write `_metadata` on the I/O pool, then, if asked for, the pointer to the savepoint; answer with
/// `metadata_written`. If the pointer fails, `_metadata` is removed again and the write has failed.
struct WriteMetadata {
  CheckpointId checkpoint;
  std::string directory;
  std::shared_ptr<const SnapshotMetadata> metadata;
  bool pointer = false;  ///< a terminal savepoint of a job with a checkpoint directory
};

/// Remove what a `WriteMetadata` of unknown outcome may have left, the pointer first; answer with
/// `metadata_written`: `failed` once nothing is left, else `unknown` again.
struct RemoveMetadata {
  CheckpointId checkpoint;
  std::string directory;
  bool pointer = false;
};

/// Delete a directory that holds one snapshot of ours and nothing else, `_metadata` first. What a
/// task still writes there is deleted when its late acknowledgement arrives. No answer.
/// One `DeleteSnapshot` or `DeleteSharedFiles` is carried out after the other.
struct DeleteSnapshot {
  CheckpointId checkpoint;
  std::string directory;
  /// It never completed: what it wrote into the shared directory goes, too.
  bool with_shared = false;
};

/// Delete files that no checkpoint which is there names any more, unless an earlier `DeleteSnapshot`
/// has failed: then that one may still name them, and they stay until the next start. No answer.
struct DeleteSharedFiles {
  std::string directory;           ///< `shared/` of the job
  std::vector<std::string> files;  ///< names within it
};

/// Delete files of a late acknowledgement, then the directory if it is empty. No answer.
struct DiscardFiles {
  std::string directory;
  std::vector<std::string> files;  ///< names within `directory`
  bool keep_directory = false;     ///< it is the shared one
};

/// Say in the directory of checkpoints that the job has finished, unless no other run has left anything
/// there (`mark_finished`). Carried out before the deletions that follow, of which none of a checkpoint is
/// if it fails. No answer.
struct MarkFinished {
  std::string directory;
  JobId job;
  std::string job_name;
};

/// Remove the pointer to a terminal savepoint that a newer checkpoint has replaced. No answer.
struct DeleteSavepointPointer {
  CheckpointId checkpoint;
};

/// Call `timer_fired(at)` once `at` is reached. Timers are never disarmed.
struct ArmTimer {
  MonotonicTime at;
};

/// Answer a client. Comes behind every other effect of what is being answered (A1).
struct AnswerRequest {
  RequestId request = 0;
  std::variant<CheckpointCompleted, TriggerSavepointSuccess, StoppingSuccess, CancellationSuccess,
               Error>
      answer;
};

/// The JobManager is to fail the job; its restart strategy applies if `recoverable`.
struct FailJob {
  Error cause;
  bool recoverable = true;
};

/// Tell the JobManager: this savepoint ends the job and is its newest recovery point. From now on
/// the job is never restarted; once all tasks are FINISHED it is `ends_as`, and if anything fails
/// before, it is FAILED and the savepoint named.
struct TerminalSavepointCompleted {
  CheckpointId checkpoint;
  std::string directory;
  JobState ends_as = JobState::finished;  ///< finished (`stop`) or canceled (`cancel -s`)
};

/// Tell the JobManager, after it said that the job is no longer RUNNING: no write is under way any
/// more, so `restore_point()` and `terminal_savepoint()` are final and the next attempt may start.
/// One follows each `job_state_changed` to anything but CREATED and RUNNING, or several of them.
struct Settled {
  JobState state = JobState::created;  ///< the newest that `job_state_changed` has told
};

/// Write into the log that a checkpoint was refused or given up.
struct LogFailure {
  std::optional<CheckpointId> checkpoint;  ///< none if it was refused before it had an id
  CheckpointFailureReason reason = CheckpointFailureReason::exception;
  std::string sentence;
};

using Effect =
    std::variant<TriggerCheckpoint, NotifyCheckpointComplete, NotifyCheckpointAborted, DrainTask,
                 CreateDirectory, WriteMetadata, RemoveMetadata, DeleteSnapshot, DeleteSharedFiles,
                 DiscardFiles, MarkFinished, DeleteSavepointPointer, ArmTimer, AnswerRequest,
                 FailJob, TerminalSavepointCompleted, Settled, LogFailure>;
using Effects = std::vector<Effect>;

/// What became of a `WriteMetadata` or `RemoveMetadata`.
enum class WriteOutcome : std::uint8_t {
  durable,  ///< `_metadata`, and the pointer if asked for, will survive a crash
  failed,   ///< and nothing of them is left
  unknown   ///< failed, but something may be left, or a crash may bring it back
};

/// Decides when checkpoints and savepoints of one job begin, complete and are given up.
///
/// A checkpoint is PENDING from its trigger until every task has acknowledged it, FINALIZING while
/// its metadata is being written, then COMPLETED or ABORTED. While PENDING a decline, the timeout,
/// a newer completed checkpoint or the job leaving RUNNING aborts it. While FINALIZING nothing
/// does: durable is completed, whatever came meanwhile, and failed is told only when the file is
/// known to be gone. Completions are announced in id order; clients hear last.
///
/// A job ends in one of two ways through here. When all tasks have reached the end of their input,
/// a *final checkpoint* is triggered at once; `stop` and `cancel -s` trigger a *terminal
/// savepoint*, at whose barrier the sources stay blocked. When it has completed, every task is told
/// to commit and end, again and again until it is FINISHED.
///
/// An *incremental* checkpoint builds on the newest completed one that is kept, its base, which its
/// trigger names. Files in `shared/` belong to every checkpoint that names them. They are not counted:
/// when checkpoints are deleted, those of their files go that no checkpoint which is kept and no base of
/// one in flight names; what is spared is looked at again at the next deletion.
///
/// The class has no clock, files, threads or actors: events come in as calls, effects go out as
/// values. One object serves a job under one leader, over all of its attempts.
/// Threads: none of its own.
/// Source: Flink 1.2's CheckpointCoordinator, its known anomalies mended; FLIP-147.
class CheckpointCoordinator {
 public:
  struct Job {
    JobId id;
    std::string name;
    LeaderEpoch epoch;
    PlanDescription plan;
    /// `state.checkpoints.dir`, absolute; empty: checkpoints are kept in memory alone.
    std::string checkpoint_directory;
    CheckpointId first_id{1};  ///< above every id that was found, complete or not
  };
  /// What the job starts from, in any order: its own checkpoints and newest terminal savepoint if
  /// it continues, another job's snapshot if it was forked.
  CheckpointCoordinator(Job job, CheckpointConfig config,
                        std::vector<CompletedCheckpoint> found = {});

  // ---- Events -----------------------------------------------------------------------------------

  /// The job is being deployed: all its tasks are CREATED again. Requires that an earlier attempt
  /// has left RUNNING and `Settled` has come.
  [[nodiscard]] Effects attempt_started(std::uint32_t attempt);
  /// RUNNING: every task has reached RUNNING; periodic checkpoints begin, the first after one
  /// interval. Leaving RUNNING: every PENDING checkpoint is aborted, and `Settled` follows, at once
  /// or when the last write has ended. FINISHED or CANCELED: checkpoints are deleted unless
  /// retained; terminal savepoints are answered.
  [[nodiscard]] Effects job_state_changed(JobState state, Moment now);
  /// Call it before the `job_state_changed` that the task's change brings about. A task that is
  /// FINISHED has been told to end: others stay FINISHING and take part in checkpoints.
  [[nodiscard]] Effects task_state_changed(const ExecutionId& execution, TaskState state,
                                           Moment now);

  /// `weir checkpoint`: as a periodic one, but for the minimum pause.
  [[nodiscard]] Effects request_checkpoint(RequestId request, Moment now);
  /// A savepoint as a client asks for it. It stands alone whatever its form: nothing is shared.
  struct SavepointRequest {
    /// Where its directory is to be made, absolute, with the configured default already applied; empty:
    /// refused.
    std::string target;
    SnapshotForm form = SnapshotForm::canonical;
  };
  [[nodiscard]] Effects request_savepoint(RequestId request, const SavepointRequest& savepoint,
                                          Moment now);
  /// `weir stop`; `drain`: the sources end their input first.
  [[nodiscard]] Effects stop_with_savepoint(RequestId request, const SavepointRequest& savepoint,
                                            bool drain, Moment now);
  /// `weir cancel -s`.
  [[nodiscard]] Effects cancel_with_savepoint(RequestId request, const SavepointRequest& savepoint,
                                              Moment now);

  /// Answers `CreateDirectory` with the directory's path.
  [[nodiscard]] Effects directory_created(CheckpointId checkpoint, Result<std::string> path,
                                          Moment now);
  [[nodiscard]] Effects acknowledge(AcknowledgeCheckpoint acknowledgement, Moment now);
  [[nodiscard]] Effects decline(const DeclineCheckpoint& message, Moment now);
  /// Answers `WriteMetadata` and `RemoveMetadata`; `cause` unless durable.
  [[nodiscard]] Effects metadata_written(CheckpointId checkpoint, WriteOutcome outcome,
                                         const Error& cause, Moment now);
  /// What a heartbeat says of tasks of the running attempt. A trigger or an outcome that two heartbeats in a row
  /// show not to have come is told again: one that set out before it came shows the same.
  [[nodiscard]] Effects tasks_heard(const std::map<ExecutionId, HeardCheckpoints>& heard);
  /// `at` is the time that `ArmTimer` named.
  [[nodiscard]] Effects timer_fired(MonotonicTime at, Moment now);

  // ---- Questions --------------------------------------------------------------------------------

  /// What the next attempt starts from: the newest completed checkpoint, else what the job was
  /// restored from, else null. Ordinary savepoints are no recovery points. Final once `settled()`;
  /// valid until the next event.
  [[nodiscard]] const CompletedCheckpoint* restore_point() const { return store_.newest(); }
  /// The savepoint that ends the job, once it is durable: the job must not be restarted any more.
  [[nodiscard]] const std::optional<TerminalSavepointCompleted>& terminal_savepoint() const {
    return terminal_savepoint_;
  }
  /// No metadata is being written.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] CheckpointCounts counts() const;

 private:
  /// A checkpoint that waits for one in flight to end. At most one.
  struct Queued {
    std::optional<RequestId> request;  ///< none: a periodic one
  };
  /// An aborted checkpoint of which acknowledgements may still arrive.
  struct Ghost {
    CheckpointId id;
    std::string directory;
  };
  /// A `stop` or `cancel -s` under way, until its savepoint has failed or the job has ended.
  struct Termination {
    RequestId request = 0;
    SavepointRequest asked_for;
    JobState ends_as = JobState::finished;
    bool drain = false;
    std::optional<CheckpointId> savepoint;  ///< none while the sources drain
    /// The sources were told to end their input and have not all done so.
    [[nodiscard]] bool is_draining() const { return drain && !savepoint; }
  };
  /// A completed final checkpoint or terminal savepoint, announced until every task is FINISHED.
  struct Ending {
    CheckpointId checkpoint;
    std::int64_t timestamp_ms = 0;
    SnapshotKind kind = SnapshotKind::checkpoint;
  };
  /// A message that a task seems not to have heard.
  struct Unheard {
    enum class What : std::uint8_t { trigger, completion, abortion } what = What::trigger;
    CheckpointId checkpoint;
    auto operator<=>(const Unheard&) const = default;
  };
  struct Refusal {
    CheckpointFailureReason reason;
    std::string sentence;
  };
  using Answer = decltype(AnswerRequest::answer);

  // Beginning a checkpoint.
  void trigger_periodic(Moment now);
  void start_queued(Moment now);
  void terminate_with_savepoint(Termination termination, Moment now);
  void begin_terminal_savepoint(Moment now);
  void begin_final_if_due(Moment now);
  CheckpointId begin(CheckpointOptions options, const std::string& path,
                     std::optional<RequestId> request, Moment now);
  void begin_checkpoint(std::optional<RequestId> request, bool final, Moment now);
  /// Triggers what is prepared, up to the oldest one that is not.
  void trigger_in_order();
  void send_triggers(PendingCheckpoint& checkpoint);
  [[nodiscard]] std::optional<Refusal> refuse_any() const;
  [[nodiscard]] std::optional<Refusal> refuse_savepoint(const std::string& target) const;
  [[nodiscard]] std::vector<ExecutionId> barrier_starters() const;

  // Completing it.
  void finalize(PendingCheckpoint& checkpoint, Moment now);
  [[nodiscard]] bool needs_pointer(const PendingCheckpoint& checkpoint) const;
  void complete_in_order(Moment now);
  void complete(const PendingCheckpoint& checkpoint, Moment now);
  void complete_checkpoint(const PendingCheckpoint& checkpoint, Moment now);
  void complete_terminal_savepoint(const PendingCheckpoint& checkpoint, Moment now);
  void begin_ending(const PendingCheckpoint& checkpoint, Moment now);
  [[nodiscard]] CheckpointSummary summarize(const PendingCheckpoint& checkpoint, Moment now) const;

  // Giving it up.
  void abort(CheckpointId id, CheckpointFailureReason reason, const Error& why, Moment now);
  void abort_all_pending(CheckpointFailureReason reason, const std::string& why, Moment now);
  void after_abort(const PendingCheckpoint& checkpoint, CheckpointFailureReason reason,
                   const Error& error, Moment now);
  void count_failure(const Error& error);
  void remove_metadata(PendingCheckpoint& checkpoint);
  void leave_unresolved(CheckpointId id, const Error& cause);

  // The job and its timers.
  void start_periodic(Moment now);
  void stop_periodic(CheckpointFailureReason reason, const std::string& why);
  void suspend(Moment now);
  void settle();
  void end_job();
  void fail_job(Error cause, bool recoverable);
  void expire_overdue(Moment now);
  void resolve_overdue(Moment now);
  void repeat(Moment now);
  [[nodiscard]] std::optional<MonotonicTime> next_deadline() const;
  [[nodiscard]] bool is_running() const { return job_state_ == JobState::running; }
  [[nodiscard]] bool is_final_in_flight() const;
  [[nodiscard]] bool every_task(bool (*holds)(TaskState)) const;
  [[nodiscard]] Fence fence() const { return {job_.epoch, attempt_}; }

  // Talking to tasks and clients.
  void notify_complete(CheckpointId id, std::int64_t timestamp_ms, SnapshotKind kind,
                       bool ends_task);
  void notify_aborted(CheckpointId id);
  void drain_sources();
  [[nodiscard]] std::set<Unheard> unheard_by(const ExecutionId& execution,
                                             const HeardCheckpoints& heard,
                                             const std::vector<ExecutionId>& starters) const;
  void tell_again(const ExecutionId& execution, const Unheard& what);
  void discard_late(const AcknowledgeCheckpoint& acknowledgement);
  void delete_replaced(const std::vector<CompletedCheckpoint>& replaced);
  void delete_unnamed_files();
  [[nodiscard]] std::set<std::string> named_shared_files() const;
  void answer(std::optional<RequestId> request, Answer value);
  void refuse(std::optional<RequestId> request, const Refusal& refusal);
  void log(std::optional<CheckpointId> id, CheckpointFailureReason reason, std::string sentence);
  void emit(Effect effect) { effects_.push_back(std::move(effect)); }
  /// Ends the handling of an event: arms the next timer, gives the effects out.
  [[nodiscard]] Effects finish();

  const Job job_;
  const CheckpointConfig config_;
  const JobGraph graph_;

  JobState job_state_ = JobState::created;
  std::uint32_t attempt_ = 0;
  std::map<ExecutionId, TaskState> tasks_;  ///< of the current attempt

  CheckpointId next_id_;
  std::map<CheckpointId, PendingCheckpoint> pending_;  ///< PENDING and FINALIZING
  std::deque<Ghost> ghosts_;
  CompletedCheckpointStore store_;
  std::optional<Queued> queued_;
  std::optional<Termination> termination_;
  std::optional<TerminalSavepointCompleted> terminal_savepoint_;
  std::optional<Ending> ending_;
  std::optional<Ending> newest_completion_;  ///< that the tasks of this attempt were told of
  std::map<ExecutionId, std::set<Unheard>> unheard_;  ///< as the last heartbeat of each task shows
  /// Given up without knowing what lies there: left alone, with the files that it names.
  std::map<CheckpointId, std::shared_ptr<const SnapshotMetadata>> unresolved_;
  std::set<std::string> released_files_;  ///< of `shared/`: named by a checkpoint that was deleted
  bool job_fails_ = false;                ///< `FailJob` was sent, the job has not yet left RUNNING
  bool settle_wanted_ = false;            ///< the job is not RUNNING, `Settled` was not yet sent
  std::uint32_t consecutive_failures_ = 0;

  std::optional<MonotonicTime> periodic_at_;      ///< none: off, or waiting in the queue
  std::optional<MonotonicTime> repeat_at_;        ///< of what `Ending` or a drain says
  std::optional<MonotonicTime> last_completion_;  ///< what the minimum pause counts from
  std::set<MonotonicTime> armed_;                 ///< timers that will fire

  CheckpointCounts counts_;
  Effects effects_;  ///< of the event being handled
};

}  // namespace weir
