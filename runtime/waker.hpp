#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "state/clock.hpp"

namespace weir {

/// Lets one thread sleep until another has something for it, without losing a wake-up. With nobody
/// parked, `wake` costs one atomic exchange.
///
/// The sleeper announces itself, looks once more, and only then sleeps; the others make their thing
/// visible, and only then wake:
/// ```
/// waker.prepare_to_park();                       queue.push(batch);
/// if (queue.empty()) waker.park_until(deadline); waker.wake();
/// else waker.cancel_park();
/// ```
/// Either `wake` finds the announcement, or the second look finds the batch.
/// Threads: one sleeper; `wake` from any thread. Must outlive every call.
class Waker {
 public:
  /// Announces that this thread is about to park. `park_until` or `cancel_park` must follow.
  void prepare_to_park();
  /// Takes the announcement back.
  void cancel_park();
  /// Sleeps until a `wake` that comes after `prepare_to_park`, or until `deadline` if there is one.
  /// Returns whether it was woken.
  bool park_until(std::optional<MonotonicTime> deadline);
  /// Wakes the sleeper, if there is one. What the caller wrote before is visible to it.
  void wake();

 private:
  enum class State : std::uint32_t {
    awake,   ///< nobody to wake
    parking  ///< the sleeper is announced or asleep
  };
  // Every access that matters is a read-modify-write of this one variable: whichever comes second
  // synchronizes with the first, so no fence is needed (and TSan, which knows no fences, can
  // follow).
  std::atomic<State> state_{State::awake};
  std::mutex
      mutex_;  ///< guards nothing but the sleeper's step from looking at `state_` to sleeping
  std::condition_variable woken_;
};

}  // namespace weir
