#include "simulation/crash_matrix.hpp"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Catch::Matchers::Contains;

const Endpoint client{EndpointKind::client, 0, 0};
const Endpoint job_manager{EndpointKind::job_manager, 0, 0};
const Endpoint coordinator{EndpointKind::checkpoint_coordinator, 0, 0};
const Endpoint first_task_manager{EndpointKind::task_manager, 1, 0};
const Endpoint second_task_manager{EndpointKind::task_manager, 2, 0};
const Endpoint task{EndpointKind::task, 0, 1};

using Faults = std::set<FlowFault>;
const Faults of_process{FlowFault::receiver_dies_before, FlowFault::receiver_dies_after};
const Faults all{FlowFault::receiver_dies_before,
                 FlowFault::receiver_dies_after,
                 FlowFault::sender_dies,
                 FlowFault::dropped,
                 FlowFault::delayed,
                 FlowFault::repeated};

Faults faults_of(const std::vector<MatrixCell>& cells, const std::string& message,
                 std::uint64_t occurrence = 0) {
  Faults faults;
  for (const MatrixCell& cell : cells)
    if (cell.staged.message == message && cell.staged.occurrence == occurrence)
      CHECK(faults.insert(cell.staged.fault).second);
  return faults;
}

/// One row: a message, and the outcome of each backend at one fault.
MatrixCell cell(const std::string& backend, FlowFault fault, const std::string& outcome,
                bool hit = true) {
  MatrixCell one;
  one.backend = backend;
  one.staged = {Flow::cancel_with_savepoint,          "Ack<&>", EndpointKind::task,
                EndpointKind::checkpoint_coordinator, 0,        fault};
  one.step = {"Ack<&>", task, coordinator, true};
  one.has_hit = hit;
  one.outcome = outcome;
  return one;
}

}  // namespace

SCENARIO("a crash matrix tries each fault where it can happen", "[simulation]") {
  GIVEN("a message within a process, one between two, and one to the client") {
    const auto cells = plan_cells("memory", Flow::savepoint,
                                  {{"TriggerSavepoint", client, job_manager, false},
                                   {"TriggerCheckpoint", coordinator, first_task_manager, true},
                                   {"Success", job_manager, client, false}});
    THEN("the way between processes alone can lose, delay and repeat, and has a sender to die") {
      CHECK(faults_of(cells, "TriggerSavepoint") == of_process);
      CHECK(faults_of(cells, "TriggerCheckpoint") == all);
    }
    THEN("a client never dies") { CHECK(faults_of(cells, "Success").empty()); }
    THEN("each cell says what it is, and that nothing has happened yet") {
      CHECK(cells.size() == 8);
      for (const MatrixCell& one : cells) {
        CHECK(one.backend == "memory");
        CHECK(one.staged.flow == Flow::savepoint);
        CHECK(one.step.message == one.staged.message);
        CHECK(one.step.from.kind == one.staged.from);
        CHECK(one.step.to.kind == one.staged.to);
        CHECK_FALSE(one.has_hit);
        CHECK(one.violations.empty());
      }
    }
  }
  GIVEN("a message that comes three times, to two processes, and once in another direction") {
    const auto cells = plan_cells("rocksdb", Flow::checkpoint,
                                  {{"M", coordinator, first_task_manager, true},
                                   {"M", coordinator, second_task_manager, true},
                                   {"M", coordinator, first_task_manager, true},
                                   {"M", task, coordinator, true}});
    THEN("the first and the last are tried, and those between other kinds for themselves") {
      std::set<std::pair<EndpointKind, std::uint64_t>> places;
      for (const MatrixCell& one : cells) places.insert({one.staged.from, one.staged.occurrence});
      CHECK(places == std::set<std::pair<EndpointKind, std::uint64_t>>{
                          {EndpointKind::checkpoint_coordinator, 0},
                          {EndpointKind::checkpoint_coordinator, 2},
                          {EndpointKind::task, 0}});
      CHECK(cells.size() == 18);
      CHECK(faults_of(cells, "M", 2) == all);
    }
  }
  GIVEN("a flow without messages") { CHECK(plan_cells("memory", Flow::stop, {}).empty()); }
}

