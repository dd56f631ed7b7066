#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "backends/memory/memory_state_backend.hpp"
#include "runtime/stream_task.hpp"
#include "storage/posix_file_system.hpp"
#include "test/connectors/operator_harness.hpp"
#include "test/state/memory_storage.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {

using Lines = std::vector<std::string>;

/// Work for the I/O pool, done when the test says so.
class QueuedIo final : public IoExecutor {
 public:
  std::deque<std::function<void()>> queue;
  void submit(std::function<void()> work) override { queue.push_back(std::move(work)); }
  void run_all() {
    for (; !queue.empty(); queue.pop_front()) queue.front()();
  }
};

/// Writes down what a task reports.
class RecordingListener final : public TaskListener {
 public:
  Lines heard;  ///< "running", "acknowledge 3", "decline 3 task_not_ready", ...
  Error failure;
  bool recoverable = true;
  std::string detail;  ///< of the last decline
  Lines warnings;
  std::map<CheckpointId, TaskSnapshot> snapshots;

  void on_state(TaskState state, const Error& why, bool is_recoverable) override {
    heard.emplace_back(enumerator_name(state));
    failure = why;
    recoverable = is_recoverable;
  }
  void on_acknowledge(CheckpointId id, TaskSnapshot snapshot, CheckpointMetrics) override {
    heard.push_back("acknowledge " + std::to_string(id.value));
    snapshots[id] = std::move(snapshot);
  }
  void on_decline(CheckpointId id, DeclineReason reason, std::string why) override {
    heard.push_back("decline " + std::to_string(id.value) + " " +
                    std::string(enumerator_name(reason)));
    detail = std::move(why);
  }
  void on_warning(std::string text) override { warnings.push_back(std::move(text)); }
  [[nodiscard]] std::string last() const { return heard.empty() ? "" : heard.back(); }
};

/// What the tasks of one test share. Backend and storage may be replaced before a task is made.
struct TaskWorld {
  Surroundings around;
  PosixFileSystem files;
  TemporaryDirectory directory;
  QueuedIo io;
  std::shared_ptr<MemoryStorage> storage = std::make_shared<MemoryStorage>();
  std::shared_ptr<StateBackend> backend = std::make_shared<MemoryStateBackend>();
  std::size_t channel_bytes = std::size_t{1} << 20;
  std::uint32_t attempts = 0;  ///< tasks made so far; gives each a local directory of its own
};

/// Records and events of `channel`, in order, as text; records as `std::to_string` or themselves.
template <class T>
Lines take(Channel& channel) {
  Lines lines;
  const auto text = [](const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
      return value;
    else
      return std::to_string(value);
  };
  while (channel.peek() != nullptr) {
    StreamElement element = channel.pop();
    const auto say = [&](const std::string& line) { lines.push_back(line); };
    if (auto* const batch = std::get_if<std::unique_ptr<AnyBatch>>(&element)) {
      for (const T& value : static_cast<Batch<T>&>(**batch).values) say(text(value));
      channel.recycle(std::move(*batch));
    } else if (const auto* watermark = std::get_if<Watermark>(&element)) {
      say(watermark->time == Watermark::max_time ? "watermark max"
                                                 : "watermark " + std::to_string(watermark->time));
    } else if (const auto* barrier = std::get_if<CheckpointBarrier>(&element)) {
      say("barrier " + std::to_string(barrier->id.value));
    } else if (const auto* marker = std::get_if<CancelCheckpointMarker>(&element)) {
      say("cancel " + std::to_string(marker->id.value));
    } else {
      say(std::holds_alternative<EndOfInput>(element) ? "end of input" : "end of partition");
    }
  }
  return lines;
}

/// Puts `values` into `channel` as one batch, as they come from an exchange without key.
template <class T>
void give(Channel& channel, std::vector<T> values) {
  auto batch = std::make_unique<Batch<T>>();
  for (T& value : values) batch->add(std::move(value));
  channel.push(std::unique_ptr<AnyBatch>(std::move(batch)));
}

inline CheckpointBarrier barrier_of(std::uint64_t id,
                                    Alignment alignment = Alignment::exactly_once) {
  CheckpointBarrier barrier;
  barrier.id = {id};
  barrier.options.alignment = alignment;
  barrier.options.directory = "/checkpoints/chk-" + std::to_string(id);
  return barrier;
}

