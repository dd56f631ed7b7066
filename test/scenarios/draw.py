#!/usr/bin/env python3
"""Draws the diagrams of the library that docs/scenarios.md shows, into docs/images/scenarios, simulated with seed 1.

usage: test/scenarios/draw.py BUILD_DIRECTORY
"""

import os
import re
import subprocess
import sys

LIBRARY = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(os.path.dirname(os.path.dirname(LIBRARY)), "docs")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = sys.argv[1]
    with open(os.path.join(DOCS, "scenarios.md"), encoding="utf-8") as file:
        text = file.read()
    images = re.findall(r"\]\(images/scenarios/(\w+)\.svg\)", text)
    os.makedirs(os.path.join(DOCS, "images", "scenarios"), exist_ok=True)
    for name in images:
        found = re.findall(rf"\]\(\.\./test/scenarios/(\w+/{name}\.yaml)\)", text)
        if len(found) != 1:
            print(f"docs/scenarios.md shows {name}.svg and names {len(found)} files {name}.yaml", file=sys.stderr)
            return 1
        command = [os.path.join(build, "weir"), "scenario", "run", "--simulate", "--seed", "1", os.path.join(LIBRARY, found[0]),
                   "--jobs", os.path.join(build, "examples"), "--jobs", os.path.join(build, "test", "scenarios"),
                   "--diagram", os.path.join(DOCS, "images", "scenarios", name + ".svg")]
        if subprocess.run(command, check=False).returncode != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
