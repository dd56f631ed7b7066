#include "actors/restart_strategy.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

namespace weir {

namespace {

using std::chrono::milliseconds;

class NoRestart : public RestartStrategy {
 public:
  std::optional<milliseconds> on_failure(MonotonicTime) override { return std::nullopt; }
};

class FixedDelay : public RestartStrategy {
 public:
  explicit FixedDelay(const FixedDelayConfig& config) : config_(config) {}

  std::optional<milliseconds> on_failure(MonotonicTime) override {
    if (config_.attempts && failures_ >= *config_.attempts) return std::nullopt;
    ++failures_;
    return config_.delay;
  }

 private:
  FixedDelayConfig config_;
  std::uint32_t failures_ = 0;
};

/// As Flink's ExponentialDelayRestartBackoffTimeStrategy: the delay grows with every failure until
/// the job has run long enough; the jitter leaves it between the initial and the longest one.
class ExponentialDelay : public RestartStrategy {
 public:
  ExponentialDelay(const ExponentialDelayConfig& config, Random& random)
      : config_(config), random_(random) {}

  std::optional<milliseconds> on_failure(MonotonicTime now) override {
    if (restarted_at_ && now - *restarted_at_ >= config_.reset_threshold) attempts_ = 0;
    if (config_.attempts && attempts_ >= *config_.attempts) return std::nullopt;
    const milliseconds delay = next_delay();
    ++attempts_;
    restarted_at_ = now + delay;
    return delay;
  }

 private:
  milliseconds next_delay() {
    const auto initial = static_cast<double>(config_.initial.count());
    const auto longest = static_cast<double>(config_.max.count());
    // For many attempts the power is infinite, and the minimum then still the longest delay.
    const double grown = std::min(initial * std::pow(config_.multiplier, attempts_), longest);
    constexpr double two_to_53 = 9007199254740992.0;
    const double share = static_cast<double>(random_.next() >> 11) / two_to_53;  // 0 to below 1
    const double jittered = grown + grown * config_.jitter * (2 * share - 1);
    return milliseconds(std::llround(std::clamp(jittered, initial, longest)));
  }

  ExponentialDelayConfig config_;
  Random& random_;
  std::uint32_t attempts_ = 0;  ///< since the last long enough run
  std::optional<MonotonicTime> restarted_at_;
};

class FailureRate : public RestartStrategy {
 public:
  explicit FailureRate(const FailureRateConfig& config) : config_(config) {}

  std::optional<milliseconds> on_failure(MonotonicTime now) override {
    while (!failures_.empty() && now - failures_.front() > config_.interval) failures_.pop_front();
    if (failures_.size() >= config_.max_failures) return std::nullopt;
    failures_.push_back(now);
    return config_.delay;
  }

 private:
  FailureRateConfig config_;
  std::deque<MonotonicTime> failures_;  ///< at most `max_failures`, within the interval
};

}  // namespace

std::unique_ptr<RestartStrategy> create_restart_strategy(const RestartStrategyConfig& config,
                                                         Random& random) {
  if (const auto* fixed = std::get_if<FixedDelayConfig>(&config))
    return std::make_unique<FixedDelay>(*fixed);
  if (const auto* exponential = std::get_if<ExponentialDelayConfig>(&config))
    return std::make_unique<ExponentialDelay>(*exponential, random);
  if (const auto* rate = std::get_if<FailureRateConfig>(&config))
    return std::make_unique<FailureRate>(*rate);
  return std::make_unique<NoRestart>();
}

}  // namespace weir
