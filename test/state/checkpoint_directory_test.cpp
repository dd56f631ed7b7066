#include "state/checkpoint_directory.hpp"

#include <catch2/catch.hpp>

#include "test/state/snapshot_samples.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using test::MemoryStorage;
using Kind = FoundSnapshot::Kind;

const std::string root = "/ckpt";
const JobId job_a{0xaaaaaaaaaaaaaaaaU, 1};
const JobId job_b{0xbbbbbbbbbbbbbbbbU, 2};

/// A directory of checkpoints that a test fills with few words.
struct World {
  MemoryStorage storage;
  CountedRandom random;

  SnapshotMetadata metadata(const JobId& job, std::uint64_t n, std::uint64_t epoch,
                            std::int64_t time, const std::string& name = "word-count") {
    SnapshotMetadata result;
    result.job = job;
    result.job_name = name;
    result.checkpoint = {n};
    result.epoch = {epoch};
    result.completed_at_ms = time;
    return result;
  }
  void complete(const JobId& job, std::uint64_t n, std::uint64_t epoch, std::int64_t time,
                const std::string& name = "word-count") {
    REQUIRE(write_metadata(storage, checkpoint_directory(root, job, {n}),
                           metadata(job, n, epoch, time, name), random));
  }
  void incomplete(const JobId& job, std::uint64_t n, std::uint64_t epoch) {
    storage.put(
        checkpoint_directory(root, job, {n}) + "/" + data_file_name({epoch}, {n}, {}, random),
        "half");
  }
  void damage(const JobId& job, std::uint64_t n) {
    storage.bytes(checkpoint_directory(root, job, {n}) + "/_metadata")[60] ^= 4;
  }
  /// Writes a terminal savepoint into `directory` and the pointer to it.
  void terminal_savepoint(const JobId& job, std::uint64_t n, std::uint64_t epoch, std::int64_t time,
                          const std::string& directory) {
    REQUIRE(write_metadata(storage, directory, metadata(job, n, epoch, time), random));
    REQUIRE(write_savepoint_pointer(storage, root,
                                    {job, "word-count", {n}, {epoch}, time, directory}, random));
  }
  RecoveryPoints find(const std::string& name = "word-count") {
    const std::vector<std::string> directories{root};
    const auto found = find_recovery_points(storage, directories, name);
    REQUIRE(found);
    return *found;
  }
  HighestFound highest(const JobId& job) {
    const auto found = find_highest(storage, root, job);
    REQUIRE(found);
    return *found;
  }
};

std::vector<std::uint64_t> numbers(const std::vector<RecoveryPoint>& points) {
  std::vector<std::uint64_t> result;
  for (const auto& point : points) result.push_back(point.checkpoint.value);
  return result;
}

TEST_CASE("directories of jobs and checkpoints have their names", "[state]") {
  CHECK(job_directory("/c", job_a) == "/c/aaaaaaaaaaaaaaaa0000000000000001");
  CHECK(checkpoint_directory("/c", job_a, {12}) == "/c/aaaaaaaaaaaaaaaa0000000000000001/chk-12");
}

TEST_CASE("savepoint directories are new, named by the job, and made with their parents",
          "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  const auto first = create_savepoint_directory(storage, "/sp/deep", job_a, random);
  const auto second = create_savepoint_directory(storage, "/sp/deep", job_a, random);
  REQUIRE(first);
  REQUIRE(second);
  CHECK_THAT(*first, Catch::StartsWith("/sp/deep/savepoint-aaaaaa-"));
  CHECK(first->size() == std::string("/sp/deep/savepoint-aaaaaa-").size() + 12);
  CHECK(*first != *second);
  CHECK(storage.directories.contains(*first));

  CountedRandom repeated;  // draws the names that are taken before a free one
  const auto third = create_savepoint_directory(storage, "/sp/deep", job_a, repeated);
  REQUIRE(third);
  CHECK(*third != *first);
  CHECK(*third != *second);

  storage.failing = "create_directories /sp/deep";
  CHECK(create_savepoint_directory(storage, "/sp/deep", job_a, random).error() == storage.failure);
}

