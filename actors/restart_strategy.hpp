#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "runtime/configuration.hpp"
#include "state/clock.hpp"

namespace weir {

/// Decides whether and when a job that failed starts again.
/// Threads: none of its own; belongs to one job.
class RestartStrategy {
 public:
  virtual ~RestartStrategy() = default;
  /// Counts a failure at `now` and returns how long to wait before the job starts again; `nullopt`
  /// if it has failed for good. One call for each failure of the job, however many tasks it took
  /// along; `now` never goes backwards.
  [[nodiscard]] virtual std::optional<std::chrono::milliseconds> on_failure(MonotonicTime now) = 0;
};

/// The strategy that `config` describes. `random` gives the jitter and must outlive the strategy.
[[nodiscard]] std::unique_ptr<RestartStrategy> create_restart_strategy(
    const RestartStrategyConfig& config, Random& random);

}  // namespace weir
