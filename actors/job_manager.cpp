#include "actors/job_manager.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <caf/all.hpp>

#include "actors/checkpoint_coordinator_actor.hpp"
#include "actors/local_directory.hpp"
#include "actors/slot_placement.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/remove_tree.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

using Self = JobManagerActor::stateful_pointer<JobManagerState>;

/// A deployment, which a TaskManager answers at once, is taken for lost after so long.
constexpr std::chrono::milliseconds submit_task_timeout = std::chrono::seconds(10);
/// Bounds what a savepoint may take; the coordinator's own timeout ends it long before.
constexpr std::chrono::milliseconds savepoint_timeout = std::chrono::hours(24);
/// A submission looks this often for slots, and this many times: two seconds for TaskManagers that are
/// starting.
constexpr std::chrono::milliseconds slot_admission_delay = std::chrono::milliseconds(20);
constexpr std::size_t slot_admission_attempts = 100;
/// A deployment that the gateway has no place for is tried again.
constexpr std::chrono::milliseconds deploy_retry_delay = std::chrono::milliseconds(100);
/// How often a restart looks for slots that are missing.
constexpr std::chrono::milliseconds slot_retry_delay = std::chrono::seconds(1);
/// Ended jobs that the JobManager still knows.
constexpr std::size_t max_ended_jobs = 100;
/// Clients that wait for the end of one job that they have cancelled.
constexpr std::size_t max_cancellations = 1000;
/// Of this JobManager among those of its cluster, of which it is the only one so far. No job's: a job's
/// fence has an epoch of its own.
constexpr LeaderEpoch cluster_epoch{1};

void perform(Self self, JobId id, const GraphEffects& effects);

MonotonicTime now(Self self) { return self->state.seams->clock->now(); }
std::int64_t wall_ms(Self self) {
  return self->state.seams->clock->wall_now().time_since_epoch().count();
}

template <class M>
void tell_coordinator(Self self, const ManagedJob& job, M message) {
  self->send(job.coordinator,
             Envelope<M>{job_manager_endpoint(), coordinator_endpoint(), std::move(message)});
}

ManagedJob* find(Self self, const JobId& id) {
  const auto found = self->state.jobs.find(id);
  return found == self->state.jobs.end() ? nullptr : &found->second;
}

Error unknown_job(const JobId& id) {
  return {Errc::not_found, "no job " + to_string(id) + " here; `weir list` shows the running jobs"};
}

Fence fence_of(const ManagedJob& job) {
  return {job.prepared->coordinator.epoch, job.graph->attempt()};
}

/// Fencing: why `message` is not heard, if it carries another leader's epoch or another attempt than the
/// running one.
template <class M>
std::optional<std::string> staleness(Self self, const ManagedJob& job, const M& message) {
  if (message.fence == fence_of(job)) return std::nullopt;
  std::string sentence = "the JobManager refuses " + message_name(message) + " of task " +
                         to_string(message.execution) + ": it is of " + to_string(message.fence) +
                         ", the job is at " + to_string(fence_of(job));
  self->state.seams->log("info", "job " + to_string(message.job) + ": " + sentence);
  return sentence;
}

/// Any message that comes from a TaskManager counts as its heartbeat.
void heard_from(Self self, TaskManagerId id) {
  const auto known = self->state.task_managers.find(id);
  if (known != self->state.task_managers.end()) known->second.last_heard = now(self);
}

/// The same for a message about a task of the running attempt, which comes from where the task lies.
void heard_from(Self self, const ManagedJob& job, const ExecutionId& execution) {
  const auto placed = job.executions.find(execution);
  if (placed != job.executions.end()) heard_from(self, placed->second.slot());
}

// ---- deploying ------------------------------------------------------------------------------------

/// Free slots for a job, by slot number, or none if there are not enough.
std::optional<std::vector<TaskManagerId>> place(Self self, const JobGraph& graph) {
  SlotPlacement placement;
  // One that has registered and cannot be reached is not there yet, or not any more.
  for (const auto& [id, known] : self->state.task_managers)
    if (self->state.gateways->find(id)) placement.add_task_manager(id, known.slots);
  for (const auto& [id, job] : self->state.jobs) {
    if (is_terminal(job.graph->state())) continue;
    for (const auto& [execution, placed] : job.executions)
      placement.occupy(placed.slot(), id, execution);
  }
  return placement.place(slots_needed(graph),
                         self->state.settings.configuration.process().spread_out_slots);
}

