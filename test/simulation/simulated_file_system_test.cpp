#include "simulation/simulated_file_system.hpp"

#include <set>

#include <catch2/catch.hpp>

#include "test/state/memory_storage.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using Contents = std::map<std::string, std::string>;

/// Creates `path` with `content`, without a sync.
std::unique_ptr<OutputFile> write(FileSystem& files, const std::string& path,
                                  std::string_view content) {
  auto file = files.create(path);
  REQUIRE(file);
  REQUIRE((*file)->append(content));
  return std::move(*file);
}

/// What is left of `disk` in each of `count` crashes.
std::set<Contents> crashes(const SimulatedDisk& disk, int count) {
  CountedRandom random(7);
  std::set<Contents> result;
  const DiskImage image = disk.image();
  for (int i = 0; i < count; ++i) result.insert(image.after_crash(random).contents());
  return result;
}

SCENARIO("a crash may take what was not synced, and nothing else", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files(disk);
  REQUIRE(files.create_directories("/d"));
  GIVEN("a file whose content and name are synced") {
    const auto file = write(files, "/d/a", "synced");
    REQUIRE(file->sync());
    REQUIRE(files.sync_directory("/d"));
    THEN("it is always there, and there is one state to come up in") {
      CHECK(disk->image().is_certain());
      CHECK(crashes(*disk, 100) == std::set<Contents>{{{"/d/a", "synced"}}});
    }
    WHEN("more is appended") {
      REQUIRE(file->append("+new"));
      THEN("what was synced stays; the rest is lost, cut, torn or there") {
        const auto left = crashes(*disk, 300);
        for (const auto& contents : left) CHECK(contents.at("/d/a").starts_with("synced"));
        for (const std::string content : {"synced", "synced+", "synced+new"})
          CHECK(left.contains({{"/d/a", content}}));
        CHECK(left.contains({{"/d/a", std::string("synced\0\0\0\0", 10)}}));
      }
    }
    WHEN("it is renamed") {
      REQUIRE(files.rename_no_replace("/d/a", "/d/b"));
      THEN("it has the old name or the new one") {
        CHECK(crashes(*disk, 50) == std::set<Contents>{{{"/d/a", "synced"}}, {{"/d/b", "synced"}}});
      }
    }
    WHEN("it is removed") {
      REQUIRE(files.remove("/d/a"));
      THEN("it may come back") {
        CHECK(crashes(*disk, 50) == std::set<Contents>{{}, {{"/d/a", "synced"}}});
        REQUIRE(files.sync_directory("/d"));
        CHECK(crashes(*disk, 50) == std::set<Contents>{{}});
      }
    }
  }
  GIVEN("a name that is synced, of a file that is not") {
    const auto file = write(files, "/d/a", "content");
    REQUIRE(files.sync_directory("/d"));
    THEN("the file may be empty") { CHECK(crashes(*disk, 50).contains({{"/d/a", ""}})); }
  }
  GIVEN("a synced file whose name is not") {
    REQUIRE(write(files, "/d/a", "content")->sync());
    THEN("it may be gone, and is when everything unsynced is lost") {
      CHECK(crashes(*disk, 50) == std::set<Contents>{{}, {{"/d/a", "content"}}});
      disk->lose_unsynced();
      CHECK(disk->contents().empty());
    }
  }
  GIVEN("two changes of names") {
    disk->put("/d/a", "a");
    REQUIRE(files.rename_no_replace("/d/a", "/d/b"));
    disk->put("/e/x", "x");
    REQUIRE(files.remove("/e/x"));
    THEN("any of them may be lost") { CHECK(crashes(*disk, 200).size() == 4); }
  }
  GIVEN("a file of several sectors") {
    const auto file = write(files, "/d/a", std::string(5 * 512, 'x'));
    REQUIRE(files.sync_directory("/d"));
    THEN("a later sector may be there and an earlier one not") {
      bool reordered = false;
      for (const auto& contents : crashes(*disk, 200)) {
        const std::string& content = contents.at("/d/a");
        reordered = reordered || content.find(std::string(1, '\0') + "x") != std::string::npos;
      }
      CHECK(reordered);
    }
  }
  GIVEN("a directory whose name is not synced") {
    REQUIRE(files.make_directory("/d/e"));
    REQUIRE(write(files, "/d/e/a", "a")->sync());
    REQUIRE(files.sync_directory("/d/e"));
    THEN("it may be gone with everything in it") {
      CHECK(crashes(*disk, 50) == std::set<Contents>{{}, {{"/d/e/a", "a"}}});
    }
  }
}

