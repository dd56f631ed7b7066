#!/usr/bin/env python3
"""Looks whether each mutant of mutants.toml is noticed by `weir simulate`, and by the unit tests.

usage: run.py [--only NAME ...] [--unit | --seeds N] [--json FILE] [--table FILE.md] [--no-build] [--directory DIRECTORY]

For each mutant, all unit tests are run that reach its line (those with Catch2 of the suite `unit`, and then of the suite
`contract`), and then seeds from 1 on of `weir simulate` with the example jobs and all faults, until one breaks a promise.
The same seeds must pass without any mutant. What is known is written to the JSON file as it comes, and not looked for again.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

import build as mutants_build

ROOT = mutants_build.ROOT
# Seeds are run up to one of these at a time, job by job.
STAGES = (3, 10, 30, 80, 200, 500, 1000, 2000, 4000, 7000, 10000)
SUITES = ("unit", "contract")
# A mutant can let a test or a run hang.
TEST_PATIENCE_SECONDS = 600
SECONDS_A_SEED = 20
SHOWN_NAME = re.compile(r"^[A-Za-z0-9_-]+")


class Failed(Exception):
    """One sentence: what cannot be done."""


# --- processes -----------------------------------------------------------------------------------

def run(command, patience, directory, **variables):
    """The exit code and output of a process; None if it still ran then, and was ended."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
    environment.update(variables)
    process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=patience)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


# --- unit tests ----------------------------------------------------------------------------------

class UnitTests:
    def __init__(self, build_directory):
        listed = subprocess.run(["meson", "introspect", "--tests", build_directory], check=True, capture_output=True,
                                text=True)
        self.tests = []
        for entry in json.loads(listed.stdout):
            suites = {suite.split(":")[-1] for suite in entry["suite"]}
            for suite in SUITES:
                if suite in suites and not entry["cmd"][0].endswith(("python3", "python")):
                    self.tests.append((suite, entry["name"], entry["cmd"], entry["workdir"], entry["env"]))
        self.build_directory = build_directory
        self.reached = self.find_reached()

    def find_reached(self):
        """Test to mutants whose lines it reaches. Without any mutant every test must pass."""
        known_path = os.path.join(self.build_directory, "mutants_reached.json")
        library = os.path.join(self.build_directory, "libweir.so")
        if os.path.exists(known_path) and os.path.getmtime(known_path) > os.path.getmtime(library):
            with open(known_path, encoding="utf-8") as file:
                return {name: set(mutants) for name, mutants in json.load(file).items()}
        reached = {}
        for _, name, command, directory, environment in self.tests:
            note = os.path.join(self.build_directory, "reached.txt")
            if os.path.exists(note):
                os.remove(note)
            begin = time.monotonic()
            code, output = run(command, 6 * TEST_PATIENCE_SECONDS, directory, **environment,
                               WEIR_MUTANTS_REACHED=note)
            if code != 0:
                raise Failed(f"the test {name} fails without any mutant:\n{output[-2000:]}")
            lines = open(note, encoding="utf-8").read().split() if os.path.exists(note) else []
            reached[name] = set(lines)
            print(f"{name}: passes, {time.monotonic() - begin:.0f} s, reaches {len(reached[name])} mutants", flush=True)
        with open(known_path, "w", encoding="utf-8") as file:
            json.dump({name: sorted(mutants) for name, mutants in reached.items()}, file)
        return reached

    def failing(self, mutant, wanted):
        """The first test of the suite `wanted` that notices the mutant; empty: none."""
        for suite, name, command, directory, environment in self.tests:
            if suite != wanted or mutant.name not in self.reached[name]:
                continue
            code, output = run([*command, "--abort"], TEST_PATIENCE_SECONDS, directory, **environment,
                               WEIR_MUTANT=mutant.name)
            if code is None:
                return f"{name} (hangs)"
            if code != 0:
                return name
        return ""


# --- seeds ---------------------------------------------------------------------------------------

