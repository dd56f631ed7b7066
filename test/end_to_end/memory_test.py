#!/usr/bin/env python3
"""Memory that is configured is kept to: state on RocksDB may be any size, state in memory fails the job with a reason."""

import os
import sys

import harness
from harness import case, check, equal, job_so, output_lines, refused, settings, wait_until

MIB = 1 << 20
BUDGET = 16 * MIB
TIMES = 10  # so much more state than memory
VALUE = 1000  # bytes, on the average
ROUNDS = 2
DEADLINE = 240.0  # all of it is written, merged and written again
BUDGET_KEY = "state.backend.rocksdb.memory.fixed-per-tm"
HEAP_KEY = "taskmanager.memory.task.heap.size"


def peak_resident(place, *words):
    """Runs `weir WORDS`, which must succeed, and returns the most memory in bytes that it had at a time."""
    process = place.start(*words)

    def ended():
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid == 0:
            return None
        process.popen.returncode = os.waitstatus_to_exitcode(status)
        return usage
    usage = wait_until(ended, "the end of the job", DEADLINE)
    equal(process.code(), 0, process.err())
    return usage.ru_maxrss * 1024


def large_state(place, keys, output, *options):
    return ["run", *settings(backend="rocksdb", checkpoints=place / f"{output}-checkpoints", interval="500ms"),
            "-D", f"{BUDGET_KEY}={BUDGET // MIB}mb", *options, job_so("large_state"), "--keys", keys, "--bytes", VALUE,
            "--rounds", ROUNDS, "--output", place / output]


@case("a process with RocksDB stays small with ten times as much state as it was given memory")
def budget(place):
    base = peak_resident(place, *large_state(place, 1, "small"))
    keys = TIMES * BUDGET // VALUE
    peak = peak_resident(place, *large_state(place, keys, "large"))
    equal(sorted(output_lines(place / "large")), sorted(f"{key} {ROUNDS}" for key in range(0, keys, 1000)))
    if os.environ.get("WEIR_SANITIZER"):
        return  # its memory is that of the sanitizer
    # As much again, and a half, is for what malloc cannot give back and for files that are written and merged.
    check(peak - base <= BUDGET * 5 // 2, f"{peak / MIB:.1f} MiB resident, of which {base / MIB:.1f} without state: "
          f"more than {BUDGET * 5 / 2 / MIB:.0f} for it with a budget of {BUDGET / MIB:.0f}")
    print(f"    {(peak - base) / MIB:.1f} MiB for {TIMES * BUDGET // MIB} MiB of state", flush=True)


@case("state over the configured memory fails the job with that reason, on each backend in memory")
def heap(place):
    for backend in ("memory", "filesystem"):
        result = place.weir("run", *settings(backend=backend), "-D", f"{HEAP_KEY}=4mb", job_so("shapes"), "--shape", "ballast",
                            "--rate", 0, "--output", place / backend)
        refused(result, 1, "operator 'ballast'", "its state takes", "4 MiB", HEAP_KEY)


@case("on RocksDB an entry that is larger than the memory for tables fails the job with that reason")
def large_entry(place):
    result = place.weir("run", *settings(backend="rocksdb"), "-D", f"{BUDGET_KEY}=8mb", job_so("shapes"), "--shape", "swelling",
                        "--rate", 0, "--output", place / "out")
    refused(result, 1, "operator 'swelling', subtask ", ": state 'state': an entry takes ", "2048 KiB", BUDGET_KEY)  # two subtasks have half of 8 MiB


@case("a memory budget that is too small is refused before the job starts")
def too_small(place):
    for key, backend in ((HEAP_KEY, "memory"), (HEAP_KEY, "filesystem"), (BUDGET_KEY, "rocksdb")):
        for size in ("1023kb", "0", "-1mb"):
            refused(place.weir("run", *settings(backend=backend), "-D", f"{key}={size}", job_so("shapes")), 2, key, size,
                    "at least 1 mb")
    # The operator with state has 8 subtasks, and so has another before it.
    refused(place.weir("run", "-p", 8, *settings(backend="rocksdb"), "-D", f"{BUDGET_KEY}=15mb", job_so("shapes"), "--shape",
                       "ballast", "--output", place / "out"), 2, BUDGET_KEY, "15 MiB", "16 subtasks", "16 mb")
    check(not os.path.exists(place / "out"), "the job has begun")


if __name__ == "__main__":
    sys.exit(harness.main())
