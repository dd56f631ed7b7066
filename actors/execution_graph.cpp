#include "actors/execution_graph.hpp"

#include <algorithm>
#include <utility>

namespace weir {

using namespace graph_effects;

namespace {

/// Whether a task that was in `known` may be in `next` now. States come in the order of the enumeration,
/// but for those that end the task, which follow any other. What was lost is told again, so that an
/// older state may arrive behind a newer one.
bool may_follow(TaskState known, TaskState next) {
  return !is_terminal(known) && (is_terminal(next) || next > known);
}

}  // namespace

ExecutionGraph::ExecutionGraph(const JobGraph& graph, std::unique_ptr<RestartStrategy> strategy)
    : graph_(graph), strategy_(std::move(strategy)) {}

GraphEffects ExecutionGraph::deploy() {
  WEIR_ASSERT(!deployed_ || restart_due());
  GraphEffects effects;
  if (std::exchange(deployed_, true)) ++attempt_;
  waiting_ = settled_ = false;
  tasks_.clear();
  for (std::uint32_t vertex = 0; vertex < graph_.vertices.size(); ++vertex)
    for (std::uint32_t subtask = 0; subtask < graph_.vertices[vertex].parallelism; ++subtask)
      tasks_[{vertex, subtask, attempt_}] = TaskState::created;
  enter(JobState::created, effects);
  for (const auto& [execution, state] : tasks_) effects.push_back(Deploy{execution});
  return effects;
}

GraphEffects ExecutionGraph::task_state_changed(const ExecutionId& execution, TaskState state,
                                                const Error& failure, bool recoverable,
                                                MonotonicTime now) {
  const auto task = tasks_.find(execution);
  if (task == tasks_.end() || !may_follow(task->second, state)) return {};
  GraphEffects effects;
  task->second = state;
  effects.push_back(TaskChanged{execution, state});
  if (state == TaskState::failed) {
    std::ranges::move(fail(failure, recoverable, now), std::back_inserter(effects));
    return effects;
  }
  if ((state_ == JobState::created || state_ == JobState::running) &&
      state == TaskState::canceled) {
    // The job did not ask for it: the task cannot go on.
    std::ranges::move(
        fail({Errc::cancelled, state_ == JobState::created ? "a task ended before the job ran"
                                                           : "a task ended while the job ran"},
             true, now),
        std::back_inserter(effects));
    return effects;
  }
  const auto reached_running = [](const auto& one) {
    return one.second == TaskState::running || one.second == TaskState::finishing;
  };
  if (state_ == JobState::created && std::ranges::all_of(tasks_, reached_running)) {
    enter(JobState::running, effects);
    for (const auto& [id, unused] : tasks_)
      if (graph_.vertices[id.vertex].source) effects.push_back(Start{id});
  }
  proceed(effects);
  return effects;
}

GraphEffects ExecutionGraph::fail(const Error& cause, bool recoverable, MonotonicTime now) {
  GraphEffects effects;
  if (state_ == JobState::created || state_ == JobState::running) {
    failure_ = cause.what;
    restart_delay_.reset();
    if (ends_as_)
      failure_ += "; the savepoint " + terminal_savepoint_ + " is complete: resume from it with -s";
    else if (recoverable)
      restart_delay_ = strategy_->on_failure(now);
    enter(restart_delay_ ? JobState::restarting : JobState::failing, effects);
    cancel_tasks(effects);
  } else if (state_ == JobState::restarting && !recoverable) {
    failure_ = cause.what;
    restart_delay_.reset();
    waiting_ = false;
    enter(JobState::failing, effects);
  }
  proceed(effects);
  return effects;
}

GraphEffects ExecutionGraph::cancel() {
  GraphEffects effects;
  if (is_terminal(state_) || state_ == JobState::cancelling) return effects;
  const bool was_waiting = std::exchange(waiting_, false);
  if (state_ != JobState::failing) enter(JobState::cancelling, effects);
  if (!was_waiting) cancel_tasks(effects);
  proceed(effects);
  return effects;
}

GraphEffects ExecutionGraph::coordinator_settled(JobState state) {
  GraphEffects effects;
  if (state != state_) return effects;
  settled_ = true;
  proceed(effects);
  return effects;
}

GraphEffects ExecutionGraph::savepoint_ends_job(const std::string& directory, JobState ends_as) {
  ends_as_ = ends_as;
  terminal_savepoint_ = directory;
  GraphEffects effects;
  // A failure that came while the metadata was being written: the job must not go back behind the
  // savepoint, whose output may be committed.
  if (state_ == JobState::restarting || state_ == JobState::failing)
    failure_ += "; the savepoint " + directory + " is complete: resume from it with -s";
  if (state_ == JobState::restarting) {
    restart_delay_.reset();
    waiting_ = false;
    enter(JobState::failing, effects);
  }
  proceed(effects);
  return effects;
}

void ExecutionGraph::enter(JobState state, GraphEffects& effects) {
  state_ = state;
  if (state != JobState::created && state != JobState::running) settled_ = false;
  effects.push_back(JobChanged{state});
}

void ExecutionGraph::cancel_tasks(GraphEffects& effects) {
  for (const auto& [execution, state] : tasks_)
    if (!is_terminal(state)) effects.push_back(Cancel{execution});
}

void ExecutionGraph::proceed(GraphEffects& effects) {
  if (!deployed_ || is_terminal(state_) || waiting_) return;
  if (!std::ranges::all_of(tasks_, [](const auto& task) { return is_terminal(task.second); }))
    return;
  switch (state_) {
    case JobState::running:
      // A task that was canceled has failed the job before; here every one is FINISHED.
      enter(ends_as_.value_or(JobState::finished), effects);
      effects.push_back(JobEnded{});
      return;
    case JobState::failing:
      if (!settled_) return;
      enter(JobState::failed, effects);
      effects.push_back(JobEnded{});
      return;
    case JobState::cancelling:
      if (!settled_) return;
      enter(JobState::canceled, effects);
      effects.push_back(JobEnded{});
      return;
    case JobState::restarting:
      if (!settled_) return;
      waiting_ = true;
      effects.push_back(ArmRestart{*restart_delay_});
      return;
    default:
      return;
  }
}

}  // namespace weir
