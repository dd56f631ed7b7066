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

/// Tells the JobManager `message`, again and again until it answers; then calls `answered()`.
template <class M, class F>
void report(Self self, std::shared_ptr<const M> message, F answered) {
  const auto again = [self, message, answered] {
    run_delayed(self, report_retry_delay,
                [self, message, answered] { report(self, message, answered); });
  };
  Delivery& delivery = *self->state.setup.seams->delivery;
  self->state.setup.job_manager->template request<Done>(
      self, report_timeout, endpoint_of(self->state.execution), *message,
      [again, answered, &delivery](const Envelope<Reply<Done>>& reply) {
        if (delivery.admit(reply))
          answered();
        else
          again();
      },
      [again](const Error& why) {
        // A JobManager that is gone hears nothing; its successor asks anew.
        if (why.code != Errc::unavailable) again();
      });
}

/// The JobManager knows that the task has ended.
void end(Self self) {
  const TaskSetup& setup = self->state.setup;
  self->send(setup.task_manager,
             Envelope<TaskEnded>{endpoint_of(self->state.execution),
                                 endpoint_of(setup.task_manager_id),
                                 {self->state.job, setup.fence, self->state.execution}});
  self->quit();
}

/// The task has reached `state`: the JobManager is told.
void enter(Self self, TaskState state, const Error& failure, bool recoverable) {
  // What the worker thread said before it saw that it is cancelled is out of date.
  if (self->state.reported == TaskState::canceling && !is_terminal(state)) return;
  self->state.reported = state;
  const TaskSetup& setup = self->state.setup;
  report(self,
         std::make_shared<const UpdateTaskState>(
             UpdateTaskState{self->state.job, setup.fence, self->state.execution, state, failure,
                             recoverable, setup.task->metrics()}),
         [self, state] {
           // The last one ends the actor.
           if (is_terminal(state)) end(self);
         });
}

/// Hears the worker thread and the I/O pool and carries what they say to the actor.
class Listener final : public TaskListener {
 public:
  explicit Listener(Self self) : self_(self), actor_(self->ctrl()) {
    const TaskSetup& setup = self->state.setup;
    seams_ = setup.seams;
    fence_ = setup.fence;
    job_ = self->state.job;
    execution_ = self->state.execution;
  }

  void on_state(TaskState state, const Error& failure, bool recoverable) override {
    on_actor(
        [self = self_, state, failure, recoverable] { enter(self, state, failure, recoverable); });
  }
  void on_acknowledge(CheckpointId id, TaskSnapshot snapshot, CheckpointMetrics metrics) override {
    tell(AcknowledgeCheckpoint{job_, fence_, execution_, id, std::move(snapshot), metrics});
  }
  void on_decline(CheckpointId id, DeclineReason reason, std::string detail) override {
    tell(DeclineCheckpoint{job_, fence_, execution_, id, reason, std::move(detail)});
  }
  void on_warning(std::string text) override {
    seams_->log("notice", "job " + to_string(job_) + ": " + text);
  }

 private:
  void on_actor(std::function<void()> work) {
    caf::anon_send(caf::actor_cast<caf::actor>(actor_),
                   ActorMail{std::make_shared<std::function<void()>>(std::move(work))});
  }
  template <class M>
  void tell(M message) {
    on_actor([self = self_, shared = std::make_shared<const M>(std::move(message))] {
      report(self, shared, [] {});
    });
  }

  Self self_;  // only touched by mails that run on the actor
  caf::strong_actor_ptr actor_;
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
