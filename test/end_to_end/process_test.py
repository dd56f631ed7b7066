#!/usr/bin/env python3
"""The life of the processes: background, signals, those that are dead, silent or crash, and what they leave behind."""

import os
import signal
import stat
import sys

import harness
from harness import (JOB_ID, case, check, equal, example_so, job_so, metadata_below, one_object, output_lines, refused,
                     settings, wait_until)

BLOCKED = """
#include <weir/weir.hpp>
#include <chrono>
#include <thread>
WEIR_JOB(blocked) {
  env.generate(10, [](std::uint64_t i) { return static_cast<std::int64_t>(i); }).uid("numbers")
      .map([](const std::int64_t& i) { std::this_thread::sleep_for(std::chrono::minutes(10)); return i; })
      .uid("sleep").print().uid("print");
}
"""


def slow_job(place, output="out"):
    """Words for a job that runs until it is ended."""
    text = place.write("in.txt", "one two\n" * 100_000)
    return [example_so("word_count"), "--input", text, "--output", place / output, "--rate", 10]


def gone(place):
    """Waits until no process of the case runs a job any more."""
    wait_until(lambda: not place.json("list", "--json")["jobs"], "the end of the job")


@case("-d goes on in the background and prints the job's id")
def detached(place):
    job = place.good("run", "-d", *slow_job(place)).strip()
    check(JOB_ID.match(job), job)
    equal([one["id"] for one in place.json("list", "--json")["jobs"]], [job])
    equal(place.json("info", job, "--json")["state"], "RUNNING")
    place.good("cancel", job)
    gone(place)
    started = place.json("run", "--json", "--detached", *slow_job(place))
    check(JOB_ID.match(started["job"]), started)
    equal(started["state"], "RUNNING")
    place.good("cancel", started["job"][:8])
    gone(place)


@case("-d still shows what keeps the job from running")
def detached_failure(place):
    refused(place.weir("run", "-d", example_so("word_count"), "--input", place / "missing", "--output", place / "out"), 1,
            place / "missing")
    refused(place.weir("run", "-d", example_so("word_count")), 2, "--input")
    refused(place.weir("run", "-d", place / "missing.so"), 1, place / "missing.so")


@case("the first SIGINT or SIGTERM cancels the job, with exit code 130, and leaves nothing behind")
def first_signal(place):
    for number in (signal.SIGINT, signal.SIGTERM):
        output = place / f"out-{number}"
        process, trace = place.start_traced(*settings(checkpoints=place / "checkpoints", interval="50ms"),
                                            job_so("shapes"), "--output", output)
        trace.wait_for("NotifyCheckpointComplete", count=6, process=process)
        process.send(number)
        result = process.wait()
        equal((result.code, result.out), (130, ""))
        equal(result.err, "weir: warning: cancelling job shapes, which deletes its checkpoints, as "
              "execution.checkpointing.externalized-checkpoint-retention is not RETAIN_ON_CANCELLATION; a second signal ends "
              "the process at once\n")
        check(trace.find("CancelJob") and trace.find("CancellationSuccess"), "the job was not cancelled")
        equal(metadata_below(place / "checkpoints"), [], "checkpoints left")
        equal(os.listdir(place / "run/weir"), [], "sockets left")
        equal([n for n in os.listdir(place / "tmp") if not n.endswith("-logs")], [], "temporary files left")
        lines = [int(line) for line in output_lines(output)]
        equal(len(lines), len(set(lines)), "lines that are doubled")


@case("the second signal ends the process at once")
def second_signal(place):
    job = place.write("blocked.cpp", BLOCKED)
    place.good("compile", job)
    process = place.start("run", place / "blocked.so")
    place.running_job(process)
    process.send(signal.SIGINT)
    wait_until(lambda: place.json("list", "--json")["jobs"][0]["state"] == "CANCELLING", "the first signal")
    process.send(signal.SIGINT)
    equal(process.wait().code, 130)


