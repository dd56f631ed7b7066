#include "actors/checkpoint_coordinator.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

using std::chrono::milliseconds;
using Reason = CheckpointFailureReason;

/// Aborted checkpoints of which late acknowledgements are recognized, as in Flink.
constexpr std::size_t max_ghosts = 16;
/// Between two announcements of what ends the job, and of a drain, to tasks that have not reacted.
constexpr milliseconds repeat_interval{1000};
/// Between two looks at what a write of unknown outcome has left, and how many there are at most.
constexpr milliseconds resolve_interval{1000};
constexpr std::uint32_t max_resolve_attempts = 60;
/// Tasks that a sentence names; the rest is counted.
constexpr std::size_t max_named_tasks = 3;
constexpr milliseconds max_min_pause{std::chrono::years(1)};  // Flink's, against overflow

/// The enumerator as Flink and the command line write it.
template <HasEnumerators T>
std::string upper_name(T value) {
  std::string name(enumerator_name(value));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  return name;
}

std::string name_tasks(const std::vector<ExecutionId>& tasks) {
  std::string names;
  for (std::size_t i = 0; i < std::min(tasks.size(), max_named_tasks); ++i)
    names += (i == 0 ? "" : ", ") + to_string(tasks[i]);
  if (tasks.size() > max_named_tasks)
    names += " and " + std::to_string(tasks.size() - max_named_tasks) + " more";
  return names;
}

bool takes_part(TaskState state) {
  return state == TaskState::running || state == TaskState::finishing ||
         state == TaskState::finished;
}
bool is_at_end(TaskState state) {
  return state == TaskState::finishing || state == TaskState::finished;
}
bool is_finished(TaskState state) { return state == TaskState::finished; }

milliseconds min_pause_of(const CheckpointConfig& config) {
  return std::min(config.min_pause, max_min_pause);
}

/// From one periodic checkpoint to the next; at least the pause, as in Flink.
milliseconds interval_of(const CheckpointConfig& config) {
  return std::max({*config.interval, min_pause_of(config), milliseconds(1)});
}

}  // namespace

std::string to_string(CheckpointFailureReason reason) { return upper_name(reason); }

CheckpointCoordinator::CheckpointCoordinator(Job job, CheckpointConfig config,
                                             std::vector<CompletedCheckpoint> found)
    : job_(std::move(job)),
      config_(config),
      graph_(build_job_graph(job_.plan)),
      next_id_(job_.first_id),
      store_(job_.id, config.num_retained) {
  store_.restore(std::move(found));
}

// ---- Events of the job --------------------------------------------------------------------------

Effects CheckpointCoordinator::attempt_started(std::uint32_t attempt) {
  WEIR_ASSERT(settled() && pending_.empty() && !terminal_savepoint_);
  attempt_ = attempt;
  job_state_ = JobState::created;
  job_fails_ = false;
  settle_wanted_ = false;
  consecutive_failures_ = 0;
  newest_completion_.reset();
  unheard_.clear();
  tasks_.clear();
  for (std::uint32_t vertex = 0; vertex < graph_.vertices.size(); ++vertex) {
    for (std::uint32_t subtask = 0; subtask < graph_.vertices[vertex].parallelism; ++subtask)
      tasks_.emplace(ExecutionId{vertex, subtask, attempt}, TaskState::created);
  }
  if (const auto* point = restore_point()) {
    counts_.restored_from = point->metadata->checkpoint;
    counts_.restored_directory = point->directory;
  }
  return finish();
}

Effects CheckpointCoordinator::job_state_changed(JobState state, Moment now) {
  if (state == job_state_) return finish();
  job_state_ = state;
  if (state == JobState::running) {
    start_periodic(now);
    begin_final_if_due(now);
  } else if (state != JobState::created) {
    suspend(now);
  }
  return finish();
}

Effects CheckpointCoordinator::task_state_changed(const ExecutionId& execution, TaskState state,
                                                  Moment now) {
  const auto task = tasks_.find(execution);
  if (task == tasks_.end()) return finish();  // of an older attempt
  task->second = state;
  if (state == TaskState::finished) {
    // A task is FINISHED once it was told to end; what it has not acknowledged by then, it never
    // will.
    std::vector<CheckpointId> waiting;
    for (const auto& [id, checkpoint] : pending_) {
      if (checkpoint.awaits(execution)) waiting.push_back(id);
    }
    for (const auto id : waiting) {
      abort(id, Reason::declined,
            {Errc::checkpoint_declined,
             "task " + to_string(execution) + " finished before it had acknowledged"},
            now);
    }
    if (!waiting.empty()) start_queued(now);
    if (every_task(is_finished)) repeat_at_.reset();
  }
  begin_final_if_due(now);
  return finish();
}

// ---- Events of clients --------------------------------------------------------------------------

Effects CheckpointCoordinator::request_checkpoint(RequestId request, Moment now) {
  if (const auto refusal = refuse_any()) {
    refuse(request, *refusal);
  } else if (queued_ && queued_->request) {
    refuse(request,
           {Reason::already_queued,
            "another requested checkpoint waits for its turn; try again when it has ended"});
  } else if (pending_.size() >= config_.max_concurrent) {
    // If a periodic one is waiting, this one takes its place: it begins later than it was asked
    // for.
    queued_ = Queued{request};
  } else {
    begin_checkpoint(request, false, now);
  }
  return finish();
}

