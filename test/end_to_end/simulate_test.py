#!/usr/bin/env python3
"""`weir simulate` as a user runs it: what it finds in jobs that are wrong, and what it says."""

import json
import os
import re
import shlex
import sys

import harness
from harness import case, check, equal, refused

CRASHES = """disturbances: 12
faults:
  crash-task-manager: 1
  crash-job-manager: 0.5
  crash-host: 0.5
  crash-at-file-operation: 0.5
  poison-record: 0.5
  savepoint: 0.5
  cancel-with-savepoint: 0.5
  rescale: 0.5
"""
CLASSES = {"crash-task-manager", "crash-job-manager", "crash-host", "crash-at-file-operation", "poison-record", "savepoint",
           "cancel-with-savepoint", "rescale"}
BACKENDS = ("jobmanager", "filesystem", "rocksdb")
# What a simulation that only reads may still write on the real disk.
TEMPORARY = "tmp"


def careless(place, wrong=None, *words):
    """The job, and its arguments."""
    return [harness.job_so("careless"), "--output", place / "out", *(["--wrong", wrong] if wrong else []), *words]


def plan(place, text=CRASHES):
    return place.write("plan.yaml", text)


def simulate(place, *words):
    return place.weir("simulate", *words)


def passes(place, *words):
    return place.good("simulate", *words)


def fails(place, *words):
    """A simulation that finds something: exit code 1, and all that it says on stdout."""
    result = simulate(place, *words)
    equal((result.code, result.err), (1, ""), "what weir simulate", *words, "gives, with", result.out)
    return result.out


def replay_of(output):
    """The words of the first command that is told to replay a failure."""
    found = re.search(r"^  replay: weir simulate (.*)$", output, re.M)
    check(found, "no replay command in", output)
    return shlex.split(found.group(1))


def unwrapped(output):
    return output.replace("\n  ", " ")


def first_violation(output):
    found = re.search(r"^seed \d+(?:, step \d+)?: (\w+): (.*)$", unwrapped(output), re.M)
    check(found, "no broken promise in", output)
    return found.group(1)


@case("the same seed gives the same run in every process, on every backend, and another seed another one")
def same(place):
    for backend in BACKENDS:
        words = ["--faults", plan(place), "-D", f"state.backend={backend}", "--json"]
        seen = []
        for seed in (1, 2, 3):
            first = passes(place, "--seed", seed, *words, *careless(place))
            equal(passes(place, "--seed", seed, *words, *careless(place)), first, "seed", seed, "on", backend, "once more")
            one = harness.one_object(first)
            equal(list(one), ["seed", "trace_hash", "state", "faults", "violations"], "keys")
            equal((one["seed"], one["state"], one["violations"]), (seed, "FINISHED", []), "what a seed gives")
            check(re.fullmatch("[0-9a-f]{16}", one["trace_hash"]), one["trace_hash"])
            check(set(one["faults"]) <= CLASSES, one["faults"])
            seen.append(one["trace_hash"])
        equal(len(set(seen)), 3, "different runs of different seeds")


@case("a correct job passes many seeds, in which every class of faults of the plan hits, and no other")
def correct(place):
    words = ["--faults", plan(place), "--seeds", "1..60"]
    many = place.json("simulate", *words, "--json", *careless(place))
    equal(list(many), ["seeds", "failed", "faults_hit", "kill_points_hit"], "keys")
    equal((many["seeds"], many["failed"]), (60, []), "seeds, and those that failed")
    equal(set(many["faults_hit"]), CLASSES, "classes that hit")
    told = unwrapped(passes(place, *words, *careless(place)))
    for fault, hits in many["faults_hit"].items():
        check(f" {fault} {hits}" in told, fault, "is not told in", told)
    check(told.endswith("60 seeds, 0 failed\n"), told)
    # Functions are called once for many records.
    poison = plan(place, "faults: {poison-record: 1}\n")
    poisoned = place.json("simulate", "--faults", poison, "--seeds", "1..40", "--json", *careless(place, None, "--records", 40000))
    equal((poisoned["failed"], list(poisoned["faults_hit"])), ([], ["poison-record"]), "with poison records")
    plan(place)
    # One process at a time, or many: the seeds are the same.
    equal(place.json("simulate", *words, "-j", 1, "--json", *careless(place)), many, "one run at a time")
    equal(passes(place, *words[:2], "--seeds", "7..7", *careless(place)).splitlines()[-1], "1 seeds, 0 failed", "a range of one")