SCENARIO("a scan lists what lies under a checkpoint directory", "[state]") {
  World world;
  GIVEN("no directory") {
    THEN("it is empty") { CHECK(scan_checkpoints(world.storage, root)->empty()); }
  }
  GIVEN("checkpoints of two jobs, a pointer and other things") {
    world.complete(job_b, 10, 1, 100);
    world.complete(job_b, 9, 1, 90);
    world.incomplete(job_b, 11, 3);
    world.terminal_savepoint(job_a, 4, 2, 50, "/sp/s");
    world.storage.put(root + "/readme.txt", "");
    world.storage.put(job_directory(root, job_a) + "/chk-x/_metadata", "");
    world.storage.put(job_directory(root, job_a) + "/chk-007/_metadata", "");
    world.storage.put(job_directory(root, job_a) + "/chk-99999999999999999999/_metadata", "");
    world.storage.put(job_directory(root, job_a) + "/chk-5", "a file");
    world.storage.put(job_directory(root, job_a) + "/.lock", "");
    world.storage.put(root + "/savepoint-aaaaaa-0123456789ab/_metadata", "");
    THEN("ours are found, by job and number, and the rest is passed over") {
      const auto found = scan_checkpoints(world.storage, root);
      REQUIRE(found);
      const std::vector<FoundSnapshot> expected = {
          {Kind::savepoint_pointer, job_a, {4}, job_directory(root, job_a) + "/savepoint-4", {}},
          {Kind::complete, job_b, {9}, checkpoint_directory(root, job_b, {9}), {}},
          {Kind::complete, job_b, {10}, checkpoint_directory(root, job_b, {10}), {}},
          {Kind::incomplete, job_b, {11}, checkpoint_directory(root, job_b, {11}), {3}},
      };
      CHECK(*found == expected);
    }
  }
  GIVEN("a directory that cannot be read") {
    world.complete(job_a, 1, 1, 1);
    world.storage.failing = "list " + job_directory(root, job_a);
    THEN("the error is passed on, for an unread checkpoint is no missing one") {
      CHECK(scan_checkpoints(world.storage, root).error() == world.storage.failure);
      const std::vector<std::string> directories{root};
      CHECK(find_recovery_points(world.storage, directories, "word-count").error() ==
            world.storage.failure);
      CHECK(find_highest(world.storage, root, job_a).error() == world.storage.failure);
    }
  }
}

