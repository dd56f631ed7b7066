#pragma once

#include "state/clock.hpp"

namespace weir::test {

/// Clocks that stand still until they are moved.
class StateClock final : public Clock {
 public:
  std::chrono::milliseconds passed{0};
  std::chrono::milliseconds wall{1'700'000'000'000};
  [[nodiscard]] MonotonicTime now() const override { return MonotonicTime(passed); }
  [[nodiscard]] WallTime wall_now() const override { return WallTime(wall); }
  void advance(std::chrono::milliseconds by) {
    passed += by;
    wall += by;
  }
};

}  // namespace weir::test