@case("without a plan every class of faults may come, and with an empty one none")
def plans(place):
    quiet = place.json("simulate", "--faults", plan(place, "faults: {}\n"), "--seeds", "1..5", "--json", *careless(place))
    equal(set(quiet.pop("kill_points_hit").values()), {0}, "kill points without faults")
    equal(quiet, {"seeds": 5, "failed": [], "faults_hit": {}}, "without faults")
    out = passes(place, "--faults", plan(place, "faults: {}\n"), *careless(place))
    check("faults that hit: none\n" in out and "FINISHED; every promise was kept; trace hash " in out, out)


@case("a job that counts in a static is found, replayed and shrunk")
def found(place):
    words = ["--faults", plan(place)]
    job = careless(place, "count in a static")
    many = fails(place, *words, "--seeds", "1..30", *job)
    failed = [int(n) for n in re.search(r"30 seeds, \d+ failed: ([0-9, ]+)", unwrapped(many)).group(1).split(",")]
    equal(failed, json.loads(simulate(place, *words, "--seeds", "1..30", "--json", *job).out)["failed"], "seeds that fail")
    equal(many.count("  replay: "), min(len(failed), 5), "commands that replay")
    check("lines missing" in many, many)

    # The command that is told gives the same failure, also as JSON.
    replay = replay_of(many)
    seed = int(replay[replay.index("--seed") + 1])
    once = fails(place, *replay)
    check(f"seed {seed}, step " in once and "E2: " in once, once)
    equal(replay_of(once), replay, "the replay of a replay")
    one = json.loads(simulate(place, "--json", *replay).out)
    equal((one["seed"], one["violations"][0]["promise"]), (seed, "E2"), "the failure")
    check(one["violations"][0]["step"] > 0 and "missing" in one["violations"][0]["what"], one)

    # What is left after shrinking fails in the same way, and is less.
    shrunk = fails(place, "--shrink", *replay)
    least = replay_of(shrunk)
    only = least[least.index("--only") + 1]
    check(1 <= len(only.split(",")) <= 3, only, "disturbances are left")
    equal(first_violation(fails(place, *least)), "E2", "the promise that the rest breaks")
    least[least.index("--only") + 1] = "none"
    passes(place, *least)


@case("with less than its disturbances a seed stays what it is")
def only(place):
    words = ["--faults", plan(place), "--seed", 4, "--json"]
    all_of_them = place.json("simulate", *words, *careless(place))
    many = ",".join(str(n) for n in range(12))
    equal(place.json("simulate", *words, "--only", many, *careless(place)), all_of_them, "with all disturbances")
    backwards = ",".join(str(n) for n in reversed(range(12)))
    equal(place.json("simulate", *words, "--only", backwards, *careless(place)), all_of_them, "with all of them, backwards")
    none = place.json("simulate", *words, "--only", "none", *careless(place))
    equal((none["faults"], none["state"], none["violations"]), ({}, "FINISHED", []), "without any")


DEPENDS = {
    "clock": ("operator 'count' reads the clock (clock_gettime)", True),
    "rand": ("operator 'count' draws random numbers (rand)", True),
    "random device": ("operator 'count' draws random numbers (std::random_device)", True),
    "static counter": (None, True),
    "addresses": (None, True),
}


@case("a job that depends on more than its input is found, with operator, state and key")
def determinism(place):
    passes(place, "--check-determinism", *careless(place))
    for wrong, (cause, differs) in DEPENDS.items():
        told = fails(place, "--check-determinism", *careless(place, wrong))
        out = unwrapped(told)
        if cause:
            check(re.search(r"seed \d+: determinism: " + re.escape(cause), out), cause, "is not in", out)
        if differs:
            check(re.search(r"seed \d+, step \d+: determinism: operator 'count', state 'note', key \d: found \".*\", expected \".*\"",
                            out), wrong, "is not placed in", out)
        check(re.search(r"^20 seeds, \d+ failed: ", out, re.M), out)
        equal(first_violation(fails(place, *replay_of(told))), "determinism", "what the replay finds")
    # A static that the schedule does not change is no matter of determinism.
    passes(place, "--check-determinism", *careless(place, "count in a static"))


