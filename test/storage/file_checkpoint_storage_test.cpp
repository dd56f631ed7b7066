#include "storage/file_checkpoint_storage.hpp"

#include <catch2/catch.hpp>

#include "simulation/simulated_file_system.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/posix_file_system.hpp"
#include "test/state/snapshot_samples.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using test::TemporaryDirectory;

/// A simulated disk, with what was done to it written down.
struct RecordedDisk {
  RecordedDisk() {
    disk.put_directory("/d");
    disk.observe([this](const FileEvent& event) {
      const std::string path = event.to.empty() ? event.path : event.to;
      const std::string name = path.substr(path.rfind('/') + 1);
      operations.push_back(std::string(to_string(event.operation)) + " " +
                           (name.starts_with(".") ? name.substr(0, name.rfind('.')) : name));
    });
  }

  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  CountedRandom random;
  FileCheckpointStorage storage{files, random};
  std::vector<std::string> operations;  ///< such as "sync .a", with the last part of the path
};

std::size_t entry_count(CheckpointStorage& storage, const std::string& directory) {
  const auto entries = storage.list(directory);
  REQUIRE(entries);
  return entries->size();
}

SCENARIO("a share of a snapshot that is given up leaves no directory", "[storage]") {
  TemporaryDirectory place;
  PosixFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  const std::string directory = place.path() + "/chk-1";
  const auto make_writer = [&](const std::string& name) {
    return TaskSnapshotWriter(&storage, directory, name, SnapshotPlacement{}, random);
  };
  GIVEN("two subtasks that write, and a coordinator that comes before both have stopped") {
    TaskSnapshotWriter first = make_writer("data-1");
    TaskSnapshotWriter second = make_writer("data-2");
    REQUIRE(first.append("x"));
    REQUIRE(second.append("y"));
    CHECK_FALSE(storage.remove(directory));
    WHEN("both are given up after that") {
      first.discard();
      CHECK(entry_count(storage, directory) == 1);
      second.discard();
      THEN("nothing is there") { CHECK_FALSE(files.stat(directory)); }
    }
  }
  GIVEN("a subtask that begins when the directory has been removed") {
    REQUIRE(storage.create_directories(directory));
    REQUIRE(storage.remove(directory));
    TaskSnapshotWriter late = make_writer("data-3");
    REQUIRE(late.append("z"));
    CHECK(files.stat(directory));
    late.discard();
    CHECK_FALSE(files.stat(directory));
  }
}

SCENARIO("a file appears whole or not at all", "[storage]") {
  RecordedDisk recorded;
  FileCheckpointStorage& storage = recorded.storage;
  const std::string path = "/d/a";
  auto output = storage.create(path);
  REQUIRE(output);
  REQUIRE((*output)->append("whole"));

  WHEN("it is being written") {
    THEN("only a temporary name, which begins with a dot, is there") {
      CHECK(storage.open(path).error().code == Errc::not_found);
      const auto entries = storage.list("/d");
      REQUIRE(entries);
      REQUIRE(entries->size() == 1);
      CHECK_THAT(entries->front().name, Catch::StartsWith(".a."));
    }
  }
  WHEN("it is published") {
    REQUIRE((*output)->publish());
    THEN("it is there alone, synced before its name and its name after that") {
      CHECK(recorded.operations == std::vector<std::string>{"create .a", "append .a", "sync .a",
                                                            "close .a", "rename a",
                                                            "sync_directory d"});
      CHECK(recorded.disk.image().is_certain());
      CHECK(read_stored_file(storage, path, 100) == "whole");
      CHECK(entry_count(storage, "/d") == 1);
    }
    THEN("neither append nor publish works again") {
      CHECK_FALSE((*output)->append("more"));
      CHECK_FALSE((*output)->publish());
      CHECK(read_stored_file(storage, path, 100) == "whole");
    }
    THEN("discard removes it") {
      (*output)->discard();
      (*output)->discard();
      CHECK(entry_count(storage, "/d") == 0);
    }
    THEN("another file of that name is refused, and discarding that one does not touch the first") {
      auto second = storage.create(path);
      REQUIRE(second);
      REQUIRE((*second)->append("other"));
      CHECK((*second)->publish().error().code == Errc::already_exists);
      (*second)->discard();
      CHECK(read_stored_file(storage, path, 100) == "whole");
      CHECK(entry_count(storage, "/d") == 1);
    }
  }
  WHEN("it is discarded") {
    (*output)->discard();
    THEN("nothing is left") { CHECK(entry_count(storage, "/d") == 0); }
  }
  WHEN("its owner goes away") {
    output->reset();
    THEN("nothing is deleted and nothing has appeared") {
      CHECK(entry_count(storage, "/d") == 1);
      CHECK_FALSE(storage.open(path));
    }
  }
}

