#include "connectors/text_source.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"
#include "test/sanitized.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

/// `count` lines "<name> <number>", of different lengths.
std::string numbered_lines(const std::string& name, int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text +=
        name + " " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 5), '.') + "\n";
  return text;
}

Lines sorted_lines(const MemoryFileSystem& files) {
  Lines lines;
  for (const auto& [path, content] : files.files)
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = std::min(content.find('\n', begin), content.size());
      lines.push_back(content.substr(begin, end - begin));
      begin = end + 1;
    }
  std::ranges::sort(lines);
  return lines;
}

auto maker(TextSourceOptions options) {
  return [options] { return std::make_unique<TextSource>(options); };
}

/// Polls every subtask until all have ended.
Lines read_all(SourceAttempt<std::string>& attempt) {
  Lines lines;
  while (!attempt.ended())
    for (std::size_t i = 0; i < attempt.size(); ++i)
      std::ranges::move(attempt.poll(i), std::back_inserter(lines));
  std::ranges::sort(lines);
  return lines;
}

TEST_CASE("a text source reads every line once at any parallelism", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in/a"] = numbered_lines("a", test::sanitized ? 500 : 5000);
  files.files["/in/b"] =
      numbered_lines("b", test::sanitized ? 300 : 3000) + "and no newline at the end";
  files.files["/in/empty"] = "";
  for (std::uint32_t parallelism = 1; parallelism <= 5; ++parallelism) {
    for (const std::uint64_t split_bytes : {1, 100, 4 << 20}) {
      CAPTURE(parallelism, split_bytes);
      Surroundings around;
      SourceAttempt<std::string> attempt(
          files, around, parallelism, nullptr,
          maker({.paths = {"/in"}, .lines_per_second = {}, .split_bytes = split_bytes}));
      CHECK(read_all(attempt) == sorted_lines(files));
    }
  }
}

TEST_CASE("a text source is exactly-once with a snapshot after every record", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in/a"] = numbered_lines("a", 23);
  files.files["/in/b"] = numbered_lines("b", 8) + "\n\nend";
  files.files["/in/c"] = numbered_lines("c", 5);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (const std::uint64_t split_bytes : {7, 40, 1000}) {
      CAPTURE(seed, split_bytes);
      // At this rate the first record of an attempt is due at once and no other.
      const auto make =
          maker({.paths = {"/in"}, .lines_per_second = 0.001, .split_bytes = split_bytes});
      CHECK(run_in_pieces<std::string>(files, make, seed) == sorted_lines(files));
    }
  }
}

SCENARIO("every subtask of a text source gets work", "[connectors]") {
  GIVEN("a file that is shorter than a split and four subtasks") {
    MemoryFileSystem files;
    files.files["/in"] = numbered_lines("line", 200'000);
    Surroundings around;
    SourceAttempt<std::string> attempt(files, around, 4, nullptr,
                                       maker({.paths = {"/in"}, .lines_per_second = {}}));
    THEN("the first poll of each emits a batch, and no more") {
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(attempt.poll(i).size() == batch_capacity_records);
        CHECK(attempt.context(i).wake_times.empty());
      }
    }
  }
}

SCENARIO("a restored text source reads what the snapshot holds and no new files", "[connectors]") {
  GIVEN("a snapshot in the middle of the input") {
    MemoryFileSystem files;
    files.files["/in/a"] = numbered_lines("a", 2000);
    const Lines all = sorted_lines(files);
    const auto make = maker({.paths = {"/in"}, .lines_per_second = {}});
    Surroundings around;
    SourceAttempt<std::string> before(files, around, 1, nullptr, make);
    Lines lines = before.poll(0);
    REQUIRE(lines.size() == batch_capacity_records);
    const FrozenStates snapshot = before.snapshot();
    files.files["/in/b"] = numbered_lines("b", 10);
    WHEN("it is restored at a higher parallelism than there are splits") {
      SourceAttempt<std::string> after(files, around, 4, &snapshot, make);
      THEN("the rest is read once and the subtasks without a split end at once") {
        std::ranges::move(read_all(after), std::back_inserter(lines));
        std::ranges::sort(lines);
        CHECK(lines == all);
      }
    }
    WHEN("the snapshot knows nothing of the source") {
      const FrozenStates other;
      SourceAttempt<std::string> after(files, around, 2, &other, make);
      THEN("it begins anew") { CHECK(read_all(after).size() == 2010); }
    }
    WHEN("it is restored after it had ended") {
      while (!before.ended()) before.poll(0);
      const FrozenStates last = before.snapshot();
      SourceAttempt<std::string> after(files, around, 2, &last, make);
      THEN("it reads nothing") { CHECK(read_all(after).empty()); }
    }
  }
}