@case("on databases files of the local disk fail, too, and a job that forgets is found there as well")
def databases(place):
    words = ["-D", "state.backend=rocksdb", "--faults", plan(place, "faults: {failed-write: 1, crash-task-manager: 0.5}\n")]
    many = place.json("simulate", *words, "--seeds", "1..20", "--json", *careless(place))
    equal((many["failed"], sorted(many["faults_hit"])), ([], ["crash-task-manager", "failed-write"]), "on databases")
    out = unwrapped(passes(place, *words, "--seed", 3, *careless(place)))
    check("state.backend=rocksdb" in out and "KiB of tables" in out, out)
    told = fails(place, *words, "--seeds", "1..30", *careless(place, "count in a static"))
    equal(first_violation(fails(place, *replay_of(told))), "E2", "what the replay finds")


@case("a job that starts a thread is refused with one sentence")
def threads(place):
    for how in ((), ("--check-determinism",), ("--crash-matrix",), ("--seeds", "1..3")):
        refused(simulate(place, *how, *careless(place, "thread")), 1, "operator 'count' starts a thread (pthread_create)")
    refused(simulate(place, *careless(place, "thread in the job function")), 1, "the job function starts a thread (pthread_create)")


@case("a job that never ends is given up, and can be limited")
def endless(place):
    refused(simulate(place, *careless(place, "never ends")), 1, "more than 10000000 records", "--for RECORDS")
    out = passes(place, "--for", 800, "--keep", place / "kept", *careless(place, "never ends"))
    check("FINISHED" in out, out)
    lines = harness.output_lines(os.path.join(place / "kept", (place / "out").lstrip("/")))
    equal(sorted(lines), [f"{key}\t100" for key in range(8)], "what a limited job counts")


@case("a job that crashes ends its own run, and no other")
def crashes(place):
    result = simulate(place, *careless(place, "crash"))
    equal((result.code, result.out), (1, ""), "exit code, and what is told on stdout")
    equal(result.err.splitlines(), ["weir: operator 'count', subtask 0 of seed 0 of " + harness.job_so("careless") +
                                    " crashed the process (SIGSEGV)",
                                    "weir: a run of " + harness.job_so("careless") + " crashed its process (SIGSEGV)"],
          "what a crash without faults gives")
    result = simulate(place, *careless(place, "exit"))
    check(result.code == 1 and "called exit" in result.err, result)
    refused(simulate(place, *careless(place, "throws")), 1, "without any fault", "this job does not want to")

    words = ["--faults", plan(place), "--seeds", "1..30"]
    result = simulate(place, *words, "--json", *careless(place, "crash when it comes twice"))
    many = json.loads(result.out)
    equal((result.code, many["seeds"]), (1, 30), "exit code and seeds")
    check(0 < len(many["failed"]) < 30, "of 30 seeds these crash:", many["failed"])
    one = simulate(place, *words[:2], "--seed", many["failed"][0], *careless(place, "crash when it comes twice"))
    equal(one.code, 1, "exit code")
    check("liveness: the run crashed its process (SIGSEGV)" in unwrapped(one.out), one.out)
    check(f"of seed {many['failed'][0]} of" in one.err, one.err)


@case("inputs are only read, and nothing is written on the real disk")
def inputs(place):
    path = place.write("numbers.txt", "".join(f"{n}\n" for n in range(1000)))
    place.write("out/older", "of another run\n")
    before = snapshot_of(place)
    words = ["--faults", plan(place), "--seeds", "1..10"]
    place.write("plan.yaml", CRASHES)
    before = snapshot_of(place)
    passes(place, *words, *careless(place, None, "--input", path))
    equal(snapshot_of(place), before, "files afterwards")
    # A part of the input alone.
    passes(place, "--for", 80, "--faults", plan(place), "--keep", place / "kept", *careless(place, None, "--input", path))
    kept = os.path.join(place / "kept", (place / "out").lstrip("/"))
    equal(sorted(harness.output_lines(kept)), [f"{key}\t10" for key in range(8)], "what is counted of 80 lines")
    check("older" not in harness.committed(kept), "output of another run is kept")
    refused(simulate(place, "--keep", place / "kept", *careless(place)), 1, "kept: is there already; name a directory that --keep can make")
    refused(simulate(place, *careless(place, None, "--input", place / "none.txt")), 1, "none.txt")


