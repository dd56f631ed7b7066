#include "runtime/thread_executor.hpp"

#include <csignal>
#include <memory>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "runtime/crash_reporter.hpp"
#include "runtime/waker.hpp"

namespace weir {

namespace {

class ParkingWakeable final : public Wakeable {
 public:
  void wake() override { waker.wake(); }
  Waker waker;
};

/// While it lives, this thread has a stack for the signal handler, so that an exhausted stack is reported too.
class SignalStack {
 public:
  SignalStack() {
    stack_t stack{};
    stack.ss_sp = memory_.get();
    stack.ss_size = bytes;
    ::sigaltstack(&stack, nullptr);
  }
  ~SignalStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  static constexpr std::size_t bytes = std::size_t{64} << 10;
  const std::unique_ptr<char[]> memory_ = std::make_unique_for_overwrite<char[]>(bytes);
};

/// Snapshots are written in the time that tasks leave; where they leave none, in about a quarter of a processor.
constexpr int nicer_than_tasks = 5;

void run_task(StreamTask& task, Waker& waker) {
  for (;;) {
    StepResult result = task.step();
    if (result == StepResult::finished) return;
    if (result == StepResult::busy) continue;
    waker.prepare_to_park();
    result = task.step();
    if (result == StepResult::idle || result == StepResult::waiting_for_room) {
      waker.park_until(task.wake_time());
      continue;
    }
    waker.cancel_park();
    if (result == StepResult::finished) return;
  }
}

}  // namespace

ThreadExecutor::~ThreadExecutor() {
  for (Worker& worker : workers_)
    if (worker.thread.joinable()) worker.thread.join();
}

Status ThreadExecutor::start(std::shared_ptr<StreamTask> task) {
  auto wakeable = std::make_shared<ParkingWakeable>();
  task->set_wakeable(wakeable);
  const std::scoped_lock lock(mutex_);
  for (auto worker = workers_.begin(); worker != workers_.end();) {
    if (!worker->done.load(std::memory_order_acquire)) {
      ++worker;
      continue;
    }
    worker->thread.join();
    worker = workers_.erase(worker);
  }
  Worker& worker = workers_.emplace_back();
  auto run = [task = std::move(task), wakeable, &worker]() mutable {
    {
      const SignalStack signal_stack;
      const UserCode user_code(*task);
      run_task(*task, wakeable->waker);
    }
    task.reset();
    worker.done.store(true, std::memory_order_release);
  };
  try {
    worker.thread = std::thread(std::move(run));
  } catch (const std::system_error& failed) {
    workers_.pop_back();
    return error(
        Errc::limit_exceeded,
        "no thread can be started for it: " + failed.code().message() +
            "; lower the parallelism, or raise the limit of threads (ulimit -u, or that of "
            "the control group) or of memory (ulimit -v)");
  }
  return {};
}

IoPool::IoPool(std::size_t thread_count) {
  for (std::size_t i = 0; i < thread_count; ++i) threads_.emplace_back([this] { run(); });
}

IoPool::~IoPool() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void IoPool::submit(std::function<void()> work) {
  {
    const std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void IoPool::run() {
  // Of the calling thread alone, on Linux.
  (void)!::nice(nicer_than_tasks);
  const SignalStack signal_stack;
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace weir
