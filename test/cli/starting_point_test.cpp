#include "cli/starting_point.hpp"

#include <catch2/catch.hpp>

#include "connectors/file_committer.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/state/snapshot_samples.hpp"

namespace weir {
namespace {

using Catch::Matchers::Contains;

const std::string root = "/ckpt";

/// Checkpoints of the sample job, with data files that can be damaged.
struct World {
  test::MemoryStorage storage;
  test::CountedRandom random;

  World(std::initializer_list<std::uint64_t> checkpoints) {
    for (const std::uint64_t n : checkpoints) write_sample(storage, directory(n), random, n);
  }
  static std::string directory(std::uint64_t n) {
    return checkpoint_directory(root, test::sample_job, {n});
  }
  /// Flips a bit of the data file of checkpoint `n`, which its `_metadata` does not show.
  void damage_data(std::uint64_t n) {
    for (auto& [path, bytes] : storage.files)
      if (path.starts_with(directory(n) + "/data-")) (*bytes)[bytes->size() / 2] ^= 8;
  }
  void damage_metadata(std::uint64_t n) { storage.bytes(directory(n) + "/_metadata")[60] ^= 4; }
  Result<StartingPoint> latest(bool transactional, const std::string& name = "word-count") {
    return find_latest(storage, {name, {root}, transactional});
  }
};

}  // namespace

TEST_CASE("-s latest goes on with the newest checkpoint of the job's name", "[cli]") {
  World world{5, 7, 6};
  const auto start = world.latest(true);
  REQUIRE(start);
  CHECK(start->directory == World::directory(7));
  CHECK(start->continues);
  CHECK(start->job == test::sample_job);
  CHECK(start->warnings.empty());
}

TEST_CASE("-s latest does not go back behind a run that has finished", "[cli]") {
  World world{5};
  const JobId later{7, 7};
  REQUIRE(
      mark_finished(world.storage, root, {later, "word-count", 4'000'000'000'000}, world.random));
  const auto start = world.latest(false);
  REQUIRE_FALSE(start);
  CHECK(start.error().code == Errc::not_found);
  CHECK_THAT(start.error().what, Contains(to_string(later) + ", has finished") &&
                                     Contains("-s " + World::directory(5)));
}

SCENARIO("-s latest is recommended to who finds output only if it would work", "[cli]") {
  GIVEN("the output of a run that was killed, in one of two directories") {
    World world{5};
    MemoryFileSystem files;
    PlanDescription plan;
    for (const std::string name : {"words", "errors"}) {
      plan.operators.emplace_back().uid = name;
      plan.operators.back().output_directory = "/" + name;
    }
    const auto commit = [&](const JobId& job) {
      const std::string name = output_file_name("words", 0, 1, job, 42);
      files.files["/words/" + committed_file_name(name, {3})] = "";
    };
    commit(test::sample_job);
    files.files["/words/.hidden"] = "";
    const auto latest = [&] {
      return find_latest_of_output(world.storage, files, {"word-count", {root}, true}, plan);
    };
    THEN("it is that run which -s latest continues") {
      const auto start = latest();
      REQUIRE(start);
      CHECK(start->directory == World::directory(5));
    }
    WHEN("there is output of another run as well") {
      commit(JobId{7, 7});
      THEN("the sink would refuse it") { CHECK_FALSE(latest()); }
    }
    WHEN("there is a file that no run has written") {
      files.files["/errors/README"] = "";
      THEN("it is not certain whose the directory is") { CHECK_FALSE(latest()); }
    }
    WHEN("a process still runs the job") {
      world.storage.failing = "lock " + job_directory(root, test::sample_job);
      world.storage.failure = {Errc::unavailable, "locked"};
      THEN("it cannot be continued here") { CHECK_FALSE(latest()); }
    }
  }
}

TEST_CASE("-s latest without a snapshot says where it looked", "[cli]") {
  World world{5};
  const auto other = world.latest(false, "other");
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Errc::not_found);
  CHECK_THAT(other.error().what, Contains("'other'") && Contains(root));
  const auto nowhere = find_latest(world.storage, {"word-count", {}, false});
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == Errc::not_found);
  CHECK_THAT(nowhere.error().what, Contains("state.checkpoints.dir"));
}

TEST_CASE("a job without transactional sinks passes over damaged checkpoints and says so",
          "[cli]") {
  World world{5, 6, 7};
  world.damage_data(7);
  world.damage_metadata(6);
  const auto start = world.latest(false);
  REQUIRE(start);
  CHECK(start->directory == World::directory(5));
  REQUIRE(start->warnings.size() == 2);
  CHECK_THAT(start->warnings[0], Contains(World::directory(7)));
  CHECK_THAT(start->warnings[1], Contains(World::directory(6)));
  for (const std::string& warning : start->warnings)
    CHECK_THAT(warning, Contains("; " + World::directory(5) + " is taken instead"));
}

TEST_CASE("a job with a transactional sink stops at a damaged checkpoint and names both", "[cli]") {
  World world{5, 6};
  const bool in_metadata = GENERATE(false, true);
  if (in_metadata)
    world.damage_metadata(6);
  else
    world.damage_data(6);
  const auto start = world.latest(true);
  REQUIRE_FALSE(start);
  CHECK(start.error().code == Errc::corruption);
  CHECK_THAT(start.error().what,
             Contains(World::directory(6)) && Contains("-s " + World::directory(5)));
}

TEST_CASE("a job whose every checkpoint is damaged does not start", "[cli]") {
  World world{5, 6};
  world.damage_data(5);
  world.damage_data(6);
  for (const bool transactional : {false, true}) {
    const auto start = world.latest(transactional);
    REQUIRE_FALSE(start);
    CHECK(start.error().code == Errc::corruption);
    CHECK_THAT(start.error().what, Contains(World::directory(6)));
  }
  World unreadable{5};
  unreadable.damage_metadata(5);
  CHECK(unreadable.latest(false).error().code == Errc::corruption);
}

TEST_CASE("-s PATH takes that snapshot and no other", "[cli]") {
  World world{5, 6};
  const auto start = open_starting_point(world.storage, World::directory(5));
  REQUIRE(start);
  CHECK(start->directory == World::directory(5));
  CHECK_FALSE(start->continues);
  CHECK(open_starting_point(world.storage, World::directory(5) + "/_metadata")->directory ==
        World::directory(5));
  world.damage_data(6);
  const auto damaged = open_starting_point(world.storage, World::directory(6));
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().code == Errc::corruption);
  const auto missing = open_starting_point(world.storage, "/nowhere");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::not_found);
  CHECK_THAT(missing.error().what, Contains("/nowhere"));
}

}  // namespace weir