/// Begins the next attempt, or tries again later if slots are missing.
void deploy_attempt(Self self, JobId id) {
  ManagedJob& job = *find(self, id);
  const JobGraph& graph = job.prepared->graph;
  job.executions.clear();
  const auto slots = place(self, graph);
  if (!slots) {
    self->state.seams->log("warning", "job " + to_string(id) + " waits: " + missing_slots(graph));
    run_delayed(self, slot_retry_delay, [self, id] {
      const ManagedJob* waiting = find(self, id);
      if (waiting != nullptr && waiting->graph->restart_due()) deploy_attempt(self, id);
    });
    return;
  }
  job.metrics.clear();
  job.slots = *slots;
  const GraphEffects effects = job.graph->deploy();
  AttemptStarted started{id, job.graph->attempt(), {}};
  for (const auto& [execution, state] : job.graph->tasks()) {
    const TaskManagerId slot = (*slots)[execution.subtask];
    job.executions.emplace(execution, Execution(execution, slot, self->state.gateways->find(slot)));
    started.executions.push_back({execution, slot});
  }
  tell_coordinator(self, job, std::move(started));
  perform(self, id, effects);
}

void task_failed(Self self, JobId id, const ExecutionId& execution, const Error& why) {
  if (ManagedJob* job = find(self, id))
    perform(self, id,
            job->graph->task_state_changed(execution, TaskState::failed, why, true, now(self)));
}

void deploy_later(Self self, JobId id, const ExecutionId& execution);

/// The deployment of a task is not on its way any more; null if nobody wants it any more.
Execution* deployment_answered(Self self, const JobId& id, const ExecutionId& execution) {
  ManagedJob* const job = find(self, id);
  if (job == nullptr) return nullptr;
  const auto placed = job->executions.find(execution);
  if (placed == job->executions.end()) return nullptr;
  placed->second.is_submitted(false);
  return &placed->second;
}

void deploy_task(Self self, JobId id, ManagedJob& job, const ExecutionId& execution) {
  const PreparedJob& prepared = *job.prepared;
  SubmitTask message;
  message.job = id;
  message.fence = fence_of(job);
  message.execution = execution;
  message.job_name = prepared.submission.name;
  message.plan = prepared.plan;
  message.library_sha256 = prepared.submission.library_sha256;
  message.arguments = prepared.submission.arguments;
  message.configuration = prepared.submission.configuration;
  message.allow_non_restored_state = prepared.submission.allow_non_restored_state;
  message.slots = job.slots;
  if (job.assignment) message.restore = job.assignment->tasks[execution.vertex][execution.subtask];

  const TaskManagerId slot = job.executions.at(execution).slot();
  const auto gateway = self->state.gateways->find(slot);
  if (!gateway) {
    // Lost since it was placed. The graph hears of it when it has finished with the current event.
    run_delayed(self, std::chrono::nanoseconds(0), [self, id, execution] {
      task_failed(self, id, execution, {Errc::unavailable, "the TaskManager is gone"});
    });
    return;
  }
  Delivery& delivery = *self->state.seams->delivery;
  job.executions.at(execution).is_submitted(true);
  gateway->request<Done>(
      self, submit_task_timeout, job_manager_endpoint(), std::move(message),
      [self, id, execution, slot, &delivery](const Envelope<Reply<Done>>& reply) {
        if (!delivery.admit(reply)) return;
        heard_from(self, slot);
        Execution* const placed = deployment_answered(self, id, execution);
        if (!reply.message.value)
          task_failed(self, id, execution, reply.message.error);
        else if (placed != nullptr)
          placed->has_arrived();
      },
      [self, id, execution](const Error& why) {
        if (why.code == Errc::limit_exceeded) {
          run_delayed(self, deploy_retry_delay,
                      [self, id, execution] { deploy_later(self, id, execution); });
          return;
        }
        (void)deployment_answered(self, id, execution);
        // Without an answer the heartbeats show what has become of it.
        if (why.code != Errc::timed_out) task_failed(self, id, execution, why);
      });
}

/// Deploys what the gateway had no place for, if it is still wanted.
void deploy_later(Self self, JobId id, const ExecutionId& execution) {
  ManagedJob* job = find(self, id);
  if (job == nullptr || job->graph->state() != JobState::created) return;
  const auto task = job->graph->tasks().find(execution);
  if (task != job->graph->tasks().end() && task->second == TaskState::created)
    deploy_task(self, id, *job, execution);
}

