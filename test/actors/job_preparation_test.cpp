#include "actors/job_preparation.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "test/actors/test_libraries.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/state/snapshot_samples.hpp"

namespace weir::test {
namespace {

const JobId own{1, 2};

/// What a JobManager prepares a job with, and a submission.
struct World {
  CountedRandom random;
  MemoryFileSystem files;
  std::shared_ptr<MemoryStorage> storage = std::make_shared<MemoryStorage>();
  JobSubmission submission;

  World() {
    TestLibraries libraries("/");
    libraries.add("numbers", [](StreamEnvironment& env) {
      env.generate(3, [](std::uint64_t i) { return i; }).uid("numbers").print().uid("print");
    });
    submission.id = own;
    submission.name = "numbers";
    submission.configuration["state.checkpoints.dir"] = "/ckpt";
    submission.allow_non_restored_state = true;
    submission.plan = libraries.build_plan("numbers", {}, {}).value()->describe();
  }
  Result<std::shared_ptr<PreparedJob>> prepare() {
    ProcessSeams seams;
    seams.random = &random;
    seams.files = &files;
    seams.storage = storage;
    ProcessSettings settings;
    settings.temporary_directory = "/temporary";
    return prepare_job(submission, seams, settings);
  }
  std::ptrdiff_t times(const std::string& operation) const {
    return std::ranges::count(storage->operations, operation);
  }
};

SCENARIO("a job relies on no snapshot that a crash could take away", "[actors]") {
  GIVEN("a checkpoint of another job, whose process was killed before it was durable") {
    World world;
    const std::string chk7 = checkpoint_directory("/ckpt", sample_job, {7});
    (void)write_sample(*world.storage, chk7, world.random);
    world.submission.restore_directory = chk7;
    world.storage->operations.clear();
    WHEN("a new job starts from it") {
      const auto prepared = world.prepare();
      THEN("it is made durable, and so is its name") {
        REQUIRE(prepared);
        CHECK((*prepared)->restored_from == chk7);
        CHECK(world.times("make_durable " + chk7) == 1);
        CHECK(world.times("make_durable " + job_directory("/ckpt", sample_job)) == 1);
      }
    }
    WHEN("one of that fails") {
      THEN("the job does not start") {
        for (const std::string& names : {chk7, job_directory("/ckpt", sample_job)}) {
          CAPTURE(names);
          world.storage->failing = "make_durable " + names;
          const auto prepared = world.prepare();
          REQUIRE_FALSE(prepared);
          CHECK(prepared.error() == world.storage->failure);
        }
      }
    }
    WHEN("it lies where directories cannot be synced") {
      world.storage->failing = "make_durable " + chk7;
      world.storage->failure = {Errc::unsupported, "no such operation"};
      const auto prepared = world.prepare();
      THEN("the job starts with a warning") {
        REQUIRE(prepared);
        CHECK(std::ranges::count((*prepared)->warnings,
                                 "a crash of the machine may take the snapshot away: no such "
                                 "operation") == 1);
      }
    }
  }
  GIVEN("a savepoint of a job of which nothing else is there") {
    World world;
    (void)write_sample(*world.storage, "/sp/one", world.random);
    world.submission.restore_directory = "/sp/one";
    const std::string gone = "make_durable " + job_directory("/ckpt", sample_job);
    world.storage->failing = gone;
    world.storage->failure = {Errc::not_found, "no such directory"};
    THEN("the savepoint alone is made durable") {
      CHECK(world.prepare());
      CHECK(world.times("make_durable /sp/one") == 1);
    }
  }
}

}  // namespace
}  // namespace weir::test
