#!/usr/bin/env python3
"""`weir scenario` as a user runs it, over real processes."""

import os
import re
import signal
import sys
import xml.etree.ElementTree as ElementTree

import harness
from harness import case, check, equal, refused, wait_until

HEAD = """scenario: numbered lines
cluster: {configuration: {state.backend: filesystem, execution.checkpointing.interval: 50 ms}}
job:
  library: numbered_lines.so
  arguments: --input ${work}/lines.txt --output ${output} --rate 4000
  parallelism: 2
files:
  lines.txt: {lines: [line], repeat: 3000, numbered: true}
"""
DOCUMENTATION = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "scenarios.md")


def scenario(place, body, head=HEAD, name="s.yaml"):
    return place.write(name, head + body)


def run(place, path, *words):
    return place.weir("scenario", "run", path, "--jobs", harness.paths.jobs, "--jobs", harness.paths.examples, *words)


def passes(place, path, *words):
    result = run(place, path, *words)
    equal((result.code, result.err), (0, ""), "what a scenario that passes gives, with", result.out)
    check(result.out.startswith("passed: "), result.out)
    return result


def fails(place, body, *parts):
    """A scenario whose steps or expectations fail: exit code 1, and one line for each failure with its place."""
    result = run(place, scenario(place, body))
    equal((result.code, result.err), (1, ""), "what a scenario that fails gives, with", result.out)
    check(result.out.startswith("FAILED: "), result.out)
    for part in parts:
        check(part in result.out, repr(part), "is not in", result.out)
    return result


