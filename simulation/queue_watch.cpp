#include "simulation/queue_watch.hpp"

namespace weir {

std::optional<std::string> QueueWatch::see_mailbox(std::size_t messages) {
  if (messages <= most_messages) return std::nullopt;
  return "at most " + std::to_string(most_messages) +
         " messages were expected to wait for an actor, found " + std::to_string(messages);
}

void QueueWatch::see_step(const TaskEnvironment& task) {
  for (const TaskEnvironment::OutputEdge& edge : task.outputs)
    for (const auto& channel : edge.channels) {
      Seen& seen = channels_[channel.get()];
      seen.queued = channel->queued_bytes();
      if (seen.queued < channel_bytes_) seen.without_room = 0;
    }
}

std::optional<std::string> QueueWatch::see_step_over(const TaskEnvironment& task) {
  for (const TaskEnvironment::OutputEdge& edge : task.outputs)
    for (std::size_t to = 0; to < edge.channels.size(); ++to) {
      const Channel& channel = *edge.channels[to];
      Seen& seen = channels_[&channel];
      if (seen.queued < channel_bytes_) continue;
      seen.without_room += channel.queued_bytes() - seen.queued;
      if (seen.without_room <= most_bytes_without_room) continue;
      return "task " + std::to_string(task.execution.vertex) + "/" +
             std::to_string(task.execution.subtask) +
             " was expected to wait for room in its channel to subtask " + std::to_string(to) +
             " of edge " + std::to_string(edge.edge) + ", which takes " +
             std::to_string(channel_bytes_) + " bytes, found " + std::to_string(seen.without_room) +
             " more put into it since it was full";
    }
  return std::nullopt;
}

}  // namespace weir
