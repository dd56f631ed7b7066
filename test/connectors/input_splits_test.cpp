#include "connectors/input_splits.hpp"

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"

namespace weir {
namespace {

using Paths = std::vector<std::string>;

TEST_CASE("a file is cut into splits that cover it", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in/a"] = "0123456789";
  CHECK(input_splits(files, {"/in/a"}, 4) ==
        std::vector<FileSplit>{{"/in/a", 0, 4, 0}, {"/in/a", 4, 8, 4}, {"/in/a", 8, 10, 8}});
  CHECK(input_splits(files, {"/in/a"}, 5) ==
        std::vector<FileSplit>{{"/in/a", 0, 5, 0}, {"/in/a", 5, 10, 5}});
  CHECK(input_splits(files, {"/in/a"}) == std::vector<FileSplit>{{"/in/a", 0, 10, 0}});
  CHECK(input_splits(files, {"/in/a"}, UINT64_MAX) == std::vector<FileSplit>{{"/in/a", 0, 10, 0}});
  files.files["/in/a"].clear();
  CHECK(input_splits(files, {"/in/a"}) == std::vector<FileSplit>{});
}

SCENARIO("a directory stands for the files below it, in order", "[connectors]") {
  GIVEN("directories, hidden files and an empty directory") {
    MemoryFileSystem files;
    for (const char* path : {"/in/b", "/in/a/2", "/in/a/1", "/in/.part", "/in/.git/x", "/in/c/d/e",
                             "/other", "/in/b.txt"})
      files.files[path] = "line\n";
    files.empty_directories = {"/in/empty"};
    THEN("hidden ones are left out, unless named") {
      const Paths all = {"/in/a/1", "/in/a/2", "/in/b", "/in/b.txt", "/in/c/d/e"};
      CHECK(input_files(files, {"/in"}) == all);
      CHECK(input_files(files, {"/in/"}) == all);
      CHECK(input_files(files, {"/in/.part"}) == Paths{"/in/.part"});
      CHECK(input_files(files, {"/in/.git"}) == Paths{"/in/.git/x"});
    }
    THEN("paths keep their order, and count twice when given twice") {
      CHECK(input_files(files, {"/other", "/in/a", "/other"}) ==
            Paths{"/other", "/in/a/1", "/in/a/2", "/other"});
    }
    THEN("the root directory is one like others") {
      const auto all = input_files(files, {"/"});
      REQUIRE(all);
      CHECK(all->front() == "/in/a/1");
      CHECK(all->back() == "/other");
    }
  }
}

TEST_CASE("bad input is refused by one sentence that names it", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in/a"] = "line\n";
  files.files["/hidden/.a"] = "line\n";
  files.empty_directories = {"/empty"};
  const auto failure = [&](const std::string& path) {
    const auto result = input_splits(files, {"/in/a", path});
    REQUIRE_FALSE(result);
    return result.error();
  };
  CHECK(failure("/none") ==
        Error{Errc::not_found, "input /none does not exist: give a file or a directory"});
  CHECK(failure("/empty") ==
        Error{Errc::not_found, "input directory /empty has no files (hidden ones do not count)"});
  CHECK(failure("/hidden").code == Errc::not_found);
  files.unreadable = {"/in/a"};
  CHECK(failure("/in") ==
        Error{Errc::io_error,
              "input cannot be read: /in/a: permission denied; make it readable, or "
              "give another file or directory"});
  files.unreadable = {"/in"};
  CHECK(failure("/in").code == Errc::io_error);
}

TEST_CASE("a loop of symbolic links is found", "[connectors]") {
  MemoryFileSystem files;
  std::string path = "/in";
  for (std::size_t depth = 0; depth < max_directory_depth - 1; ++depth) path += "/in";
  files.files[path + "/a"] = "line\n";
  CHECK(input_files(files, {"/in"}));
  files.files[path + "/in/a"] = "line\n";
  CHECK(input_files(files, {"/in"}).error().code == Errc::limit_exceeded);
}

TEST_CASE("a split survives its encoding", "[connectors]") {
  const FileSplit split{"/in/a", 4, 8, 6};
  CHECK(decode_value<FileSplit>(encode_value(split), "split") == split);
}

}  // namespace
}  // namespace weir
