#!/usr/bin/env python3
"""The savepoints in test/golden, which older versions have written: each restores, and gives what it gave then.

With WEIR_MAKE_GOLDEN=NAME in the environment it also writes those of this version to test/golden/NAME, which must not be
there: when the format has a new version, beside those of the old ones.
"""

import os
import shutil

import harness
from harness import case, check, equal, job_so, settings

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
COUNT = 300
BACKENDS = ["memory", "fs", "rocksdb"]
NATIVE = ["fs", "rocksdb"]  # backends with a form of their own


def expected():
    with open(os.path.join(GOLDEN, "expected.txt"), encoding="utf-8") as file:
        return file.read().splitlines()


def printed(place, *options):
    return sorted(place.good("run", *options, job_so("golden"), "--count", COUNT).splitlines())


@case("the job gives the same without a savepoint")
def without(place):
    equal(printed(place, "-p", 2), expected())


@case("every golden savepoint restores on every backend and at any parallelism")
def restores(place):
    tried = 0
    for version in sorted(os.listdir(GOLDEN)):
        if not os.path.isdir(os.path.join(GOLDEN, version)):
            continue
        for name in sorted(os.listdir(os.path.join(GOLDEN, version))):
            # A copy, since a savepoint is the user's and lies where the user may not write.
            path = place / f"golden-{version}-{name}"
            shutil.copytree(os.path.join(GOLDEN, version, name), path)
            for backend in BACKENDS:
                for parallelism in (1, 3):
                    lines = printed(place, "-s", path, "-p", parallelism, *settings(backend=backend))
                    equal(lines, expected(), version, name, "on", backend, "at", parallelism)
                    tried += 1
    check(tried >= 24, "restores tried:", tried)


def make(version):
    @case("golden savepoints are written anew: of each backend in each form, from the middle of the input")
    def write(place):
        def savepoint(backend, form, records, *options):
            """One that is taken once the source has put out so many records since the job began."""
            process, _ = place.start_traced("-p", 2, *settings(backend=backend), *options, job_so("golden"), "--count", COUNT,
                                            "--rate", 40)
            job = place.running_job(process)
            emitted = lambda: place.json("info", job, "--json")["operators"][0]["records_out"] > records
            harness.wait_until(emitted, f"{records} records")
            path = place.json("savepoint", job, place / "savepoints", "--type", form, "--json")["savepoint"]
            place.good("cancel", job)
            process.wait()
            return path

        for backend in BACKENDS:
            for form in ["canonical"] + (["native"] if backend in NATIVE else []):
                path = savepoint(backend, form, COUNT / 2)
                shutil.copytree(path, os.path.join(GOLDEN, version, f"{backend}-{form}"))
        # Files that were taken in, and what was appended to them since without reading it.
        first = savepoint("rocksdb", "native", COUNT / 4)
        path = savepoint("rocksdb", "native", COUNT / 4, "-s", first)
        shutil.copytree(path, os.path.join(GOLDEN, version, "rocksdb-native-appended"))


if "WEIR_MAKE_GOLDEN" in os.environ:
    make(os.environ["WEIR_MAKE_GOLDEN"])

if __name__ == "__main__":
    harness.main()
