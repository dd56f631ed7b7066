#include "simulation/orphan_watch.hpp"

#include <catch2/catch.hpp>

#include "test/simulation/watched_disk.hpp"

namespace weir::test {
namespace {

const JobId job = WatchedDisk::job;
const std::string checkpoints = WatchedDisk::checkpoints;
const std::string savepoints = "/savepoints";
const std::string of_job = job_directory(checkpoints, job);

/// A disk that is watched, and a process that uses it.
struct Watched : WatchedDisk {
  Watched() {
    disk->observe([this](const FileEvent& event) {
      broken = broken || snapshots.see(event);
      orphans.see(event);
    });
  }
  /// The orphans when the job has ended and keeps so many checkpoints.
  std::vector<std::string> found(std::size_t kept = 10) {
    std::vector<std::string> paths;
    for (const auto& [path, content] : disk->contents()) paths.push_back(path);
    return orphans.orphans(paths, {job, kept},
                           [&](const std::string& process) { return running.contains(process); });
  }

  SnapshotWatch snapshots{[this](const std::string& path) { return disk->content(path); }};
  OrphanWatch orphans{snapshots, checkpoints, savepoints};
  std::set<std::string> running{"JobManager-1"};
  bool broken = false;
};

TEST_CASE("files that no snapshot needs are orphans, files that serve the job are none",
          "[simulation]") {
  Watched one;
  one.orphans.see_healed();
  one.complete(one.directory(1), 1, {"a"}, {"data-e1-c1-v0-s0-a0-0123"});
  one.complete(savepoints + "/savepoint-abc", 2, {"d"});
  for (const char* name : {"/.lock", "/finished", "/number-1-2", "/savepoint-2"})
    one.write(of_job + name);
  one.write("/elsewhere/x");
  CHECK(one.found().empty());
  const std::vector<std::string> left{
      of_job + "/chk-1/.b.tmp", of_job + "/chk-1/b", of_job + "/chk-3/a",
      of_job + "/shared/data-e1-c3-v0-s0-a0-4567", savepoints + "/savepoint-abd/e"};
  for (const std::string& path : left) one.write(path);
  CHECK(one.found() == left);
  // Once a snapshot is deleted, so must be what it named.
  REQUIRE(one.storage.remove(savepoints + "/savepoint-abc/_metadata"));
  CHECK(one.found().size() == left.size() + 1);
}

TEST_CASE("a finished job keeps as many checkpoints as its user wants", "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {});
  one.orphans.see_healed();
  one.complete(one.directory(2), 2, {"a"});
  one.complete(one.directory(3), 3, {});
  one.complete(savepoints + "/savepoint-abc", 4, {});
  CHECK(one.found(2).empty());
  CHECK(one.found(1) ==
        std::vector<std::string>{one.directory(2) + "/_metadata", one.directory(2) + "/a"});
  // An older one may be left because something had failed.
  CHECK(one.found(0).size() == 3);
}

TEST_CASE("what a process has left that has ended is no orphan before the job starts again",
          "[simulation]") {
  Watched one;
  SimulatedFileSystem other(one.disk, "TaskManager-1");
  one.running.insert("TaskManager-1");
  one.orphans.see_healed();
  one.write(other, one.directory(2) + "/data-e1-c2-v0-s0-a0-0123");
  CHECK(one.found().size() == 1);
  one.running.erase("TaskManager-1");
  CHECK(one.found().empty());
  // Savepoints are not looked through at a start, but their JobManager could have removed it.
  one.write(savepoints + "/savepoint-abc/a");
  CHECK(one.found().size() == 1);
  one.running.clear();
  CHECK(one.found().empty());
}

TEST_CASE("what could not be removed is no orphan, what is left for no reason is one",
          "[simulation]") {
  Watched one;
  one.orphans.see_healed();
  const std::string path = one.directory(2) + "/a";
  one.write(path);
  one.write(one.directory(3) + "/a");
  CHECK(one.files.remove(one.directory(3) + "/b").error().code == Errc::not_found);
  CHECK(one.found().size() == 2);
  one.disk->inject({.fault = Fault::io_error, .only = FileOperation::remove});
  CHECK_FALSE(one.files.remove(path));
  CHECK(one.found() == std::vector<std::string>{one.directory(3) + "/a"});
}

TEST_CASE("in the shared directory counts what began when nothing failed any more",
          "[simulation]") {
  const auto shared = [](int number) {
    return of_job + "/shared/data-e1-c" + std::to_string(number) + "-v0-s0-a0-0123";
  };
  Watched one;
  one.write(shared(5));
  CHECK(one.found().empty());
  one.orphans.see_healed();
  one.write(shared(4));  // late, by a process that was given up
  CHECK(one.found().empty());
  one.write(shared(6));
  CHECK(one.found() == std::vector<std::string>{shared(6)});

  // Who has failed to delete a checkpoint leaves what that may name.
  SimulatedFileSystem other(one.disk, "JobManager-2");
  one.write(other, one.directory(7) + "/a");
  one.disk->inject({.fault = Fault::io_error, .only = FileOperation::sync_directory});
  CHECK_FALSE(other.sync_directory(one.directory(7)));
  CHECK(one.found() == std::vector<std::string>{shared(6)});
  one.running.insert("JobManager-2");
  CHECK(one.found().empty());
}

TEST_CASE("what the next start of a job removes does not last, what it cannot see does",
          "[simulation]") {
  Watched one;
  one.complete(one.directory(1), 1, {"a"}, {"data-e1-c1-v0-s0-a0-0123"});
  for (const std::string& path :
       {of_job + "/chk-2/a", of_job + "/chk-1/b", of_job + "/shared/data-e1-c2-v0-s0-a0-4567",
        of_job + "/.number-1-2.tmp", of_job + "/number-1-2"})
    one.write(path);
  const auto copy = [&] { return std::make_shared<SimulatedDisk>(one.disk->image()); };
  auto left = one.orphans.left_by_cleaner(copy());
  REQUIRE(left);
  CHECK(left->empty());
  const std::vector<std::string> hidden{of_job + "/chk-1/deep/x", of_job + "/other/y"};
  for (const std::string& path : hidden) one.write(path);
  left = one.orphans.left_by_cleaner(copy());
  REQUIRE(left);
  CHECK(*left == hidden);
  // The disk itself was left alone.
  CHECK(one.disk->content(of_job + "/chk-2/a"));
}

}  // namespace
}  // namespace weir::test
