#!/usr/bin/env python3
"""A job that is killed again and again, and whose output is exactly right all the same."""

import errno
import os
import random
import sys
import time
from collections import Counter

import harness
from harness import case, check, equal, job_so, output_lines, settings, wait_until

LINES = 200_000
RATE = 25_000  # lines per second until the last run
KILLS = 20
KILLS_INSIDE = 8  # at least
KEYS = 64
BACKENDS = ("fs", "rocksdb", "memory")
# When the process is killed: every other time while a checkpoint is held, else where it happens to be.
ELSEWHERE = ("triggered", "acknowledged", "completed", "delayed", "restoring")


def moment_of(kill):
    return "held" if kill % 2 == 0 else ELSEWHERE[kill // 2 % len(ELSEWHERE)]


def under_way(trace):
    """The ids of the checkpoints that were triggered and not ended when the process died."""
    ended = {m["checkpoint"] for m in trace.refresh()
             if m["message"] in ("NotifyCheckpointComplete", "NotifyCheckpointAborted")}
    return {m["checkpoint"] for m in trace.find("TriggerCheckpoint")} - ended


def incomplete_below(directory):
    """Checkpoint directories in which no `_metadata` stands: a checkpoint was being written there."""
    return {base for base, _, names in os.walk(directory)
            if os.path.basename(base).startswith("chk-") and "_metadata" not in names}


def wait_a_moment(chance, longest):
    """Lets real time pass: a kill shall also come where no message marks the moment, within a write or a rename of the
    other process, and nothing but its own pace says when it is there. Any moment is a right one; none is waited for."""
    end = time.monotonic() + chance.uniform(0, longest)
    wait_until(lambda: time.monotonic() >= end, "the moment of death")


def kill_held(process, gate, chance):
    """Closes the gate, and kills the process while the snapshot of one subtask waits there."""
    os.mkfifo(gate)

    def opened():
        check(process.code() is None, "the process ended at the gate:", process.err())
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as failure:
            if failure.errno != errno.ENXIO:  # nobody waits there yet
                raise
    pipe = wait_until(opened, "a snapshot at the gate")
    try:
        wait_a_moment(chance, 0.02)  # for the others to acknowledge
        process.kill()
    finally:
        os.close(pipe)
        os.unlink(gate)


def kill_at(moment, process, trace, chance):
    """Waits until this run is as far as `moment` says, most often in its second checkpoint, and kills it."""
    if moment == "restoring":  # while the sinks commit what the last run has left
        trace.wait_for("SubmitTask", process=process)
        wait_a_moment(chance, 0.01)
        process.kill()
        return
    first = trace.wait_for("TriggerCheckpoint", process=process)["checkpoint"]
    if moment == "triggered":
        trace.wait_for("TriggerCheckpoint", process=process, checkpoint=first + 1)
    elif moment == "acknowledged":
        trace.wait_for("AcknowledgeCheckpoint", process=process, checkpoint=first + 1)
    elif moment == "completed":  # while sinks commit
        trace.wait_for("NotifyCheckpointComplete", process=process, checkpoint=first + 1)
    elif moment == "delayed":
        trace.wait_for("NotifyCheckpointComplete", process=process, checkpoint=first)
        wait_a_moment(chance, 0.2)
    process.kill()


@case("a job that is killed twenty times commits each line exactly once")
def killed_again_and_again(place):
    chance = random.Random(3)
    source = place.write("lines.txt", "".join(f"{i} {'x' * (i % 50)}\n" for i in range(LINES)))
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    inside = 0
    told = []
    for kill in range(KILLS):
        moment = moment_of(kill)
        parallelism = 1 + (kill * 3 + kill // 4) % 4
        words = settings(checkpoints=place / "checkpoints", interval="100ms", backend=BACKENDS[kill % len(BACKENDS)])
        # Of these backends fs writes such a checkpoint in a form of its own, which the next one restores.
        words += ["-D", "execution.checkpointing.incremental=true", "-D", "state.backend.fs.memory-threshold=0"]
        words += ["-p", parallelism, *([] if kill == 0 else ["-s", "latest"])]
        process, trace = place.start_traced(*words, *job, "--rate", RATE, "--gate", place / "gate")
        before = incomplete_below(place / "checkpoints")
        if kill == 0 or moment == "held":  # a checkpoint of this run is complete
            trace.wait_for("NotifyCheckpointComplete", process=process)
        if moment == "held":
            kill_held(process, place / "gate", chance)
        else:
            kill_at(moment, process, trace, chance)
        equal(process.code(), -9, "exit code of the process, with stderr", process.err())
        is_inside = bool(under_way(trace) or incomplete_below(place / "checkpoints") - before)
        check(is_inside or moment != "held", "the checkpoint that was held is complete")
        inside += is_inside
        told.append(f"{moment}{' (inside)' if is_inside else ''}")
    print(f"    killed {KILLS} times, {inside} of them inside a checkpoint: {', '.join(told)}", flush=True)

    end = place.json("run", "--json", "-s", "latest", "-p", 3, *settings(
        checkpoints=place / "checkpoints", interval="100ms", backend="rocksdb"), *job)
    equal(end["state"], "FINISHED")
    check(end["records_in"] > 1000, "all of the input was read before the last kill:", end["records_in"])
    print(f"    the last run read {end['records_in']} of {LINES} lines", flush=True)

    lines = output_lines(place / "out")
    numbers = Counter(int(line.split(" ", 1)[0]) for line in lines)
    equal([n for n in range(LINES) if n not in numbers][:20], [], "lines that are lost")
    equal([(n, c) for n, c in numbers.items() if c != 1][:20], [], "lines that are doubled")
    equal(len(lines), LINES, "lines in the committed files")
    seen = Counter((int(line.split(" ", 1)[0]) % KEYS, int(line.rsplit("\t", 1)[1])) for line in lines)
    expected = Counter((n % KEYS, n // KEYS + 1) for n in range(LINES))
    equal(sorted((seen - expected).items())[:20], [], "counts of a key that stand twice")
    equal(sorted((expected - seen).items())[:20], [], "counts of a key that are left out")
    check(inside >= KILLS_INSIDE, f"only {inside} kills were inside a checkpoint")
    left = [name for name in os.listdir(place / "out") if name.startswith(".")]
    equal(left, [], "uncommitted files that are left")


if __name__ == "__main__":
    sys.exit(harness.main())