/// What a task at the same parallelism starts from.
inline TaskRestore restore_of(const TaskSnapshot& snapshot, std::uint64_t checkpoint = 1) {
  TaskRestore restore;
  restore.checkpoint = {checkpoint};
  restore.directory = "/checkpoints/chk-" + std::to_string(checkpoint);
  restore.locations = snapshot.locations;
  for (const OperatorShare& share : snapshot.operators) {
    OperatorRestore& one = restore.operators.emplace_back();
    one.uid = share.uid;
    one.finished = share.snapshot.finished;
    one.states = share.states;
    one.keyed = share.snapshot.keyed;
    for (const OperatorStateHandle& handle : share.snapshot.operator_states) {
      OperatorStateRestore& state = one.operator_states.emplace_back();
      state.handle = handle;
      for (std::uint32_t i = 0; i < handle.elements.size(); ++i) state.assigned.push_back(i);
    }
  }
  return restore;
}

/// One task of a plan. The test takes the place of its neighbours: it fills the inputs, empties the
/// outputs and calls `step`.
class TaskUnderTest {
 public:
  TaskUnderTest(TaskWorld& world, std::shared_ptr<const Plan> plan, std::uint32_t vertex,
                std::uint32_t subtask = 0, std::optional<TaskRestore> restore = std::nullopt,
                std::optional<PlanDescription> description = std::nullopt,
                bool allow_non_restored_state = false) {
    TaskEnvironment env;
    env.job_name = "job";
    env.epoch = {1};
    env.execution = {vertex, subtask, world.attempts};
    env.description = description ? *description : plan->describe();
    env.graph = build_job_graph(env.description);
    env.plan = std::move(plan);
    env.restore = std::move(restore);
    env.allow_non_restored_state = allow_non_restored_state;
    env.backend = world.backend;
    env.storage = world.storage;
    env.files = &world.files;
    env.clock = &world.around.clock;
    env.random = &world.around.random;
    env.standard_streams = &world.around.streams;
    env.io = &world.io;
    env.listener = listener;
    env.local_directory = world.directory.path() + "/task-" + std::to_string(world.attempts++);
    const auto channels = [&](const EdgeDescription& edge, std::uint32_t other) {
      const bool forward = edge.partitioning == Partitioning::forward;
      std::vector<std::shared_ptr<Channel>> made;
      for (std::uint32_t i = 0; i < (forward ? 1 : other); ++i)
        made.push_back(std::make_shared<Channel>(world.channel_bytes));
      return made;
    };
    for (const std::uint32_t e : env.graph.exchange_edges) {
      const EdgeDescription& edge = env.description.edges[e];
      if (env.graph.vertex_of[edge.consumer] == vertex) {
        auto made = channels(edge, env.description.operators[edge.producer].parallelism);
        inputs.insert(inputs.end(), made.begin(), made.end());
        env.inputs.push_back({edge.input, std::move(made)});
      }
      if (env.graph.vertex_of[edge.producer] == vertex) {
        auto made = channels(edge, env.description.operators[edge.consumer].parallelism);
        outputs.insert(outputs.end(), made.begin(), made.end());
        env.outputs.push_back({e, std::move(made)});
      }
    }
    task = std::make_shared<StreamTask>(std::move(env));
  }

  /// Steps until the task has nothing more to do for now.
  StepResult settle() {
    for (int steps = 0; steps < 1'000'000; ++steps)
      if (const StepResult result = task->step(); result != StepResult::busy) return result;
    FAIL("the task never settles");
    return StepResult::busy;
  }
  /// Deploys the task and lets its sources emit.
  StepResult run() {
    task->start();
    return settle();
  }

  std::shared_ptr<RecordingListener> listener = std::make_shared<RecordingListener>();
  std::vector<std::shared_ptr<Channel>> inputs;   ///< by edge, then by producing subtask
  std::vector<std::shared_ptr<Channel>> outputs;  ///< by edge, then by consuming subtask
  std::shared_ptr<StreamTask> task;
};

}  // namespace weir::test
