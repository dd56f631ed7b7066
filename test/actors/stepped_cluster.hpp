#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <caf/scheduler/test_coordinator.hpp>

#include "backends/memory/memory_state_backend.hpp"
#include "test/actors/test_cluster.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/state/memory_storage.hpp"

namespace weir::test {

/// The production actors and tasks of one process in one thread, under CAF's `testing` scheduler and a
/// virtual clock that moves on only when nothing else can. Files lie in memory.
class SteppedCluster : public TestCluster {
 public:
  /// An answer that is there once it has come.
  template <class R>
  using Awaited = std::shared_ptr<std::optional<Result<R>>>;

  /// `drop` decides which control messages are lost on delivery. `files` outlives this; null: a file system
  /// that is empty and cannot be written.
  explicit SteppedCluster(std::function<bool(const DeliveryRecord&)> drop = {},
                          std::uint32_t slots = 4, FileSystem* files = nullptr)
      : TestCluster("/") {
    ProcessSeams seams;
    seams.clock = &clock_;
    seams.random = &random_;
    seams.files = files != nullptr ? files : &files_;
    seams.storage = storage;
    seams.io = &io_;
    seams.executor = &executor_;
    seams.make_backend = [](const Configuration&) -> Result<std::shared_ptr<StateBackend>> {
      return std::make_shared<MemoryStateBackend>();
    };
    ProcessSettings settings;
    settings.temporary_directory = "/temporary";
    const auto count = [this, drop = std::move(drop)](const DeliveryRecord& record) {
      const bool lost = drop && drop(record);
      if (!lost) ++delivered[label(record)];
      return lost;
    };
    start(std::move(seams), std::move(settings), slots, count, "testing");
    clock_.scheduler = &dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
  }
  ~SteppedCluster() {
    process_.reset();
    // One that still waits for an answer would keep the system from ending.
    for (const caf::actor& client : clients_) caf::anon_send_exit(client, caf::exit_reason::kill);
    clients_.clear();
    clock_.scheduler->run();
    executor_.tasks.clear();
    io_.work.clear();
    clock_.scheduler->run();
    system_.reset();
  }

  /// A message as `delivered` counts it: by its name, a task's report also by the state it tells.
  static std::string label(const DeliveryRecord& record) {
    if (record.message != "UpdateTaskState") return record.message;
    return record.message + " " + std::string(enumerator_name(*record.state));
  }

  /// Sends a request to the JobManager, as a client; `timed_out` after `limit` of virtual time.
  template <class R, class M>
  Awaited<R> ask(M message, std::chrono::milliseconds limit = std::chrono::minutes(2)) {
    return ask_actor<R>(process_->job_manager(), job_manager_endpoint(), std::move(message), limit);
  }
  /// Sends a request to the TaskManager, as a JobManager.
  template <class R, class M>
  Awaited<R> ask_task_manager(M message) {
    return ask_actor<R>(process_->task_manager(), endpoint_of(TaskManagerId{1}), std::move(message),
                        std::chrono::minutes(2));
  }
  /// Runs until `answer` is there.
  template <class R>
  Result<R> wait_for(const Awaited<R>& answer) {
    if (!run_until([&] { return answer->has_value(); }, std::chrono::minutes(4)))
      return error(Errc::timed_out, "nothing moves");
    return **answer;
  }
  /// Sends a request to the JobManager and runs until it is answered.
  template <class R, class M>
  Result<R> request(M message) {
    return wait_for<R>(ask<R>(std::move(message)));
  }
  /// Sends a one-way message.
  template <class M>
  void tell_task_manager(M message) {
    caf::anon_send(
        process_->task_manager(),
        Envelope<M>{coordinator_endpoint(), endpoint_of(TaskManagerId{1}), std::move(message)});
  }
  template <class M>
  void tell_job_manager(M message) {
    caf::anon_send(process_->job_manager(),
                   Envelope<M>{client_endpoint(), job_manager_endpoint(), std::move(message)});
  }

