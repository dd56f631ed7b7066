#!/usr/bin/env python3
"""One flipped bit in any region of a savepoint: `weir run -s` names the file, and nothing comes out of the job.

Where the regions lie is read from the files themselves, by docs/formats/snapshot.md. Every single bit is tried in
test/contract/damaged_savepoint_test.cpp; here it is a sample of each region, through the whole command.
"""

import os
import random
import shutil
import struct
import sys

import harness
from harness import case, check, committed, equal, job_so, output_lines, refused, settings, wait_until

NUMBERS = 3000  # that the job generates; each takes 8 KiB of state
BLOCK, BLOCK_HEADER, DOCUMENT_HEADER = 65536, 32, 40

# The encoding of `_metadata`: fields of structures in their order. A pair ("list", T) or ("optional", T) holds a T.
SCHEMA = [("kind", "<B"), ("name", "string"), ("label", "string"), ("number", "<q")]
SCHEMA.append(("children", ("list", SCHEMA)))
EXTENT = [("group", "<I"), ("offset", "<Q"), ("length", "<Q"), ("entries", "<Q"), ("checksum", "<Q")]
KEYED = [("state", "string"), ("location", "<I"), ("groups", ("list", EXTENT)), ("format", "<B"), ("sequence", "<Q")]
OPERATOR_STATE = [("state", "string"), ("location", "<I"), ("offset", "<Q"), ("length", "<Q"), ("checksum", "<Q"),
                  ("elements", ("list", "<Q"))]
CHANNEL = [("producer_uid", "string"), ("output_tag", "string"), ("consumer_uid", "string"), ("input", "<I"),
           ("location", "<I"), ("offset", "<Q"), ("length", "<Q"), ("checksum", "<Q")]
SUBTASK = [("subtask", "<I"), ("finished", "<B"), ("keyed", ("list", KEYED)),
           ("operator_states", ("list", OPERATOR_STATE)), ("channels", ("list", CHANNEL))]
STATE = [("name", "string"), ("kind", "<B"), ("key", ("optional", SCHEMA)), ("value", SCHEMA)]
OPERATOR = [("uid", "string"), ("name", "string"), ("generated_uid", "<B"), ("parallelism", "<I"),
            ("max_parallelism", "<I"), ("states", ("list", STATE)), ("subtasks", ("list", SUBTASK))]
LOCATION = [("file", "string"), ("file_id", "<Q"), ("size_bytes", "<Q"), ("inline_bytes", "string"),
            ("shared", "<B")]
METADATA = [("kind", "<B"), ("job", "<QQ"), ("job_name", "string"), ("checkpoint", "<Q"), ("epoch", "<Q"),
            ("attempt", "<I"), ("triggered_at_ms", "<q"), ("completed_at_ms", "<q"),
            ("locations", ("list", LOCATION)), ("operators", ("list", OPERATOR))]


def find_fields(kind, content, at, name, found):
    """Adds where each field of the `kind` at `at` lies to `found`: name -> [(begin, end)]. Returns the end."""
    def leaf(what, size):
        if size:
            found.setdefault(what, []).append((at, at + size))
        return at + size

    if kind == "string":
        length = struct.unpack_from("<I", content, at)[0]
        at = leaf(name + " (length)", 4)
        return leaf(name, length)
    if isinstance(kind, str):
        return leaf(name, struct.calcsize(kind))
    if isinstance(kind, list):
        for field, inner in kind:
            at = find_fields(inner, content, at, f"{name}.{field}", found)
        return at
    form, inner = kind
    size, what = (4, " (count)") if form == "list" else (1, " (is there)")
    count = int.from_bytes(content[at:at + size], "little")
    at = leaf(name + what, size)
    for _ in range(count):
        # Children of schemas are schemas: one name for all depths.
        at = find_fields(inner, content, at, name if name.endswith("children") else name + "[]", found)
    return at