@case("a new scenario runs as it is, and can be drawn and reported")
def template(place):
    path = place / "new.yaml"
    place.good("scenario", "new", path)
    junit, diagram = place / "junit.xml", place / "diagram.svg"
    passes(place, path, "--junit", junit, "--diagram", diagram)
    suites = ElementTree.parse(junit).getroot()
    equal((suites.get("tests"), suites.get("failures")), ("6", "0"), "tests and failures in the report")
    drawing = ElementTree.parse(diagram).getroot()
    texts = ["".join(element.itertext()) for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("kill: job manager", "TriggerSavepoint", "JobManager", "Task 0/0", "1", "2", "3–5", "6–7", "8"):
        check(text in texts, text, "is not in the diagram:", texts)
    refused(place.weir("scenario", "new", path), 1, "is there already")
    printed = place.good("scenario", "new")
    equal(printed, harness.read(path), "the scenario on standard output")


@case("every example in docs/scenarios.md passes")
def documented(place):
    with open(DOCUMENTATION, encoding="utf-8") as file:
        examples = re.findall(r"^```yaml\n(.*?)^```", file.read(), re.S | re.M)
    equal(len(examples), 3, "examples")
    paths = [place.write(f"example-{i}.yaml", example) for i, example in enumerate(examples)]
    result = run(place, paths[0], *paths[1:])
    equal((result.code, result.err), (0, ""), "what the examples give, with", result.out)
    equal(result.out.count("passed: "), 3, "examples that passed:", result.out)


SURVIVES = """steps:
  - run
  - wait: {output: 200}
  - savepoint: first
  - kill: job manager
  - restore: latest
  - wait: {checkpoints: 2}
  - cancel_with_savepoint: {name: second, type: native}
  - restore: {from: second, parallelism: 3, backend: rocksdb}
  - savepoint: third
  - wait: {state: finished, within: 10 min}
expect:
"""
TRUE = ["output: exactly_once", "output: {count: 3000}", "job: finished", "job: {restored_from: second, restarts: 0}",
        "checkpoints: {at_least: 1, failed: 0}", "state: {in: first, operator: numbers, name: state, keys: 64}",
        "snapshot: first", "snapshot: {name: third, is: complete}", "message: {is: SubmitJob, times: 3}", "within: 30 min",
        "messages: [SubmitJob, TriggerSavepoint, SubmitJob, CancelJobWithSavepoint, SubmitJob]",
        "messages: {of: second, in_order: [{client -> JobManager: CancelJobWithSavepoint}, {Task -> JobManager: AcknowledgeCheckpoint}, "
        "{JobManager -> client: CancellationSuccess}]}"]


def state_name(place):
    """The name that `map_with_state` gives its state: a question of a state that is not there tells it."""
    result = run(place, scenario(place, "steps:\n  - run\n  - wait: {output: 100}\n  - stop: a\nexpect:\n"
                                        "  - state: {in: a, operator: numbers, name: nothing, keys: 64}\n"))
    found = re.search(r"'numbers': '([^']*)'", result.out)
    check(found, "the states are not told:", result.out)
    return found.group(1)


@case("a job survives a kill, a change of backend and of parallelism, and each expectation fails when it is negated")
def survives(place):
    state = state_name(place)
    true = [one.replace("name: state", f"name: '{state}'") for one in TRUE]
    passes(place, scenario(place, SURVIVES + "".join(f"  - {one}\n" for one in true)))
    result = fails(place, SURVIVES + "".join(f"  - not: {{{one}}}\n" for one in true))
    first = HEAD.count("\n") + SURVIVES.count("\n") + 1
    for i, one in enumerate(true):
        check(f"/s.yaml:{first + i}:5: 'not: " in result.out, "not", one, "does not fail in", result.out)


@case("what fails is told with its place, and ends with 1")
def failing(place):
    fails(place, "steps:\n  - run\n  - wait: finished\nexpect:\n  - output: {count: 3}\n",
          "/s.yaml:13:5: 'output: {count: 3}' is not so: expected 3 lines, found 3000 lines")
    fails(place, "steps:\n  - run\n  - savepoint: a\n  - cancel\n  - wait: {records: 100000}\n",
          "/s.yaml:13:5: step 'wait: {records: 100000}' failed: ", "the job is canceled")
    fails(place, "steps:\n  - run: {arguments: --nonsense 3}\n", "/s.yaml:10:5: step 'run: {arguments: --nonsense 3}' failed: ", "nonsense")


@case("the same files are played in a simulated cluster: what real processes cannot do, and the same seed the same way")
def simulated(place):
    with open(DOCUMENTATION, encoding="utf-8") as file:
        examples = re.findall(r"^```yaml\n(.*?)^```", file.read(), re.S | re.M)
    paths = [place.write(f"example-{i}.yaml", example) for i, example in enumerate(examples)]
    for seed in (1, 2, 3):
        result = run(place, paths[0], *paths[1:], "--simulate", "--seed", seed)
        equal((result.code, result.err), (0, ""), "what the examples give under seed", seed, "with", result.out)
    head = HEAD.replace("cluster: {", "cluster: {task_managers: 2, ").replace("--rate 4000", "--rate 60")
    path = scenario(place, """steps:
  - run
  - wait: {records: 500}
  - drop_message: {message: TriggerCheckpoint, times: 3}
  - cut: [job manager, task manager 1]
  - wait: {time: 2 s}
  - heal
  - wait: {checkpoints: 1}
  - kill: task manager 1
  - start: task manager 1
  - wait: {records: 1000}
  - clock_jump: 1 h
  - savepoint: late
  - kill: host
  - restore: {from: late, parallelism: 3}
  - wait: finished
expect:
  - output: exactly_once
  - output: {count: 3000}
  - not: {output: empty}
""", head)
    times = set()
    for seed in (7, 7, 8):
        result = run(place, path, "--simulate", "--seed", seed)
        equal((result.code, result.err), (0, ""), "what the scenario gives under seed", seed, "with", result.out)
        times.add((seed, result.out))
    equal(len(times), 2, "ways of playing seeds 7, 7 and 8:", times)
    result = run(place, scenario(place, """steps:
  - run
  - wait: finished
expect:
  - output: {count: 2999}
""", head), "--simulate", "--seed", 9)
    equal(result.code, 1, result.out)
    check("weir scenario run --simulate --seed 9 " in result.out, "how to repeat it:", result.out)


@case("what a file says wrongly ends with 2, what is missing with 1, before anything is started")
def wrong(place):
    good = "steps:\n  - run\n"
    refused(run(place, scenario(place, "steps:\n  - ran\n")), 2, "/s.yaml:10:5: 'ran' is no step; did you mean 'run'?")
    refused(run(place, scenario(place, good, HEAD.replace("numbered_lines.so", "nowhere.so"))), 1,
            "/s.yaml:4:3: there is no job library 'nowhere.so'", "--jobs")
    refused(run(place, scenario(place, good + "  - cut: [client, job manager]\n")), 2, "/s.yaml:11:5: step 'cut: [client, job manager]'",
            "with real processes")
    refused(run(place, scenario(place, good + "  - kill: task manager 1\n")), 2, "/s.yaml:11:5", "JobManager and TaskManager are one")
    refused(run(place, scenario(place, good, HEAD.replace("cluster: {", "cluster: {task_managers: 2, "))), 2, "2 task_managers")
    refused(run(place, place / "none.yaml"), 1, "there is no such scenario file")
    good_path = scenario(place, good + "  - cancel\n")
    refused(run(place, scenario(place, good + "  - cut: [client, job manager]\n"), "--simulate"), 2, "/s.yaml:11:5",
            "a client's link", "cut one between")
    refused(run(place, good_path, "--seed", 3), 2, "--seed")
    refused(run(place, good_path, "--simulate", "--real"), 2, "contradict")
    refused(run(place, good_path, good_path, "--diagram", place / "d.svg"), 2, "--diagram draws one scenario")
    refused(place.weir("scenario", "rum", good_path), 2, "'rum' is neither run nor new; did you mean 'run'?")
    refused(place.weir("scenario"), 2, "usage: weir scenario run")
    equal(os.listdir(place / "tmp"), [], "left in the temporary directory")


@case("a source is compiled, and one that does not compile is told with its place")
def compiled(place):
    head = HEAD.replace("library: numbered_lines.so", "source: job.cpp")
    place.write("job.cpp", "#include <weir/weir.hpp>\nusing namespace weir;\nWEIR_JOB(job) {\n"
                           "  env.read_text(env.parameters().all(\"input\"), double(env.parameters().number(\"rate\", 0)))\n"
                           "      .uid(\"lines\").write_files(env.parameters().required(\"output\"), [](const std::string& l) { return l; });\n}\n")
    passes(place, scenario(place, "steps:\n  - run\n  - wait: finished\nexpect:\n  - output: {count: 3000}\n", head))
    place.write("job.cpp", "nonsense\n")
    result = run(place, scenario(place, "steps:\n  - run\n", head))
    equal(result.code, 1, "exit code for a source that does not compile")
    check("s.yaml:4:3: " in result.err and "does not compile" in result.err, result.err)


@case("requests in the background are answered, and a request to a job that has ended fails")
def background(place):
    passes(place, scenario(place, """steps:
  - run
  - wait: {records: 100, by: numbers}
  - savepoint: {name: a, background: true}
  - savepoint: {name: b, background: true, type: native}
  - wait: {answers: true}
  - cancel
  - savepoint: {name: c, may_fail: true}
  - restore: a
  - stop: {name: d, drain: true}
expect:
  - job: finished
  - snapshot: b
""", HEAD.replace(", execution.checkpointing.interval: 50 ms", "")))


@case("a paused job goes on, with and without a time")
def paused(place):
    passes(place, scenario(place, "steps:\n  - run\n  - wait: {output: 100}\n  - pause: job manager\n  - resume: any\n"
                                  "  - pause: {process: any, time: 20 ms}\n  - wait: finished\nexpect:\n  - output: exactly_once\n"))


@case("the files of a run stay with --keep, and nothing stays without it")
def kept(place):
    path = scenario(place, "steps:\n  - run\n  - wait: finished\nexpect:\n  - output: exactly_once\n")
    passes(place, path)
    equal(os.listdir(place / "tmp"), [], "left in the temporary directory")
    passes(place, path, "--keep", place / "kept")
    equal(sorted(os.listdir(place / "kept")), ["s", "s-2"], "directories of the run and of that without faults")
    equal(len(harness.output_lines(os.path.join(place / "kept", "s", "work", "output"))), 3000, "lines kept")
    refused(run(place, path, "--keep", place / "kept"), 1, "name an empty directory with --keep")


@case("no process of a scenario outlives the command, however that ends")
def ended(place):
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = place.start("scenario", "run", scenario(place, "steps:\n  - run\n  - wait: {time: 10 min}\n"), "--jobs",
                              harness.paths.jobs, "--keep", place / f"kept-{number}")
        trace = harness.Trace(os.path.join(place / f"kept-{number}", "s", "1.trace"))
        trace.wait_for("StartTask", process=process)
        children = [int(pid) for pid in harness.read(f"/proc/{process.pid}/task/{process.pid}/children").split()]
        equal(len(children), 1, "processes of the scenario")
        process.send(number)
        process.wait()
        wait_until(lambda: not os.path.exists(f"/proc/{children[0]}") or
                   " Z " in harness.read(f"/proc/{children[0]}/stat"), "the end of the job's process")


if __name__ == "__main__":
    sys.exit(harness.main())
