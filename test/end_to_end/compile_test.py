#!/usr/bin/env python3
"""`weir compile` of a job that lies anywhere: a library and a program, which both run."""

import os
import signal
import subprocess
import sys

import harness
from harness import case, check, equal, one_object, read, refused, settings, wait_until

JOB = """#include <weir/weir.hpp>

#include <cstdint>
#include <string>

WEIR_JOB(doubled) {
  const auto count = env.parameters().number("count", 3);
  env.generate(count, [](std::uint64_t i) { return i; })
      .uid("numbers")
      .map([](std::uint64_t number) { return std::to_string(2 * number); })
      .uid("double")
      .print()
      .uid("print");
}
"""

PAGES = """#include <weir/weir.hpp>

struct Page {
  long number = 0;
};
// described

struct Count final : weir::RichFlatMapFunction<long, std::string> {
  void open(weir::RuntimeContext& context) override {
    visits_ = context.map_state(weir::MapStateDescriptor<Page, long>{"visits"});
  }
  void flat_map(const long& page, weir::Collector<std::string>& out) override {
    out.collect(std::to_string(++visits_.mutable_value(Page{page})));
  }
  weir::MapState<Page, long> visits_;
};

WEIR_JOB(pages) {
  env.generate(6, [](std::uint64_t i) { return static_cast<long>(i % 3); })
      .uid("visits")
      .key_by([](long) { return 0; })
      .flat_map(Count{})
      .uid("count")
      .print()
      .uid("print");
}
"""


@case("a job that lies anywhere is compiled to a library that runs")
def library(place):
    source = place.write("a b/job.cpp", JOB)  # a path with a blank
    equal(place.good("compile", source, "-o", place / "job.so"), "")
    equal(sorted(place.good("run", place / "job.so", "--count", 4).split()), ["0", "2", "4", "6"])
    end = one_object(place.weir("run", "--json", "-p", 2, place / "job.so").out)
    equal((end["name"], end["state"], end["parallelism"]), ("doubled", "FINISHED", 2))


@case("the same source is compiled to a program that takes the options of `weir run`")
def program(place):
    source = place.write("job.cpp", JOB)
    place.good("compile", source, "-o", place / "job")

    def run(*words):
        return subprocess.run([place / "job", *words], cwd=place.directory, env=place.environment, capture_output=True,
                              text=True, timeout=harness.DEADLINE, stdin=subprocess.DEVNULL)
    equal(sorted(run().stdout.split()), ["0", "2", "4"])
    result = run("--json", "-p", "2", *settings(backend="rocksdb"), "--", "--count", "5")
    equal(result.returncode, 0, result.stderr)
    end = one_object(result.stdout)
    equal((end["name"], end["parallelism"]), ("doubled", 2))
    equal(sorted(result.stderr.split()), ["0", "2", "4", "6", "8"])
    result = run("--count", "5")
    refused(harness.Result(result.returncode, result.stdout, result.stderr), 2, "--count", "--")
    check("Usage" in run("--help").stdout, "help")


@case("a library and a program of the same source write the same, and are not taken for each other")
def library_and_program(place):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "word_count.cpp")
    text = place.write("in.txt", "b a b\n")
    place.good("compile", source, "-o", place / "words.so")
    place.good("compile", source, "-o", place / "words")
    ended = place.json("run", "--json", place / "words.so", "--input", text, "--output", place / "out1")
    equal((ended["state"], ended["records_in"], ended["records_out"]), ("FINISHED", 1, 2))
    program = harness.Process([place / "words", "--json", "--", "--input", text, "--output", place / "out2"], place)
    result = program.wait()
    equal((result.code, result.err), (0, ""))
    equal(one_object(result.out)["state"], "FINISHED")
    for name in ("out1", "out2"):
        equal(sorted(harness.output_lines(place / name)), ["a\t1", "b\t2"])
    refused(place.weir("run", place / "words"), 1, "a program")

    with open(place / "words", "r+b") as file:  # as if it was built against other headers
        at = file.read().find(b"WEIRJOB\0") + 16
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    result = harness.Process([place / "words", "--", "--input", text, "--output", place / "out3"], place).wait()
    refused(result, 1, place / "words", "it was built against another version of Weir; compile it again")


@case("a test of a job is compiled where it lies, passes, and names the seed that fails")
def test_program(place):
    examples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")

    def run(program, **environment):
        return subprocess.run([program], cwd=place.directory, env={**place.environment, **environment}, text=True,
                              capture_output=True, timeout=harness.DEADLINE, stdin=subprocess.DEVNULL)
    place.good("compile", os.path.join(examples, "running_totals_test.cpp"), "-o", place / "totals_test")
    result = run(place / "totals_test")
    check(result.returncode == 0 and "All tests passed" in result.stdout, result.stdout + result.stderr)

    # Without a test framework, and with the job compiled apart; it keeps its sum where no checkpoint sees it.
    place.write("sum.cpp", """#include <weir/weir.hpp>
WEIR_JOB(sum) {
  env.generate(5000, [](std::uint64_t number) { return number; })
      .uid("numbers")
      .key_by([](std::uint64_t number) { return number % 2; })
      .map_with_state<std::uint64_t>([sum = std::uint64_t{0}](std::uint64_t number, std::uint64_t& state) mutable {
        return state = sum += number;
      })
      .uid("sum")
      .write_files("sums", [](std::uint64_t sum) { return std::to_string(sum); })
      .uid("output");
}
""")
    place.write("sum_test.cpp", """#include <cstdio>
#include <weir/testing.hpp>
void sum(weir::StreamEnvironment&);
int main() {
  using namespace weir::testing;
  try {
    simulate(sum).seeds(1, 40).with_faults(crashes()).expect_exactly_once();
  } catch (const Failure& failure) {
    std::printf("%s\\n", failure.what());
  }
}
""")
    place.good("compile", place / "sum_test.cpp", place / "sum.cpp", "-o", place / "sum_test", "--", "-DWEIR_NO_MAIN")
    told = run(place / "sum_test").stdout
    check(told.startswith("simulate(sum): 40 seeds, "), told)
    seed = told.split("failed: ")[1].split(",")[0].split()[0]
    check(f"\nseed {seed}, step " in told and f"WEIR_SEED={seed} in its environment" in told, told)
    alone = run(place / "sum_test", WEIR_SEED=seed).stdout
    check(alone.startswith(f"simulate(sum): 1 seed, 1 failed: {seed}\n"), alone)
    check(told.split(f"\nseed {seed}, step ")[1].splitlines()[0] in alone, told, alone)