def regions_of_metadata(content):
    found = {name: [(begin, begin + 8)] for name, begin in
             (("magic", 0), ("version", 8), ("file id", 16), ("body length", 24), ("header checksum", 32))}
    body_bytes = struct.unpack_from("<Q", content, 24)[0]
    check(body_bytes <= BLOCK - BLOCK_HEADER, "the test expects one block, and the body has", body_bytes, "bytes")
    found.update(regions_of_block("block 0", DOCUMENT_HEADER))
    begin = DOCUMENT_HEADER + BLOCK_HEADER
    end = find_fields(METADATA, content, begin, "metadata", found)
    equal(end, len(content), "the end of the fields")
    found["last byte"] = [(end - 1, end)]
    return found


def regions_of_block(name, begin):
    return {f"{name}: {field}": [(begin + at, begin + end)] for field, at, end in
            (("checksum", 0, 8), ("file id", 8, 16), ("number", 16, 24), ("length", 24, 28), ("flags", 28, 32))}


def regions_of_data(content):
    found = {}
    for begin in range(0, len(content), BLOCK):
        name = f"block {begin // BLOCK}"
        end = min(begin + BLOCK, len(content))
        payload = begin + BLOCK_HEADER
        found.update(regions_of_block(name, begin))
        found[f"{name}: first byte"] = [(payload, payload + 1)]
        found[f"{name}: payload"] = [(payload, end)]
        found[f"{name}: last byte"] = [(end - 1, end)]
    return found


def make_savepoint(place, backend):
    process, _ = place.start_traced("-p", 1, *settings(backend=backend), "-D", "heartbeat.interval=20ms",
                                    "-D", "state.backend.fs.memory-threshold=0", job_so("shapes"), "--shape", "ballast",
                                    "--numbers", NUMBERS, "--output", place / "out")
    job = place.running_job(process)
    wait_until(lambda: place.json("info", job, "--json")["operators"][0]["records_out"] > 20, "some records")
    path = place.good("cancel", "-s", place / "made", job).strip()
    equal(process.wait().code, 0)
    return path


def restore(place, path, backend):
    return place.weir("run", "-s", path, *settings(backend=backend), job_so("shapes"), "--shape", "ballast", "--numbers",
                      NUMBERS, "--rate", 0, "--output", place / "restored")


def check_damage(place, backend):
    good = make_savepoint(place, backend)
    before = output_lines(place / "out")
    chance = random.Random(11)
    names = sorted(os.listdir(good))
    check("_metadata" in names and len(names) > 1, "data files beside _metadata:", names)
    check(max(os.path.getsize(os.path.join(good, name)) for name in names) > 2 * BLOCK, "a file of several blocks")
    bad = place / "bad"
    shutil.copytree(good, bad)
    for name in names:
        path = os.path.join(bad, name)
        with open(path, "rb") as file:
            content = file.read()
        regions = (regions_of_metadata if name == "_metadata" else regions_of_data)(content)
        # A sanitized process takes seconds to begin and to end.
        for region, places in list(regions.items())[::10 if os.environ.get("WEIR_SANITIZER") else 1]:
            begin, end = chance.choice(places)
            at, bit = chance.randrange(begin, end), chance.randrange(8)
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            with open(path, "wb") as file:
                file.write(flipped)
            try:
                refused(restore(place, bad, backend), 1, path + ": ")
                check(not os.path.exists(place / "restored"), "an output directory was made")
            except harness.Failed as failure:
                raise harness.Failed(f"bit {bit} of byte {at} of {path} ({region}): {failure}") from None
        with open(path, "wb") as file:
            file.write(content)
    equal(output_lines(place / "out"), before, "what was committed before")
    equal(restore(place, bad, backend).code, 0, "exit code with every bit as it was")
    equal(sorted(int(line) for line in before + output_lines(place / "restored")), list(range(NUMBERS)))
    check(committed(place / "restored"), "no file was committed")


@case("a flipped bit in any region of a savepoint of the Memory backend is refused by the file's name")
def memory(place):
    check_damage(place, "memory")


@case("a flipped bit in any region of a savepoint of the Fs backend is refused by the file's name")
def filesystem(place):
    check_damage(place, "fs")


@case("a flipped bit in any region of a savepoint of the RocksDB backend is refused by the file's name")
def rocksdb(place):
    check_damage(place, "rocksdb")


if __name__ == "__main__":
    sys.exit(harness.main())
