#!/usr/bin/env python3
"""Two thousand seeds of `weir simulate` over three jobs: every promise is kept, and every class of faults has hit."""

import collections
import json
import os
import re
import sys

import harness
from harness import case, check, equal, example_so

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEAST_OF_A_CLASS = 50
# A row of the table of classes in docs/simulation.md, which names one or more.
ROW = re.compile(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| ", re.M)


def classes():
    """Those that docs/simulation.md lists."""
    text = harness.read(os.path.join(ROOT, "docs", "simulation.md"))
    table = text[text.index("| class | what it does |"):]
    return {name for row in ROW.findall(table[:table.index("\n\n")]) for name in re.findall(r"`([a-z-]+)`", row)}


@case("2,000 seeds keep every promise, and meet every class of faults")
def seeds(place):
    jobs = {
        "1..700": [example_so("running_totals"), "--orders", 3000],
        "701..1400": [example_so("all_states"), "--readings", 3000],
        "1401..2000": [example_so("word_count"), "--input", os.path.join(ROOT, "LICENSE"), "--output", place / "out"],
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
    met = [name for name, hits in kill_points.items() if hits > 0]
    check(len(kill_points) >= 30 and len(met) >= 24, "kill points that were met:", dict(kill_points))
    rare = {name: hits for name, hits in faults.items() if hits < LEAST_OF_A_CLASS}
    equal(rare, {}, "what was met too seldom; all:", dict(faults))


if __name__ == "__main__":
    sys.exit(harness.main())