Effects CheckpointCoordinator::request_savepoint(RequestId request,
                                                 const SavepointRequest& savepoint, Moment now) {
  if (const auto refusal = refuse_savepoint(savepoint.target)) {
    refuse(request, *refusal);
  } else {
    begin({.kind = SnapshotKind::savepoint, .form = savepoint.form}, savepoint.target, request,
          now);
  }
  return finish();
}

Effects CheckpointCoordinator::stop_with_savepoint(RequestId request,
                                                   const SavepointRequest& savepoint, bool drain,
                                                   Moment now) {
  terminate_with_savepoint({request, savepoint, JobState::finished, drain, {}}, now);
  return finish();
}

Effects CheckpointCoordinator::cancel_with_savepoint(RequestId request,
                                                     const SavepointRequest& savepoint,
                                                     Moment now) {
  terminate_with_savepoint({request, savepoint, JobState::canceled, false, {}}, now);
  return finish();
}

// ---- Events of tasks and files ------------------------------------------------------------------

Effects CheckpointCoordinator::directory_created(CheckpointId checkpoint, Result<std::string> path,
                                                 Moment now) {
  const auto found = pending_.find(checkpoint);
  if (found == pending_.end()) {
    // Aborted meanwhile, before any task knew of it.
    if (path) emit(DeleteSnapshot{checkpoint, std::move(*path)});
  } else if (found->second.state != PendingState::preparing) {
    // An answer that came twice.
  } else if (path) {
    found->second.directory_created(std::move(*path));
    found->second.state = PendingState::prepared;
  } else {
    abort(checkpoint, Reason::exception, path.error(), now);
    start_queued(now);
  }
  return finish();
}

Effects CheckpointCoordinator::acknowledge(AcknowledgeCheckpoint acknowledgement, Moment now) {
  // A newer leader's files are not ours to touch, and neither are another job's.
  if (acknowledgement.job != job_.id || acknowledgement.fence > fence()) return finish();
  const auto found = pending_.find(acknowledgement.checkpoint);
  if (acknowledgement.fence != fence() || found == pending_.end() ||
      found->second.state < PendingState::triggered) {
    discard_late(acknowledgement);
    return finish();
  }
  if (!found->second.is_pending()) return finish();  // all have acknowledged: a repeated message
  switch (
      found->second.acknowledge(acknowledgement.execution, std::move(acknowledgement.snapshot))) {
    case PendingCheckpoint::AcknowledgeResult::accepted:
      found->second.add(acknowledgement.metrics);
      if (found->second.all_acknowledged()) finalize(found->second, now);
      break;
    case PendingCheckpoint::AcknowledgeResult::duplicate:
      break;  // its files are those of the accepted one
    case PendingCheckpoint::AcknowledgeResult::unknown:
      discard_late(acknowledgement);
      break;
  }
  return finish();
}

Effects CheckpointCoordinator::decline(const DeclineCheckpoint& message, Moment now) {
  const auto found = pending_.find(message.checkpoint);
  const bool current =
      message.job == job_.id && message.fence == fence() && tasks_.contains(message.execution);
  // FINALIZING: every task has acknowledged, so this is a late or repeated message.
  if (!current || found == pending_.end() || !found->second.is_pending()) return finish();
  const auto reason =
      message.reason == DeclineReason::subsumed ? Reason::subsumed : Reason::declined;
  abort(message.checkpoint, reason,
        {Errc::checkpoint_declined,
         "task " + to_string(message.execution) + " declined it: " +
             (message.detail.empty() ? std::string(enumerator_name(message.reason))
                                     : message.detail)},
        now);
  const bool newer_in_flight = !pending_.empty() && pending_.rbegin()->first > message.checkpoint;
  if (!newer_in_flight) start_queued(now);
  return finish();
}

Effects CheckpointCoordinator::metadata_written(CheckpointId checkpoint, WriteOutcome outcome,
                                                const Error& cause, Moment now) {
  const auto found = pending_.find(checkpoint);
  if (found == pending_.end() || found->second.is_pending()) return finish();
  auto& written = found->second;
  if (written.state == PendingState::durable) return finish();  // an answer that came twice
  switch (outcome) {
    case WriteOutcome::durable:
      written.state = PendingState::durable;
      break;
    case WriteOutcome::failed:
      abort(checkpoint, Reason::finalize_failure, cause, now);
      break;
    case WriteOutcome::unknown:
      if (written.resolve_attempts >= max_resolve_attempts) {
        leave_unresolved(checkpoint, cause);
      } else if (written.state == PendingState::finalizing) {
        remove_metadata(written);
      } else {
        written.resolve_at = now.at + resolve_interval;
      }
      break;
  }
  complete_in_order(now);
  return finish();
}

Effects CheckpointCoordinator::tasks_heard(const std::map<ExecutionId, HeardCheckpoints>& heard) {
  if (!is_running() || job_fails_) return finish();
  const auto starters = barrier_starters();
  for (const auto& [execution, checkpoints] : heard) {
    const auto known = tasks_.find(execution);
    if (known == tasks_.end() || is_terminal(known->second)) continue;
    auto unheard = unheard_by(execution, checkpoints, starters);
    auto& before = unheard_[execution];
    std::vector<Unheard> again;
    std::ranges::set_intersection(unheard, before, std::back_inserter(again));
    for (const Unheard& what : again) {
      tell_again(execution, what);
      unheard.erase(what);
    }
    before = std::move(unheard);
  }
  return finish();
}

