#!/usr/bin/env python3
"""Checkpoints that build on each other: kills, rescales, deletions, claims, native savepoints, damage."""

import os
import random
import re
import shutil
import sys

import harness
from harness import (case, check, equal, exactly_once, example_so, job_so, make_lines, metadata_below, output_lines,
                     progress, refused, settings, wait_until)

RATE = 4000
INCREMENTAL = ["-D", "execution.checkpointing.incremental=true", "-D", "state.backend.fs.memory-threshold=0"]
FS = [*settings(backend="fs"), *INCREMENTAL]
ROCKSDB = [*settings(backend="rocksdb"), *INCREMENTAL]
KEPT = settings(retention="RETAIN_ON_CANCELLATION")


def shared_files(place, root="checkpoints"):
    return sorted(os.path.join(base, name) for base, _, names in os.walk(place / root)
                  if os.path.basename(base) == "shared" for name in names)


def written_by(place, checkpoint):
    """Bytes of the shared files that a checkpoint has written."""
    return sum(os.path.getsize(path) for path in shared_files(place) if f"-c{checkpoint}-" in path)


def take(place, job):
    """A checkpoint now; returns its path."""
    return place.json("checkpoint", job, "--json")["directory"]


def number_of(path):
    return int(path.rsplit("-", 1)[1])


@case("a job with incremental checkpoints that is killed again and again commits each line exactly once")
def killed_again_and_again(place):
    killed(place, FS)


@case("the same on rocksdb")
def killed_again_and_again_on_rocksdb(place):
    killed(place, ROCKSDB)


def killed(place, backend):
    chance = random.Random(11)
    total = 150_000
    source = make_lines(place, total)
    directories = settings(checkpoints=place / "checkpoints", interval="50ms")
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    previous = []
    for kill in range(8):
        process, trace = place.start_traced("-p", 1 + kill // 2 % 3, *previous, *directories, *backend, *job,
                                            "--rate", RATE)
        progress(place, process, trace, chance.randint(1, 8))
        process.kill()
        previous = ["-s", "latest"]
    check(shared_files(place), "no file is shared")
    place.good("run", "-p", 2, *previous, *directories, *backend, *job)
    exactly_once(output_lines(place / "out"), 0, total)
    equal(os.listdir(place / "checkpoints"), [], "what is left of the checkpoints of a finished job")


@case("a checkpoint after few changes is small, and stands when the older ones are deleted")
def small_and_alone(place):
    small(place, FS, ("fs", "rocksdb", "memory"))


@case("so it is on rocksdb")
def small_and_alone_on_rocksdb(place):
    small(place, ROCKSDB, ("rocksdb", "fs", "memory"))