@case("a source that is missing or does not compile is refused")
def errors(place):
    refused(place.weir("compile", place / "missing.cpp", "-o", place / "job.so"), 1, place / "missing.cpp",
            "there is no such file; give the path of a C++ source")
    for name in ("notes.md", "library.so", "plain"):
        refused(place.weir("compile", place.write(name, "WEIR_JOB"), "-o", place / "out.so"), 1, name,
                "this is no C++ source; give a file whose name ends in .cpp")
    refused(place.weir("compile", place.directory), 1, place.directory, "this is no C++ source")
    refused(place.weir("compile"), 2, "source")
    source = place.write("wrong.cpp", JOB.replace("uint64_t i", "uint64 i"))
    result = place.weir("compile", source, "-o", place / "job.so")
    equal((result.code, result.out), (1, ""))
    check("wrong.cpp:8" in result.err and "does not compile" in result.err, "the compiler's complaint:", result.err)
    check(not os.path.exists(place / "job.so"), "a library was left")
    result = place.weir("compile", place.write("job.cpp", "int x = ;\n"))
    equal(result.code, 1)
    check("job.cpp:1:9: error" in result.err and "does not compile" in result.err, result.err)


@case("an output that cannot be written, and a source without a job, are told before the compiler is blamed")
def no_output_and_no_job(place):
    empty = place.write("empty.cpp", "int answer() { return 42; }\n")
    refused(place.weir("compile", empty, "-o", "/nowhere/x.so"), 1, "/nowhere/x.so: cannot be written: No such file",
            "name another output with -o")
    refused(place.weir("compile", empty, "-o", place.directory), 1, "this is a directory")
    refused(place.weir("compile", empty, "-o", place / "empty.so"), 1, "empty.cpp: no job is registered", "WEIR_JOB(name)")
    check(not os.path.exists(place / "empty.so"), "a library without a job is left")
    result = place.weir("compile", empty, "-o", place / "empty")
    equal(result.code, 1)
    check("weir: " + empty + ": no job is registered" in result.err, result.err)


@case("a map key that is not described is refused with a sentence")
def map_key(place):
    source = place.write("pages.cpp", PAGES)
    result = place.weir("compile", source, "-o", place / "job.so")
    equal((result.code, result.out), (1, ""))
    check("the map key of this MapState is not described" in result.err, "the compiler's complaint:", result.err)
    place.good("compile", place.write("pages.cpp", PAGES.replace("// described", "WEIR_FIELDS(Page, number)")),
               "-o", place / "job.so")
    equal(sorted(place.good("run", place / "job.so").split()), ["1", "1", "1", "2", "2", "2"])


@case("a job is compiled with the headers of the build, although those of the source tree were edited since")
def edited_headers(place):
    place.write("home/api/weir/weir.hpp", "#error edited since\n")
    os.symlink(os.path.dirname(os.path.realpath(harness.paths.weir)), place / "home/build")
    environment = {**place.environment, "WEIR_HOME": place / "home"}
    source = place.write("job.cpp", JOB)
    # With other flags than its own the precompiled header is passed over.
    place.good("compile", source, "-o", place / "job.so", "--", "-O1", env=environment)
    equal(sorted(place.good("run", place / "job.so", "--count", 2).split()), ["0", "2"])


def is_gone(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid  # an orphan, which this process inherits
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


@case("Ctrl-C and SIGTERM end the compiler with all that it has started, with exit code 130")
def interrupted(place):
    if os.environ.get("WEIR_SANITIZER") == "thread":
        return  # which hands a signal on only when the wait for the compiler has ended
    pids = place / "pids"
    compiler = place.write("compiler", f"#!/bin/sh\ntail -f /dev/null &\necho $! $$ > {pids}.new\n"
                                       f"mv {pids}.new {pids}\nwait\n")
    os.chmod(compiler, 0o700)
    source = place.write("job.cpp", JOB)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = place.start("compile", source, "-o", place / "job.so", env={**place.environment, "CXX": compiler})
        wait_until(lambda: os.path.exists(pids), "the compiler")
        left = [int(pid) for pid in read(pids).split()]
        os.unlink(pids)
        process.send(number)
        equal(process.wait().code, 130)
        wait_until(lambda: all(is_gone(pid) for pid in left), "the end of the compiler")


if __name__ == "__main__":
    sys.exit(harness.main())
