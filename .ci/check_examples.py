#!/usr/bin/env python3
"""Checks that the examples in the comments of the public headers are compiled, and that they are there.

An example is what stands in `///   ` lines of a header that a job includes through weir/weir.hpp, or its test through
weir/testing.hpp; `///` alone divides it. Each part must stand in one of EXAMPLES as well, which may break lines elsewhere
and have other comments.
Lines without a brace and a semicolon are a figure and no example.

Prints one line per example that is not compiled, and per header of those that job authors look into without any
example. Exit code 0 if there is none, else 1. `ROOT` may be given as the only argument; the default is the folder above
this script.
"""

import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "api"))
import public_headers  # noqa: E402

# All of these folders have an example, unless the header says so: NOT_NAMED.
SHOWN_FOLDERS = {"api", "connectors"}
NOT_NAMED = "Job authors do not name"
# And these of others.
SHOWN = {
    "runtime/broadcast_state.hpp", "runtime/operator.hpp", "runtime/operator_state.hpp",
    "runtime/operators/timestamps.hpp", "runtime/runtime_context.hpp", "runtime/timer_service.hpp",
    "state/descriptors.hpp", "state/fields.hpp", "state/keyed_state.hpp", "state/time_to_live.hpp",
    "simulation/testing/fault_sets.hpp", "simulation/testing/operator_harness.hpp", "simulation/testing/simulation.hpp",
}
LINKS_ONLY = {"api/weir/weir.hpp"}
EXAMPLES = ["test/api/*examples_test.cpp", "test/simulation/testing/examples_test.cpp"]

EXAMPLE_LINE = re.compile(r"^\s*///   (.*)$")
# What is left as it is, a comment, or blanks.
PIECE = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|(\s+)')


def folded(code):
    """Code without comments, and without blanks but for one between two words."""
    code = PIECE.sub(lambda match: match[1] or " ", code)
    code = re.sub(r"\s+", " ", code).strip()
    return re.sub(r"(?<!\w) | (?!\w)", "", code)


def examples(text):
    """The number of its first line and the code of each part of an example in a header."""
    first, lines = 0, []
    for number, line in enumerate(text.splitlines() + [""], 1):
        match = EXAMPLE_LINE.match(line)
        if match:
            first = first if lines else number
            lines.append(match[1])
        elif lines:
            if re.search("[;{}]", "".join(lines)):
                yield first, "\n".join(lines)
            lines = []


def stands_in(code, compiled):
    begin = r"(?<!\w)" if re.match(r"\w", code) else ""
    return re.search(begin + re.escape(code), compiled) is not None


def complaints(root):
    compiled = ""
    for path in sorted(path for pattern in EXAMPLES for path in glob.glob(os.path.join(root, pattern))):
        with open(path, encoding="utf-8") as file:
            compiled += folded(file.read()) + "\n"
    for path, content in sorted(public_headers.reachable(root).items()):
        text = content.decode()
        found = list(examples(text))
        for number, code in found:
            if not stands_in(folded(code), compiled):
                yield f"{path}:{number}: this example stands in none of {', '.join(EXAMPLES)}"
        shown = path in SHOWN or (path.split("/")[0] in SHOWN_FOLDERS and NOT_NAMED not in text)
        if shown and not found and path not in LINKS_ONLY:
            yield f"{path}:1: has no example; give it one, or say '{NOT_NAMED} it'"


def main():
    found = list(complaints(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, ".."))))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
