#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "actors/checkpoint_coordinator.hpp"

namespace weir::test {

using std::chrono::milliseconds;

inline constexpr JobId test_job{0x0123456789abcdef, 0xfedcba9876543210};
inline const std::string job_path = "/checkpoints/0123456789abcdeffedcba9876543210";

/// Two sources and two tasks behind a keyed exchange: tasks 0/0, 0/1, 1/0, 1/1.
inline PlanDescription two_by_two() {
  OperatorDescription source;
  source.uid = source.name = "source";
  source.parallelism = 2;
  source.source = source.stateful = true;
  OperatorDescription count;
  count.uid = count.name = "count";
  count.parallelism = 2;
  count.stateful = true;
  return {{source, count}, {{0, "", 1, 0, Partitioning::hash, {}}}};
}

inline CheckpointConfig every(milliseconds interval) {
  CheckpointConfig config;
  config.interval = interval;
  return config;
}

/// A coordinator whose effects are performed as a test wants them, in virtual time.
class Bench {
 public:
  explicit Bench(CheckpointConfig config = {}, std::vector<CompletedCheckpoint> found = {},
                 std::string directory = "/checkpoints", CheckpointId first_id = {1})
      : coordinator({test_job, "job", {3}, two_by_two(), std::move(directory), first_id}, config,
                    std::move(found)) {}

  /// Takes the job through deployment to RUNNING.
  void start(std::uint32_t attempt = 0) {
    deploy(attempt);
    job(JobState::running);
  }
  void deploy(std::uint32_t attempt) {
    attempt_ = attempt;
    perform(coordinator.attempt_started(attempt));
    for (const auto& task : tasks()) set(task, TaskState::running);
  }
  void job(JobState state) { perform(coordinator.job_state_changed(state, now)); }
  void set(ExecutionId task, TaskState state) {
    perform(coordinator.task_state_changed(task, state, now));
  }
  void set_all(TaskState state) {
    for (const auto& task : tasks()) set(task, state);
  }
  void advance(milliseconds duration) {
    const auto end = now.at + duration;
    while (!timers.empty() && *timers.begin() <= end) {
      const auto at = *timers.begin();
      timers.erase(timers.begin());
      move_to(std::max(at, now.at));
      perform(coordinator.timer_fired(at, now));
    }
    move_to(end);
  }

  [[nodiscard]] AcknowledgeCheckpoint acknowledgement(ExecutionId task, std::uint64_t id) const {
    OperatorShare share{task.vertex == 0 ? "source" : "count", {}, {}};
    share.snapshot.subtask = task.subtask;
    const std::string file =
        "data-" + std::to_string(task.vertex) + "-" + std::to_string(task.subtask);
    return {test_job, fence(), task, {id}, {{{file, 1, 10, {}}}, {share}}, {}};
  }
  void acknowledge(ExecutionId task, std::uint64_t id) {
    perform(coordinator.acknowledge(acknowledgement(task, id), now));
  }
  void acknowledge_all(std::uint64_t id) {
    for (const auto& task : tasks()) acknowledge(task, id);
  }
  void decline(ExecutionId task, std::uint64_t id,
               DeclineReason reason = DeclineReason::snapshot_failed) {
    perform(coordinator.decline({test_job, fence(), task, {id}, reason, "disk full"}, now));
  }
  void written(std::uint64_t id, WriteOutcome outcome = WriteOutcome::durable) {
    perform(coordinator.metadata_written({id}, outcome, {Errc::io_error, "disk full"}, now));
  }
  void created(std::uint64_t id, Result<std::string> path) {
    perform(coordinator.directory_created({id}, std::move(path), now));
  }
  void request_checkpoint(RequestId request) {
    perform(coordinator.request_checkpoint(request, now));
  }
  void savepoint(RequestId request) {
    perform(coordinator.request_savepoint(request, {"/savepoints"}, now));
  }
  void stop(RequestId request, bool drain = false) {
    perform(coordinator.stop_with_savepoint(request, {"/savepoints"}, drain, now));
  }
  void cancel(RequestId request) {
    perform(coordinator.cancel_with_savepoint(request, {"/savepoints"}, now));
  }
  /// A requested checkpoint from trigger to completion.
  void complete_checkpoint() {
    request_checkpoint(999);
    acknowledge_all(newest_trigger());
  }