Effects CheckpointCoordinator::timer_fired(MonotonicTime at, Moment now) {
  armed_.erase(at);
  expire_overdue(now);
  resolve_overdue(now);
  if (repeat_at_ && *repeat_at_ <= now.at) repeat(now);
  if (periodic_at_ && *periodic_at_ <= now.at) trigger_periodic(now);
  return finish();
}

// ---- Beginning a checkpoint ---------------------------------------------------------------------

std::optional<CheckpointCoordinator::Refusal> CheckpointCoordinator::refuse_any() const {
  if (is_terminal(job_state_))
    return Refusal{Reason::coordinator_shutdown, "the job is " + upper_name(job_state_)};
  if (!is_running()) {
    return Refusal{Reason::not_all_required_tasks_running,
                   "the job is " + upper_name(job_state_) + "; try again when it is RUNNING"};
  }
  if (job_fails_) {
    return Refusal{Reason::not_all_required_tasks_running,
                   "the job is failing; try again when it is RUNNING"};
  }
  if (termination_)
    return Refusal{Reason::job_is_stopping, "the job is being stopped with a savepoint"};
  if (ending_ || is_final_in_flight()) {
    return Refusal{Reason::job_is_stopping,
                   "the job has reached the end of its input and is finishing"};
  }
  for (const auto& [execution, state] : tasks_) {
    if (takes_part(state)) continue;
    return Refusal{Reason::not_all_required_tasks_running,
                   "task " + to_string(execution) + " is " + upper_name(state)};
  }
  if (every_task(is_finished))
    return Refusal{Reason::not_all_required_tasks_running, "every task is FINISHED"};
  return std::nullopt;
}

std::optional<CheckpointCoordinator::Refusal> CheckpointCoordinator::refuse_savepoint(
    const std::string& target) const {
  if (auto refusal = refuse_any()) return refusal;
  if (!target.empty()) return std::nullopt;
  return Refusal{Reason::no_savepoint_directory,
                 "no savepoint directory: give one, or set state.savepoints.dir"};
}

void CheckpointCoordinator::trigger_periodic(Moment now) {
  periodic_at_ = now.at + interval_of(config_);
  if (const auto refusal = refuse_any()) {
    log(std::nullopt, refusal->reason, refusal->sentence);
  } else if (queued_) {
    log(std::nullopt, Reason::already_queued, "a checkpoint waits for its turn");
  } else if (pending_.size() >= config_.max_concurrent) {
    queued_ = Queued{};
    periodic_at_.reset();
    log(std::nullopt, Reason::too_many_concurrent_checkpoints,
        std::to_string(pending_.size()) + " in flight; it begins when one has ended");
  } else if (last_completion_ && now.at < *last_completion_ + min_pause_of(config_)) {
    periodic_at_ = *last_completion_ + min_pause_of(config_);
    log(std::nullopt, Reason::minimum_time_between_checkpoints,
        "it begins when the minimum pause is over");
  } else {
    begin_checkpoint(std::nullopt, false, now);
  }
}

void CheckpointCoordinator::start_queued(Moment now) {
  if (!queued_ || pending_.size() >= config_.max_concurrent || refuse_any()) return;
  const auto request = std::exchange(queued_, std::nullopt)->request;
  if (!request) {
    trigger_periodic(now);  // looks at the minimum pause
    return;
  }
  begin_checkpoint(request, false, now);
  // It may have taken the place of a periodic one, which had stopped the timer.
  if (config_.interval && !periodic_at_) periodic_at_ = now.at + interval_of(config_);
}

void CheckpointCoordinator::terminate_with_savepoint(Termination termination, Moment now) {
  if (const auto refusal = refuse_savepoint(termination.asked_for.target)) {
    refuse(termination.request, *refusal);
    return;
  }
  // No other checkpoint may complete any more: records behind the savepoint's barrier would be
  // committed twice, and a checkpoint of drained sources would not read on after a restart.
  const std::string why = "the job is being stopped with a savepoint";
  stop_periodic(Reason::job_is_stopping, why);
  abort_all_pending(Reason::job_is_stopping, why, now);
  termination_ = std::move(termination);
  if (!termination_->drain || every_task(is_at_end)) {
    begin_terminal_savepoint(now);
  } else {
    drain_sources();
    repeat_at_ = now.at + repeat_interval;
  }
}

void CheckpointCoordinator::begin_terminal_savepoint(Moment now) {
  repeat_at_.reset();
  const CheckpointOptions options{.kind = SnapshotKind::terminal_savepoint,
                                  .directory = {},
                                  .alignment = config_.mode,
                                  .terminal = true,
                                  .final = termination_->drain,
                                  .form = termination_->asked_for.form};
  termination_->savepoint = begin(options, termination_->asked_for.target, std::nullopt, now);
}

void CheckpointCoordinator::begin_final_if_due(Moment now) {
  if (!is_running() || job_fails_ || !every_task(is_at_end) || every_task(is_finished)) return;
  if (termination_ && termination_->is_draining()) {
    begin_terminal_savepoint(now);
  } else if (!termination_ && !ending_ && !is_final_in_flight()) {
    // It does not wait for those in flight, whatever the bound: when it completes, it subsumes
    // them.
    stop_periodic(Reason::job_is_stopping,
                  "the job has reached the end of its input and is finishing");
    begin_checkpoint(std::nullopt, true, now);
  }
}

