#include "network/run_directory.hpp"

#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem.hpp>
#include <catch2/catch.hpp>

#include "network/private_directory.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Catch::Matchers::Contains;

/// Counts up.
class CountingRandom final : public Random {
 public:
  std::uint64_t next() override { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

mode_t mode_of(const std::string& path) {
  struct stat found{};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

RunDirectory run_directory(const std::string& temporary) {
  return {std::nullopt, temporary, current_user()};
}

}  // namespace

TEST_CASE("the run directory lies below XDG_RUNTIME_DIR if that is ours", "[network]") {
  const test::TemporaryDirectory temporary;
  const test::TemporaryDirectory runtime;
  ::chmod(runtime.path().c_str(), 0700);
  auto directory = run_directory(temporary.path());
  directory.runtime_directory = runtime.path();
  CHECK(directory.make() == runtime.path() + "/weir");
  CHECK(mode_of(runtime.path() + "/weir") == 0700);

  const std::string fallback = temporary.path() + "/weir-" + std::to_string(current_user());
  directory.runtime_directory = runtime.path() + "/missing";
  CHECK(directory.make() == fallback);
  directory.runtime_directory = "relative";
  CHECK(directory.make() == fallback);
  directory.runtime_directory.reset();
  CHECK(directory.make() == fallback);
  CHECK(mode_of(fallback) == 0700);
}

TEST_CASE("a run directory of another user is refused", "[network]") {
  const test::TemporaryDirectory temporary;
  auto directory = run_directory(temporary.path());
  directory.user = current_user() + 1;
  ::mkdir((temporary.path() + "/weir-" + std::to_string(directory.user)).c_str(), 0700);
  for (const auto& refused : {directory.make().error(), directory.sockets().error()}) {
    CHECK(refused.code == Errc::unavailable);
    CHECK_THAT(refused.what, Contains(temporary.path()) && Contains("another user"));
  }
}

TEST_CASE("a run directory that others may write to is refused", "[network]") {
  const test::TemporaryDirectory temporary;
  const auto directory = run_directory(temporary.path());
  const auto path = directory.make();
  REQUIRE(path);
  ::chmod(path->c_str(), 0770);
  CHECK_THAT(directory.make().error().what, Contains("chmod 700"));
  CHECK_FALSE(directory.sockets());
  ::chmod(path->c_str(), 0755);
  CHECK(directory.make());
  CHECK(mode_of(*path) == 0700);
}

TEST_CASE("a run directory that is a link or a file is refused", "[network]") {
  const test::TemporaryDirectory temporary;
  const test::TemporaryDirectory elsewhere;
  const auto directory = run_directory(temporary.path());
  const std::string path = temporary.path() + "/weir-" + std::to_string(current_user());
  REQUIRE(::symlink(elsewhere.path().c_str(), path.c_str()) == 0);
  CHECK_FALSE(directory.make());
  ::unlink(path.c_str());
  std::ofstream(path) << "x";
  CHECK_FALSE(directory.make());
}

TEST_CASE("a run directory lists its sockets and drops those of dead processes", "[network]") {
  const test::TemporaryDirectory temporary;
  const auto directory = run_directory(temporary.path());
  REQUIRE(directory.sockets());
  CHECK(directory.sockets()->empty());
  const auto path = directory.make();
  REQUIRE(path);

  CountingRandom random;
  const std::string alive = new_socket_path(*path, 12, random);
  const std::string dead = new_socket_path(*path, 11, random);
  CHECK(alive == *path + "/12-00000001.sock");
  const auto listening = listen_at(alive, 1);
  REQUIRE(listening);
  {
    const auto closed = listen_at(dead, 1);
  }
  std::ofstream(*path + "/notes.txt") << "x";

  CHECK(directory.sockets() == std::vector{dead, alive});
  const auto connected = connect_or_drop(alive, 10s);
  REQUIRE(connected);
  CHECK(connected->has_value());
  const auto dropped = connect_or_drop(dead, 10s);
  REQUIRE(dropped);
  CHECK_FALSE(dropped->has_value());
  CHECK(directory.sockets() == std::vector{alive});
  CHECK_FALSE(connect_or_drop(dead, 10s)->has_value());
}

TEST_CASE("sockets are found in both places", "[network]") {
  const test::TemporaryDirectory temporary;
  const test::TemporaryDirectory runtime;
  ::chmod(runtime.path().c_str(), 0700);
  auto directory = run_directory(temporary.path());
  const auto first = listen_at(*directory.make() + "/1-1.sock", 1);
  directory.runtime_directory = runtime.path();
  const auto second = listen_at(*directory.make() + "/2-2.sock", 1);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(directory.sockets()->size() == 2);
}

}  // namespace weir
