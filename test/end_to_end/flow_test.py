#!/usr/bin/env python3
"""The eight steps of docs/architecture.md, read from the messages that `--trace` shows."""

import os
import re
import sys

import harness
from harness import case, check, equal, example_so, job_so, larger_than, limit_file_size, settings, wait_until

LINES = 400_000
STATE_MESSAGES = ("UpdateTaskState", "TaskStateChanged")


def start_word_count(place, *words, parallelism=2, rate=2000):
    source = place.write("words.txt", "to be or not to be\n" * LINES)
    process, trace = place.start_traced(
        "-p", parallelism, *settings(checkpoints=place / "checkpoints", savepoints=place / "savepoints"), *words,
        example_so("word_count"), "--input", source, "--output", place / "out", "--rate", rate)
    return process, trace, place.running_job(process)


def order(messages, *steps):
    """Checks that messages like `steps`, each `(from, to, message)` with types only, occur in this order."""
    position = 0
    for sender, receiver, name in steps:
        for i in range(position, len(messages)):
            m = messages[i]
            if (m["from"].split(":")[0], m["to"].split(":")[0], m["message"]) == (sender, receiver, name):
                position = i + 1
                break
        else:
            raise harness.Failed(f"{name} from {sender} to {receiver} does not follow; there is\n      " + "\n      ".join(
                f"{m['from']} -> {m['to']}: {m['message']}" for m in messages if m["message"] not in STATE_MESSAGES))


def steps_from_trigger(trace, checkpoint, tasks):
    """Steps 3 to 8 and the way back, for one checkpoint of a job with two sources and two other tasks."""
    messages = [m for m in trace.refresh() if m.get("checkpoint") == checkpoint]
    order(messages, ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"),
          ("TaskManager", "Task", "TriggerCheckpoint"), ("Task", "JobManager", "AcknowledgeCheckpoint"),
          ("JobManager", "CheckpointCoordinator", "AcknowledgeCheckpoint"),
          ("CheckpointCoordinator", "TaskManager", "NotifyCheckpointComplete"),
          ("TaskManager", "Task", "NotifyCheckpointComplete"))
    sources = [t for t in tasks if t.startswith("Task:0/")]

    def receivers(name, sender="TaskManager:1"):
        return sorted(m["to"] for m in messages if m["message"] == name and m["from"] == sender)

    equal(receivers("TriggerCheckpoint"), sources, "tasks that were triggered: the sources")
    equal(receivers("NotifyCheckpointComplete"), tasks, "tasks that were told of the completion")
    equal(sorted(m["from"] for m in messages if m["message"] == "AcknowledgeCheckpoint" and m["to"] == "JobManager"),
          tasks, "tasks that acknowledged")
    last_ack = max(i for i, m in enumerate(messages) if m["message"] == "AcknowledgeCheckpoint")
    first_notice = min(i for i, m in enumerate(messages) if m["message"] == "NotifyCheckpointComplete")
    check(last_ack < first_notice, "completion was announced before the last acknowledgement")


TASKS = ["Task:0/0", "Task:0/1", "Task:1/0", "Task:1/1"]


@case("every message says who, to whom, which and when")
def form_of_the_trace(place):
    process, trace, job = start_word_count(place)
    place.good("checkpoint", job)
    place.good("cancel", job)
    process.wait()
    endpoint = re.compile(r"^(client|JobManager|CheckpointCoordinator|TaskManager:\d+|Task:\d+/\d+)$")
    for message in trace.refresh():
        check(isinstance(message["t"], int), "no time in", message)
        check(endpoint.match(message["from"]) and endpoint.match(message["to"]), "endpoints of", message)
        check(re.match(r"^[A-Z][A-Za-z]+$", message["message"]), "name of", message)
        check(message.get("job", job) == job, "job of", message)
        check(message.get("checkpoint", 1) > 0, "checkpoint of", message)
    times = [m["t"] for m in trace.messages]
    check(max(times) - min(times) < 10 * 60 * 1000, "times are no milliseconds")