void CheckpointCoordinator::begin_checkpoint(std::optional<RequestId> request, bool final,
                                             Moment now) {
  const std::string path = job_.checkpoint_directory.empty()
                               ? std::string()
                               : checkpoint_directory(job_.checkpoint_directory, job_.id, next_id_);
  begin({.kind = SnapshotKind::checkpoint, .final = final}, path, request, now);
}

CheckpointId CheckpointCoordinator::begin(CheckpointOptions options, const std::string& path,
                                          std::optional<RequestId> request, Moment now) {
  const CheckpointId id = next_id_;
  ++next_id_.value;
  options.alignment = config_.mode;
  std::vector<ExecutionId> awaited;
  std::vector<ExecutionId> finished;
  for (const auto& [execution, state] : tasks_)
    (is_finished(state) ? finished : awaited).push_back(execution);
  const auto kind = options.kind;
  std::shared_ptr<const SnapshotMetadata> base;
  if (kind == SnapshotKind::checkpoint && config_.incremental) {
    options.form = SnapshotForm::incremental;
    const auto* newest = store_.newest();
    if (newest != nullptr && newest->owner == SnapshotOwner::system &&
        newest->metadata->job == job_.id) {
      base = newest->metadata;
      options.base = base->checkpoint;
    }
  }
  PendingCheckpoint::Settings settings{.id = id,
                                       .fence = fence(),
                                       .options = std::move(options),
                                       .triggered_at_ms = now.wall_ms,
                                       .triggered_at = now.at,
                                       .expires_at = now.at + config_.timeout,
                                       .request = request,
                                       .base = std::move(base)};
  const auto place =
      pending_.emplace(id, PendingCheckpoint(std::move(settings), awaited, std::move(finished)));
  if (path.empty()) {
    place.first->second.state = PendingState::prepared;
  } else {
    emit(CreateDirectory{id, kind, path});
  }
  return id;
}

/// Directories are made side by side, and a source takes no barrier behind that of a newer checkpoint.
void CheckpointCoordinator::trigger_in_order() {
  for (auto& [id, checkpoint] : pending_) {
    if (checkpoint.state == PendingState::preparing) return;
    if (checkpoint.state == PendingState::prepared) send_triggers(checkpoint);
  }
}

void CheckpointCoordinator::send_triggers(PendingCheckpoint& checkpoint) {
  checkpoint.state = PendingState::triggered;
  const auto& settings = checkpoint.settings();
  for (const auto& execution : barrier_starters()) {
    emit(TriggerCheckpoint{job_.id, fence(), execution, settings.id, settings.triggered_at_ms,
                           settings.options});
  }
}

/// Those that no other task brings a barrier to: the sources, and tasks of which every upstream
/// task has FINISHED (FLIP-147).
std::vector<ExecutionId> CheckpointCoordinator::barrier_starters() const {
  const auto finished = [this](std::uint32_t vertex, std::uint32_t subtask) {
    return is_finished(tasks_.at({vertex, subtask, attempt_}));
  };
  std::vector<bool> vertex_finished(graph_.vertices.size(), true);
  for (const auto& [execution, state] : tasks_) {
    if (!is_finished(state)) vertex_finished[execution.vertex] = false;
  }
  std::vector<ExecutionId> starters;
  for (const auto& [execution, state] : tasks_) {
    if (is_finished(state)) continue;
    const bool starts = std::ranges::all_of(graph_.exchange_edges, [&](std::uint32_t index) {
      const auto& edge = job_.plan.edges[index];
      if (graph_.vertex_of[edge.consumer] != execution.vertex) return true;
      const auto upstream = graph_.vertex_of[edge.producer];
      if (edge.partitioning == Partitioning::forward) return finished(upstream, execution.subtask);
      return static_cast<bool>(vertex_finished[upstream]);
    });
    if (starts) starters.push_back(execution);
  }
  return starters;
}

// ---- Completing it ------------------------------------------------------------------------------

void CheckpointCoordinator::finalize(PendingCheckpoint& checkpoint, Moment now) {
  const CheckpointId id = checkpoint.id();
  auto metadata = checkpoint.assemble(job_.id, job_.name, job_.plan, graph_, now.wall_ms);
  if (!metadata) {
    abort(id, Reason::declined, metadata.error(), now);
    start_queued(now);
    return;
  }
  checkpoint.metadata = std::make_shared<const SnapshotMetadata>(std::move(*metadata));
  if (checkpoint.directory().empty()) {
    checkpoint.state = PendingState::durable;  // kept in memory alone: there is nothing to write
    complete_in_order(now);
  } else {
    checkpoint.state = PendingState::finalizing;
    emit(WriteMetadata{id, checkpoint.directory(), checkpoint.metadata, needs_pointer(checkpoint)});
  }
}

bool CheckpointCoordinator::needs_pointer(const PendingCheckpoint& checkpoint) const {
  return checkpoint.kind() == SnapshotKind::terminal_savepoint &&
         !job_.checkpoint_directory.empty();
}

/// Completes what is durable, up to the oldest one that is still being written. One whose write
/// failed never completes and holds nobody up.
void CheckpointCoordinator::complete_in_order(Moment now) {
  const auto may_complete = [](const auto& entry) {
    return entry.second.state == PendingState::finalizing ||
           entry.second.state == PendingState::durable;
  };
  for (;;) {
    const auto oldest = std::ranges::find_if(pending_, may_complete);
    if (oldest == pending_.end() || oldest->second.state != PendingState::durable) break;
    const auto node = pending_.extract(oldest);
    complete(node.mapped(), now);
  }
  start_queued(now);
  settle();
}

