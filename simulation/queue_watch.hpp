#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/request_bound.hpp"
#include "runtime/batch.hpp"
#include "runtime/task_environment.hpp"

namespace weir {

/// Looks at the queues of a cluster, and says when one grows beyond its bound:
///
/// - For an actor wait at most as many messages as one gateway admits.
/// - A task that has no room in a channel puts at most so much into it as a batch holds, until there is room again: what
///   was in a batch that was not full yet when a barrier came, and events. (What goes beyond the room of a channel in
///   the step that finds room is what one slice makes of its input, and has no bound in bytes.)
///
/// Threads: one.
class QueueWatch {
 public:
  static constexpr std::size_t most_messages = RequestBound::max_in_flight;
  static constexpr std::size_t most_bytes_without_room = batch_capacity_bytes;

  /// `channel_bytes` is the room of every channel.
  explicit QueueWatch(std::size_t channel_bytes) : channel_bytes_(channel_bytes) {}

  /// So many messages wait for one actor. Returns what is broken, a sentence; none: nothing.
  [[nodiscard]] static std::optional<std::string> see_mailbox(std::size_t messages);
  /// `task` is about to make a step.
  void see_step(const TaskEnvironment& task);
  /// It has made it. Returns what is broken, a sentence; none: nothing.
  [[nodiscard]] std::optional<std::string> see_step_over(const TaskEnvironment& task);

 private:
  struct Seen {
    std::size_t queued = 0;        ///< bytes, before the step
    std::size_t without_room = 0;  ///< bytes put into it since it had room
  };
  const std::size_t channel_bytes_;
  std::map<const Channel*, Seen> channels_;
};

}  // namespace weir
