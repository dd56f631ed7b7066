#include "cli/progress_line.hpp"

#include <utility>

#include <catch2/catch.hpp>

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr MonotonicTime start{1h};
const std::vector<CheckpointProgress> savepoint{
    {{7}, SnapshotKind::savepoint, 1'000, 2, 6, 12'900'000}};

/// A terminal that remembers what was written since it was last looked at.
struct Terminal {
  std::string text;
  std::size_t columns = 200;
  ProgressLine line{"writing a savepoint", start, [this](const std::string& t) { text += t; },
                    [this] { return TerminalSize{columns, 24}; }};
  std::string take() { return std::exchange(text, {}); }
};

}  // namespace

TEST_CASE("a request that is answered at once shows nothing", "[cli]") {
  Terminal terminal;
  CHECK_FALSE(terminal.line.is_due(start));
  CHECK_FALSE(terminal.line.is_due(start + 999ms));
  CHECK(terminal.line.is_due(start + 1s));
  terminal.line.clear();
  CHECK(terminal.take().empty());
}

TEST_CASE("the line of a request says how long it takes and how far the snapshot has come",
          "[cli]") {
  Terminal terminal;
  terminal.line.show({}, start + 1'900ms);
  CHECK(terminal.take() == "\rwriting a savepoint ... 1 s\033[K");
  terminal.line.show(savepoint, start + 61s);
  CHECK(terminal.take() ==
        "\rwriting a savepoint ... 61 s; savepoint 7: 2 of 6 subtasks, 12.3 MB\033[K");
  SECTION("every snapshot that may be the one") {
    auto several = savepoint;
    several.push_back({{8}, SnapshotKind::terminal_savepoint, 1'000, 0, 6, 0});
    terminal.line.show(several, start + 62s);
    CHECK_THAT(terminal.take(),
               Catch::Matchers::Contains("12.3 MB; savepoint 8: 0 of 6 subtasks, 0 B\033[K"));
  }
  SECTION("it is taken away once") {
    terminal.line.clear();
    CHECK(terminal.take() == "\r\033[K");
    terminal.line.clear();
    CHECK(terminal.take().empty());
  }
}

TEST_CASE("the line of a request never wraps", "[cli]") {
  Terminal terminal;
  terminal.columns = 20;
  terminal.line.show(savepoint, start + 5s);
  CHECK(terminal.take() == "\rwriting a savepoint\033[K");
}

}  // namespace weir
