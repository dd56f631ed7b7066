#include "actors/task_manager.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <caf/all.hpp>

#include "actors/handlers.hpp"
#include "actors/local_directory.hpp"
#include "actors/slot_placement.hpp"
#include "actors/task.hpp"
#include "network/record_exchange.hpp"

namespace weir {

namespace {

using Self = TaskManagerActor::stateful_pointer<TaskManagerState>;

constexpr std::chrono::milliseconds registration_timeout = std::chrono::seconds(10);
constexpr std::chrono::milliseconds registration_retry_delay = std::chrono::seconds(1);
constexpr std::chrono::milliseconds min_heartbeat_patience = std::chrono::milliseconds(500);

Endpoint here(Self self) { return endpoint_of(self->state.id); }

// ---- registration and heartbeats ------------------------------------------------------------------

void register_here(Self self);
void cancel_here(Self self, const TaskKey& key);

/// Everything that is here or will be.
std::vector<TaskStatus> statuses(Self self) {
  std::vector<TaskStatus> all;
  for (const auto& [key, managed] : self->state.tasks)
    all.push_back({key.job,
                   key.fence,
                   key.execution,
                   managed.started,
                   managed.cancelled,
                   {managed.triggered, managed.completed, managed.task->open_checkpoints()},
                   managed.task->metrics()});
  for (const auto& [attempt, waiting] : self->state.waiting)
    for (const WaitingTask& one : waiting)
      all.push_back(
          {attempt.job, attempt.fence, one.message.execution, false, one.cancelled, {}, {}});
  for (const TaskKey& key : self->state.reported)
    all.push_back({key.job, key.fence, key.execution, false, true, {}, {}});
  return all;
}

/// The JobManager has given up this TaskManager and all that it runs: begins anew.
void begin_anew(Self self, const std::string& why) {
  self->state.seams->log("warning",
                         to_string(here(self)) + " ends its tasks and registers again: " + why);
  std::vector<TaskKey> keys;
  for (const auto& [key, managed] : self->state.tasks) keys.push_back(key);
  for (const auto& [attempt, waiting] : self->state.waiting)
    for (const WaitingTask& one : waiting)
      keys.push_back({attempt.job, attempt.fence, one.message.execution});
  for (const TaskKey& key : keys) cancel_here(self, key);
  register_here(self);
}

/// So long an answer to a heartbeat is waited for: about a hundred are on their way at most.
std::chrono::milliseconds heartbeat_patience(const ProcessConfig& config) {
  return std::min(config.heartbeat_timeout,
                  std::max(100 * config.heartbeat_interval, min_heartbeat_patience));
}

/// The JobManager has answered what was sent at `sent`.
void heard_from_job_manager(Self self, MonotonicTime sent) {
  self->state.known_until =
      std::max(self->state.known_until,
               sent + self->state.settings.configuration.process().heartbeat_timeout);
}

void beat(Self self, std::uint64_t registration) {
  if (registration != self->state.registrations) return;
  const ProcessConfig& config = self->state.settings.configuration.process();
  const MonotonicTime sent = self->state.seams->clock->now();
  Delivery& delivery = *self->state.seams->delivery;
  self->state.job_manager->request<Done>(
      self, heartbeat_patience(config), here(self),
      Heartbeat{self->state.id, self->state.epoch, ++self->state.heartbeats, statuses(self)},
      [self, registration, sent, &delivery](const Envelope<Reply<Done>>& reply) {
        if (!delivery.admit(reply) || registration != self->state.registrations) return;
        if (reply.message.value)
          heard_from_job_manager(self, sent);
        else
          begin_anew(self, reply.message.error.what);
      },
      [](const Error&) {});  // the next one says the same
  run_delayed(self, config.heartbeat_interval, [self, registration] { beat(self, registration); });
}

void register_here(Self self) {
  const std::uint64_t registration = ++self->state.registrations;
  const MonotonicTime sent = self->state.seams->clock->now();
  Delivery& delivery = *self->state.seams->delivery;
  const auto again = [self] {
    run_delayed(self, registration_retry_delay, [self] { register_here(self); });
  };
  self->state.job_manager->request<RegistrationSuccess>(
      self, registration_timeout, here(self),
      RegisterTaskManager{self->state.id, self->state.slots},
      [self, again, registration, sent,
       &delivery](const Envelope<Reply<RegistrationSuccess>>& reply) {
        if (!delivery.admit(reply) || !reply.message.value) {
          again();
          return;
        }
        self->state.epoch = reply.message.value->epoch;
        heard_from_job_manager(self, sent);
        beat(self, registration);
      },
      [again](const Error&) { again(); });
}

// ---- fencing --------------------------------------------------------------------------------------

/// Why `message` must not be heard, if its leader or attempt is older than that of a task which came
/// here before.
template <class M>
std::optional<std::string> staleness(Self self, const M& message) {
  const auto newest = self->state.newest.find(message.job);
  if (newest == self->state.newest.end() || message.fence >= newest->second.fence)
    return std::nullopt;
  std::string sentence = to_string(here(self)) + " refuses " + message_name(message) +
                         " for task " + to_string(message.execution) + ": it is of " +
                         to_string(message.fence) + ", the job is at " +
                         to_string(newest->second.fence);
  self->state.seams->log("info", "job " + to_string(message.job) + ": " + sentence);
  return sentence;
}

/// The newest attempt of the job after a message of `fence`, which is not stale.
NewestAttempt& newest_with(Self self, const JobId& job, const Fence& fence) {
  NewestAttempt& newest = self->state.newest[job];
  if (fence > newest.fence) newest = {fence, false};
  return newest;
}

// ---- deploying ------------------------------------------------------------------------------------

/// The plan that this process builds must be the client's, but for the maximum parallelisms that the
/// JobManager took from a snapshot.
Status check_same_plan(const Plan& plan, const PlanDescription& wanted) {
  PlanDescription built = plan.describe();
  if (built.operators.size() == wanted.operators.size())
    for (std::size_t i = 0; i < built.operators.size(); ++i)
      built.operators[i].max_parallelism = wanted.operators[i].max_parallelism;
  if (plan_hash(built) == plan_hash(wanted)) return {};
  return error(Errc::invalid_argument,
               "the job function built another plan here than at the client; it must depend on its "
               "arguments alone");
}

/// Runs the job function and makes the backend; on the I/O pool, as it runs code of the job.
Result<LoadedJob> load_job(const SubmitTask& message, const ProcessSeams& seams) {
  LoadedJob job;
  WEIR_TRY_ASSIGN(configuration, Configuration::from_map(message.configuration, "job"));
  WEIR_TRY_ASSIGN(plan, seams.libraries->build_plan(message.library_sha256, message.arguments,
                                                    message.configuration));
  WEIR_TRY(check_same_plan(*plan, message.plan));
  WEIR_TRY_ASSIGN(backend, seams.make_backend(configuration));
  job.configuration = std::move(configuration);
  job.plan = std::move(plan);
  job.backend = std::move(backend);
  return job;
}

/// A task's environment, and those of its channels that lead to other TaskManagers.
struct Wiring {
  TaskEnvironment env;
  struct Remote {
    TaskManagerId peer;
    RemoteChannel channel;
  };
  std::vector<Remote> remote;
};

Wiring make_environment(Self self, const SubmitTask& message, const LoadedJob& job) {
  const ProcessSeams& seams = *self->state.seams;
  Wiring wiring;
  TaskEnvironment& env = wiring.env;
  env.job = message.job;
  env.job_name = message.job_name;
  env.epoch = message.fence.epoch;
  env.execution = message.execution;
  env.plan = job.plan;
  env.description = message.plan;
  env.graph = build_job_graph(message.plan);
  env.restore = message.restore;
  env.allow_non_restored_state = message.allow_non_restored_state;
  env.backend = job.backend;
  env.storage = seams.storage;
  env.files = seams.files;
  env.standard_streams = seams.standard_streams;
  env.clock = seams.clock;
  env.random = seams.random;
  env.io = seams.io;
  env.buffer_timeout = job.configuration.execution().buffer_timeout;
  env.local_directory = local_directory(job.configuration, self->state.settings, message.job,
                                        message.fence, message.execution);

  const std::size_t capacity = job.configuration.execution().channel_bytes;
  // `end` is this task's, the other end lies in slot `other`.
  const auto channel = [&](const ChannelId& id, ChannelEnd end, std::uint32_t other) {
    const TaskManagerId peer = message.slots[other];
    if (peer == self->state.id) return self->state.channels.get(id, capacity);
    auto queue = std::make_shared<Channel>(capacity);
    const auto& make_batch = job.plan->edges[id.edge].make_batch;
    wiring.remote.push_back({peer, {id, end, queue, make_batch, capacity, {}}});
    return queue;
  };
  const std::uint32_t subtask = message.execution.subtask;
  for (const std::uint32_t e : env.graph.exchange_edges) {
    const EdgeDescription& edge = message.plan.edges[e];
    const bool forward = edge.partitioning == Partitioning::forward;
    if (env.graph.vertex_of[edge.consumer] == message.execution.vertex) {
      auto& input = env.inputs.emplace_back();
      input.input = edge.input;
      for (std::uint32_t p = 0; p < message.plan.operators[edge.producer].parallelism; ++p)
        if (!forward || p == subtask)
          input.channels.push_back(
              channel({message.job, message.fence, e, p, subtask}, ChannelEnd::consumer, p));
    }
    if (env.graph.vertex_of[edge.producer] == message.execution.vertex) {
      auto& output = env.outputs.emplace_back();
      output.edge = e;
      for (std::uint32_t c = 0; c < message.plan.operators[edge.consumer].parallelism; ++c)
        if (!forward || c == subtask)
          output.channels.push_back(
              channel({message.job, message.fence, e, subtask, c}, ChannelEnd::producer, c));
    }
  }
  return wiring;
}

void start_task(Self self, const SubmitTask& message, const LoadedJob& job) {
  TaskSetup setup;
  setup.seams = self->state.seams;
  setup.job_manager = self->state.job_manager;
  setup.task_manager = caf::actor_cast<TaskManagerActor>(self);
  setup.task_manager_id = self->state.id;
  setup.fence = message.fence;
  setup.cancellation_timeout = job.configuration.execution().cancellation_timeout;
  Wiring wiring = make_environment(self, message, job);
  setup.task = std::make_shared<StreamTask>(std::move(wiring.env));
  ManagedTask& managed = self->state.tasks[{message.job, message.fence, message.execution}];
  managed.task = setup.task;
  for (auto& [peer, channel] : wiring.remote) {
    managed.remote.push_back({peer, channel.id, channel.end});
    channel.on_failure = [weak = std::weak_ptr(setup.task)](const Error& why) {
      if (const auto task = weak.lock()) task->lose_channel(why);
    };
    self->state.seams->records->add(peer, std::move(channel));
  }
  managed.actor = self->spawn(task_actor, std::move(setup));
  self->state.task_actors->add(managed.actor);
}

/// Tells that a task has ended which has never begun here, until the JobManager has heard it.
void report_end(Self self, const TaskKey& key, TaskState state, const Error& failure) {
  self->state.reported.insert(key);
  const auto again = [self, key, state, failure] {
    run_delayed(self, registration_retry_delay,
                [self, key, state, failure] { report_end(self, key, state, failure); });
  };
  self->state.job_manager->request<Done>(
      self, registration_timeout, here(self),
      UpdateTaskState{key.job, key.fence, key.execution, state, failure, true, {}},
      [self, key, again](const Envelope<Reply<Done>>& reply) {
        if (self->state.seams->delivery->admit(reply))
          self->state.reported.erase(key);
        else
          again();
      },
      [again](const Error& why) {
        if (why.code != Errc::unavailable) again();
      });
}

/// The job of `attempt` is loaded, or why it cannot be: deploys what has waited for it.
void job_loaded(Self self, const AttemptKey& attempt, Result<LoadedJob> loaded) {
  const auto node = self->state.waiting.extract(attempt);
  bool runs = false;
  for (const auto& [message, cancelled] : node.mapped()) {
    if (loaded && !cancelled) {
      runs = true;
      start_task(self, message, *loaded);
      continue;
    }
    newest_with(self, attempt.job, attempt.fence).over = true;
    const TaskKey key{attempt.job, attempt.fence, message.execution};
    if (loaded)
      report_end(self, key, TaskState::canceled, {});
    else
      report_end(self, key, TaskState::failed, loaded.error());
  }
  if (runs) self->state.jobs[attempt] = std::move(*loaded);
}

/// Whether the channels of a task can be connected with where its neighbours lie.
Status check_slots(Self self, const SubmitTask& message) {
  const JobGraph graph = build_job_graph(message.plan);
  if (message.slots.size() < slots_needed(graph))
    return error(Errc::invalid_argument,
                 "SubmitTask names " + std::to_string(message.slots.size()) +
                     " slots, and the job has " + std::to_string(slots_needed(graph)));
  const bool is_spread = std::ranges::any_of(
      message.slots, [&](TaskManagerId slot) { return slot != self->state.id; });
  if (is_spread && !graph.exchange_edges.empty() && self->state.seams->records == nullptr)
    return error(Errc::unsupported,
                 "tasks of the job lie in other TaskManagers, and " + to_string(here(self)) +
                     " has no connections for records with them: raise "
                     "taskmanager.numberOfTaskSlots, so that one TaskManager has room for all");
  return {};
}

/// Takes a task in, which is answered at once; what becomes of it is reported.
void submit_task(Self self, const SubmitTask& message, PendingAnswer<Done> answer) {
  if (const auto stale = staleness(self, message)) {
    answer(Error{Errc::stale, *stale});
    return;
  }
  // A task that begins here beside a newer attempt elsewhere would take its output away. If the JobManager
  // still knows this TaskManager, it says again what is not answered.
  if (self->state.seams->clock->now() >= self->state.known_until) {
    self->state.seams->log("info", to_string(here(self)) + " does not take task " +
                                       to_string(message.execution) + " of job " +
                                       to_string(message.job) +
                                       ": the JobManager has not answered for so long that it may "
                                       "have given this TaskManager up");
    return;
  }
  const bool over = newest_with(self, message.job, message.fence).over;
  const AttemptKey attempt{message.job, message.fence};
  const auto waiting = self->state.waiting.find(attempt);
  const auto waits = [&](const WaitingTask& one) {
    return one.message.execution == message.execution;
  };
  if (self->state.tasks.contains({message.job, message.fence, message.execution}) ||
      (waiting != self->state.waiting.end() && std::ranges::any_of(waiting->second, waits))) {
    answer(Done{});  // a request that came twice
    return;
  }
  if (over) {
    answer(Error{Errc::stale, to_string(here(self)) + " refuses SubmitTask for task " +
                                  to_string(message.execution) +
                                  ": tasks of the same attempt have ended"});
    return;
  }
  if (const Status fits = check_slots(self, message); !fits) {
    answer(fits.error());
    return;
  }
  answer(Done{});
  if (const auto loaded = self->state.jobs.find(attempt); loaded != self->state.jobs.end()) {
    start_task(self, message, loaded->second);
    return;
  }
  if (waiting != self->state.waiting.end()) {
    waiting->second.push_back({message});
    return;
  }
  self->state.waiting[attempt].push_back({message});
  run_io(
      self, *self->state.seams->io,
      [message, seams = self->state.seams] { return load_job(message, *seams); },
      [self, attempt](Result<LoadedJob> loaded) { job_loaded(self, attempt, std::move(loaded)); });
}

void task_ended(Self self, const TaskEnded& ended) {
  const AttemptKey attempt{ended.job, ended.fence};
  if (const auto newest = self->state.newest.find(ended.job);
      newest != self->state.newest.end() && newest->second.fence == ended.fence)
    newest->second.over = true;
  if (const auto job = self->state.jobs.find(attempt); job != self->state.jobs.end()) {
    // Its backends have emptied it, unless a snapshot still reads there: then it goes with the job's.
    self->state.seams->io->submit(
        [files = self->state.seams->files,
         directory = local_directory(job->second.configuration, self->state.settings, ended.job,
                                     ended.fence, ended.execution)] {
          (void)files->remove(directory);
        });
  }
  const auto ended_task = self->state.tasks.extract({ended.job, ended.fence, ended.execution});
  if (ended_task)
    for (const RemoteEnd& one : ended_task.mapped().remote)
      self->state.seams->records->release(one.peer, one.id, one.end);
  const bool last = std::ranges::none_of(self->state.tasks, [&](const auto& task) {
    return task.first.job == ended.job && task.first.fence == ended.fence;
  });
  if (!last) return;
  // Once for all tasks: there is a channel for each pair of them.
  self->state.channels.prune();
  // A job that restarts loads its plan again: what user code left in it is gone.
  self->state.jobs.erase(attempt);
}

// ---- messages for tasks ---------------------------------------------------------------------------

void note(ManagedTask& managed, const StartTask&) { managed.started = true; }
void note(ManagedTask& managed, const CancelTask&) { managed.cancelled = true; }
void note(ManagedTask& managed, const TriggerCheckpoint& trigger) {
  managed.triggered = std::max(managed.triggered, trigger.checkpoint);
}
void note(ManagedTask& managed, const NotifyCheckpointComplete& notice) {
  if (notice.kind == SnapshotKind::checkpoint)
    managed.completed = std::max(managed.completed, notice.checkpoint);
}
template <class M>
void note(ManagedTask&, const M&) {}

/// Hands `message` to its task; false if there is none.
template <class M>
bool hand_on(Self self, const M& message) {
  const auto task = self->state.tasks.find({message.job, message.fence, message.execution});
  if (task == self->state.tasks.end()) return false;
  note(task->second, message);
  self->send(task->second.actor, Envelope<M>{here(self), endpoint_of(message.execution), message});
  return true;
}

/// The same for a message that nobody misses if its task has ended. A stale one is not heard.
template <class M>
void forward(Self self, const M& message) {
  if (!staleness(self, message)) hand_on(self, message);
}

void trigger_checkpoint(Self self, const TriggerCheckpoint& trigger) {
  const auto stale = staleness(self, trigger);
  if (!stale && hand_on(self, trigger)) return;
  self->state.job_manager->send(
      here(self), DeclineCheckpoint{trigger.job, trigger.fence, trigger.execution,
                                    trigger.checkpoint, DeclineReason::unknown_task,
                                    stale.value_or(to_string(here(self)) + " does not know task " +
                                                   to_string(trigger.execution))});
}

/// Ends a task, or lets it not begin; its end is reported. False if it is not here.
bool cancel_known(Self self, const CancelTask& message) {
  if (hand_on(self, message)) return true;
  const auto waiting = self->state.waiting.find({message.job, message.fence});
  if (waiting == self->state.waiting.end()) return false;
  const auto one =
      std::ranges::find(waiting->second, message.execution,
                        [](const WaitingTask& task) { return task.message.execution; });
  if (one == waiting->second.end()) return false;
  one->cancelled = true;
  return true;
}

void cancel_here(Self self, const TaskKey& key) {
  (void)cancel_known(self, {key.job, key.fence, key.execution});
}

void cancel_task(Self self, const CancelTask& message) {
  // Also of an older attempt, which a TaskManager that had been given up may still run.
  if (cancel_known(self, message) || staleness(self, message)) return;
  newest_with(self, message.job, message.fence).over = true;
  // What is not here has ended, or will never begin; the JobManager waits to hear so.
  const TaskKey key{message.job, message.fence, message.execution};
  if (!self->state.reported.contains(key)) report_end(self, key, TaskState::canceled, {});
}

}  // namespace

std::shared_ptr<Channel> ChannelTable::get(const ChannelId& id, std::size_t capacity_bytes) {
  auto& known = channels_[id];
  auto channel = known.lock();
  if (!channel) known = channel = std::make_shared<Channel>(capacity_bytes);
  return channel;
}

void ChannelTable::prune() {
  std::erase_if(channels_, [](const auto& entry) { return entry.second.expired(); });
}

TaskManagerActor::behavior_type task_manager(Self self, std::shared_ptr<const ProcessSeams> seams,
                                             ProcessSettings settings,
                                             std::shared_ptr<const JobManagerGateway> job_manager,
                                             TaskManagerId id, std::uint32_t slots) {
  self->state.seams = std::move(seams);
  self->state.settings = std::move(settings);
  self->state.job_manager = std::move(job_manager);
  self->state.id = id;
  self->state.slots = slots;
  self->state.task_actors.emplace(self);
  end_process_on_exception(self, self->state.seams, here(self));
  Delivery& delivery = *self->state.seams->delivery;
  // Whoever sends a task has heard the registration that is sent now.
  heard_from_job_manager(self, self->state.seams->clock->now());
  register_here(self);

  return {
      on_request<SubmitTask, Done>(
          self, delivery,
          [self](const SubmitTask& message, auto answer) { submit_task(self, message, answer); }),
      on_message<StartTask>(delivery, [self](const StartTask& message) { forward(self, message); }),
      on_message<CancelTask>(delivery,
                             [self](const CancelTask& message) { cancel_task(self, message); }),
      on_message<DrainTask>(delivery, [self](const DrainTask& message) { forward(self, message); }),
      on_message<TriggerCheckpoint>(
          delivery,
          [self](const TriggerCheckpoint& trigger) { trigger_checkpoint(self, trigger); }),
      on_message<NotifyCheckpointComplete>(
          delivery, [self](const NotifyCheckpointComplete& notice) { forward(self, notice); }),
      on_message<NotifyCheckpointAborted>(
          delivery, [self](const NotifyCheckpointAborted& notice) { forward(self, notice); }),
      on_message<TaskEnded>(delivery, [self](const TaskEnded& ended) { task_ended(self, ended); }),
      run_mail(),
  };
}

}  // namespace weir