  /// The effects of one type since `forget`.
  template <class T>
  [[nodiscard]] std::vector<T> of() const {
    std::vector<T> result;
    for (const auto& effect : effects) {
      if (const auto* one = std::get_if<T>(&effect)) result.push_back(*one);
    }
    return result;
  }
  /// Where the first effect of a type stands; the count of effects if there is none.
  template <class T>
  [[nodiscard]] std::size_t place() const {
    const auto is_one = [](const Effect& effect) { return std::holds_alternative<T>(effect); };
    return static_cast<std::size_t>(std::ranges::find_if(effects, is_one) - effects.begin());
  }
  /// The ids that were triggered, each once, in order.
  [[nodiscard]] std::vector<std::uint64_t> triggered() const {
    std::vector<std::uint64_t> ids;
    for (const auto& trigger : of<TriggerCheckpoint>()) {
      if (ids.empty() || ids.back() != trigger.checkpoint.value)
        ids.push_back(trigger.checkpoint.value);
    }
    return ids;
  }
  [[nodiscard]] std::uint64_t newest_trigger() const { return triggered().back(); }
  /// The ids that all four tasks were told to be complete, in order.
  [[nodiscard]] std::vector<std::uint64_t> announced() const {
    std::vector<std::uint64_t> ids;
    for (const auto& notice : of<NotifyCheckpointComplete>()) {
      if (notice.execution.vertex == 0 && notice.execution.subtask == 0)
        ids.push_back(notice.checkpoint.value);
    }
    return ids;
  }
  [[nodiscard]] std::vector<CheckpointFailureReason> reasons() const {
    std::vector<CheckpointFailureReason> result;
    for (const auto& failure : of<LogFailure>()) result.push_back(failure.reason);
    return result;
  }
  template <class T>
  [[nodiscard]] std::optional<T> answer(RequestId request) const {
    for (const auto& one : of<AnswerRequest>()) {
      if (one.request == request && std::holds_alternative<T>(one.answer))
        return std::get<T>(one.answer);
    }
    return std::nullopt;
  }
  /// The sentence that a request was refused or failed with; empty if it was not.
  [[nodiscard]] std::string error(RequestId request) const {
    return answer<Error>(request).value_or(Error{}).what;
  }
  void forget() { effects.clear(); }

  [[nodiscard]] std::vector<ExecutionId> tasks() const {
    return {{0, 0, attempt_}, {0, 1, attempt_}, {1, 0, attempt_}, {1, 1, attempt_}};
  }
  [[nodiscard]] Fence fence() const { return {{3}, attempt_}; }

  CheckpointCoordinator coordinator;
  Moment now{MonotonicTime(std::chrono::hours(1)), 1'000'000};
  std::set<MonotonicTime> timers;
  std::vector<Effect> effects;
  bool creates_directories = true;  ///< at once
  bool writes_metadata = true;      ///< at once

  void perform(Effects first) {
    std::deque<Effect> open(first.begin(), first.end());
    while (!open.empty()) {
      const Effect effect = open.front();
      open.pop_front();
      effects.push_back(effect);
      Effects more;
      if (const auto* arm = std::get_if<ArmTimer>(&effect)) {
        timers.insert(arm->at);
      } else if (const auto* create = std::get_if<CreateDirectory>(&effect);
                 create && creates_directories) {
        const std::string suffix = create->kind == SnapshotKind::checkpoint
                                       ? ""
                                       : "/savepoint-" + std::to_string(create->checkpoint.value);
        more = coordinator.directory_created(create->checkpoint, create->path + suffix, now);
      } else if (const auto* write = std::get_if<WriteMetadata>(&effect);
                 write && writes_metadata) {
        more = coordinator.metadata_written(write->checkpoint, WriteOutcome::durable, {}, now);
      }
      open.insert(open.end(), more.begin(), more.end());
    }
  }

 private:
  void move_to(MonotonicTime at) {
    now.wall_ms += std::chrono::duration_cast<milliseconds>(at - now.at).count();
    now.at = at;
  }
  std::uint32_t attempt_ = 0;
};

using Ids = std::vector<std::uint64_t>;
using Reason = CheckpointFailureReason;
using Reasons = std::vector<Reason>;

/// Whether something was logged with `reason`.
inline bool has_reason(const Bench& bench, CheckpointFailureReason reason) {
  return std::ranges::count(bench.reasons(), reason) > 0;
}

inline bool mentions(const std::string& sentence, const std::string& part) {
  return sentence.find(part) != std::string::npos;
}

inline CompletedCheckpoint completed(JobId job, std::uint64_t epoch, std::uint64_t id,
                                     SnapshotOwner owner = SnapshotOwner::system,
                                     SnapshotKind kind = SnapshotKind::checkpoint) {
  auto metadata = std::make_shared<SnapshotMetadata>();
  metadata->job = job;
  metadata->epoch = {epoch};
  metadata->checkpoint = {id};
  metadata->kind = kind;
  return {"/found/" + std::to_string(id), metadata, owner};
}

inline std::vector<std::string> deleted(const Bench& bench) {
  std::vector<std::string> paths;
  for (const auto& one : bench.of<DeleteSnapshot>()) paths.push_back(one.directory);
  return paths;
}

inline const ExecutionId source_0{0, 0, 0};
inline const ExecutionId count_0{1, 0, 0};
inline const ExecutionId count_1{1, 1, 0};

}  // namespace weir::test