SCENARIO("latest is the highest epoch and number of the job that completed last", "[state]") {
  World world;
  GIVEN("nothing") {
    THEN("nothing is found") {
      CHECK(world.find().points.empty());
      CHECK(world.find().nameless.empty());
    }
  }
  GIVEN("several checkpoints of one job") {
    world.complete(job_a, 9, 1, 900);
    world.complete(job_a, 10, 1, 1000);
    world.incomplete(job_a, 11, 1);
    THEN("they come newest first and the incomplete one does not") {
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{10, 9});
      CHECK(points[0].job == job_a);
      CHECK(points[0].epoch == LeaderEpoch{1});
      CHECK(points[0].completed_at_ms == 1000);
      CHECK(points[0].directory == checkpoint_directory(root, job_a, {10}));
      CHECK_FALSE(points[0].is_savepoint);
      CHECK_FALSE(points[0].damage);
    }
    THEN("a job of another name has none") { CHECK(world.find("other").points.empty()); }
  }
  GIVEN("a checkpoint of a newer epoch with a lower number") {
    world.complete(job_a, 57, 1, 2000);
    world.complete(job_a, 56, 2, 1000);
    THEN("the epoch decides, not number or time") {
      CHECK(numbers(world.find().points) == std::vector<std::uint64_t>{56, 57});
    }
  }
  GIVEN("two jobs of that name and one of another") {
    world.complete(job_a, 50, 9, 1000);
    world.complete(job_b, 2, 1, 2000);
    world.complete({1, 1}, 3, 1, 3000, "other");
    THEN("the completion time decides between job ids") {
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{2});
      CHECK(points[0].job == job_b);
    }
  }
  GIVEN("a terminal savepoint elsewhere and the pointer to it") {
    world.complete(job_a, 7, 1, 700);
    world.terminal_savepoint(job_a, 8, 1, 800, "/sp/savepoint-aaaaaa-x");
    THEN("it is the newest") {
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{8, 7});
      CHECK(points[0].is_savepoint);
      CHECK(points[0].directory == "/sp/savepoint-aaaaaa-x");
      CHECK_FALSE(points[0].damage);
    }
    THEN("a checkpoint taken after continuing from it is newer") {
      world.complete(job_a, 9, 2, 900);
      CHECK(numbers(world.find().points) == std::vector<std::uint64_t>{9, 8, 7});
    }
    THEN("it does not vanish silently when somebody moves it away") {
      world.storage.files.erase("/sp/savepoint-aaaaaa-x/_metadata");
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{8, 7});
      REQUIRE(points[0].damage);
      CHECK(points[0].damage->code == Errc::not_found);
      CHECK_THAT(points[0].damage->what, Catch::Contains("/sp/savepoint-aaaaaa-x"));
    }
    THEN("nor when its pointer is damaged") {
      world.storage.bytes(job_directory(root, job_a) + "/savepoint-8")[50] ^= 1;
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{8, 7});
      CHECK(points[0].damage->code == Errc::corruption);
    }
    THEN("its pointer is gone after it was deleted") {
      REQUIRE(delete_savepoint_pointer(world.storage, root, job_a, {8}));
      CHECK(numbers(world.find().points) == std::vector<std::uint64_t>{7});
    }
  }
  GIVEN("a damaged newest checkpoint") {
    world.complete(job_a, 5, 3, 500);
    world.complete(job_a, 6, 3, 600);
    world.complete(job_a, 7, 3, 700);
    world.damage(job_a, 7);
    THEN("it stands first, with the reason, and the older ones behind it") {
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{7, 6, 5});
      REQUIRE(points[0].damage);
      CHECK_THAT(points[0].damage->what, Catch::Contains("chk-7/_metadata: "));
      CHECK_FALSE(points[1].damage);
    }
  }
  GIVEN("a damaged older checkpoint") {
    world.complete(job_a, 6, 3, 600);
    world.complete(job_a, 7, 3, 700);
    world.damage(job_a, 6);
    THEN("it stands in its place") {
      CHECK(numbers(world.find().points) == std::vector<std::uint64_t>{7, 6});
    }
  }
  GIVEN("a job id of which nothing can be read") {
    world.complete(job_a, 7, 1, 700);
    world.complete(job_b, 3, 1, 900);
    world.damage(job_b, 3);
    THEN("it is reported beside the job that was found") {
      const auto found = world.find();
      CHECK(numbers(found.points) == std::vector<std::uint64_t>{7});
      REQUIRE(found.nameless.size() == 1);
      CHECK(found.nameless[0].job == job_b);
      CHECK(found.nameless[0].damage);
    }
  }
  GIVEN("metadata that was copied from another checkpoint") {
    world.complete(job_a, 7, 1, 700);
    world.storage.put(checkpoint_directory(root, job_a, {8}) + "/_metadata",
                      world.storage.bytes(checkpoint_directory(root, job_a, {7}) + "/_metadata"));
    THEN("it does not pass for the newer one") {
      const auto points = world.find().points;
      REQUIRE(numbers(points) == std::vector<std::uint64_t>{8, 7});
      CHECK_THAT(points[0].damage->what, Catch::Contains("belongs to another job or checkpoint"));
    }
  }
}

SCENARIO("numbers count on above everything found", "[state]") {
  World world;
  CHECK(world.highest(job_a) == HighestFound{});
  world.complete(job_a, 7, 2, 700);
  CHECK(world.highest(job_a) == HighestFound{{7}, {2}});
  WHEN("a higher checkpoint is incomplete, of a later epoch") {
    world.incomplete(job_a, 9, 3);
    THEN("both count") { CHECK(world.highest(job_a) == HighestFound{{9}, {3}}); }
  }
  WHEN("a higher checkpoint is an empty directory") {
    REQUIRE(world.storage.create_directories(checkpoint_directory(root, job_a, {12})));
    THEN("its number counts") { CHECK(world.highest(job_a) == HighestFound{{12}, {2}}); }
  }
  WHEN("a higher checkpoint is damaged") {
    world.complete(job_a, 8, 5, 800);
    world.storage.put(
        checkpoint_directory(root, job_a, {8}) + "/" + data_file_name({5}, {8}, {}, world.random),
        "");
    world.damage(job_a, 8);
    THEN("its number counts, and the epoch in its files' names") {
      CHECK(world.highest(job_a) == HighestFound{{8}, {5}});
    }
  }
  WHEN("there is a pointer to a savepoint") {
    world.terminal_savepoint(job_a, 20, 4, 2000, "/sp/savepoint-aaaaaa-000000000001");
    THEN("it counts") { CHECK(world.highest(job_a) == HighestFound{{20}, {4}}); }
  }
  WHEN("savepoints have been begun, which may lie anywhere") {
    REQUIRE(take_savepoint_number(world.storage, root, job_a, {3}, {9}));
    REQUIRE(take_savepoint_number(world.storage, root, job_a, {4}, {11}));
    REQUIRE(take_savepoint_number(world.storage, root, job_b, {9}, {99}));
    THEN("the newest counts, and the others are forgotten") {
      CHECK(world.highest(job_a) == HighestFound{{11}, {4}});
      CHECK(world.storage.files.contains(job_directory(root, job_a) + "/number-4-11"));
      CHECK_FALSE(world.storage.files.contains(job_directory(root, job_a) + "/number-3-9"));
    }
    THEN("sweeping leaves it") {
      REQUIRE(delete_orphans(world.storage, root, job_a));
      CHECK(world.highest(job_a) == HighestFound{{11}, {4}});
    }
    THEN("other names do not count") {
      for (const char* name :
           {"number-5", "number-5-", "number--12", "number-5-12x", "number-5-012"})
        world.storage.put(job_directory(root, job_a) + "/" + name, "");
      CHECK(world.highest(job_a) == HighestFound{{11}, {4}});
    }
  }
  WHEN("the number of a savepoint cannot be said") {
    world.storage.failing = "create_directories " + job_directory(root, job_a);
    THEN("that is an error") {
      CHECK(take_savepoint_number(world.storage, root, job_a, {3}, {9}).error() ==
            world.storage.failure);
    }
  }
}

