"""What the end-to-end tests share: a place of its own for each case, processes of the command, and waits.

Every case is a function that takes a `Place` and is registered with `@case("what Weir does")`. It runs
`weir` as a user would, in a directory of its own that is removed afterwards; whatever it started and left
running is ended. `main()` runs the cases and prints `N passed, N failed` last.

usage: SCRIPT --weir WEIR --jobs DIRECTORY --examples DIRECTORY [--keep] [NAME ...]
"""

import argparse
import collections
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

DEADLINE = 900.0  # seconds after which what is waited for will not come any more, however busy the machine is
PAUSE = 0.005  # seconds between two looks at what is waited for
PR_SET_CHILD_SUBREAPER = 36
JOB_ID = re.compile(r"^[0-9a-f]{32}$")

Result = collections.namedtuple("Result", "code out err")
cases = []
paths = None  # of the command line: weir, jobs, examples


def case(name):
    def register(function):
        cases.append((name, function))
        return function
    return register


class Failed(AssertionError):
    pass


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(str(w) for w in what) or "is not so")


def equal(actual, expected, *what):
    if actual != expected:
        raise Failed(f"{' '.join(str(w) for w in what)}\n      is       {shorten(actual)}\n"
                     f"      expected {shorten(expected)}")


def shorten(value, most=1500):
    text = repr(value)
    return text if len(text) <= most else text[:most] + "..."


def wait_until(condition, what, deadline=DEADLINE):
    """Returns the first true value of `condition()`."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {deadline:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(PAUSE)


class Trace:
    """The messages of a `--trace` file, as far as it is written."""

    def __init__(self, path):
        self.path = path
        self.read_to = 0
        self.messages = []

    def refresh(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.read_to)
                block = file.read()
        except FileNotFoundError:
            return self.messages
        whole = block[:block.rfind(b"\n") + 1]
        self.read_to += len(whole)
        self.messages += [json.loads(line) for line in whole.splitlines()]
        return self.messages

    def find(self, message, **fields):
        return [m for m in self.refresh() if m["message"] == message and
                all(m.get(k) == v for k, v in fields.items())]

    def wait_for(self, message, count=1, process=None, **fields):
        """Waits for the `count`-th message of that name and returns it."""
        def seen():
            found = self.find(message, **fields)
            if len(found) < count and process is not None and process.code() is not None:
                raise Failed(f"the process ended ({process.code()}) before {message} {fields}: {process.err()}")
            return found[count - 1] if len(found) >= count else None
        return wait_until(seen, f"{message} {fields} number {count} in {self.path}")


def set_up(limits):
    """In a new process, before the command: signals as in a shell, also if this runs under `nohup` or in the background."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if limits:
        limits()


class Process:
    """`weir` in the background of a case."""

    def __init__(self, command, place, stdin=None, limits=None, env=None):
        self.out_path, self.err_path = place.new_path("out"), place.new_path("err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(command, stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err,
                                          cwd=place.directory, env=env or place.environment,
                                          preexec_fn=lambda: set_up(limits))
        self.pid = self.popen.pid

    def code(self):
        return self.popen.poll()

    def out(self):
        return read(self.out_path)

    def err(self):
        return read(self.err_path)

    def send(self, number):
        if self.popen.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.popen.wait(DEADLINE)

    def wait(self, deadline=DEADLINE):
        try:
            self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.popen.args} still runs after {deadline:.0f} s; stderr: {shorten(self.err())}") from None
        return Result(self.popen.returncode, self.out(), self.err())


