#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/stream_task.hpp"
#include "state/executor.hpp"

namespace weir {

/// Moves tasks forward by calling `step`.
/// Threads: any.
class TaskExecutor {
 public:
  virtual ~TaskExecutor() = default;
  /// Calls `task->step()` until it is finished, and holds the task until then. Errors: `limit_exceeded`, with
  /// what to do; then the task is not held.
  [[nodiscard]] virtual Status start(std::shared_ptr<StreamTask> task) = 0;
};

/// A worker thread for each task, which parks when the task has nothing to do.
class ThreadExecutor final : public TaskExecutor {
 public:
  ThreadExecutor() = default;
  /// Waits for the threads of tasks that have not ended: they must have been cancelled.
  ~ThreadExecutor() override;
  [[nodiscard]] Status start(std::shared_ptr<StreamTask> task) override;

 private:
  struct Worker {
    std::thread thread;
    std::atomic<bool> done{false};
  };
  std::mutex mutex_;  // guards workers_
  std::list<Worker> workers_;
};

/// A fixed number of threads that run blocking work in the order in which it came. Where processors are short, the
/// threads of tasks come before them.
class IoPool final : public IoExecutor {
 public:
  explicit IoPool(std::size_t thread_count);
  /// Runs what is queued, then ends the threads.
  ~IoPool() override;
  void submit(std::function<void()> work) override;

 private:
  void run();
  std::mutex mutex_;  // guards queue_ and closed_
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace weir
