#!/usr/bin/env python3
"""Makes a build in which every mutant of mutants.toml can be switched on.

usage: build.py [--check | --source-only] [--directory DIRECTORY] [-j N]

Copies the project into DIRECTORY (build-mutants), puts the changed text of each mutant beside the original, with a
switch between the two, and compiles all of it in DIRECTORY/build: library, command, examples and tests. There the
environment variable WEIR_MUTANT=NAME switches one on; without it everything is as it was. The project's own source
knows nothing of mutants.

--check only looks whether the original text of every mutant still occurs exactly once in its file.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIST = os.path.join(HERE, "mutants.toml")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# What a copy consists of, so that files that are no more can go from it.
MANIFEST = "mutants-copy.txt"
KEYS = {"name", "bug", "file", "original", "mutated", "switch", "job"}


class Wrong(Exception):
    """One sentence: what is wrong in the list, and where."""


class Mutant:
    """`original`, in `file`, becomes `mutated`, or, where that does not do, `switch`, in which `{on}` says whether the
    mutant is on. `bug`: what is wrong then, in a sentence. `job`: of run.py, the one that is known to notice it."""

    def __init__(self, entry):
        self.name = entry.get("name", "")
        if not NAME.fullmatch(self.name):
            raise Wrong(f"mutants.toml: '{self.name}' is no name: it has small letters, digits and single hyphens")
        unknown = sorted(entry.keys() - KEYS)
        if unknown:
            raise Wrong(f"mutants.toml: {self.name}: '{unknown[0]}' is no key")
        for key in ("bug", "file", "original"):
            if not entry.get(key):
                raise Wrong(f"mutants.toml: {self.name}: '{key}' is missing")
        if ("mutated" in entry) == ("switch" in entry):
            raise Wrong(f"mutants.toml: {self.name}: give either 'mutated' or 'switch'")
        self.bug, self.file = entry["bug"], entry["file"]
        self.original = entry["original"].strip("\n")
        self.mutated = entry.get("mutated", "").strip("\n")
        self.switch = entry.get("switch", "").strip("\n")
        self.job = entry.get("job")

    @property
    def condition(self):
        return f'weir::mutant::on("{self.name}")'

    def switched(self, otherwise):
        """The text with a switch between the mutant and `otherwise`."""
        if self.switch:
            return self.switch.replace("{on}", self.condition)
        if self.original.rstrip().endswith((";", "}")):
            return f"{{ if ({self.condition}) {{ {self.mutated} }} else {{ {otherwise} }} }}"
        return f"({self.condition} ? ({self.mutated}) : ({otherwise}))"


def read_mutants():
    with open(LIST, "rb") as file:
        mutants = [Mutant(entry) for entry in tomllib.load(file)["mutant"]]
    names = [m.name for m in mutants]
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"mutants.toml: two mutants are called '{name}'")
    return mutants


def place(mutant, text):
    count = text.count(mutant.original)
    if count != 1:
        raise Wrong(f"mutants.toml: {mutant.name}: the original text occurs {count} times in {mutant.file}; "
                    "it must be there once: adapt it to the code as it is now")
    return text.index(mutant.original)


def apply(mutants, file, text):
    """`text` of `file` with a switch for each mutant of it."""
    places = {}
    for mutant in mutants:
        begin = place(mutant, text)
        places.setdefault((begin, begin + len(mutant.original)), []).append(mutant)
    end_before = 0
    for begin, end in sorted(places):
        if begin < end_before:
            raise Wrong(f"mutants.toml: {places[begin, end][0].name}: its text in {file} overlaps that of another "
                        "mutant; the same text may have several")
        end_before = end
    for (begin, end), here in sorted(places.items(), reverse=True):
        switched = text[begin:end]
        for mutant in here:
            if mutant.switch and len(here) > 1:
                raise Wrong(f"mutants.toml: {mutant.name}: several mutants of one text cannot have a 'switch'")
            switched = mutant.switched(switched)
        text = text[:begin] + switched + text[end:]
    return f'#include "test/mutants/mutant.hpp"\n#line 1 "{os.path.basename(file)}"\n' + text


def mutated_files(mutants):
    """The files that mutants change: path to changed text."""
    by_file = {}
    for mutant in mutants:
        by_file.setdefault(mutant.file, []).append(mutant)
    files = {}
    for file, here in by_file.items():
        try:
            with open(os.path.join(ROOT, file), encoding="utf-8") as opened:
                files[file] = apply(here, file, opened.read())
        except OSError as failed:
            raise Wrong(f"mutants.toml: {here[0].name}: {file}: {failed.strerror}") from failed
    return files


# --- the copy ------------------------------------------------------------------------------------

def source_files():
    """Of the project, also those that git does not know yet; in an unpacked archive all but build directories."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return {path for path in listed.stdout.split("\0") if path and os.path.isfile(os.path.join(ROOT, path))}
    found = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if not (folder == ROOT and f.startswith(("build", "."))) or f == ".ci"]
        found.update(os.path.relpath(os.path.join(folder, f), ROOT) for f in files)
    return found


