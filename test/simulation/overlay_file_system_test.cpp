#include "simulation/overlay_file_system.hpp"

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"

namespace weir::test {
namespace {

using Catch::Matchers::Contains;
using Words = std::vector<std::string>;

/// Inputs, a simulated process, and what it sees.
struct Overlay {
  MemoryFileSystem inputs;
  SimulatedFileSystem files;
  OverlayFileSystem overlay;

  explicit Overlay(std::optional<std::uint64_t> lines = std::nullopt)
      : overlay(files, files.disk(), {&inputs, {"/simulation", "/home/out"}, lines}) {
    inputs.files = {{"/home/in/a.txt", "one\ntwo\nthree\n"},
                    {"/home/in/b.txt", "four\nfive"},
                    {"/home/out/old.txt", "of another run\n"},
                    {"/simulation/trap", "x"}};
    REQUIRE(files.create_directories("/simulation"));
  }
  std::string read(const std::string& path) {
    const auto content = read_file(overlay, path, 1 << 20);
    return content ? *content : content.error().what;
  }
  void write(const std::string& path, std::string_view content) {
    auto file = overlay.create(path);
    REQUIRE(file);
    REQUIRE((*file)->append(content));
    REQUIRE((*file)->close());
  }
  Words names(const std::string& directory) {
    Words names;
    const auto entries = overlay.list(directory);
    REQUIRE(entries);
    for (const DirectoryEntry& one : *entries) names.push_back(one.name);
    return names;
  }
};

}  // namespace

SCENARIO("a simulated process reads its inputs, and what it writes stays in the simulation",
         "[simulation]") {
  Overlay place;
  const auto inputs_before = place.inputs.files;
  GIVEN("inputs") {
    THEN("they are read through") {
      CHECK(place.read("/home/in/a.txt") == "one\ntwo\nthree\n");
      CHECK(place.overlay.stat("/home/in/a.txt") == DirectoryEntry{"a.txt", false, 14});
      CHECK(place.overlay.stat("/home/in")->is_directory);
      CHECK(place.names("/home/in") == Words{"a.txt", "b.txt"});
    }
    THEN("what is in neither place is not there") {
      CHECK(place.overlay.open("/home/in/c.txt").error().code == Errc::not_found);
      CHECK(place.overlay.stat("/nowhere").error().code == Errc::not_found);
    }
    THEN("what cannot be read is told, not hidden") {
      place.inputs.unreadable = {"/home/in/a.txt"};
      CHECK(place.overlay.open("/home/in/a.txt").error().code == Errc::io_error);
    }
    THEN("none can be removed, replaced or made again") {
      const auto removed = place.overlay.remove("/home/in/a.txt");
      REQUIRE_FALSE(removed);
      CHECK_THAT(removed.error().what, Contains("/home/in/a.txt: is input of a simulation"));
      place.write("/home/in/new", "n");
      CHECK(place.overlay.create("/home/in/a.txt").error().code == Errc::already_exists);
      CHECK(place.overlay.rename_no_replace("/home/in/new", "/home/in/a.txt").error().code ==
            Errc::already_exists);
      CHECK(place.overlay.link("/home/in/new", "/home/in/a.txt").error().code ==
            Errc::already_exists);
      CHECK(place.overlay.make_directory("/home/in").error().code == Errc::already_exists);
      CHECK(place.read("/home/in/a.txt") == "one\ntwo\nthree\n");
    }
  }
  GIVEN("files that the process writes beside its inputs") {
    place.write("/home/in/c.txt", "mine");
    place.write("/home/in/.draft", "d");
    REQUIRE(place.overlay.rename_no_replace("/home/in/.draft", "/home/in/aa.txt"));
    REQUIRE(place.overlay.link("/home/in/c.txt", "/home/in/d.txt"));
    REQUIRE(place.overlay.sync_directory("/home/in"));
    THEN("a list has both, in one order") {
      CHECK(place.names("/home/in") == Words{"a.txt", "aa.txt", "b.txt", "c.txt", "d.txt"});
    }
    THEN("they are read from the simulated disk, where alone they are") {
      CHECK(place.read("/home/in/c.txt") == "mine");
      CHECK(place.read("/home/in/d.txt") == "mine");
      CHECK(place.inputs.files == inputs_before);
      CHECK(place.files.disk().contents() ==
            std::map<std::string, std::string>{
                {"/home/in/aa.txt", "d"}, {"/home/in/c.txt", "mine"}, {"/home/in/d.txt", "mine"}});
    }
    THEN("they can be removed") {
      REQUIRE(place.overlay.remove("/home/in/c.txt"));
      CHECK(place.overlay.stat("/home/in/c.txt").error().code == Errc::not_found);
    }
  }
  GIVEN("hidden directories") {
    THEN("nothing that lies there is seen, however it is asked for") {
      CHECK(place.names("/simulation").empty());
      CHECK(place.overlay.open("/simulation/trap").error().code == Errc::not_found);
      CHECK(place.overlay.stat("/home/out").error().code == Errc::not_found);
      CHECK(place.overlay.remove("/home/out/old.txt").error().code == Errc::not_found);
      CHECK(place.names("/home") == Words{"in"});
    }
    THEN("they can be made and written to, with names that are taken outside") {
      REQUIRE(place.overlay.create_directories("/home/out"));
      place.write("/home/out/old.txt", "of this run\n");
      CHECK(place.read("/home/out/old.txt") == "of this run\n");
      CHECK(place.names("/home/out") == Words{"old.txt"});
      CHECK(place.names("/home") == Words{"in", "out"});
      CHECK(place.inputs.files == inputs_before);
    }
    THEN("a name that only begins alike is not hidden") {
      place.inputs.files["/home/outside/x"] = "x";
      CHECK(place.read("/home/outside/x") == "x");
    }
  }
  GIVEN("a lock on a directory of inputs") {
    const auto lock = place.overlay.lock_directory("/home/in");
    REQUIRE(lock);
    THEN("nobody else gets it, and it leaves no trace outside") {
      SimulatedFileSystem other(std::shared_ptr<SimulatedDisk>(&place.files.disk(), [](auto*) {}));
      CHECK(other.lock_directory("/home/in").error().code == Errc::unavailable);
      CHECK(place.inputs.files == inputs_before);
    }
  }
}

SCENARIO("inputs end after so many lines", "[simulation]") {
  const auto [lines, a, b] = GENERATE(table<std::uint64_t, std::string, std::string>({
      {1, "one\n", "four\n"},
      {2, "one\ntwo\n", "four\nfive"},
      {3, "one\ntwo\nthree\n", "four\nfive"},
      {100, "one\ntwo\nthree\n", "four\nfive"},
  }));
  GIVEN("a limit of " + std::to_string(lines)) {
    Overlay place(lines);
    THEN("every input shows its first lines, in content and in size") {
      CHECK(place.read("/home/in/a.txt") == a);
      CHECK(place.read("/home/in/b.txt") == b);
      CHECK(place.overlay.stat("/home/in/a.txt")->size_bytes == a.size());
      const auto file = place.overlay.open("/home/in/a.txt");
      REQUIRE(file);
      CHECK((*file)->size() == a.size());
      char byte = 0;
      CHECK((*file)->read_at(a.size(), &byte, 1) == std::size_t{0});
      CHECK((*file)->read_at(a.size() + 5, &byte, 1) == std::size_t{0});
      CHECK((*file)->read_at(a.size() - 1, &byte, 1) == std::size_t{1});
      CHECK(byte == '\n');
    }
    THEN("what the process itself has written is whole") {
      place.write("/simulation/mine", "1\n2\n3\n4\n5\n");
      CHECK(place.read("/simulation/mine") == "1\n2\n3\n4\n5\n");
    }
  }
  GIVEN("lines that are longer than what is read at once") {
    Overlay place(2);
    const std::string line(100'000, 'x');
    place.inputs.files["/home/in/long"] = line + "\n" + line + "\n" + line + "\n";
    THEN("the limit is that of lines all the same") {
      CHECK(place.overlay.stat("/home/in/long")->size_bytes == 200'002);
    }
  }
}

}  // namespace weir::test