TEST_CASE("the same seed crashes in the same way", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files(disk);
  disk->put_directory("/d");
  for (char name = 'a'; name < 'k'; ++name)
    (void)write(files, std::string("/d/") + name, std::string(2000, name));
  std::set<std::uint64_t> states;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CountedRandom one(seed);
    CountedRandom other(seed);
    const DiskImage left = disk->image().after_crash(one);
    CHECK(left.contents() == disk->image().after_crash(other).contents());
    states.insert(left.fingerprint());
  }
  CHECK(states.size() > 20);
}

SCENARIO("a failed sync is never made good", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files(disk);
  REQUIRE(files.create_directories("/d"));
  const auto file = write(files, "/d/a", "content");
  REQUIRE(files.sync_directory("/d"));
  disk->inject({Fault::io_error, 1, 1, FileOperation::sync});
  CHECK(file->sync().error().code == Errc::io_error);
  std::vector<FileEvent> events;
  disk->observe([&](const FileEvent& event) { events.push_back(event); });
  REQUIRE(file->sync());
  CHECK(events.back().distrusted);
  disk->lose_unsynced();
  CHECK(disk->contents() == Contents{{"/d/a", ""}});
}

SCENARIO("an operation fails in every way that it can", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files(disk);
  disk->put("/d/a", "a");
  GIVEN("the second operation fails") {
    disk->inject({Fault::io_error, 2});
    THEN("the first does not, and neither does the third") {
      CHECK(files.stat("/d/a"));
      CHECK(files.rename_no_replace("/d/a", "/d/b").error() ==
            Error{Errc::io_error, "/d/b: cannot rename: Input/output error"});
      CHECK(disk->contents().contains("/d/a"));
      CHECK(files.rename_no_replace("/d/a", "/d/b"));
      CHECK(disk->faults_met() == 1);
    }
  }
  GIVEN("all operations of a kind fail from the second on") {
    disk->inject({Fault::interrupted, 2, InjectedFault::always, FileOperation::stat});
    THEN("others do not") {
      CHECK(files.stat("/d/a"));
      CHECK(files.list("/d"));
      CHECK_FALSE(files.stat("/d/a"));
      CHECK_FALSE(files.stat("/d/a"));
      CHECK(disk->faults_met() == 2);
      disk->heal();
      CHECK(files.stat("/d/a"));
    }
  }
  GIVEN("a write is short") {
    disk->inject({Fault::short_write, 1});
    auto file = files.create("/d/b");
    REQUIRE(file);
    THEN("half of it is there") {
      CHECK_FALSE((*file)->append("12345678"));
      CHECK(disk->contents().at("/d/b") == "1234");
    }
  }
  GIVEN("an operation is reported as failed and has happened") {
    disk->inject({Fault::reported_failed, 1});
    THEN("what it has opened is not") {
      CHECK_FALSE(files.create("/d/b"));
      CHECK(disk->contents().contains("/d/b"));
      CHECK(disk->open_files().empty());
    }
  }
  GIVEN("a rename stops in between") {
    disk->inject({Fault::half_renamed, 1});
    THEN("both names are there") {
      CHECK_FALSE(files.rename_no_replace("/d/a", "/d/b"));
      CHECK(disk->contents() == Contents{{"/d/a", "a"}, {"/d/b", "a"}});
    }
  }
  GIVEN("a path that may not be touched") {
    disk->refuse("/d");
    THEN("nothing can be done with it or made in it") {
      CHECK(files.list("/d").error() ==
            Error{Errc::io_error, "/d: cannot list: Permission denied"});
      CHECK_FALSE(files.create("/d/b"));
      CHECK_FALSE(files.make_directory("/d/c"));
      CHECK_FALSE(files.remove("/d/a"));
    }
  }
  GIVEN("a full disk") {
    auto file = files.create("/d/b");
    REQUIRE(file);
    disk->limit_bytes(4);
    THEN("what fits is written, and nothing more until there is room") {
      CHECK_FALSE((*file)->append("12345"));
      CHECK(disk->contents().at("/d/b") == "123");
      CHECK_FALSE(files.create("/d/c"));
      REQUIRE(files.remove("/d/a"));
      CHECK((*file)->append("4"));
      CHECK_FALSE((*file)->append("5"));
      disk->limit_bytes(std::nullopt);
      CHECK((*file)->append("5"));
    }
  }
}

