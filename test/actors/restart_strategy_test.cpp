#include "actors/restart_strategy.hpp"

#include <catch2/catch.hpp>

namespace weir {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

/// Always draws the same number.
class FixedRandom : public Random {
 public:
  explicit FixedRandom(std::uint64_t number) : number_(number) {}
  std::uint64_t next() override { return number_; }

 private:
  std::uint64_t number_;
};

constexpr std::uint64_t smallest = 0;
constexpr std::uint64_t middle = std::uint64_t{1} << 63;
constexpr std::uint64_t largest = ~std::uint64_t{0};
constexpr MonotonicTime start{1h};

const ExponentialDelayConfig exponential{1s, 60s, 1.5, 1h, 0.1, std::nullopt};

}  // namespace

SCENARIO("without a restart strategy the first failure is final", "[actors]") {
  FixedRandom random(middle);
  const auto strategy = create_restart_strategy(NoRestartConfig{}, random);
  CHECK_FALSE(strategy->on_failure(start));
}

SCENARIO("fixed delay restarts a number of times, or without end", "[actors]") {
  FixedRandom random(middle);
  GIVEN("two attempts") {
    const auto strategy = create_restart_strategy(FixedDelayConfig{2, 3s}, random);
    THEN("the third failure is final, however late") {
      CHECK(strategy->on_failure(start) == 3s);
      CHECK(strategy->on_failure(start + 1h) == 3s);
      CHECK_FALSE(strategy->on_failure(start + 100h));
      CHECK_FALSE(strategy->on_failure(start + 200h));
    }
  }
  GIVEN("no number of attempts") {
    const auto strategy = create_restart_strategy(FixedDelayConfig{std::nullopt, 0ms}, random);
    THEN("no failure is final") {
      for (int i = 0; i < 1000; ++i) REQUIRE(strategy->on_failure(start) == 0ms);
    }
  }
}

SCENARIO("exponential delay waits longer after each failure, up to a bound", "[actors]") {
  GIVEN("the defaults, and a jitter of nothing") {
    FixedRandom random(middle);
    const auto strategy = create_restart_strategy(exponential, random);
    WHEN("failure follows failure") {
      MonotonicTime now = start;
      std::vector<milliseconds> delays;
      for (int i = 0; i < 13; ++i) {
        const auto delay = strategy->on_failure(now);
        REQUIRE(delay);
        delays.push_back(*delay);
        now += *delay + 1s;
      }
      THEN("each delay is one and a half times the one before, and then 60 s") {
        CHECK(delays == std::vector<milliseconds>{1000ms, 1500ms, 2250ms, 3375ms, 5063ms, 7594ms,
                                                  11391ms, 17086ms, 25629ms, 38443ms, 57665ms,
                                                  60000ms, 60000ms});
      }
      THEN("the bound also holds after more failures than the power can count") {
        for (int i = 0; i < 5000; ++i) REQUIRE(strategy->on_failure(now) == 60s);
      }
    }
    WHEN("the job ran long enough after a restart") {
      CHECK(strategy->on_failure(start) == 1s);
      CHECK(strategy->on_failure(start + 2s) == 1500ms);
      const MonotonicTime restarted = start + 3500ms;
      THEN("the next failure counts as the first") {
        CHECK(strategy->on_failure(restarted + 1h) == 1s);
      }
      THEN("a little less is not long enough, and the time of waiting does not count") {
        CHECK(strategy->on_failure(restarted + 1h - 1ms) == 2250ms);
      }
    }
  }
  GIVEN("jitter") {
    THEN("it moves the delay by a tenth in both directions, within initial and longest") {
      FixedRandom low(smallest);
      FixedRandom high(largest);
      const auto shorter = create_restart_strategy(exponential, low);
      const auto longer = create_restart_strategy(exponential, high);
      CHECK(shorter->on_failure(start) == 1s);
      CHECK(longer->on_failure(start) == 1100ms);
      CHECK(shorter->on_failure(start) == 1350ms);
      CHECK(longer->on_failure(start) == 1650ms);
      for (int i = 0; i < 20; ++i) {
        REQUIRE(shorter->on_failure(start));
        REQUIRE(longer->on_failure(start));
      }
      CHECK(shorter->on_failure(start) == 54s);
      CHECK(longer->on_failure(start) == 60s);
    }
  }
  GIVEN("two attempts") {
    FixedRandom random(middle);
    ExponentialDelayConfig config = exponential;
    config.attempts = 2;
    const auto strategy = create_restart_strategy(config, random);
    CHECK(strategy->on_failure(start) == 1s);
    CHECK(strategy->on_failure(start + 1s) == 1500ms);
    THEN("a third failure soon after is final") { CHECK_FALSE(strategy->on_failure(start + 10s)); }
    THEN("a third failure after a long run is the first again") {
      CHECK(strategy->on_failure(start + 10h) == 1s);
      CHECK(strategy->on_failure(start + 10h + 1s) == 1500ms);
      CHECK_FALSE(strategy->on_failure(start + 10h + 10s));
    }
  }
}

SCENARIO("failure rate bears so many failures within an interval", "[actors]") {
  FixedRandom random(middle);
  GIVEN("two failures a minute") {
    const auto strategy = create_restart_strategy(FailureRateConfig{2, 1min, 500ms}, random);
    CHECK(strategy->on_failure(start) == 500ms);
    CHECK(strategy->on_failure(start + 30s) == 500ms);
    THEN("a third within the minute is final") { CHECK_FALSE(strategy->on_failure(start + 1min)); }
    THEN("a third after it is borne, but then the second still counts") {
      CHECK(strategy->on_failure(start + 1min + 1ms) == 500ms);
      CHECK_FALSE(strategy->on_failure(start + 1min + 2ms));
    }
    THEN("after a quiet minute everything is forgotten") {
      CHECK(strategy->on_failure(start + 10min) == 500ms);
      CHECK(strategy->on_failure(start + 10min) == 500ms);
      CHECK_FALSE(strategy->on_failure(start + 10min));
    }
  }
}

}  // namespace weir
