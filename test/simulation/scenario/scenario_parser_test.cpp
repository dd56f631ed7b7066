#include "simulation/scenario/scenario_parser.hpp"

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "simulation/scenario/scenario_syntax.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_file_system.hpp"

namespace weir::test {
namespace {

using Catch::Matchers::Contains;
using std::chrono::milliseconds;

/// What stands above the steps of most tests: 4 lines.
const std::string head =
    "scenario: a job\n"
    "cluster: {task_managers: 2, configuration: {execution.checkpointing.interval: 1 s}}\n"
    "job: {library: job.so}\n"
    "steps:\n";
/// The same without checkpoints.
const std::string bare_head = "scenario: a job\ncluster:\njob: {library: job.so}\nsteps:\n";

Result<Scenario> parse(const std::string& yaml) {
  SimulatedFileSystem files;
  files.disk().put("/here/expected.txt", "one\ntwo\n");
  return parse_scenario(yaml, "s.yaml", "/here", files);
}

Scenario parsed(const std::string& yaml) {
  auto scenario = parse(yaml);
  if (!scenario) FAIL(scenario.error().what);
  return std::move(*scenario);
}

template <class T>
T step(const Scenario& scenario, std::size_t index) {
  REQUIRE(index < scenario.steps.size());
  REQUIRE(std::holds_alternative<T>(scenario.steps[index].action));
  return std::get<T>(scenario.steps[index].action);
}

template <class T>
T condition(const Expectation& expectation) {
  REQUIRE(std::holds_alternative<T>(expectation.condition));
  return std::get<T>(expectation.condition);
}

std::string documentation(const std::string& name) {
  const char* root = std::getenv("WEIR_SOURCE_ROOT");
  INFO("WEIR_SOURCE_ROOT must name the source directory; `./dev test` sets it");
  REQUIRE(root != nullptr);
  return std::string(root) + "/docs/" + name;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

constexpr const char* reference_begin =
    "<!-- What follows is written by the tables of the parser. -->\n";
constexpr const char* reference_end = "<!-- The end of what is written by the tables. -->\n";

/// docs/scenarios.md with its reference replaced by that of the parser.
std::string with_reference(std::string text) {
  const std::size_t begin = text.find(reference_begin) + std::string(reference_begin).size();
  const std::size_t end = text.find(reference_end);
  REQUIRE(begin <= end);
  REQUIRE(end != std::string::npos);
  return text.replace(begin, end - begin, "\n" + scenario_reference());
}

}  // namespace

TEST_CASE("a scenario is read into plain structs, and every step knows its place", "[simulation]") {
  const Scenario scenario = parsed(R"(scenario: everything
description: of it
time_limit: 2 min
cluster:
  task_managers: 3
  slots: 2
  configuration: {state.backend: rocksdb, restart-strategy: {type: none}}
job:
  source: job.cpp
  arguments: --input ${work}/a  --n 3
  parallelism: 4
  configuration: {execution.checkpointing.interval: 100 ms}
files:
  a: {lines: [x, y], repeat: 2, numbered: true}
  b/c: "text"
steps:
  - run: {parallelism: 2, backend: memory, arguments: [--more, "a b"]}
  - wait: {records: 5, by: count, within: 3 s}
  - wait: running
  - wait: {message: {any -> Task:0/1: TriggerCheckpoint}, times: 2}
  - savepoint: {name: first, type: native, background: true}
  - checkpoint
  - kill: {process: task manager 3, after_file_operations: 7}
  - cut: {from: job manager, to: task manager 1}
  - delay_message: {message: {Task -> JobManager: AcknowledgeCheckpoint}, nth: 2, checkpoint: 9, time: 1 s}
  - corrupt: {snapshot: first, how: truncate, at: 0, file: metadata}
  - fail_io: {operation: sync, error: ENOSPC, always: true}
  - clock_jump: -1 h
  - stop: {name: last, drain: true, fails: no}
  - expect:
      - job: {state: running, restarts: 0}
expect:
  - not: {output: exactly_once}
  - state: {in: first, operator: count, name: n, equals: {a: 1, "b": "1", c: [1.5, true, null]}}
)");
  CHECK(scenario.name == "everything");
  CHECK(scenario.description == "of it");
  CHECK(scenario.time_limit == std::chrono::minutes(2));
  CHECK(scenario.cluster.task_managers == 3);
  CHECK(scenario.cluster.slots == 2);
  CHECK(scenario.cluster.configuration ==
        std::map<std::string, std::string>{{"restart-strategy", "none"},
                                           {"state.backend", "rocksdb"}});
  CHECK(scenario.job.is_source);
  CHECK(scenario.job.arguments == std::vector<std::string>{"--input", "${work}/a", "--n", "3"});
  CHECK(scenario.job.parallelism == 4);
  CHECK(scenario.job.place == Place{9, 3});
  REQUIRE(scenario.files.size() == 2);
  CHECK(scenario.files[0].content == "0 x\n1 y\n2 x\n3 y\n");
  CHECK(scenario.files[1].content == "text");

  const auto run = step<StartStep>(scenario, 0);
  CHECK(run.parallelism == 2);
  CHECK(run.backend == "memory");
  CHECK(run.more_arguments == std::vector<std::string>{"--more", "a b"});
  CHECK(scenario.steps[0].place == Place{17, 5});
  CHECK(scenario.steps[1].place == Place{18, 5});
  CHECK(scenario.steps[1].text == "wait: {records: 5, by: count, within: 3 s}");
  CHECK(scenario.steps[1].within == std::chrono::seconds(3));
  CHECK(step<WaitStep>(scenario, 1).records == 5U);
  CHECK(step<WaitStep>(scenario, 1).operator_uid == "count");
  CHECK(step<WaitStep>(scenario, 2).state == JobState::running);
  CHECK(step<WaitStep>(scenario, 3).message ==
        MessagePattern{"", "Task:0/1", "TriggerCheckpoint", std::nullopt});
  CHECK(step<WaitStep>(scenario, 3).times == 2);
  const auto savepoint = step<SavepointStep>(scenario, 4);
  CHECK(savepoint.name == "first");
  CHECK(savepoint.form == SnapshotForm::native);
  CHECK(savepoint.asking.background);
  CHECK(step<CheckpointStep>(scenario, 5).name.empty());
  CHECK(step<KillStep>(scenario, 6).process == ProcessName{ProcessKind::task_manager, 3});
  CHECK(step<KillStep>(scenario, 6).after_file_operations == 7);
  CHECK(step<CutStep>(scenario, 7).one_way);
  const auto delay = step<MessageFaultStep>(scenario, 8);
  CHECK(delay.fault == MessageFault::delayed);
  CHECK(delay.message == MessagePattern{"Task", "JobManager", "AcknowledgeCheckpoint", 9});
  CHECK(delay.nth == 2);
  CHECK(delay.time == std::chrono::seconds(1));
  const auto corrupt = step<CorruptStep>(scenario, 9);
  CHECK(corrupt.damage == Damage::truncate);
  CHECK(corrupt.metadata);
  CHECK(corrupt.at == 0U);
  CHECK(step<FailIoStep>(scenario, 10).times == 0);
  CHECK(step<ClockJumpStep>(scenario, 11).by == -std::chrono::hours(1));
  CHECK(step<SavepointStep>(scenario, 12).asking.fails == "no");
  const auto now = step<ExpectStep>(scenario, 13);
  REQUIRE(now.expectations.size() == 1);
  CHECK(condition<JobExpectation>(now.expectations[0]).restarts == 0U);

  REQUIRE(scenario.expectations.size() == 2);
  CHECK(scenario.expectations[0].negated);
  CHECK(scenario.expectations[0].place == Place{33, 5});
  CHECK(condition<OutputExpectation>(scenario.expectations[0]).exactly_once);
  CHECK(condition<StateExpectation>(scenario.expectations[1]).equals ==
        R"({"a":1,"b":"1","c":[1.5,true,null]})");
}

TEST_CASE("a slow disk, a late repetition and files are read", "[simulation]") {
  const Scenario scenario =
      parsed(head +
             "  - slow_disk: {process: task manager 1, time: 3 s}\n"
             "  - repeat_message: {message: CancelTask, times: 2, time: 5 s}\n"
             "  - repeat_message: CancelTask\n"
             "  - run\nexpect:\n  - files: a/*\n  - files: {like: b, at_least: 2, at_most: 3}\n");
  CHECK(step<SlowDiskStep>(scenario, 0).process == ProcessName{ProcessKind::task_manager, 1});
  CHECK(step<SlowDiskStep>(scenario, 0).time == std::chrono::seconds(3));
  CHECK(step<MessageFaultStep>(scenario, 1).times == 2);
  CHECK(step<MessageFaultStep>(scenario, 1).time == std::chrono::seconds(5));
  CHECK(step<MessageFaultStep>(scenario, 2).time == std::chrono::seconds(0));
  CHECK(condition<FilesExpectation>(scenario.expectations[0]).like == "a/*");
  CHECK_FALSE(condition<FilesExpectation>(scenario.expectations[0]).count);
  CHECK(condition<FilesExpectation>(scenario.expectations[1]).at_least == 2U);
  CHECK(condition<FilesExpectation>(scenario.expectations[1]).at_most == 3U);
}

TEST_CASE("the lines that are expected may lie in a file", "[simulation]") {
  const Scenario scenario = parsed(head + "  - run\nexpect:\n  - output: {file: expected.txt}\n");
  CHECK(condition<OutputExpectation>(scenario.expectations[0]).lines ==
        std::vector<std::string>{"one", "two"});
}

TEST_CASE("variables are replaced by directories", "[simulation]") {
  Scenario scenario;
  scenario.directory = "/s";
  CHECK(replace_variables("a${work}b${output}c${scenario}d${work}$", scenario, {"/w", "/w/o"}) ==
        "a/wb/w/oc/sd/w$");
}

TEST_CASE("what is wrong with a scenario is said in one sentence with its place", "[simulation]") {
  struct Row {
    std::string yaml;
    std::string sentence;  ///< or its begin
  };
  const std::vector<Row> rows = {
      // the file
      {"", "s.yaml: a scenario is a mapping"},
      {"a: [", "s.yaml:1:1: this is no YAML: "},
      {"scenario: a\n---\nb: 1\n", "s.yaml:2:1: a second document begins; only one is allowed"},
      {"scenario: &x [1]\njob: *x\n", "s.yaml:2:6: aliases are not read; write the value again"},
      {"scenario: " + std::string(40, '[') + std::string(40, ']'),
       "s.yaml:1:34: values are nested more than 24 deep"},
      {std::string("scenario: a\0b", 13), "s.yaml: the file holds a zero byte; a scenario is text"},
      {std::string(2 << 20, ' '), "s.yaml: the file is larger than 1 MiB"},
      {"[" +
           [] {
             std::string many;
             for (int i = 0; i < 60'000; ++i) many += "1,";
             return many;
           }() +
           "1]",
       "s.yaml:1:100000: the file has more than 50000 values"},
      {"- run\n", "s.yaml:1:1: a scenario is a mapping"},
      {"scenario: a\njbo: {}\n", "s.yaml:2:1: 'jbo' is no key of 'scenario'; did you mean 'job'?"},
      {"scenario: a\nscenario: b\n", "s.yaml:2:1: 'scenario' stands twice; remove one of the two"},
      {"scenario:\n", "s.yaml:1:1: 'scenario' has no value; write one or remove the line"},
      {"scenario: ''\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:1:1: 'scenario' is empty; write what the scenario shows"},
      {"scenario: a\nsteps: [run]\n", "s.yaml:1:1: 'scenario' needs 'job'"},
      {"scenario: a\njob: {library: a}\n", "s.yaml:1:1: 'scenario' needs 'steps'"},
      {"scenario: a\ntime_limit: 0\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:1: 'time_limit' is 0"},
      {"scenario: a\ntime_limit: -1 s\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:13: 'time_limit' has '-1 s', which is below 0; write a whole number and a unit"},
      {"scenario: a\ntime_limit: 2000 d\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:13: 'time_limit' has '2000 d', which is too much"},
      {"scenario: a\ntime_limit: 5 minutes\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:13: 'time_limit' has '5 minutes'; write"},
      // cluster, job and files
      {"scenario: a\ncluster: 3\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:10: 'cluster' has '3'; write its keys"},
      {"scenario: a\ncluster: {task_managers: 65}\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:11: 'task_managers' has '65'; 64 is the most"},
      {"scenario: a\ncluster: {task_managers: 0}\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:26: 'task_managers' has '0'; write a whole number from 1"},
      {"scenario: a\ncluster: {configuration: {state.backnd: fs}}\njob: {library: a}\nsteps: "
       "[run]\n",
       "s.yaml:2:27: 'state.backnd' is no configuration key; did you mean 'state.backend'?"},
      {"scenario: a\ncluster: {configuration: [1]}\njob: {library: a}\nsteps: [run]\n",
       "s.yaml:2:26: 'configuration' has a list"},
      {"scenario: a\njob: {arguments: a}\nsteps: [run]\n",
       "s.yaml:2:1: 'job' needs library or source"},
      {"scenario: a\njob: {library: a, source: b}\nsteps: [run]\n",
       "s.yaml:2:19: 'job' has 'library' and 'source'; only one of them can stand there"},
      {"scenario: a\njob: {library: ''}\nsteps: [run]\n", "s.yaml:2:7: 'library' is empty"},
      {"scenario: a\njob: {library: a, parallelism: many}\nsteps: [run]\n",
       "s.yaml:2:32: 'parallelism' has 'many'; write a whole number from 1"},
      {"scenario: a\njob: {library: a}\nfiles: {../x: a}\nsteps: [run]\n",
       "s.yaml:3:9: '../x' does not name a file below ${work}"},
      {"scenario: a\njob: {library: a}\nfiles: {x: {lines: [a], text: b}}\nsteps: [run]\n",
       "s.yaml:3:13: 'file' has 'text' and 'lines'"},
      {"scenario: a\njob: {library: a}\nfiles: {x: {lines: [abcdefghij], repeat: "
       "999999999999}}\nsteps: [run]\n",
       "s.yaml:3:9: the files are larger than 256 MiB together"},
      {"scenario: a\njob: {library: a}\nfiles: {x: {copy: not there}}\nsteps: [run]\n",
       "s.yaml:3:13: /here/not there: "},
      // steps
      {"scenario: a\njob: {library: a}\nsteps: run\n",
       "s.yaml:3:8: 'steps' has 'run'; write a list of steps"},
      {"scenario: a\njob: {library: a}\nsteps: []\n",
       "s.yaml:3:8: 'steps' has a list; write a list of steps"},
      {head + "  - run\n  - savepiont: a\n",
       "s.yaml:6:5: 'savepiont' is no step; did you mean 'savepoint'?"},
      {head + "  - frobnicate\n",
       "s.yaml:5:5: 'frobnicate' is no step; write run, restore, wait, "},
      {head + "  - [run]\n",
       "s.yaml:5:5: a list stands where a step should; write its name, or 'name: value'"},
      {head + "  - run:\n    wait: running\n",
       "s.yaml:6:5: 'wait' stands beside 'run'; begin each step with a dash"},
      {head + "  - run\n  - savepoint\n",
       "s.yaml:6:5: 'savepoint' has no value; its keys are name, type, "},
      {head + "  - run: 3\n", "s.yaml:5:10: 'run' has '3'; write its keys, each with a value"},
      {head + "  - run: {backend: rokcsdb}\n",
       "s.yaml:5:20: 'backend' has 'rokcsdb'; did you mean 'rocksdb'? write memory, filesystem or "
       "rocksdb"},
      {head + "  - run: {parallelism: 0}\n",
       "s.yaml:5:24: 'parallelism' has '0'; write a whole number from 1"},
      {head + "  - run: {parallelism: 100000}\n",
       "s.yaml:5:11: 'parallelism' has '100000'; 1024 is the most"},
      {head + "  - run: {fails: a, may_fail: true}\n",
       "s.yaml:5:21: a step that must fail need not say that it may"},
      {head + "  - run: {background: maybe}\n",
       "s.yaml:5:23: 'background' has 'maybe'; write true or false"},
      {head + "  - run: {background: true, within: 1 s}\n",
       "s.yaml:5:29: a step in the background does not wait"},
      {head + "  - run: {within: 0 s}\n", "s.yaml:5:11: nothing is done within 0 ms"},
      {head + "  - run\n  - run\n", "s.yaml:6:5: the job still runs here"},
      {head + "  - savepoint: a\n", "s.yaml:5:5: no job was started before; begin with 'run'"},
      {head + "  - wait: running\n",
       "s.yaml:5:5: no job was started before, so that this never comes"},
      {head + "  - run\n  - stop: a\n  - cancel\n", "s.yaml:7:5: the job has ended before"},
      {head + "  - run\n  - savepoint: a\n  - savepoint: a\n",
       "s.yaml:7:16: an earlier step has the name 'a' too"},
      {head + "  - run\n  - savepoint: latest\n",
       "s.yaml:6:16: 'latest' always means the newest snapshot"},
      {head + "  - run\n  - cancel\n  - restore: nowhere\n",
       "s.yaml:7:14: no step before takes a snapshot called 'nowhere'; there is none"},
      {head + "  - run\n  - stop: first\n  - restore: frist\n",
       "s.yaml:7:14: no step before takes a snapshot called 'frist'; did you mean 'first'?"},
      {head + "  - run\n  - cancel\n  - restore: {from: latest, claim: true}\n",
       "s.yaml:7:29: a job that goes on from latest has its checkpoints already"},
      {bare_head + "  - run\n  - cancel\n  - restore: latest\n",
       "s.yaml:7:14: there is no latest checkpoint: no 'execution.checkpointing.interval' is set"},
      {bare_head + "  - run\n  - wait: {checkpoints: 1}\n", "s.yaml:6:5: no checkpoint ever comes"},
      {bare_head + "  - run\n  - wait: {checkpoint: 3}\n", "s.yaml:6:5: no checkpoint ever comes"},
      {head + "  - run\n  - wait: {}\n", "s.yaml:6:5: 'wait' needs records, state, checkpoints"},
      {head + "  - run\n  - wait: {records: 1, output: 2}\n",
       "s.yaml:6:24: 'wait' has 'records' and 'output'"},
      {head + "  - run\n  - wait: {output: 1, by: x}\n",
       "s.yaml:6:23: 'by' says who takes in 'records'"},
      {head + "  - run\n  - wait: {output: 1, times: 2}\n",
       "s.yaml:6:23: 'times' counts a 'message'"},
      {head + "  - run\n  - wait: {answers: false}\n", "s.yaml:6:12: 'answers' is false"},
      {head + "  - run\n  - wait: {records: -1}\n",
       "s.yaml:6:21: 'records' has '-1'; write a whole number from 1"},
      {head + "  - run\n  - wait: finnished\n",
       "s.yaml:6:11: 'state' has 'finnished'; did you mean 'finished'? write created"},
      {head + "  - run\n  - wait: {message: TriggerSavepiont}\n",
       "s.yaml:6:21: 'TriggerSavepiont' is no message; did you mean 'TriggerSavepoint'?"},
      {head + "  - run\n  - wait: {message: {klient -> JobManager: TriggerSavepoint}}\n",
       "s.yaml:6:22: 'klient' is no actor; did you mean 'client'?"},
      {head + "  - run\n  - wait: {message: {client->JobManager: TriggerSavepoint}}\n",
       "s.yaml:6:22: 'client->JobManager' does not name two actors"},
      {head + "  - kill: task manager 3\n",
       "s.yaml:5:11: there is no task manager 3: the cluster has 2"},
      {head + "  - kill: taskmanager\n",
       "s.yaml:5:11: 'process' has 'taskmanager'; write job manager, task manager N, everything, "
       "host or any"},
      {head + "  - start: host\n", "s.yaml:5:12: 'host' cannot be started"},
      {head + "  - resume: any\n", "s.yaml:5:5: nothing was paused before"},
      {head + "  - cut: [job manager]\n", "s.yaml:5:10: 'between' needs a list of two"},
      {head + "  - cut: [client, client]\n", "s.yaml:5:10: both ends of the link are 'client'"},
      {head + "  - cut: {from: client}\n", "s.yaml:5:5: 'cut' needs 'to' beside 'from'"},
      {head + "  - cut: {between: [client, job manager], to: client}\n",
       "s.yaml:5:43: 'cut' has 'between' and 'to'"},
      {head + "  - delay_message: TriggerCheckpoint\n", "s.yaml:5:5: 'delay_message' needs 'time'"},
      {head + "  - delay_message: {message: TriggerCheckpoint}\n",
       "s.yaml:5:5: 'delay_message' needs 'time'"},
      {head + "  - slow_disk: job manager\n", "s.yaml:5:5: 'slow_disk' needs 'time'"},
      {head + "  - slow_disk: {process: job manager, time: 0}\n",
       "s.yaml:5:39: a disk that waits for 0 ms is not slow"},
      {head + "  - drop_message: {message: TriggerCheckpoint, nth: 0}\n",
       "s.yaml:5:53: 'nth' has '0'; write a whole number from 1"},
      {head + "  - fill_disk: 3 bananas\n", "s.yaml:5:16: 'leave' has '3 bananas'; write bytes"},
      {head + "  - fail_io: {times: 2, always: true}\n",
       "s.yaml:5:15: 'fail_io' has 'times' and 'always'"},
      {head + "  - fail_io: {error: EBADF}\n", "s.yaml:5:22: 'error' has 'EBADF'; write ENOSPC, "},
      {head + "  - clock_jump: soon\n",
       "s.yaml:5:17: 'by' has 'soon'; write a whole number and a unit"},
      {head +
           [] {
             std::string many;
             for (int i = 0; i < 1001; ++i) many += "  - heal\n";
             return many;
           }(),
       "s.yaml:5:3: there are 1001 steps; 1000 are the most"},
      // expectations
      {head + "  - run\nexpect: {job: finished}\n",
       "s.yaml:6:9: 'expect' has a mapping; write a list of expectations"},
      {head + "  - run\nexpect:\n  - jobb: finished\n",
       "s.yaml:7:5: 'jobb' is no expectation; did you mean 'job'?"},
      {head + "  - run\nexpect:\n  - not: {not: {job: finished}}\n",
       "s.yaml:7:5: 'not' stands in 'not'; remove both"},
      {head + "  - run\nexpect:\n  - not: {}\n",
       "s.yaml:7:10: a mapping stands where an expectation should"},
      {head + "  - run\nexpect:\n  - job: {}\n",
       "s.yaml:7:5: 'job' needs one of state, failure, restarts or restored_from"},
      {head + "  - run\nexpect:\n  - checkpoints: {at_least: 3, at_most: 2}\n",
       "s.yaml:7:32: no number is at least 3 and at most 2"},
      {head + "  - run\nexpect:\n  - message: {is: Heartbeat, times: 3, at_least: 2}\n",
       "s.yaml:7:40: 'times' and 'at_least' stand beside each other"},
      {head + "  - run\nexpect:\n  - files: {count: 2}\n", "s.yaml:7:5: 'files' needs 'like'"},
      {head + "  - run\nexpect:\n  - files: {like: a, count: 2, at_most: 3}\n",
       "s.yaml:7:32: 'count' and 'at_most' stand beside each other"},
      {head + "  - run\nexpect:\n  - within: -3 s\n",
       "s.yaml:7:13: 'time' has '-3 s', which is below 0"},
      {head + "  - run\nexpect:\n  - within: 0\n", "s.yaml:7:5: nothing is done within 0 ms"},
      {head + "  - run\nexpect:\n  - told: ''\n", "s.yaml:7:5: 'told' is empty"},
      {head + "  - run\nexpect:\n  - output: {}\n",
       "s.yaml:7:5: 'output' needs is, lines, file, contains or count"},
      {head + "  - run\nexpect:\n  - output: {file: nothing.txt}\n",
       "s.yaml:7:14: /here/nothing.txt: "},
      {head + "  - run\nexpect:\n  - state: {in: latest, equals: {a: 1}}\n",
       "s.yaml:7:5: 'state' needs 'operator'"},
      {head + "  - run\n  - savepoint: a\nexpect:\n  - state: {in: a, like: latest, name: x}\n",
       "s.yaml:8:34: 'like' compares all keyed state"},
      {head + "  - run\nexpect:\n  - state: {in: latest, operator: a, name: b, equals: 3}\n",
       "s.yaml:7:47: 'equals' needs a mapping from keys to values"},
      {head + "  - run\nexpect:\n  - state: {in: latest, operator: a, name: b, equals: {x: 1, x: "
              "2}}\n",
       "s.yaml:7:62: 'x' stands twice"},
      {head + "  - run\nexpect:\n  - snapshot: mine\n",
       "s.yaml:7:15: no step before takes a snapshot called 'mine'"},
      {head + "  - run\nexpect:\n  - messages: []\n",
       "s.yaml:7:15: 'in_order' has a list; write a list of messages"},
      {head + "  - run\nexpect:\n  - messages: {of: x}\n",
       "s.yaml:7:5: 'messages' needs 'in_order'"},
      {head + "  - run\nexpect:\n  - declined: {reason: because}\n",
       "s.yaml:7:24: 'reason' has 'because'; write task_not_ready"},
      {head + "  - run\n  - expect: []\n",
       "s.yaml:6:13: 'expect' has a list; write a list of expectations"},
  };
  for (const Row& row : rows) {
    const auto scenario = parse(row.yaml);
    INFO("expected " << row.sentence);
    INFO("in\n" << row.yaml.substr(0, 300));
    REQUIRE_FALSE(scenario);
    CHECK(scenario.error().what.substr(0, row.sentence.size()) == row.sentence);
    CHECK(scenario.error().what.find('\n') == std::string::npos);
  }
}

TEST_CASE("a job may be started again when it has ended, or may have", "[simulation]") {
  for (const std::string end :
       {"stop: a", "cancel_with_savepoint: a", "cancel", "kill: job manager", "kill: any",
        "kill: everything", "wait: finished", "wait: failed", "cancel: {background: true}",
        "stop: {name: a, may_fail: true}"}) {
    INFO(end);
    CHECK(parse(head + "  - run\n  - " + end + "\n  - restore: latest\n"));
  }
  // A request to a job that has ended is right if it says how it fails.
  CHECK(parse(head + "  - run\n  - cancel\n  - savepoint: {name: a, fails: canceled}\n"));
  // A job that could not be started can be.
  CHECK(parse(head + "  - run: {fails: no such file}\n  - run\n"));
}

TEST_CASE("whatever is in a file, reading it ends with a scenario or one sentence",
          "[simulation]") {
  const std::string good =
      head +
      "  - run: {parallelism: 2}\n  - wait: {records: 5, by: 'a b'}\n  - savepoint: {name: s, "
      "type: native}\n"
      "  - delay_message: {message: {client -> JobManager: CancelJob}, time: 3 s}\n  - corrupt: s\n"
      "  - stop: t\nexpect:\n  - state: {in: s, operator: o, name: n, equals: {a: [1, \"x\", "
      "null]}}\n"
      "  - not: {messages: [TriggerSavepoint, {any -> Task: StartTask}]}\n";
  const std::string_view pieces[] = {"{",   "}",  "[",   "]",   ": ", "- ",   "\n", "\"",    "'",
                                     "&a ", "*a", "!x ", "|\n", "\t", "\xff", "?",  "---\n", "%"};
  SeededRandom random(1);
  std::size_t read = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string yaml = good;
    for (std::uint64_t n = random.next() % 4 + 1; n > 0; --n) {
      const std::size_t at = random.next() % yaml.size();
      switch (random.next() % 4) {
        case 0:
          yaml.erase(at, random.next() % 20 + 1);
          break;
        case 1:
          yaml.insert(at, pieces[random.next() % std::size(pieces)]);
          break;
        case 2:
          yaml[at] = static_cast<char>(random.next());
          break;
        default:
          yaml.insert(at, yaml.substr(random.next() % yaml.size(), random.next() % 30));
      }
      if (yaml.empty()) yaml = "x";
    }
    const auto scenario = parse(yaml);
    INFO(yaml);
    if (scenario) {
      ++read;
      continue;
    }
    if (!scenario.error().what.starts_with("s.yaml")) FAIL(scenario.error().what);
  }
  CHECK(parse(good));
  CHECK(read > 30);
  CHECK(read < 2500);
}

TEST_CASE("a missing file and a directory are told", "[simulation]") {
  SimulatedFileSystem files;
  files.disk().put("/here/a/s.yaml", "scenario: a\njob: {library: x}\nsteps: [run]\n");
  CHECK(read_scenario(files, "b.yaml", "/here").error().what ==
        "b.yaml: there is no such scenario file");
  CHECK_THAT(read_scenario(files, "a", "/here").error().what, Contains("this is a directory"));
  const auto scenario = read_scenario(files, "a/s.yaml", "/here");
  REQUIRE(scenario);
  CHECK(scenario->directory == "/here/a");
  CHECK(scenario->path == "a/s.yaml");
}

TEST_CASE("no name of a step, expectation or key comes twice, and short forms are keys",
          "[simulation]") {
  for (const auto items : {scenario_steps(), scenario_expectations()}) {
    std::set<std::string_view> names;
    for (const ScenarioItem& item : items) {
      INFO(item.name);
      CHECK(names.insert(item.name).second);
      std::set<std::string_view> keys;
      for (const ScenarioField& field : item.fields) {
        INFO(field.name);
        CHECK(keys.insert(field.name).second);
        CHECK_FALSE(field.about.empty());
      }
      if (!item.main.empty()) CHECK(keys.contains(item.main));
      for (const auto& list : {item.required, item.one_of})
        for (const std::string_view name : list) CHECK(keys.contains(name));
    }
  }
}

TEST_CASE("the schema and the reference are what the tables of the parser say", "[simulation]") {
  INFO("to write them anew, run this program with '[.write-documentation]'");
  CHECK(read(documentation("scenario.schema.json")) == scenario_schema());
  const std::string text = read(documentation("scenarios.md"));
  CHECK(text == with_reference(text));
  // Every step and expectation of the tables is one of the schema.
  const auto schema = nlohmann::json::parse(scenario_schema());
  for (const auto& [kind, items] :
       {std::pair{"step", scenario_steps()}, {"expectation", scenario_expectations()}}) {
    const auto& properties = schema["$defs"][kind]["anyOf"][1]["properties"];
    CHECK(properties.size() == items.size());
    for (const ScenarioItem& item : items) CHECK(properties.contains(std::string(item.name)));
  }
}

TEST_CASE("writes the schema and the reference", "[.write-documentation]") {
  std::ofstream(documentation("scenario.schema.json"), std::ios::binary) << scenario_schema();
  const std::string text = with_reference(read(documentation("scenarios.md")));
  std::ofstream(documentation("scenarios.md"), std::ios::binary) << text;
}

}  // namespace weir::test
