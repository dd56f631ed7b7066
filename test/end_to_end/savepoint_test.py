#!/usr/bin/env python3
"""What lies between two runs: savepoints, kills, other backends, other parallelisms; and stop."""

import os
import re
import shutil
import sys
from collections import Counter

import harness
from harness import (case, check, committed, equal, exactly_once, example_so, job_so, make_lines, metadata_below,
                     output_lines, progress, refused, settings, wait_until)

RATE = 4000  # lines per second, of so many that no run ends before it is told to, however slow the machine


@case("savepoint, kill -9, resume, cancel -s, restore elsewhere: the words are counted exactly right")
def whole_story(place):
    text = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind\n\n" * 50_000
    source = place.write("hamlet.txt", text)
    directories = settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints", interval="100ms")
    job = [example_so("word_count"), "--input", source, "--output", place / "out", "--rate", RATE]

    process, trace = place.start_traced("-p", 2, *directories, *settings(backend="fs"), *job)
    name = place.running_job(process)
    progress(place, process, trace)
    first = place.json("savepoint", name, "--json")
    equal(first["job"], name)
    progress(place, process, trace)
    process.kill()
    check(metadata_below(place / "checkpoints"), "no checkpoint is left of the killed job")

    process, trace = place.start_traced("-s", "latest", "-p", 3, *directories, *settings(backend="fs"), *job)
    equal(place.running_job(process), name, "-s latest continues the job under its id")
    progress(place, process, trace)
    second = place.json("cancel", "-s", name, "--json")["savepoint"]
    equal(process.wait().code, 0)

    moved = place / "moved"
    shutil.move(second, moved)  # it is self-contained
    shutil.rmtree(place / "checkpoints")
    end = place.json("run", "--json", "-s", moved, "-p", 4, *settings(backend="rocksdb"), *job[:-2])
    check(end["job"] != name, "-s PATH forks: the job has a new id")
    check(0 < end["records_in"] < text.count("\n"), "lines read after the restore:", end["records_in"])
    expected = Counter(text.lower().replace("'", " ").replace(",", " ").replace(".", " ").replace(":", " ").split())
    equal(dict(line.split("\t") for line in output_lines(place / "out")), {w: str(n) for w, n in expected.items()})

    # The first savepoint is still good, and gives the same.
    place.good("run", "-s", first["savepoint"], "-p", 1, *settings(backend="memory"), example_so("word_count"),
               "--input", source, "--output", place / "out-2")
    equal(sorted(output_lines(place / "out-2")), sorted(output_lines(place / "out")))


@case("cancel -s commits what was written: the restored job goes on exactly after it")
def cancel_and_go_on(place):
    total = 200_000
    source = make_lines(place, total)
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    previous = []
    for backend, parallelism in (("rocksdb", 1), ("memory", 3), ("fs", 2)):
        process, trace = place.start_traced("-p", parallelism, *previous, *settings(
            savepoints=place / "savepoints", backend=backend, interval="100ms"), *job, "--rate", RATE)
        running = place.running_job(process)
        progress(place, process, trace)
        previous = ["-s", place.good("cancel", "-s", running).strip()]
        equal(process.wait().code, 0)
        equal([n for n in os.listdir(place / "out") if n.startswith(".")], [], "uncommitted files after cancel -s")
    place.good("run", "-p", 4, *previous, *settings(backend="rocksdb"), *job)
    exactly_once(output_lines(place / "out"), 0, total)


@case("cancel says that it has deleted the checkpoints, unless they are retained")
def cancel_and_delete(place):
    source = make_lines(place, 200_000)
    for retention, deleted in (("NO_EXTERNALIZED_CHECKPOINTS", True), ("RETAIN_ON_CANCELLATION", False)):
        job = [job_so("numbered_lines"), "--input", source, "--output", place / retention, "--rate", RATE]
        process, _ = place.start_traced(*settings(checkpoints=place / "checkpoints", retention=retention), *job)
        name = place.running_job(process)
        place.good("checkpoint", name)
        said = place.good("cancel", name)
        equal("its checkpoints are deleted" in said, deleted, said)
        equal(not metadata_below(place / "checkpoints"), deleted, "whether no checkpoint is left")


