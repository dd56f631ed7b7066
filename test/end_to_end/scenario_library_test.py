#!/usr/bin/env python3
"""The library of scenarios in test/scenarios: each passes, simulated and with real processes, and each expectation of it can fail."""

import os
import re
import sys
import xml.etree.ElementTree as ElementTree

import harness
from harness import case, check, equal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.join(ROOT, "test", "scenarios")
DOCUMENTATION = os.path.join(ROOT, "docs", "scenarios.md")
FOLDERS = ("flow", "anomalies", "races", "messages", "crashes", "disk", "corruption", "rescale")
SEEDS = (1, 2, 3, 4, 5)
# A row of the table in docs/scenarios.md: file, what it shows, and where it is played.
ROW = re.compile(r"^\| \[(\w+)\]\(\.\./test/scenarios/(\w+/\w+\.yaml)\) \| (.+) \| (simulated|real|both) \|$", re.M)
NO_WORDS = "words that no sentence has"


def documented():
    """Of each file of the library, as docs/scenarios.md tells: what it shows, and where it is played."""
    rows = ROW.findall(harness.read(DOCUMENTATION))
    for name, path, _, _ in rows:
        equal(name + ".yaml", os.path.basename(path), "the name in a row, and its link")
    equal(len({row[1] for row in rows}), len(rows), "rows of different files")
    return {path: (shows, where) for _, path, shows, where in rows}


def files_of(folder, world):
    names = sorted(name for name, (_, where) in documented().items()
                   if name.startswith(folder + "/") and where in (world, "both"))
    check(names, "no scenario of", folder, "is played", world)
    return [os.path.join(LIBRARY, name) for name in names]


def run(place, paths, *words):
    return place.weir("scenario", "run", *paths, "--jobs", harness.paths.examples, "--jobs",
                      os.path.join(os.path.dirname(harness.paths.jobs), "scenarios"), *words)


def negations(text):
    """`text` with each of its expectations turned round, one at a time: the line of it, and the new text. What stands in a list
    below `expect:` is put into a `not:`, or taken out of one; a step that `fails:` is to fail with words that it does not say."""
    lines = text.splitlines()
    depth = None  # of the items of the list that is read
    for at, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        fails = re.match(r'  - .*\bfails: ("[^"]*"|[^,}]*)', line)
        if fails:
            yield at + 1, lines[:at] + [line[:fails.start(1)] + NO_WORDS + line[fails.end(1):]] + lines[at + 1:]
        if line == "expect:":
            depth = 2
        elif line == "  - expect:":
            depth = 6
        elif depth is not None and line.strip() and indent < depth:
            depth = None
        if depth is None or indent != depth or not line.startswith(" " * depth + "- "):
            continue
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > depth):
            end += 1
        item = line[depth + 2:]
        if item.startswith("not: "):
            check(end == at + 1, "a 'not' of more than one line:", line)
            turned = [" " * depth + "- " + item[len("not: "):]]
        else:
            turned = [" " * depth + "- not:", " " * (depth + 4) + item] + ["  " + one for one in lines[at + 1:end]]
        yield at + 1, lines[:at] + turned + lines[end:]


def short_name(path):
    """A name for the file that leaves room for sockets below a directory with that name."""
    return os.path.splitext(os.path.basename(path))[0][:12]


def negated(place, path):
    """Files with one expectation turned round each: their paths, and the line that must be named."""
    return [(place.write(f"{short_name(path)}-{i}.yaml", "\n".join(lines) + "\n"), line)
            for i, (line, lines) in enumerate(negations(harness.read(path)))]


def expectations(report):
    """How many expectations each file has, by a report of JUnit's form."""
    return {suite.get("name"): int(suite.get("tests")) - 1 for suite in ElementTree.parse(report).getroot()}


def passes(place, paths, *words):
    result = run(place, paths, *words)
    equal((result.code, result.err), (0, ""), "what scenarios give with", *words, "\n", result.out)
    equal(result.out.count("passed: "), len(paths), "scenarios that passed:", result.out)


def play(place, folder, world, plays):
    """Every scenario of `folder` passes in each of `plays`, words for the command; and in the first fails with any of its expectations turned
    round."""
    paths = files_of(folder, world)
    if world == "real":
        paths = [place.write(f"{i}-{short_name(path)}.yaml", harness.read(path)) for i, path in enumerate(paths)]
    report = place / "report.xml"
    for words in plays:
        passes(place, paths, "--junit", report, *words)
    counts = expectations(report)
    for path in paths:
        turned = negated(place, path)
        fails = len(re.findall(r"^  - .*\bfails: ", harness.read(path), re.M))
        equal(len(turned), counts[path] + fails, "expectations that are turned round in", path)
        check(counts[path] > 0, path, "expects nothing")
        result = run(place, [one for one, _ in turned], *plays[0])
        equal((result.code, result.err), (1, ""), "what", path, "gives when its expectations are turned round:", result.out)
        equal((result.out.count("FAILED: "), result.out.count("passed: ")), (len(turned), 0), "scenarios that failed and passed:", result.out)
        for one, line in turned:
            told = [row for row in result.out.splitlines() if row.startswith(f"  {one}:")]
            text = harness.read(one).splitlines()[line - 1].removeprefix("  - ")
            # A step in the background is named, with its words, by the step that has waited for its answer.
            named = [row for row in told if row.startswith(f"  {one}:{line}:") or
                     (f"failed: '{text}' in the background: " in row)]
            # A step that looks at expectations fails with the one that is not so.
            others = [row for row in told if row not in named and ": step 'expect: " not in row]
            equal((len(named), others), (1, []), "what is told when line", line, "is turned round:", result.out)
            check(NO_WORDS not in named[0] or "it failed as it should, but not with" in named[0], named[0])


@case("every file of the library is in the table of docs/scenarios.md, with its own words")
def table(_place):
    rows = documented()
    there = sorted(os.path.relpath(os.path.join(base, name), LIBRARY) for base, _, names in os.walk(LIBRARY)
                   for name in names if name.endswith(".yaml"))
    equal(sorted(rows), there, "files in the table")
    check(len(there) >= 60, "the library has lost files:", there)
    for name, (shows, _) in rows.items():
        check(name.split("/")[0] in FOLDERS, name, "is in no folder that is played")
        text = harness.read(os.path.join(LIBRARY, name))
        equal(shows, re.match(r"scenario: (.+)\n", text).group(1), "what the table says of", name)
        check("\ndescription: >\n" in text, name, "does not say why it matters")


def add_cases(folder):
    @case(f"simulated: every scenario in {folder}/ passes, and fails with any expectation turned round")
    def simulated(place):
        play(place, folder, "simulated", [("--simulate", "--seed", seed) for seed in SEEDS])

    if folder == "disk":  # real ones cannot be filled
        return

    @case(f"with real processes: every scenario in {folder}/ passes, and fails with any expectation turned round")
    def real(place):
        play(place, folder, "real", [("--real",)])


for one_folder in FOLDERS:
    add_cases(one_folder)


if __name__ == "__main__":
    sys.exit(harness.main())