/// Deals out what the next attempt starts from and deploys it.
void restart(Self self, JobId id) {
  ManagedJob* job = find(self, id);
  if (job == nullptr || !job->graph->restart_due()) return;
  job->assignment.reset();
  if (job->restart_point) {
    const PreparedJob& prepared = *job->prepared;
    auto assignment = assign_state(*job->restart_point, job->restart_directory, prepared.plan,
                                   prepared.graph, prepared.submission.allow_non_restored_state);
    if (!assignment) {
      perform(self, id, job->graph->fail(assignment.error(), false, now(self)));
      return;
    }
    job->assignment = std::move(*assignment);
  }
  deploy_attempt(self, id);
}

// ---- effects of the graph -------------------------------------------------------------------------

struct Performer {
  Self self;
  JobId id;
  ManagedJob& job;

  void operator()(const graph_effects::Deploy& effect) const {
    deploy_task(self, id, job, effect.execution);
  }
  void operator()(const graph_effects::Start& effect) const {
    job.executions.at(effect.execution).start({id, fence_of(job), effect.execution});
  }
  void operator()(const graph_effects::Cancel& effect) const {
    job.executions.at(effect.execution).cancel({id, fence_of(job), effect.execution});
  }
  void operator()(const graph_effects::ArmRestart& effect) const {
    self->state.seams->log("warning", "job " + to_string(id) + " restarts in " +
                                          std::to_string(effect.delay.count()) +
                                          " ms: " + job.graph->failure());
    run_delayed(self, effect.delay, [self = self, id = id] { restart(self, id); });
  }
  void operator()(const graph_effects::TaskChanged& effect) const {
    tell_coordinator(self, job, TaskStateChanged{id, effect.execution, effect.state});
  }
  void operator()(const graph_effects::JobChanged& effect) const {
    self->state.seams->log(
        "info", "job " + to_string(id) + " is " + std::string(enumerator_name(effect.state)));
    if (!is_terminal(effect.state)) job.shown_state = effect.state;
    tell_coordinator(self, job, JobStateChanged{id, effect.state});
  }
  void operator()(const graph_effects::JobEnded&) const {
    job.ended_at_ms = wall_ms(self);
    if (!job.graph->failure().empty())
      self->state.seams->log("error", "job " + to_string(id) + ": " + job.graph->failure());
  }
};

void perform(Self self, JobId id, const GraphEffects& effects) {
  ManagedJob& job = *find(self, id);
  for (const GraphEffect& effect : effects) std::visit(Performer{self, id, job}, effect);
}

/// Forgets the oldest ended jobs beyond the bound.
void forget_old_jobs(Self self) {
  std::vector<std::pair<std::int64_t, JobId>> ended;
  for (const auto& [id, job] : self->state.jobs)
    if (is_terminal(job.shown_state)) ended.emplace_back(job.ended_at_ms, id);
  std::ranges::sort(ended);
  for (std::size_t i = 0; i + max_ended_jobs < ended.size(); ++i)
    self->state.jobs.erase(ended[i].second);
}

/// Everything of the job is released: clients may know that it has ended.
void show_end(Self self, JobId id) {
  ManagedJob* job = find(self, id);
  if (job == nullptr) return;
  job->shown_state = job->graph->state();
  self->send_exit(job->coordinator, caf::exit_reason::user_shutdown);
  for (auto& answer : std::exchange(job->cancellations, {})) {
    if (job->shown_state == JobState::canceled)
      answer(CancellationSuccess{id, ""});
    else
      answer(Error{Errc::unavailable, "job " + to_string(id) + " was " +
                                          std::string(enumerator_name(job->shown_state)) +
                                          " before it could be cancelled"});
  }
  forget_old_jobs(self);
}

