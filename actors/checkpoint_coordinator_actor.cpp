#include "actors/checkpoint_coordinator_actor.hpp"

#include <utility>

#include <caf/all.hpp>

#include "actors/handlers.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

using Self = CheckpointCoordinatorActor::stateful_pointer<CoordinatorState>;
using Answer = decltype(AnswerRequest::answer);

Moment moment(Self self) {
  const Clock& clock = *self->state.setup.seams->clock;
  return {clock.now(), clock.wall_now().time_since_epoch().count()};
}

void perform(Self self, Effects effects);

/// Sends an internal message to the JobManager of this process.
template <class M>
void tell_job_manager(Self self, M message) {
  self->send(self->state.setup.job_manager,
             Envelope<M>{coordinator_endpoint(), job_manager_endpoint(), std::move(message)});
}

/// Deletes every file of a directory that is ours alone, `_metadata` first, then the directory.
Status delete_files_in(CheckpointStorage& storage, const std::string& directory) {
  auto entries = storage.list(directory);
  if (!entries)
    return entries.error().code == Errc::not_found ? Status{} : std::unexpected(entries.error());
  WEIR_TRY(storage.remove(directory + "/" + std::string(metadata_file_name)));
  for (const DirectoryEntry& entry : *entries)
    if (!entry.is_directory) WEIR_TRY(storage.remove(directory + "/" + entry.name));
  return storage.remove(directory);
}

Status carry_out(const ProcessSeams& seams, const DeleteSnapshot& deletion) {
  CheckpointStorage& storage = *seams.storage;
  const Status deleted = delete_files_in(storage, deletion.directory);
  if (!deletion.with_shared) return deleted;
  const Status unshared =
      delete_shared_files_of(storage, shared_directory(deletion.directory), deletion.checkpoint);
  return deleted ? unshared : deleted;
}
Status carry_out(const ProcessSeams& seams, const DeleteSharedFiles& deletion) {
  for (const std::string& file : deletion.files)
    WEIR_TRY(seams.storage->remove(deletion.directory + "/" + file));
  return {};
}
Status carry_out(const ProcessSeams& seams, const MarkFinished& mark) {
  const std::int64_t now_ms = seams.clock->wall_now().time_since_epoch().count();
  return mark_finished(*seams.storage, mark.directory, {mark.job, mark.job_name, now_ms},
                       *seams.random);
}

std::string what_is_done(const DeleteSnapshot& deletion) {
  return "deleting the checkpoint " + deletion.directory;
}
std::string what_is_done(const DeleteSharedFiles& deletion) {
  return "deleting files in " + deletion.directory;
}
std::string what_is_done(const MarkFinished& mark) {
  return "saying in " + mark.directory + " that the job has finished";
}

struct WriteResult {
  WriteOutcome outcome = WriteOutcome::durable;
  Error cause;
};

WriteResult outcome_of(const Status& status) {
  if (status) return {};
  return {status.error().code == Errc::unavailable ? WriteOutcome::unknown : WriteOutcome::failed,
          status.error()};
}

/// Writes `_metadata` and, for a terminal savepoint, the pointer; leaves nothing behind if that failed.
WriteResult write_all(CheckpointStorage& storage, Random& random, const WriteMetadata& effect,
                      const std::string& checkpoint_directory) {
  const SnapshotMetadata& metadata = *effect.metadata;
  WriteResult written = outcome_of(write_metadata(storage, effect.directory, metadata, random));
  if (written.outcome != WriteOutcome::durable || !effect.pointer) return written;
  const SavepointPointer pointer{metadata.job,   metadata.job_name,        metadata.checkpoint,
                                 metadata.epoch, metadata.completed_at_ms, effect.directory};
  written = outcome_of(write_savepoint_pointer(storage, checkpoint_directory, pointer, random));
  if (written.outcome == WriteOutcome::failed) {
    if (auto removed = storage.remove(effect.directory + "/" + std::string(metadata_file_name));
        !removed)
      return {WriteOutcome::unknown, removed.error()};
  }
  return written;
}