void CheckpointCoordinator::complete(const PendingCheckpoint& checkpoint, Moment now) {
  const auto& settings = checkpoint.settings();
  ++counts_.completed;
  last_completion_ = now.at;
  switch (checkpoint.kind()) {
    case SnapshotKind::checkpoint:
      complete_checkpoint(checkpoint, now);
      answer(settings.request, CheckpointCompleted{job_.id, settings.id, checkpoint.directory()});
      break;
    case SnapshotKind::savepoint:  // no recovery point, and it subsumes nothing (A4, A16)
      counts_.last_savepoint = summarize(checkpoint, now);
      notify_complete(settings.id, settings.triggered_at_ms, checkpoint.kind(), false);
      answer(settings.request,
             TriggerSavepointSuccess{job_.id, settings.id, checkpoint.directory()});
      break;
    case SnapshotKind::terminal_savepoint:
      complete_terminal_savepoint(checkpoint, now);  // answered when the job has ended
      break;
  }
}

void CheckpointCoordinator::complete_checkpoint(const PendingCheckpoint& checkpoint, Moment now) {
  counts_.last_completed = summarize(checkpoint, now);
  consecutive_failures_ = 0;
  const auto replaced =
      store_.add({checkpoint.directory(), checkpoint.metadata, SnapshotOwner::system});
  std::vector<CheckpointId> subsumed;
  for (const auto& [id, other] : pending_) {
    if (id < checkpoint.id() && other.is_pending() && other.kind() == SnapshotKind::checkpoint)
      subsumed.push_back(id);
  }
  for (const auto id : subsumed) {
    abort(id, Reason::subsumed,
          {Errc::checkpoint_declined, checkpoint.name() + ", which is newer, has completed"}, now);
  }
  if (checkpoint.is_final()) {
    begin_ending(checkpoint, now);
  } else {
    notify_complete(checkpoint.id(), checkpoint.settings().triggered_at_ms, checkpoint.kind(),
                    false);
  }
  delete_replaced(replaced);
}

void CheckpointCoordinator::complete_terminal_savepoint(const PendingCheckpoint& checkpoint,
                                                        Moment now) {
  counts_.last_savepoint = summarize(checkpoint, now);
  delete_replaced(store_.add({checkpoint.directory(), checkpoint.metadata, SnapshotOwner::user}));
  terminal_savepoint_ =
      TerminalSavepointCompleted{checkpoint.id(), checkpoint.directory(), termination_->ends_as};
  emit(*terminal_savepoint_);
  begin_ending(checkpoint, now);
}

/// Tells every task to commit and end. If the job is no longer running, sinks commit at the
/// restore.
void CheckpointCoordinator::begin_ending(const PendingCheckpoint& checkpoint, Moment now) {
  if (!is_running()) return;
  ending_ = Ending{checkpoint.id(), checkpoint.settings().triggered_at_ms, checkpoint.kind()};
  repeat(now);
}

CheckpointSummary CheckpointCoordinator::summarize(const PendingCheckpoint& checkpoint,
                                                   Moment now) const {
  const auto& settings = checkpoint.settings();
  const auto duration = std::chrono::duration_cast<milliseconds>(now.at - settings.triggered_at);
  return {.id = settings.id,
          .kind = checkpoint.kind(),
          .directory = checkpoint.directory(),
          .triggered_at_ms = settings.triggered_at_ms,
          .duration_ms = duration.count(),
          .size_bytes = checkpoint.metadata->size_bytes(),
          .written_bytes = checkpoint.written_bytes(),
          .longest = checkpoint.longest()};
}

// ---- Giving it up -------------------------------------------------------------------------------

/// Takes a checkpoint out of the table that is PENDING, or FINALIZING with nothing left of its
/// metadata.
void CheckpointCoordinator::abort(CheckpointId id, CheckpointFailureReason reason, const Error& why,
                                  Moment now) {
  const auto node = pending_.extract(id);
  const auto& checkpoint = node.mapped();
  ++counts_.failed;
  ghosts_.push_back({id, checkpoint.directory()});
  if (ghosts_.size() > max_ghosts) ghosts_.pop_front();
  if (checkpoint.state >= PendingState::triggered) notify_aborted(id);
  // Without a directory so far, `directory_created` will delete it.
  if (!checkpoint.directory().empty()) {
    emit(DeleteSnapshot{id, checkpoint.directory(),
                        checkpoint.settings().options.form == SnapshotForm::incremental});
  }
  const Error error{why.code, checkpoint.name() + " was given up: " + why.what};
  log(id, reason, error.what);
  after_abort(checkpoint, reason, error, now);
}

void CheckpointCoordinator::abort_all_pending(CheckpointFailureReason reason,
                                              const std::string& why, Moment now) {
  std::vector<CheckpointId> ids;
  for (const auto& [id, checkpoint] : pending_) {
    if (checkpoint.is_pending()) ids.push_back(id);
  }
  for (const auto id : ids) abort(id, reason, {Errc::checkpoint_declined, why}, now);
}

