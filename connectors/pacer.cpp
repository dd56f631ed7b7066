#include "connectors/pacer.hpp"

#include <algorithm>
#include <cmath>

#include "state/result.hpp"

namespace weir {

Pacer::Pacer(std::optional<double> records_per_second) : rate_(records_per_second) {
  WEIR_ASSERT(!rate_ || *rate_ > 0);
}

std::uint64_t Pacer::allowance(MonotonicTime now, std::uint64_t limit) {
  if (!rate_) return limit;
  if (!begin_) begin_ = now;
  const double elapsed_seconds = std::chrono::duration<double>(now - *begin_).count();
  auto count = static_cast<std::uint64_t>(elapsed_seconds * *rate_);
  // `due` decides; the division above may be off by one.
  while (count > 0 && due(count - 1) > now) --count;
  while (due(count) <= now) ++count;
  return count > emitted_ ? std::min(count - emitted_, limit) : 0;
}

MonotonicTime Pacer::next_time(MonotonicTime now) const {
  return std::max(due(emitted_), now + group_interval);
}

MonotonicTime Pacer::due(std::uint64_t index) const {
  const double nanoseconds = std::ceil(static_cast<double>(index) / *rate_ * 1e9);
  // Slower than once in a century is never; it must not overflow.
  constexpr double longest = 3e18;
  return *begin_ +
         std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(nanoseconds, longest)));
}

}  // namespace weir