SCENARIO("orphans of crashes are deleted and nothing else", "[state]") {
  World world;
  const auto metadata = test::write_sample(
      world.storage, checkpoint_directory(root, test::sample_job, {7}), world.random);
  const JobId job = test::sample_job;
  const std::string chk7 = checkpoint_directory(root, job, {7});
  const auto swept = [&] {
    const auto removed = delete_orphans(world.storage, root, job);
    REQUIRE(removed);
    return *removed;
  };
  WHEN("there are none") {
    THEN("nothing is removed") {
      CHECK(swept().empty());
      CHECK(verify_snapshot(world.storage, chk7));
    }
  }
  WHEN("a process was killed before what it had completed was durable") {
    THEN("what is left is made durable before anybody relies on it") {
      world.storage.operations.clear();
      CHECK(swept().empty());
      const auto& done = world.storage.operations;
      CHECK(std::ranges::count(done, "make_durable " + chk7) == 1);
      CHECK(std::ranges::count(done, "make_durable " + job_directory(root, job)) == 1);
      world.storage.failing = "make_durable " + chk7;
      CHECK(delete_orphans(world.storage, root, job).error() == world.storage.failure);
    }
  }
  WHEN("a process was killed when it had removed the metadata, and nothing else") {
    REQUIRE(world.storage.remove(chk7 + "/_metadata"));
    THEN(
        "that is durable before a file that it named is removed: a crash does not bring it back "
        "alone") {
      world.storage.operations.clear();
      CHECK_FALSE(swept().empty());
      const auto& done = world.storage.operations;
      const auto durable = std::ranges::find(done, "make_durable " + chk7);
      const auto removal =
          std::ranges::find_if(done, [](const auto& one) { return one.starts_with("remove "); });
      REQUIRE(removal != done.end());
      CHECK(durable < removal);
    }
  }
  WHEN("a checkpoint is incomplete") {
    world.incomplete(job, 8, 1);
    world.storage.put(checkpoint_directory(root, job, {8}) + "/._metadata.12ab", "half");
    THEN("it goes with its directory") {
      CHECK(swept().size() == 3);
      CHECK_FALSE(world.storage.directories.contains(checkpoint_directory(root, job, {8})));
      CHECK(verify_snapshot(world.storage, chk7));
    }
  }
  WHEN("a directory is empty") {
    REQUIRE(world.storage.create_directories(checkpoint_directory(root, job, {8})));
    THEN("it goes") {
      CHECK(swept() == std::vector<std::string>{checkpoint_directory(root, job, {8})});
    }
  }
  WHEN("files lie beside metadata that does not name them") {
    world.storage.put(chk7 + "/data-e1-c7-late", "late");
    world.storage.put(chk7 + "/.data-e1-c7-half.ab", "half");
    world.storage.put(job_directory(root, job) + "/.savepoint-9.ff", "half");
    THEN("they go, the snapshot stays") {
      CHECK(swept() == std::vector<std::string>{job_directory(root, job) + "/.savepoint-9.ff",
                                                chk7 + "/.data-e1-c7-half.ab",
                                                chk7 + "/data-e1-c7-late"});
      CHECK(verify_snapshot(world.storage, chk7));
    }
  }
  WHEN("metadata is damaged") {
    world.storage.put(chk7 + "/extra", "");
    world.storage.bytes(chk7 + "/_metadata")[60] ^= 1;
    THEN("its directory is left as it is") {
      CHECK(swept().empty());
      CHECK(world.storage.files.size() == 3);
    }
  }
  WHEN("other things lie about") {
    world.incomplete(job_a, 1, 1);
    world.storage.put(job_directory(root, job) + "/.lock", "");
    world.storage.put(job_directory(root, job) + "/savepoint-3", "pointer");
    world.storage.put(job_directory(root, job) + "/notes.txt", "mine");
    world.storage.put(job_directory(root, job) + "/old/data", "mine");
    world.storage.put(checkpoint_directory(root, job, {8}) + "/sub/data", "not ours");
    world.storage.put(root + "/savepoint-012345-aa/data-e1-c9", "user's");
    THEN("they stay") { CHECK(swept().empty()); }
  }
  WHEN("a file cannot be removed") {
    world.incomplete(job, 8, 1);
    for (const auto& [path, bytes] : world.storage.files)
      if (path.find("chk-8") != std::string::npos) world.storage.failing = "remove " + path;
    THEN("the error is passed on") {
      CHECK(delete_orphans(world.storage, root, job).error() == world.storage.failure);
    }
  }
  (void)metadata;
}

