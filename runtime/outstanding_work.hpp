#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <utility>

namespace weir {

/// Counts pieces of work that are under way and calls back when there are none.
/// Threads: any.
class OutstandingWork {
 public:
  void begin() {
    const std::scoped_lock lock(mutex_);
    ++count_;
  }
  /// Ends one that `begin` has counted. The last one carries out what `when_none` has left.
  void end() {
    std::function<void()> last;
    {
      const std::scoped_lock lock(mutex_);
      if (--count_ == 0) last = std::exchange(waiting_, nullptr);
    }
    if (last) last();
  }
  /// Calls `f` once: now if nothing is under way, else by the thread that ends the last piece. To be
  /// asked for once, and nothing begins afterwards.
  void when_none(std::function<void()> f) {
    {
      const std::scoped_lock lock(mutex_);
      if (count_ > 0) {
        waiting_ = std::move(f);
        return;
      }
    }
    f();
  }

 private:
  std::mutex mutex_;  // guards the rest
  std::size_t count_ = 0;
  std::function<void()> waiting_;
};

}  // namespace weir