@case("two signals that arrive together end the process with exit code 130")
def both_signals(place):
    process, _ = place.start_traced(job_so("shapes"), "--output", place / "out")
    place.running_job(process)
    os.kill(process.pid, signal.SIGSTOP)  # both are pending when it goes on
    process.send(signal.SIGINT)
    process.send(signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    equal(process.wait().code, 130)


@case("what a killed process has left in the temporary directory goes with the next run; what others use stays")
def left_directories(place):
    def directories():
        return {n for n in os.listdir(place / "tmp") if not n.endswith("-logs")}

    alive = place.start("run", *slow_job(place))
    place.running_job(alive)
    used = directories()
    equal(len(used), 1)
    killed = place.start("run", *slow_job(place, "out-2"))
    wait_until(lambda: len(directories()) == 2, "its temporary directory")
    left = directories() - used
    killed.kill()
    equal(directories(), used | left)
    os.mkdir(os.path.join(place / "tmp", "weir-notes-1-a"))
    words = ["--input", place.write("short.txt", "one\n"), "--output", place / "out-3"]
    place.good("run", example_so("word_count"), *words)
    equal(directories(), used | {"weir-notes-1-a"})
    place.good("cancel", place.running_job(alive))
    alive.wait()


@case("a request whose process dies before it answers ends with a sentence")
def peer_dies(place):
    place.good("compile", place.write("blocked.cpp", BLOCKED))
    process, trace = place.start_traced(place / "blocked.so")
    job = place.running_job(process)
    savepoint = place.start("savepoint", job, place / "savepoints")
    trace.wait_for("TriggerCheckpoint", process=process)
    process.kill()
    refused(savepoint.wait(), 1, "ended before it answered")


@case("Ctrl-C and SIGTERM end a request that waits, with exit code 130")
def request_is_interrupted(place):
    place.good("compile", place.write("blocked.cpp", BLOCKED))
    process, trace = place.start_traced(place / "blocked.so")
    job = place.running_job(process)
    for count, number in enumerate((signal.SIGINT, signal.SIGTERM), 1):
        savepoint = place.start("savepoint", job, place / "savepoints")
        trace.wait_for("TriggerSavepoint", count=count, process=process, to="JobManager")
        savepoint.send(number)
        equal(savepoint.wait().code, 130)
    process.kill()


@case("sockets of dead processes are dropped, and silent processes hold nobody up")
def dead_and_silent(place):
    process = place.start("run", *slow_job(place))
    place.running_job(process)
    sockets = os.listdir(place / "run/weir")
    equal(len(sockets), 1)
    equal(stat.S_IMODE(os.stat(place / "run/weir").st_mode), 0o700)
    equal(stat.S_IMODE(os.stat(os.path.join(place / "run/weir", sockets[0])).st_mode), 0o600)
    process.send(signal.SIGSTOP)
    result = place.weir("list", "--json", "-D", "client.timeout=200ms")
    equal(result.code, 0)
    equal(one_object(result.out), {"jobs": []})
    check("does not answer" in result.err, result.err)
    refused(place.weir("savepoint", "-D", "client.timeout=200ms", "0123456789"), 1, "no process that has answered runs job 0123",
            "one did not answer within client.timeout")
    process.kill()
    equal(place.json("list", "--json"), {"jobs": []})
    equal(os.listdir(place / "run/weir"), [])


@case("a run directory that others may write to is refused")
def foreign_run_directory(place):
    os.mkdir(place / "run/weir", 0o700)
    os.chmod(place / "run/weir", 0o777)
    refused(place.weir("list"), 1, place / "run/weir", "chmod 700")
    refused(place.weir("run", *slow_job(place)), 1, place / "run/weir")


ODD = """
#include <weir/weir.hpp>
#include <cstdlib>
#include <stdexcept>
WEIR_JOB(odd) {
  const auto how = env.parameters().required("how");
  if (how == "exit-early") std::exit(0);
  env.generate(1000, [](std::uint64_t i) { return static_cast<std::int64_t>(i); }).uid("numbers")
      .map([how](const std::int64_t& i) {
        if (i < 500) return i;
        if (how == "exit") std::exit(0);
        if (how == "abort") std::abort();
        if (how == "empty") throw std::runtime_error("");
        if (how == "seven") throw 7;
        if (how == "escape") throw std::runtime_error("a\\033[31mb\\nc");
        return i;
      })
      .uid("odd").print().uid("print");
}
"""


@case("what user code does in place of throwing an error is told with operator, job and log, and what to do")
def odd_ends(place):
    place.good("compile", place.write("odd.cpp", ODD))

    def end(how, code, *parts):
        process = place.start("run", *ends, place / "odd.so", "--how", how)
        result = process.wait()
        equal(result.code, code, result.err)
        lines = result.err.splitlines()
        check(len(lines) == 1 and all(part in lines[0] for part in parts), parts, "in", repr(result.err))
    ends = []
    job = ("weir: operator 'odd', subtask 0 of job odd (", "(log: ")
    none = "no checkpoint is kept, as state.checkpoints.dir is not set, so it begins anew"
    end("abort", -signal.SIGABRT, *job, "crashed the process (SIGABRT); " + none)
    end("exit", 1, *job, "called exit, which ends the process before the job; throw an exception instead; " + none)
    end("exit-early", 1, "odd.so called exit, which ends the process before the job; throw an exception instead")
    end("empty", 1, "operator 'odd', subtask 0: the user function threw a std::runtime_error that says nothing; give it a text")
    end("seven", 1, "operator 'odd', subtask 0: the user function threw a value of type int, which says nothing; throw a "
        "std::exception whose text says what is wrong")
    end("escape", 1, "the user function threw: a\\x1b[31mb c (log: ")
    ends = ["-D", "state.checkpoints.dir=" + place / "checkpoints"]
    end("abort", -signal.SIGABRT, *job, "`weir run -s latest` resumes it if a checkpoint was completed, and else says so")


if __name__ == "__main__":
    sys.exit(harness.main())
