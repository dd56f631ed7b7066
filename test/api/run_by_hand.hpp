#pragma once

#include <map>
#include <memory>
#include <vector>

#include "test/runtime/probe_operators.hpp"

namespace weir::test {

/// Runs `job` to its end, every task in this thread and in turn.
inline void run_by_hand(const std::function<void(StreamEnvironment&)>& job,
                        std::uint32_t parallelism = 1) {
  StreamEnvironment env({}, parallelism, "/home/job");
  job(env);
  auto built = env.build();
  if (!built) FAIL(built.error().what);
  const auto plan = std::make_shared<const Plan>(std::move(*built));
  const JobGraph graph = build_job_graph(plan->describe());

  TaskWorld world;
  std::vector<std::unique_ptr<TaskUnderTest>> tasks;
  for (std::uint32_t v = 0; v < graph.vertices.size(); ++v)
    for (std::uint32_t i = 0; i < graph.vertices[v].parallelism; ++i) {
      tasks.push_back(std::make_unique<TaskUnderTest>(world, plan, v, i));
      tasks.back()->task->start();
    }
  // Each task has channels of its own; what it sends is carried over to those of its consumers.
  const auto carry = [&](TaskUnderTest& from) {
    const TaskEnvironment& sender = from.task->environment();
    for (const auto& output : sender.outputs) {
      const EdgeDescription& edge = sender.description.edges[output.edge];
      const bool forward = edge.partitioning == Partitioning::forward;
      for (std::uint32_t c = 0; c < output.channels.size(); ++c)
        while (output.channels[c]->peek() != nullptr)
          for (const auto& to : tasks) {
            const TaskEnvironment& receiver = to->task->environment();
            const std::uint32_t subtask = forward ? sender.execution.subtask : c;
            if (receiver.execution.vertex != graph.vertex_of[edge.consumer] ||
                receiver.execution.subtask != subtask)
              continue;
            // The position of this edge among those that the receiver reads from.
            std::size_t position = 0;
            for (const std::uint32_t e : graph.exchange_edges) {
              if (e == output.edge) break;
              position += graph.vertex_of[sender.description.edges[e].consumer] ==
                          receiver.execution.vertex;
            }
            receiver.inputs[position].channels[forward ? 0 : sender.execution.subtask]->push(
                output.channels[c]->pop());
            break;
          }
    }
  };
  for (bool running = true; running;) {
    running = false;
    for (const auto& task : tasks) {
      const StepResult result = task->settle();
      if (result == StepResult::finished) FAIL(task->listener->failure.what);
      carry(*task);
      running = running || task->listener->last() != "finishing";
    }
  }
}

}  // namespace weir::test