/// What the failure of a checkpoint means for the job, and for the client that waits for it.
void CheckpointCoordinator::after_abort(const PendingCheckpoint& checkpoint,
                                        CheckpointFailureReason reason, const Error& error,
                                        Moment now) {
  if (checkpoint.kind() == SnapshotKind::terminal_savepoint) {
    const auto termination = std::exchange(termination_, std::nullopt);
    if (is_running() && termination->drain) {
      // The sources have ended their input too early: only a restart makes them read on.
      fail_job(error, true);
    } else if (is_running()) {
      start_periodic(now);
      begin_final_if_due(now);
    }
    answer(termination->request, error);
    return;
  }
  if (checkpoint.is_final()) {
    if (is_running()) fail_job(error, true);
  } else if (checkpoint.kind() == SnapshotKind::checkpoint) {
    const bool failed = reason == Reason::exception || reason == Reason::expired ||
                        reason == Reason::declined || reason == Reason::finalize_failure;
    if (failed) count_failure(error);
  }
  answer(checkpoint.settings().request, error);
}

void CheckpointCoordinator::count_failure(const Error& error) {
  ++consecutive_failures_;
  counts_.last_failure = error.what;
  if (!config_.tolerable_failed || consecutive_failures_ <= *config_.tolerable_failed) return;
  fail_job({error.code,
            std::to_string(consecutive_failures_) +
                (consecutive_failures_ == 1 ? " checkpoint" : " checkpoints") +
                " failed in a row, more than "
                "execution.checkpointing.tolerable-failed-checkpoints allows; the last one: " +
                error.what},
           true);
}

/// Until nothing is left of it, a failed write could come back after a crash as a complete
/// checkpoint.
void CheckpointCoordinator::remove_metadata(PendingCheckpoint& checkpoint) {
  checkpoint.state = PendingState::unresolved;
  checkpoint.resolve_at.reset();
  ++checkpoint.resolve_attempts;
  emit(RemoveMetadata{checkpoint.id(), checkpoint.directory(), needs_pointer(checkpoint)});
}

/// Nobody can say whether the checkpoint is complete. A newer one makes that harmless; else the job
/// must not go on, because a restart might begin from an older one and a crash from this one.
void CheckpointCoordinator::leave_unresolved(CheckpointId id, const Error& cause) {
  const auto node = pending_.extract(id);
  const auto& checkpoint = node.mapped();
  ++counts_.failed;
  unresolved_.emplace(id, checkpoint.metadata);
  const Error error{
      cause.code, checkpoint.name() + " may or may not be complete in '" + checkpoint.directory() +
                      "', where its metadata can be neither written " +
                      "nor removed: " + cause.what + "; mend the storage, then look at it"};
  log(id, Reason::finalize_failure, error.what);
  if (checkpoint.kind() == SnapshotKind::checkpoint) counts_.last_failure = error.what;
  notify_aborted(id);
  const bool harmless = checkpoint.kind() == SnapshotKind::savepoint || store_.has_newer_than(id);
  if (!harmless) fail_job(error, false);
  if (checkpoint.kind() == SnapshotKind::terminal_savepoint) {
    answer(std::exchange(termination_, std::nullopt)->request, error);
  } else {
    answer(checkpoint.settings().request, error);
  }
}

// ---- The job and its timers ---------------------------------------------------------------------

void CheckpointCoordinator::start_periodic(Moment now) {
  if (config_.interval) periodic_at_ = now.at + interval_of(config_);
}

void CheckpointCoordinator::stop_periodic(CheckpointFailureReason reason, const std::string& why) {
  periodic_at_.reset();
  if (const auto queued = std::exchange(queued_, std::nullopt); queued && queued->request)
    refuse(queued->request, {reason, why});
}

void CheckpointCoordinator::suspend(Moment now) {
  const auto reason =
      is_terminal(job_state_) ? Reason::coordinator_shutdown : Reason::coordinator_suspend;
  const std::string why = "the job is " + upper_name(job_state_);
  ending_.reset();
  repeat_at_.reset();
  stop_periodic(reason, why);
  abort_all_pending(reason, why, now);
  if (termination_ && termination_->is_draining())
    refuse(std::exchange(termination_, std::nullopt)->request, {reason, why});
  settle_wanted_ = true;
  settle();
}

void CheckpointCoordinator::settle() {
  if (!settle_wanted_ || !settled()) return;
  settle_wanted_ = false;
  if (is_terminal(job_state_)) end_job();
  emit(Settled{job_state_});
}

void CheckpointCoordinator::end_job() {
  // A job that failed keeps what a later one may continue from.
  const bool keeps = job_state_ == JobState::failed ||
                     config_.retention == CheckpointRetention::retain_on_cancellation;
  const bool nothing_to_go_on_with =
      !keeps && job_state_ == JobState::finished && !terminal_savepoint_;
  if (nothing_to_go_on_with && !job_.checkpoint_directory.empty())
    emit(MarkFinished{job_.checkpoint_directory, job_.id, job_.name});
  if (!keeps) delete_replaced(store_.clear());
  if (!termination_) return;
  const auto termination = *std::exchange(termination_, std::nullopt);
  const auto& path = terminal_savepoint_->directory;
  if (!every_task(is_finished)) {
    // The sinks of some task have not committed; they will when the savepoint is restored.
    answer(termination.request,
           Error{Errc::unavailable, "the job is " + upper_name(job_state_) + " after savepoint '" +
                                        path + "' had completed, but before every task had " +
                                        "committed its output; resume it with -s " + path});
  } else if (termination.ends_as == JobState::canceled) {
    answer(termination.request, CancellationSuccess{job_.id, path});
  } else {
    answer(termination.request, StoppingSuccess{job_.id, path});
  }
}

