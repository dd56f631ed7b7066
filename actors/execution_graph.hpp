#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/restart_strategy.hpp"
#include "messages/internal.hpp"

namespace weir {

/// Effects of `ExecutionGraph`, in the order in which they are to be carried out.
namespace graph_effects {
/// Deploy this subtask.
struct Deploy {
  ExecutionId execution;
};
/// Every subtask is RUNNING: let this one's source emit.
struct Start {
  ExecutionId execution;
};
struct Cancel {
  ExecutionId execution;
};
/// Call `restart_due` after `delay`.
struct ArmRestart {
  std::chrono::milliseconds delay;
};
/// Tell the coordinator.
struct TaskChanged {
  ExecutionId execution;
  TaskState state;
};
struct JobChanged {
  JobState state;
};
/// Nothing more will happen: release what the job holds.
struct JobEnded {};
}  // namespace graph_effects
using GraphEffect = std::variant<graph_effects::Deploy, graph_effects::Start, graph_effects::Cancel,
                                 graph_effects::ArmRestart, graph_effects::TaskChanged,
                                 graph_effects::JobChanged, graph_effects::JobEnded>;
using GraphEffects = std::vector<GraphEffect>;

/// The states of one job and its tasks, over all attempts: decides when tasks are deployed, started and
/// cancelled, and whether the job goes on after a failure. It answers each event with effects that its
/// actor carries out.
///
///   CREATED ──all RUNNING──> RUNNING ──all FINISHED──> FINISHED
///      └──failure──> RESTARTING ──all ended, settled, delay──> CREATED again
///      └──failure for good──> FAILING ──> FAILED
///      └──cancel──> CANCELLING ──> CANCELED
///
/// A job restarts only when every old attempt has reported its end and the coordinator has settled.
/// Threads: none of its own.
class ExecutionGraph {
 public:
  ExecutionGraph(const JobGraph& graph, std::unique_ptr<RestartStrategy> strategy);

  /// Begins the next attempt: deploys every subtask, the first at `attempt()` 0.
  [[nodiscard]] GraphEffects deploy();
  /// A task says that it is in `state`. Of an older attempt, of a task that has ended, or older than
  /// what it has said already: no effect.
  [[nodiscard]] GraphEffects task_state_changed(const ExecutionId& execution, TaskState state,
                                                const Error& failure, bool recoverable,
                                                MonotonicTime now);
  /// Something but a task says that the job cannot go on like this.
  [[nodiscard]] GraphEffects fail(const Error& cause, bool recoverable, MonotonicTime now);
  [[nodiscard]] GraphEffects cancel();
  /// The coordinator, which knows that the job is in `state`, writes nothing any more. Of a state that the
  /// job has left: no effect, another one follows.
  [[nodiscard]] GraphEffects coordinator_settled(JobState state);
  /// A terminal savepoint is durable.
  [[nodiscard]] GraphEffects savepoint_ends_job(const std::string& directory, JobState ends_as);
  /// The delay that `ArmRestart` asked for is over. The caller restores and then calls `deploy`.
  [[nodiscard]] bool restart_due() const { return state_ == JobState::restarting && waiting_; }

  /// Whether this task's source is to emit.
  [[nodiscard]] bool starts(const ExecutionId& execution) const {
    return state_ == JobState::running && graph_.vertices[execution.vertex].source;
  }
  /// Whether every task of the current attempt is to end.
  [[nodiscard]] bool ends_tasks() const {
    return state_ != JobState::created && state_ != JobState::running;
  }

  [[nodiscard]] JobState state() const { return state_; }
  [[nodiscard]] std::uint32_t attempt() const { return attempt_; }
  /// What ended the job, or last made it restart; empty if nothing did.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] const std::map<ExecutionId, TaskState>& tasks() const { return tasks_; }

 private:
  void enter(JobState state, GraphEffects& effects);
  void cancel_tasks(GraphEffects& effects);
  /// Goes on to the next state once every task has ended, and the coordinator has settled.
  void proceed(GraphEffects& effects);

  const JobGraph graph_;
  std::unique_ptr<RestartStrategy> strategy_;
  JobState state_ = JobState::created;
  std::uint32_t attempt_ = 0;
  bool deployed_ = false;
  bool settled_ = false;  ///< the coordinator, since the job last left RUNNING
  bool waiting_ = false;  ///< for the restart delay
  std::optional<std::chrono::milliseconds> restart_delay_;
  std::optional<JobState> ends_as_;  ///< a terminal savepoint is durable
  std::string terminal_savepoint_;
  std::string failure_;
  std::map<ExecutionId, TaskState> tasks_;  ///< of the current attempt
};

}  // namespace weir
