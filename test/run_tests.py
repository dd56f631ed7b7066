#!/usr/bin/env python3
"""Runs the tests that meson knows and counts their cases.

usage: run_tests.py [OPTIONS] BUILD_DIRECTORY [NAME ...] [-- CATCH2 ARGUMENTS]

Every test is a process of its own with /dev/null as its standard input. A Catch2 executable writes
its results, case by case, as XML to BUILD_DIRECTORY/test-results/; each TEST_CASE or SCENARIO counts
as one. A script (its command begins with a .py or .sh file) counts as one case, unless its last line
reads `N passed, N failed`: then those are added. A process that crashes, hangs,
ends with an error although its cases passed, or runs no case at all counts as a failed case.

Only failures are shown in full. The last line printed is `N passed, N failed`; the exit code is 0 if
at least one case passed and none failed.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed$")
# No test has a time limit: how long one takes says something about the machine. What hangs is ended after this time,
# so that the others still run and the last line is printed.
HANGS_AFTER_SECONDS = 3600
SKIPPED = 77  # the exit code with which a script says that it cannot run here
SHOWN_LINES = 150  # of the output of a failed test; the rest is in the file that is named
UNUSUAL_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


class Test:
    def __init__(self, name, command, suites=(), environment=None, directory=None, parallel=True, priority=0):
        self.name = name
        self.command = command
        self.suites = suites
        self.environment = environment or {}
        self.directory = directory
        self.parallel = parallel
        self.priority = priority
        self.is_check = False

    @property
    def is_script(self):
        interpreters = ("python3", "python", "bash", "sh", "dash")
        first = self.command[0]
        if os.path.basename(first) in interpreters and len(self.command) > 1:
            first = self.command[1]
        return self.is_check or first.endswith((".py", ".sh"))


class Outcome:
    """What became of one test: how many cases passed, and the text to show for each that failed."""

    def __init__(self):
        self.passed = 0
        self.failures = []  # (name of the case, text)
        self.more_failed = 0  # failed cases that a script has only counted
        self.skipped = False
        self.seconds = 0.0
        self.output = ""

    @property
    def failed(self):
        return len(self.failures) + self.more_failed


def known_tests(build):
    listed = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True)
    for entry in json.loads(listed.stdout):
        yield Test(entry["name"], entry["cmd"], tuple(s.split(":")[-1] for s in entry["suite"]), entry["env"],
                   entry["workdir"], entry["is_parallel"], entry["priority"])


def select(tests, names, suites):
    """The named tests, or those of the named suites, or without either all but the slow ones."""
    if not names and not suites:
        return [t for t in tests if "slow" not in t.suites]
    chosen = tests
    if suites:
        chosen = [t for t in chosen if set(t.suites) & set(suites)]
    if names:
        exact = {n for n in names if any(t.name == n for t in chosen)}
        chosen = [t for t in chosen if any(
            t.name == n or (n not in exact and (n in t.name or fnmatch.fnmatch(t.name, n))) for n in names)]
    return chosen


# --- one process ---------------------------------------------------------------------------------

running = set()  # the processes, each the leader of its group, that an interrupt must end


def run_process(command, test, log_path):
    """Runs it to its end. Returns the exit code, or None if it hung. Nothing of it stays behind."""
    environment = dict(os.environ, **test.environment)
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, cwd=test.directory, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        running.add(process.pid)
        try:
            return process.wait(HANGS_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_group(process.pid)  # also processes that it left running
            process.wait()
            running.discard(process.pid)


def end_group(process_id):
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        pass


def describe_end(code):
    if code is None:
        return f"still ran after {HANGS_AFTER_SECONDS} s and was ended"
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with exit code {code}"


def run_test(test, results, options):
    outcome = Outcome()
    stem = os.path.join(results, UNUSUAL_IN_FILE_NAMES.sub("_", ".".join([*test.suites[:1], test.name])))
    log_path, xml_path = stem + ".log", stem + ".xml"
    for old in (log_path, xml_path):
        if os.path.exists(old):
            os.remove(old)
    command = list(test.command)
    if not test.is_script:
        command += ["-r", "xml", "-o", xml_path, *options.catch2]
    start = time.monotonic()
    try:
        code = run_process(command, test, log_path)
    except OSError as failure:
        outcome.failures.append((test.name, f"cannot be started: {failure}"))
        return outcome
    outcome.seconds = time.monotonic() - start
    with open(log_path, encoding="utf-8", errors="replace") as file:
        outcome.output = file.read()
    end = describe_end(code)
    if test.is_script:
        count_script(test, code, end, outcome)
    else:
        count_catch2(test, code, end, xml_path, outcome, bool(options.catch2))
    if outcome.failures and outcome.output.strip():
        lines = outcome.output.rstrip().splitlines()
        left_out = len(lines) - SHOWN_LINES
        if left_out > 0:
            lines = [f"({left_out} lines left out; all are in {log_path})", *lines[-SHOWN_LINES:]]
        outcome.output = "\n".join(lines)
    return outcome


def count_script(test, code, end, outcome):
    if code == SKIPPED:
        outcome.skipped = True
        return
    lines = outcome.output.rstrip().splitlines()
    counts = COUNTS.match(lines[-1]) if lines else None
    if counts:
        outcome.passed, outcome.more_failed = int(counts[1]), int(counts[2])
        if code != 0 and outcome.more_failed == 0:
            outcome.failures.append((test.name, end + ", though no case failed"))
        elif outcome.more_failed:
            outcome.more_failed -= 1
            outcome.failures.append((test.name, f"{counts[2]} of its cases failed"))
        elif outcome.passed == 0:
            outcome.failures.append((test.name, "ran no case"))
    elif code == 0:
        outcome.passed = 1
    else:
        outcome.failures.append((test.name, end))


# --- Catch2's results ----------------------------------------------------------------------------

build_directory = "."


def text_of(element, tag):
    return (element.findtext(tag) or "").strip()


def place_of(element):
    """The place as a path from the project's root; in the file it starts from the build directory."""
    path = os.path.relpath(os.path.join(build_directory, element.get("filename", "")))
    return f'{path}:{element.get("line")}'