def snapshot_of(place):
    """All files of the case by path, but for what its processes print, and the directories."""
    return {os.path.join(base, name): harness.read(os.path.join(base, name)) for base, _, names in os.walk(place.directory)
            for name in names if not re.fullmatch(r"\d+\.(out|err)", name)}, \
        sorted(base for base, _, _ in os.walk(place.directory))


@case("the trace of a run is what its hash is of, and the same each time")
def traced(place):
    words = ["--faults", plan(place), "--seed", 2]
    texts = []
    for name in ("a", "b"):
        passes(place, *words, "--trace", place / name, *careless(place))
        texts.append(harness.read(place / name))
    check(texts[0].count("\n") > 100 and "TriggerCheckpoint" in texts[0], texts[0][:1000])
    equal(texts[0], texts[1], "traces")


@case("a crash matrix meets every message of every flow with every fault")
def matrix(place):
    words = ["--crash-matrix", "-D", "execution.checkpointing.interval=1s"]
    result = simulate(place, *words, "--json", "--report", place / "m.html", *careless(place, None, "--records", 300))
    check(result.code in (0, 1) and result.err == "", result.code, result.err)
    cells = harness.one_object(result.out)["crash_matrix"]
    equal(list(cells[0]), ["flow", "backend", "message", "from", "to", "occurrence", "fault", "hit", "outcome", "violations"], "keys")
    equal(sorted({cell["flow"] for cell in cells}), sorted(FLOWS), "flows")
    equal(sorted({cell["fault"] for cell in cells}), sorted(FAULTS), "faults")
    equal({cell["backend"] for cell in cells}, set(BACKENDS), "backends")
    messages = {flow: {cell["message"] for cell in cells if cell["flow"] == flow} for flow in FLOWS}
    for flow, message in FLOWS.items():
        expected = {message, "StartTask"} if flow == "restore" else {message, "TriggerCheckpoint", "AcknowledgeCheckpoint"}
        check(expected <= messages[flow], flow, messages[flow])
    for cell in cells:
        check(cell["hit"] or is_explained(cell), "not met:", cell)
        check(not cell["violations"] or (cell["message"], cell["fault"]) == ("StartTask", "dropped"), "broken:", cell)
    check(len([cell for cell in cells if cell["hit"]]) > 0.9 * len(cells), "too few cells are met")

    page = harness.read(place / "m.html")
    check(page.startswith("<!doctype html>") and page.rstrip().endswith("</html>"), page[:200])
    for flow in FLOWS:
        check(f"<h2>{flow.replace('_', ' ')}</h2>" in page, flow, "is not in the page")
    check(f"{len(cells)} runs, in {len([cell for cell in cells if cell['hit']])} the fault was met" in page, "no summary in the page")


FLOWS = {"checkpoint": "RequestCheckpoint", "savepoint": "TriggerSavepoint", "cancel_with_savepoint": "CancelJobWithSavepoint",
         "stop": "StopJobWithSavepoint", "restore": "SubmitJob", "rescale": "StopJobWithSavepoint"}
FAULTS = ("receiver_dies_before", "receiver_dies_after", "sender_dies", "dropped", "delayed", "repeated")


def is_explained(cell):
    """One of the same name was on its way before the flow began, so that the last is not as many; or the sender is gone when it arrives."""
    return cell["fault"] in FAULTS[2:]


MOST = 18446744073709551614