def write_if_changed(path, content):
    """A file that is as it was keeps its time, so that nothing is compiled for it."""
    try:
        with open(path, "rb") as file:
            if file.read() == content:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def copy_source(mutants, directory):
    changed = mutated_files(mutants)
    sources = source_files()
    manifest = os.path.join(directory, MANIFEST)
    copied = set()
    if os.path.exists(manifest):
        with open(manifest, encoding="utf-8") as file:
            copied = set(file.read().splitlines())
    elif os.path.isdir(directory) and os.listdir(directory):
        raise Wrong(f"{directory}: is not empty, and no copy of the project for mutants; name another directory")
    for path in sorted(sources):
        original = os.path.join(ROOT, path)
        with open(original, "rb") as file:
            content = file.read()
        if path in changed:
            content = changed[path].encode()
        elif path == "state/meson.build":
            # The lowest library has the switch.
            text = content.decode()
            switch = "static_library('weir_state',"
            if text.count(switch) != 1:
                raise Wrong(f"{path}: there is no {switch} to add test/mutants/mutant.cpp to")
            content = text.replace(switch, switch + " '../test/mutants/mutant.cpp',").encode()
        copy = os.path.join(directory, path)
        write_if_changed(copy, content)
        shutil.copymode(original, copy)
    names = "".join(f'    "{m.name}",\n' for m in mutants)
    write_if_changed(os.path.join(directory, "test/mutants/mutant_names.hpp"),
                     ("#pragma once\n\n#include <array>\n#include <string_view>\n\nnamespace weir::mutant {\n"
                      f"inline constexpr std::array<std::string_view, {len(mutants)}> names{{\n{names}}};\n"
                      "}  // namespace weir::mutant\n").encode())
    # What an earlier copy has and this one has not any more; nothing else is removed.
    for path in copied - sources:
        if os.path.exists(os.path.join(directory, path)):
            os.remove(os.path.join(directory, path))
    with open(manifest, "w", encoding="utf-8") as file:
        file.write("".join(path + "\n" for path in sorted(sources)))


def build(directory, jobs):
    """Compiles the copy. Raises CalledProcessError if that fails."""
    build_directory = os.path.join(directory, "build")
    if not os.path.exists(os.path.join(build_directory, "build.ninja")):
        options = ["-Dwerror=true"] if os.environ.get("CI") == "true" else []
        subprocess.run(["meson", "setup", build_directory, directory, *options], check=True)
    subprocess.run(["ninja", "-C", build_directory, "-k", "0", *(["-j", str(jobs)] if jobs else [])], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--source-only", action="store_true", help="copy and change the source, and compile nothing")
    parser.add_argument("--directory", default=os.path.join(ROOT, "build-mutants"))
    parser.add_argument("-j", type=int, dest="jobs", help="compile so many files at a time")
    arguments = parser.parse_args()
    try:
        mutants = read_mutants()
        if arguments.check:
            mutated_files(mutants)
            print(f"{len(mutants)} mutants fit the code")
            return 0
        directory = os.path.abspath(arguments.directory)
        copy_source(mutants, directory)
        if not arguments.source_only:
            build(directory, arguments.jobs)
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        return failed.returncode or 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
