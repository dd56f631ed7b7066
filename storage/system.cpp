#include "storage/system.hpp"

#include <array>
#include <chrono>

namespace weir {
namespace {

std::mt19937_64 seeded_engine() {
  std::random_device device;
  std::array<std::uint32_t, 16> words{};
  for (auto& word : words) word = device();
  std::seed_seq seed(words.begin(), words.end());
  return std::mt19937_64(seed);
}

}  // namespace

MonotonicTime SystemClock::now() const {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now());
}

WallTime SystemClock::wall_now() const {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

SystemRandom::SystemRandom() : engine_(seeded_engine()) {}

std::uint64_t SystemRandom::next() {
  const std::scoped_lock lock(mutex_);
  return engine_();
}

}  // namespace weir