/// The coordinator writes and deletes nothing any more.
void coordinator_settled(Self self, const CoordinatorSettled& settled) {
  ManagedJob* job = find(self, settled.job);
  if (job == nullptr) return;
  job->restart_directory = settled.directory;
  job->restart_point = settled.restore_point;
  if (!is_terminal(job->graph->state())) {
    perform(self, settled.job, job->graph->coordinator_settled(settled.state));
    return;
  }
  if (is_terminal(job->shown_state) || std::exchange(job->released, true)) return;
  run_io(
      self, *self->state.seams->io,
      [seams = self->state.seams, settings = self->state.settings,
       directory = job->prepared->coordinator.checkpoint_directory, id = settled.job,
       prepared = job->prepared, failed = job->graph->state() == JobState::failed]() -> Status {
        remove_tree(*seams->files, local_directory(prepared->configuration, settings, id));
        if (failed)
          prepared->outputs.undo(*seams->files);
        else
          prepared->outputs.release(*seams->files);
        if (directory.empty()) return {};
        auto removed = remove_job_directory_if_empty(*seams->storage, directory, id);
        prepared->lock.reset();
        return removed;
      },
      [self, id = settled.job](const Status& removed) {
        if (!removed)
          self->state.seams->log("warning", "job " + to_string(id) + ": " + removed.error().what);
        show_end(self, id);
      });
}

// ---- submission -----------------------------------------------------------------------------------

/// Undoes what was prepared for a job that is not taken in, and then says why.
void refuse_job(Self self, std::shared_ptr<PreparedJob> prepared, Error why,
                PendingAnswer<SubmitJobSuccess> answer) {
  run_io(
      self, *self->state.seams->io,
      [seams = self->state.seams, prepared = std::move(prepared)]() -> Status {
        abandon_job(*prepared, *seams);
        return {};
      },
      [answer = std::move(answer), why = std::move(why)](const Status&) mutable { answer(why); });
}

/// Takes the job in and deploys it. Slots that are missing may still register: it looks for them
/// `slot_attempts` times.
void admit_job(Self self, Result<std::shared_ptr<PreparedJob>> prepared, std::size_t slot_attempts,
               PendingAnswer<SubmitJobSuccess> answer) {
  if (!prepared) {
    answer(prepared.error());
    return;
  }
  const JobId id = (*prepared)->submission.id;
  if (const ManagedJob* known = find(self, id); known != nullptr) {
    // One that has ended may go on under its id; what was known of its end is then forgotten.
    if (!is_terminal(known->graph->state()) || !(*prepared)->submission.continues) {
      refuse_job(self, *prepared,
                 {Errc::already_exists, "job " + to_string(id) + " is here already"}, answer);
      return;
    }
    self->state.jobs.erase(id);
  }
  if (!place(self, (*prepared)->graph)) {
    if (slot_attempts > 1) {
      run_delayed(self, slot_admission_delay, [self, prepared = *prepared, slot_attempts, answer] {
        admit_job(self, prepared, slot_attempts - 1, answer);
      });
      return;
    }
    refuse_job(self, *prepared, {Errc::unavailable, missing_slots((*prepared)->graph)}, answer);
    return;
  }
  // TaskManagers remember the fences of a job that has ended, also if it has left no snapshot that names its epoch.
  LeaderEpoch& newest = self->state.epochs[id];
  newest = std::max(LeaderEpoch{newest.value + 1}, (*prepared)->coordinator.epoch);
  (*prepared)->coordinator.epoch = newest;
  ManagedJob& job = self->state.jobs[id];
  job.prepared = *prepared;
  job.started_at_ms = wall_ms(self);
  job.graph = std::make_unique<ExecutionGraph>(
      job.prepared->graph, create_restart_strategy(job.prepared->configuration.restart_strategy(),
                                                   *self->state.seams->random));
  job.assignment = std::move(job.prepared->restore);
  CoordinatorSetup setup;
  setup.seams = self->state.seams;
  setup.gateways = self->state.gateways;
  setup.job = job.prepared->coordinator;
  setup.config = job.prepared->configuration.checkpoint_config();
  setup.savepoint_directory = job.prepared->configuration.directories().savepoints;
  setup.found = std::move(job.prepared->found);
  setup.job_manager = caf::actor_cast<JobManagerActor>(self);
  job.coordinator = self->spawn(checkpoint_coordinator, std::move(setup));
  self->state.coordinators->add(job.coordinator);
  for (const std::string& warning : job.prepared->warnings)
    self->state.seams->log("warning", "job " + to_string(id) + ": " + warning);
  const std::string& from = job.prepared->restored_from;
  self->state.seams->log("info", "job " + to_string(id) + " (" + job.prepared->submission.name +
                                     ") starts " +
                                     (from.empty() ? "with empty state" : "from " + from));
  answer(SubmitJobSuccess{id, job.prepared->warnings});
  deploy_attempt(self, id);
}

