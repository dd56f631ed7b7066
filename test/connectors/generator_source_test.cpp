#include "connectors/generator_source.hpp"

#include <numeric>

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Indices = std::vector<std::uint64_t>;

auto maker(std::uint64_t count, std::optional<double> rate = std::nullopt) {
  return [count, rate] {
    const auto identity = [](std::uint64_t index) { return index; };
    return std::make_unique<GeneratorSource<std::uint64_t, decltype(identity)>>(identity, count,
                                                                                rate);
  };
}

Indices indices(std::uint64_t count) {
  Indices result(count);
  std::iota(result.begin(), result.end(), std::uint64_t{0});
  return result;
}

TEST_CASE("a generator yields every index once at any parallelism", "[connectors]") {
  MemoryFileSystem files;
  for (const std::uint64_t count : {0, 1, 5, 127, 128, 129, 5000}) {
    for (const std::uint32_t parallelism : {1, 2, 3, 7, 200}) {
      CAPTURE(count, parallelism);
      Surroundings around;
      SourceAttempt<std::uint64_t> attempt(files, around, parallelism, nullptr, maker(count));
      Indices emitted;
      while (!attempt.ended())
        for (std::size_t i = 0; i < attempt.size(); ++i)
          std::ranges::move(attempt.poll(i), std::back_inserter(emitted));
      if (parallelism > 1) std::ranges::sort(emitted);
      CHECK(emitted == indices(count));
    }
  }
}

TEST_CASE("a generator is exactly-once with a snapshot after every record", "[connectors]") {
  MemoryFileSystem files;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (const std::uint64_t count : {1, 3, 40, 300}) {
      CAPTURE(seed, count);
      CHECK(run_in_pieces<std::uint64_t>(files, maker(count, 0.001), seed) == indices(count));
    }
  }
}

SCENARIO("a generator without an end goes on in order after a restore", "[connectors]") {
  GIVEN("one subtask, stopped in the middle of a round over its lanes") {
    MemoryFileSystem files;
    Surroundings around;
    SourceAttempt<std::uint64_t> before(files, around, 1, nullptr, maker(unlimited));
    Indices emitted = before.poll(0);
    const FrozenStates snapshot = before.snapshot();
    SourceAttempt<std::uint64_t> after(files, around, 1, &snapshot, maker(unlimited));
    std::ranges::move(after.poll(0), std::back_inserter(emitted));
    THEN("no index is missing and none comes twice") {
      CHECK(emitted == indices(2 * batch_capacity_records));
      CHECK_FALSE(after.ended());
    }
  }
  GIVEN("a lane at the end of the numbers") {
    MemoryFileSystem files;
    Surroundings around;
    FakeContext context(files, around, "source", 0, 1);
    const std::vector<IndexLane> lanes = index_lanes(unlimited, 0, 1);
    THEN("it neither overflows nor begins again") {
      CHECK(lanes.size() == generator_lanes);
      CHECK(lanes.back() == IndexLane{generator_lanes - 1, unlimited, generator_lanes});
    }
  }
}

SCENARIO("a generator says that another count has no effect behind a restore", "[connectors]") {
  MemoryFileSystem files;
  Surroundings around;
  SourceAttempt<std::uint64_t> before(files, around, 2, nullptr, maker(50'000));
  (void)before.poll(0);
  const FrozenStates snapshot = before.snapshot();
  const auto warnings = [&](std::uint64_t count) {
    SourceAttempt<std::uint64_t> after(files, around, 2, &snapshot, maker(count));
    CHECK(after.context(1).warnings.empty());
    return after.context(0).warnings;
  };
  CHECK(warnings(50'000).empty());
  CHECK(warnings(60'000) ==
        std::vector<std::string>{"it goes on to 50000 records, as the snapshot says; the 60000 "
                                 "records that the job asks for now have no effect"});
  CHECK(warnings(unlimited) ==
        std::vector<std::string>{"it goes on to 50000 records, as the snapshot says; the records "
                                 "without end that the job asks for now have no effect"});
}

SCENARIO("a generator keeps to its rate after a change of parallelism", "[connectors]") {
  GIVEN("a rate of 1000 a second") {
    MemoryFileSystem files;
    Surroundings around;
    const auto make = maker(unlimited, 1000);
    const auto emitted_in_10_seconds = [&](SourceAttempt<std::uint64_t>& attempt) {
      std::size_t count = 0;
      const MonotonicTime begin = around.clock.time;
      for (; around.clock.time < begin + 10s; around.clock.time += 5ms)
        for (std::size_t i = 0; i < attempt.size(); ++i) count += attempt.poll(i).size();
      return count;
    };
    SourceAttempt<std::uint64_t> two(files, around, 2, nullptr, make);
    const std::size_t first = emitted_in_10_seconds(two);
    const FrozenStates snapshot = two.snapshot();
    SourceAttempt<std::uint64_t> three(files, around, 3, &snapshot, make);
    const std::size_t second = emitted_in_10_seconds(three);
    THEN("both attempts have it, to the last group") {
      CHECK(std::abs(static_cast<int>(first) - 10'000) <= 10);
      CHECK(std::abs(static_cast<int>(second) - 10'000) <= 10);
    }
  }
}

}  // namespace
}  // namespace weir
