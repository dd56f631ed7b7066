#pragma once

#include <chrono>
#include <cstdint>

namespace weir {

/// A point on the monotonic time of one process: timeouts, delays and rates are measured on it.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
/// A point on the wall clock, which may jump; only shown to people and stored beside snapshots.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// The one source of time of a process. Under simulation it is virtual.
/// Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonotonicTime now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
};

/// The one source of random numbers of a process. Under simulation it is drawn from the seed.
/// Threads: any.
class Random {
 public:
  virtual ~Random() = default;
  /// 64 evenly distributed bits.
  [[nodiscard]] virtual std::uint64_t next() = 0;
};

}  // namespace weir
