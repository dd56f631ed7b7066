#include "runtime/output_directory.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "simulation/simulated_file_system.hpp"
#include "storage/posix_file_system.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

PlanDescription writing_to(const std::vector<std::string>& directories) {
  PlanDescription plan;
  for (const std::string& directory : directories)
    plan.operators.emplace_back().output_directory = directory;
  return plan;
}

bool is_there(FileSystem& files, const std::string& path) { return files.stat(path).has_value(); }

Status write(FileSystem& files, const std::string& path) {
  WEIR_TRY_ASSIGN(file, files.create(path));
  return file->close();
}

/// A file system without locks, as some that lie on other machines are: the lock's file is made in vain.
class FilesWithoutLocks final : public MemoryFileSystem {
 public:
  Status sync_directory(const std::string&) override { return {}; }
  Status make_directory(const std::string& path) override {
    empty_directories.push_back(path);
    return {};
  }
  Status remove(const std::string& path) override {
    files.erase(path);
    std::erase(empty_directories, path);
    return {};
  }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string& directory) override {
    files[directory + "/.lock"] = "";
    return error(Errc::unsupported, directory + "/.lock: cannot lock: No locks available");
  }
};

SCENARIO("an output directory belongs to one job while that runs", "[runtime]") {
  const auto disk = std::make_shared<SimulatedDisk>();
  auto first = std::make_unique<SimulatedFileSystem>(disk, "first");
  SimulatedFileSystem second(disk, "second");
  GIVEN("a job with three sinks in two directories, and an operator that writes nowhere") {
    auto held = OutputDirectoryLocks::take(*first, writing_to({"/b/out", "", "/c", "/b/out"}));
    REQUIRE(held);
    THEN("another job of its process or of another is refused, and locks none of its own") {
      for (FileSystem* files :
           {static_cast<FileSystem*>(first.get()), static_cast<FileSystem*>(&second)}) {
        const auto refused = OutputDirectoryLocks::take(*files, writing_to({"/a", "/b/out"}));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Errc::unavailable);
        CHECK(refused.error().what ==
              "output directory /b/out is in use by another job that runs: give another directory, "
              "or stop that job first (`weir list` shows what runs)");
        CHECK_FALSE(is_there(second, "/a"));
      }
    }
    WHEN("it has ended") {
      held->release(*first);
      THEN("no lock is left, and another may come") {
        CHECK(is_there(second, "/b/out"));
        CHECK_FALSE(is_there(second, "/b/out/.lock"));
        CHECK_FALSE(is_there(second, "/c/.lock"));
        CHECK(OutputDirectoryLocks::take(second, writing_to({"/b/out", "/c"})));
      }
    }
    WHEN("it has come to nothing") {
      REQUIRE(write(*first, "/c/file"));
      held->undo(*first);
      THEN("what was made for it is gone if it is empty") {
        CHECK_FALSE(is_there(second, "/b"));
        CHECK_FALSE(is_there(second, "/c/.lock"));
        CHECK(is_there(second, "/c/file"));
      }
    }
    WHEN("its process is killed") {
      first.reset();
      THEN("another may come at once") {
        CHECK(OutputDirectoryLocks::take(second, writing_to({"/b/out", "/c"})));
      }
    }
  }
  GIVEN("a directory that cannot be made") {
    disk->put("/file", "content");
    const auto refused = OutputDirectoryLocks::take(second, writing_to({"/a", "/file/out"}));
    THEN("that is told, and nothing is locked") {
      REQUIRE_FALSE(refused);
      CHECK(
          refused.error().what.starts_with("output directory /file/out cannot be written; give "
                                           "another or change its permissions: "));
      CHECK_FALSE(is_there(second, "/a"));
    }
  }
  GIVEN("a directory that is made and cannot be locked") {
    disk->inject({.fault = Fault::io_error, .only = FileOperation::lock});
    const auto refused = OutputDirectoryLocks::take(second, writing_to({"/a/out"}));
    THEN("it is gone again") {
      REQUIRE_FALSE(refused);
      CHECK(refused.error().what.starts_with("output directory /a/out cannot be written; "));
      CHECK_FALSE(is_there(second, "/a"));
    }
  }
  GIVEN("a file system without locks") {
    FilesWithoutLocks files;
    files.empty_directories = {"/kept"};
    const auto refused = OutputDirectoryLocks::take(files, writing_to({"/a/out"}));
    THEN("that is told, and nothing is left") {
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::unsupported);
      CHECK(
          refused.error().what ==
          "output directory /a/out cannot be locked against other jobs: give one on a file system "
          "that has locks (/a/out/.lock: cannot lock: No locks available)");
      CHECK(files.files.empty());
      CHECK(files.empty_directories == std::vector<std::string>{"/kept"});
    }
  }
}

SCENARIO("sinks of one job share a directory whatever they call it", "[runtime]") {
  GIVEN("a directory that has two paths") {
    const test::TemporaryDirectory directory;
    const std::string out = directory.path() + "/out";
    const std::string link = directory.path() + "/link";
    PosixFileSystem files;
    REQUIRE(files.make_directory(out));
    REQUIRE(::symlink(out.c_str(), link.c_str()) == 0);
    WHEN("one sink of a job writes to each") {
      auto held = OutputDirectoryLocks::take(files, writing_to({out, link, out + "/below"}));
      THEN("it is locked once, and other jobs are refused under both") {
        REQUIRE(held);
        for (const std::string& path : {out, link})
          CHECK(OutputDirectoryLocks::take(files, writing_to({path})).error().code ==
                Errc::unavailable);
        held->release(files);
        CHECK_FALSE(is_there(files, out + "/.lock"));
        CHECK(OutputDirectoryLocks::take(files, writing_to({link})));
      }
    }
  }
}

TEST_CASE("a job that begins anew adds to no committed output", "[runtime]") {
  const auto status = [](const std::vector<DirectoryEntry>& entries) {
    return refuse_committed_output("/out", entries);
  };
  CHECK(status({}));
  CHECK(status({{"below", true}, {".lock", false}, {".weir-a.pending", false}}));
  const auto refused = status({{".lock", false}, {"a-1", false}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::already_exists);
  CHECK(refused.error().what ==
        "output directory /out already holds files, such as a-1: give an empty one");
}

}  // namespace
}  // namespace weir
