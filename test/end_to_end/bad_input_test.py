#!/usr/bin/env python3
"""Everything that a user can get wrong, or find broken: one clear sentence, nothing lost, nothing half done."""

import ctypes
import ctypes.util
import os
import random
import re
import shutil
import signal
import struct
import sys

import harness
from harness import (case, check, committed, equal, example_so, job_so, larger_than, limit_file_size, metadata_below,
                     output_lines, refused, settings, wait_until)

NUMBERS = 20_000  # that the job `shapes` generates: they are part of its state
UNKNOWN_JOB = "0123456789abcdef0123456789abcdef"
WORDS = "to be or not to be\n"


def word_count(place, output="out", text=WORDS):
    return [example_so("word_count"), "--input", place.write("words.txt", text), "--output", place / output]


PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def without_rights(path, mode):
    """For `limits`: whoever runs, also root, has no more rights to `path` than `mode` gives its owner."""
    os.chmod(path, mode)
    if os.geteuid() != 0:
        return None

    def apply():
        # What is no longer in the bounding set, the program that is about to run cannot get, root's or not.
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError("cannot drop a capability")
    return apply


def xxh3_64(content):
    library = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library.XXH3_64bits(content, len(content))


# --- words of the command line -----------------------------------------------------------------------


@case("an unknown verb, option, setting or value is refused before anything is opened, with what is nearest")
def words(place):
    refused(place.weir(), 2, "--help")
    refused(place.weir("runn"), 2, "runn", "run")
    refused(place.weir("savepiont", UNKNOWN_JOB), 2, "savepiont", "savepoint")
    refused(place.weir("--verison"), 2, "--version")
    for verb in ("run", "list", "info", "savepoint", "checkpoint", "cancel", "stop", "compile"):
        refused(place.weir(verb, "--jsno"), 2, verb, "--jsno")
    refused(place.weir("run", "--fromSavepont", "x", "no.so"), 2, "--fromSavepont", "--fromSavepoint")
    refused(place.weir("stop", "--drian", UNKNOWN_JOB), 2, "--drian", "--drain")
    refused(place.weir("list", "word"), 2, "word")
    refused(place.weir("run"), 2, "JOB.so")
    for verb in ("info", "savepoint", "checkpoint", "cancel", "stop"):
        refused(place.weir(verb), 2, "which job", "weir list")
        refused(place.weir(verb, "word_count"), 2, "word_count", "hex digits")
    refused(place.weir("cancel", "-s"), 2, "which job")
    refused(place.weir("savepoint", UNKNOWN_JOB, "a", "b"), 2, "'b'")
    for verb in ("run", "list"):
        job = ["no.so"] if verb == "run" else []
        refused(place.weir(verb, "-D", "state.backnd=fs", *job), 2, "state.backnd", "state.backend")
        refused(place.weir(verb, "-D", "state.backend=rocksbd", *job), 2, "state.backend", "rocksbd", "rocksdb")
        refused(place.weir(verb, "-D", "execution.checkpointing.interval=fast", *job), 2, "interval", "fast")
        refused(place.weir(verb, "-D", "state.backend", *job), 2, "KEY=VALUE")
    refused(place.weir("savepoint", "-D", "state.savepoints.dir=x", UNKNOWN_JOB), 2,
            "savepoint -D state.savepoints.dir is a setting of the job, which has no effect here; give it to `weir run`")
    refused(place.weir("completion", "ksh"), 2, "no completion for 'ksh', only for bash, zsh and fish")
    refused(place.weir("run", place / "nothere.so"), 1, "there is no such file")
    for value in ("0", "-1", "two", "40000"):
        refused(place.weir("run", f"--parallelism={value}", "no.so"), 2, re.compile("-p|parallelism"))
    refused(place.weir("run", "-s"), 2, "--fromSavepoint", "value")
    refused(place.weir("run", "--parallelism=", "no.so"), 2, "--parallelism needs a value: N")
    refused(place.weir("savepoint", "-d", "--json", place / "none"), 2, "--dispose needs a value", "--json")
    refused(place.weir("run", example_so("word_count"), "--inptu", "x", "--output", place / "out"), 2, "--inptu",
            "did you mean '--input'?")
    refused(place.weir("run", example_so("word_count"), "--output", place / "out"), 2, "needs --input")
    refused(place.weir("run", "-p", "1", "-p", "2", "no.so"), 2, "more than once")
    for scheme in ("hdfs", "s3"):
        refused(place.weir("run", "-D", f"state.checkpoints.dir={scheme}://host/x", *word_count(place)), 2, scheme)
    check(not os.path.exists(place / "out"), "an output directory was made")


