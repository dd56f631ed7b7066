#!/usr/bin/env python3
"""A disk that becomes full under a running job, and has room again: nothing is lost, and checkpoints go on.

The disk is a small tmpfs in a mount namespace of its own, which is gone with the test. Where neither root nor
a user namespace may mount one, the test says so and is skipped.
"""

import os
import subprocess
import sys
from collections import Counter

import harness
from harness import case, check, equal, job_so, metadata_below, output_lines, refused, settings, wait_until

SKIPPED = 77
INSIDE = "WEIR_TEST_MOUNTS"  # set in the namespace
DISK_BYTES = 8 << 20
LINES = 120_000
RATE = 10_000  # lines per second


def enter_namespace():
    """Runs this script again where it may mount."""
    if os.environ.get(INSIDE):
        return
    for words in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        tried = [*words, "sh", "-c", "mount -t tmpfs none /mnt"]
        try:
            may = subprocess.run(tried, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            break
        if may:
            os.environ[INSIDE] = "yes"
            os.execvp("unshare", [*words, sys.executable, *sys.argv])
    print("skipped: mounting a tmpfs needs root or a user namespace, and unshare(1)")
    sys.exit(SKIPPED)


def fill(directory):
    """Takes all the room that is left."""
    with open(os.path.join(directory, "ballast"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass


@case("a job whose disk becomes full goes on when there is room again, and its output is exact")
def disk_becomes_full(place):
    disk = place / "disk"
    os.mkdir(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk], check=True)
    source = place.write("lines.txt", "".join(f"{i} {'x' * 50}\n" for i in range(LINES)))
    checkpoints = disk + "/checkpoints"
    process, trace = place.start_traced(
        "--json", *settings(checkpoints=checkpoints, interval="100ms", backend="fs", restart="none"), "-p", 2, job_so("numbered_lines"), "--input", source, "--output", place / "out", "--rate", RATE)
    trace.wait_for("NotifyCheckpointComplete", process=process, count=4)

    job = place.running_job(process)
    fill(disk)
    failed = place.json("info", job, "--json")["checkpoints"]["failed"]
    wait_until(lambda: place.json("info", job, "--json")["checkpoints"]["failed"] > failed + 2, "checkpoints that fail")
    refused(place.weir("checkpoint", job), 1, disk, "No space left on device")
    told = place.json("info", job, "--json")["checkpoints"]["last_failure"]
    check("No space left on device" in told and disk in told, "the reason that info tells:", told)
    check("\n  last failure: checkpoint " in place.good("info", job), "the reason in words")
    warnings = [line for line in process.err().splitlines() if "was given up" in line]
    check(len(warnings) == 1 and warnings[0].startswith("weir: warning: job numbered_lines: checkpoint "), warnings)
    check("No space left on device" in warnings[0], warnings)
    check(metadata_below(checkpoints), "the last complete checkpoint is still there")
    equal(process.code(), None, "the process while the disk is full, with stderr", process.err())

    completed = len(trace.find("NotifyCheckpointComplete"))
    os.remove(disk + "/ballast")
    trace.wait_for("NotifyCheckpointComplete", process=process, count=completed + 1)
    result = process.wait()
    equal(result.code, 0, "exit code, with stderr", result.err)
    equal(harness.one_object(result.out)["state"], "FINISHED")
    numbers = Counter(int(line.split(" ", 1)[0]) for line in output_lines(place / "out"))
    equal([n for n in range(LINES) if numbers[n] != 1][:20], [], "lines that are lost or doubled")
    equal(len(numbers), LINES, "lines")


if __name__ == "__main__":
    enter_namespace()
    sys.exit(harness.main())