class Place:
    """The directory of one case, with an environment in which nothing of the user's is seen."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="weir-e2e-", dir="/tmp")  # short: sockets lie in it
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
        # With the address sanitizer, too, a crash is reported by weir itself.
        self.environment["ASAN_OPTIONS"] = self.environment.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_abort=0"
        for variable, name in (("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")):
            os.mkdir(self / name, 0o700)
            self.environment[variable] = self / name
        self.processes = []
        self.number = 0

    def __truediv__(self, name):
        return os.path.join(self.directory, name)

    def new_path(self, ending):
        self.number += 1
        return self / f"{self.number}.{ending}"

    def write(self, name, content):
        path = self / name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def start(self, *words, **how):
        """Starts `weir WORDS` and does not wait."""
        process = Process([paths.weir, *map(str, words)], self, **how)
        self.processes.append(process)
        return process

    def start_traced(self, *words, **how):
        """Starts `weir run --trace ... WORDS`; returns the process and its trace."""
        trace = Trace(self.new_path("trace"))
        return self.start("run", "--trace", trace.path, *words, **how), trace

    def weir(self, *words, deadline=DEADLINE, **how):
        """Runs `weir WORDS` to its end."""
        return self.start(*words, **how).wait(deadline)

    def good(self, *words, **how):
        """Runs `weir WORDS`, which must succeed without a word on stderr; returns its stdout."""
        result = self.weir(*words, **how)
        equal(result.code, 0, "exit code of weir", *words, "with stderr", result.err)
        # Of the sanitizers' own libraries the linker has something to say.
        told = [line for line in result.err.splitlines() if not re.search(r"/lib[at]san\.so", line)]
        equal(told, [], "stderr of weir", *words)
        return result.out

    def json(self, *words, **how):
        """Runs `weir WORDS --json`-like words; the one object that it prints."""
        return one_object(self.good(*words, **how))

    def running_job(self, process, **how):
        """The id of the job that `process` (the only one that runs a job) has RUNNING."""
        def find():
            if process.code() is not None:
                raise Failed(f"the job's process ended ({process.code()}): {process.err()}")
            jobs = self.json("list", "--json", **how)["jobs"]
            return [job["id"] for job in jobs if job["state"] == "RUNNING"]
        return wait_until(find, "a running job")[0]

    def close(self, keep):
        for process in self.processes:
            if process.code() is None:
                process.kill()
        end_orphans()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def end_orphans():
    """Ends what a case left in the background: this process inherits every orphan below it."""
    children = f"/proc/self/task/{os.getpid()}/children"
    for _ in range(100):
        with open(children, encoding="ascii") as file:
            left = [int(pid) for pid in file.read().split()]
        if not left:
            return
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# --- what is read ----------------------------------------------------------------------------------


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def one_object(text):
    check(text.endswith("\n") and text.count("\n") == 1, "one line of JSON expected:", repr(text))
    value = json.loads(text)
    check(isinstance(value, dict), "one JSON object expected:", text)
    return value


def committed(directory):
    """The names of the committed files."""
    if not os.path.isdir(directory):
        return []
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def output_lines(directory):
    lines = []
    for name in committed(directory):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            content = file.read()
        check(content.endswith("\n"), name, "ends within a line")
        lines += content.splitlines()
    return lines


def metadata_below(directory):
    """The snapshots below `directory` that are complete."""
    return sorted(os.path.dirname(os.path.join(base, name)) for base, _, names in os.walk(directory)
                  for name in names if name == "_metadata")


def job_so(name):
    return os.path.join(paths.jobs, name + ".so")


def example_so(name):
    return os.path.join(paths.examples, name + ".so")


def settings(**values):
    """`checkpoints=PATH, interval="100ms"` as -D options."""
    names = {"checkpoints": "state.checkpoints.dir", "savepoints": "state.savepoints.dir",
             "interval": "execution.checkpointing.interval", "backend": "state.backend",
             "restart": "restart-strategy",
             "retention": "execution.checkpointing.externalized-checkpoint-retention"}
    words = []
    for key, value in values.items():
        words += ["-D", f"{names[key]}={value}"]
    return words


# --- the job numbered_lines --------------------------------------------------------------------------

KEYS_OF_NUMBERED_LINES = 64


def make_lines(place, lines):
    return place.write("lines.txt", "".join(f"{i} line\n" for i in range(lines)))


def exactly_once(lines, first, total):
    """`lines` are those of the numbers from `first` to `total`, with their counts within each key."""
    numbers = collections.Counter(int(line.split(" ", 1)[0]) for line in lines)
    equal([n for n in range(first, total) if n not in numbers][:20], [], "lines that are lost")
    equal([n for n, c in numbers.items() if c != 1 or n < first][:20], [], "lines that are doubled")
    seen = collections.Counter((int(line.split(" ", 1)[0]) % KEYS_OF_NUMBERED_LINES, int(line.rsplit("\t", 1)[1])) for line in lines)
    expected = collections.Counter((n % KEYS_OF_NUMBERED_LINES, n // KEYS_OF_NUMBERED_LINES + 1) for n in range(first, total))
    if first == 0:
        equal(sorted((seen - expected).items())[:10], [], "counts of a key that are wrong")


def progress(place, process, trace, checkpoints=2):
    """Waits for some more completed checkpoints."""
    have = len({m["checkpoint"] for m in trace.find("NotifyCheckpointComplete")})
    wait_until(lambda: process.code() is not None or
               len({m["checkpoint"] for m in trace.find("NotifyCheckpointComplete")}) >= have + checkpoints, "checkpoints")
    equal(process.code(), None, "the job ended early:", process.err())


# --- the error sentence ------------------------------------------------------------------------------


def refused(result, code, *parts):
    """`result` is a failure with this exit code (or one of these): nothing on stdout and one sentence on stderr that names
    each of `parts` (a text, or a compiled pattern). Warnings may stand before it. Returns the sentence."""
    lines = result.err.splitlines()
    sentences = [line for line in lines if not line.startswith("weir: warning: ")]
    codes = code if isinstance(code, tuple) else (code,)
    check(result.code in codes, f"exit code {result.code} instead of {code}, with stderr", result.err)
    equal(result.out, "", "stdout")
    check(len(sentences) == 1 and sentences[0].startswith("weir: "), "one sentence expected:", repr(result.err))
    for part in parts:
        found = part.search(sentences[0]) if isinstance(part, re.Pattern) else part in sentences[0]
        check(found, f"'{part}' is not named in:", sentences[0])
    if paths.show:
        print("    " + sentences[0])
    return sentences[0]


def limit_file_size(size):
    """For `limits`: a file does not grow beyond `size` bytes, as with `ulimit -f`."""
    def apply():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return apply


def larger_than(library, size):
    """`size`, or what lets the job's library be copied: with a sanitizer it is large."""
    return max(size, os.path.getsize(library))


