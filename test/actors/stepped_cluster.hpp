#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include "actors/process.hpp"
#include "api/weir/weir.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "test/actors/test_libraries.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/state/memory_storage.hpp"

namespace weir::test {

/// The production actors and tasks of one process in one thread, under CAF's `testing` scheduler and a
/// virtual clock that moves on only when nothing else can. Files lie in memory.
class SteppedCluster {
 public:
  /// `drop` decides which control messages are lost on delivery.
  explicit SteppedCluster(std::function<bool(const DeliveryRecord&)> drop = {},
                          std::uint32_t slots = 4)
      : delivery_(clock_, [](const std::string&) {}) {
    delivery_.set_filter([this, drop = std::move(drop)](const DeliveryRecord& record) {
      const bool lost = drop && drop(record);
      if (!lost) ++delivered[record.message];
      return lost;
    });
    configure_actor_system(config_);
    config_.set("scheduler.policy", caf::atom("testing"));
    system_ = std::make_unique<caf::actor_system>(config_);
    clock_.scheduler = &dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler());
    ProcessSeams seams;
    seams.clock = &clock_;
    seams.random = &random_;
    seams.files = &files_;
    seams.storage = storage;
    seams.io = &io_;
    seams.executor = &executor_;
    seams.delivery = &delivery_;
    seams.libraries = &libraries;
    seams.make_backend = [](const Configuration&) -> Result<std::shared_ptr<StateBackend>> {
      return std::make_shared<MemoryStateBackend>();
    };
    seams.log = [](const std::string&, const std::string&) {};
    seams.fatal = [](const std::string& why) { FAIL(why); };
    ProcessSettings settings;
    settings.temporary_directory = "/temporary";
    process_ = std::make_unique<Process>(*system_, std::move(seams), settings);
    process_->start_job_manager();
    process_->start_task_manager(TaskManagerId{1}, slots);
  }
  ~SteppedCluster() {
    process_.reset();
    clock_.scheduler->run();
    executor_.tasks.clear();
    io_.work.clear();
    clock_.scheduler->run();
  }

  /// Sends a request to the JobManager and runs until it is answered; `timed_out` after `limit` of
  /// virtual time.
  template <class R, class M>
  Result<R> request(M message, std::chrono::milliseconds limit = std::chrono::minutes(2)) {
    auto answer = std::make_shared<std::optional<Result<R>>>();
    // The address is an argument because CAF 0.17 dereferences a null tuple for actors that have none.
    const auto client = [this, answer, limit, message](caf::event_based_actor* self,
                                                       const JobManagerInterface& to) {
      self->request(to, limit, Envelope<M>{client_endpoint(), job_manager_endpoint(), message})
          .then(
              [this, answer](const Envelope<Reply<R>>& reply) {
                if (!delivery_.admit(reply))
                  *answer = error(Errc::timed_out, "the answer was lost");
                else if (reply.message.value)
                  *answer = *reply.message.value;
                else
                  *answer = std::unexpected(reply.message.error);
              },
              [answer](const caf::error&) { *answer = error(Errc::timed_out, "no answer"); });
    };
    system_->spawn(client, process_->job_manager());
    if (!run_until([&] { return answer->has_value(); }, limit * 2))
      return error(Errc::timed_out, "nothing moves");
    return std::move(**answer);
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

  MonotonicTime now() const { return clock_.now(); }

  TestLibraries libraries{"/"};
  std::shared_ptr<MemoryStorage> storage = std::make_shared<MemoryStorage>();
  std::map<std::string, std::size_t> delivered;  ///< how often each message was delivered

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
    void start(std::shared_ptr<StreamTask> task) override { tasks.push_back(std::move(task)); }
    std::vector<std::shared_ptr<StreamTask>> tasks;
  };

  /// Does one thing of each kind that can be done; moves time on if there is nothing. False if nothing
  /// will ever happen again.
  bool step() {
    bool moved = false;
    if (clock_.scheduler->has_job()) {
      clock_.scheduler->run_once();
      moved = true;
    }
    if (!io_.work.empty()) {
      auto one = std::move(io_.work.front());
      io_.work.pop_front();
      one();
      moved = true;
    }
    for (std::size_t i = 0; i < executor_.tasks.size();) {
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
  Delivery delivery_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<Process> process_;
};

}  // namespace weir::test
