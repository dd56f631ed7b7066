#include "runtime/output_directory.hpp"

#include <catch2/catch.hpp>

#include "simulation/simulated_file_system.hpp"

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