@case("what is asked for wrongly ends with 2, what is missing with 1")
def wrong(place):
    job = careless(place)
    refused(simulate(place), 2, "which job? usage: weir simulate")
    refused(simulate(place, "--seed", "x", *job), 2, f"--seed is a whole number from 0 to {MOST}, and 'x' is none")
    refused(simulate(place, "--seed", "-1", *job), 2, "--seed")
    refused(simulate(place, "--seed", MOST + 1, *job), 2, "--seed is a whole number")
    refused(simulate(place, "--seeds", "5", *job), 2, "--seeds takes the first and the last seed as A..B, and '5' has no '..'")
    refused(simulate(place, "--seeds", "5..", *job), 2, "--seeds: the last is a whole number")
    refused(simulate(place, "--seeds", "..5", *job), 2, "--seeds: the first is a whole number")
    refused(simulate(place, "--seeds", "5..4", *job), 2, "--seeds 5..4: the last seed is below the first")
    refused(simulate(place, "--seeds", "1..2", "--seed", 1, *job), 2, "--seed is one seed and --seeds are many")
    refused(simulate(place, "--task-managers", 0, *job), 2, "--task-managers is a whole number from 1 to 64, and '0' is none")
    refused(simulate(place, "--task-managers", 65, *job), 2, "--task-managers")
    refused(simulate(place, "--for", 0, *job), 2, "--for is a whole number from 1")
    refused(simulate(place, "-j", 0, *job), 2, "-j is a whole number from 1 to 1024")
    refused(simulate(place, "-p", 0, *job), 2, "parallelism")
    refused(simulate(place, "--only", "1,", *job), 2, "--only: each is a whole number")
    refused(simulate(place, "--only", "all", *job), 2, "--only: each is a whole number", "'all'")
    for option in (("--keep", "k"), ("--trace", "t"), ("--shrink",), ("--only", "1")):
        refused(simulate(place, "--seeds", "1..2", *option, *job), 2, option[0] + " is about one run; name it with --seed")
        refused(simulate(place, "--check-determinism", *option, *job), 2, option[0] + " is about a run with faults")
        refused(simulate(place, "--crash-matrix", *option, *job), 2, "--crash-matrix makes its faults itself")
    refused(simulate(place, "--check-determinism", "-D", "state.backend=rocksdb", *job), 2, "state.backend", "rocksdb reads the clock",
            "name memory or filesystem")
    for option in (("--seeds", "1..2"), ("--check-determinism",), ("--faults", plan(place))):
        refused(simulate(place, "--crash-matrix", *option, *job), 2, "--crash-matrix makes its faults itself")
    refused(simulate(place, "--check-determinism", "--faults", plan(place), *job), 2, "--faults is about a run with faults")
    refused(simulate(place, "--shrink", "--only", "1", *job), 2, "--shrink finds out what --only is given")
    refused(simulate(place, "--report", "r.md", *job), 2, "--report is for a crash matrix")
    refused(simulate(place, "--crash-matrix", "--report", "r.txt", *job), 2, "--report writes Markdown or HTML")
    refused(simulate(place, "--sede", 3, *job), 2, "'--sede'", "did you mean '--seed'?")
    refused(simulate(place, "-D", "state.bakend=filesystem", *job), 2, "state.bakend", "state.backend")
    refused(simulate(place, harness.job_so("careless")), 2, "the job needs --output")
    refused(simulate(place, "--config", place / "none.yaml", *job), (1, 2), "none.yaml")

    refused(simulate(place, place / "none.so"), 1, "none.so: there is no such file", "weir compile")
    refused(simulate(place, place.write("text.so", "no library"), "--output", "o"), 1, "text.so")
    refused(simulate(place, "--faults", place / "none.yaml", *job), 1, "none.yaml")
    for text, sentence in (("faults:\n  crash-hots: 1\n", "plan.yaml:2:3: 'crash-hots' is no class of faults; did you mean 'crash-host'?"),
                           ("faults:\n  crash-host: 2\n", "plan.yaml:2:15: crash-host: a probability is from 0 to 1"),
                           ("faults: {a\n", "plan.yaml:"), ("#" * 70000, "64 KiB")):
        refused(simulate(place, "--faults", plan(place, text), *job), 2, sentence)
    equal(os.listdir(place / TEMPORARY), [], "left in the temporary directory")


if __name__ == "__main__":
    sys.exit(harness.main())
