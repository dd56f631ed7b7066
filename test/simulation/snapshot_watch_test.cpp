#include "simulation/snapshot_watch.hpp"

#include <catch2/catch.hpp>

#include "test/simulation/watched_disk.hpp"

namespace weir::test {
namespace {

using Catch::Contains;

const JobId job = WatchedDisk::job;
const std::string root = WatchedDisk::checkpoints;

/// A disk that is watched, and what was told of it.
struct Watched : WatchedDisk {
  Watched() {
    disk->observe([this](const FileEvent& event) {
      if (auto broken = watch.see(event)) told.push_back(*broken);
    });
  }
  void crash() {
    disk->lose_unsynced();
    watch.see_crash();
  }

  SnapshotWatch watch{[this](const std::string& path) { return disk->content(path); }};
  std::vector<std::string> told;
};

TEST_CASE("checkpoints that are completed and deleted in their order break nothing",
          "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {"a"}, {"s"});
  one.complete(one.directory(2), 2, {"b"}, {"s"});
  REQUIRE(one.storage.remove(one.directory(1) + "/_metadata"));
  REQUIRE(one.storage.remove(one.directory(1) + "/a"));
  REQUIRE(one.storage.remove(one.directory(1)));
  REQUIRE(one.storage.remove(one.directory(2) + "/_metadata"));
  REQUIRE(one.storage.remove(one.directory(2) + "/b"));
  REQUIRE(one.storage.remove(root + "/" + to_string(job) + "/shared/s"));
  CHECK(one.told.empty());
  CHECK(one.watch.newest() == std::map<JobId, CheckpointId>{{job, {2}}});
}

TEST_CASE("a second completed snapshot under a number is noticed, wherever it lies",
          "[simulation]") {
  const std::string savepoint = "/savepoints/savepoint-abc";
  Watched one;
  one.complete(one.directory(7), 7, {});
  one.complete(savepoint, 7, {});
  REQUIRE(one.told.size() == 1);
  CHECK(one.told[0] == "one completed snapshot was expected under number 7 of job " +
                           to_string(job) + ", found " + savepoint + "/_metadata after " +
                           one.directory(7) + "/_metadata");

  // Also when the first is deleted by then, and in its place.
  Watched other;
  other.complete(other.directory(7), 7, {});
  REQUIRE(other.storage.remove(other.directory(7) + "/_metadata"));
  other.complete(other.directory(7), 7, {});
  REQUIRE(other.told.size() == 1);
  CHECK_THAT(other.told[0], Contains("with other contents"));
}

TEST_CASE("what a crash has taken away is no second one, what it has left is", "[simulation]") {
  for (const bool synced : {false, true}) {
    INFO(synced);
    Watched one;
    SnapshotMetadata metadata;
    metadata.job = job;
    metadata.checkpoint = {7};
    const std::string path = one.directory(7) + "/_metadata";
    one.write(one.directory(7) + "/.tmp", encode_metadata(metadata, 1));
    REQUIRE(one.files.rename_no_replace(one.directory(7) + "/.tmp", path));
    CHECK(one.watch.completed().contains({job, {7}}));
    if (synced) one.disk->put(path, *one.disk->content(path));
    one.crash();
    CHECK(one.watch.completed().contains({job, {7}}) == synced);
    SimulatedFileSystem later(one.disk, "later");
    FileCheckpointStorage storage(later, one.random);
    REQUIRE(write_metadata(storage, "/savepoints/savepoint-abc", metadata, one.random));
    CHECK(one.told.size() == (synced ? 1 : 0));
  }
}

TEST_CASE("the deletion of a file that a complete snapshot refers to is noticed", "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {"a", "b"}, {"s"});
  one.complete(one.directory(2), 2, {"c"}, {"s"});
  REQUIRE(one.files.remove(one.directory(1) + "/b"));
  REQUIRE(one.told.size() == 1);
  CHECK(one.told[0] == one.directory(1) + "/b was expected to be kept, because " +
                           one.directory(1) + "/_metadata refers to it, found it deleted");
  // Shared files as long as any refers to them.
  REQUIRE(one.storage.remove(one.directory(1) + "/_metadata"));
  REQUIRE(one.storage.remove(root + "/" + to_string(job) + "/shared/s"));
  REQUIRE(one.told.size() == 2);
  CHECK_THAT(one.told[1], Contains("/shared/s was expected to be kept, because " +
                                   one.directory(2) + "/_metadata refers to it"));
}

TEST_CASE("a file is kept until its metadata is removed durably", "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {"a", "b"});
  REQUIRE(one.files.remove(one.directory(1) + "/_metadata"));
  REQUIRE(one.files.remove(one.directory(1) + "/a"));
  REQUIRE(one.told.size() == 1);
  CHECK_THAT(one.told[0], Contains("until the removal of " + one.directory(1) + "/_metadata"));
  REQUIRE(one.files.sync_directory(one.directory(1)));
  REQUIRE(one.files.remove(one.directory(1) + "/b"));
  CHECK(one.told.size() == 1);

  // What a crash brings back is there again.
  Watched other;
  other.complete(other.directory(1), 1, {"a"});
  REQUIRE(other.files.sync_directory(other.directory(1)));
  REQUIRE(other.files.remove(other.directory(1) + "/_metadata"));
  other.crash();
  SimulatedFileSystem later(other.disk, "later");
  REQUIRE(later.remove(other.directory(1) + "/a"));
  REQUIRE(other.told.size() == 1);
  CHECK_THAT(other.told[0], Contains("refers to it, found it deleted"));
}

TEST_CASE("a removal that reports failure and a success that removes nothing are told apart",
          "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {"a"});
  one.disk->inject({.fault = Fault::io_error, .only = FileOperation::remove});
  CHECK_FALSE(one.files.remove(one.directory(1) + "/a"));
  CHECK(one.told.empty());
  one.disk->inject({.fault = Fault::reported_failed, .only = FileOperation::remove});
  CHECK_FALSE(one.files.remove(one.directory(1) + "/a"));
  CHECK(one.told.size() == 1);
}

TEST_CASE("what a snapshot refers to is known while it is there", "[simulation]") {
  const std::string savepoint = "/savepoints/savepoint-abc";
  Watched one;
  one.complete(one.directory(1), 1, {"a"}, {"s"});
  one.complete(savepoint, 2, {"d"});
  const auto& there = one.watch.there();
  REQUIRE(there.size() == 2);
  CHECK(there.at(one.directory(1) + "/_metadata").files ==
        std::set<std::string>{one.directory(1) + "/a", root + "/" + to_string(job) + "/shared/s"});
  REQUIRE(one.storage.remove(savepoint + "/_metadata"));
  CHECK(there.size() == 1);
  CHECK(one.watch.completed().size() == 2);
}

}  // namespace
}  // namespace weir::test