# --- running the cases -------------------------------------------------------------------------------


def main():
    global paths
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", required=True)
    parser.add_argument("--jobs", required=True)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--keep", action="store_true", help="keep the directories of the cases")
    parser.add_argument("--show", action="store_true", help="show the sentences of refusals")
    parser.add_argument("names", nargs="*", help="parts of the names of the cases to run")
    paths = parser.parse_args()
    for name in ("weir", "jobs", "examples"):
        setattr(paths, name, os.path.abspath(getattr(paths, name)))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    passed = failed = 0
    for name, function in cases:
        if paths.names and not any(part in name for part in paths.names):
            continue
        place = Place()
        start = time.monotonic()
        try:
            function(place)
            passed += 1
            print(f"passed: {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as failure:  # a case that breaks in any way has failed
            failed += 1
            where = [f for f in traceback.extract_tb(failure.__traceback__) if f.filename != __file__]
            line = f"{os.path.basename(where[-1].filename)}:{where[-1].lineno}: " if where else ""
            print(f"FAILED: {name} ({time.monotonic() - start:.1f} s)\n    {line}"
                  f"{'' if isinstance(failure, Failed) else type(failure).__name__ + ': '}{failure}", flush=True)
        finally:
            place.close(paths.keep)
            if paths.keep:
                print(f"    in {place.directory}")
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(0 if passed and not failed else 1)