def small(place, own, backends):
    words = ["".join(chr(ord("a") + i // 26**n % 26) for n in range(4)) for i in range(40_000)]
    many = "".join(" ".join(words[i:i + 40]) + "\n" for i in range(0, len(words), 40))
    few = f"{words[7]} {words[8]}\n" * 200_000
    source = place.write("words.txt", many + few)
    job = [example_so("word_count"), "--input", source, "--output", place / "out"]
    directories = settings(checkpoints=place / "checkpoints")
    process, trace = place.start_traced(*directories, *KEPT, *own, *job, "--rate", RATE)
    name = place.running_job(process)
    wait_until(lambda: place.json("info", name, "--json")["operators"][0]["records_out"] > 2000, "the many words")
    first = take(place, name)
    full = written_by(place, number_of(first))
    check(full > 200_000, "bytes of the first checkpoint:", full)
    paths = [take(place, name) for _ in range(4)]
    for path in paths:
        part = written_by(place, number_of(path))
        check(part * 10 < full, "bytes of a later checkpoint:", part, "of", full)
    print(f"    {full} bytes, then {[written_by(place, number_of(path)) for path in paths]}", flush=True)
    equal(metadata_below(place / "checkpoints"), [paths[-1]], "older checkpoints are deleted")
    check(written_by(place, number_of(first)) == full, "what the newest names of the first is kept")
    details = place.json("info", name, "--json")["checkpoints"]["last_completed"]
    check(details["written_bytes"] * 10 < details["size_bytes"], "sizes:", details)
    process.kill()

    # A restore on every backend, at another parallelism, of what several files hold together.
    results = []
    for number, backend in enumerate(backends):
        out = place / f"out-{number}"
        place.good("run", "-s", paths[-1], "-p", number + 1, *settings(backend=backend), *job[:-1], out)
        results.append(sorted(output_lines(out)))
    equal(results[1], results[0], backends[1] + " gives another result than " + backends[0])
    equal(results[2], results[0], backends[2] + " gives another result than " + backends[0])
    equal(len(results[0]), len(words))
    check(f"{words[7]}\t200001" in results[0] and f"{words[9]}\t1" in results[0], results[0][:3])
    equal(metadata_below(place / "checkpoints"), [paths[-1]], "the restored checkpoint is the user's")

    # Every byte of what is shared is under a checksum.
    chance = random.Random(5)
    for path in shared_files(place):
        with open(path, "r+b") as file:
            content = file.read()
            for _ in range(3):
                at = chance.randrange(len(content))
                file.seek(at)
                file.write(bytes([content[at] ^ 1 << chance.randrange(8)]))
                file.flush()
                refused(place.weir("run", "-s", paths[-1], *own, *job[:-1], place / "no"), 1, path)
                file.seek(at)
                file.write(content[at:at + 1])
        os.rename(path, path + ".away")
        refused(place.weir("run", "-s", paths[-1], *own, *job[:-1], place / "no"), 1, path)
        os.rename(path + ".away", path)
    place.good("run", "-s", paths[-1], *own, *job[:-1], place / "out-9")


@case("NO_CLAIM leaves a checkpoint alone; CLAIM goes on with it and deletes it when it is replaced")
def claims(place):
    total = 150_000
    source = make_lines(place, total)
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    directories = settings(checkpoints=place / "checkpoints")
    process, trace = place.start_traced("-p", 2, *directories, *KEPT, *FS, *job, "--rate", RATE)
    name = place.running_job(process)
    take(place, name)
    path = take(place, name)
    claimed = place.weir("run", "-s", path, "--claimMode", "CLAIM", *directories, *FS, *job)
    refused(claimed, 1, name, "runs in another process")
    process.kill()
    before = {file: os.path.getsize(file) for file in shared_files(place)}
    check(before, "no file is shared")

    process, trace = place.start_traced("-p", 2, "-s", path, "--claimMode", "no_claim", *directories, *FS,
                                        job_so("numbered_lines"), "--input", source, "--output", place / "fork",
                                        "--rate", RATE)
    fork = place.running_job(process)
    check(fork != name, "NO_CLAIM forks: the job has a new id")
    whole = take(place, fork)
    part = take(place, fork)
    check(all(os.path.getsize(file) == size for file, size in before.items()), "a file of the snapshot was touched")
    check(path in metadata_below(place / "checkpoints"), "the snapshot was deleted")
    files = [file for file in shared_files(place) if f"/{fork}/" in file]
    check(any(f"-c{number_of(whole)}-" in file for file in files), "the first checkpoint writes its own files:", files)
    check(whole != part)
    process.kill()

    process, trace = place.start_traced("-p", 3, "-s", path, "--claimMode", "CLAIM", *directories, *KEPT, *FS, *job,
                                        "--rate", RATE)
    equal(place.running_job(process), name, "CLAIM goes on under the checkpoint's job id")
    later = take(place, name)
    check(number_of(later) > number_of(path), "numbers go on")
    # The deletion follows the answer.
    wait_until(lambda: path not in metadata_below(place / "checkpoints"), "the claimed checkpoint to be deleted")
    kept = set(before) & set(shared_files(place))
    check(kept, "the next checkpoint builds on the claimed one's files")
    process.kill()

    refused(place.weir("run", "-s", path, "--claimMode", "CLAIM", *directories, *FS, *job), 1, path)
    shutil.copytree(later, os.path.join(os.path.dirname(later), "chk-1000"))
    refused(place.weir("run", "-s", os.path.join(os.path.dirname(later), "chk-1000"), "--claimMode", "CLAIM",
                       *directories, *FS, *job), 1, "chk-1000", "state.checkpoints.dir")
    refused(place.weir("run", "-s", later, "--claimMode", "CLAIM", *directories, *FS, *job), 1, later, "chk-1000")
    shutil.rmtree(os.path.join(os.path.dirname(later), "chk-1000"))
    refused(place.weir("run", "-s", later, "--claimMode", "CLAIM", *settings(checkpoints=place / "other"), *FS, *job), 1,
            later, "state.checkpoints.dir")
    refused(place.weir("run", "-s", later, "--claimMode", "CLAIM", *FS, *job), 1, later, "state.checkpoints.dir")
    place.good("run", "-p", 1, "-s", later, "--claimMode", "CLAIM", *directories, *FS, *job)
    exactly_once(output_lines(place / "out"), 0, total)


@case("a native savepoint stands alone, moves and restores on every backend")
def native_savepoint(place):
    native(place, FS, ("rocksdb", "memory"))


@case("so does one of rocksdb")
def native_savepoint_of_rocksdb(place):
    native(place, ROCKSDB, ("fs", "memory", "rocksdb"))


def native(place, own, others):
    total = 150_000
    source = make_lines(place, total)
    job = [job_so("numbered_lines"), "--input", source, "--output", place / "out"]
    directories = settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints", interval="100ms")
    process, trace = place.start_traced("-p", 2, *directories, *own, *job, "--rate", RATE)
    name = place.running_job(process)
    progress(place, process, trace, 3)
    path = place.json("savepoint", name, "--type", "native", "--json")["savepoint"]
    progress(place, process, trace, 2)
    previous = place.json("cancel", "-s", "--type=native", name, "--json")["savepoint"]
    equal(process.wait().code, 0)
    shutil.rmtree(place / "checkpoints")
    moved = place / "moved"
    shutil.move(previous, moved)
    refused(place.weir("run", "-s", moved, "--claimMode", "CLAIM", *directories, *own, *job), 1, moved, "savepoint")
    for backend in others:
        process, trace = place.start_traced("-p", 3, "-s", moved, *directories, *settings(backend=backend), *INCREMENTAL,
                                            *job, "--rate", RATE)
        name = place.running_job(process)
        progress(place, process, trace, 2)
        moved = place.json("stop", "--type", "NATIVE", name, "--json")["savepoint"]
        equal(process.wait().code, 0)
    place.good("run", "-s", moved, *own, *job)
    exactly_once(output_lines(place / "out"), 0, total)
    place.good("run", "-s", path, *settings(backend="memory"), job_so("numbered_lines"), "--input", source, "--output",
               place / "again")


@case("a job whose types have changed goes on from incremental checkpoints and native savepoints")
def changed_types(place):
    changed(place, FS, ("fs", "memory", "rocksdb"))


@case("so it does on rocksdb")
def changed_types_on_rocksdb(place):
    changed(place, ROCKSDB, ("rocksdb", "fs"))


def changed(place, own, others):
    total = 20_000  # numbers, each of one of ten keys
    directories = settings(checkpoints=place / "checkpoints")
    job = [job_so("shapes"), "--numbers", total]
    process, trace = place.start_traced("-p", 2, *directories, *KEPT, *own, *job, "--output", place / "out", "--rate",
                                        2000)
    name = place.running_job(process)
    wait_until(lambda: counted(place, name) > 100, "some numbers")
    native = place.json("savepoint", name, place / "savepoints", "--type", "native", "--json")["savepoint"]
    for _ in range(3):
        wait_until(lambda seen=counted(place, name): counted(place, name) > seen + 100, "some numbers")
        path = take(place, name)
    process.kill()
    refused(place.weir("run", "-s", path, *own, *job, "--shape", "other-type", "--output", place / "no"), 1, "counts",
            "'count'", "was uint64, is string")
    new_job = [*job, "--shape", "noted-type"]
    for number, backend in enumerate(others):
        for snapshot in (path, native):
            out = place / f"out-{backend}-{os.path.basename(snapshot)}"
            place.good("run", "-s", snapshot, "-p", number + 1, *settings(backend=backend), *new_job, "--rate", 0,
                       "--output", out)
            go_on_counting(output_lines(out), total)

    # The checkpoints of the new type build on each other and on nothing else.
    process, trace = place.start_traced("-p", 3, "-s", path, "--claimMode", "CLAIM", *directories, *KEPT, *own, *new_job,
                                        "--rate", 2000, "--output", place / "out")
    equal(place.running_job(process), name)
    for _ in range(3):
        wait_until(lambda seen=counted(place, name): counted(place, name) > seen + 100, "some numbers")
        path = take(place, name)
    process.kill()
    place.good("run", "-p", 1, "-s", path, "--claimMode", "CLAIM", *directories, *own, *new_job, "--rate", 0, "--output",
               place / "out")
    lines = output_lines(place / "out")
    equal(sorted(int(line.split()[0]) for line in lines), list(range(total)))
    go_on_counting([line for line in lines if "noted" in line], total)


def counted(place, job):
    return place.json("info", job, "--json")["operators"][0]["records_out"]


def go_on_counting(lines, total):
    """Each key was counted on from what the snapshot had, to the end."""
    counts = {}
    for line in lines:
        number, note, count = line.split()
        equal(note, "noted")
        counts.setdefault(int(number) % 10, []).append(int(count))
    equal(sorted(counts), list(range(10)))
    for key, values in counts.items():
        equal(sorted(values), list(range(total // 10 - len(values) + 1, total // 10 + 1)), f"counts of key {key}")
        check(len(values) < total // 10, "key", key, "was counted from the start")


@case("what is wrong about types, claims and the setting is one sentence")
def bad_words(place):
    some = "0123456789abcdef"
    for words in (["savepoint", some], ["cancel", "-s", some], ["stop", some]):
        refused(place.weir(*words, "--type", "nativ"), 2, "nativ", "did you mean 'native'?")
        refused(place.weir(*words, "--type"), 2, "--type")
    refused(place.weir("cancel", some, "--type", "native"), 2, "--type", "-s")
    refused(place.weir("savepoint", "-d", "/nowhere", "--type", "native"), 2, "--type")
    job = job_so("numbered_lines")
    refused(place.weir("run", "-s", "/nowhere", "--claimMode", "CLAM", job), 2, "CLAM", "did you mean 'CLAIM'?")
    refused(place.weir("run", "-s", "/nowhere", "--claimMode", "LEGACY", job), 2, "LEGACY", "NO_CLAIM or CLAIM")
    refused(place.weir("run", "--claimMode", "CLAIM", job), 2, "--claimMode", "-s")
    refused(place.weir("run", "-s", "latest", "--claimMode", "NO_CLAIM", job), 2, "latest", "NO_CLAIM")
    refused(place.weir("run", "-D", "state.backend.incremental=maybe", job), 2, "maybe",
            re.compile("execution.checkpointing.incremental|state.backend.incremental"))


if __name__ == "__main__":
    sys.exit(harness.main())