SCENARIO("a crash matrix tells what happened on each backend", "[simulation]") {
  std::vector<MatrixCell> cells{
      cell("memory", FlowFault::dropped, "completed"),
      cell("filesystem", FlowFault::dropped, "completed"),
      cell("memory", FlowFault::delayed, "completed"),
      cell("filesystem", FlowFault::delayed, "failed"),
      cell("memory", FlowFault::repeated, "", false),
      cell("memory", FlowFault::sender_dies, ""),
  };
  const std::string row = "Ack<&>, Task to CheckpointCoordinator";
  GIVEN("every promise was kept") {
    THEN("the text says once what is the same everywhere, and else what where") {
      CHECK(matrix_text(cells) ==
            "cancel with savepoint\n"
            "  " +
                row +
                "\n"
                "    sender dies             no answer\n"
                "    dropped                 completed\n"
                "    delayed                 completed (memory); failed (filesystem)\n"
                "    repeated                not met\n"
                "\n"
                "6 runs, in 5 the fault was met, in 0 a promise was broken\n");
    }
    THEN("Markdown has a table of messages by faults") {
      const std::string text = matrix_markdown(cells);
      CHECK_THAT(text, Contains("## cancel with savepoint\n\n| message | receiver dies before | "
                                "receiver dies after | sender dies | dropped | delayed | repeated "
                                "|\n| --- | --- | --- | --- | --- | --- | --- |\n"));
      CHECK_THAT(text, Contains("|  |  | no answer | completed | completed (memory); failed "
                                "(filesystem) | not met |\n"));
      CHECK_THAT(text, Contains("6 runs, in 5 the fault was met, in 0 a promise was broken."));
      CHECK_THAT(text, !Contains("Broken promises"));
    }
    THEN("HTML has it, too, with what is special in HTML escaped, and each cell's class") {
      const std::string text = matrix_html(cells);
      CHECK_THAT(text, Contains("<h2>cancel with savepoint</h2>"));
      CHECK_THAT(text, Contains("<th>Ack&lt;&amp;&gt;, Task to CheckpointCoordinator</th>"));
      CHECK_THAT(text, Contains("<td class=\"held\">completed</td>"));
      CHECK_THAT(text, Contains("<td class=\"unmet\">not met</td>"));
      CHECK_THAT(text, Contains("<td class=\"\"></td>"));
      CHECK_THAT(text, !Contains("class=\"broken\""));
      CHECK_THAT(text, !Contains("Broken promises"));
    }
  }
  GIVEN("one was broken") {
    cells[1].violations = {{"E2", "3 lines <missing>", 44}};
    const std::string sentence =
        "cancel with savepoint, " + row + ", dropped, filesystem: E2: 3 lines <missing>";
    THEN("every form says where, and what") {
      CHECK_THAT(matrix_text(cells),
                 Contains("dropped                 completed (memory); BROKEN E2 (filesystem)\n") &&
                     Contains("\n" + sentence + "\n6 runs, in 5 the fault was met, in 1 a"));
      CHECK_THAT(matrix_markdown(cells), Contains("## Broken promises\n\n- " + sentence + "\n"));
      CHECK_THAT(matrix_html(cells),
                 Contains("<td class=\"broken\">completed (memory); BROKEN E2 (filesystem)</td>") &&
                     Contains("<h2>Broken promises</h2>\n<ul>\n<li>cancel with savepoint, "
                              "Ack&lt;&amp;&gt;") &&
                     Contains("3 lines &lt;missing&gt;</li>"));
    }
  }
  GIVEN("the last message of a name has a row of its own") {
    cells.push_back(cells[0]);
    cells.back().staged.occurrence = 5;
    CHECK_THAT(matrix_text(cells), Contains("Ack<&> (last), Task to CheckpointCoordinator"));
  }
  GIVEN("the flows are several") {
    cells.push_back(cells[0]);
    cells.back().staged.flow = Flow::restore;
    const std::string text = matrix_text(cells);
    CHECK(text.find("cancel with savepoint\n") < text.find("restore\n"));
  }
}

}  // namespace weir::test
