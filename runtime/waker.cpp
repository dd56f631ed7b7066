#include "runtime/waker.hpp"

#include "state/result.hpp"

namespace weir {

void Waker::prepare_to_park() {
  const State before = state_.exchange(State::parking, std::memory_order_acq_rel);
  WEIR_ASSERT(before == State::awake);
}

void Waker::cancel_park() { state_.exchange(State::awake, std::memory_order_acq_rel); }

bool Waker::park_until(std::optional<MonotonicTime> deadline) {
  const auto woken = [this] { return state_.load(std::memory_order_acquire) == State::awake; };
  {
    std::unique_lock lock(mutex_);
    if (!deadline) {
      woken_.wait(lock, woken);
      return true;
    }
    if (woken_.wait_until(lock, *deadline, woken)) return true;
  }
  // A `wake` between the deadline and here counts.
  return state_.exchange(State::awake, std::memory_order_acq_rel) == State::awake;
}

void Waker::wake() {
  if (state_.exchange(State::awake, std::memory_order_acq_rel) == State::awake) return;
  // The sleeper is either before its look at `state_`, and then sees it, or asleep: never between.
  {
    const std::lock_guard lock(mutex_);
  }
  woken_.notify_one();
}

}  // namespace weir