void say_settled(Self self) {
  if (self->state.file_work > 0 || !self->state.deletion_queue.empty()) return;
  const auto settled = std::exchange(self->state.settled, std::nullopt);
  if (!settled) return;
  const CompletedCheckpoint* point = self->state.coordinator->restore_point();
  tell_job_manager(self, CoordinatorSettled{self->state.setup.job.id, *settled,
                                            point != nullptr ? point->directory : "",
                                            point != nullptr ? point->metadata : nullptr});
}

void deletion_ended(Self self, const Status& status, const std::string& what) {
  if (!status) self->state.setup.seams->log("warning", what + ": " + status.error().what);
}

/// One that does not wait for others has ended.
void deletion_done(Self self, const Status& status, const std::string& what) {
  deletion_ended(self, status, what);
  --self->state.file_work;
  say_settled(self);
}

/// Carries out the deletion whose turn it is, and those behind it.
void delete_next(Self self) {
  const DeletionQueue::Deletion* next = self->state.deletion_queue.begin_next();
  if (next == nullptr) {
    say_settled(self);
    return;
  }
  run_io(
      self, *self->state.setup.seams->io,
      [seams = self->state.setup.seams, deletion = *next] {
        return std::visit([&](const auto& one) { return carry_out(*seams, one); }, deletion);
      },
      [self](const Status& deleted) {
        const auto deletion = self->state.deletion_queue.end(deleted.has_value());
        deletion_ended(self, deleted,
                       std::visit([](const auto& one) { return what_is_done(one); }, deletion));
        delete_next(self);
      });
}

// ---- effects --------------------------------------------------------------------------------------

struct Performer {
  Self self;

  [[nodiscard]] const Execution* find(const ExecutionId& id) const {
    const auto found = self->state.executions.find(id);
    return found == self->state.executions.end() ? nullptr : &found->second;
  }
  [[nodiscard]] IoExecutor& io() const { return *self->state.setup.seams->io; }
  [[nodiscard]] std::shared_ptr<CheckpointStorage> storage() const {
    return self->state.setup.seams->storage;
  }

