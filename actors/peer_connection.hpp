#pragma once

#include <chrono>

#include <caf/actor_system.hpp>

#include "messages/interfaces.hpp"
#include "network/socket.hpp"

namespace weir {

/// Hands CAF the socket of a peer that the gate has let in, and offers the peer `job_manager`. CAF
/// never listens itself. The system has loaded `caf::io::middleman`.
/// Threads: any; does not wait.
void serve_peer(caf::actor_system& system, Socket socket, const JobManagerInterface& job_manager);

/// Hands CAF a socket that leads to the gate of another process and returns that process's JobManager.
/// Errors: `timed_out`; `unavailable` if the other side closes or speaks another version.
/// Threads: any but an actor's; waits.
[[nodiscard]] Result<JobManagerInterface> connect_peer(caf::actor_system& system, Socket socket,
                                                       std::chrono::milliseconds timeout);

}  // namespace weir
