#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "state/clock.hpp"

namespace weir {

/// Says how many records a source may emit by now. Record `n` is due `n / rate` seconds after the
/// first question, whatever happened before it: a source that was held up catches up, and in the
/// long run the rate is exact. Fast rates go in small groups, so that nobody is woken for each
/// record. In a source's `poll`:
///
///   const MonotonicTime now = context_->clock().now();
///   const std::uint64_t allowed = pacer_.allowance(now, 1);
///   if (allowed == 0) {
///     context_->wake_at(pacer_.next_time(now));
///     return PollResult::nothing_now;
///   }
///   pacer_.count(allowed);
///
/// Threads: one at a time.
class Pacer {
 public:
  /// A group of records is at least this far from the next.
  static constexpr std::chrono::nanoseconds group_interval = std::chrono::milliseconds(5);

  /// `records_per_second` is above 0, or none for as fast as possible.
  explicit Pacer(std::optional<double> records_per_second);

  /// How many records may be emitted at `now`; at most `limit`.
  [[nodiscard]] std::uint64_t allowance(MonotonicTime now, std::uint64_t limit);
  /// They have been emitted. No more than allowed.
  void count(std::uint64_t records) { emitted_ += records; }
  /// When to ask again, after an allowance of 0 at `now`. Later than `now`.
  [[nodiscard]] MonotonicTime next_time(MonotonicTime now) const;

 private:
  [[nodiscard]] MonotonicTime due(std::uint64_t index) const;

  std::optional<double> rate_;
  std::optional<MonotonicTime> begin_;
  std::uint64_t emitted_ = 0;
};

}  // namespace weir