  void operator()(const TriggerCheckpoint& trigger) const {
    if (const Execution* execution = find(trigger.execution))
      execution->trigger_checkpoint(trigger);
  }
  void operator()(const NotifyCheckpointComplete& notice) const {
    if (const Execution* execution = find(notice.execution))
      execution->notify_checkpoint_complete(notice);
  }
  void operator()(const NotifyCheckpointAborted& notice) const {
    if (const Execution* execution = find(notice.execution))
      execution->notify_checkpoint_aborted(notice);
  }
  void operator()(const DrainTask& drain) const {
    if (const Execution* execution = find(drain.execution)) execution->drain(drain);
  }
  void operator()(CreateDirectory& effect) const {
    run_io(
        self, io(),
        [storage = storage(), effect, random = self->state.setup.seams->random,
         job = self->state.setup.job.id, epoch = self->state.setup.job.epoch,
         own = self->state.setup.job.checkpoint_directory]() -> Result<std::string> {
          if (effect.kind == SnapshotKind::checkpoint) {
            WEIR_TRY(storage->create_directories(effect.path));
            return effect.path;
          }
          const Status taken =
              own.empty() ? Status{}
                          : take_savepoint_number(*storage, own, job, epoch, effect.checkpoint);
          if (!taken)
            return error(
                Errc::unavailable,
                taken.error().what +
                    "; a savepoint takes its number in the job's directory of checkpoints, "
                    "wherever it lies: make that directory writable");
          return create_savepoint_directory(*storage, effect.path, job, *random);
        },
        [self = self, id = effect.checkpoint](Result<std::string> path) {
          perform(self,
                  self->state.coordinator->directory_created(id, std::move(path), moment(self)));
          --self->state.file_work;
          say_settled(self);
        });
    // If the checkpoint is given up meanwhile, the directory is there to be deleted again.
    ++self->state.file_work;
  }
  void operator()(WriteMetadata& effect) const {
    run_io(
        self, io(),
        [storage = storage(), random = self->state.setup.seams->random, effect,
         directory = self->state.setup.job.checkpoint_directory] {
          return write_all(*storage, *random, effect, directory);
        },
        [self = self, id = effect.checkpoint](const WriteResult& result) {
          perform(self, self->state.coordinator->metadata_written(id, result.outcome, result.cause,
                                                                  moment(self)));
        });
  }
  void operator()(RemoveMetadata& effect) const {
    run_io(
        self, io(),
        [storage = storage(), effect, directory = self->state.setup.job.checkpoint_directory,
         job = self->state.setup.job.id]() -> WriteResult {
          if (effect.pointer)
            if (auto removed =
                    delete_savepoint_pointer(*storage, directory, job, effect.checkpoint);
                !removed)
              return {WriteOutcome::unknown, removed.error()};
          if (auto removed =
                  storage->remove(effect.directory + "/" + std::string(metadata_file_name));
              !removed)
            return {WriteOutcome::unknown, removed.error()};
          return {WriteOutcome::failed,
                  {Errc::io_error, effect.directory + ": the metadata could not be written"}};
        },
        [self = self, id = effect.checkpoint](const WriteResult& result) {
          perform(self, self->state.coordinator->metadata_written(id, result.outcome, result.cause,
                                                                  moment(self)));
        });
  }
  void operator()(const DeleteSnapshot& effect) const { delete_in_turn(effect); }
  void operator()(const DeleteSharedFiles& effect) const { delete_in_turn(effect); }
  void operator()(const MarkFinished& effect) const { delete_in_turn(effect); }
  void delete_in_turn(DeletionQueue::Deletion deletion) const {
    self->state.deletion_queue.push(std::move(deletion));
    delete_next(self);
  }
  void operator()(DiscardFiles& effect) const {
    run_io(
        self, io(),
        [storage = storage(), effect]() -> Status {
          for (const std::string& file : effect.files)
            WEIR_TRY(storage->remove(effect.directory + "/" + file));
          if (effect.keep_directory) return {};
          // The directory goes with its last file; while others are in it, removing it fails.
          auto entries = storage->list(effect.directory);
          if (entries && entries->empty()) return storage->remove(effect.directory);
          return {};
        },
        [self = self, directory = effect.directory](const Status& deleted) {
          deletion_done(self, deleted, "deleting late files in " + directory);
        });
    ++self->state.file_work;
  }
  void operator()(DeleteSavepointPointer& effect) const {
    run_io(
        self, io(),
        [storage = storage(), id = effect.checkpoint,
         directory = self->state.setup.job.checkpoint_directory, job = self->state.setup.job.id] {
          return delete_savepoint_pointer(*storage, directory, job, id);
        },
        [self = self](const Status& deleted) {
          deletion_done(self, deleted, "deleting a savepoint's pointer");
        });
    ++self->state.file_work;
  }
  void operator()(const ArmTimer& timer) const {
    const auto delay =
        std::max(timer.at - self->state.setup.seams->clock->now(), std::chrono::nanoseconds(0));
    run_delayed(self, delay, [self = self, at = timer.at] {
      perform(self, self->state.coordinator->timer_fired(at, moment(self)));
    });
  }
  void operator()(const AnswerRequest& effect) const {
    const auto waiting = self->state.requests.find(effect.request);
    if (waiting == self->state.requests.end()) return;
    const auto answer = std::move(waiting->second);
    self->state.requests.erase(waiting);
    answer(effect.answer);
  }
  void operator()(const FailJob& effect) const {
    tell_job_manager(self,
                     FailJobRequest{self->state.setup.job.id, effect.cause, effect.recoverable});
  }
  void operator()(const TerminalSavepointCompleted& effect) const {
    tell_job_manager(self, SavepointEndsJob{self->state.setup.job.id, effect.checkpoint,
                                            effect.directory, effect.ends_as});
  }
  void operator()(const Settled& effect) const {
    self->state.settled = effect.state;
    say_settled(self);
  }
  void operator()(const LogFailure& effect) const {
    const std::string which = effect.checkpoint
                                  ? "checkpoint " + std::to_string(effect.checkpoint->value)
                                  : "a checkpoint";
    // Refused before it had an id, a periodic checkpoint only waits for its turn: daily business.
    self->state.setup.seams->log(effect.checkpoint ? "warning" : "info",
                                 "job " + to_string(self->state.setup.job.id) + ": " + which + " " +
                                     to_string(effect.reason) + ": " + effect.sentence);
  }
};

