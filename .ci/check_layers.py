#!/usr/bin/env python3
"""Checks that includes point one way: a folder may include only the folders named for it here.

Prints one line per include that points the wrong way. Exit code 0 if there is none, else 1.
`ROOT` may be given as the only argument; the default is the folder above this script.
"""

import os
import re
import sys

# Folder: what it may include besides itself. `cli`, which wires everything together, may include all.
MAY_INCLUDE = {
    "state": set(),
    "storage": {"state"},
    "backends": {"storage", "state"},
    "runtime": {"state"},
    "network": {"runtime", "state"},
    "connectors": {"runtime", "storage", "state"},
    "api": {"connectors", "runtime", "storage", "state"},
    "messages": {"runtime", "state"},
    "actors": {"messages", "network", "runtime", "state"},
    "simulation": {"actors", "api", "backends", "connectors", "messages", "network", "runtime", "storage", "state"},
    "web": {"actors", "messages", "network", "runtime", "state"},
}
FOLDERS = set(MAY_INCLUDE) | {"cli"}

# CAF's headers take seconds to compile, and a job author shall not pay for them. Tests may include
# what they test.
MAY_INCLUDE_CAF = {"messages", "actors", "simulation", "cli", "test"}
SEARCHED = FOLDERS | {"examples", "bench", "test"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]')


def folder_of_include(path):
    """The folder of the project that `#include "path"` names, or None."""
    first = path.split("/")[0]
    if first == "weir":  # job authors write <weir/weir.hpp>; it lies in api/weir/
        return "api"
    return first if first in FOLDERS and "/" in path else None


def complaints(root):
    for folder in sorted(SEARCHED):
        for directory, subdirectories, names in os.walk(os.path.join(root, folder)):
            subdirectories.sort()
            for name in sorted(names):
                if not name.endswith((".hpp", ".cpp", ".h", ".ipp")):
                    continue
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8", errors="replace") as file:
                    for number, line in enumerate(file, 1):
                        match = INCLUDE.match(line)
                        if not match:
                            continue
                        why = complaint(folder, match[1] == '"', match[2])
                        if why:
                            yield f"{os.path.relpath(path, root)}:{number}: {why}"


def complaint(folder, quoted, included):
    if included.startswith("caf/") and folder not in MAY_INCLUDE_CAF:
        return f"<{included}>: only {', '.join(sorted(MAY_INCLUDE_CAF))} may include CAF"
    if quoted and ".." in included.split("/"):
        return f'"{included}": includes are written from the root of the project'
    target = folder_of_include(included)
    if target is None or target == folder or folder not in MAY_INCLUDE:
        return None
    if target not in MAY_INCLUDE[folder]:
        allowed = ", ".join(sorted(MAY_INCLUDE[folder])) or "no other folder"
        return f"includes {included}: {folder}/ may include {allowed}, not {target}/"
    return None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    found = list(complaints(os.path.abspath(root)))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
