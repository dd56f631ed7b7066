#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "state/ids.hpp"

namespace weir {

/// Names the channel from one subtask to another in one attempt of a job, in every process of the cluster.
struct ChannelId {
  JobId job;
  Fence fence;
  std::uint32_t edge = 0;      ///< index into the plan's edges
  std::uint32_t producer = 0;  ///< subtask
  std::uint32_t consumer = 0;  ///< subtask
  auto operator<=>(const ChannelId&) const = default;
};

/// `edge 2 from subtask 0 to subtask 1`, as sentences about one job name it.
[[nodiscard]] inline std::string to_string(const ChannelId& id) {
  return "edge " + std::to_string(id.edge) + " from subtask " + std::to_string(id.producer) +
         " to subtask " + std::to_string(id.consumer);
}

}  // namespace weir