// ---- questions ------------------------------------------------------------------------------------

JobOverview overview(const JobId& id, const ManagedJob& job) {
  JobOverview result;
  result.id = id;
  result.name = job.prepared->submission.name;
  result.state = job.shown_state;
  result.parallelism = slots_needed(job.prepared->graph);
  result.started_at_ms = job.started_at_ms;
  result.ended_at_ms = job.ended_at_ms;
  result.restarts = job.graph->attempt();
  return result;
}

JobDetails details(Self self, const JobId& id, const ManagedJob& job) {
  JobDetails result;
  result.overview = overview(id, job);
  result.checkpoints = job.counts;
  // Until the coordinator knows of an attempt.
  if (!result.checkpoints.restored_from)
    result.checkpoints.restored_directory = job.prepared->restored_from;
  result.failure = job.graph->failure();
  result.checkpoint_directory = job.prepared->checkpoint_directory;
  result.log_file = self->state.settings.log_file;
  for (const OperatorDescription& description : job.prepared->plan.operators) {
    OperatorMetrics sum{description.uid, description.name, description.parallelism, 0, 0, 0};
    for (const auto& [task, operators] : job.metrics) {
      for (const OperatorMetrics& one : operators) {
        if (one.uid != description.uid) continue;
        sum.records_in += one.records_in;
        sum.records_out += one.records_out;
        sum.state_bytes += one.state_bytes;
      }
    }
    result.operators.push_back(std::move(sum));
  }
  for (const auto& [execution, state] : job.graph->tasks())
    result.tasks.emplace_back(to_string(execution), std::string(enumerator_name(state)));
  const PlanDescription& plan = job.prepared->plan;
  for (const JobVertex& vertex : build_job_graph(plan).vertices) {
    std::string& name = result.vertices.emplace_back();
    for (const std::uint32_t index : vertex.operators)
      name += (name.empty() ? "" : " -> ") + plan.operators[index].uid;
  }
  return result;
}

/// Hands a client's request to the job's coordinator and its answer back to the client.
template <class R, class M>
void ask_coordinator(Self self, const M& message, PendingAnswer<R> answer) {
  ManagedJob* job = find(self, message.job);
  if (job == nullptr || is_terminal(job->shown_state)) {
    answer(job == nullptr ? unknown_job(message.job)
                          : Error{Errc::unavailable,
                                  "job " + to_string(message.job) + " is " +
                                      std::string(enumerator_name(job->shown_state)) + " already"});
    return;
  }
  Delivery& delivery = *self->state.seams->delivery;
  self->request(job->coordinator, savepoint_timeout,
                Envelope<M>{job_manager_endpoint(), coordinator_endpoint(), message})
      .then(
          [answer, &delivery](const Envelope<Reply<R>>& reply) mutable {
            if (delivery.admit(reply)) answer(reply.message);
          },
          [answer](const caf::error& why) mutable {
            answer(transport_error(why, "the job's coordinator"));
          });
}

/// Passes a task's message on to the coordinator of its job. Its sender has nothing more to say.
template <class M>
void forward_to_coordinator(Self self, const M& message, PendingAnswer<Done> answer) {
  answer(Done{});
  const ManagedJob* job = find(self, message.job);
  if (job == nullptr || is_terminal(job->shown_state)) return;
  // It is only logged here: the coordinator refuses what is stale itself, as it has files to delete.
  if (!staleness(self, *job, message)) heard_from(self, *job, message.execution);
  tell_coordinator(self, *job, message);
}

void cancel_job(Self self, const JobId& id, PendingAnswer<CancellationSuccess> answer) {
  ManagedJob* job = find(self, id);
  if (job == nullptr) {
    answer(unknown_job(id));
    return;
  }
  // Whoever is refused has lost nothing: the job is being cancelled for those before.
  if (job->cancellations.size() >= max_cancellations) {
    answer(
        Error{Errc::limit_exceeded, "job " + to_string(id) + " is being cancelled already, and " +
                                        std::to_string(max_cancellations) +
                                        " clients wait for its end; `weir list` shows its state"});
    return;
  }
  job->cancellations.push_back(std::move(answer));
  if (is_terminal(job->shown_state))
    show_end(self, id);
  else
    perform(self, id, job->graph->cancel());
}

