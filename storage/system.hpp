#pragma once

#include <mutex>
#include <random>

#include "state/clock.hpp"

namespace weir {

/// The clocks of this machine.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

/// Random numbers seeded by the machine: for names and ids, not for secrets.
class SystemRandom final : public Random {
 public:
  SystemRandom();
  [[nodiscard]] std::uint64_t next() override;

 private:
  std::mutex mutex_;  ///< guards `engine_`
  std::mt19937_64 engine_;
};

}  // namespace weir