  /// Runs until `holds()`; false if it does not within `limit` of virtual time.
  bool run_until(const std::function<bool()>& holds,
                 std::chrono::milliseconds limit = std::chrono::minutes(2)) {
    const MonotonicTime end = clock_.now() + limit;
    while (!holds()) {
      if (clock_.now() > end) return false;
      if (!step()) return false;
    }
    return true;
  }
  /// Runs for `time`.
  void run_for(std::chrono::milliseconds time) {
    const MonotonicTime end = clock_.now() + time;
    (void)run_until([&] { return clock_.now() >= end; }, time);
  }
  /// Only so many tasks more can be started.
  void limit_threads(std::size_t count) { executor_.threads_left = count; }
  /// What happens instead of starting a task.
  void break_executor(std::function<void()> thrower) { executor_.thrower = std::move(thrower); }
  /// Does the oldest work of the I/O pool, also while it is held.
  void do_one_io() {
    REQUIRE_FALSE(io_.work.empty());
    auto one = std::move(io_.work.front());
    io_.work.pop_front();
    one();
  }

  /// Lets the oldest work of the I/O pool wait for all that is there, as a slow thread of the pool would.
  void put_off_oldest_io() {
    REQUIRE_FALSE(io_.work.empty());
    io_.work.push_back(std::move(io_.work.front()));
    io_.work.pop_front();
  }

  MonotonicTime now() const { return clock_.now(); }
  caf::actor_system& system() { return *system_; }
  JobManagerInterface job_manager() const { return process_->job_manager(); }

  std::shared_ptr<MemoryStorage> storage = std::make_shared<MemoryStorage>();
  std::map<std::string, std::size_t> delivered;  ///< how often each `label` was delivered
  bool tasks_are_held = false;                   ///< no task makes a step
  bool io_is_held = false;                       ///< the I/O pool does nothing

 private:
  class VirtualClock final : public Clock {
   public:
    MonotonicTime now() const override {
      if (scheduler == nullptr) return {};
      return MonotonicTime(std::chrono::duration_cast<std::chrono::nanoseconds>(
          scheduler->clock().now().time_since_epoch()));
    }
    WallTime wall_now() const override {
      return WallTime(
          std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()));
    }
    caf::scheduler::test_coordinator* scheduler = nullptr;
  };
  class Queue final : public IoExecutor {
   public:
    void submit(std::function<void()> one) override { work.push_back(std::move(one)); }
    std::deque<std::function<void()>> work;
  };
  class Stepper final : public TaskExecutor {
   public:
    Status start(std::shared_ptr<StreamTask> task) override {
      if (thrower) thrower();
      if (threads_left == 0) return error(Errc::limit_exceeded, "there is no thread left");
      --threads_left;
      tasks.push_back(std::move(task));
      return {};
    }
    std::vector<std::shared_ptr<StreamTask>> tasks;
    std::size_t threads_left = SIZE_MAX;
    std::function<void()> thrower;
  };

  template <class R, class Handle, class M>
  Awaited<R> ask_actor(const Handle& whom, Endpoint to, M message,
                       std::chrono::milliseconds limit) {
    auto answer = std::make_shared<std::optional<Result<R>>>();
    // The handle is an argument because CAF 0.17 dereferences a null tuple for actors that have none.
    const auto client = [this, answer, limit, to, message](caf::event_based_actor* self,
                                                           const Handle& handle) {
      self->request(handle, limit, Envelope<M>{client_endpoint(), to, message})
          .then(
              [this, answer](const Envelope<Reply<R>>& reply) {
                if (!delivery_->admit(reply))
                  *answer = error(Errc::timed_out, "the answer was lost");
                else if (reply.message.value)
                  *answer = *reply.message.value;
                else
                  *answer = std::unexpected(reply.message.error);
              },
              [answer](const caf::error&) { *answer = error(Errc::timed_out, "no answer"); });
    };
    clients_.push_back(system_->spawn(client, whom));
    return answer;
  }

  /// Does one thing of each kind that can be done; moves time on if there is nothing. False if nothing
  /// will ever happen again.
  bool step() {
    bool moved = false;
    if (clock_.scheduler->has_job()) {
      clock_.scheduler->run_once();
      moved = true;
    }
    if (!io_.work.empty() && !io_is_held) {
      do_one_io();
      moved = true;
    }
    for (std::size_t i = 0; i < executor_.tasks.size() && !tasks_are_held;) {
      const StepResult result = executor_.tasks[i]->step();
      if (result == StepResult::finished) {
        executor_.tasks.erase(executor_.tasks.begin() + static_cast<std::ptrdiff_t>(i));
        moved = true;
        continue;
      }
      moved = moved || result == StepResult::busy;
      ++i;
    }
    return moved || clock_.scheduler->trigger_timeout();
  }

  VirtualClock clock_;
  CountedRandom random_;
  MemoryFileSystem files_;
  Queue io_;
  Stepper executor_;
  std::vector<caf::actor> clients_;
};

}  // namespace weir::test
