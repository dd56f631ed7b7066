#include "actors/task_manager.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <caf/all.hpp>

#include "actors/handlers.hpp"
#include "actors/local_directory.hpp"
#include "actors/task.hpp"

namespace weir {

namespace {

using Self = TaskManagerActor::stateful_pointer<TaskManagerState>;

constexpr std::chrono::milliseconds registration_timeout = std::chrono::seconds(10);
constexpr std::chrono::milliseconds registration_retry_delay = std::chrono::seconds(1);

Endpoint here(Self self) { return endpoint_of(self->state.id); }

// ---- registration and heartbeats ------------------------------------------------------------------

void beat(Self self) {
  Heartbeat heartbeat{self->state.id, self->state.epoch, {}};
  for (const auto& [key, task] : self->state.running)
    heartbeat.tasks.push_back({key.first, key.second, task->metrics()});
  self->state.job_manager->send(here(self), std::move(heartbeat));
  run_delayed(self, self->state.settings.configuration.process().heartbeat_interval,
              [self] { beat(self); });
}

void register_here(Self self) {
  Delivery& delivery = *self->state.seams->delivery;
  const auto again = [self] {
    run_delayed(self, registration_retry_delay, [self] { register_here(self); });
  };
  self->state.job_manager->request<RegistrationSuccess>(
      self, registration_timeout, here(self),
      RegisterTaskManager{self->state.id, self->state.slots},
      [self, again, &delivery](const Envelope<Reply<RegistrationSuccess>>& reply) {
        if (!delivery.admit(reply) || !reply.message.value) {
          again();
          return;
        }
        self->state.epoch = reply.message.value->epoch;
        beat(self);
      },
      [again](const Error&) { again(); });
}

// ---- fencing --------------------------------------------------------------------------------------

/// Why `message` must not be heard, if its leader or attempt is older than that of a task which came
/// here before.
template <class M>
std::optional<std::string> staleness(Self self, const M& message) {
  const auto newest = self->state.fences.find(message.job);
  if (newest == self->state.fences.end() || message.fence >= newest->second) return std::nullopt;
  std::string sentence = to_string(here(self)) + " refuses " + message_name(message) +
                         " for task " + to_string(message.execution) + ": it is of " +
                         to_string(message.fence) + ", the job is at " + to_string(newest->second);
  self->state.seams->log("info", "job " + to_string(message.job) + ": " + sentence);
  return sentence;
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

TaskEnvironment make_environment(Self self, const SubmitTask& message, const LoadedJob& job) {
  const ProcessSeams& seams = *self->state.seams;
  TaskEnvironment env;
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
  env.local_directory =
      local_directory(job.configuration, self->state.settings, message.job, message.execution);

  const std::size_t capacity = job.configuration.execution().channel_bytes;
  const auto channel = [&](std::uint32_t edge, std::uint32_t producer, std::uint32_t consumer) {
    return self->state.channels.get(
        {message.job, message.execution.attempt, edge, producer, consumer}, capacity);
  };
  const std::uint32_t subtask = message.execution.subtask;
  for (const std::uint32_t e : env.graph.exchange_edges) {
    const EdgeDescription& edge = message.plan.edges[e];
    const bool forward = edge.partitioning == Partitioning::forward;
    if (env.graph.vertex_of[edge.consumer] == message.execution.vertex) {
      auto& input = env.inputs.emplace_back();
      input.input = edge.input;
      for (std::uint32_t p = 0; p < message.plan.operators[edge.producer].parallelism; ++p)
        if (!forward || p == subtask) input.channels.push_back(channel(e, p, subtask));
    }
    if (env.graph.vertex_of[edge.producer] == message.execution.vertex) {
      auto& output = env.outputs.emplace_back();
      output.edge = e;
      for (std::uint32_t c = 0; c < message.plan.operators[edge.consumer].parallelism; ++c)
        if (!forward || c == subtask) output.channels.push_back(channel(e, subtask, c));
    }
  }
  return env;
}

void start_task(Self self, const SubmitTask& message, const LoadedJob& job) {
  TaskSetup setup;
  setup.seams = self->state.seams;
  setup.job_manager = self->state.job_manager;
  setup.task_manager = caf::actor_cast<TaskManagerActor>(self);
  setup.task_manager_id = self->state.id;
  setup.fence = message.fence;
  setup.cancellation_timeout = job.configuration.execution().cancellation_timeout;
  setup.task = std::make_shared<StreamTask>(make_environment(self, message, job));
  const std::pair key{message.job, message.execution};
  self->state.running[key] = setup.task;
  self->state.tasks[key] = self->spawn(task_actor, std::move(setup));
  self->state.task_actors->add(self->state.tasks[key]);
}

void submit_task(Self self, const SubmitTask& message, PendingAnswer<Done> answer) {
  if (const auto stale = staleness(self, message)) {
    answer(Error{Errc::stale, *stale});
    return;
  }
  self->state.fences[message.job] = message.fence;
  const std::pair key{message.job, message.execution};
  if (self->state.tasks.contains(key)) {
    answer(Done{});  // a request that came twice
    return;
  }
  if (const auto loaded = self->state.jobs.find(message.job); loaded != self->state.jobs.end()) {
    start_task(self, message, loaded->second);
    answer(Done{});
    return;
  }
  auto& waiting = self->state.waiting[message.job];
  waiting.emplace_back(message, answer);
  if (waiting.size() > 1) return;
  run_io(
      self, *self->state.seams->io,
      [message, seams = self->state.seams] { return load_job(message, *seams); },
      [self, id = message.job](Result<LoadedJob> loaded) {
        auto waiting = self->state.waiting.extract(id);
        if (loaded) self->state.jobs[id] = *loaded;
        for (auto& [message, answer] : waiting.mapped()) {
          if (!loaded) {
            answer(loaded.error());
          } else if (self->state.cancelled.erase({id, message.execution}) > 0) {
            answer(Error{Errc::cancelled, "cancelled before it was deployed"});
          } else {
            start_task(self, message, *loaded);
            answer(Done{});
          }
        }
      });
}

void task_ended(Self self, const TaskEnded& ended) {
  if (const auto job = self->state.jobs.find(ended.job); job != self->state.jobs.end()) {
    // Its backends have emptied it, unless a snapshot still reads there: then it goes with the job's.
    self->state.seams->io->submit(
        [files = self->state.seams->files,
         directory = local_directory(job->second.configuration, self->state.settings, ended.job,
                                     ended.execution)] { (void)files->remove(directory); });
  }
  self->state.tasks.erase({ended.job, ended.execution});
  self->state.running.erase({ended.job, ended.execution});
  const bool last = std::ranges::none_of(
      self->state.tasks, [&](const auto& task) { return task.first.first == ended.job; });
  if (!last) return;
  // Once for all tasks: there is a channel for each pair of them.
  self->state.channels.prune();
  // A job that restarts loads its plan again: what user code left in it is gone.
  self->state.jobs.erase(ended.job);
}

// ---- messages for tasks ---------------------------------------------------------------------------

/// Hands `message` to its task; false if there is none.
template <class M>
bool hand_on(Self self, const M& message) {
  const auto task = self->state.tasks.find({message.job, message.execution});
  if (task == self->state.tasks.end()) return false;
  self->send(task->second, Envelope<M>{here(self), endpoint_of(message.execution), message});
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

/// Tells that a task which is not here is CANCELED, until the JobManager has heard it.
void report_canceled(Self self, const UpdateTaskState& update) {
  const auto again = [self, update] {
    run_delayed(self, registration_retry_delay, [self, update] { report_canceled(self, update); });
  };
  self->state.job_manager->request<Done>(
      self, registration_timeout, here(self), update,
      [self, again](const Envelope<Reply<Done>>& reply) {
        if (!self->state.seams->delivery->admit(reply)) again();
      },
      [again](const Error& why) {
        if (why.code != Errc::unavailable) again();
      });
}

void cancel_task(Self self, const CancelTask& message) {
  if (staleness(self, message) || hand_on(self, message)) return;
  const auto waiting = self->state.waiting.find(message.job);
  if (waiting != self->state.waiting.end())
    self->state.cancelled.insert({message.job, message.execution});
  // What is not here has ended, or will never begin; the JobManager waits to hear so.
  report_canceled(
      self, {message.job, message.fence, message.execution, TaskState::canceled, {}, true, {}});
}

}  // namespace

std::shared_ptr<Channel> ChannelTable::get(const Key& key, std::size_t capacity_bytes) {
  auto& known = channels_[key];
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