SCENARIO("shared files that no checkpoint names are deleted", "[state]") {
  World world;
  const JobId job = test::sample_job;
  const std::string chk7 = checkpoint_directory(root, job, {7});
  const std::string shared = job_directory(root, job) + "/shared";
  auto metadata = test::write_sample(world.storage, chk7, world.random);
  const std::string named = test::share_sample(world.storage, chk7, metadata);
  const std::vector<std::string> orphans{
      shared + "/." + data_file_name({9}, {12}, {}, world.random) + ".77",
      shared + "/" + data_file_name({8}, {5}, {}, world.random),
      shared + "/" + data_file_name({8}, {6}, {}, world.random), shared + "/notes"};
  for (const std::string& path : orphans) world.storage.put(path, "orphan");
  const auto swept = [&] {
    auto removed = delete_orphans(world.storage, root, job);
    REQUIRE(removed);
    std::ranges::sort(*removed);
    return *removed;
  };
  auto expected = orphans;
  std::ranges::sort(expected);

  THEN("their numbers are counted on above") {
    CHECK(world.highest(job) == HighestFound{{12}, {9}});
  }
  WHEN("all checkpoints can be read") {
    THEN("those go, what is named stays") {
      CHECK(swept() == expected);
      CHECK(verify_snapshot(world.storage, chk7) == metadata);
    }
  }
  WHEN("a checkpoint is damaged") {
    world.complete(job, 6, 1, 1);
    world.damage(job, 6);
    THEN("nothing shared is touched, because it may name any of them") { CHECK(swept().empty()); }
  }
  WHEN("the checkpoint is incomplete") {
    world.storage.files.erase(chk7 + "/_metadata");
    THEN("its file goes, too") {
      const auto removed = swept();
      CHECK(std::ranges::find(removed, named) != removed.end());
      CHECK(world.storage.files.empty());
    }
  }
  WHEN("directories and symbolic links lie about") {
    world.storage.put(shared + "/sub/data-e1-c1-v0-s0-a0-1", "not ours");
    THEN("they stay") { CHECK(swept() == expected); }
  }
  WHEN("one checkpoint's files are deleted") {
    REQUIRE(delete_shared_files_of(world.storage, shared, {6}));
    THEN("the others' stay") {
      CHECK_FALSE(world.storage.files.contains(orphans[2]));
      CHECK(world.storage.files.contains(orphans[1]));
      CHECK(world.storage.files.contains(orphans[0]));
      CHECK(world.storage.files.contains(named));
    }
  }
  WHEN("there is nothing shared") {
    THEN("there is nothing to delete") {
      CHECK(delete_shared_files_of(world.storage, root + "/elsewhere/shared", {6}));
    }
  }
}

TEST_CASE("a job's directory goes when only its lock and an empty shared one are left", "[state]") {
  World world;
  const std::string directory = job_directory(root, job_a);
  world.storage.put(directory + "/.lock", "");
  world.storage.put(directory + "/shared/data", "");
  REQUIRE(remove_job_directory_if_empty(world.storage, root, job_a));
  CHECK(world.storage.files.size() == 2);
  world.storage.files.erase(directory + "/shared/data");
  REQUIRE(remove_job_directory_if_empty(world.storage, root, job_a));
  CHECK(world.storage.files.empty());
  CHECK_FALSE(world.storage.directories.contains(directory));
}