SCENARIO("whichever operation fails, a failed file is not there", "[storage]") {
  for (std::size_t failing = 1; failing <= 6; ++failing) {
    for (const std::size_t times : {std::size_t{1}, InjectedFault::always}) {
      RecordedDisk recorded;
      recorded.disk.inject({Fault::io_error, failing, times});
      const Status status = publish_file(recorded.storage, "/d/a", "whole");
      recorded.disk.heal();
      CAPTURE(failing, times);
      REQUIRE_FALSE(status);
      CHECK_THAT(status.error().what, Catch::StartsWith("/d"));
      CHECK_THAT(status.error().what, Catch::Contains("Input/output error"));
      // A sync is tried once: the system may have forgotten by then what it could not write.
      CHECK(std::ranges::count(recorded.operations, "sync .a") <= 1);
      if (failing > 1 && times > 1) {
        CHECK(status.error().code == Errc::unavailable);  // it cannot even be looked for
      } else {
        CHECK(status.error().code == Errc::io_error);
        CHECK(recorded.storage.open("/d/a").error().code == Errc::not_found);
        CHECK(entry_count(recorded.storage, "/d") == 0);
      }
    }
  }
}

TEST_CASE("a file that failed once cannot be published", "[storage]") {
  RecordedDisk recorded;
  auto output = recorded.storage.create("/d/a");
  REQUIRE(output);
  recorded.disk.inject({});
  CHECK_FALSE((*output)->append("lost"));
  CHECK_FALSE((*output)->append("more"));
  CHECK_FALSE((*output)->publish());
  CHECK_FALSE(recorded.storage.open("/d/a"));
}

TEST_CASE("removing is durable, and success when there is nothing", "[storage]") {
  RecordedDisk recorded;
  REQUIRE(publish_file(recorded.storage, "/d/a", "x"));
  recorded.operations.clear();
  REQUIRE(recorded.storage.remove("/d/a"));
  CHECK(recorded.operations == std::vector<std::string>{"remove a", "sync_directory d"});
  CHECK(recorded.storage.remove("/d/a"));
  CHECK(recorded.storage.remove("/d/b/c"));
}

TEST_CASE("what was removed when its directory could not be synced does not come back later",
          "[storage]") {
  RecordedDisk recorded;
  REQUIRE(publish_file(recorded.storage, "/d/a", "x"));
  recorded.disk.inject({Fault::io_error, 1, 1, FileOperation::sync_directory});
  CHECK_FALSE(recorded.storage.remove("/d/a"));
  REQUIRE(recorded.storage.remove("/d/a"));  // it is not there any more, but only now for good
  recorded.disk.lose_unsynced();
  CHECK(recorded.disk.contents().empty());
}

TEST_CASE("what another process has left in a directory is made durable when asked for",
          "[storage]") {
  RecordedDisk recorded;
  const auto left = recorded.files.create("/d/a");
  REQUIRE(left);
  REQUIRE(recorded.storage.make_durable("/d"));
  CHECK(recorded.storage.make_durable("/e").error().code == Errc::not_found);
  recorded.disk.lose_unsynced();
  CHECK(recorded.disk.contents().contains("/d/a"));
}

SCENARIO("a checkpoint lives in real directories", "[storage]") {
  TemporaryDirectory directory;
  PosixFileSystem files;
  CountedRandom random;
  FileCheckpointStorage storage(files, random);
  const std::string root = directory.path() + "/ckpt";
  const std::string chk = checkpoint_directory(root, test::sample_job, {7});
  const auto metadata = test::write_sample(storage, chk, random);
  const auto lock = storage.lock(job_directory(root, test::sample_job));
  REQUIRE(lock);
  CHECK(verify_snapshot(storage, chk) == metadata);

  WHEN("it is moved as a directory") {
    boost::filesystem::rename(chk, directory.path() + "/moved");
    THEN("it verifies there") {
      CHECK(verify_snapshot(storage, directory.path() + "/moved") == metadata);
    }
  }
  WHEN("a symbolic link to a directory of somebody else looks like a checkpoint") {
    const std::string precious = directory.path() + "/precious";
    REQUIRE(storage.create_directories(precious));
    REQUIRE(publish_file(storage, precious + "/data", "x"));
    boost::filesystem::create_directory_symlink(precious,
                                                checkpoint_directory(root, test::sample_job, {8}));
    THEN("the orphan scan does not follow it") {
      const auto removed = delete_orphans(storage, root, test::sample_job);
      REQUIRE(removed);
      CHECK(removed->empty());
      CHECK(read_stored_file(storage, precious + "/data", 10) == "x");
      CHECK(scan_checkpoints(storage, root)->size() == 1);
    }
  }
  WHEN("it is deleted and the job is done") {
    REQUIRE(delete_snapshot(storage, chk));
    REQUIRE(remove_job_directory_if_empty(storage, root, test::sample_job));
    THEN("nothing is left") { CHECK(entry_count(storage, root) == 0); }
  }
  WHEN("two processes complete the same checkpoint") {
    THEN("the second is refused and the first stays") {
      auto other = metadata;
      other.attempt = 1;
      const Status refused = write_metadata(storage, chk, other, random);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::already_exists);
      CHECK(read_metadata(storage, chk) == metadata);
    }
  }
}

}  // namespace
}  // namespace weir
