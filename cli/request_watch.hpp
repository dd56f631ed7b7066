#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "messages/messages.hpp"
#include "state/clock.hpp"

namespace weir {

/// Looks after a request that may take long, while the caller waits for its answer: shows on a terminal
/// that it goes on (`ProgressLine`), and ends the process if the answer cannot come any more.
/// Threads: one of its own, on which it calls what it was given; made and destroyed by another.
class RequestWatch {
 public:
  struct Request {
    /// As in "writing a savepoint".
    std::string what;
    /// Whether the side that is to answer has ended.
    std::function<bool()> is_gone;
    /// How far the snapshots have come that the request waits for. May block for a moment; the
    /// destructor waits for it. Empty if it waits for none.
    std::function<std::vector<CheckpointProgress>()> snapshots;
  };
  /// The line is shown `on_terminal` alone. `clock` outlives the watch.
  RequestWatch(Request request, bool on_terminal, const Clock& clock);
  /// Takes the line away.
  ~RequestWatch();
  RequestWatch(const RequestWatch&) = delete;
  RequestWatch& operator=(const RequestWatch&) = delete;

 private:
  void run();

  const Request request_;
  const bool on_terminal_;
  const Clock& clock_;
  std::mutex mutex_;  ///< guards `done_`
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace weir