@case("a job is submitted, its tasks are deployed, run and report")
def submission(place):
    process, trace, job = start_word_count(place)
    place.good("cancel", job)
    equal(process.wait().code, 0, "exit code of a job that was cancelled on request")
    order(trace.refresh(), ("TaskManager", "JobManager", "RegisterTaskManager"),
          ("JobManager", "TaskManager", "RegistrationSuccess"), ("JobManager", "TaskManager", "SubmitTask"))
    order(trace.refresh(), ("client", "JobManager", "SubmitJob"), ("JobManager", "TaskManager", "SubmitTask"),
          ("Task", "JobManager", "UpdateTaskState"), ("JobManager", "TaskManager", "StartTask"),
          ("TaskManager", "Task", "StartTask"), ("client", "JobManager", "CancelJob"), ("JobManager", "TaskManager", "CancelTask"),
          ("TaskManager", "Task", "CancelTask"), ("Task", "JobManager", "UpdateTaskState"),
          ("JobManager", "client", "CancellationSuccess"))
    equal(len(trace.find("SubmitTask")), 4, "tasks deployed")
    for name in ("SubmitJobSuccess", "ListJobs", "JobList", "RequestJobDetails", "JobDetails", "Heartbeat"):
        check(trace.find(name), name, "is not in the trace")


@case("a checkpoint that is asked for goes through the eight steps")
def checkpoint(place):
    process, trace, job = start_word_count(place)
    answer = place.json("checkpoint", job, "--json")
    steps_from_trigger(trace, answer["checkpoint"], TASKS)
    order(trace.refresh(), ("client", "JobManager", "RequestCheckpoint"),
          ("JobManager", "CheckpointCoordinator", "RequestCheckpoint"),
          ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"),
          ("CheckpointCoordinator", "JobManager", "CheckpointCompleted"), ("JobManager", "client", "CheckpointCompleted"))
    place.good("cancel", job)
    process.wait()


@case("periodic checkpoints go through the steps from the coordinator on, one after the other")
def periodic_checkpoint(place):
    process, trace, job = start_word_count(place, *settings(interval="50ms"))
    for checkpoint_id in (1, 2, 3):
        trace.wait_for("NotifyCheckpointComplete", count=8, process=process, checkpoint=checkpoint_id)
        steps_from_trigger(trace, checkpoint_id, TASKS)
    place.good("cancel", job)
    process.wait()


@case("a savepoint goes through the eight steps and is told to the client last")
def savepoint(place):
    process, trace, job = start_word_count(place)
    place.good("savepoint", job)
    number = trace.wait_for("TriggerSavepointSuccess", to="client")["checkpoint"]
    steps_from_trigger(trace, number, TASKS)
    order(trace.refresh(), ("client", "JobManager", "TriggerSavepoint"),
          ("JobManager", "CheckpointCoordinator", "TriggerSavepoint"),
          ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"),
          ("JobManager", "CheckpointCoordinator", "AcknowledgeCheckpoint"),
          ("CheckpointCoordinator", "JobManager", "TriggerSavepointSuccess"),
          ("JobManager", "client", "TriggerSavepointSuccess"))
    place.good("cancel", job)
    process.wait()


@case("cancel with a savepoint cancels only when the savepoint is complete")
def cancel_with_savepoint(place):
    process, trace, job = start_word_count(place)
    place.good("cancel", "-s", place / "elsewhere", job)
    equal(process.wait().code, 0, "exit code of the job")
    number = trace.find("TriggerCheckpoint")[0]["checkpoint"]
    steps_from_trigger(trace, number, TASKS)
    messages = [m for m in trace.refresh() if m["message"] not in STATE_MESSAGES]
    order(messages, ("client", "JobManager", "CancelJobWithSavepoint"),
          ("JobManager", "CheckpointCoordinator", "CancelJobWithSavepoint"),
          ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"),
          ("JobManager", "CheckpointCoordinator", "AcknowledgeCheckpoint"),
          ("CheckpointCoordinator", "TaskManager", "NotifyCheckpointComplete"),
          ("CheckpointCoordinator", "JobManager", "CancellationSuccess"), ("JobManager", "client", "CancellationSuccess"))


@case("stop writes a savepoint, has it committed and ends the tasks")
def stop(place):
    process, trace, job = start_word_count(place)
    place.good("stop", job)
    equal(process.wait().code, 0, "exit code of the job")
    steps_from_trigger(trace, trace.find("TriggerCheckpoint")[0]["checkpoint"], TASKS)
    order(trace.refresh(), ("client", "JobManager", "StopJobWithSavepoint"),
          ("JobManager", "CheckpointCoordinator", "StopJobWithSavepoint"),
          ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"),
          ("CheckpointCoordinator", "TaskManager", "NotifyCheckpointComplete"),
          ("Task", "JobManager", "UpdateTaskState"),
          ("CheckpointCoordinator", "JobManager", "StoppingSuccess"), ("JobManager", "client", "StoppingSuccess"))


