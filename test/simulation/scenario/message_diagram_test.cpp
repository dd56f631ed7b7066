#include "simulation/scenario/message_diagram.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Catch::Matchers::Contains;

SeenMessage say(const std::string& from, const std::string& to, const std::string& message,
                std::uint64_t checkpoint = 0) {
  SeenMessage one;
  one.from = from;
  one.to = to;
  one.message = message;
  one.job = "1";
  one.checkpoint = checkpoint;
  return one;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    ++found;
  return found;
}

void add_checkpoint(ScenarioReport& report, std::uint64_t number) {
  report.messages.push_back(
      say("CheckpointCoordinator", "TaskManager:1", "TriggerCheckpoint", number));
  report.messages.push_back(say("TaskManager:1", "Task:0/0", "TriggerCheckpoint", number));
  report.messages.push_back(say("Task:0/0", "JobManager", "AcknowledgeCheckpoint", number));
}

}  // namespace

TEST_CASE(
    "a diagram has a lifeline for each actor, an arrow for each message, and the numbers of the "
    "steps",
    "[simulation]") {
  ScenarioReport report;
  report.name = "a <savepoint>";
  report.vertex_names[0] = "lines -> words";
  report.messages = {say("client", "JobManager", "TriggerSavepoint"),
                     say("JobManager", "CheckpointCoordinator", "TriggerSavepoint")};
  add_checkpoint(report, 1);
  report.messages.push_back(say("TaskManager:1", "JobManager", "Heartbeat"));
  const std::string svg = draw_messages(report);
  CHECK_THAT(svg, Contains("a &lt;savepoint&gt;"));
  CHECK(count(svg, "class=\"box\"") == 5);
  CHECK(count(svg, "class=\"arrow\"") == 5);
  for (const char* number : {">1<", ">2<", ">3–5<", ">6–7<", ">8<"})
    CHECK_THAT(svg, Contains(std::string("class=\"numbertext\"")) && Contains(number));
  CHECK_THAT(svg, Contains("lines -&gt; words") && Contains("TriggerCheckpoint 1") &&
                      !Contains("Heartbeat"));
  // One after the other, from the client to the tasks.
  CHECK(svg.find(">Client<") < svg.find(">JobManager<"));
  CHECK(svg.find(">Coordinator<") < svg.find(">TaskManager 1<"));
}

TEST_CASE("a crash is marked on the lifelines that end, which go on with their next message",
          "[simulation]") {
  ScenarioReport report;
  report.messages = {say("client", "JobManager", "SubmitJob"),
                     say("JobManager", "TaskManager:1", "SubmitTask"),
                     say("JobManager", "TaskManager:2", "SubmitTask"),
                     say("TaskManager:1", "Task:0/0", "StartTask"),
                     say("TaskManager:2", "Task:0/1", "StartTask"),
                     say("JobManager", "TaskManager:1", "StartTask")};
  StepReport kill;
  kill.text = "kill: task manager 1";
  kill.is_fault = kill.is_crash = true;
  kill.process = {ProcessKind::task_manager, 1};
  kill.first_message = 5;
  report.steps = {kill};
  const std::string svg = draw_messages(report);
  CHECK(count(svg, "class=\"cross\"") == 2);  // it and its task
  CHECK_THAT(svg, Contains("class=\"step crash\"") && Contains("kill: task manager 1"));
  // The lifeline of the TaskManager goes on, that of the task does not.
  const auto pieces = [&](const std::string& x) {
    const std::size_t at = svg.find("class=\"life\" d=\"M" + x + ",");
    REQUIRE(at != std::string::npos);
    const std::string path = svg.substr(at, svg.find("/>", at) - at);
    return count(path, "M");
  };
  CHECK(pieces(std::to_string(150 + 2 * 176)) == 2);
  CHECK(pieces(std::to_string(150 + 4 * 176)) == 1);
  report.one_process = true;
  CHECK(count(draw_messages(report), "class=\"cross\"") == 5);
}

TEST_CASE("checkpoints that go the same way and long runs of one message are folded",
          "[simulation]") {
  ScenarioReport report;
  for (std::uint64_t number = 1; number <= 20; ++number) add_checkpoint(report, number);
  report.messages.pop_back();  // the last one goes another way
  std::string svg = draw_messages(report);
  CHECK_THAT(svg, Contains("checkpoints 2 to 19 go the same way"));
  CHECK(count(svg, "class=\"arrow\"") == 5);

  // One with a step in it is drawn, and the one behind.
  StepReport fault;
  fault.is_fault = true;
  fault.text = "fill_disk";
  fault.first_message = 3 * 9 + 1;  // in checkpoint 10
  report.steps = {fault};
  svg = draw_messages(report);
  CHECK_THAT(svg, Contains("checkpoints 2 to 9 go the same way") &&
                      Contains("checkpoints 12 to 19 go the same way") &&
                      Contains("TriggerCheckpoint 10") && Contains("class=\"step fault\""));

  report.steps.clear();
  report.messages.clear();
  for (int i = 0; i < 4; ++i)
    report.messages.push_back(say("JobManager", "TaskManager:1", "SubmitTask"));
  svg = draw_messages(report);
  CHECK(count(svg, "class=\"arrow\"") == 1);
  CHECK_THAT(svg, Contains("SubmitTask × 4"));

  report.messages.clear();
  for (int i = 0; i < 100; ++i)
    report.messages.push_back(say("TaskManager:1", "Task:0/" + std::to_string(i), "StartTask"));
  svg = draw_messages(report);
  CHECK_THAT(svg, Contains("97 more of StartTask"));
  CHECK(count(svg, "class=\"box\"") == 4);

  report.messages.clear();
  for (int i = 0; i < 12; ++i) {
    report.messages.push_back(say("TaskManager:1", "Task:0/" + std::to_string(i), "StartTask"));
    report.messages.push_back(
        say("Task:0/" + std::to_string(i), "JobManager", "AcknowledgeCheckpoint"));
  }
  svg = draw_messages(report);
  CHECK_THAT(svg, Contains("Tasks 0/*"));
  CHECK(count(svg, "class=\"box\"") == 3);
}

TEST_CASE("a diagram has a bound, however long the run was", "[simulation]") {
  ScenarioReport report;
  for (int i = 0; i < 5000; ++i)
    report.messages.push_back(i % 2 == 0 ? say("client", "JobManager", "SubmitJob")
                                         : say("JobManager", "client", "SubmitJobSuccess"));
  const std::string svg = draw_messages(report);
  CHECK_THAT(svg, Contains("4700 rows are left out here"));
  CHECK(count(svg, "class=\"arrow\"") == 300);
  CHECK_THAT(draw_messages({}), Contains("</svg>"));
}

TEST_CASE("declines, failures and aborts are drawn as bad news", "[simulation]") {
  ScenarioReport report;
  report.messages = {say("Task:0/0", "JobManager", "DeclineCheckpoint", 3),
                     say("JobManager", "client", "TriggerSavepointFailure")};
  report.messages[0].reason = "snapshot_failed";
  const std::string svg = draw_messages(report);
  CHECK(count(svg, "class=\"arrow bad\"") == 2);
  CHECK_THAT(svg, Contains("DeclineCheckpoint 3: snapshot_failed"));
}

}  // namespace weir::test