void perform(Self self, Effects effects) {
  for (Effect& effect : effects) std::visit(Performer{self}, effect);
  tell_job_manager(
      self, CheckpointCountsChanged{self->state.setup.job.id, self->state.coordinator->counts()});
}

/// Remembers who waits for the answer to a request.
template <class R>
RequestId remember(Self self, PendingAnswer<R> answer) {
  const RequestId id = self->state.next_request++;
  self->state.requests[id] = [answer](const Answer& value) mutable {
    if (const auto* success = std::get_if<R>(&value))
      answer(Reply<R>(*success));
    else if (const auto* failure = std::get_if<Error>(&value))
      answer(Reply<R>(*failure));
    else
      WEIR_ASSERT(!"the coordinator answers a request with its own kind");
  };
  return id;
}

}  // namespace

CheckpointCoordinatorActor::behavior_type checkpoint_coordinator(Self self,
                                                                 CoordinatorSetup setup) {
  self->state.setup = std::move(setup);
  CoordinatorState& state = self->state;
  end_process_on_exception(self, state.setup.seams, coordinator_endpoint());
  state.coordinator.emplace(state.setup.job, state.setup.config, std::move(state.setup.found));
  Delivery& delivery = *state.setup.seams->delivery;
  const auto savepoint = [self](const auto& request) {
    return CheckpointCoordinator::SavepointRequest{
        request.target.empty() ? self->state.setup.savepoint_directory : request.target,
        request.form};
  };

  return {
      on_message<AttemptStarted>(
          delivery,
          [self](const AttemptStarted& started) {
            auto& executions = self->state.executions;
            executions.clear();
            for (const PlacedExecution& placed : started.executions)
              executions.emplace(placed.execution,
                                 Execution(placed.execution, placed.task_manager,
                                           self->state.setup.gateways->find(placed.task_manager)));
            perform(self, self->state.coordinator->attempt_started(started.attempt));
          }),
      on_message<TaskStateChanged>(delivery,
                                   [self](const TaskStateChanged& changed) {
                                     perform(self,
                                             self->state.coordinator->task_state_changed(
                                                 changed.execution, changed.state, moment(self)));
                                   }),
      on_message<JobStateChanged>(delivery,
                                  [self](const JobStateChanged& changed) {
                                    perform(self, self->state.coordinator->job_state_changed(
                                                      changed.state, moment(self)));
                                  }),
      on_message<TasksHeard>(delivery,
                             [self](const TasksHeard& heard) {
                               auto effects = self->state.coordinator->tasks_heard(heard.tasks);
                               if (!effects.empty()) perform(self, std::move(effects));
                             }),
      on_request<TriggerSavepoint, TriggerSavepointSuccess>(
          self, delivery,
          [self, savepoint](const TriggerSavepoint& request, auto answer) {
            perform(self, self->state.coordinator->request_savepoint(
                              remember(self, answer), savepoint(request), moment(self)));
          }),
      on_request<RequestCheckpoint, CheckpointCompleted>(
          self, delivery,
          [self](const RequestCheckpoint&, auto answer) {
            perform(self, self->state.coordinator->request_checkpoint(remember(self, answer),
                                                                      moment(self)));
          }),
      on_request<StopJobWithSavepoint, StoppingSuccess>(
          self, delivery,
          [self, savepoint](const StopJobWithSavepoint& request, auto answer) {
            perform(self,
                    self->state.coordinator->stop_with_savepoint(
                        remember(self, answer), savepoint(request), request.drain, moment(self)));
          }),
      on_request<CancelJobWithSavepoint, CancellationSuccess>(
          self, delivery,
          [self, savepoint](const CancelJobWithSavepoint& request, auto answer) {
            perform(self, self->state.coordinator->cancel_with_savepoint(
                              remember(self, answer), savepoint(request), moment(self)));
          }),
      on_message<AcknowledgeCheckpoint>(delivery,
                                        [self](const AcknowledgeCheckpoint& message) {
                                          perform(self, self->state.coordinator->acknowledge(
                                                            message, moment(self)));
                                        }),
      on_message<DeclineCheckpoint>(delivery,
                                    [self](const DeclineCheckpoint& message) {
                                      perform(self, self->state.coordinator->decline(message,
                                                                                     moment(self)));
                                    }),
      run_mail(),
  };
}

}  // namespace weir