void dispose_savepoint(Self self, const std::string& path,
                       PendingAnswer<DisposeSavepointSuccess> answer) {
  for (const auto& [id, job] : self->state.jobs) {
    // An ordinary savepoint is no recovery point, so completing one changes nothing here.
    if (!is_terminal(job.shown_state) && job.prepared->restored_from == path &&
        !job.counts.last_completed) {
      answer(
          Error{Errc::unavailable,
                path + ": job " + to_string(id) +
                    " started from this savepoint and would restart from it; dispose it after the "
                    "job's next checkpoint"});
      return;
    }
  }
  run_io(
      self, *self->state.seams->io,
      [storage = self->state.seams->storage, path] { return delete_snapshot(*storage, path); },
      [answer, path](const Status& deleted) mutable {
        if (deleted)
          answer(DisposeSavepointSuccess{path});
        else
          answer(deleted.error());
      });
}

// ---- TaskManagers ---------------------------------------------------------------------------------

void lose_task_manager(Self self, TaskManagerId id) {
  self->state.seams->log("error",
                         "TaskManager " + std::to_string(id.value) + " is lost: no heartbeat");
  self->state.task_managers.erase(id);
  const Error lost{Errc::unavailable, "TaskManager " + std::to_string(id.value) +
                                          " is lost: no heartbeat came in time"};
  std::vector<std::pair<JobId, ExecutionId>> tasks;
  for (const auto& [job_id, job] : self->state.jobs)
    for (const auto& [execution, placed] : job.executions)
      if (placed.slot() == id) tasks.emplace_back(job_id, execution);
  for (const auto& [job_id, execution] : tasks) task_failed(self, job_id, execution, lost);
}

void watch_task_managers(Self self) {
  const ProcessConfig& config = self->state.settings.configuration.process();
  const MonotonicTime due = now(self) + config.heartbeat_interval;
  run_delayed(self, config.heartbeat_interval, [self, due, timeout = config.heartbeat_timeout] {
    // Whoever was stopped has heard nobody meanwhile, and it was nobody's fault.
    const auto late = now(self) - due;
    for (auto& [id, known] : self->state.task_managers) known.last_heard += late;
    std::vector<TaskManagerId> lost;
    for (const auto& [id, known] : self->state.task_managers)
      if (now(self) - known.last_heard > timeout) lost.push_back(id);
    for (const TaskManagerId id : lost) lose_task_manager(self, id);
    watch_task_managers(self);
  });
}

void take_metrics(Self self, const JobId& id, const ExecutionId& execution,
                  const std::vector<OperatorMetrics>& metrics) {
  ManagedJob* job = find(self, id);
  if (job != nullptr && execution.attempt == job->graph->attempt() && !metrics.empty())
    job->metrics[{execution.vertex, execution.subtask}] = metrics;
}

/// What each task that lies in this TaskManager and has not ended is to do.
std::map<TaskKey, TaskReconciliation::Wanted> wanted_of(Self self, TaskManagerId id) {
  std::map<TaskKey, TaskReconciliation::Wanted> wanted;
  for (const auto& [job_id, job] : self->state.jobs) {
    if (is_terminal(job.graph->state())) continue;
    for (const auto& [execution, placed] : job.executions) {
      const auto task = job.graph->tasks().find(execution);
      if (placed.slot() != id || task == job.graph->tasks().end() || is_terminal(task->second))
        continue;
      wanted[{job_id, fence_of(job), execution}] = {
          placed.arrived() || task->second != TaskState::created, job.graph->starts(execution),
          job.graph->ends_tasks()};
    }
  }
  return wanted;
}

/// Says again what a TaskManager has not heard, or takes note that a task is lost.
void mend(Self self, TaskManagerId id, const TaskReconciliation::Found& found) {
  using Finding = TaskReconciliation::Finding;
  const auto [job_id, fence, execution] = found.task;
  const std::string who = to_string(endpoint_of(id));
  const auto log = [self, &found, &who](const std::string& what) {
    self->state.seams->log("info", "job " + to_string(found.task.job) + ": " + who + what +
                                       to_string(found.task.execution));
  };
  if (found.finding == Finding::not_cancelled) {
    log(" is told again to cancel task ");
    if (const auto gateway = self->state.gateways->find(id))
      gateway->send(job_manager_endpoint(), CancelTask{job_id, fence, execution});
    return;
  }
  // The rest is of a running attempt, unless what was found before has ended it.
  ManagedJob* job = find(self, job_id);
  if (job == nullptr || fence != fence_of(*job) || job->graph->ends_tasks()) return;
  if (found.finding == Finding::not_submitted) {
    if (job->executions.at(execution).is_submitting()) return;
    log(" is sent again task ");
    deploy_task(self, job_id, *job, execution);
  } else if (found.finding == Finding::not_started) {
    log(" is told again to start task ");
    job->executions.at(execution).start({job_id, fence, execution});
  } else {
    task_failed(
        self, job_id, execution,
        {Errc::unavailable, who + " does not have task " + to_string(execution) + " any more"});
  }
}