SCENARIO("a text source keeps to its rate", "[connectors]") {
  GIVEN("two subtasks with a rate of 100 lines a second together") {
    MemoryFileSystem files;
    files.files["/in/a"] = numbered_lines("a", 100'000);
    files.files["/in/b"] = numbered_lines("b", 100'000);
    Surroundings around;
    SourceAttempt<std::string> attempt(files, around, 2, nullptr,
                                       maker({.paths = {"/in"}, .lines_per_second = 100}));
    const auto emit = [&](std::size_t subtask) { return attempt.poll(subtask).size(); };
    WHEN("each is called whenever it asks to be") {
      std::vector<std::size_t> emitted(2);
      for (std::size_t i = 0; i < 2; ++i) {
        around.clock.time = {};
        while (around.clock.time < MonotonicTime(10s)) {
          emitted[i] += emit(i);
          const auto& wakes = attempt.context(i).wake_times;
          if (!wakes.empty()) around.clock.time = std::max(around.clock.time, wakes.back());
        }
      }
      THEN("10 seconds hold 500 lines of each, and nobody is called without need") {
        CHECK(emitted == std::vector<std::size_t>{500, 500});
        CHECK(attempt.context(0).wake_times.size() == 500);
      }
    }
    WHEN("one was not called for a minute") {
      CHECK(emit(0) == 1);
      around.clock.time = MonotonicTime(60s);
      THEN("it catches up, a batch at a time") {
        CHECK(emit(0) == batch_capacity_records);
        CHECK(emit(0) == batch_capacity_records);
        CHECK(emit(0) == 3001 - 1 - 2 * batch_capacity_records);
        CHECK(emit(0) == 0);
        CHECK(attempt.context(0).wake_times.back() == MonotonicTime(60s + 20ms));
      }
    }
  }
}

SCENARIO("a text source fails with the sentence about its file", "[connectors]") {
  GIVEN("a source in the middle of a file") {
    MemoryFileSystem files;
    files.files["/in"] = numbered_lines("line", 3000);
    Surroundings around;
    const auto make = maker({.paths = {"/in"}, .lines_per_second = {}});
    SourceAttempt<std::string> attempt(files, around, 1, nullptr, make);
    WHEN("the file cannot be read any more") {
      files.unreadable = {"/in"};
      const Error failure = thrown_by([&] { attempt.poll(0); });
      THEN("it says so") {
        CHECK(failure.code == Errc::io_error);
        CHECK(failure.what.find("/in") != std::string::npos);
      }
    }
    WHEN("the file is shorter at the restore") {
      attempt.poll(0);
      const FrozenStates snapshot = attempt.snapshot();
      files.files["/in"].resize(100);
      SourceAttempt<std::string> after(files, around, 1, &snapshot, make);
      const Error failure = thrown_by([&] { after.poll(0); });
      THEN("that is corruption") { CHECK(failure.code == Errc::corruption); }
    }
  }
  GIVEN("no input") {
    MemoryFileSystem files;
    Surroundings around;
    FakeContext context(files, around, "source", 0, 1);
    TextSource source({.paths = {"/missing"}, .lines_per_second = {}});
    const Status opened = source.open(context);
    THEN("it does not open") {
      REQUIRE_FALSE(opened);
      CHECK(opened.error().code == Errc::not_found);
    }
  }
}

}  // namespace
}  // namespace weir