@case("stop commits what was written; -s latest and -s PATH go on exactly after it")
def stop_and_go_on(place):
    total = 150_000
    source = make_lines(place, total)
    directories = settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints", interval="100ms")
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    process, trace = place.start_traced("-p", 2, *directories, *job, "--rate", RATE)
    running = place.running_job(process)
    progress(place, process, trace)
    answer = place.json("stop", "--json", running)
    equal(set(answer), {"job", "savepoint"})
    equal(process.wait().code, 0)
    before = len(output_lines(place / "out"))
    check(0 < before < total, "lines committed by stop:", before)

    process, trace = place.start_traced("-s", "latest", "-p", 3, *directories, *job, "--rate", RATE)
    equal(place.running_job(process), running, "-s latest goes on from the savepoint of stop")
    progress(place, process, trace)
    path = place.good("stop", "-p", place / "given", running).strip()
    equal(os.path.dirname(path), place / "given")
    process.wait()
    place.good("run", "-s", path, *job)
    exactly_once(output_lines(place / "out"), 0, total)


@case("output is not written a second time: not by the same savepoint again, not by -s latest after the end")
def not_twice(place):
    total = 100_000
    source = make_lines(place, total)
    directories = settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints", interval="100ms")
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    process, trace = place.start_traced("-p", 2, *directories, *job, "--rate", RATE)
    progress(place, process, trace)
    savepoint = place.good("cancel", "-s", place.running_job(process)).strip()
    process.wait()

    end = place.json("run", "--json", "-s", savepoint, *directories, *job)
    equal(end["checkpoints"]["restored_directory"], savepoint)
    check(f"(numbered_lines) starts from {savepoint}" in harness.read(end["log_file"]), "the log does not name the savepoint")
    exactly_once(output_lines(place / "out"), 0, total)
    before = sorted(os.listdir(place / "out"))

    refused(place.weir("run", "-s", savepoint, *directories, *job), 1, "the snapshot does not know", str(place / "out"))
    refused(place.weir("run", "-s", "latest", *directories, *job), 1, "has finished", savepoint)
    equal(sorted(os.listdir(place / "out")), before)

    # Into another directory it goes: the same lines again.
    place.good("run", "-s", savepoint, *directories, *job[:-1], place / "out-2")
    check(set(output_lines(place / "out-2")) < set(output_lines(place / "out")), "lines of the second restore")


@case("stop --drain ends the input: everything read so far is emitted, as at its end")
def drain(place):
    source = place.write("words.txt", "to be or not to be\n" * 100_000)
    process, _ = place.start_traced("-p", 2, *settings(savepoints=place / "savepoints"), "-D", "heartbeat.interval=50ms",
                                    example_so("word_count"), "--input", source, "--output", place / "out", "--rate", 2000)
    running = place.running_job(process)
    wait_until(lambda: place.json("info", running, "--json")["operators"][0]["records_out"] > 100, "some lines")
    place.good("stop", "--drain", running)
    equal(process.wait().code, 0)
    counts = {word: int(n) for word, n in (line.split("\t") for line in output_lines(place / "out"))}
    equal(set(counts), {"to", "be", "or", "not"})
    check(0 < counts["or"] < 100_000, "lines counted:", counts["or"])
    equal(counts, {"to": 2 * counts["or"], "be": 2 * counts["or"], "or": counts["or"], "not": counts["or"]})


@case("a job whose input has ended commits its last output, also after a kill and at another parallelism")
def killed_at_the_end(place):
    text = "".join(f"{'abcdefghij'[i % 10] * (i % 7 + 1)} word\n" for i in range(3000))
    source = place.write("words.txt", text)
    expected = sorted(f"{w}\t{n}" for w, n in Counter(text.split()).items())
    for number, moment in enumerate(("TriggerCheckpoint", "AcknowledgeCheckpoint", "NotifyCheckpointComplete",
                                     "JobStateChanged")):
        output, checkpoints = place / f"out-{number}", place / f"checkpoints-{number}"
        job = [example_so("word_count"), "--input", source, "--output", output]
        start = []
        for attempt in range(4):
            process, trace = place.start_traced(*start, "-p", attempt % 4 + 1, *settings(
                checkpoints=checkpoints, interval="200ms", backend=("fs", "rocksdb")[number % 2]), *job)
            wait_until(lambda: trace.find(moment) or process.code() is not None, moment)
            process.kill()
            start = ["-s", "latest"] if metadata_below(checkpoints) else []
        if process.code() != 0:
            # Killed behind its commit and before its checkpoints are deleted, or earlier: it goes on.
            result = place.weir("run", *start, "-p", 2, *settings(checkpoints=checkpoints), *job)
            if not (result.code == 1 and "already holds files" in result.err):
                equal((result.code, result.err), (0, ""), "after kills at", moment)
        equal(sorted(output_lines(output)), expected, "after kills at", moment)


