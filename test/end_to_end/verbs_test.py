#!/usr/bin/env python3
"""What the verbs answer from other processes, in words, as JSON and on a terminal; locks; what is deleted and kept."""

import os
import pty
import re
import shutil
import subprocess
import sys
import time

import harness
from harness import (JOB_ID, case, check, equal, example_so, job_so, metadata_below, one_object, output_lines, read,
                     refused, settings, wait_until)

LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?P<level>[a-z]+): (?P<text>.*)$")


def directories(place):
    return settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints")


def start_shapes(place, *words, output="out", shape="plain"):
    process, trace = place.start_traced(*words, job_so("shapes"), "--shape", shape, "--output", place / output)
    return process, trace, place.running_job(process)


@case("list without a job: exit code 0 and an empty list")
def empty_list(place):
    equal(place.json("list", "--json"), {"jobs": []})
    equal(place.good("list"), "")
    shutil.rmtree(place / "run")  # also where no job ever ran
    os.mkdir(place / "run", 0o700)
    equal(place.json("list", "--json"), {"jobs": []})


@case("--json answers are one object with the promised keys")
def json_answers(place):
    process = place.start("run", "--json", "-p", 2, *directories(place), example_so("word_count"), "--input",
                          place.write("words.txt", "to be or not to be\n" * 500_000), "--output", place / "out",
                          "--rate", 1000)
    job = place.running_job(process)
    listed = place.json("list", "--json")["jobs"]
    equal(len(listed), 1)
    check(listed[0].keys() >= {"id", "name", "state", "parallelism"}, listed)
    equal({k: listed[0][k] for k in ("id", "name", "state", "parallelism")},
          {"id": job, "name": "word_count", "state": "RUNNING", "parallelism": 2})
    check(JOB_ID.match(job), job)

    details = place.json("info", job, "--json")
    equal(details["state"], "RUNNING")
    check(os.path.isfile(details["log_file"]), details["log_file"])
    saved = place.json("savepoint", "--json", job)
    equal(saved, {"job": job, "savepoint": saved["savepoint"]})
    check(os.path.isfile(os.path.join(saved["savepoint"], "_metadata")), saved)
    check(saved["savepoint"].startswith(place / "savepoints" + "/savepoint-" + job[:6] + "-"), saved)
    given = place.json("savepoint", job, "relative/given", "--json")["savepoint"]
    equal(os.path.dirname(given), place / "relative/given", "a relative directory is told as an absolute one")
    for words in (["savepoint", "0" * 32], ["run", place / "missing.so"], ["cancel", "1" * 32]):
        failed = place.weir(words[0], "--json", *words[1:])
        error = one_object(failed.out)
        equal((failed.code, list(error), failed.err), (1, ["error"], f"weir: {error['error']}\n"), words)
    checkpoint = place.json("checkpoint", job, "--json")
    check(checkpoint.keys() >= {"job", "checkpoint"} and isinstance(checkpoint["checkpoint"], int), checkpoint)
    end = place.json("cancel", "-s", job, "--json")
    equal(end, {"job": job, "savepoint": end["savepoint"]})
    result = process.wait()
    equal((result.code, result.err), (0, ""))
    summary = one_object(result.out)
    equal((summary["job"], summary["state"]), (job, "CANCELED"))
    check(summary["records_in"] > 0, summary)

    process, _, job = start_shapes(place, *directories(place))
    stopped = place.json("stop", "--json", job)
    equal(stopped, {"job": job, "savepoint": stopped["savepoint"]})
    process.wait()
    check(stopped["savepoint"] in place.json("savepoint", "-d", stopped["savepoint"], "--json").values(), "the path is told")
    process, _, job = start_shapes(place, *directories(place), output="out-2")
    equal(place.json("cancel", job, "--json")["job"], job)
    process.wait()


@case("with --json the print sink writes to stderr")
def print_sink(place):
    result = place.weir("run", "--json", example_so("running_totals"), "--orders", 5)
    equal(one_object(result.out)["state"], "FINISHED")
    equal(len(result.err.splitlines()), 5, result.err)


@case("a job is named by the beginning of its id, and options stand before or behind the words")
def places_of_words(place):
    process, _, job = start_shapes(place)
    equal(place.json("info", "--json", job[:8])["id"], job)
    equal(place.json("info", job, "--json")["id"], job)
    refused(place.weir("info", job[:4]), (1, 2), job[:4])
    check(place.good("cancel", "--withSavepoint", place / "sp", job).strip().startswith(place / "sp"), "path printed")
    process.wait()


