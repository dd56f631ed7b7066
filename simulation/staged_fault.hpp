#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "messages/envelope.hpp"
#include "state/codec.hpp"

namespace weir {

/// The ways through the protocol that a crash matrix tries.
enum class Flow : std::uint8_t {
  checkpoint,
  savepoint,
  cancel_with_savepoint,
  stop,
  restore,  ///< of a job whose cluster has crashed
  rescale   ///< a stop, and a start from its savepoint at another parallelism
};
WEIR_ENUM(Flow, checkpoint, savepoint, cancel_with_savepoint, stop, restore, rescale)
inline constexpr std::size_t flow_count = 6;

/// What happens at one message.
enum class FlowFault : std::uint8_t {
  none,
  receiver_dies_before,  ///< its process ends, and the message with it
  receiver_dies_after,   ///< its process ends once it has handled the message
  sender_dies,           ///< its process ends when the message arrives
  dropped,
  delayed,
  repeated
};
WEIR_ENUM(FlowFault, none, receiver_dies_before, receiver_dies_after, sender_dies, dropped, delayed,
          repeated)
/// Whether the fault is one of the way between two processes.
[[nodiscard]] constexpr bool is_of_link(FlowFault fault) { return fault >= FlowFault::dropped; }

/// One message of a flow.
struct FlowStep {
  std::string message;
  Endpoint from;
  Endpoint to;
  bool crosses = false;  ///< from one process to another
};
WEIR_FIELDS(FlowStep, message, from, to, crosses)

/// Where in a flow something happens: at a message of that name between actors of those kinds, the `occurrence`-th of
/// them in the flow, from 0.
struct StagedFault {
  Flow flow = Flow::checkpoint;
  std::string message;  ///< empty: nowhere
  EndpointKind from = EndpointKind::client;
  EndpointKind to = EndpointKind::client;
  std::uint64_t occurrence = 0;
  FlowFault fault = FlowFault::none;
};

}  // namespace weir
