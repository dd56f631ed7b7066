#include "runtime/watermark_merger.hpp"

#include <catch2/catch.hpp>

namespace weir {
namespace {

TEST_CASE("the watermark of one channel passes through, and never goes back", "[runtime]") {
  WatermarkMerger merger{1};
  CHECK(merger.current().time == no_event_time);
  CHECK(merger.on_watermark(0, {5}) == Watermark{5});
  CHECK_FALSE(merger.on_watermark(0, {5}));
  CHECK_FALSE(merger.on_watermark(0, {4}));
  CHECK(merger.on_watermark(0, {Watermark::max_time}) == Watermark{Watermark::max_time});
  CHECK_FALSE(merger.on_end_of_input(0));
}

SCENARIO("the slowest channel decides", "[runtime]") {
  GIVEN("three channels, two of which have a watermark") {
    WatermarkMerger merger{3};
    CHECK_FALSE(merger.on_watermark(0, {10}));
    CHECK_FALSE(merger.on_watermark(1, {20}));
    WHEN("the third delivers its first") {
      THEN("the minimum counts, and only its channel can move it") {
        CHECK(merger.on_watermark(2, {-30}) == Watermark{-30});
        CHECK_FALSE(merger.on_watermark(0, {11}));
        CHECK(merger.on_watermark(2, {30}) == Watermark{11});
        CHECK(merger.current() == Watermark{11});
      }
    }
    WHEN("the third ends") {
      THEN("it holds nothing back") {
        CHECK(merger.on_end_of_input(2) == Watermark{10});
        CHECK_FALSE(merger.on_end_of_input(2));
        CHECK_FALSE(merger.on_watermark(2, {5}));
      }
    }
    WHEN("a fast one ends") {
      THEN("nothing changes") {
        CHECK_FALSE(merger.on_end_of_input(1));
        CHECK(merger.on_watermark(2, {15}) == Watermark{10});
      }
    }
  }
}

TEST_CASE(
    "once all channels have ended, their largest watermark counts in whatever order they ended",
    "[runtime]") {
  WatermarkMerger merger{2};
  CHECK_FALSE(merger.on_watermark(0, {10}));
  CHECK(merger.on_watermark(1, {50}) == Watermark{10});
  const std::size_t first = GENERATE(0, 1);
  static_cast<void>(merger.on_end_of_input(first));
  static_cast<void>(merger.on_end_of_input(1 - first));
  CHECK(merger.current() == Watermark{50});
}

TEST_CASE("ends without any watermark yield none", "[runtime]") {
  WatermarkMerger merger{2};
  CHECK_FALSE(merger.on_end_of_input(0));
  CHECK_FALSE(merger.on_end_of_input(1));
}

}  // namespace
}  // namespace weir