class Simulations:
    def __init__(self, build_directory):
        self.build_directory = build_directory
        self.directory = os.path.join(build_directory, "mutants-run")
        os.makedirs(self.directory, exist_ok=True)
        self.jobs = self.make_jobs()
        self.passed = {}  # job to the seed up to which all have been looked at without a mutant
        self.known = {}  # (job, seed) to whether it passes without one

    def make_jobs(self):
        """Name to the words behind the options of `weir simulate`. With a rate, the input comes in many small pieces, with
        checkpoints between them."""
        text = os.path.join(ROOT, "LICENSE")
        lines, readings, rules = (os.path.join(self.directory, name) for name in ("lines", "readings", "rules"))
        with open(lines, "w", encoding="utf-8") as file:
            for i in range(1000):
                file.write(f"line {i} has word{i * 7 % 97} and word{i * 13 % 61}\n")
        # Sensors fall silent now and then, and limits change; readings come up to three seconds late.
        with open(readings, "w", encoding="utf-8") as file:
            for i in range(800):
                second = 1000 + i - (3 if i % 5 == 0 else 0) + 90 * (i // 200)
                file.write(f"{second} sensor-{i * 7 % 23} {i * 37 % 100}\n")
        with open(rules, "w", encoding="utf-8") as file:
            for i in range(92):
                file.write(f"{990 + 10 * i} sensor-{i % 23} {40 + i * 13 % 50}\n")
        words = {
            "line_numbers": ["--input", lines, "--output", "output", "--rate", "200"],
            "running_totals": ["--orders", "2000", "--rate", "400"],
            "all_states": ["--readings", "2000", "--rate", "400"],
            "word_count": ["--input", text, "--output", "output"],
            "alerts": ["--readings", readings, "--rules", rules, "--output", "output"],
        }
        return {job: [os.path.join(self.build_directory, "examples", job + ".so"), *rest]
                for job, rest in words.items()}

    def simulate(self, options, job, count, mutant):
        command = [os.path.join(self.build_directory, "weir"), "simulate", "--json", "-j", "1", *options,
                   *self.jobs[job]]
        variables = {"WEIR_MUTANT": mutant} if mutant else {}
        code, output = run(command, 60 + SECONDS_A_SEED * count, self.directory, **variables)
        lines = [line for line in output.splitlines() if line.startswith("{")]
        try:
            return code, json.loads(lines[-1]) if lines else None, output
        except json.JSONDecodeError:
            return code, None, output

    def first_failure(self, job, first, last, mutant):
        """The first seed of the range that breaks a promise, and what is said of it; or nothing."""
        code, answer, output = self.simulate(["--seeds", f"{first}..{last}"], job, last - first + 1, mutant)
        if code == 0:
            return None
        if answer is None or "failed" not in answer:
            what = "hangs" if code is None else (output.strip().splitlines() or ["says nothing"])[-1]
            return 0, what[:300]
        # What fails without any mutant as well shows nothing.
        seed = next((one for one in answer["failed"] if not mutant or self.passes(job, one)), None)
        if seed is None:
            return None
        _, answer, output = self.simulate(["--seed", str(seed)], job, 10, mutant)
        if not answer or not answer.get("violations"):
            return seed, output.strip()[-300:]
        one = answer["violations"][0]
        return seed, f'{one["promise"]}: {one["what"]}'[:300]

    def passes(self, job, seed):
        """Whether the seed breaks no promise without any mutant."""
        if (job, seed) not in self.known:
            self.known[job, seed] = self.simulate(["--seed", str(seed)], job, 10, "")[0] == 0
            if not self.known[job, seed]:
                print(f"seed {seed} of {job} fails without any mutant", flush=True)
        return self.known[job, seed]

    def hunt(self, mutant, most, jobs, tried):
        """The job, seed and promise that first notice the mutant. `tried` is up to which seed of a job none has, and is
        kept up to date; nothing if none has up to `most`."""
        for last in [stage for stage in STAGES if stage < most] + [most]:
            for job in jobs:
                first = tried.get(job, 0) + 1
                if first > last:
                    continue
                found = self.first_failure(job, first, last, mutant.name)
                if found:
                    return {"job": job, "seed": found[0], "noticed": found[1]}
                tried[job] = last
        return {}

    def check(self, job, last):
        """Those of the seeds up to `last` that fail without any mutant."""
        first = self.passed.get(job, 0) + 1
        if last < first:
            return []
        _, answer, output = self.simulate(["--seeds", f"{first}..{last}"], job, last - first + 1, "")
        if answer is None or "failed" not in answer:
            raise Failed(f"{job} does not run without any mutant: {output[-500:]}")
        self.passed[job] = last
        return answer["failed"]


# --- what is told --------------------------------------------------------------------------------

def promise_of(noticed):
    match = re.match(r"(E\d|liveness|protocol)", noticed or "")
    return match[1] if match else "the run without faults"


def table(mutants, known):
    """What is known, in Markdown; of suites that were run."""
    suites = [suite for suite in SUITES if any(suite in one for one in known.values())]
    heads = ["mutant", "what is wrong", "in", *(suite + " tests" for suite in suites), "job", "seeds", "noticed by"]
    rows = [heads, ["---"] * len(heads)]
    for mutant in mutants:
        one = known.get(mutant.name, {})
        tests = ["" if suite not in one else one[suite] or "pass" for suite in suites]
        tried = one.get("tried", {})
        if "seed" in one:
            seeds = [one["job"], str(one["seed"]), promise_of(one["noticed"])]
        else:
            seeds = [", ".join(tried), "> " + str(max(tried.values())) if tried else "", ""]
        rows.append([f"`{mutant.name}`", mutant.bug, f"`{mutant.file}`", *tests, *seeds])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants, known or not")
    parser.add_argument("--unit", action="store_true", help="the unit tests alone")
    parser.add_argument("--seeds", type=int, default=10_000, metavar="N", help="at most so many of each job")
    parser.add_argument("--json", metavar="FILE", help="what is known; default: mutants.json in the directory")
    parser.add_argument("--known", action="store_true", help="only tells what is known")
    parser.add_argument("--table", metavar="FILE", help="writes the table there; default: prints it")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--no-unit", action="store_true", help="the seeds alone")
    parser.add_argument("--directory", default=os.path.join(ROOT, "build-mutants"))
    parser.add_argument("--jobs", nargs="+", metavar="JOB", help="of the examples, instead of those that notice it")
    parser.add_argument("-j", type=int, dest="compile_jobs", help="compile so many files at a time")
    arguments = parser.parse_args()
    directory = os.path.abspath(arguments.directory)
    build_directory = os.path.join(directory, "build")
    path = arguments.json or os.path.join(directory, "mutants.json")
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)

    def remember(mutant, **what):
        known.setdefault(mutant.name, {}).update(what)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1, sort_keys=True)
        os.replace(path + ".new", path)

    try:
        mutants = mutants_build.read_mutants()
        names = {m.name for m in mutants}
        for name in arguments.only or []:
            if name not in names:
                raise Failed(f"'{name}' is no mutant of mutants.toml")
        if not (arguments.no_build or arguments.known):
            mutants_build.copy_source(mutants, directory)
            mutants_build.build(directory, arguments.compile_jobs)
        chosen = [m for m in mutants if not arguments.only or m.name in arguments.only]
        if arguments.known:
            arguments.no_unit = arguments.unit = True
        if not arguments.no_unit:
            tests = UnitTests(build_directory)
            for mutant in chosen:
                if "unit" in known.get(mutant.name, {}) and not arguments.only:
                    continue
                remember(mutant, **{suite: tests.failing(mutant, suite) for suite in SUITES})
                print(f"{mutant.name}: " + ", ".join(f"{suite} {known[mutant.name][suite] or 'passes'}"
                                                     for suite in SUITES), flush=True)
        if not arguments.unit:
            simulations = Simulations(build_directory)
            for mutant in chosen:
                one = known.get(mutant.name, {})
                if "seed" in one and not arguments.only:
                    continue
                tried = one.get("tried", {})
                jobs = arguments.jobs or ([mutant.job] if mutant.job else list(simulations.jobs))
                found = simulations.hunt(mutant, arguments.seeds, jobs, tried)
                remember(mutant, **found, tried=tried)
                print(f"{mutant.name}: " + (f"{found['job']}, seed {found['seed']}: {found['noticed']}" if found
                                            else "not noticed"), flush=True)
            for mutant in chosen:
                one = known.get(mutant.name, {})
                for seed in simulations.check(one["job"], one["seed"]) if one.get("seed") else []:
                    print(f"seed {seed} of {one['job']} fails without any mutant", file=sys.stderr)
    except (Failed, mutants_build.Wrong) as wrong:
        print(wrong, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        return failed.returncode or 1
    if arguments.table:
        with open(arguments.table, "w", encoding="utf-8") as file:
            file.write(table(mutants, known))
    else:
        print(table(mutants, known), end="")
    escaped = [m.name for m in chosen if "tried" in known.get(m.name, {}) and "seed" not in known[m.name]]
    if escaped:
        print(f"not noticed: {', '.join(escaped)}", file=sys.stderr)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
