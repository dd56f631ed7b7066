#!/usr/bin/env python3
"""word_count over generated text, in every way to give it its input, against a count in Python."""

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter

import harness
from harness import case, check, committed, equal, example_so, output_lines, refused, settings, wait_until


def text(seed, lines):
    """Lines of words with all that may stand between them, also nothing, digits, UTF-8 and long lines."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    words = ["".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(3000)]
    between = [" ", " ", " ", ", ", "; ", "\t", "-", "'", " 42 ", "ä", "—", "\r", "\0"]
    result = []
    for _ in range(lines):
        count = 2000 if chance.random() < 0.001 else chance.randint(0, 12)
        result.append("".join(chance.choice(words) + chance.choice(between) for _ in range(count)))
    return "\n".join(result)


def count(*texts):
    return Counter(word for one in texts for word in re.findall("[a-z]+", re.sub("[A-Z]+", lambda m: m[0].lower(), one)))


def counted(directory):
    lines = output_lines(directory)
    pairs = [line.split("\t") for line in lines]
    check(all(len(pair) == 2 for pair in pairs), "lines are word<TAB>count")
    result = {word: int(number) for word, number in pairs}
    equal(len(result), len(lines), "words that stand twice")
    return result


def same_counts(directory, expected):
    actual = counted(directory)
    wrong = {word: (actual.get(word), expected.get(word)) for word in actual.keys() | expected.keys()
             if actual.get(word) != expected.get(word)}
    equal(dict(list(wrong.items())[:10]), {}, len(wrong), "words have other counts (is, expected)")


@case("word_count counts as Python does, on each backend, at each parallelism")
def backends_and_parallelisms(place):
    generated = text(1, 20_000)
    source = place.write("text.txt", generated)
    for backend, parallelism in (("memory", 1), ("fs", 2), ("rocksdb", 3), ("memory", 4), ("fs", 7)):
        output = place / f"{backend}-{parallelism}"
        end = place.json("run", "--json", "-p", parallelism, *settings(backend=backend), example_so("word_count"),
                         "--input", source, "--output", output)
        equal((end["state"], end["parallelism"]), ("FINISHED", parallelism))
        equal(end["records_in"], generated.count("\n") + (not generated.endswith("\n")), "lines read")
        same_counts(output, count(generated))
        equal([name for name in os.listdir(output) if name.startswith(".")], [], "uncommitted files")


@case("word_count reads every file of a directory, and each --input")
def directory_and_repeated_input(place):
    texts = [text(seed, 500) for seed in (2, 3, 4, 5)]
    place.write("in/a.txt", texts[0])
    place.write("in/b", texts[1])
    place.write("c.txt", texts[2])
    place.write("d.txt", texts[3])
    place.write("in/empty", "")
    words = ["--input", "in", "--input", place / "c.txt", f"--input={place / 'd.txt'}"]
    place.good("run", "-p", 2, example_so("word_count"), *words, "--output", "out")
    same_counts(place / "out", count(*texts))


@case("word_count of an empty input ends with no words")
def empty_input(place):
    source = place.write("empty", "")
    place.good("run", example_so("word_count"), "--input", source, "--output", place / "out")
    equal(counted(place / "out"), {})


@case("word_count reads standard input, which does not go with -s or another --input")
def standard_input(place):
    generated = text(6, 5000)
    source = place.write("text.txt", generated)
    job = [example_so("word_count"), "--input", "-", "--output", place / "out"]
    with open(source, "rb") as stdin:
        place.good("run", "-p", 2, *job, stdin=stdin)
    same_counts(place / "out", count(generated))
    refused(place.weir("run", example_so("word_count"), "--input", "-", "--input", source, "--output", place / "x"), 2,
            "--input")

    # A savepoint of such a job can be written; to start from it would leave out what was read.
    process = place.start("run", *settings(savepoints=place / "savepoints"), example_so("word_count"),
                          "--input", "-", "--output", place / "out-2", stdin=subprocess.PIPE)
    process.popen.stdin.write(b"one two\n")
    process.popen.stdin.flush()
    running = place.running_job(process)
    wait_until(lambda: place.json("info", running, "--json")["operators"][0]["records_out"] == 1, "the first line")
    saved = place.json("cancel", "-s", running, "--json")["savepoint"]
    process.popen.stdin.close()
    equal(process.wait().code, 0, "exit code of the cancelled job")
    with open(source, "rb") as stdin:
        refused(place.weir("run", "-s", saved, *job[:-1], place / "out-3", stdin=stdin), 1, re.compile("standard input"))
    equal(committed(place / "out-3"), [], "output of the refused job")


@case("a pipe as standard input is read as it comes and ends the job")
def pipe_as_standard_input(place):
    process = place.start("run", "--json", "-D", "heartbeat.interval=50ms", example_so("word_count"), "--input", "-",
                          "--output", place / "out", stdin=subprocess.PIPE)
    job = place.running_job(process)
    expected = Counter()
    for i in range(3):
        process.popen.stdin.write(f"line {i} again\nhalf".encode())
        process.popen.stdin.flush()
        wait_until(lambda: place.json("info", job, "--json")["operators"][0]["records_out"] == i + 1, "the line")
        process.popen.stdin.write(b"\n" if i == 2 else b" ")
    process.popen.stdin.close()
    result = process.wait()
    equal((result.code, result.err), (0, ""))
    equal(json.loads(result.out)["records_in"], 4)
    expected.update("line again half line again half line again half".split())
    same_counts(place / "out", expected)


@case("--rate is lines per second over all subtasks")
def rate(place):
    generated = text(7, 1000)
    source = place.write("text.txt", generated)
    end = place.json("run", "--json", "-p", 2, example_so("word_count"), "--input", source, "--output", place / "out",
                     "--rate", 500)
    check(end["duration_ms"] >= 1500, "1,000 lines at 500 per second took", end["duration_ms"], "ms")
    same_counts(place / "out", count(generated))


@case("whoever sets no backend finds in the log which one it is, and what it can hold")
def default_backend(place):
    source = place.write("text.txt", "one line\n")
    for backend, told in (([], True), (settings(backend="memory"), False)):
        end = place.json("run", "--json", *backend, example_so("word_count"), "--input", source, "--output",
                         place / f"out-{told}")
        equal("no state.backend is set" in harness.read(end["log_file"]), told)


@case("cancel, and stop without --drain, are no end of input: no word comes out")
def no_end_of_input(place):
    source = place.write("words.txt", "to be or not to be\n" * 100_000)
    for verb in (["cancel"], ["cancel", "-s"], ["stop"]):
        output = place / ("out" + "".join(verb))
        process = place.start("run", *settings(savepoints=place / "savepoints"), example_so("word_count"),
                              "--input", source, "--output", output, "--rate", 1000)
        place.good(*verb, place.running_job(process))
        equal(process.wait().code, 0, "exit code after", *verb)
        equal(committed(output), [], "committed files after", *verb)


@case("the example jobs run and print what they promise")
def other_examples(place):
    lines = place.good("run", example_so("running_totals"), "--orders", 9).splitlines()
    equal(len(lines), 9)
    last = {one["account"]: one for one in map(json.loads, lines)}
    equal(last[2], {"account": 2, "orders": 3, "cents": 102 + 105 + 108})

    lines = place.good("run", "-p", 2, example_so("all_states"), "--readings", 24).splitlines()

    def summary(sensor, readings):
        degrees = [15 + i * 7 % 20 for i in range(sensor, 24, 4)][:readings]
        commonest = min(degrees, key=lambda degree: (-degrees.count(degree), degree))
        return (f"sensor-{sensor}: {readings} readings, warmest {max(degrees):.6f}, "
                f"mean {sum(degrees) / readings:.6f}, most often {commonest}")
    equal(sorted(lines), sorted(summary(i, n) for i in range(4) for n in (3, 6)))

    source = place.write("text.txt", "".join(f"line {i}\n" for i in range(1000)))
    place.good("run", example_so("line_numbers"), "--input", source, "--output", place / "numbered")
    equal(output_lines(place / "numbered"), [f"{i + 1}\tline {i}" for i in range(1000)])


@case("an example refuses arguments that it does not know, before it opens anything")
def unknown_arguments(place):
    source = place.write("text.txt", "a\n")
    job = ["run", example_so("word_count")]
    refused(place.weir(*job, "--input", source, "--output", "out", "--rat", "5"), 2, "--rat", "--rate")
    refused(place.weir(*job, "--input", source), 2, "--output")
    refused(place.weir(*job, "--output", "out"), 2, "--input")
    refused(place.weir(*job, "--input", source, "--output", "out", "--rate", "fast"), 2, "--rate", "fast")
    check(not os.path.exists(place / "out"), "the output directory was made")


if __name__ == "__main__":
    sys.exit(harness.main())
