#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace weir {

/// Looks after a request that may take long, while the caller waits for its answer: shows on a terminal
/// that it goes on, from the first second on, and ends the process if the answer cannot come any more.
/// Threads: one of its own; made and destroyed by another.
class Progress {
 public:
  /// `what` is shown, as in "writing a savepoint"; only `on_terminal`. `is_gone` says that the other
  /// side has ended; any thread.
  Progress(std::string what, bool on_terminal, std::function<bool()> is_gone);
  /// Takes the line away.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void run();

  const std::string what_;
  const bool on_terminal_;
  const std::function<bool()> is_gone_;
  std::mutex mutex_;  ///< guards `done_`
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace weir
