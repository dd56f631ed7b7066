#pragma once

#include <chrono>
#include <memory>

#include "cli/job_client.hpp"
#include "network/socket.hpp"

namespace weir {

/// The way of a command to the processes that run jobs.
/// Threads: one.
class RemoteProcesses {
 public:
  RemoteProcesses();
  ~RemoteProcesses();
  /// The JobManager behind `socket`, which leads to a gate; valid as long as this object.
  /// Errors: `timed_out`, `unavailable`.
  [[nodiscard]] Result<std::unique_ptr<JobClient>> connect(Socket socket,
                                                           std::chrono::milliseconds timeout);

 private:
  struct Actors;
  std::unique_ptr<Actors> actors_;  ///< from the first connection on
};

}  // namespace weir
