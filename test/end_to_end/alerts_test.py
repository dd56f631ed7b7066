#!/usr/bin/env python3
"""The example `alerts`, with timers, two connected streams and broadcast state, against the same in Python."""

import collections
import random
import sys

import harness
from harness import case, equal, example_so, output_lines, refused, settings, wait_until

START = 1_700_000_000
SENSORS = [f"sensor-{i}" for i in range(20)]
SILENCE = 30


def make_input(place, seconds):
    """Readings of some 8 sensors a second, at most 5 seconds late, with gaps; and rules that change in between."""
    chance = random.Random(7)
    readings, rules = [], []
    for second in range(seconds):
        for sensor in SENSORS:
            number = int(sensor.rsplit("-", 1)[1])
            quiet = (second // 60 + number) % 4 == 0  # for a minute at a time
            if not quiet and chance.random() < 0.5:
                readings.append((START + second, sensor, chance.randrange(1000) / 10))
        if second % 100 == 0:
            rules += [(START + second, sensor, chance.randrange(500, 1000) / 10) for sensor in SENSORS[2:]]
    late = sorted(readings, key=lambda reading: reading[0] + 5 * chance.random())
    def lines(rows):
        return "".join(f"{time} {sensor} {number}\n" for time, sensor, number in rows)
    return (["--readings", place.write("readings.txt", lines(late)), "--rules", place.write("rules.txt", lines(rules)),
             "--silence", SILENCE], readings, rules)


def expected(readings, rules):
    alerts = []
    limits = collections.defaultdict(list)
    for time, sensor, limit in rules:
        limits[sensor].append((time, limit))
    times = collections.defaultdict(list)
    for time, sensor, value in sorted(readings):
        times[sensor].append(time)
        valid = [limit for since, limit in limits[sensor] if since <= time]
        if valid and value > valid[-1]:
            alerts.append(f"{time}\t{sensor}\tabove its limit")
    for sensor, heard in times.items():
        for time, following in zip(heard, heard[1:] + [heard[-1] + SILENCE + 1]):
            if following > time + SILENCE:
                alerts.append(f"{time + SILENCE}\t{sensor}\tsilent")
    return sorted(alerts)


@case("alerts are the same at any parallelism, and as they should be")
def whole(place):
    words, readings, rules = make_input(place, 600)
    wanted = expected(readings, rules)
    for kind in ("above its limit", "silent"):
        harness.check(sum(line.endswith(kind) for line in wanted) > 20, "too few alerts", kind)
    for parallelism in (1, 3):
        out = place / f"out-{parallelism}"
        place.good("run", "-p", parallelism, example_so("alerts"), *words, "--output", out)
        equal(sorted(output_lines(out)), wanted)


@case("alerts go on from a savepoint, with waiting readings, rules and timers, on another backend and parallelism")
def continued(place):
    words, readings, rules = make_input(place, 600)
    job = [example_so("alerts"), *words, "--output", place / "out"]
    process, _ = place.start_traced("-p", 2, "-D", "heartbeat.interval=20ms", *settings(backend="fs"), *job, "--rate", 2000)
    running = place.running_job(process)

    def readings_read():
        operators = place.json("info", running, "--json")["operators"]
        return next(operator["records_out"] for operator in operators if operator["uid"] == "reading lines")
    wait_until(lambda: readings_read() > 500, "some readings")
    path = place.good("cancel", "-s", place / "savepoints", running).strip()
    equal(process.wait().code, 0)
    before = output_lines(place / "out")
    place.good("run", "-p", 3, *settings(backend="rocksdb"), "-s", path, *job)
    harness.check(len(before) < len(output_lines(place / "out")), "nothing was left for the second run")
    equal(sorted(output_lines(place / "out")), expected(readings, rules))


@case("a line that is no reading fails the job, which names the operator and the line")
def malformed(place):
    readings, rules = place.write("readings.txt", "1 boiler\n"), place.write("rules.txt", "1 boiler 90\n")
    refused(place.weir("run", example_so("alerts"), "--readings", readings, "--rules", rules, "--output", place / "out"),
            1, "'readings'", f"{readings}: the line '1 boiler' is not TIME SENSOR NUMBER")


if __name__ == "__main__":
    sys.exit(harness.main())
