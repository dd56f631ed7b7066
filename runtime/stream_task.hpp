#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/barrier_aligner.hpp"
#include "runtime/channel.hpp"
#include "runtime/operator_chain.hpp"
#include "runtime/outstanding_work.hpp"
#include "runtime/snapshot_job.hpp"
#include "runtime/task_environment.hpp"
#include "runtime/task_operator_context.hpp"
#include "runtime/watermark_merger.hpp"

namespace weir {

/// What a call of `StreamTask::step` did.
enum class StepResult : std::uint8_t {
  busy,              ///< call again
  idle,              ///< nothing to do until woken or `wake_time` has come
  waiting_for_room,  ///< an output is full; woken when there is room
  finished           ///< the task has ended; never call again
};

/// The work of one subtask: its operators, its keyed state, its inputs and outputs.
/// `step` is the only way forward. It never blocks; everything it leaves undone is remembered.
///
///   created ──step──> deploying: operators made, state restored, one operator a step
///           ──────> running: sources wait for `start`; records, events, checkpoints
///           ──────> finishing: input ended everywhere, waits for the final checkpoint
///           ──────> finished | canceled | failed
///
/// Threads: one thread (or the simulator) calls `step`; `post` and the calls that say so come from any.
class StreamTask final : public std::enable_shared_from_this<StreamTask> {
 public:
  explicit StreamTask(TaskEnvironment environment);
  ~StreamTask();

  /// Who hears what becomes of the task. Before the first `step`.
  void set_listener(std::shared_ptr<TaskListener> listener) {
    environment_.listener = std::move(listener);
  }
  /// Who is woken when a mail, an element or room arrives. Before the first `step`.
  void set_wakeable(std::shared_ptr<Wakeable> wakeable);
  [[nodiscard]] StepResult step();
  /// When an idle task wants to be called again, if nobody wakes it before.
  [[nodiscard]] std::optional<MonotonicTime> wake_time() const;

  // Mails. Threads: any.
  /// Every subtask of the job is RUNNING: sources may emit.
  void start();
  /// Starts a checkpoint at this task, which has a source; declined if it is not running, or has ended.
  void trigger_checkpoint(const CheckpointBarrier& barrier);
  void notify_checkpoint_complete(CheckpointId id, SnapshotKind kind, bool ends_task);
  void notify_checkpoint_aborted(CheckpointId id);
  /// Ends the sources' input as if they had reached its end (`stop --drain`).
  void drain();
  /// Ends the task at the next slice boundary. Not an end of input.
  void cancel();
  /// A channel to or from another process is broken for good: the task fails.
  void lose_channel(Error why);

  [[nodiscard]] const TaskEnvironment& environment() const { return environment_; }
  /// A copy of the counters, brought up to date at least once a second. Threads: any.
  [[nodiscard]] std::vector<OperatorMetrics> metrics() const;
  /// The checkpoints and savepoints that hold something up here: of which not every barrier has come, or
  /// whose turn has not come, or whose outcome a source waits for. Ascending. Threads: any.
  [[nodiscard]] std::vector<CheckpointId> open_checkpoints() const;
  /// The operator that works now or worked last, also while it is being made, as `operator_label` names
  /// it. For reports of crashes and of operators that do not return. Threads: any, also a signal handler
  /// on the task thread; to another thread it may be the one that worked a moment ago.
  [[nodiscard]] const char* current_operator() const { return labels_[chain_.current()].c_str(); }

 private:
  struct Input {
    std::shared_ptr<Channel> channel;
    std::uint32_t input = 0;
    std::size_t position = 0;  ///< among the channels of the same input
    bool ended = false;        ///< EndOfInput has come
    bool closed = false;       ///< EndOfPartition has come
  };
  struct LogicalInput {
    std::size_t open_channels = 0;
    std::unique_ptr<WatermarkMerger> watermarks;
  };

  /// Something for the task thread to do.
  struct Mail {
    std::function<void()> run;
    std::optional<CheckpointId>
        trigger;  ///< of this checkpoint: to be declined if the task has ended
  };
  void post(std::function<void()> run, std::optional<CheckpointId> trigger = std::nullopt);
  void handle_mails();
  /// A task that has ended as `state` takes part in nothing.
  void decline_ended(CheckpointId id, TaskState state);
  /// Somebody has something for operator `index`.
  void look_at(std::size_t index);
  /// Calls code of an operator, which may be the user's; an exception becomes the failure of the
  /// operator that is the current one then.
  template <class F>
  [[nodiscard]] Status guarded(F&& call);