@case("stop --drain ends the input before its savepoint")
def drain(place):
    process, trace, job = start_word_count(place)
    place.good("stop", "--drain", job)
    equal(process.wait().code, 0, "exit code of the job")
    order(trace.refresh(), ("client", "JobManager", "StopJobWithSavepoint"),
          ("TaskManager", "Task", "DrainTask"), ("TaskManager", "Task", "TriggerCheckpoint"),
          ("CheckpointCoordinator", "TaskManager", "NotifyCheckpointComplete"),
          ("JobManager", "client", "StoppingSuccess"))


@case("a savepoint whose directory cannot be made is refused to the client, and no task hears of it")
def savepoint_without_directory(place):
    process, trace, job = start_word_count(place)
    place.write("file", "no directory")
    harness.refused(place.weir("savepoint", job, place / "file"), 1, place / "file")
    trace.wait_for("TriggerSavepointFailure", to="client")
    equal(trace.find("TriggerCheckpoint"), [], "triggers")
    place.good("savepoint", job)
    place.good("cancel", job)
    process.wait()


@case("a savepoint that a task cannot write is declined, aborted at every task and refused to the client")
def declined_savepoint(place):
    limit = larger_than(job_so("shapes"), 2 << 20)
    process, trace = place.start_traced(*settings(backend="fs"), "-D", "heartbeat.interval=20ms", job_so("shapes"),
                                        "--shape", "ballast", "--rate", 2000, "--output", place / "out",
                                        limits=limit_file_size(limit))
    job = place.running_job(process)

    def keys():  # each holds 8 KiB of state
        operators = place.json("info", job, "--json")["operators"]
        return next(one["records_in"] for one in operators if one["uid"] == "ballast")
    wait_until(lambda: keys() > limit // 8192, "more state than a file may hold")
    harness.refused(place.weir("savepoint", job, place / "savepoints"), 1, "too large")
    trace.wait_for("TriggerSavepointFailure", to="client")
    number = trace.find("TriggerCheckpoint")[0]["checkpoint"]
    tasks = ["Task:0/0", "Task:1/0", "Task:2/0"]

    def aborted():
        return sorted(m["to"] for m in trace.find("NotifyCheckpointAborted", checkpoint=number) if m["to"] in tasks)
    wait_until(lambda: len(aborted()) >= len(tasks), "the abort at every task")
    equal(aborted(), tasks, "tasks that were told of the abort")
    messages = trace.refresh()
    equal([m["from"] for m in messages if m["message"] == "DeclineCheckpoint" and m["to"] == "JobManager"], ["Task:2/0"],
          "tasks that declined")
    equal(trace.find("NotifyCheckpointComplete"), [], "completions")
    declined = [("client", "JobManager", "TriggerSavepoint"), ("JobManager", "CheckpointCoordinator", "TriggerSavepoint"),
                ("CheckpointCoordinator", "TaskManager", "TriggerCheckpoint"), ("TaskManager", "Task", "TriggerCheckpoint"),
                ("Task", "JobManager", "DeclineCheckpoint"), ("JobManager", "CheckpointCoordinator", "DeclineCheckpoint")]
    # From the coordinator on, tasks and client are told side by side.
    order(messages, *declined, ("CheckpointCoordinator", "TaskManager", "NotifyCheckpointAborted"),
          ("TaskManager", "Task", "NotifyCheckpointAborted"))
    order(messages, *declined, ("CheckpointCoordinator", "JobManager", "TriggerSavepointFailure"),
          ("JobManager", "client", "TriggerSavepointFailure"))
    equal(os.listdir(place / "savepoints"), [], "left of the savepoint")
    equal(place.running_job(process), job, "the job goes on")
    place.good("cancel", job)
    equal(process.wait().code, 0, "exit code of the job")


@case("a savepoint is deleted by the process that may need it")
def dispose(place):
    process, trace, job = start_word_count(place)
    path = place.json("savepoint", job, "--json")["savepoint"]
    place.good("savepoint", "-d", path)
    order(trace.refresh(), ("client", "JobManager", "DisposeSavepoint"), ("JobManager", "client", "DisposeSavepointSuccess"))
    place.good("cancel", job)
    process.wait()


if __name__ == "__main__":
    sys.exit(harness.main())
