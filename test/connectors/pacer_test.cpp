#include "connectors/pacer.hpp"

#include <vector>

#include <catch2/catch.hpp>

namespace weir {
namespace {

using namespace std::chrono_literals;

const MonotonicTime begin{17s};
constexpr std::uint64_t limit = 1'000'000;

TEST_CASE("without a rate everything may be emitted at once", "[connectors]") {
  Pacer pacer(std::nullopt);
  CHECK(pacer.allowance(begin, 1024) == 1024);
  pacer.count(1024);
  CHECK(pacer.allowance(begin, 1024) == 1024);
}

SCENARIO("a pacer lets records go when they are due", "[connectors]") {
  GIVEN("a rate of 4 a second") {
    Pacer pacer(4);
    CHECK(pacer.allowance(begin, limit) == 1);
    pacer.count(1);
    THEN("the second comes after a quarter of a second, not earlier") {
      CHECK(pacer.allowance(begin, limit) == 0);
      CHECK(pacer.next_time(begin) == begin + 250ms);
      CHECK(pacer.allowance(begin + 250ms - 1ns, limit) == 0);
      CHECK(pacer.allowance(begin + 250ms, limit) == 1);
    }
    WHEN("nobody asks for a while") {
      THEN("all that was due may go, up to the limit") {
        CHECK(pacer.allowance(begin + 10s, limit) == 40);
        CHECK(pacer.allowance(begin + 10s, 3) == 3);
      }
    }
  }
  GIVEN("a rate faster than groups go") {
    Pacer pacer(1e6);
    pacer.count(pacer.allowance(begin, limit));
    THEN("the next group waits for its time and then is one") {
      CHECK(pacer.next_time(begin) == begin + Pacer::group_interval);
      CHECK(pacer.allowance(begin + Pacer::group_interval, limit) == 5000);
    }
  }
  GIVEN("a rate slower than anybody waits") {
    Pacer pacer(1e-12);
    pacer.count(pacer.allowance(begin, limit));
    THEN("the next time is far away") { CHECK(pacer.next_time(begin) > begin + 24h * 365 * 50); }
  }
}

TEST_CASE("whoever asks at the time that a pacer names may emit", "[connectors]") {
  for (const double rate : {0.3, 1.0, 3.0, 7.0, 199.9, 1000.0 / 3, 12345.678, 1e6, 3e7}) {
    CAPTURE(rate);
    Pacer pacer(rate);
    MonotonicTime now = begin;
    std::uint64_t emitted = 0;
    for (int i = 0; i < 10'000; ++i) {
      const std::uint64_t allowed = pacer.allowance(now, limit);
      REQUIRE(allowed > 0);
      pacer.count(allowed);
      emitted += allowed;
      const MonotonicTime next = pacer.next_time(now);
      REQUIRE(next > now);
      now = next;
    }
    const double seconds = std::chrono::duration<double>(now - begin).count();
    CHECK(static_cast<double>(emitted) <= seconds * rate + 1);
    CHECK(static_cast<double>(emitted) >= (seconds - 0.005) * rate - 1);
  }
}

}  // namespace
}  // namespace weir