  // Deploying.
  void deploy_next();
  [[nodiscard]] Status make_operators();
  /// How operator `index` calls for this task.
  [[nodiscard]] TaskOperatorContext::Attention attention_for(std::size_t index);
  [[nodiscard]] Status open_operator(std::size_t index);
  void enter_running();

  // Running.
  StepResult advance();
  /// Takes the next element of some input; false if there is none that may be taken.
  bool take_input(bool room);
  void take_element(std::size_t channel);
  void on_end_of_input(Input& input);
  /// Lets barriers at the heads of the inputs take part in alignment while records must wait.
  bool scan_for_barriers();
  /// Sends the cancel marker of `id` downstream, in its turn among the barriers that wait.
  void give_up(CheckpointId id);
  /// Sends the cancel markers whose turn it is.
  void send_cancel_markers();
  /// Carries out what the aligner decided, or fails the task over a corrupt stream.
  void apply(const Result<AlignmentDecisions>& decisions);
  void poll_source();
  void end_source();

  // Checkpoints.
  void perform_checkpoint();
  void run_snapshot_job(const CheckpointBarrier& barrier, std::vector<FrozenOperator> operators,
                        CheckpointMetrics metrics);
  void decline(CheckpointId id, DeclineReason reason, std::string detail);
  /// Brings `open_checkpoints` up to date.
  void show_open_checkpoints();
  void complete(CheckpointId id, SnapshotKind kind, bool ends_task);
  void aborted(CheckpointId id);

  void fail(const Error& failure);
  void end(TaskState state, const Error& failure, bool recoverable);
  void update_metrics(MonotonicTime now);

  TaskEnvironment environment_;
  /// Of the operators, by index in the chain. Never changed, as other threads read them.
  const std::vector<std::string> labels_;
  OperatorChain chain_;
  std::vector<std::unique_ptr<TaskOperatorContext>> contexts_;
  std::vector<Input> inputs_;
  std::vector<LogicalInput> logical_inputs_;
  std::optional<BarrierAligner> aligner_;
  std::size_t next_input_ = 0;

  TaskState state_ = TaskState::created;
  std::size_t deployed_ = 0;  ///< operators opened so far
  std::size_t loaded_ = 0;    ///< operators whose restored keyed state is all there
  bool has_source_ = false;
  bool started_ = false;
  bool source_ready_ = true;  ///< false after `nothing_now` until woken
  bool source_ended_ = false;
  bool drain_requested_ = false;
  bool cancel_requested_ = false;
  std::optional<CheckpointId> blocked_by_;  ///< a terminal savepoint whose outcome is awaited

  MonotonicTime alignment_begin_{};
  /// A checkpoint whose barrier, or cancel marker, goes downstream when it is its turn.
  struct Turn {
    CheckpointBarrier barrier;
    bool given_up = false;
  };
  /// Aligned or triggered, waiting for the chain to be idle; ids ascend, as downstream relies on. The
  /// first is not given up.
  std::deque<Turn> barriers_;
  bool preparing_ = false;  ///< `before_barrier` of the first of them is running
  CheckpointId last_barrier_;
  std::set<CheckpointId> aborted_;  ///< told to be aborted before their barrier came; bounded
  std::map<CheckpointId, std::weak_ptr<SnapshotJob>> snapshot_jobs_;
  const std::shared_ptr<OutstandingWork> snapshot_writes_ = std::make_shared<OutstandingWork>();

  MonotonicTime last_flush_{};
  MonotonicTime last_metrics_{};
  bool metrics_stale_ = false;  ///< work was done since `last_metrics_`

  std::shared_ptr<Wakeable> wakeable_;
  std::atomic<bool> has_mail_{false};
  mutable std::mutex mutex_;  // guards the next four
  std::vector<Mail> mails_;
  std::vector<OperatorMetrics> metrics_;
  std::vector<CheckpointId> open_checkpoints_;
  std::optional<TaskState> ended_as_;
};

}  // namespace weir
