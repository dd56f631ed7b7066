#include "actors/task.hpp"

#include <utility>

#include <caf/all.hpp>

#include "actors/handlers.hpp"

namespace weir {

namespace {

using Self = TaskActor::stateful_pointer<TaskActorState>;

constexpr std::chrono::milliseconds report_timeout = std::chrono::seconds(10);
/// How long a report that the JobManager did not answer waits before it is repeated.
constexpr std::chrono::milliseconds report_retry_delay = std::chrono::milliseconds(500);

/// Tells the JobManager a state, again and again until it answers; the last one ends the actor.
void report(Self self, const UpdateTaskState& update) {
  const auto again = [self, update] {
    run_delayed(self, report_retry_delay, [self, update] { report(self, update); });
  };
  Delivery& delivery = *self->state.setup.seams->delivery;
  self->state.setup.job_manager->request<Done>(
      self, report_timeout, endpoint_of(self->state.execution), update,
      [self, update, again, &delivery](const Envelope<Reply<Done>>& reply) {
        if (!delivery.admit(reply)) {
          again();
          return;
        }
        if (!is_terminal(update.state)) return;
        const TaskSetup& setup = self->state.setup;
        self->send(setup.task_manager,
                   Envelope<TaskEnded>{endpoint_of(self->state.execution),
                                       endpoint_of(setup.task_manager_id),
                                       {self->state.job, self->state.execution}});
        self->quit();
      },
      [again](const Error& why) {
        // A JobManager that is gone hears nothing; its successor asks anew.
        if (why.code != Errc::unavailable) again();
      });
}

/// The task has reached `state`: the JobManager is told.
void enter(Self self, TaskState state, const Error& failure, bool recoverable) {
  // What the worker thread said before it saw that it is cancelled is out of date.
  if (self->state.reported == TaskState::canceling && !is_terminal(state)) return;
  self->state.reported = state;
  const TaskSetup& setup = self->state.setup;
  report(self, {self->state.job, setup.fence, self->state.execution, state, failure, recoverable,
                setup.task->metrics()});
}

/// Hears the worker thread and the I/O pool and carries what they say to the actor, or straight to the
/// JobManager's gateway where nothing has to be decided.
class Listener final : public TaskListener {
 public:
  explicit Listener(Self self) : self_(self), actor_(self->ctrl()) {
    const TaskSetup& setup = self->state.setup;
    job_manager_ = setup.job_manager;
    seams_ = setup.seams;
    fence_ = setup.fence;
    job_ = self->state.job;
    execution_ = self->state.execution;
  }

  void on_state(TaskState state, const Error& failure, bool recoverable) override {
    auto mail = std::make_shared<std::function<void()>>(
        [self = self_, state, failure, recoverable] { enter(self, state, failure, recoverable); });
    caf::anon_send(caf::actor_cast<caf::actor>(actor_), ActorMail{std::move(mail)});
  }
  void on_acknowledge(CheckpointId id, TaskSnapshot snapshot, CheckpointMetrics metrics) override {
    job_manager_->send(
        endpoint_of(execution_),
        AcknowledgeCheckpoint{job_, fence_, execution_, id, std::move(snapshot), metrics});
  }
  void on_decline(CheckpointId id, DeclineReason reason, std::string detail) override {
    job_manager_->send(endpoint_of(execution_),
                       DeclineCheckpoint{job_, fence_, execution_, id, reason, std::move(detail)});
  }
  void on_warning(std::string text) override {
    seams_->log("notice", "job " + to_string(job_) + ": " + text);
  }

 private:
  Self self_;  // only touched by mails that run on the actor
  caf::strong_actor_ptr actor_;
  std::shared_ptr<const JobManagerGateway> job_manager_;
  std::shared_ptr<const ProcessSeams> seams_;
  Fence fence_;
  JobId job_;
  ExecutionId execution_;
};

/// The task is CANCELING from now on, however long its operator takes to return.
void cancel(Self self) {
  if (is_terminal(self->state.reported) || self->state.reported == TaskState::canceling) return;
  self->state.setup.task->cancel();
  enter(self, TaskState::canceling, {}, true);
  const auto timeout = self->state.setup.cancellation_timeout;
  if (timeout.count() == 0) return;
  run_delayed(self, timeout, [self, timeout] {
    if (is_terminal(self->state.reported)) return;  // only the JobManager does not answer
    self->state.setup.seams->fatal(
        std::string(self->state.setup.task->current_operator()) + " of task " +
        to_string(self->state.execution) + " did not return for " +
        std::to_string(timeout.count()) +
        " ms after it was cancelled (task.cancellation.timeout); the process ends");
  });
}

}  // namespace

TaskActor::behavior_type task_actor(Self self, TaskSetup setup) {
  TaskActorState& state = self->state;
  state.setup = std::move(setup);
  state.job = state.setup.task->environment().job;
  state.execution = state.setup.task->environment().execution;
  end_process_on_exception(self, state.setup.seams, endpoint_of(state.execution));
  state.setup.task->set_listener(std::make_shared<Listener>(self));
  if (const Status started = state.setup.seams->executor->start(state.setup.task); !started)
    enter(
        self, TaskState::failed,
        {started.error().code, "task " + to_string(state.execution) + ": " + started.error().what},
        false);

  Delivery& delivery = *state.setup.seams->delivery;
  return {
      on_message<StartTask>(delivery,
                            [self](const StartTask&) { self->state.setup.task->start(); }),
      on_message<CancelTask>(delivery, [self](const CancelTask&) { cancel(self); }),
      on_message<DrainTask>(delivery,
                            [self](const DrainTask&) { self->state.setup.task->drain(); }),
      on_message<TriggerCheckpoint>(delivery,
                                    [self](const TriggerCheckpoint& trigger) {
                                      self->state.setup.task->trigger_checkpoint(
                                          {trigger.checkpoint, trigger.timestamp_ms,
                                           trigger.options});
                                    }),
      on_message<NotifyCheckpointComplete>(delivery,
                                           [self](const NotifyCheckpointComplete& notice) {
                                             self->state.setup.task->notify_checkpoint_complete(
                                                 notice.checkpoint, notice.kind, notice.ends_task);
                                           }),
      on_message<NotifyCheckpointAborted>(delivery,
                                          [self](const NotifyCheckpointAborted& notice) {
                                            self->state.setup.task->notify_checkpoint_aborted(
                                                notice.checkpoint);
                                          }),
      run_mail(),
  };
}

}  // namespace weir