/// Takes what a heartbeat says of the tasks of running attempts.
void take_statuses(Self self, const std::vector<TaskStatus>& statuses) {
  std::map<JobId, TasksHeard> heard;
  for (const TaskStatus& status : statuses) {
    ManagedJob* const job = find(self, status.job);
    if (job == nullptr || status.fence != fence_of(*job)) continue;
    if (const auto placed = job->executions.find(status.execution); placed != job->executions.end())
      placed->second.has_arrived();
    take_metrics(self, status.job, status.execution, status.operators);
    if (job->graph->state() == JobState::running)
      heard[status.job].tasks[status.execution] = status.checkpoints;
  }
  for (auto& [id, message] : heard) {
    message.job = id;
    tell_coordinator(self, *find(self, id), std::move(message));
  }
}

void heartbeat(Self self, const Heartbeat& beat, PendingAnswer<Done> answer) {
  if (beat.epoch != cluster_epoch) {
    const std::string refusal = "the JobManager refuses Heartbeat of " +
                                to_string(endpoint_of(beat.id)) + ": it is of cluster epoch " +
                                std::to_string(beat.epoch.value) + ", this is " +
                                std::to_string(cluster_epoch.value);
    self->state.seams->log("info", refusal);
    answer(Error{Errc::stale, refusal});
    return;
  }
  const auto known = self->state.task_managers.find(beat.id);
  if (known == self->state.task_managers.end()) {
    answer(Error{Errc::not_found,
                 to_string(endpoint_of(beat.id)) +
                     " is not registered with the JobManager (any more): no heartbeat had come "
                     "in time"});
    return;
  }
  answer(Done{});
  if (beat.number <= known->second.heartbeats) return;  // came twice, or late
  known->second.heartbeats = beat.number;
  heard_from(self, beat.id);
  const auto found = known->second.reconciliation.compare(wanted_of(self, beat.id), beat.tasks);
  take_statuses(self, beat.tasks);
  for (const auto& one : found) mend(self, beat.id, one);
}

void update_task_state(Self self, const UpdateTaskState& update, PendingAnswer<Done> answer) {
  ManagedJob* job = find(self, update.job);
  // Every report is answered: its sender has nothing more to say.
  if (job == nullptr) {
    answer(unknown_job(update.job));
    return;
  }
  if (const auto stale = staleness(self, *job, update)) {
    answer(Error{Errc::stale, *stale});
    return;
  }
  heard_from(self, *job, update.execution);
  take_metrics(self, update.job, update.execution, update.metrics);
  perform(self, update.job,
          job->graph->task_state_changed(update.execution, update.state, update.failure,
                                         update.recoverable, now(self)));
  answer(Done{});
}

}  // namespace

