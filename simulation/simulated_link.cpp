#include "simulation/simulated_link.hpp"

#include <algorithm>
#include <utility>

#include <caf/all.hpp>

namespace weir {

void SimulatedLink::carry(const DeliveryRecord& record, std::function<void()> arrive) {
  const std::string& message = record.message;
  const MonotonicTime now = clock_.now();
  const bool met = next_ != FlowFault::none && (next_message_.empty() || next_message_ == message);
  FlowFault deed = met ? std::exchange(next_, FlowFault::none) : FlowFault::none;
  std::chrono::nanoseconds delay = next_delay_;
  bool apart = false;
  std::uint64_t times = 1;
  if (deed == FlowFault::none && decide) {
    const Deed decided = decide(record);
    deed = decided.fault;
    delay = decided.delay;
    apart = decided.apart;
    times = decided.times;
  }
  if (now < cut_until_) {
    ++hits_.cut;
    tell(message + " is lost: the link is cut");
    return;
  }
  if (deed == FlowFault::dropped) {
    ++hits_.dropped;
    tell(message + " is dropped");
    return;
  }
  MonotonicTime due = std::max(now, held_until_);
  if (deed == FlowFault::delayed) due = std::max(due, now + delay);
  if (due > now) {
    ++hits_.delayed;
    tell(message + " is delayed");
  }
  if (deed == FlowFault::repeated) {
    ++hits_.repeated;
    tell(message + " comes twice");
    for (std::uint64_t i = 0; i < times; ++i) {
      if (apart) {
        const auto behind = std::ranges::upper_bound(apart_, now + delay, {}, &Waiting::due);
        apart_.insert(behind, {now + delay, arrive});
      } else {
        arrive_at(now + delay, arrive);
      }
    }
    // The first of the two goes ahead of what waits only if nothing does.
  }
  if (due <= now && (waiting_.empty() || (deed == FlowFault::repeated && !apart)))
    arrive();
  else
    arrive_at(due, std::move(arrive));
}

void SimulatedLink::arrive_at(MonotonicTime due, std::function<void()> arrive) {
  if (!waiting_.empty()) due = std::max(due, waiting_.back().due);
  waiting_.push_back({due, std::move(arrive)});
}

void SimulatedLink::delay_next(std::chrono::nanoseconds delay, std::string message) {
  next_ = FlowFault::delayed;
  next_delay_ = delay;
  next_message_ = std::move(message);
}

void SimulatedLink::drop_next(std::string message) {
  next_ = FlowFault::dropped;
  next_message_ = std::move(message);
}

void SimulatedLink::repeat_next(std::chrono::nanoseconds delay, std::string message) {
  next_ = FlowFault::repeated;
  next_delay_ = delay;
  next_message_ = std::move(message);
}

void SimulatedLink::heal() {
  next_ = FlowFault::none;
  cut_until_ = held_until_ = {};
}

std::optional<MonotonicTime> SimulatedLink::next_arrival() const {
  if (waiting_.empty() && apart_.empty()) return std::nullopt;
  if (waiting_.empty() || apart_.empty()) return (waiting_.empty() ? apart_ : waiting_).front().due;
  return std::min(waiting_.front().due, apart_.front().due);
}

std::deque<SimulatedLink::Waiting>& SimulatedLink::next_queue() {
  if (apart_.empty()) return waiting_;
  return waiting_.empty() || apart_.front().due < waiting_.front().due ? apart_ : waiting_;
}

void SimulatedLink::deliver() {
  std::deque<Waiting>& queue = next_queue();
  const auto arrive = std::move(queue.front().arrive);
  queue.pop_front();
  arrive();
}

namespace {

/// Of what takes the place of an answer.
DeliveryRecord failure_record() {
  DeliveryRecord record;
  record.message = "failure";
  return record;
}

/// Passes on a message that nobody answers.
template <class M, class Interface>
auto pass_on(const Interface& to, const std::shared_ptr<SimulatedLink>& there) {
  return [to, there](const Envelope<M>& envelope) {
    there->carry(Delivery::record_of(envelope), [to, envelope] { caf::anon_send(to, envelope); });
  };
}

/// Passes on a request and its answer.
template <class M, class R, class Self, class Interface>
auto pass_on(Self* self, const Interface& to, const std::shared_ptr<SimulatedLink>& there,
             const std::shared_ptr<SimulatedLink>& back) {
  return [self, to, there, back](const Envelope<M>& envelope) -> caf::result<Envelope<Reply<R>>> {
    auto promise = self->template make_response_promise<Envelope<Reply<R>>>();
    // A reference that counts: the actor may have been told to end when the message arrives. Then nobody runs it, and
    // what it ran on may be gone.
    const auto outside = [self, alive = caf::strong_actor_ptr{self->ctrl()}](auto work) {
      return [self, alive, work = std::move(work)]() mutable {
        self->context(nullptr);
        work();
      };
    };
    there->carry(
        Delivery::record_of(envelope), outside([=]() mutable {
          self->request(to, caf::infinite, envelope)
              .then(
                  [=](const Envelope<Reply<R>>& reply) {
                    back->carry(Delivery::record_of(reply),
                                outside([promise, reply]() mutable { promise.deliver(reply); }));
                  },
                  [=](const caf::error& failed) {
                    back->carry(failure_record(),
                                outside([promise, failed]() mutable { promise.deliver(failed); }));
                  });
        }));
    return promise;
  };
}

}  // namespace

TaskManagerInterface spawn_link(caf::actor_system& system, const TaskManagerInterface& task_manager,
                                std::shared_ptr<SimulatedLink> there,
                                std::shared_ptr<SimulatedLink> back) {
  // The handle is an argument because CAF 0.17 dereferences a null tuple for actors that have none.
  const auto link =
      [there, back](
          TaskManagerInterface::pointer self,
          const TaskManagerInterface& task_manager) -> TaskManagerInterface::behavior_type {
    return {pass_on<SubmitTask, Done>(self, task_manager, there, back),
            pass_on<StartTask>(task_manager, there),
            pass_on<CancelTask>(task_manager, there),
            pass_on<DrainTask>(task_manager, there),
            pass_on<TriggerCheckpoint>(task_manager, there),
            pass_on<NotifyCheckpointComplete>(task_manager, there),
            pass_on<NotifyCheckpointAborted>(task_manager, there)};
  };
  return system.spawn(link, task_manager);
}

JobManagerInterface spawn_link(caf::actor_system& system, const JobManagerInterface& job_manager,
                               std::shared_ptr<SimulatedLink> there,
                               std::shared_ptr<SimulatedLink> back) {
  const auto link =
      [there, back](JobManagerInterface::pointer self,
                    const JobManagerInterface& job_manager) -> JobManagerInterface::behavior_type {
    return {pass_on<SubmitJob, SubmitJobSuccess>(self, job_manager, there, back),
            pass_on<ListJobs, JobList>(self, job_manager, there, back),
            pass_on<RequestJobDetails, JobDetails>(self, job_manager, there, back),
            pass_on<CancelJob, CancellationSuccess>(self, job_manager, there, back),
            pass_on<CancelJobWithSavepoint, CancellationSuccess>(self, job_manager, there, back),
            pass_on<StopJobWithSavepoint, StoppingSuccess>(self, job_manager, there, back),
            pass_on<TriggerSavepoint, TriggerSavepointSuccess>(self, job_manager, there, back),
            pass_on<RequestCheckpoint, CheckpointCompleted>(self, job_manager, there, back),
            pass_on<DisposeSavepoint, DisposeSavepointSuccess>(self, job_manager, there, back),
            pass_on<RegisterTaskManager, RegistrationSuccess>(self, job_manager, there, back),
            pass_on<Heartbeat, Done>(self, job_manager, there, back),
            pass_on<UpdateTaskState, Done>(self, job_manager, there, back),
            pass_on<AcknowledgeCheckpoint, Done>(self, job_manager, there, back),
            pass_on<DeclineCheckpoint, Done>(self, job_manager, there, back)};
  };
  return system.spawn(link, job_manager);
}

}  // namespace weir
