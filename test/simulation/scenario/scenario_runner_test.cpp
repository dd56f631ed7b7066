#include "simulation/scenario/scenario_runner.hpp"

#include <catch2/catch.hpp>

#include "simulation/scenario/damage.hpp"
#include "simulation/scenario/scenario_parser.hpp"
#include "simulation/scenario/xml_text.hpp"
#include "simulation/simulated_file_system.hpp"
#include "test/simulation/scenario/fake_world.hpp"

namespace weir::test {
namespace {

using Catch::Matchers::Contains;
using Script = FakeWorld::Script;

Scenario scenario_of(const std::string& body) {
  SimulatedFileSystem files;
  auto scenario = parse_scenario(
      "scenario: a & b\n"
      "time_limit: 10 s\n"
      "cluster: {task_managers: 2, configuration: {execution.checkpointing.interval: 1 s}}\n"
      "job: {library: job.so}\n"
      "steps:\n" +
          body,
      "s.yaml", "/here", files);
  if (!scenario) FAIL(scenario.error().what);
  return std::move(*scenario);
}

Result<ScenarioReport> play(const std::string& body, Script& script) {
  const Scenario scenario = scenario_of(body);
  return ScenarioRunner(scenario,
                        [&](const Scenario&) -> Result<std::unique_ptr<ScenarioWorld>> {
                          return std::make_unique<FakeWorld>(script);
                        })
      .run();
}

ScenarioReport played(const std::string& body, Script& script) {
  auto report = play(body, script);
  if (!report) FAIL(report.error().what);
  return std::move(*report);
}

/// Plays `run` and one expectation; checks that its negation comes out the other way. Returns the report of the first.
ExpectationReport expected(const std::string& expectation, Script& script,
                           const std::string& steps = "  - run\n") {
  const auto report = played(steps + "expect:\n  - " + expectation + "\n", script);
  REQUIRE(report.expectations.size() == 1);
  const auto opposite = played(steps + "expect:\n  - not: {" + expectation + "}\n", script);
  REQUIRE(opposite.expectations.size() == 1);
  INFO(expectation);
  CHECK(opposite.expectations[0].met != report.expectations[0].met);
  return report.expectations[0];
}

SnapshotValues counts(const std::string& json, const std::string& unreadable = "") {
  SnapshotValues values;
  values.checkpoint = 7;
  values.states[{"count", "n"}] = {StateKind::value, json, unreadable};
  values.states[{"source", "offsets"}] = {StateKind::operator_list, "[1,2]", ""};
  return values;
}

}  // namespace

SCENARIO("steps are done in order, with names of snapshots replaced", "[simulation]") {
  Script script;
  const auto report = played(
      "  - run\n  - savepoint: first\n  - kill: job manager\n  - restore: first\n  - corrupt: "
      "first\n  - stop: last\n",
      script);
  CHECK(report.passed());
  CHECK(report.steps.size() == 6);
  CHECK(script.seen == std::vector<std::string>{"start", "savepoint", "kill job manager",
                                                "start from /savepoint", "corrupt /savepoint",
                                                "stop"});
  CHECK(report.steps[2].is_crash);
  CHECK_FALSE(report.steps[4].is_crash);
  CHECK(report.steps[4].is_fault);
}

SCENARIO("a step that fails ends the run, and says where it stands", "[simulation]") {
  Script script;
  script.answers["savepoint"] = error(Errc::io_error, "the disk is full");
  const auto report =
      played("  - run\n  - savepoint: first\n  - cancel\nexpect:\n  - output: empty\n", script);
  CHECK_FALSE(report.passed());
  CHECK(report.steps.size() == 2);
  CHECK(report.expectations.empty());
  CHECK(report.failures() ==
        std::vector<std::string>{"s.yaml:7:5: step 'savepoint: first' failed: the disk is full"});
  CHECK_THAT(to_text(report), Contains("FAILED: a & b") && Contains("say it again"));
}

SCENARIO("a step that is to fail must, and as it says", "[simulation]") {
  Script script;
  script.answers["savepoint"] = error(Errc::io_error, "the disk is full");
  CHECK(played("  - run\n  - savepoint: {name: a, fails: disk is full}\n", script).passed());
  CHECK(played("  - run\n  - savepoint: {name: a, may_fail: true}\n", script).passed());
  CHECK_THAT(
      played("  - run\n  - savepoint: {name: a, fails: declined}\n", script).failures().at(0),
      Contains("it failed as it should, but not with 'declined': the disk is full"));
  CHECK_THAT(played("  - run\n  - cancel: {fails: no}\n", script).failures().at(0),
             Contains("it succeeded, and was to fail with 'no'"));
  // What was not taken cannot be named.
  CHECK_THAT(
      played("  - run\n  - savepoint: {name: a, may_fail: true}\n  - cancel\n  - restore: a\n",
             script)
          .failures()
          .at(0),
      Contains("there is no snapshot 'a', because the step that was to take it failed"));
}

SCENARIO("an answer in the background is awaited when it is needed, and in the end",
         "[simulation]") {
  Script script;
  script.late["savepoint"] = 5;
  const auto needed = played(
      "  - run\n  - savepoint: {name: a, background: true}\n  - cancel\n  - restore: a\n", script);
  CHECK(needed.passed());
  CHECK(script.seen ==
        std::vector<std::string>{"start", "savepoint", "cancel", "start from /savepoint"});
  CHECK(needed.time == std::chrono::milliseconds(50));
  CHECK(played("  - run\n  - savepoint: {name: a, background: true}\n", script).time ==
        std::chrono::milliseconds(50));
  CHECK(played("  - run\n  - savepoint: {name: a, background: true}\n  - wait: {answers: true}\n",
               script)
            .steps[2]
            .time == std::chrono::milliseconds(50));
  script.answers["savepoint"] = error(Errc::io_error, "gone");
  CHECK_THAT(
      played("  - run\n  - savepoint: {name: a, background: true}\n", script).failures().at(0),
      Contains("'savepoint: {name: a, background: true}' in the background: gone"));
}

SCENARIO("a wait ends when it is so, when its time is over, or when it cannot come any more",
         "[simulation]") {
  Script script;
  script.events = {
      [](FakeWorld& world) { world.script().job.source_records = 4; },
      [](FakeWorld& world) {
        world.script().job.source_records = 6;
        world.script().job.records_in["count"] = 2;
      },
      [](FakeWorld& world) {
        world.say("CheckpointCoordinator", "TaskManager:1", "NotifyCheckpointComplete", 3);
      },
      [](FakeWorld& world) {
        world.say("TaskManager:1", "Task:0/0", "NotifyCheckpointComplete", 3);
      },
      [](FakeWorld& world) {
        world.say("CheckpointCoordinator", "TaskManager:1", "NotifyCheckpointComplete", 4);
      },
      [](FakeWorld& world) { world.script().output = {"a", "b"}; },
      [](FakeWorld& world) { world.script().job.state = JobState::finished; }};
  const auto ms = [](int value) { return std::chrono::milliseconds(value); };
  GIVEN("that it comes") {
    const auto wait = [&](const std::string& what) {
      script.job = {};
      script.output.clear();
      const auto report = played("  - run\n  - wait: " + what + "\n", script);
      INFO(what);
      CHECK(report.passed());
      return report.time;
    };
    CHECK(wait("{records: 5}") == ms(20));
    CHECK(wait("{records: 2, by: count}") == ms(20));
    CHECK(wait("{checkpoints: 2}") == ms(50));
    CHECK(wait("{checkpoint: 3}") == ms(30));
    CHECK(wait("{message: {TaskManager -> Task: NotifyCheckpointComplete}}") == ms(40));
    CHECK(wait("{message: NotifyCheckpointComplete, times: 3}") == ms(50));
    CHECK(wait("{output: 2}") == ms(60));
    CHECK(wait("finished") == ms(70));
    CHECK(wait("{time: 35 ms}") == ms(35));
  }
  GIVEN("a limit") {
    const auto report = played("  - run\n  - wait: {records: 100, within: 25 ms}\n", script);
    CHECK_THAT(report.failures().at(0),
               Contains("25 ms passed waiting for what the step says; the job is created"));
  }
  GIVEN("the job's end") {
    const auto report = played("  - run\n  - wait: {records: 100}\n", script);
    CHECK_THAT(report.failures().at(0),
               Contains("nothing can happen any more") && Contains("the job is finished"));
    CHECK(report.time == ms(70));
  }
  GIVEN("the time limit of the scenario") {
    script.events.clear();
    const auto report = played("  - run\n  - wait: {records: 100}\n", script);
    CHECK_THAT(report.failures().at(0), Contains("the time limit of the scenario, 10 s, was over"));
  }
  GIVEN("a message that was there before") {
    const auto report = played(
        "  - run\n  - wait: {time: 30 ms}\n  - wait: {message: {CheckpointCoordinator -> any: "
        "NotifyCheckpointComplete}}\n",
        script);
    CHECK(report.steps[2].time == ms(20));
  }
}

TEST_CASE("a step of which the world is not capable keeps the run from beginning", "[simulation]") {
  Script script;
  script.cannot = "cut: [job manager, task manager 1]";
  const auto report = play("  - run\n  - cut: [job manager, task manager 1]\n", script);
  REQUIRE_FALSE(report);
  CHECK(report.error().code == Errc::unsupported);
  CHECK(report.error().what ==
        "s.yaml:7:5: step 'cut: [job manager, task manager 1]': this world has no such thing");
  CHECK(script.seen.empty());
}

TEST_CASE("output is compared as lines in any order, and each may be lost or doubled",
          "[simulation]") {
  Script script;
  script.output = {"b", "a", "a"};
  CHECK(expected("output: {lines: [a, b, a]}", script).met);
  CHECK(expected("output: {count: 3}", script).met);
  CHECK(expected("output: {contains: [b]}", script).met);
  CHECK_FALSE(expected("output: empty", script).met);
  const auto doubled = expected("output: {lines: [a, b]}", script);
  CHECK_FALSE(doubled.met);
  CHECK(doubled.found == "3 lines, of which 1 are too many, such as 'a'");
  const auto lost = expected("output: {lines: [a, a, b, c]}", script);
  CHECK_FALSE(lost.met);
  CHECK(lost.found == "3 lines, of which 1 are missing, such as 'c'");
  CHECK_FALSE(expected("output: {contains: [c]}", script).met);
}

TEST_CASE("files are counted by what their path is like", "[simulation]") {
  Script script;
  script.files = {"a/.hidden", "a/b/c", "ab"};
  CHECK(expected("files: {like: 'a*', count: 3}", script).met);
  CHECK(expected("files: {like: 'a/*', count: 2}", script).met);
  CHECK(expected("files: 'a/?/*'", script).met);
  CHECK(expected("files: {like: ab, at_least: 1, at_most: 1}", script).met);
  CHECK(expected("files: {like: b, count: 0}", script).met);
  const auto missing = expected("files: 'x*'", script);
  CHECK_FALSE(missing.met);
  CHECK(missing.expected == "at least 1 of 'x*'");
  CHECK(missing.found == "none");
  const auto many = expected("files: {like: 'a/*', count: 1}", script);
  CHECK_FALSE(many.met);
  CHECK(many.found == "2, such as a/.hidden");
}

TEST_CASE("exactly once means the output of the same job when nothing happens to it",
          "[simulation]") {
  Script calm;
  calm.job.state = JobState::finished;
  calm.output = {"a", "b"};
  Script stormy;
  stormy.output = {"a", "b", "b"};
  const Scenario scenario =
      scenario_of("  - run\n  - kill: any\nexpect:\n  - output: exactly_once\n");
  int worlds = 0;
  const auto report =
      ScenarioRunner(scenario, [&](const Scenario& one) -> Result<std::unique_ptr<ScenarioWorld>> {
        if (++worlds == 2) CHECK(one.steps.size() == 2);
        return std::make_unique<FakeWorld>(worlds == 1 ? stormy : calm);
      }).run();
  REQUIRE(report);
  CHECK(worlds == 2);
  CHECK(calm.seen == std::vector<std::string>{"start"});
  CHECK_FALSE(report->passed());
  CHECK_THAT(report->failures().at(0),
             Contains("expected those of a run without faults, 2 lines, found 3 lines, of which 1 "
                      "are too many, such as 'b'"));
}

TEST_CASE("state is compared as JSON, and the first difference is told", "[simulation]") {
  Script script;
  script.snapshots.emplace("/savepoint", counts(R"({"a":1,"b":[2]})"));
  script.snapshots.emplace("/stop", counts(R"({"a":1,"b":[3]})"));
  const std::string steps = "  - run\n  - savepoint: s\n  - stop: t\n";
  const auto state = [&](const std::string& what) {
    return expected("state: {in: s, operator: count, name: n, " + what + "}", script, steps);
  };
  CHECK(state("equals: {a: 1, b: [2]}").met);
  CHECK(state("contains: {b: [2]}").met);
  CHECK(state("keys: 2").met);
  CHECK(state("equals: {a: 1}").found == "also 'b': [2]");
  CHECK(state("equals: {a: \"1\", b: [2]}").found == "'a': 1");
  CHECK(state("contains: {c: 1}").found == "no key 'c'");
  CHECK_FALSE(state("keys: 3").met);
  CHECK(expected("state: {in: s, operator: source, name: offsets, equals: [1, 2]}", script, steps)
            .met);
  const auto other = expected("state: {in: s, like: t}", script, steps);
  CHECK_FALSE(other.met);
  CHECK(other.found == "in operator 'count', state 'n', 'b': [2]");
}

TEST_CASE("what cannot be looked at is neither so nor the opposite", "[simulation]") {
  Script script;
  script.snapshots.emplace("/savepoint", counts("{}", "it is native"));
  for (const std::string expectation :
       {"state: {in: s, operator: count, name: m, keys: 0}",
        "state: {in: s, operator: count, name: n, keys: 0}",
        "state: {in: latest, operator: count, name: n, keys: 0}",
        "state: {in: s, operator: source, name: offsets, equals: {a: 1}}"})
    for (const bool negated : {false, true}) {
      const auto report = played("  - run\n  - savepoint: s\nexpect:\n  - " +
                                     (negated ? "not: {" + expectation + "}" : expectation) + "\n",
                                 script);
      INFO(expectation);
      CHECK_FALSE(report.passed());
    }
}

TEST_CASE("messages are looked for in their order, and counted", "[simulation]") {
  Script script;
  script.late["savepoint"] = 3;
  script.events = {[](FakeWorld& world) { world.say("client", "JobManager", "TriggerSavepoint"); },
                   [](FakeWorld& world) {
                     world.say("CheckpointCoordinator", "TaskManager:2", "TriggerCheckpoint", 7);
                   },
                   [](FakeWorld& world) {
                     world.say("CheckpointCoordinator", "TaskManager:2", "TriggerCheckpoint", 8);
                   }};
  const std::string steps = "  - run\n  - savepoint: s\n";
  const auto expect = [&](const std::string& what) { return expected(what, script, steps); };
  CHECK(expect("messages: [TriggerSavepoint, TriggerCheckpoint]").met);
  CHECK(expect("messages: [{client -> JobManager: TriggerSavepoint}, {any -> TaskManager: "
               "TriggerCheckpoint}]")
            .met);
  CHECK(expect("messages: [{any -> TaskManager:2: TriggerCheckpoint}]").met);
  CHECK_FALSE(expect("messages: [{any -> TaskManager:1: TriggerCheckpoint}]").met);
  const auto order = expect("messages: [TriggerCheckpoint, TriggerSavepoint]");
  CHECK_FALSE(order.met);
  CHECK_THAT(order.found, Contains("'TriggerSavepoint' not behind 'TriggerCheckpoint'"));
  CHECK_FALSE(
      expect(
          "messages: [TriggerSavepoint, TriggerCheckpoint, TriggerCheckpoint, TriggerCheckpoint]")
          .met);
  CHECK_FALSE(
      expect(
          "messages: {of: s, in_order: [TriggerSavepoint, TriggerCheckpoint, TriggerCheckpoint]}")
          .met);
  CHECK(expect("message: {is: TriggerCheckpoint, times: 2}").met);
  CHECK(expect("message: {is: TriggerCheckpoint, of: s, times: 1}").met);
  CHECK(expect("message: {is: TriggerCheckpoint, checkpoint: 8, at_most: 1}").met);
  CHECK_FALSE(expect("message: {is: TriggerCheckpoint, at_least: 3}").met);
  CHECK_FALSE(expect("message: CancelJob").met);
  CHECK(expect("message: {client -> JobManager: TriggerSavepoint}").met);
}

TEST_CASE("the job, its checkpoints, declines and what the user is told are compared",
          "[simulation]") {
  Script script;
  script.job.state = JobState::failed;
  script.job.failure = "operator 'count': bad luck";
  script.job.restarts = 2;
  script.job.checkpoints_completed = 5;
  script.job.checkpoints_failed = 1;
  script.job.restored_directory = "/savepoint";
  script.told = "weir: warning: mind the gap\nweir: bye\n";
  script.late["savepoint"] = 1;
  script.events = {[](FakeWorld& world) {
    world.say("Task:1/0", "JobManager", "DeclineCheckpoint", 7);
    auto& message = const_cast<SeenMessage&>(world.messages().back());
    message.reason = "snapshot_failed";
    message.detail = "the file is too large";
  }};
  const std::string steps = "  - run\n  - savepoint: s\n";
  const auto met = [&](const std::string& what) { return expected(what, script, steps).met; };
  CHECK(met("job: failed"));
  CHECK_FALSE(met("job: finished"));
  CHECK(met("job: {failure: bad luck, restarts: 2, restored_from: s}"));
  CHECK_FALSE(met("job: {failure: good luck}"));
  CHECK_FALSE(met("job: {restarts: 1}"));
  CHECK(met("checkpoints: 5"));
  CHECK(met("checkpoints: {at_least: 4, at_most: 6, failed: 1}"));
  CHECK_FALSE(met("checkpoints: {failed: 0}"));
  CHECK(met("declined: snapshot_failed"));
  CHECK(met("declined: {contains: too large, of: s}"));
  CHECK_FALSE(met("declined: task_not_ready"));
  CHECK(met("told: mind the gap"));
  CHECK_FALSE(met("told: nonsense"));
  CHECK(met("within: 1 s"));
  CHECK_FALSE(met("within: 5 ms"));
  CHECK(met("snapshot: {name: s, is: gone}"));
  script.snapshots.emplace("/savepoint", error(Errc::corruption, "block 3 is damaged"));
  CHECK(met("snapshot: {name: s, is: damaged}"));
  CHECK_FALSE(met("snapshot: s"));
}

TEST_CASE("an expectation among the steps is looked at there, and ends the run if it is not so",
          "[simulation]") {
  Script script;
  script.job.restarts = 1;
  const auto report = played("  - run\n  - expect: [{job: {restarts: 0}}]\n  - cancel\n", script);
  CHECK_FALSE(report.passed());
  CHECK(script.seen == std::vector<std::string>{"start"});
  CHECK_THAT(report.failures().at(0), Contains("s.yaml:7:5: step 'expect: "));
}

TEST_CASE("a report in JUnit's format names files, lines and failures", "[simulation]") {
  Script script;
  script.output = {"<x>"};
  const std::vector<ScenarioReport> reports{
      played("  - run\nexpect:\n  - output: {lines: [\"<y>\"]}\n  - job: created\n", script)};
  const std::string xml = to_junit(reports);
  CHECK_THAT(xml, Contains("<testsuites tests=\"3\" failures=\"1\">"));
  CHECK_THAT(xml, Contains("classname=\"a &amp; b\" name=\"1 steps\""));
  CHECK_THAT(xml,
             Contains("line=\"8\"") && Contains("&lt;y&gt;") && Contains("such as '&lt;x&gt;'"));
  CHECK_THAT(xml, !Contains("<x>"));
}

TEST_CASE("any bytes become text of XML", "[simulation]") {
  CHECK(xml_text("a<b>&\"c\"") == "a&lt;b&gt;&amp;&quot;c&quot;");
  CHECK(xml_text("line\nend\x01") == "line&#10;end?");
  CHECK(xml_text("\xC3\xA4\xE2\x82\xAC") == "\xC3\xA4\xE2\x82\xAC");
  CHECK(xml_text("\xC3") == "?");
  CHECK(xml_text("\xFF\x80") == "??");
}

TEST_CASE("bytes at rest are damaged as a step says", "[simulation]") {
  const std::string bytes(2000, 'a');
  CHECK(damaged(bytes, Damage::flip_bit, 3).value()[3] == '`');
  CHECK(damaged(bytes, Damage::flip_bit, std::nullopt).value()[1000] == '`');
  CHECK(damaged(bytes, Damage::truncate, 3).value() == "aaa");
  CHECK(damaged(bytes, Damage::extend, std::nullopt).value().size() == 2512);
  const std::string zeroed = damaged(bytes, Damage::zero_block, 600).value();
  CHECK(zeroed.find('\0') == 512);
  CHECK(zeroed.rfind('\0') == 1023);
  CHECK(damaged(bytes, Damage::flip_bit, 2000).error().what ==
        "the file has 2000 bytes and none at 2000");
}

}  // namespace weir::test
