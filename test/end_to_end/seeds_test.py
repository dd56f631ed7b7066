#!/usr/bin/env python3
"""Two thousand seeds of `weir simulate` over four jobs: every promise is kept, and every class of faults and
every kill point has been met."""

import collections
import json
import os
import re
import sys

import harness
from harness import case, check, equal, example_so

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEAST_OF_A_CLASS = 100
LEAST_OF_A_KILL_POINT = 20
# A row of the table of classes in docs/simulation.md, which names one or more.
ROW = re.compile(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| ", re.M)


def classes():
    """Those that docs/simulation.md lists."""
    text = harness.read(os.path.join(ROOT, "docs", "simulation.md"))
    table = text[text.index("| class | what it does |"):]
    return {name for row in ROW.findall(table[:table.index("\n\n")]) for name in re.findall(r"`([a-z-]+)`", row)}


@case("2,000 seeds keep every promise, and meet every class of faults and every kill point")
def seeds(place):
    text = os.path.join(ROOT, "LICENSE")
    jobs = {
        "1..500": [example_so("running_totals"), "--orders", 3000],
        "501..1000": [example_so("all_states"), "--readings", 3000],
        "1001..1500": [example_so("word_count"), "--input", text, "--output", place / "words"],
        # Which goes on writing while records come.
        "1501..2000": [example_so("line_numbers"), "--input", text, "--output", place / "lines", "--rate", 30],
    }
    faults = collections.Counter()
    kill_points = collections.Counter()
    for numbers, job in jobs.items():
        result = place.weir("simulate", "--json", "--seeds", numbers, *job)
        report = json.loads(result.out)
        equal(report["failed"], [], "seeds that failed; see weir simulate --seed N", *job)
        equal(result.code, 0, result.err)
        faults.update(report["faults_hit"])
        kill_points.update({name: 0 for name in report["kill_points_hit"]})
        kill_points.update(report["kill_points_hit"])
    equal(set(faults), classes(), "the classes that have hit, and those that docs/simulation.md lists")
    check(len(kill_points) >= 31, "kill points:", dict(kill_points))
    rare = {name: hits for name, hits in faults.items() if hits < LEAST_OF_A_CLASS}
    rare.update({name: hits for name, hits in kill_points.items() if hits < LEAST_OF_A_KILL_POINT})
    equal(rare, {}, "what was met too seldom; all:", dict(faults), dict(kill_points))


if __name__ == "__main__":
    sys.exit(harness.main())