@case("the number of a savepoint that lies anywhere is not given again, so its restore finds the output of others")
def savepoint_elsewhere(place):
    source = make_lines(place, 1_000_000)
    job = [*settings(checkpoints=place / "checkpoints"), job_so("numbered_lines"), "--input", source, "--output",
           place / "out", "--rate", 1000]
    process, _ = place.start_traced(*job)
    name = place.running_job(process)
    place.good("checkpoint", name)
    elsewhere = place.good("savepoint", name, place / "elsewhere").strip()
    process.kill()
    before = committed(place / "out")

    process, _ = place.start_traced("-s", "latest", *job)
    equal(place.running_job(process), name)
    place.good("checkpoint", name)  # and its output is committed
    wait_until(lambda: set(committed(place / "out")) - set(before), "output of the second run")
    place.good("cancel", name)
    equal(process.wait().code, 0)
    before = committed(place / "out")
    refused(place.weir("run", "-s", elsewhere, *job[:-2]), 1, "the snapshot does not know", place / "out")
    equal(committed(place / "out"), before)


@case("a job that fails starts again by itself, and its output is exactly once")
def restarts(place):
    output = place / "out"
    result = place.weir("run", "--json", "-p", 2, *settings(checkpoints=place / "checkpoints", interval="50ms"),
                        "-D", "restart-strategy=fixed-delay", "-D", "restart-strategy.fixed-delay.attempts=2",
                        "-D", "restart-strategy.fixed-delay.delay=10ms", job_so("shapes"), "--shape", "throw",
                        "--numbers", 2000, "--at", 1000, "--output", output)
    # It throws at the same number each time, and so fails for good, with what came before it committed.
    equal(result.code, 1)
    equal(harness.json.loads(result.out)["restarts"], 2)
    check(re.search(r"^weir: warning: job shapes started again after a failure \(restart [12]\): ", result.err, re.MULTILINE),
          result.err)
    numbers = [int(line) for line in output_lines(output)]
    equal(len(numbers), len(set(numbers)), "numbers that are doubled")
    # The mended job goes on from there.
    place.good("run", "-s", "latest", "-p", 3, *settings(checkpoints=place / "checkpoints"), job_so("shapes"),
               "--numbers", 2000, "--output", output)
    equal(sorted(int(line) for line in output_lines(output)), list(range(2000)))


@case("savepoint -d spares the savepoint that a running job would restart from")
def dispose_of_restore_point(place):
    source = make_lines(place, 1_000_000)
    directories = settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints")
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out", "--rate", 1000]
    process, trace = place.start_traced(*directories, *job)
    trace.wait_for("StartTask", process=process)
    start = place.good("cancel", "-s", place.running_job(process)).strip()
    process.wait()

    process, _ = place.start_traced("-s", start, *directories, *job)
    running = place.running_job(process)
    refused(place.weir("savepoint", "-d", start), 1, "would restart from it", running)
    # An ordinary savepoint is no recovery point.
    place.good("savepoint", running)
    refused(place.weir("savepoint", "-d", start), 1, "would restart from it", running)
    place.good("checkpoint", running)
    last = wait_until(lambda: place.json("info", running, "--json")["checkpoints"].get("last_completed"), "the checkpoint")
    check(last["async_us"] > 0 and last["sync_us"] >= 0 and last["alignment_us"] >= 0, "durations:", last)
    equal(place.good("savepoint", "-d", start), f"{start} is deleted\n")
    place.good("cancel", running)
    equal(process.wait().code, 0)


if __name__ == "__main__":
    sys.exit(harness.main())