TEST_CASE("a job's directory goes when only its lock and a number are left", "[state]") {
  World world;
  const std::string directory = job_directory(root, job_a);
  world.storage.put(directory + "/.lock", "");
  REQUIRE(take_savepoint_number(world.storage, root, job_a, {1}, {2}));
  world.complete(job_a, 1, 1, 1);
  REQUIRE(remove_job_directory_if_empty(world.storage, root, job_a));
  CHECK(world.storage.files.size() == 3);
  REQUIRE(delete_snapshot(world.storage, checkpoint_directory(root, job_a, {1})));
  REQUIRE(remove_job_directory_if_empty(world.storage, root, job_a));
  CHECK(world.storage.files.empty());
  CHECK_FALSE(world.storage.directories.contains(directory));
  CHECK(remove_job_directory_if_empty(world.storage, root, job_a));
}

SCENARIO("a finished run is newer than what older ones have left", "[state]") {
  World world;
  const auto finish = [&](const JobId& job, std::int64_t time,
                          const std::string& name = "word-count") {
    return mark_finished(world.storage, root, {job, name, time}, world.random);
  };
  const std::string mark = job_directory(root, job_b) + "/finished";
  GIVEN("an older run that left a terminal savepoint") {
    world.terminal_savepoint(job_a, 3, 1, 300, "/sp/savepoint-aaaaaa-x");
    WHEN("another run of its name has finished") {
      world.complete(job_b, 1, 1, 400);
      REQUIRE(finish(job_b, 500));
      THEN("that is found, with what lies before it") {
        const RecoveryPoints found = world.find();
        REQUIRE(found.finished);
        CHECK(found.finished == FinishedRun{job_b, "word-count", 500});
        CHECK(found.points.size() == 1);
      }
      THEN("it counts for its name alone") { CHECK(world.find("other").finished == std::nullopt); }
      AND_WHEN("a third run has completed a checkpoint since") {
        world.complete({5, 5}, 1, 1, 600);
        THEN("that is the newest") {
          CHECK(world.find().finished == std::nullopt);
          CHECK(world.find().points.front().job == JobId{5, 5});
        }
      }
      AND_WHEN("it finishes again under its id") {
        REQUIRE(finish(job_b, 700));
        THEN("the later time counts") { CHECK(world.find().finished->finished_at_ms == 700); }
      }
      AND_WHEN("a bit of the mark is flipped") {
        world.storage.bytes(mark)[60] ^= 4;
        THEN("nothing older is chosen unasked") {
          const auto found =
              find_recovery_points(world.storage, std::vector<std::string>{root}, "word-count");
          REQUIRE_FALSE(found);
          CHECK(found.error().code == Errc::corruption);
        }
      }
    }
    WHEN("a run of another name has finished") {
      REQUIRE(finish(job_b, 500, "other"));
      THEN("nothing is written") { CHECK_FALSE(world.storage.files.contains(mark)); }
    }
    WHEN("the run itself has gone on and finished") {
      REQUIRE(finish(job_a, 500));
      THEN("its savepoint is older") { CHECK(world.find().finished.has_value()); }
    }
  }
  GIVEN("no run but that which finishes") {
    world.complete(job_b, 1, 1, 400);
    REQUIRE(finish(job_b, 500));
    THEN("nothing is written: its own checkpoints go") {
      CHECK_FALSE(world.storage.files.contains(mark));
    }
  }
}

TEST_CASE("every flipped bit of a savepoint pointer is noticed", "[state]") {
  World world;
  const SavepointPointer pointer{job_a, "word-count", {8}, {1}, 800, "/sp/savepoint-aaaaaa-x"};
  REQUIRE(write_savepoint_pointer(world.storage, root, pointer, world.random));
  CHECK(write_savepoint_pointer(world.storage, root, pointer, world.random).error().code ==
        Errc::already_exists);
  const std::string path = job_directory(root, job_a) + "/savepoint-8";
  CHECK(read_savepoint_pointer(world.storage, path) == pointer);
  std::string& bytes = world.storage.bytes(path);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const auto read = read_savepoint_pointer(world.storage, path);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    REQUIRE_FALSE(read);
    REQUIRE(read.error().code == Errc::corruption);
  }
  bytes.resize(2 << 20);
  CHECK(read_savepoint_pointer(world.storage, path).error().code == Errc::corruption);
}

}  // namespace
}  // namespace weir
