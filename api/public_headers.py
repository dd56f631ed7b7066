#!/usr/bin/env python3
"""What jobs and their tests compile in: every header of ours that `weir/weir.hpp` and `weir/testing.hpp` reach.

usage: public_headers.py --hash ROOT OUTPUT DEPFILE COPIES   write the header that holds their hash, if it changed,
                                                             and copy them, and that header, to the directory COPIES
       public_headers.py --install ROOT GENERATED     copy them, and that header, below the prefix of `meson install`

ROOT is the source tree.
"""

import hashlib
import os
import re
import sys

FIRST = ["api/weir/weir.hpp", "simulation/weir/testing.hpp"]
GENERATED = "api/headers_hash.hpp"
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


def read(root, path):
    with open(os.path.join(root, path), "rb") as file:
        return file.read()


def reachable(root):
    """The content of each header, by its path from the root."""
    found = {}
    waiting = list(FIRST)
    while waiting:
        path = waiting.pop()
        if path in found or path == GENERATED:
            continue
        found[path] = read(root, path)
        waiting += [name.decode() for name in INCLUDE.findall(found[path])]
    return found


def hash_of(headers):
    whole = hashlib.sha256()
    for path, content in sorted(headers.items()):
        whole.update(f"{path}\n{len(content)}\n".encode() + content)
    return whole.hexdigest()[:16]


def write_hash(root, output, depfile, copies):
    headers = reachable(root)
    text = ("#pragma once\n\n#include <cstdint>\n\nnamespace weir {\n\n"
            "/// Of all headers that a job compiles in; made by api/public_headers.py.\n"
            f"inline constexpr std::uint64_t headers_hash = 0x{hash_of(headers)};\n\n}}  // namespace weir\n")
    old = read("", output).decode() if os.path.exists(output) else None
    if text != old:  # else what includes it stays as it is
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    with open(depfile, "w", encoding="utf-8") as file:
        inputs = " ".join(os.path.join(root, path).replace(" ", "\\ ") for path in sorted(headers))
        file.write(f"{output}: {inputs}\n")
    for base, _, names in os.walk(copies):
        for name in names:
            path = os.path.relpath(os.path.join(base, name), copies)
            if path not in headers and path != GENERATED:
                os.remove(os.path.join(base, name))
    copy(headers, output, copies)


def copy(headers, generated, place):
    """Copies them to the directory `place`; what is the same already keeps its time."""
    files = {**headers, GENERATED: read("", generated)}
    for path, content in sorted(files.items()):
        target = os.path.join(place, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target) or read(place, path) != content:
            with open(target, "wb") as file:
                file.write(content)


def install(root, generated):
    copy(reachable(root), generated,
         os.path.join(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], "include", "weir"))


if __name__ == "__main__":
    {"--hash": write_hash, "--install": install}[sys.argv[1]](*sys.argv[2:])