void CheckpointCoordinator::fail_job(Error cause, bool recoverable) {
  if (job_fails_ && recoverable) return;
  job_fails_ = true;
  emit(FailJob{std::move(cause), recoverable});
}

void CheckpointCoordinator::expire_overdue(Moment now) {
  std::vector<CheckpointId> overdue;
  for (const auto& [id, checkpoint] : pending_) {
    if (checkpoint.is_pending() && checkpoint.settings().expires_at <= now.at)
      overdue.push_back(id);
  }
  for (const auto id : overdue) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) continue;  // went with one before it
    const std::string limit = std::to_string(config_.timeout.count()) + " ms";
    const PendingState state = found->second.state;
    const std::string why = state == PendingState::preparing
                                ? "its directory was not made within " + limit
                            : state == PendingState::prepared
                                ? "the directory of an older one was not made within " + limit
                                : "not acknowledged within " + limit + " by task " +
                                      name_tasks(found->second.missing());
    abort(id, Reason::expired, {Errc::timed_out, why}, now);
  }
  if (!overdue.empty()) start_queued(now);
}

void CheckpointCoordinator::resolve_overdue(Moment now) {
  for (auto& [id, checkpoint] : pending_) {
    if (checkpoint.resolve_at && *checkpoint.resolve_at <= now.at) remove_metadata(checkpoint);
  }
}

/// Says again what must not get lost.
void CheckpointCoordinator::repeat(Moment now) {
  repeat_at_ = now.at + repeat_interval;
  if (ending_) {
    notify_complete(ending_->checkpoint, ending_->timestamp_ms, ending_->kind, true);
  } else {
    drain_sources();
  }
}

std::optional<MonotonicTime> CheckpointCoordinator::next_deadline() const {
  std::optional<MonotonicTime> next;
  const auto consider = [&](std::optional<MonotonicTime> at) {
    if (at && (!next || *at < *next)) next = at;
  };
  consider(periodic_at_);
  consider(repeat_at_);
  for (const auto& [id, checkpoint] : pending_) {
    if (checkpoint.is_pending()) consider(checkpoint.settings().expires_at);
    consider(checkpoint.resolve_at);
  }
  return next;
}

bool CheckpointCoordinator::is_final_in_flight() const {
  return std::ranges::any_of(pending_, [](const auto& entry) { return entry.second.is_final(); });
}

bool CheckpointCoordinator::every_task(bool (*holds)(TaskState)) const {
  return std::ranges::all_of(tasks_, [&](const auto& task) { return holds(task.second); });
}

bool CheckpointCoordinator::settled() const {
  return std::ranges::all_of(pending_, [](const auto& entry) { return entry.second.is_pending(); });
}

CheckpointCounts CheckpointCoordinator::counts() const {
  auto counts = counts_;
  for (const auto& [id, checkpoint] : pending_) counts.in_progress.push_back(checkpoint.progress());
  return counts;
}

// ---- Talking to tasks and clients ---------------------------------------------------------------

void CheckpointCoordinator::notify_complete(CheckpointId id, std::int64_t timestamp_ms,
                                            SnapshotKind kind, bool ends_task) {
  if (!is_running()) return;  // the tasks are ending; what is completed is committed at the restore
  if (kind == SnapshotKind::checkpoint) newest_completion_ = Ending{id, timestamp_ms, kind};
  for (const auto& [execution, state] : tasks_) {
    if (!is_terminal(state)) {
      emit(
          NotifyCheckpointComplete{job_.id, fence(), execution, id, timestamp_ms, kind, ends_task});
    }
  }
}

void CheckpointCoordinator::notify_aborted(CheckpointId id) {
  if (!is_running()) return;  // the tasks are ending, and free everything
  for (const auto& [execution, state] : tasks_) {
    if (!is_terminal(state)) emit(NotifyCheckpointAborted{job_.id, fence(), execution, id});
  }
}

void CheckpointCoordinator::drain_sources() {
  for (const auto& [execution, state] : tasks_) {
    if (graph_.vertices[execution.vertex].source && state == TaskState::running)
      emit(DrainTask{job_.id, fence(), execution});
  }
}

std::set<CheckpointCoordinator::Unheard> CheckpointCoordinator::unheard_by(
    const ExecutionId& execution, const HeardCheckpoints& heard,
    const std::vector<ExecutionId>& starters) const {
  std::set<Unheard> unheard;
  const bool starts = std::ranges::binary_search(starters, execution);
  for (const auto& [id, checkpoint] : pending_) {
    if (starts && checkpoint.state == PendingState::triggered && checkpoint.awaits(execution) &&
        heard.triggered < id)
      unheard.insert({Unheard::What::trigger, id});
  }
  // What ends the job is announced again and again in any case.
  if (ending_) return unheard;
  if (newest_completion_ && heard.completed < newest_completion_->checkpoint)
    unheard.insert({Unheard::What::completion, newest_completion_->checkpoint});
  for (const CheckpointId id : heard.open)
    if (!pending_.contains(id)) unheard.insert({Unheard::What::abortion, id});
  return unheard;
}