def render(element, depth=1):
    """The failed assertions below a test case or section, with the sections that lead to them."""
    lines, told = [], []
    margin = "  " * depth
    for child in element:
        if child.tag == "Section":
            inner = render(child, depth + 1)
            if inner:
                lines += [f'{margin}{child.get("name")}', *inner]
        elif child.tag in ("Info", "Warning"):
            told.append((child.text or "").strip())
        elif child.tag == "Expression":
            if child.get("success") != "true":
                lines.append(f'{margin}{place_of(child)}: {child.get("type")}( {text_of(child, "Original")} )')
                if text_of(child, "Expanded") != text_of(child, "Original"):
                    lines.append(f'{margin}  with: {text_of(child, "Expanded")}')
                for inner in child:
                    if inner.tag in ("Exception", "FatalErrorCondition"):
                        lines.append(f'{margin}  {(inner.text or "").strip()} ({place_of(inner)})')
                lines += [f"{margin}  note: {note}" for note in told]
            told = []
        elif child.tag in ("Failure", "Exception", "FatalErrorCondition"):
            kind = {"Failure": "FAIL", "Exception": "unexpected exception",
                    "FatalErrorCondition": "crashed"}[child.tag]
            place = f"{place_of(child)}: " if child.get("filename") else ""
            lines.append(f'{margin}{place}{kind}: {(child.text or "").strip()}')
            lines += [f"{margin}  note: {note}" for note in told]
            told = []
    return lines


def read_cases(xml_path):
    """Yields (name, passed, text) of each case; `passed` is None for one that has no end.

    The file of a process that crashed stops anywhere; what was written until then counts.
    """
    parser = ElementTree.XMLPullParser(("start", "end"))
    is_open = None
    try:
        with open(xml_path, "rb") as file:
            while block := file.read(1 << 16):
                parser.feed(block)
                for event, element in parser.read_events():
                    if element.tag != "TestCase":
                        continue
                    if event == "start":
                        is_open = element
                        continue
                    is_open = None
                    result = element.find("OverallResult")
                    passed = result is not None and result.get("success") == "true"
                    lines = render(element)
                    for tag in ("StdOut", "StdErr"):
                        printed = text_of(result, tag) if result is not None else ""
                        if printed:
                            lines += ["  printed:", *("    " + line for line in printed.splitlines()[-SHOWN_LINES:])]
                    yield element.get("name"), passed, "\n".join([f"  {place_of(element)}", *lines])
                    element.clear()
    except (ElementTree.ParseError, FileNotFoundError):
        pass
    if is_open is not None:
        yield is_open.get("name"), None, "\n".join([f"  {place_of(is_open)}", *render(is_open)])


def is_complete(xml_path):
    try:
        with open(xml_path, "rb") as file:
            return file.read().rstrip().endswith(b"</Catch>")
    except FileNotFoundError:
        return False


def count_catch2(test, code, end, xml_path, outcome, filtered):
    for name, passed, text in read_cases(xml_path):
        if passed:
            outcome.passed += 1
        elif passed is None:
            outcome.failures.append((name, f"{text}\n  the process {end} in this case"))
        else:
            outcome.failures.append((name, text))
    if code is None or code < 0:
        # The cases behind it were not run, so one case is not the whole story.
        if not outcome.failures:
            outcome.failures.append((test.name, f"  the process {end} outside of any case"))
        else:
            name, text = outcome.failures[-1]
            note = f"  the process {end}; the cases after this one were not run"
            outcome.failures[-1] = (name, f"{text}\n{note}" if end not in text else text)
    elif code != 0 and not outcome.failures:
        outcome.failures.append((test.name, f"  the process {end}, though no case failed"))
    elif not outcome.failures and not is_complete(xml_path):
        outcome.failures.append((test.name, f"  the process {end} before all cases were run"))
    elif not outcome.passed and not outcome.failures and not filtered:
        outcome.failures.append((test.name, "  ran no case"))


