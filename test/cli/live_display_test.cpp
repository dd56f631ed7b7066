#include "cli/live_display.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "cli/job_output.hpp"
#include "cli/text.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using Catch::Matchers::Contains;

JobDetails details(std::uint64_t records) {
  JobDetails result;
  result.overview = {{1, 2}, "words", JobState::running, 2, 1'000, 0, 0};
  result.operators = {{"source", "lines", 2, 0, records, 0},
                      {"sink", "files", 1, records, 0, 2048}};
  result.checkpoints.completed = 3;
  result.checkpoints.last_completed =
      CheckpointSummary{{3}, SnapshotKind::checkpoint, "/c/chk-3", 2'000, 500, 4096};
  result.log_file = "/log";
  return result;
}

/// A terminal that remembers what was written since it was last looked at.
struct Terminal {
  std::string text;
  TerminalSize size{200, 24};
  LiveDisplay display{[this](const std::string& written) { text += written; },
                      [this] { return size; }};
  std::string take() { return std::exchange(text, {}); }
};

constexpr MonotonicTime start{1h};
constexpr WallTime wall{4s};

}  // namespace

TEST_CASE("live lines show rates, state and the last checkpoint, each time in the same place",
          "[cli]") {
  Terminal terminal;
  terminal.display.show(details(0), start, wall);
  CHECK_THAT(terminal.take(), Contains("words") && Contains("RUNNING for 3.0 s") &&
                                  Contains("lines") && Contains("0 records/s") &&
                                  Contains("2.0 KB") && Contains("last: 3, 4.0 KB, 1.5 s ago"));
  terminal.display.show(details(3'000), start + 2s, wall);
  CHECK_THAT(terminal.take(),
             Catch::Matchers::StartsWith("\r\033[4A\033[J") && Contains("1,500 records/s"));
  SECTION("a number that stands still for a while means idle") {
    terminal.display.show(details(3'000), start + 3s, wall);
    CHECK_THAT(terminal.take(), Contains("1,500 records/s"));
    terminal.display.show(details(3'000), start + 6s, wall);
    CHECK_THAT(terminal.take(), !Contains("1,500 records/s"));
  }
  SECTION("a checkpoint under way is there as far as it has come") {
    JobDetails later = details(3'000);
    later.checkpoints.in_progress = {{{4}, SnapshotKind::checkpoint, 2'000, 1, 3, 2048}};
    terminal.display.show(later, start + 3s, wall);
    CHECK_THAT(terminal.take(),
               Contains("checkpoints 3; checkpoint 4: 1 of 3 subtasks, 2.0 KB; last: 3"));
  }
  SECTION("a restarted job begins anew") {
    terminal.display.show(details(10), start + 3s, wall);
    CHECK_THAT(terminal.take(), Contains(" 0 records/s"));
  }
  SECTION("what is printed stands above the lines") {
    terminal.display.print_above([&] { terminal.text += "record\n"; });
    CHECK(terminal.take() == "\r\033[4A\033[Jrecord\n");
    terminal.display.clear();
    CHECK(terminal.take().empty());
  }
}

TEST_CASE("live lines never wrap", "[cli]") {
  Terminal terminal;
  terminal.size.columns = 20;
  terminal.display.show(details(0), start, wall);
  const std::string text = terminal.take();
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    CHECK(end - begin < 20);
}

TEST_CASE("live lines are no more than the terminal has rows", "[cli]") {
  Terminal terminal;
  JobDetails many = details(0);
  many.operators.assign(10, many.operators[0]);
  const auto lines_with = [&](std::size_t rows) {
    terminal.size.rows = rows;
    terminal.display.show(many, start, wall);
    const std::string text = terminal.take();
    CHECK_THAT(text, Contains("RUNNING") && Contains("checkpoints 3"));
    CHECK((text.find("more operators") != std::string::npos) == (rows > 3 && rows < 13));
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  };
  CHECK(lines_with(13) == 12);
  CHECK(lines_with(12) == 11);
  terminal.display.show(many, start, wall);
  CHECK_THAT(terminal.take(), Contains("and 2 more operators"));
  CHECK(lines_with(4) == 3);
  CHECK(lines_with(3) == 2);
  CHECK(lines_with(1) == 2);
}

TEST_CASE("numbers are written as people read them", "[cli]") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1'234'567) == "1,234,567");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KB");
  CHECK(format_bytes(std::uint64_t{5} << 30) == "5.0 GB");
  CHECK(format_duration(12ms) == "12 ms");
  CHECK(format_duration(1'500ms) == "1.5 s");
  CHECK(format_duration(125s) == "2 min 5 s");
  CHECK(format_duration(3h + 4min) == "3 h 4 min");
}

TEST_CASE("JSON is one line with the promised members", "[cli]") {
  const JobDetails job = details(7);
  CHECK(jobs_json({}) == "{\"jobs\":[]}\n");
  CHECK_THAT(jobs_json({job.overview}),
             Contains("{\"jobs\":[{\"id\":\"00000000000000010000000000000002\",\"name\":\"words\","
                      "\"state\":\"RUNNING\",\"parallelism\":2"));
  CHECK(savepoint_json({1, 2}, "/s") ==
        "{\"job\":\"00000000000000010000000000000002\",\"savepoint\":\"/s\"}\n");
  CHECK_THAT(checkpoint_json({{1, 2}, {9}, "/c"}), Contains("\"checkpoint\":9"));
  PlanDescription plan;
  plan.operators.resize(2);
  plan.operators[0].uid = "source";
  plan.operators[0].source = true;
  plan.operators[1].uid = "sink";
  plan.edges.push_back({0, "", 1, 0, Partitioning::forward, {}});
  CHECK_THAT(summary_json(job, plan), Contains("\"state\":\"RUNNING\"") &&
                                          Contains("\"records_in\":7") &&
                                          Contains("\"records_out\":7"));
  for (const auto& text : {details_json(job), summary_json(job, plan)})
    CHECK(text.find('\n') == text.size() - 1);
  CHECK_THAT(details_text(job), Contains("/log") && Contains("/c/chk-3"));
  CHECK(jobs_text({}).empty());
}

TEST_CASE("the details say how far a checkpoint under way has come, to people and to programs",
          "[cli]") {
  JobDetails job;
  job.checkpoints.in_progress = {{{7}, SnapshotKind::savepoint, 1'000, 2, 6, 12'900'000}};
  CHECK_THAT(details_text(job),
             Contains("1 under way\n  under way: savepoint 7: 2 of 6 subtasks, 12.3 MB\n"));
  CHECK_THAT(
      details_json(job),
      Contains(R"("in_progress":1,"under_way":[{"id":7,"kind":"savepoint","triggered_at_ms":1000,)"
               R"("num_acknowledged_subtasks":2,"num_subtasks":6,"written_bytes":12900000}])"));
}

TEST_CASE("text of anybody's is one line that a terminal does not obey", "[cli]") {
  CHECK(printable("plain \u00fc 42") == "plain \u00fc 42");
  CHECK(printable("a\nb\tc\rd") == "a b c d");
  CHECK(printable("\033[31mred\x7f") == "\\x1b[31mred\\x7f");
  CHECK(printable("\xc2\x9b"
                  "31m\xc2") == "\\x9b31m\xc2");
}

}  // namespace weir