@case("two jobs are two processes, each found by its id")
def two_jobs(place):
    first, _ = place.start_traced("--name", "one", job_so("shapes"), "--output", place / "a")
    second, _ = place.start_traced("--name", "two", job_so("shapes"), "--output", place / "b")
    jobs = wait_until(lambda: (lambda j: len(j) == 2 and all(x["state"] == "RUNNING" for x in j) and j)(
        place.json("list", "--json")["jobs"]), "two jobs")
    ids = {job["name"]: job["id"] for job in jobs}
    equal(set(ids), {"one", "two"})
    second.kill()  # its socket stays behind and is passed over
    equal([job["name"] for job in place.json("list", "--json")["jobs"]], ["one"])
    refused(place.weir("cancel", ids["two"]), 1, ids["two"])
    place.good("cancel", ids["one"])
    equal(first.wait().code, 0)
    equal(os.listdir(os.path.join(place / "run", "weir")), [], "sockets left")


@case("checkpoints are deleted on FINISHED and CANCELED unless retained, and kept on FAILED")
def retention(place):
    def left(name, *words, end, shape="plain", numbers=()):
        where = place / name
        process, trace = place.start_traced(*settings(checkpoints=where, interval="30ms", restart="none"), *words,
                                            job_so("shapes"), "--shape", shape, *numbers, "--at", 300, "--output", where + "-out")
        if end == "CANCELED":
            trace.wait_for("NotifyCheckpointComplete", count=6, process=process)
            place.good("cancel", place.running_job(process))
        code = process.wait().code
        equal(code, 1 if end == "FAILED" else 0, "exit code of", name)
        return len(metadata_below(where))

    retain = settings(retention="RETAIN_ON_CANCELLATION")
    delete = settings(retention="DELETE_ON_CANCELLATION")
    some = ("--numbers", 300)
    equal(left("a", end="FINISHED", numbers=some), 0, "finished")
    equal(left("b", end="CANCELED"), 0, "cancelled")
    equal(left("c", end="FAILED", shape="throw"), 1, "failed")
    check(left("d", *retain, end="FINISHED", numbers=some) > 0, "finished, retained")
    equal(left("e", *retain, end="CANCELED"), 1, "cancelled, retained")
    equal(left("f", *delete, end="CANCELED"), 0, "cancelled, to be deleted")
    check(left("g", "-D", "state.checkpoints.num-retained=3", end="FAILED", shape="throw") > 1, "three retained")


@case("the lock of a running job keeps a second `-s latest` out")
def lock(place):
    words = [*settings(checkpoints=place / "checkpoints", interval="50ms"), job_so("shapes"), "--output", place / "out"]
    process, trace = place.start_traced(*words)
    trace.wait_for("NotifyCheckpointComplete", count=4, process=process)
    job = place.running_job(process)
    refused(place.weir("run", "-s", "latest", *words), 1, job, "another process", "-s PATH")
    equal(place.running_job(process), job)
    process.kill()
    process, trace = place.start_traced("-s", "latest", *words)
    equal(place.running_job(process), job, "the lock of a dead process does not count")
    place.good("cancel", job)
    process.wait()
    lines = [int(line) for line in output_lines(place / "out")]
    equal(sorted(lines), list(range(len(lines))))


@case("checkpoint numbers go on after a resume, and -s PATH begins with a new job")
def numbering(place):
    words = [*settings(checkpoints=place / "checkpoints", interval="50ms"), job_so("shapes"), "--output", place / "out"]
    process, trace = place.start_traced(*words)
    trace.wait_for("NotifyCheckpointComplete", count=9, process=process)
    process.kill()
    newest = max(m["checkpoint"] for m in trace.find("NotifyCheckpointComplete"))
    process, trace = place.start_traced("-s", "latest", *words)
    number = trace.wait_for("TriggerCheckpoint", process=process)["checkpoint"]
    check(number > newest, "checkpoint", number, "after", newest)
    process.kill()
    path = max(metadata_below(place / "checkpoints"), key=lambda p: int(p.rsplit("-", 1)[1]))
    process, trace = place.start_traced("-s", path, *words)
    job = place.running_job(process)
    check(job not in path, "-s PATH forks")
    place.good("cancel", job)
    process.wait()
    check(os.path.isfile(os.path.join(path, "_metadata")), "what a fork started from stays the user's")


@case("savepoint -d deletes what the savepoint names and nothing else, with and without a running job")
def dispose(place):
    process, _, job = start_shapes(place, *directories(place), *settings(backend="fs"))
    first, second = (place.json("savepoint", job, "--json")["savepoint"] for _ in range(2))
    for path in (first, second):
        with open(os.path.join(path, "notes.txt"), "w", encoding="utf-8") as file:
            file.write("mine")
    equal(place.good("savepoint", "-d", first), f"{first}: the savepoint is deleted; what else was there stays\n")
    equal(os.listdir(first), ["notes.txt"], "left of the savepoint")
    refused(place.weir("savepoint", "-d", first), 1, first)
    equal(place.running_job(process), job)
    place.good("cancel", job)
    process.wait()
    place.good("savepoint", "--dispose", second)
    equal(os.listdir(second), ["notes.txt"], "left of the savepoint")


