#!/usr/bin/env python3
"""Runs clang-tidy over the .cpp files outside test/, two at a time.

usage: lint.py BUILD_DIRECTORY [FILE.cpp ...]

Reads the compile commands that meson wrote for g++ and leaves out the options that clang does not
know. Prints what clang-tidy finds; exit code 0 if it finds nothing, else 1.
"""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

UNKNOWN_TO_CLANG = {"-fno-gnu-unique", "-Wno-maybe-uninitialized", "-Wno-stringop-overflow", "-Wno-restrict",
                    "-fconcepts-diagnostics-depth=3"}
AT_A_TIME = 2


def compile_commands(build):
    """Writes the cleaned commands below `build` and returns their folder and the files by absolute path."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    for entry in entries:
        words = shlex.split(entry.pop("command")) if "command" in entry else entry["arguments"]
        if os.path.basename(words[0]) == "ccache":
            words = words[1:]
        entry["arguments"] = [word for word in words if word not in UNKNOWN_TO_CLANG]
    folder = os.path.join(build, "lint")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=1)
    return folder, {os.path.normpath(os.path.join(e["directory"], e["file"])) for e in entries}


def tidy(folder, path):
    command = ["clang-tidy-19", "-p", folder, "--quiet", "--extra-arg=-Wno-unknown-warning-option", path]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    # stderr holds the count of suppressed warnings, which says nothing, unless clang-tidy itself failed.
    return done.returncode, done.stdout if done.stdout.strip() or not done.returncode else done.stderr


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    root, build = os.getcwd(), sys.argv[1]
    folder, known = compile_commands(build)
    if len(sys.argv) > 2:
        files = [os.path.abspath(name) for name in sys.argv[2:]]
        for path in files:
            if path not in known:
                print(f"lint: {os.path.relpath(path, root)} is not compiled in {build}", file=sys.stderr)
                return 2
    else:
        inside = os.path.join(root, "")
        skipped = (os.path.join(root, "test", ""), os.path.join(os.path.abspath(build), ""))
        files = sorted(p for p in known if p.startswith(inside) and not p.startswith(skipped))

    with_findings = 0
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        runs = {pool.submit(tidy, folder, path): path for path in files}
        for number, run in enumerate(concurrent.futures.as_completed(runs), 1):
            code, text = run.result()
            name = os.path.relpath(runs[run], root)
            if code or text.strip():
                with_findings += 1
                print(f"{text.strip()}\n", flush=True)
            if sys.stderr.isatty():
                print(f"\r\033[K[{number}/{len(files)}] {name}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(f"lint: {len(files)} files, {with_findings} with findings")
    return 1 if with_findings else 0


if __name__ == "__main__":
    sys.exit(main())