JobManagerActor::behavior_type job_manager(Self self, std::shared_ptr<const ProcessSeams> seams,
                                           ProcessSettings settings,
                                           std::shared_ptr<GatewayRegistry> gateways) {
  self->state.seams = std::move(seams);
  self->state.settings = std::move(settings);
  self->state.gateways = std::move(gateways);
  self->state.coordinators.emplace(self);
  end_process_on_exception(self, self->state.seams, job_manager_endpoint());
  Delivery& delivery = *self->state.seams->delivery;
  const RequestBound& clients = self->state.client_requests;
  watch_task_managers(self);

  return {
      on_bounded_request<SubmitJob, SubmitJobSuccess>(
          self, delivery, clients,
          [self](const SubmitJob& message, auto answer) {
            run_io(
                self, *self->state.seams->io,
                [seams = self->state.seams, settings = self->state.settings, job = message.job] {
                  return prepare_job(job, *seams, settings);
                },
                [self, answer](Result<std::shared_ptr<PreparedJob>> prepared) {
                  admit_job(self, std::move(prepared), slot_admission_attempts, answer);
                });
          }),
      // Questions are answered at once, and a job can be ended however many savepoints wait: these three
      // are not counted.
      on_request<ListJobs, JobList>(self, delivery,
                                    [self](const ListJobs&, auto answer) {
                                      JobList list;
                                      for (const auto& [id, job] : self->state.jobs)
                                        list.jobs.push_back(overview(id, job));
                                      answer(std::move(list));
                                    }),
      on_request<RequestJobDetails, JobDetails>(
          self, delivery,
          [self](const RequestJobDetails& message, auto answer) {
            const ManagedJob* job = find(self, message.job);
            if (job == nullptr)
              answer(unknown_job(message.job));
            else
              answer(details(self, message.job, *job));
          }),
      on_request<CancelJob, CancellationSuccess>(
          self, delivery,
          [self](const CancelJob& message, auto answer) { cancel_job(self, message.job, answer); }),
      on_bounded_request<CancelJobWithSavepoint, CancellationSuccess>(
          self, delivery, clients,
          [self](const CancelJobWithSavepoint& message, auto answer) {
            ask_coordinator(self, message, answer);
          }),
      on_bounded_request<StopJobWithSavepoint, StoppingSuccess>(
          self, delivery, clients,
          [self](const StopJobWithSavepoint& message, auto answer) {
            ask_coordinator(self, message, answer);
          }),
      on_bounded_request<TriggerSavepoint, TriggerSavepointSuccess>(
          self, delivery, clients,
          [self](const TriggerSavepoint& message, auto answer) {
            ask_coordinator(self, message, answer);
          }),
      on_bounded_request<RequestCheckpoint, CheckpointCompleted>(
          self, delivery, clients,
          [self](const RequestCheckpoint& message, auto answer) {
            ask_coordinator(self, message, answer);
          }),
      on_bounded_request<DisposeSavepoint, DisposeSavepointSuccess>(
          self, delivery, clients,
          [self](const DisposeSavepoint& message, auto answer) {
            dispose_savepoint(self, message.path, answer);
          }),
      on_request<RegisterTaskManager, RegistrationSuccess>(
          self, delivery,
          [self](const RegisterTaskManager& message, auto answer) {
            // Perhaps known already: the answer was lost, or the message came twice.
            KnownTaskManager& known = self->state.task_managers[message.id];
            known.slots = message.slots;
            known.last_heard = now(self);
            answer(RegistrationSuccess{message.id, cluster_epoch});
          }),
      on_request<Heartbeat, Done>(
          self, delivery,
          [self](const Heartbeat& beat, auto answer) { heartbeat(self, beat, answer); }),
      on_request<UpdateTaskState, Done>(self, delivery,
                                        [self](const UpdateTaskState& update, auto answer) {
                                          update_task_state(self, update, answer);
                                        }),
      on_request<AcknowledgeCheckpoint, Done>(
          self, delivery,
          [self](const AcknowledgeCheckpoint& message, auto answer) {
            forward_to_coordinator(self, message, answer);
          }),
      on_request<DeclineCheckpoint, Done>(self, delivery,
                                          [self](const DeclineCheckpoint& message, auto answer) {
                                            forward_to_coordinator(self, message, answer);
                                          }),
      on_message<FailJobRequest>(delivery,
                                 [self](const FailJobRequest& request) {
                                   if (ManagedJob* job = find(self, request.job))
                                     perform(self, request.job,
                                             job->graph->fail(request.cause, request.recoverable,
                                                              now(self)));
                                 }),
      on_message<SavepointEndsJob>(
          delivery,
          [self](const SavepointEndsJob& ends) {
            if (ManagedJob* job = find(self, ends.job))
              perform(self, ends.job, job->graph->savepoint_ends_job(ends.directory, ends.ends_as));
          }),
      on_message<CoordinatorSettled>(
          delivery,
          [self](const CoordinatorSettled& settled) { coordinator_settled(self, settled); }),
      on_message<CheckpointCountsChanged>(delivery,
                                          [self](const CheckpointCountsChanged& changed) {
                                            if (ManagedJob* job = find(self, changed.job))
                                              job->counts = changed.counts;
                                          }),
      run_mail(),
  };
}

}  // namespace weir
