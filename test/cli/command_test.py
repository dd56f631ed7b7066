#!/usr/bin/env python3
"""The command as a process: background, signals, processes that are dead or silent, compiling, a terminal."""

import os
import pty
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "end_to_end"))
import harness  # noqa: E402
from harness import case, check, equal, example_so, one_object, refused, wait_until  # noqa: E402

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
    equal([j["id"] for j in place.json("list", "--json")["jobs"]], [job])
    place.good("cancel", job)
    gone(place)
    started = one_object(place.good("run", "-d", "--json", *slow_job(place)))
    equal(started["state"], "RUNNING")
    place.good("cancel", started["job"][:8])
    gone(place)


@case("-d still shows what keeps the job from running")
def detached_failure(place):
    result = place.weir("run", "-d", example_so("word_count"), "--input", place / "missing", "--output", place / "out")
    refused(result, 1, "missing")
    refused(place.weir("run", "-d", example_so("word_count")), 2, "--input")


@case("the first signal ends the job cleanly, with exit code 130, and leaves nothing behind")
def first_signal(place):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = place.start("run", *slow_job(place))
        place.running_job(process)
        process.send(number)
        result = process.wait()
        equal((result.code, result.err), (130, "weir: warning: cancelling job word_count; a second signal ends the process at once\n"))
        equal(os.listdir(place / "run/weir"), [])
        equal([n for n in os.listdir(place / "tmp") if not n.endswith("-logs")], [])


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
    process.kill()
    equal(place.json("list", "--json"), {"jobs": []})
    equal(os.listdir(place / "run/weir"), [])


@case("a run directory that others may write to is refused")
def foreign_run_directory(place):
    os.mkdir(place / "run/weir", 0o700)
    os.chmod(place / "run/weir", 0o777)
    refused(place.weir("list"), 1, place / "run/weir", "chmod 700")
    refused(place.weir("run", *slow_job(place)), 1, place / "run/weir")


@case("the same source makes a library and a program")
def library_and_program(place):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "word_count.cpp")
    text = place.write("in.txt", "b a b\n")
    place.good("compile", source, "-o", place / "words.so")
    place.good("compile", source, "-o", place / "words")
    ended = place.json("run", "--json", place / "words.so", "--input", text, "--output", place / "out1")
    equal((ended["state"], ended["records_in"], ended["records_out"]), ("FINISHED", 1, 2))
    program = harness.Process([place / "words", "--json", "--", "--input", text, "--output", place / "out2"], place)
    result = program.wait()
    equal((result.code, result.err), (0, ""))
    equal(one_object(result.out)["state"], "FINISHED")
    for name in ("out1", "out2"):
        equal(sorted(harness.output_lines(place / name)), ["a\t1", "b\t2"])
    refused(place.weir("run", place / "words"), 1, "a program")

    with open(place / "words", "r+b") as file:  # as if it was built against other headers
        at = file.read().find(b"WEIRJOB\0") + 16
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    result = harness.Process([place / "words", "--", "--input", text, "--output", place / "out3"], place).wait()
    refused(result, 1, place / "words", "it was built against another version of Weir; compile it again")


@case("a source that does not compile shows the compiler's messages")
def broken_source(place):
    result = place.weir("compile", place.write("job.cpp", "int x = ;\n"))
    equal(result.code, 1)
    check("job.cpp:1:9: error" in result.err and "does not compile" in result.err, result.err)
    refused(place.weir("compile", place / "missing.cpp"), 1, "missing.cpp")


@case("an output that cannot be written, and a source without a job, are told before the compiler is blamed")
def no_output_and_no_job(place):
    empty = place.write("empty.cpp", "int answer() { return 42; }\n")
    refused(place.weir("compile", empty, "-o", "/nowhere/x.so"), 1, "/nowhere/x.so: cannot be written: No such file",
            "name another output with -o")
    refused(place.weir("compile", empty, "-o", place.directory), 1, "this is a directory")
    refused(place.weir("compile", empty, "-o", place / "empty.so"), 1, "empty.cpp: no job is registered", "WEIR_JOB(name)")
    check(not os.path.exists(place / "empty.so"), "a library without a job is left")
    result = place.weir("compile", empty, "-o", place / "empty")
    equal(result.code, 1)
    check("weir: " + empty + ": no job is registered" in result.err, result.err)


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


@case("a trace that cannot be written is told once, and the job goes on")
def full_trace(place):
    text = place.write("in.txt", "b a b\n")
    result = place.weir("run", "--trace", "/dev/full", example_so("word_count"), "--input", text, "--output", place / "out")
    equal((result.code, result.err), (0, "weir: warning: --trace /dev/full: cannot be written any more (No space left on "
                                         "device); what follows is not traced\n"))


@case("a directory that cannot be made is told with the setting that names it")
def directories(place):
    text, file = place.write("in.txt", "b a b\n"), place.write("file", "")
    job = [example_so("word_count"), "--input", text, "--output", place / "out"]
    for key in ("state.checkpoints.dir", "env.log.dir", "io.tmp.dirs"):
        refused(place.weir("run", "-D", f"{key}={file}/x", *job), 1, f"{key}: {file}/x", "a file is in the way",
                "; set it to a directory that can be written to")


@case("a terminal shows live lines and a closing summary")
def on_a_terminal(place):
    text = place.write("in.txt", "one two\n" * 500)
    leader, terminal = pty.openpty()
    environment = dict(place.environment, TERM="xterm")
    with subprocess.Popen([harness.paths.weir, "run", example_so("word_count"), "--input", text, "--output", place / "out",
                           "--rate", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
                          env=environment, cwd=place.directory) as process:
        os.close(terminal)
        shown = b""
        end = time.monotonic() + harness.DEADLINE
        while time.monotonic() < end:
            try:
                block = os.read(leader, 65536)
            except OSError:  # the other side has closed it
                break
            if not block:
                break
            shown += block
        equal(process.wait(), 0)
    os.close(leader)
    check(b"records/s" in shown and b"\x1b[" in shown, shown)
    check(b"is FINISHED after" in shown and b"500 records in, 2 out" in shown, shown)


@case("shell completion is understood by bash")
def completion(place):
    script = place.write("completion.bash", place.good("completion", "bash"))
    command = (f"source {script}; COMP_WORDS=(weir run --par); COMP_CWORD=2; _weir; echo ${{COMPREPLY[*]}}; "
               "COMP_WORDS=(weir can); COMP_CWORD=1; _weir; echo ${COMPREPLY[*]}; "
               "COMP_WORDS=(weir run -D state.backend); COMP_CWORD=3; _weir 2>/dev/null; echo ${COMPREPLY[0]}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    equal(done.stdout.split(), ["--parallelism", "cancel", "state.backend="])


if __name__ == "__main__":
    harness.main()