@case("a wrong key or value in weir.yaml is refused with the file's name")
def configuration_file(place):
    path = place.write("weir.yaml", "state:\n  backend: fs\nparalellism.default: 2\n")
    refused(place.weir("run", *word_count(place)), 2, path, "paralellism.default", "parallelism.default")
    path = place.write("other.yaml", "state.backend: [unclosed\n")
    refused(place.weir("run", "--config", path, *word_count(place)), 2, path)
    os.remove(place / "weir.yaml")
    refused(place.weir("run", "--config", place / "none.yaml", *word_count(place)), 1, place / "none.yaml")
    refused(place.weir("run", "--config", os.path.dirname(path), *word_count(place)), 1, "--config", os.path.dirname(path), "a directory")
    # A verb that runs no job does not mind what only a job must have right.
    place.write("weir.yaml", "pipeline.max-parallelism: 1\nparallelism.default: 2\n")
    place.good("list")
    refused(place.weir("run", "-D", "heartbeat.timeout=1ms", place / "missing.so"), 2, "heartbeat.timeout")
    refused(place.weir("run", "-D", f"io.tmp.dirs={place / 'a'},{place / 'b'}", place / "missing.so"), 2, "io.tmp.dirs", "name one")
    place.write("weir.yaml", "parallelism.default: 2\n")
    equal(place.json("run", "--json", *word_count(place))["parallelism"], 2)


# --- the job library -----------------------------------------------------------------------------------


def damaged_library(place, name, change):
    with open(example_so("word_count"), "rb") as file:
        content = bytearray(file.read())
    return place.write(name, bytes(change(content)))