void CheckpointCoordinator::tell_again(const ExecutionId& execution, const Unheard& what) {
  switch (what.what) {
    case Unheard::What::trigger: {
      const auto& settings = pending_.at(what.checkpoint).settings();
      emit(TriggerCheckpoint{job_.id, fence(), execution, settings.id, settings.triggered_at_ms,
                             settings.options});
      return;
    }
    case Unheard::What::completion:
      emit(NotifyCheckpointComplete{job_.id, fence(), execution, what.checkpoint,
                                    newest_completion_->timestamp_ms, newest_completion_->kind,
                                    false});
      return;
    case Unheard::What::abortion:
      emit(NotifyCheckpointAborted{job_.id, fence(), execution, what.checkpoint});
      return;
  }
}

/// Deletes the files of an acknowledgement that nobody waits for, unless a snapshot may name them:
/// of a completed checkpoint, or of a FINALIZING one whose attempt has ended, it is a repeated
/// message.
void CheckpointCoordinator::discard_late(const AcknowledgeCheckpoint& acknowledgement) {
  const CheckpointId id = acknowledgement.checkpoint;
  const auto pending = pending_.find(id);
  const bool finalizing = pending != pending_.end() && !pending->second.is_pending();
  if (finalizing || store_.contains(id) || unresolved_.contains(id)) return;
  // A checkpoint's directory follows from its id. Only aborted savepoints are looked up: one that
  // has completed is no longer known here, so that nothing of it can be deleted.
  std::string directory;
  const auto ghost = std::ranges::find(ghosts_, id, &Ghost::id);
  if (pending != pending_.end()) {
    directory = pending->second.directory();
  } else if (ghost != ghosts_.end()) {
    directory = ghost->directory;
  } else if (!job_.checkpoint_directory.empty()) {
    directory = checkpoint_directory(job_.checkpoint_directory, job_.id, id);
  }
  if (directory.empty()) return;
  // What it names of older checkpoints is theirs. Its own may be named by newer ones, if it completed
  // and was deleted since.
  const auto named = named_shared_files();
  DiscardFiles own{directory, {}};
  DiscardFiles shared{shared_directory(directory), {}, true};
  for (const auto& location : acknowledgement.snapshot.locations) {
    if (location.file.empty()) continue;
    const auto numbers = numbers_in_data_file(location.file);
    if (!location.shared)
      own.files.push_back(location.file);
    else if (numbers && numbers->second == id && !named.contains(location.file))
      shared.files.push_back(location.file);
  }
  if (!own.files.empty()) emit(std::move(own));
  if (!shared.files.empty()) emit(std::move(shared));
}

/// Deletes checkpoints of the system that newer ones have replaced. Of the user's snapshots only
/// the pointer to a terminal savepoint of this job goes.
void CheckpointCoordinator::delete_replaced(const std::vector<CompletedCheckpoint>& replaced) {
  for (const auto& old : replaced) {
    const auto& metadata = *old.metadata;
    if (old.owner == SnapshotOwner::system) {
      if (old.directory.empty()) continue;
      emit(DeleteSnapshot{metadata.checkpoint, old.directory});
      for (const auto& location : metadata.locations)
        if (location.shared) released_files_.insert(location.file);
    } else if (metadata.job == job_.id && metadata.kind == SnapshotKind::terminal_savepoint) {
      emit(DeleteSavepointPointer{metadata.checkpoint});
    }
  }
  delete_unnamed_files();
}

void CheckpointCoordinator::delete_unnamed_files() {
  if (released_files_.empty()) return;
  const auto named = named_shared_files();
  const std::string checkpoint =
      checkpoint_directory(job_.checkpoint_directory, job_.id, job_.first_id);
  DeleteSharedFiles unnamed{shared_directory(checkpoint), {}};
  std::ranges::set_difference(released_files_, named, std::back_inserter(unnamed.files));
  for (const auto& file : unnamed.files) released_files_.erase(file);
  if (!unnamed.files.empty()) emit(std::move(unnamed));
}

/// Of the checkpoints that are kept, of those in flight and what they build on, and of those that may
/// have completed.
std::set<std::string> CheckpointCoordinator::named_shared_files() const {
  std::set<std::string> named;
  const auto add = [&](const std::shared_ptr<const SnapshotMetadata>& metadata) {
    if (metadata == nullptr) return;
    for (const auto& location : metadata->locations)
      if (location.shared) named.insert(location.file);
  };
  for (const auto& kept : store_.all()) add(kept.metadata);
  for (const auto& [id, checkpoint] : pending_) {
    add(checkpoint.settings().base);
    add(checkpoint.metadata);
  }
  for (const auto& [id, metadata] : unresolved_) add(metadata);
  return named;
}

void CheckpointCoordinator::answer(std::optional<RequestId> request, Answer value) {
  if (request) emit(AnswerRequest{*request, std::move(value)});
}

void CheckpointCoordinator::refuse(std::optional<RequestId> request, const Refusal& refusal) {
  log(std::nullopt, refusal.reason, refusal.sentence);
  const auto code = refusal.reason == Reason::no_savepoint_directory ? Errc::not_found
                                                                     : Errc::checkpoint_declined;
  answer(request, Error{code, refusal.sentence});
}

void CheckpointCoordinator::log(std::optional<CheckpointId> id, CheckpointFailureReason reason,
                                std::string sentence) {
  emit(LogFailure{id, reason, std::move(sentence)});
}

Effects CheckpointCoordinator::finish() {
  trigger_in_order();
  const auto next = next_deadline();
  if (next && (armed_.empty() || *next < *armed_.begin())) {
    armed_.insert(*next);
    emit(ArmTimer{*next});
  }
  return std::exchange(effects_, {});
}

}  // namespace weir