# --- all of them ---------------------------------------------------------------------------------


class Display:
    """One line per finished test; on a terminal also a line that changes and says what is running."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.running = []
        self.lock = threading.Lock()  # guards all fields and the output
        self.live = sys.stdout.isatty()

    def started(self, test):
        with self.lock:
            self.running.append(test.name)
            self._show()

    def finished(self, test, outcome):
        with self.lock:
            self.running.remove(test.name)
            self.done += 1
            if outcome.skipped:
                verdict = "skipped"
            elif outcome.failed:
                verdict = f"{outcome.passed} passed, {outcome.failed} FAILED"
            else:
                verdict = f"{outcome.passed} passed"
            if self.live:
                print("\r\033[K", end="")
            print(f"[{self.done}/{self.total}] {test.name}: {verdict} ({outcome.seconds:.1f} s)", flush=True)
            for name, text in outcome.failures:
                print(f"  FAILED: {name}")
                print("\n".join("  " + line for line in text.splitlines()))
            if outcome.failures and outcome.output.strip():
                print(f"    output of {shlex.join(test.command)}:")
                print("\n".join("    | " + line for line in outcome.output.splitlines()))
            sys.stdout.flush()
            self._show()

    def _show(self):
        if self.live:
            width = shutil.get_terminal_size().columns
            line = f"[{self.done}/{self.total}] running {', '.join(self.running)}" if self.running else ""
            print("\r\033[K" + line[:width - 1], end="", flush=True)


def run_all(tests, results, options):
    display = Display(len(tests))

    def run(test):
        display.started(test)
        outcome = run_test(test, results, options)
        display.finished(test, outcome)
        return test, outcome

    ordered = sorted(tests, key=lambda t: -t.priority)
    # No `with`: on an interrupt it would first run everything that is still queued.
    pool = concurrent.futures.ThreadPoolExecutor(options.j)
    outcomes = list(pool.map(run, [t for t in ordered if t.parallel]))
    pool.shutdown()
    return outcomes + [run(t) for t in ordered if not t.parallel]


def parse_arguments(arguments):
    catch2 = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, catch2 = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(prog="./dev test", description="Runs the tests: all suites but `slow`, or those "
                                     "that are named.", allow_abbrev=False)
    parser.add_argument("--suite", action="append", default=[], metavar="SUITE",
                        help="unit, contract, simulation or slow; may repeat")
    parser.add_argument("--list", action="store_true", help="list the selected tests and run none")
    parser.add_argument("-j", type=int, default=2, metavar="N", help="how many tests run at a time (default: 2)")
    parser.add_argument("--check", action="append", default=[], metavar="NAME=COMMAND",
                        help="a command that counts as one case of the suite unit")
    parser.add_argument("build", metavar="BUILD_DIRECTORY")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="part of a test's name, or a pattern; what follows -- goes to Catch2")
    options = parser.parse_intermixed_args(arguments)
    options.catch2 = catch2
    if options.j < 1:
        parser.error("-j must be at least 1")
    return options


def main():
    options = parse_arguments(sys.argv[1:])
    global build_directory
    build = build_directory = os.path.abspath(options.build)
    tests = []
    for check in options.check:
        name, command = check.split("=", 1)
        test = Test(name, shlex.split(command), ("unit",), directory=os.getcwd())
        test.is_check = True
        tests.append(test)
    tests += known_tests(build)
    chosen = select(tests, options.names, options.suite)
    if options.list:
        for test in chosen:
            print(f"{test.name} ({', '.join(test.suites) or 'no suite'})")
        return 0
    if not chosen:
        wanted = " ".join([*options.names, *(f"--suite {s}" for s in options.suite)])
        print(f"run_tests: no test matches '{wanted}'; --list shows all", file=sys.stderr, flush=True)
    results = os.path.join(build, "test-results")
    os.makedirs(results, exist_ok=True)
    outcomes = run_all(chosen, results, options)

    failures = [(test, name) for test, outcome in outcomes for name, _ in outcome.failures]
    if failures:
        print("\nfailed:")
        for test, name in failures:
            print(f"  {name}" if name == test.name else f"  {test.name}: {name}")
    passed = sum(outcome.passed for _, outcome in outcomes)
    failed = sum(outcome.failed for _, outcome in outcomes)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        for process_id in list(running):
            end_group(process_id)
        os._exit(130)
