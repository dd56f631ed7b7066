#include "connectors/collection_source.hpp"

#include <numeric>

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir {
namespace {

std::vector<int> numbers(int count) {
  std::vector<int> result(static_cast<std::size_t>(count));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

SCENARIO("a collection is emitted once, in order, across restores", "[connectors]") {
  GIVEN("a collection of more than one batch") {
    const std::vector<int> all = numbers(2500);
    const auto make = [&] { return std::make_unique<CollectionSource<int>>(all); };
    MemoryFileSystem files;
    Surroundings around;
    WHEN("there is a snapshot and a restore after every poll") {
      std::vector<int> emitted;
      std::optional<FrozenStates> snapshot;
      bool ended = false;
      while (!ended) {
        SourceAttempt<int> attempt(files, around, 1, snapshot ? &*snapshot : nullptr, make);
        std::ranges::move(attempt.poll(0), std::back_inserter(emitted));
        ended = attempt.ended();
        snapshot = attempt.snapshot();
      }
      THEN("every value came once and a further restore emits none") {
        CHECK(emitted == all);
        SourceAttempt<int> attempt(files, around, 1, &*snapshot, make);
        CHECK(attempt.poll(0).empty());
        CHECK(attempt.ended());
      }
    }
    WHEN("the collection is shorter at the restore") {
      SourceAttempt<int> attempt(files, around, 1, nullptr, make);
      attempt.poll(0);
      const FrozenStates snapshot = attempt.snapshot();
      FakeContext context(files, around, "source", 0, 1);
      context.operator_state().restore(deal(snapshot, 0, 1));
      CollectionSource<int> shorter(numbers(10));
      const Status opened = shorter.open(context);
      THEN("it is refused") {
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Errc::state_incompatible);
      }
    }
    WHEN("it is given two subtasks") {
      FakeContext context(files, around, "source", 0, 2);
      CollectionSource<int> source(all);
      const Status opened = source.open(context);
      THEN("it is refused") {
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Errc::invalid_argument);
      }
    }
  }
  GIVEN("an empty collection") {
    MemoryFileSystem files;
    Surroundings around;
    SourceAttempt<std::string> attempt(files, around, 1, nullptr, [] {
      return std::make_unique<CollectionSource<std::string>>(std::vector<std::string>{});
    });
    THEN("it ends at once") {
      CHECK(attempt.poll(0).empty());
      CHECK(attempt.ended());
    }
  }
}

}  // namespace
}  // namespace weir
