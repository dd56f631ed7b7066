#include "state/remove_tree.hpp"

#include <catch2/catch.hpp>

#include "storage/posix_file_system.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir::test {
namespace {

TEST_CASE("a tree is removed with all that is in it, but not what symbolic links in it lead to",
          "[state]") {
  const TemporaryDirectory directory;
  const std::string tree = directory.path() + "/tree";
  const std::string other = directory.path() + "/other";
  PosixFileSystem files;
  const auto make_file = [&](const std::string& path) {
    auto file = files.create(path);
    REQUIRE(file);
    REQUIRE((*file)->append("x"));
    REQUIRE((*file)->close());
  };
  REQUIRE(files.create_directories(tree + "/a/b"));
  REQUIRE(files.create_directories(tree + "/empty"));
  REQUIRE(files.create_directories(other));
  make_file(tree + "/a/b/file");
  make_file(other + "/file");
  boost::filesystem::create_symlink(other, tree + "/a/link");
  boost::filesystem::create_symlink(other + "/none", tree + "/dangling");

  remove_tree(files, tree);
  CHECK(files.stat(tree).error().code == Errc::not_found);
  CHECK(files.stat(other + "/file"));
  remove_tree(files, tree);  // there is nothing to be told of
}

}  // namespace
}  // namespace weir::test