@case("a job that cannot be loaded is refused with the reason")
def job_library(place):
    missing = place / "missing.so"
    refused(place.weir("run", missing), 1, missing)
    refused(place.weir("run", place.directory), 1, place.directory, "directory")
    text = place.write("job.cpp", "#include <weir/weir.hpp>\n")
    refused(place.weir("run", text), 1, text, "no shared library", "weir compile")
    refused(place.weir("run", place.write("empty.so", "")), 1, "empty.so", "no shared library")
    refused(place.weir("run", harness.paths.weir), 1, "program")
    library = os.path.realpath(os.path.join(os.path.dirname(harness.paths.weir), "libweir.so"))
    refused(place.weir("run", library), 1, library, "no job", "WEIR_JOB")

    refused(place.weir("run", damaged_library(place, "cut.so", lambda c: c[:len(c) // 2])), 1, "cut.so", "cut off")

    def other_version(content):
        at = content.find(b"WEIRJOB\0")
        version = struct.unpack_from("<I", content, at + 8)[0]
        struct.pack_into("<I", content, at + 8, version + 1)
        return content
    refused(place.weir("run", damaged_library(place, "other.so", other_version)), 1, "other.so", "another version",
            "weir compile")

    def other_headers(content):
        at = content.find(b"WEIRJOB\0")
        content[at + 16] ^= 1
        return content
    refused(place.weir("run", damaged_library(place, "headers.so", other_headers)), 1, "headers.so",
            "it was built against another version of Weir; compile it again with `weir compile`")

    def other_compiler(content):
        at = content.find(b"WEIRJOB\0")
        content[at + 24] += 1
        return content
    refused(place.weir("run", damaged_library(place, "compiler.so", other_compiler)), 1, "compiler.so", "another compiler",
            "weir compile")

    def no_magic(content):
        return content.replace(b"WEIRJOB\0", b"NOTAJOB\0")
    refused(place.weir("run", damaged_library(place, "magic.so", no_magic)), 1, "magic.so", "weir compile")

    path = place.write("secret.so", b"x")
    limits = without_rights(path, 0)
    refused(place.weir("run", path, limits=limits), 1, path, re.compile("[Pp]ermission"))


@case("a job function that throws is named, and leaves nothing behind")
def job_function(place):
    refused(place.weir("run", job_so("shapes"), "--shape", "throws-early"), 1, "shapes", "no plan today")


# --- input and output --------------------------------------------------------------------------------


@case("missing and unreadable input is refused with its path")
def inputs(place):
    missing = place / "missing.txt"
    job = [example_so("word_count"), "--output", place / "out"]
    refused(place.weir("run", *job, "--input", missing), 1, missing)
    good = place.write("good.txt", WORDS)
    refused(place.weir("run", *job, "--input", good, "--input", missing), 1, missing)
    equal(committed(place / "out"), [], "committed files")
    secret = place.write("secret.txt", WORDS)
    limits = without_rights(secret, 0)
    refused(place.weir("run", *job, "--input", secret, limits=limits), 1, secret, re.compile("[Pp]ermission"))
    check(not os.path.exists(place / "out"), "an output directory was made")


@case("a pipe as an input file is refused, because it seems to be empty")
def pipe_as_input(place):
    os.mkfifo(place / "pipe")
    os.mkdir(place / "directory")
    os.mkfifo(place / "directory/inner")
    for path, named in ((place / "pipe", place / "pipe"), (place / "directory", place / "directory/inner"),
                        ("/dev/zero", "/dev/zero")):
        refused(place.weir("run", example_so("word_count"), "--input", path, "--output", place / "out"), 1,
                f"input {named} is no regular file", "standard input")
    check(not os.path.exists(place / "out"), "an output directory was made")


@case("a job whose input is gone when it goes on fails at once, and its checkpoints stay")
def input_is_gone(place):
    words = word_count(place, text=WORDS * 100_000)
    source = words[words.index("--input") + 1]
    checkpoints = settings(checkpoints=place / "checkpoints", interval="50ms")
    process, trace = place.start_traced(*checkpoints, *words, "--rate", 1000)
    trace.wait_for("NotifyCheckpointComplete", process=process)
    process.kill()
    os.rename(source, source + ".gone")
    refused(place.weir("run", "-s", "latest", *checkpoints, *words), 1, source, "not there any more", "put it back")
    os.rename(source + ".gone", source)
    place.good("run", "-s", "latest", *checkpoints, *words)


@case("paths of a job may be file URIs, and those of other schemes are refused as in settings")
def path_schemes(place):
    text = place.write("in.txt", "b a b\n")
    place.good("run", example_so("word_count"), "--input", f"file://{text}", "--output", f"file://{place / 'out'}")
    equal(sorted(output_lines(place / "out")), ["a\t1", "b\t2"])
    for scheme in ("s3", "hdfs"):
        path = f"{scheme}://host/x"
        refused(place.weir("run", example_so("word_count"), "--input", text, "--output", path), 2, path,
                f"{scheme}:// is not supported yet; use a path of this machine")
        refused(place.weir("run", example_so("word_count"), "--input", path, "--output", place / "out-2"), 2, path)
        check(not os.path.exists(place / f"{scheme}:"), "a directory of that name was made")
    check(not os.path.exists(place / "out-2"), "an output directory was made")


@case("a directory that cannot be written is refused with its path: output, checkpoints, savepoints, trace, logs")
def unwritable_directories(place):
    file = place.write("file", "x")
    inside = os.path.join(file, "inside")
    job = word_count(place)
    refused(place.weir("run", *job[:-1], inside), 1, inside)
    refused(place.weir("run", *job[:-1], file), 1, file)
    refused(place.weir("run", *settings(checkpoints=inside), *job), 1, inside)
    refused(place.weir("run", "--trace", inside, *job), 1, f"{inside}: cannot write the trace there: Not a directory; name a "
            "file in a directory that exists")
    refused(place.weir("run", "-D", f"env.log.dir={inside}", *job), 1, inside)
    refused(place.weir("run", "-D", f"io.tmp.dirs={inside}", *job), 1, inside)
    for name in ("out", "checkpoints"):
        os.makedirs(place / name, exist_ok=True)
        limits = without_rights(place / name, 0o555)
        words = job if name == "out" else [*settings(checkpoints=place / name), *job[:-1], place / "tmp/o"]
        refused(place.weir("run", *words, limits=limits), 1, place / name, re.compile("[Pp]ermission"))


@case("a directory that cannot be made is told with the setting that names it")
def directory_settings(place):
    text, file = place.write("in.txt", "b a b\n"), place.write("file", "")
    job = [example_so("word_count"), "--input", text, "--output", place / "out"]
    for key in ("state.checkpoints.dir", "env.log.dir", "io.tmp.dirs"):
        refused(place.weir("run", "-D", f"{key}={file}/x", *job), 1, f"{key}: {file}/x", "a file is in the way",
                "; set it to a directory that can be written to")


@case("a trace that cannot be written is told once, and the job goes on")
def full_trace(place):
    text = place.write("in.txt", "b a b\n")
    result = place.weir("run", "--trace", "/dev/full", example_so("word_count"), "--input", text, "--output", place / "out")
    equal((result.code, result.err), (0, "weir: warning: --trace /dev/full: cannot be written any more (No space left on "
                                         "device); what follows is not traced\n"))


@case("a savepoint that cannot be written is refused, leaves nothing, and the job goes on")
def savepoint_directories(place):
    file = place.write("file", "x")
    process, _ = place.start_traced(*settings(interval="50ms", backend="fs"), *word_count(place, text=WORDS * 100_000),
                                    "--rate", 1000)
    job = place.running_job(process)
    sentence = refused(place.weir("savepoint", job), 1, "state.savepoints.dir")
    check("savepoint" in sentence and not sentence.endswith(")"), sentence)
    refused(place.weir("cancel", "-s", job), 1, "state.savepoints.dir")
    refused(place.weir("stop", job), 1, "state.savepoints.dir")
    for verb in (["savepoint", job, file], ["cancel", "-s", os.path.join(file, "in"), job], ["stop", "-p", file, job]):
        refused(place.weir(*verb), 1, file)
    for verb in (["savepoint", job, "hdfs://host/x"], ["cancel", "-s", "hdfs://host/x", job],
                 ["stop", "-p", "hdfs://host/x", job], ["savepoint", "-d", "hdfs://host/x"]):
        refused(place.weir(*verb), 2, "hdfs:// is not supported yet")
    equal(place.running_job(process), job, "the job goes on")
    path = place.good("savepoint", job, place / "made/on/demand").strip()  # missing directories are created
    check(metadata_below(place / "made") == [path], "savepoint in", path)
    place.good("cancel", job)
    equal(process.wait().code, 0)


@case("a savepoint into a read-only directory is refused with its path, and the job goes on")
def read_only_savepoints(place):
    os.mkdir(place / "read-only")
    words = word_count(place, text=WORDS * 100_000)
    limits = without_rights(place / "read-only", 0o555)
    process, _ = place.start_traced(*settings(interval="50ms", backend="fs"), *words, "--rate", 1000, limits=limits)
    job = place.running_job(process, limits=limits)
    refused(place.weir("savepoint", job, place / "read-only", limits=limits), 1, place / "read-only",
            re.compile("[Pp]ermission"))
    equal(os.listdir(place / "read-only"), [])
    equal(place.running_job(process, limits=limits), job, "the job goes on")
    path = place.good("savepoint", job, place / "made", limits=limits).strip()
    equal(metadata_below(place / "made"), [path])
    place.good("cancel", job, limits=limits)
    equal(process.wait().code, 0)


@case("a savepoint whose number cannot be said is refused with that reason, and the job goes on")
def no_number(place):
    process, _ = place.start_traced(*settings(checkpoints=place / "checkpoints"),
                                    *word_count(place, text=WORDS * 100_000), "--rate", 1000)
    job = place.running_job(process)
    own = os.path.join(place / "checkpoints", job)
    os.rename(own, own + "-away")
    place.write(f"checkpoints/{job}", "no directory")
    sentence = refused(place.weir("savepoint", job, place / "savepoints"), 1, own, "takes its number in the job's directory of checkpoints")
    check("name a directory" not in sentence and "state.savepoints.dir" not in sentence, sentence)
    check(not os.path.exists(place / "savepoints"), "a savepoint was begun")
    os.remove(own)
    os.rename(own + "-away", own)
    place.good("savepoint", job, place / "savepoints")
    place.good("cancel", job)
    equal(process.wait().code, 0)


@case("full output fails the job, which names the file; what was committed stays")
def full_output(place):
    result = place.weir("run", *settings(restart="none"), job_so("numbered_lines"), "--input",
                        place.write("lines.txt", "".join(f"{i} {'x' * 1000}\n" for i in range(50_000))), "--output",
                        place / "out", limits=limit_file_size(larger_than(job_so("numbered_lines"), 1 << 20)))
    refused(result, 1, place / "out", re.compile("[Ff]ile too large|no space", re.I))
    equal(committed(place / "out"), [], "committed files")


@case("a full checkpoint or savepoint directory declines the snapshot, leaves nothing of it, and the job goes on")
def full_snapshots(place):
    process, trace = place.start_traced(*settings(interval="100ms", backend="fs", checkpoints=place / "checkpoints"),
                                        job_so("shapes"), "--shape", "ballast", "--rate", 2000, "--output", place / "out",
                                        limits=limit_file_size(larger_than(job_so("shapes"), 2 << 20)))
    job = place.running_job(process)
    wait_until(lambda: place.json("info", job, "--json")["checkpoints"]["failed"] > 1 or process.code() is not None,
               "failed checkpoints")
    equal(process.code(), None, process.err())
    refused(place.weir("checkpoint", job), 1, re.compile("too large|space", re.I))
    refused(place.weir("savepoint", job, place / "savepoints"), 1, re.compile("too large|space", re.I))
    equal(os.listdir(place / "savepoints"), [], "left of a failed savepoint")
    place.good("cancel", job)
    equal(process.wait().code, 0)
    check(trace.find("DeclineCheckpoint"), "no checkpoint was declined")
    equal([m for m in os.listdir(place / "checkpoints")], [], "left of failed checkpoints")


@case("a run without -s into a directory with committed files is refused and touches nothing")
def committed_files(place):
    place.good("run", *word_count(place))
    before = output_lines(place / "out")
    check(refused(place.weir("run", *word_count(place)), 1, place / "out").endswith(": give an empty one"))
    equal(output_lines(place / "out"), before)


@case("going on with -s latest is named to who finds files in the output directory only where it can work")
def latest_that_works(place):
    checkpoints = settings(checkpoints=place / "checkpoints", interval="50ms")
    words = [job_so("shapes"), "--output", place / "out", "--numbers", NUMBERS]
    process, trace = place.start_traced(*checkpoints, *words, "--rate", NUMBERS)
    trace.wait_for("NotifyCheckpointComplete", count=4, process=process)
    wait_until(lambda: committed(place / "out") or process.code() is not None, "committed files")
    process.kill()
    equal(process.code(), -9, "exit code of the process, with stderr", process.err())
    said = refused(place.weir("run", *words), 1, place / "out")
    check(said.endswith(": give an empty one"), said)
    said = refused(place.weir("run", *checkpoints, *words), 1, place / "out", ": give an empty one, or go on from")
    newest = max(metadata_below(place / "checkpoints"), key=lambda path: int(path.rsplit("-", 1)[1]))
    check(said.endswith(f"{newest} with -s latest"), said)
    elsewhere = [job_so("shapes"), "--output", place / "elsewhere", "--numbers", NUMBERS]
    place.good("run", *elsewhere, "--rate", 0)
    said = refused(place.weir("run", *checkpoints, *elsewhere), 1, place / "elsewhere")
    check(said.endswith(": give an empty one"), said)  # it is of a run that left no checkpoint
    place.good("run", "-s", "latest", *checkpoints, *words, "--rate", 0)
    said = refused(place.weir("run", *checkpoints, *words), 1, place / "out")
    check(said.endswith(": give an empty one"), said)
    refused(place.weir("run", "-s", "latest", *checkpoints, *words), 1,
            "run without -s to start anew, with an empty output directory")


@case("a second job into the output directory of one that runs is refused before it touches anything")
def shared_output(place):
    checkpoints, others = settings(checkpoints=place / "checkpoints", interval="50ms"), place / "others"
    words = [job_so("shapes"), "--output", place / "out"]
    process, trace = place.start_traced("-p", 2, *checkpoints, *words)
    trace.wait_for("TriggerCheckpoint", process=process)
    # Not even to a job that would take its files for leftovers of its own, or has none there yet.
    for second in (words, [example_so("word_count"), "--input", place.write("in.txt", WORDS), "--output",
                           f"file://{place.directory}/./out/"]):
        refused(place.weir("run", *settings(checkpoints=others), *second), 1,
                f"output directory {place / 'out'} is in use by another job")
        check(not os.path.exists(others) or not os.listdir(others), "something is left of a refused job")
    trace.wait_for("NotifyCheckpointComplete", count=4, process=process)
    process.kill()
    process, trace = place.start_traced("-s", "latest", *checkpoints, *words)  # a lock of the dead does not count
    trace.wait_for("NotifyCheckpointComplete", count=2, process=process)
    place.good("stop", "-p", place / "savepoints", place.running_job(process))
    process.wait()
    numbers = [int(line) for line in output_lines(place / "out")]
    equal(sorted(numbers), list(range(len(numbers))))
    equal([name for name in os.listdir(place / "out") if name.startswith(".")], [], "hidden files")


# --- jobs and snapshots that are named -----------------------------------------------------------------


@case("an unknown job id is refused by every verb")
def unknown_job(place):
    for verb in (["info"], ["savepoint"], ["checkpoint"], ["cancel"], ["cancel", "-s"], ["stop"], ["stop", "--drain"]):
        refused(place.weir(*verb, UNKNOWN_JOB), 1, UNKNOWN_JOB, "weir list")


def make_savepoint(place, *words, shape="plain", parallelism=2, backend="fs", keep="savepoint"):
    """A savepoint of the job `shapes`, at `place / keep`."""
    process, _ = place.start_traced("-p", parallelism, *settings(backend=backend), "-D", "heartbeat.interval=20ms", *words,
                                    job_so("shapes"), "--shape", shape, "--numbers", NUMBERS, "--rate", 5000, "--output",
                                    place / f"out-{keep}")
    job = place.running_job(process)
    wait_until(lambda: place.json("info", job, "--json")["operators"][0]["records_out"] > 100, "some records")
    path = place.good("cancel", "-s", place / "made", job).strip()
    equal(process.wait().code, 0)
    os.rename(path, place / keep)
    return place / keep


def restore(place, path, *words, shape="plain"):
    return place.weir("run", "-s", path, *words, job_so("shapes"), "--shape", shape, "--numbers", NUMBERS, "--rate", 0,
                      "--output", place / "restored")


@case("a snapshot that is missing, or none at all, is refused")
def missing_snapshot(place):
    refused(restore(place, place / "missing"), 1, place / "missing", "there is no such file or directory; -s takes")
    refused(restore(place, place.directory), 1, place.directory)
    refused(restore(place, "latest"), 1, "state.checkpoints.dir")
    refused(restore(place, "latest", *settings(checkpoints=place / "none")), 1, place / "none", "shapes")
    for scheme in ("hdfs", "s3"):
        refused(restore(place, f"{scheme}://host/savepoint"), 2, f"{scheme}:// is not supported yet")
    for path in (place / "missing", place.directory):
        refused(place.weir("savepoint", "-d", path), 1,
                f"{path}: there is no savepoint here; give the directory that holds its _metadata")
    check(os.path.isdir(place.directory) and not os.path.exists(place / "restored"), "something was made or deleted")


@case("a damaged savepoint is refused before any record comes out: truncated, flipped, cut short, of a newer version")
def damaged_savepoint(place):
    good = make_savepoint(place, "-D", "state.backend.fs.memory-threshold=0", backend="fs")
    chance = random.Random(5)
    files = sorted(os.listdir(good))
    check(len(files) > 1, "data files beside _metadata:", files)
    bad = place / "bad"
    damages = 0
    for name in files:
        with open(os.path.join(good, name), "rb") as file:
            content = file.read()
        variants = [content[:len(content) // 2], content[:-1], b"", content + b"\0", None]
        for _ in range(6):
            flipped = bytearray(content)
            flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            variants.append(bytes(flipped))
        for variant in variants:
            shutil.rmtree(bad, ignore_errors=True)
            shutil.copytree(good, bad)
            if variant is None:
                os.remove(os.path.join(bad, name))
            else:
                with open(os.path.join(bad, name), "wb") as file:
                    file.write(variant)
            refused(restore(place, bad), 1, os.path.join(bad, name) if variant is not None else bad,
                    "-s takes the directory" if name == "_metadata" and variant is None else "start from another snapshot")
            check(not os.path.exists(place / "restored"), "an output directory was made")
            damages += 1
    check(damages > 20)

    with open(os.path.join(good, "_metadata"), "rb") as file:
        content = bytearray(file.read())
    struct.pack_into("<Q", content, 8, 2)  # the version; docs/formats/snapshot.md says what stands where
    struct.pack_into("<Q", content, 32, xxh3_64(bytes(content[:32])))
    shutil.rmtree(bad)
    shutil.copytree(good, bad)
    with open(os.path.join(bad, "_metadata"), "wb") as file:
        file.write(content)
    refused(restore(place, bad), 1, os.path.join(bad, "_metadata"), re.compile("newer version"))

    refused(place.weir("savepoint", "-d", bad), 1, os.path.join(bad, "_metadata"), "newer version")
    with open(os.path.join(bad, "_metadata"), "wb"):
        pass
    refused(place.weir("savepoint", "-d", bad), 1, os.path.join(bad, "_metadata"), "remove the directory yourself")
    check(len(os.listdir(bad)) == len(files), "files that are left of a savepoint that nothing can be told of")

    equal(restore(place, good, "-p", "3").code, 0, "the undamaged savepoint")


@case("a damaged newest checkpoint is not passed over where files were committed: both are named")
def damaged_latest(place):
    directories = settings(checkpoints=place / "checkpoints", interval="50ms")
    words = [*directories, "-D", "state.checkpoints.num-retained=2", job_so("shapes"), "--output", place / "out"]
    process, trace = place.start_traced(*words)
    wait_until(lambda: len({m["checkpoint"] for m in trace.find("NotifyCheckpointComplete")}) > 3, "checkpoints")
    process.kill()
    found = metadata_below(place / "checkpoints")
    newest = max(found, key=lambda path: int(path.rsplit("-", 1)[1]))
    older = [path for path in found if path != newest]
    check(older, "only one checkpoint is kept:", found)
    with open(os.path.join(newest, "_metadata"), "r+b") as file:
        file.truncate(40)
    refused(place.weir("run", "-s", "latest", *words), 1, newest, re.compile("|".join(map(re.escape, older))), "-s ")
    refused(place.weir("run", "-s", newest, *words), 1, newest)
    for path in older:
        shutil.rmtree(path)
    refused(place.weir("run", "-s", "latest", *words), 1, newest, "run without -s to start anew, with an empty output directory")


@case("a savepoint with an operator that the job lacks is refused; -n skips it and says so")
def operator_lacking(place):
    path = make_savepoint(place)
    refused(restore(place, path, shape="renamed"), 1, "counts", "-n")
    check(not os.path.exists(place / "restored"), "an output directory was made")
    result = restore(place, path, "-n", shape="renamed")
    equal(result.code, 0, result.err)
    warnings = result.err.splitlines()
    check(any("'counts'" in w and "skipped" in w for w in warnings), "what -n skips is not said:", warnings)
    check(all(w.startswith("weir: warning: ") for w in warnings), warnings)


@case("a state that the job does not use is refused; -n skips it and says so")
def state_lacking(place):
    path = make_savepoint(place)
    refused(restore(place, path, shape="other-state"), 1, "counts", "'state'", "--allowNonRestoredState")
    result = restore(place, path, "-n", shape="other-state")
    equal(result.code, 0, result.err)
    check(any("operator 'counts', subtask 0: the snapshot has the state 'state', which the job does not use: skipped" in line
              and line.startswith("weir: warning: ") for line in result.err.splitlines()), result.err)


@case("an operator that the savepoint lacks starts without state, and the run says so")
def operator_exceeding(place):
    path = make_savepoint(place)
    result = restore(place, path, shape="more")
    equal(result.code, 0, result.err)
    check("'more'" in result.err and result.err.startswith("weir: warning: "), result.err)


@case("a changed or exceeded maximum parallelism is refused")
def maximum_parallelism(place):
    path = make_savepoint(place, shape="max-64")
    refused(restore(place, path, "-p", 65, shape="plain"), 1, "counts", "64", "65")
    refused(restore(place, path, shape="max-2"), 1, "counts", "64", "2")
    refused(place.weir("run", "-p", 3, job_so("shapes"), "--shape", "max-2", "--numbers", 10), 1, "counts", "3", "2")
    equal(restore(place, path, "-p", 5, shape="plain").code, 0, "a job that sets none takes the snapshot's")
    refused(place.weir("run", "-p", 8, "-D", "pipeline.max-parallelism=4", job_so("shapes"), "--numbers", 10), 2,
            "parallelism.default", "8", "pipeline.max-parallelism", "4")


@case("state of another type under the same name is refused")
def other_type(place):
    path = make_savepoint(place)
    refused(restore(place, path, shape="other-type"), 1, "counts", "count", "undo the change, or give the state another name")
    check(not os.path.exists(place / "restored"), "an output directory was made")


# --- the plan --------------------------------------------------------------------------------------------


@case("two operators with one uid are refused")
def same_uid(place):
    refused(place.weir("run", job_so("shapes"), "--shape", "same-uid", "--numbers", 10), 1, "counts")


@case("a stateful operator without uid runs with a warning that tells the generated one")
def no_uid(place):
    result = place.weir("run", job_so("shapes"), "--shape", "no-uid", "--numbers", 10, "--rate", 0)
    equal(result.code, 0, result.err)
    equal(len(result.err.splitlines()), 1, "one warning expected:", result.err)
    check(re.match(r"weir: warning: operator '.*map_with_state.*' .*no uid.* '[0-9A-Za-z_-]{6,}'", result.err), result.err)
    equal(sorted(map(int, result.out.split())), list(range(10)))


# --- while it runs ---------------------------------------------------------------------------------------


@case("the Memory backend over its limit declines checkpoints with that reason; savepoints still work")
def memory_limit(place):
    process, _ = place.start_traced(*settings(backend="memory"), "-D", "heartbeat.interval=20ms", job_so("shapes"),
                                    "--shape", "ballast", "--rate", 2000, "--output", place / "out")
    job = place.running_job(process)
    wait_until(lambda: place.json("info", job, "--json")["operators"][0]["records_out"] > 1000, "8 MiB of state")
    refused(place.weir("checkpoint", job), 1, "ballast", "5 MiB", "state.backend")
    path = place.good("savepoint", job, place / "savepoints").strip()
    check(os.path.isfile(os.path.join(path, "_metadata")), path)
    equal(place.running_job(process), job, "the job goes on")
    place.good("cancel", job)
    equal(process.wait().code, 0)
    process = place.start("run", "-s", path, *settings(backend="rocksdb"), job_so("shapes"), "--shape", "ballast",
                          "--rate", 2000, "--output", place / "out-2")
    job = place.running_job(process)
    equal(place.json("info", job, "--json")["checkpoints"]["restored_directory"], path)
    place.good("cancel", job)
    equal(process.wait().code, 0)


@case("a user function that throws fails the job, which names its operator and what was thrown")
def user_function_throws(place):
    for number, restart in enumerate((settings(restart="none", interval="50ms"), [])):
        result = place.weir("run", *restart, job_so("shapes"), "--shape", "throw", "--output", place / f"out-{number}")
        refused(result, 1, "passing", "number 100 is unlucky")
    result = place.weir("run", "--json", job_so("shapes"), "--shape", "throw", "--rate", 0)
    equal((result.code, harness.one_object(result.out)["state"]), (1, "FAILED"))
    refused(place.weir("run", job_so("shapes"), "--shape", "throw-int", "--rate", 0, "--output", place / "out"), 1, "passing")
    equal(committed(place / "out"), [])


@case("what is wrong from the start is no reason to start again, whatever the restart strategy")
def no_restart(place):
    missing = place / "missing.txt"
    strategy = ["-D", "restart-strategy=fixed-delay", "-D", "restart-strategy.fixed-delay.delay=10ms",
                *settings(interval="50ms")]
    path = make_savepoint(place)
    refused(restore(place, path, *strategy, shape="other-type"), 1, "counts")
    refused(place.weir("run", *strategy, example_so("word_count"), "--input", missing, "--output", place / "out"), 1, missing)
    place.good("run", *word_count(place, "full"))
    refused(place.weir("run", *strategy, *word_count(place, "full")), 1, place / "full")


@case("a crash in user code is reported with the operator's name")
def crash(place):
    for shape, name in (("crash", "SIGSEGV"), ("overflow", "SIGSEGV"), ("abort", "SIGABRT")):
        checkpoints = place / ("checkpoints-" + shape)
        process, trace = place.start_traced(*settings(interval="20ms", checkpoints=checkpoints),
                                            job_so("shapes"), "--shape", shape, "--output", place / ("out-" + shape),
                                            "--once", place / (shape + "-now"))
        trace.wait_for("NotifyCheckpointComplete", process=process)
        place.write(shape + "-now", "")
        result = process.wait()
        check(result.code < 0, "the process should die of the signal, and ended with", result.code)
        refused(result, result.code, "passing", name, "of job shapes (", "`weir run -s latest`", "(log: ")
        check(metadata_below(checkpoints), "no checkpoint is kept after", shape)


@case("the sentence of a crash promises a checkpoint that was completed, or names the savepoint")
def crash_after_snapshot(place):
    def crash(*words, take=None):
        process, trace = place.start_traced(*words, job_so("shapes"), "--output", place / f"out-{place.number}")
        job = place.running_job(process)
        path = place.good(*take(job)).strip()

        def is_known():  # the job's own `weir run` has asked how it does, and asked again
            entries = trace.refresh()
            done = max((i for i, m in enumerate(entries) if m["message"] == "NotifyCheckpointComplete"), default=len(entries))
            return sum(m["message"] == "RequestJobDetails" for m in entries[done:]) > 1
        wait_until(is_known, "the snapshot to be known")
        process.send(signal.SIGABRT)
        result = process.wait()
        equal(result.code, -signal.SIGABRT)
        refused(result, result.code, f"job shapes ({job}) crashed the process (SIGABRT)", "(log: ")
        return result.err, path
    said, _ = crash(*settings(checkpoints=place / "checkpoints"), take=lambda job: ["checkpoint", job])
    check("its last completed checkpoint is kept: resume with `weir run -s latest`" in said, said)
    said, path = crash(take=lambda job: ["savepoint", job, place / "savepoints"])
    check(f"resume from its savepoint with `weir run -s {path}`" in said, said)


if __name__ == "__main__":
    sys.exit(harness.main())
