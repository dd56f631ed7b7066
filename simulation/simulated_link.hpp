#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <caf/actor_system.hpp>

#include "actors/delivery.hpp"
#include "messages/interfaces.hpp"
#include "simulation/staged_fault.hpp"
#include "state/clock.hpp"

namespace weir {

/// One direction between two simulated processes: what is sent arrives in its order, at once, unless something is
/// done to it here.
/// Threads: one.
class SimulatedLink {
 public:
  /// `name` is such as `JobManager -> TaskManager:1`; `clock` outlives the link.
  SimulatedLink(std::string name, const Clock& clock) : name_(std::move(name)), clock_(clock) {}

  /// Takes a message on its way; `arrive` hands it over, once or twice.
  void carry(const DeliveryRecord& message, std::function<void()> arrive);

  // ---- faults; each meets the messages that are sent from now on

  /// What is sent before `end` is lost.
  void cut_until(MonotonicTime end) { cut_until_ = end; }
  [[nodiscard]] bool is_cut() const { return clock_.now() < cut_until_; }
  /// What is sent before `end` arrives then.
  void hold_until(MonotonicTime end) { held_until_ = end; }
  /// The next message, or the next of that name, arrives `delay` later, and what is sent behind it no sooner.
  void delay_next(std::chrono::nanoseconds delay, std::string message = {});
  void drop_next(std::string message = {});
  /// It arrives once more, after `delay`, behind what was sent meanwhile.
  void repeat_next(std::chrono::nanoseconds delay, std::string message = {});
  /// What is done to one message: one of the faults of links, or nothing.
  struct Deed {
    FlowFault fault = FlowFault::none;
    std::chrono::nanoseconds delay{0};  ///< of the message, or of its repetition
    /// The repetition comes as if over another connection: what is sent meanwhile does not wait for it.
    bool apart = false;
    std::uint64_t times = 1;  ///< how often it is repeated
  };
  /// Asked of every message what is to happen to it. May be empty.
  std::function<Deed(const DeliveryRecord& message)> decide;

  /// No more faults; what waits arrives when it was to.
  void heal();

  // ---- moving on

  /// When the next message that waits can arrive; none if none waits.
  [[nodiscard]] std::optional<MonotonicTime> next_arrival() const;
  /// Hands over the first message that waits. Requires that its time has come.
  void deliver();
  /// Whatever was on its way is lost: one end is gone.
  void clear() {
    waiting_.clear();
    apart_.clear();
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  /// How often something was done to a message since the last call of this, by what was done to it: `delayed`,
  /// `dropped`, `repeated`, `cut`.
  struct Hits {
    std::uint64_t delayed = 0;
    std::uint64_t dropped = 0;
    std::uint64_t repeated = 0;
    std::uint64_t cut = 0;
  };
  [[nodiscard]] Hits take_hits() { return std::exchange(hits_, {}); }
  /// Told of everything that is done to a message, as `message dropped`.
  std::function<void(const std::string& what)> on_fault;

 private:
  struct Waiting {
    MonotonicTime due;
    std::function<void()> arrive;
  };
  /// Where the message that arrives next is.
  [[nodiscard]] std::deque<Waiting>& next_queue();
  void arrive_at(MonotonicTime due, std::function<void()> arrive);
  void tell(const std::string& what) const {
    if (on_fault) on_fault(what);
  }

  const std::string name_;
  const Clock& clock_;
  std::deque<Waiting> waiting_;  ///< in the order in which it arrives
  std::deque<Waiting> apart_;    ///< repetitions that come by themselves, by the time when they do
  MonotonicTime cut_until_;
  MonotonicTime held_until_;
  FlowFault next_ = FlowFault::none;
  std::string next_message_;
  std::chrono::nanoseconds next_delay_{0};
  Hits hits_;
};

/// An actor that passes on what a JobManager says to `task_manager` over `there`, and the answers over `back`.
[[nodiscard]] TaskManagerInterface spawn_link(caf::actor_system& system,
                                              const TaskManagerInterface& task_manager,
                                              std::shared_ptr<SimulatedLink> there,
                                              std::shared_ptr<SimulatedLink> back);
/// The same for what a TaskManager says to `job_manager`.
[[nodiscard]] JobManagerInterface spawn_link(caf::actor_system& system,
                                             const JobManagerInterface& job_manager,
                                             std::shared_ptr<SimulatedLink> there,
                                             std::shared_ptr<SimulatedLink> back);

}  // namespace weir