@case("a checkpoint of a running job is not for `savepoint -d`")
def dispose_checkpoint(place):
    process, _, job = start_shapes(place, *directories(place))
    path = place.json("checkpoint", job, "--json")["directory"]
    refused(place.weir("savepoint", "-d", path), 1, path, job)
    check(os.path.isfile(os.path.join(path, "_metadata")), "the checkpoint was deleted")
    place.good("cancel", job)
    process.wait()


@case("logs go to a file; with -v it also holds every control message, and nothing else is different")
def logs(place):
    def log_of(name, *words):
        process, trace = place.start_traced("-D", f"env.log.dir={place / name}", *words, job_so("shapes"), "--numbers", 10,
                                            "--rate", 0, "--output", place / (name + "-out"))
        result = process.wait()
        equal((result.code, result.out, result.err), (0, "", ""))
        file, = os.listdir(place / name)
        lines = [LOG_LINE.match(line) for line in read(os.path.join(place / name, file)).splitlines()]
        check(lines and all(lines), "lines of the log", file)
        debug = [line["text"] for line in lines if line["level"] == "debug"]
        rest = [(line["level"], re.sub(r"[0-9a-f]{32}|\d+-[0-9a-f]{8}\.sock", "ID", line["text"])) for line in lines
                if line["level"] != "debug"]
        return debug, rest, read(trace.path).splitlines()

    debug, rest, _ = log_of("plain")
    equal(debug, [], "messages in a log without -v")
    check(any("is running" in text for _, text in rest), "what happens to the job:", rest)
    for option in ("-v", "--verbose"):
        debug, same, trace = log_of("more" + option, option)
        equal(debug, trace, "messages in the log with", option)
        check(any('"message":"SubmitJob"' in line for line in debug), "SubmitJob in", debug)
        equal(same, rest, "the rest of the log with", option)


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


@case("help and version")
def texts(place):
    check(place.good("--version").startswith("weir "), "version")
    general = place.good("--help")
    for verb in ("run", "list", "info", "savepoint", "checkpoint", "cancel", "stop", "scenario", "compile", "completion"):
        check(verb in general, verb, "is not in the help")
        check("Usage: weir " + verb in place.good(verb, "--help"), "help of", verb)
    run = place.good("run", "--help")
    for option in ("--fromSavepoint", "--allowNonRestoredState", "--parallelism", "--detached", "--trace", "--json"):
        check(option in run, option, "is not in the help of run")


@case("shell completion is well-formed in each shell, and understood by bash")
def completion(place):
    for shell in ("bash", "zsh", "fish"):
        script = place.write("completion", place.good("completion", shell))
        if shutil.which(shell):
            subprocess.run([shell, "-n", script], check=True)
    refused(place.weir("completion", "basch"), 2, "bash")
    script = place.write("completion.bash", place.good("completion", "bash"))
    command = (f"source {script}; COMP_WORDS=(weir run --par); COMP_CWORD=2; _weir; echo ${{COMPREPLY[*]}}; "
               "COMP_WORDS=(weir can); COMP_CWORD=1; _weir; echo ${COMPREPLY[*]}; "
               "COMP_WORDS=(weir run -D state.backend); COMP_CWORD=3; _weir 2>/dev/null; echo ${COMPREPLY[0]}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    equal(done.stdout.split(), ["--parallelism", "cancel", "state.backend="])


@case("settings come from weir.yaml, the job and -D; later ones win")
def configuration(place):
    place.write("weir.yaml", "pipeline.name: from-file\nparallelism:\n  default: 3\n")
    end = place.json("run", "--json", job_so("shapes"), "--numbers", 1, "--output", place / "a")
    equal((end["name"], end["parallelism"]), ("from-file", 3))
    end = place.json("run", "--json", "-D", "parallelism.default=2", "--name", "given", job_so("shapes"), "--numbers", 1,
                     "--output", place / "b")
    equal((end["name"], end["parallelism"]), ("given", 2))
    place.write("conf/weir.yaml", "pipeline.name: elsewhere\n")
    environment = dict(place.environment, WEIR_CONF_DIR=place / "conf")
    end = one_object(place.weir("run", "--json", job_so("shapes"), "--numbers", 1, "--output", place / "c",
                                env=environment).out)
    equal((end["name"], end["parallelism"]), ("elsewhere", 1))


if __name__ == "__main__":
    sys.exit(harness.main())