SCENARIO("processes of one host share its disk", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  disk->put_directory("/d");
  auto first = std::make_unique<SimulatedFileSystem>(disk, "first");
  SimulatedFileSystem second(disk, "second");
  const auto file = write(*first, "/d/a", "a");
  auto lock = first->lock_directory("/d");
  REQUIRE(lock);
  CHECK(second.lock_directory("/d").error().code == Errc::unavailable);
  CHECK(first->lock_directory("/d").error().code == Errc::unavailable);
  CHECK(read_file(second, "/d/a", 10) == "a");
  CHECK(disk->open_files() == std::vector<std::string>{"/d/a"});
  WHEN("the holder lets go of the lock") {
    lock->reset();
    THEN("the other has it") { CHECK(second.lock_directory("/d")); }
  }
  WHEN("the lock's file is removed by its holder") {
    REQUIRE(first->remove("/d/.lock"));
    THEN("a new one is a lock of its own") { CHECK(second.lock_directory("/d")); }
  }
  WHEN("the first is killed") {
    first.reset();
    THEN("its locks and files are gone, and what it held does nothing") {
      CHECK(disk->open_files().empty());
      const auto taken = second.lock_directory("/d");
      CHECK(taken);
      lock->reset();
      CHECK(second.lock_directory("/d").error().code == Errc::unavailable);
      CHECK_FALSE(file->append("b"));
      CHECK(disk->contents().at("/d/a") == "a");
    }
  }
  WHEN("the host crashes") {
    disk->lose_unsynced();
    THEN("both have ended") {
      CHECK_FALSE(first->stat("/d"));
      CHECK_FALSE(second.stat("/d"));
      CHECK(SimulatedFileSystem(disk).stat("/d"));
    }
  }
}

TEST_CASE("a removed file can be read while it is open", "[simulation]") {
  SimulatedFileSystem files;
  files.disk().put("/d/a", "content");
  const auto file = files.open("/d/a");
  REQUIRE(file);
  REQUIRE(files.remove("/d/a"));
  REQUIRE(files.sync_directory("/d"));
  char bytes[10];
  CHECK((*file)->read_at(3, bytes, 10) == 4U);
  CHECK(std::string(bytes, 4) == "tent");
  CHECK((*file)->read_at(7, bytes, 10) == 0U);
}

SCENARIO("directories are made durable, whoever began", "[simulation]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  SimulatedFileSystem files(disk);
  GIVEN("no directory") {
    THEN("all of them survive a crash") {
      REQUIRE(files.create_directories("/a/b/c/"));
      disk->lose_unsynced();
      CHECK(SimulatedFileSystem(disk).stat("/a/b/c"));
    }
  }
  GIVEN("one whose maker was killed before it was durable") {
    disk->put_directory("/a");
    REQUIRE(SimulatedFileSystem(disk).make_directory("/a/b"));
    THEN("it survives a crash once somebody has asked for it") {
      REQUIRE(files.create_directories("/a/b"));
      disk->lose_unsynced();
      CHECK(SimulatedFileSystem(disk).stat("/a/b"));
    }
    THEN("or for one below it") {
      REQUIRE(files.create_directories("/a/b/c/d"));
      disk->lose_unsynced();
      CHECK(SimulatedFileSystem(disk).stat("/a/b/c/d"));
    }
    THEN("and if that fails, so does the call") {
      disk->inject({Fault::io_error, 1, InjectedFault::always, FileOperation::sync_directory});
      CHECK_FALSE(files.create_directories("/a/b"));
    }
  }
  GIVEN("one below a directory that we may not read") {
    disk->put_directory("/a/b");
    disk->refuse("/a");
    THEN("it is somebody else's, and that is all right") {
      CHECK(files.create_directories("/a/b/c"));
    }
  }
  GIVEN("paths that cannot be directories") {
    disk->put("/a/file", "");
    THEN("the sentence says why") {
      CHECK(files.create_directories("/a/file/b").error().what ==
            "/a/file/b: cannot create the directory: a file is in the way");
      CHECK(files.create_directories("relative").error().code == Errc::invalid_argument);
      CHECK(files.create_directories("").error().code == Errc::invalid_argument);
      CHECK(files.create_directories("/"));
    }
  }
}

}  // namespace
}  // namespace weir
