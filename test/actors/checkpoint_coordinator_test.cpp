#include "actors/checkpoint_coordinator.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "test/actors/coordinator_bench.hpp"

namespace weir::test {

using namespace std::chrono_literals;

// ---- Decision table: triggering -----------------------------------------------------------------

SCENARIO(
    "a periodic checkpoint is triggered at the sources and completes when all tasks acknowledged",
    "[actors]") {
  GIVEN("a running job with an interval of one second") {
    Bench bench(every(1s));
    bench.start();
    WHEN("one interval has not passed") {
      bench.advance(999ms);
      THEN("nothing is triggered") { CHECK(bench.triggered().empty()); }
    }
    WHEN("one interval has passed") {
      bench.advance(1s);
      THEN("its directory is made before the sources, and only they, are triggered") {
        REQUIRE(bench.of<CreateDirectory>().size() == 1);
        CHECK(bench.of<CreateDirectory>()[0].path == job_path + "/chk-1");
        CHECK(bench.place<CreateDirectory>() < bench.place<TriggerCheckpoint>());
        const auto triggers = bench.of<TriggerCheckpoint>();
        REQUIRE(triggers.size() == 2);
        CHECK(triggers[0].execution == ExecutionId{0, 0, 0});
        CHECK(triggers[1].execution == ExecutionId{0, 1, 0});
        CHECK(triggers[0].fence == Fence{{3}, 0});
        CHECK(triggers[0].timestamp_ms == bench.now.wall_ms);
        CHECK(triggers[0].options.directory == job_path + "/chk-1");
        CHECK_FALSE(triggers[0].options.terminal);
        CHECK_FALSE(triggers[0].options.final);
      }
      AND_WHEN("three of four tasks have acknowledged") {
        const auto acknowledge = [&](ExecutionId task, CheckpointMetrics metrics) {
          auto message = bench.acknowledgement(task, 1);
          message.metrics = metrics;
          bench.perform(bench.coordinator.acknowledge(message, bench.now));
        };
        for (const auto& task : {source_0, ExecutionId{0, 1, 0}, count_0})
          acknowledge(task, {.alignment_us = 1, .sync_us = 3, .async_us = 9});
        THEN("it is still pending") {
          CHECK(bench.of<WriteMetadata>().empty());
          CHECK(bench.coordinator.counts().in_progress ==
                std::vector<CheckpointProgress>{
                    {{1}, SnapshotKind::checkpoint, bench.now.wall_ms, 3, 4, 30}});
        }
        AND_WHEN("the fourth acknowledges") {
          bench.advance(20ms);
          acknowledge(count_1, {.alignment_us = 7, .sync_us = 2, .async_us = 1});
          THEN("the metadata holds all shares, and every task is told") {
            REQUIRE(bench.of<WriteMetadata>().size() == 1);
            const auto& metadata = *bench.of<WriteMetadata>()[0].metadata;
            CHECK(metadata.job == test_job);
            CHECK(metadata.job_name == "job");
            CHECK(metadata.epoch == LeaderEpoch{3});
            CHECK(metadata.completed_at_ms == metadata.triggered_at_ms + 20);
            REQUIRE(metadata.operators.size() == 2);
            CHECK(metadata.operators[1].subtasks.size() == 2);
            CHECK(metadata.locations.size() == 4);
            CHECK_FALSE(bench.of<WriteMetadata>()[0].pointer);
            CHECK(bench.of<NotifyCheckpointComplete>().size() == 4);
            CHECK_FALSE(bench.of<NotifyCheckpointComplete>()[0].ends_task);
            REQUIRE(bench.coordinator.restore_point() != nullptr);
            CHECK(bench.coordinator.restore_point()->directory == job_path + "/chk-1");
            const auto counts = bench.coordinator.counts();
            CHECK(counts.completed == 1);
            CHECK(counts.in_progress.empty());
            REQUIRE(counts.last_completed);
            CHECK(counts.last_completed->duration_ms == 20);
            CHECK(counts.last_completed->size_bytes == 40);
            CHECK(counts.last_completed->longest == CheckpointMetrics{7, 3, 9});
          }
          THEN("the next one follows an interval after the trigger") {
            bench.advance(980ms);
            CHECK(bench.triggered() == Ids{1, 2});
          }
        }
      }
    }
  }
}

SCENARIO("an interval shorter than the minimum pause is raised to it", "[actors]") {
  auto config = every(10ms);
  config.min_pause = 500ms;
  Bench bench(config);
  bench.start();
  bench.advance(499ms);
  CHECK(bench.triggered().empty());
  bench.advance(1ms);
  CHECK(bench.triggered() == Ids{1});
}

SCENARIO("without an interval nothing is periodic, but savepoints work", "[actors]") {
  Bench bench;
  bench.start();
  bench.advance(24h);
  CHECK(bench.effects.empty());
  bench.savepoint(1);
  bench.acknowledge_all(1);
  CHECK(bench.answer<TriggerSavepointSuccess>(1)->path == "/savepoints/savepoint-1");
}

SCENARIO("a request is refused with Flink's reason", "[actors]") {
  Bench bench;
  WHEN("the job is not yet RUNNING") {
    bench.deploy(0);
    bench.savepoint(1);
    bench.request_checkpoint(2);
    bench.stop(3);
    THEN("it is NOT_ALL_REQUIRED_TASKS_RUNNING") {
      for (RequestId request = 1; request <= 3; ++request)
        CHECK(mentions(bench.error(request), "the job is CREATED; try again when it is RUNNING"));
      CHECK(has_reason(bench, Reason::not_all_required_tasks_running));
    }
  }
  WHEN("a task is not running") {
    bench.start();
    bench.set(count_0, TaskState::failed);
    bench.savepoint(1);
    THEN("it is NOT_ALL_REQUIRED_TASKS_RUNNING and the task is named") {
      CHECK(bench.error(1) == "task 1/0 is FAILED");
    }
  }
  WHEN("the job has ended") {
    bench.start();
    bench.job(JobState::canceled);
    bench.savepoint(1);
    THEN("it is COORDINATOR_SHUTDOWN") {
      CHECK(bench.error(1) == "the job is CANCELED");
      CHECK(has_reason(bench, Reason::coordinator_shutdown));
    }
  }
  WHEN("a savepoint has no directory") {
    bench.start();
    const auto effects = bench.coordinator.request_savepoint(1, {}, bench.now);
    THEN("the sentence says what to do") {
      const auto& answer = std::get<AnswerRequest>(effects.back());
      CHECK(mentions(std::get<Error>(answer.answer).what,
                     "no savepoint directory: give one, or set state.savepoints.dir"));
      CHECK(std::get<Error>(answer.answer).code == Errc::not_found);
    }
  }
  WHEN("the directory cannot be made") {
    bench.start();
    bench.creates_directories = false;
    bench.savepoint(1);
    bench.created(1, error(Errc::io_error, "/savepoints: permission denied"));
    THEN("it fails with EXCEPTION and the cause, and no task has heard of it") {
      CHECK(mentions(bench.error(1), "/savepoints: permission denied"));
      CHECK(bench.answer<Error>(1)->code == Errc::io_error);
      CHECK(bench.of<TriggerCheckpoint>().empty());
      CHECK(bench.of<NotifyCheckpointAborted>().empty());
      CHECK(bench.of<DeleteSnapshot>().empty());
    }
  }
}

SCENARIO("a checkpoint beyond the bound of concurrent ones is queued", "[actors]") {
  GIVEN("a periodic checkpoint in flight for more than an interval") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(2s);
    THEN("the next one is TOO_MANY_CONCURRENT_CHECKPOINTS, once, and the timer stops") {
      CHECK(bench.reasons() == Reasons{Reason::too_many_concurrent_checkpoints});
      bench.advance(10s);
      CHECK(bench.reasons().size() == 1);
      CHECK(bench.triggered() == Ids{1});
    }
    WHEN("the one in flight completes") {
      bench.advance(300ms);
      bench.acknowledge_all(1);
      THEN("the queued one begins at once, and the interval counts from it") {
        CHECK(bench.triggered() == Ids{1, 2});
        bench.acknowledge_all(2);
        bench.advance(999ms);
        CHECK(bench.triggered() == Ids{1, 2});
        bench.advance(1ms);
        CHECK(bench.triggered() == Ids{1, 2, 3});
      }
    }
    WHEN("the one in flight is declined") {
      bench.decline(count_0, 1);
      THEN("the queued one begins") { CHECK(bench.triggered() == Ids{1, 2}); }
    }
    WHEN("a checkpoint is requested") {
      bench.request_checkpoint(7);
      bench.request_checkpoint(8);
      THEN("it takes the queued one's place; a further one is ALREADY_QUEUED") {
        CHECK(bench.error(7).empty());
        CHECK(mentions(bench.error(8), "another requested checkpoint waits for its turn"));
        CHECK(has_reason(bench, Reason::already_queued));
        bench.acknowledge_all(1);
        CHECK(bench.triggered() == Ids{1, 2});
        bench.acknowledge_all(2);
        CHECK(bench.answer<CheckpointCompleted>(7)->checkpoint == CheckpointId{2});
        bench.advance(1s);
        CHECK(bench.triggered() == Ids{1, 2, 3});
      }
    }
  }
  GIVEN("a requested checkpoint that waits while periodic ones go on") {
    Bench bench(every(1s));
    bench.start();
    bench.request_checkpoint(1);
    bench.request_checkpoint(2);
    WHEN("the interval passes") {
      bench.advance(1s);
      THEN("the periodic one is ALREADY_QUEUED") {
        CHECK(bench.reasons() == Reasons{Reason::already_queued});
      }
    }
  }
}

SCENARIO("a requested checkpoint that waits is started or refused, never lost (A15)", "[actors]") {
  GIVEN("no periodic checkpoints, one in flight and one waiting") {
    Bench bench;
    bench.start();
    bench.request_checkpoint(1);
    bench.request_checkpoint(2);
    WHEN("the one in flight completes") {
      bench.acknowledge_all(1);
      THEN("the waiting one begins and completes") {
        bench.acknowledge_all(2);
        CHECK(bench.answer<CheckpointCompleted>(1)->directory == job_path + "/chk-1");
        CHECK(bench.answer<CheckpointCompleted>(2)->checkpoint == CheckpointId{2});
      }
    }
    WHEN("the one in flight expires") {
      bench.advance(10min);
      THEN("the waiting one begins") {
        CHECK(mentions(bench.error(1), "was given up: not acknowledged within"));
        CHECK(bench.triggered() == Ids{1, 2});
      }
    }
    WHEN("the job fails") {
      bench.job(JobState::failing);
      THEN("both hear why") {
        CHECK(mentions(bench.error(1), "the job is FAILING"));
        CHECK(bench.error(2) == "the job is FAILING");
      }
    }
    WHEN("the job is stopped with a savepoint") {
      bench.stop(3);
      THEN("both hear why") {
        CHECK(mentions(bench.error(1), "being stopped with a savepoint"));
        CHECK(mentions(bench.error(2), "being stopped with a savepoint"));
        CHECK(has_reason(bench, Reason::job_is_stopping));
      }
    }
  }
}

SCENARIO("the minimum pause counts from the last completion", "[actors]") {
  GIVEN("an interval and a pause of one second") {
    auto config = every(1s);
    config.min_pause = 1s;
    Bench bench(config);
    bench.start();
    bench.advance(1s);
    WHEN("the checkpoint completes 400 ms after its trigger") {
      bench.advance(400ms);
      bench.acknowledge_all(1);
      bench.advance(600ms);
      THEN(
          "the next one is put off by MINIMUM_TIME_BETWEEN_CHECKPOINTS for the rest of the pause") {
        CHECK(bench.reasons() == Reasons{Reason::minimum_time_between_checkpoints});
        bench.advance(399ms);
        CHECK(bench.triggered() == Ids{1});
        bench.advance(1ms);
        CHECK(bench.triggered() == Ids{1, 2});
      }
      THEN("a requested one and a savepoint do not wait") {
        bench.request_checkpoint(1);
        bench.savepoint(2);
        CHECK(bench.triggered() == Ids{1, 2, 3});
      }
    }
    WHEN("one is queued while the other takes long") {
      bench.advance(1500ms);
      bench.acknowledge_all(1);
      THEN("it waits for the pause, too") {
        bench.advance(999ms);
        CHECK(bench.triggered() == Ids{1});
        bench.advance(1ms);
        CHECK(bench.triggered() == Ids{1, 2});
      }
    }
  }
}

SCENARIO("a savepoint is forced: no bound, pause or queue holds it up", "[actors]") {
  GIVEN("a checkpoint in flight and one queued") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(2s);
    WHEN("two savepoints are requested") {
      bench.savepoint(1);
      bench.savepoint(2);
      THEN("both begin, and the checkpoint's completion subsumes neither") {
        CHECK(bench.triggered() == Ids{1, 2, 3});
        bench.acknowledge_all(1);
        bench.acknowledge_all(3);
        bench.acknowledge_all(2);
        CHECK(bench.answer<TriggerSavepointSuccess>(1)->checkpoint == CheckpointId{2});
        CHECK(bench.answer<TriggerSavepointSuccess>(2)->checkpoint == CheckpointId{3});
      }
      THEN("they do expire") {
        bench.advance(10min);
        CHECK(mentions(bench.error(1),
                       "not acknowledged within 600000 ms by task 0/0, 0/1, 1/0 and "
                       "1 more"));
        CHECK(bench.answer<Error>(2)->code == Errc::timed_out);
      }
    }
  }
}

SCENARIO("a savepoint subsumes nothing and is no recovery point (A4, A16)", "[actors]") {
  Bench bench;
  bench.start();
  bench.request_checkpoint(1);
  bench.savepoint(2);
  WHEN("the savepoint completes before the older checkpoint") {
    bench.acknowledge_all(2);
    THEN("the checkpoint lives on, sinks are told that it is a savepoint, nothing was added") {
      CHECK(bench.answer<TriggerSavepointSuccess>(2));
      CHECK(bench.of<NotifyCheckpointAborted>().empty());
      CHECK(bench.of<NotifyCheckpointComplete>()[0].kind == SnapshotKind::savepoint);
      CHECK(bench.coordinator.restore_point() == nullptr);
      CHECK(bench.coordinator.counts().last_savepoint->id == CheckpointId{2});
      bench.acknowledge_all(1);
      CHECK(bench.coordinator.restore_point()->metadata->checkpoint == CheckpointId{1});
    }
  }
}

// ---- Decision table: acknowledging, declining, expiring -----------------------------------------

SCENARIO("the last acknowledgement completes a checkpoint in a fixed order (A1)", "[actors]") {
  GIVEN("two checkpoints in flight after a completed one") {
    CheckpointConfig config;
    config.max_concurrent = 2;
    Bench bench(config);
    bench.start();
    bench.complete_checkpoint();
    bench.request_checkpoint(2);
    bench.request_checkpoint(3);
    bench.forget();
    WHEN("the newer one completes") {
      bench.acknowledge_all(3);
      THEN("write, subsume the older, announce, delete the replaced one, answer last") {
        CHECK(bench.place<WriteMetadata>() == 0);
        CHECK(bench.place<NotifyCheckpointAborted>() < bench.place<NotifyCheckpointComplete>());
        CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
        CHECK(mentions(bench.error(2), "checkpoint 3, which is newer, has completed"));
        CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-2", job_path + "/chk-1"});
        CHECK(std::holds_alternative<AnswerRequest>(bench.effects.back()));
        CHECK(bench.answer<CheckpointCompleted>(3));
        CHECK(bench.announced() == Ids{3});
      }
    }
    WHEN("the older one completes first") {
      bench.acknowledge_all(2);
      bench.acknowledge_all(3);
      THEN("both complete") { CHECK(bench.announced() == Ids{2, 3}); }
    }
  }
}

SCENARIO("acknowledgements that nobody waits for are told apart", "[actors]") {
  GIVEN("a pending checkpoint that one task has acknowledged") {
    Bench bench;
    bench.start();
    bench.request_checkpoint(1);
    bench.acknowledge(count_0, 1);
    WHEN("the acknowledgement comes twice") {
      bench.acknowledge(count_0, 1);
      THEN("it is ignored: its files are those of the first") {
        CHECK(bench.of<DiscardFiles>().empty());
        CHECK(bench.coordinator.counts().in_progress.size() == 1);
      }
    }
    WHEN("a task that was not asked acknowledges") {
      bench.acknowledge({7, 7, 0}, 1);
      THEN("its files are deleted") {
        REQUIRE(bench.of<DiscardFiles>().size() == 1);
        CHECK(bench.of<DiscardFiles>()[0].directory == job_path + "/chk-1");
        CHECK(bench.of<DiscardFiles>()[0].files == std::vector<std::string>{"data-7-7"});
      }
    }
    WHEN("an acknowledgement of another job comes") {
      auto other = bench.acknowledgement(count_1, 1);
      other.job.low = 0;
      THEN("it is ignored") { CHECK(bench.coordinator.acknowledge(other, bench.now).empty()); }
    }
    WHEN("a decline of another job comes") {
      DeclineCheckpoint other{test_job, bench.fence(), count_1, {1}, DeclineReason::snapshot_failed,
                              ""};
      other.job.low = 0;
      THEN("it is ignored") { CHECK(bench.coordinator.decline(other, bench.now).empty()); }
    }
    WHEN("an acknowledgement of a newer leader comes") {
      auto newer = bench.acknowledgement(count_1, 1);
      newer.fence.epoch = {4};
      THEN("it is refused, and its files are not ours to delete") {
        CHECK(bench.coordinator.acknowledge(newer, bench.now).empty());
        bench.acknowledge_all(1);
        CHECK(bench.announced() == Ids{1});
      }
    }
    WHEN("a decline of an older leader comes (A13)") {
      const auto effects = bench.coordinator.decline(
          {test_job, {{2}, 0}, count_1, {1}, DeclineReason::snapshot_failed, ""}, bench.now);
      THEN("it is refused") {
        CHECK(effects.empty());
        CHECK(bench.coordinator.counts().in_progress.size() == 1);
      }
    }
    WHEN("an acknowledgement does not fit the plan") {
      auto wrong = bench.acknowledgement(count_1, 1);
      wrong.snapshot.operators[0].uid = "other";
      (void)bench.coordinator.acknowledge(wrong, bench.now);
      bench.acknowledge(source_0, 1);
      bench.acknowledge({0, 1, 0}, 1);
      THEN("the checkpoint fails with the reason") {
        CHECK(mentions(bench.error(1),
                       "task 1/1 acknowledged operator 'other', which it does not run"));
        CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
      }
    }
  }
}

SCENARIO("the acknowledgement of an older attempt is refused and its files deleted (A13)",
         "[actors]") {
  Bench bench;
  bench.start();
  bench.request_checkpoint(1);
  const auto old = bench.acknowledgement(count_0, 1);
  bench.job(JobState::restarting);
  bench.start(1);
  bench.request_checkpoint(2);
  bench.forget();
  const auto effects = bench.coordinator.acknowledge(old, bench.now);
  REQUIRE(effects.size() == 1);
  CHECK(std::get<DiscardFiles>(effects[0]).directory == job_path + "/chk-1");
  WHEN("it names a checkpoint of the new attempt") {
    auto forged = old;
    forged.checkpoint = {2};
    forged.execution.attempt = 1;
    (void)bench.coordinator.acknowledge(forged, bench.now);
    for (const auto& task : {ExecutionId{0, 0, 1}, ExecutionId{0, 1, 1}, ExecutionId{1, 1, 1}})
      bench.acknowledge(task, 2);
    THEN("it does not count") { CHECK(bench.announced().empty()); }
  }
}

SCENARIO("late acknowledgements are deleted, wherever their checkpoint lay", "[actors]") {
  GIVEN("an aborted savepoint") {
    CheckpointConfig config;
    config.max_concurrent = 100;
    Bench bench(config);
    bench.start();
    bench.savepoint(1);
    bench.decline(count_0, 1);
    bench.forget();
    WHEN("a task acknowledges it late") {
      bench.acknowledge(count_1, 1);
      THEN("its files are deleted in the savepoint's directory") {
        REQUIRE(bench.of<DiscardFiles>().size() == 1);
        CHECK(bench.of<DiscardFiles>()[0].directory == "/savepoints/savepoint-1");
      }
    }
    WHEN("fifteen more checkpoints have been aborted") {
      for (std::uint64_t id = 2; id <= 16; ++id) {
        bench.request_checkpoint(id);
        bench.decline(count_0, id);
      }
      bench.acknowledge(count_1, 1);
      THEN("it is still known") {
        CHECK(bench.of<DiscardFiles>()[0].directory == "/savepoints/savepoint-1");
      }
    }
    WHEN("sixteen more checkpoints have been aborted") {
      for (std::uint64_t id = 2; id <= 17; ++id) {
        bench.request_checkpoint(id);
        bench.decline(count_0, id);
      }
      bench.acknowledge(count_1, 1);
      THEN("it is forgotten: only where a checkpoint of that id would lie is looked") {
        CHECK(bench.of<DiscardFiles>()[0].directory == job_path + "/chk-1");
      }
    }
  }
  GIVEN("checkpoints that were aborted because the job left RUNNING") {
    Bench bench;
    bench.start();
    bench.savepoint(1);
    bench.job(JobState::failing);
    bench.forget();
    WHEN("a task acknowledges late") {
      bench.acknowledge(count_1, 1);
      THEN("the id counts as late, too (A15)") {
        CHECK(bench.of<DiscardFiles>()[0].directory == "/savepoints/savepoint-1");
      }
    }
  }
  GIVEN("a completed checkpoint and a completed savepoint") {
    Bench bench;
    bench.start();
    bench.complete_checkpoint();
    bench.savepoint(2);
    bench.acknowledge_all(2);
    bench.forget();
    WHEN("acknowledgements come once more") {
      bench.acknowledge(count_1, 1);
      bench.acknowledge(count_1, 2);
      THEN("no file of a complete snapshot is deleted") {
        for (const auto& discard : bench.of<DiscardFiles>())
          CHECK(discard.directory == job_path + "/chk-2");  // where no checkpoint lies
      }
    }
  }
}

SCENARIO("a decline aborts the checkpoint, and by default never fails the job", "[actors]") {
  GIVEN("a pending checkpoint") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(1s);
    WHEN("a task declines it") {
      bench.decline(count_0, 1);
      THEN("every task hears it, the data goes, the id is late, the job runs on (A7)") {
        CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
        CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
        CHECK(bench.place<NotifyCheckpointAborted>() < bench.place<DeleteSnapshot>());
        CHECK(bench.reasons() == Reasons{Reason::declined});
        CHECK(bench.of<LogFailure>()[0].sentence ==
              "checkpoint 1 was given up: task 1/0 declined it: disk full");
        CHECK(bench.of<FailJob>().empty());
        CHECK(bench.coordinator.counts().failed == 1);
      }
      AND_WHEN("another declines it, too") {
        bench.forget();
        bench.decline(count_1, 1);
        THEN("nothing happens") { CHECK(bench.effects.empty()); }
      }
    }
    WHEN("an unknown task is triggered (A6)") {
      bench.decline(source_0, 1, DeclineReason::unknown_task);
      THEN("no timeout is needed") { CHECK(bench.reasons() == Reasons{Reason::declined}); }
    }
    WHEN("a stranger declines it") {
      bench.decline({9, 0, 0}, 1);
      THEN("nothing happens") { CHECK(bench.coordinator.counts().in_progress.size() == 1); }
    }
  }
}

SCENARIO("after a decline the queued checkpoint waits for newer ones in flight", "[actors]") {
  auto config = every(1s);
  config.max_concurrent = 2;
  Bench bench(config);
  bench.start();
  bench.advance(3s);
  REQUIRE(bench.triggered() == Ids{1, 2});
  bench.decline(count_0, 1);
  CHECK(bench.triggered() == Ids{1, 2});
  WHEN("the newer one completes") {
    bench.acknowledge_all(2);
    THEN("the queued one begins") { CHECK(bench.triggered() == Ids{1, 2, 3}); }
  }
  WHEN("the newer one is declined") {
    bench.decline(count_0, 2);
    THEN("the queued one begins") { CHECK(bench.triggered() == Ids{1, 2, 3}); }
  }
}

SCENARIO("a checkpoint expires at its timeout, and the tasks are told (A7)", "[actors]") {
  Bench bench;
  bench.start();
  bench.request_checkpoint(1);
  bench.acknowledge(source_0, 1);
  bench.advance(10min - 1ms);
  CHECK(bench.of<NotifyCheckpointAborted>().empty());
  bench.advance(1ms);
  CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
  CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
  CHECK(mentions(bench.error(1), "by task 0/1, 1/0, 1/1"));
}

SCENARIO("a directory that is made too late is deleted", "[actors]") {
  Bench bench;
  bench.start();
  bench.creates_directories = false;
  bench.savepoint(1);
  bench.advance(10min);
  CHECK(mentions(bench.error(1), "its directory was not made within 600000 ms"));
  CHECK(bench.of<DeleteSnapshot>().empty());
  bench.created(1, std::string("/savepoints/savepoint-x"));
  CHECK(deleted(bench) == std::vector<std::string>{"/savepoints/savepoint-x"});
  CHECK(bench.of<TriggerCheckpoint>().empty());
}

SCENARIO("checkpoints are triggered in the order of their ids, whichever directory is made first",
         "[actors]") {
  GIVEN("two savepoints, and only the directory of the second") {
    Bench bench;
    bench.start();
    bench.creates_directories = false;
    bench.savepoint(1);
    bench.savepoint(2);
    bench.created(2, std::string("/savepoints/savepoint-b"));
    THEN("a source that took the second barrier would never send the first, so none is triggered") {
      CHECK(bench.of<TriggerCheckpoint>().empty());
    }
    WHEN("the directory of the first is made") {
      bench.created(1, std::string("/savepoints/savepoint-a"));
      THEN("both are triggered, the first one first, and complete") {
        CHECK(bench.triggered() == Ids{1, 2});
        bench.acknowledge_all(1);
        bench.acknowledge_all(2);
        CHECK(bench.answer<TriggerSavepointSuccess>(1)->checkpoint == CheckpointId{1});
        CHECK(bench.answer<TriggerSavepointSuccess>(2)->checkpoint == CheckpointId{2});
      }
    }
    WHEN("the directory of the first cannot be made") {
      bench.created(1, error(Errc::io_error, "disk full"));
      THEN("the second is triggered") { CHECK(bench.triggered() == Ids{2}); }
    }
    WHEN("the directory of the first is not made in time") {
      bench.advance(10min);
      THEN("both are given up, and no task has heard of them") {
        CHECK(mentions(bench.error(1), "its directory was not made within 600000 ms"));
        CHECK(mentions(bench.error(2),
                       "the directory of an older one was not made within 600000 ms"));
        CHECK(bench.of<NotifyCheckpointAborted>().empty());
        CHECK(deleted(bench) == std::vector<std::string>{"/savepoints/savepoint-b"});
      }
    }
  }
}

SCENARIO("more failures in a row than tolerable fail the job", "[actors]") {
  GIVEN("one tolerable failure") {
    CheckpointConfig config;
    config.tolerable_failed = 1;
    config.max_concurrent = 10;
    Bench bench(config);
    bench.start();
    const auto fail_one = [&] {
      bench.request_checkpoint(1);
      bench.decline(count_0, bench.newest_trigger());
    };
    WHEN("two fail in a row") {
      fail_one();
      CHECK(bench.of<FailJob>().empty());
      fail_one();
      THEN("the job fails with the last reason and may be restarted") {
        REQUIRE(bench.of<FailJob>().size() == 1);
        CHECK(bench.of<FailJob>()[0].recoverable);
        CHECK(mentions(bench.of<FailJob>()[0].cause.what, "2 checkpoints failed in a row"));
        CHECK(mentions(bench.of<FailJob>()[0].cause.what, "disk full"));
      }
      THEN("no further one is triggered until the job runs again, and it counts anew") {
        bench.request_checkpoint(50);
        CHECK(mentions(bench.error(50), "the job is failing"));
        bench.job(JobState::restarting);
        bench.start(1);
        bench.request_checkpoint(51);
        bench.decline({1, 0, 1}, bench.newest_trigger());
        CHECK(bench.of<FailJob>().size() == 1);
      }
    }
    WHEN("three in flight fail together") {
      for (RequestId request = 1; request <= 3; ++request) bench.request_checkpoint(request);
      for (std::uint64_t id = 1; id <= 3; ++id) bench.decline(count_0, id);
      THEN("the job is failed once") { CHECK(bench.of<FailJob>().size() == 1); }
    }
    WHEN("one completes in between") {
      fail_one();
      bench.complete_checkpoint();
      fail_one();
      THEN("the job runs on") { CHECK(bench.of<FailJob>().empty()); }
    }
    WHEN("savepoints fail") {
      for (RequestId i = 10; i < 15; ++i) {
        bench.savepoint(i);
        bench.decline(count_0, bench.newest_trigger());
        CHECK(mentions(bench.error(i), "disk full"));
      }
      THEN("they do not count") { CHECK(bench.of<FailJob>().empty()); }
    }
    WHEN("checkpoints are subsumed by newer barriers") {
      for (int i = 0; i < 5; ++i) {
        bench.request_checkpoint(1);
        bench.decline(count_0, bench.newest_trigger(), DeclineReason::subsumed);
      }
      THEN("they do not count") { CHECK(bench.of<FailJob>().empty()); }
    }
    WHEN("writes fail and directories cannot be made") {
      bench.writes_metadata = false;
      bench.request_checkpoint(1);
      bench.acknowledge_all(1);
      bench.written(1, WriteOutcome::failed);
      bench.creates_directories = false;
      bench.request_checkpoint(2);
      bench.created(2, error(Errc::io_error, "disk full"));
      THEN("they count") { CHECK(bench.of<FailJob>().size() == 1); }
    }
  }
}

// ---- FINALIZING ---------------------------------------------------------------------------------

SCENARIO("nothing aborts a checkpoint while its metadata is being written", "[actors]") {
  GIVEN("a checkpoint that all have acknowledged") {
    Bench bench;
    bench.start();
    bench.writes_metadata = false;
    bench.request_checkpoint(1);
    bench.acknowledge_all(1);
    REQUIRE(bench.of<WriteMetadata>().size() == 1);
    bench.forget();
    WHEN("a decline, a repeated acknowledgement and the timeout come") {
      bench.decline(count_0, 1);
      bench.acknowledge(count_0, 1);
      bench.advance(1h);
      THEN("nothing happens until the write is durable") {
        CHECK(bench.effects.empty());
        bench.written(1);
        CHECK(bench.answer<CheckpointCompleted>(1));
        CHECK(bench.announced() == Ids{1});
      }
    }
    WHEN("a stale acknowledgement names the same files") {
      auto stale = bench.acknowledgement(count_0, 1);
      stale.fence.epoch = {2};
      THEN("they stay") { CHECK(bench.coordinator.acknowledge(stale, bench.now).empty()); }
    }
    WHEN("the job fails meanwhile") {
      bench.set(count_0, TaskState::failed);
      bench.job(JobState::failing);
      bench.job(JobState::restarting);
      THEN("it is not settled before the outcome is known") {
        CHECK(bench.of<Settled>().empty());
        CHECK_FALSE(bench.coordinator.settled());
      }
      AND_WHEN("the write is durable") {
        bench.written(1);
        THEN("it is complete and the restore point; the client hears, the ending tasks do not") {
          REQUIRE(bench.of<Settled>().size() == 1);
          CHECK(bench.of<Settled>()[0].state == JobState::restarting);
          CHECK(bench.place<AnswerRequest>() < bench.place<Settled>());
          CHECK(bench.coordinator.restore_point()->metadata->checkpoint == CheckpointId{1});
          CHECK(bench.answer<CheckpointCompleted>(1));
          CHECK(bench.of<NotifyCheckpointComplete>().empty());
          bench.start(1);
          CHECK(bench.coordinator.counts().restored_from == CheckpointId{1});
        }
        THEN("an acknowledgement that comes once more deletes nothing") {
          bench.start(1);
          bench.forget();
          auto repeated = bench.acknowledgement({1, 0, 0}, 1);
          repeated.fence.attempt = 0;
          CHECK(bench.coordinator.acknowledge(repeated, bench.now).empty());
        }
      }
      AND_WHEN("the write has failed") {
        bench.written(1, WriteOutcome::failed);
        THEN("it is aborted and settled") {
          CHECK(bench.coordinator.restore_point() == nullptr);
          CHECK(bench.of<Settled>().size() == 1);
          CHECK(mentions(bench.error(1), "disk full"));
        }
      }
    }
    WHEN("the job is cancelled and the write becomes durable afterwards") {
      bench.job(JobState::cancelling);
      bench.job(JobState::canceled);
      CHECK(bench.of<Settled>().empty());
      bench.written(1);
      THEN("it completes, and is deleted as the job's end wants it") {
        CHECK(bench.answer<CheckpointCompleted>(1));
        CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
        CHECK(bench.of<Settled>().size() == 1);
      }
    }
  }
}

SCENARIO("a checkpoint whose metadata cannot be written fails (A14)", "[actors]") {
  Bench bench;
  bench.start();
  bench.writes_metadata = false;
  bench.savepoint(1);
  bench.acknowledge_all(1);
  bench.forget();
  WHEN("the write failed and nothing is left") {
    bench.written(1, WriteOutcome::failed);
    THEN("the tasks hear that it was aborted, the data goes, the client gets the cause") {
      CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
      CHECK(deleted(bench) == std::vector<std::string>{"/savepoints/savepoint-1"});
      CHECK(mentions(bench.error(1), "disk full"));
      CHECK(bench.answer<Error>(1)->code == Errc::io_error);
    }
  }
  WHEN("nobody knows what the write has left") {
    bench.written(1, WriteOutcome::unknown);
    THEN("failure is not told before it is removed") {
      CHECK(bench.of<RemoveMetadata>().size() == 1);
      CHECK(bench.of<AnswerRequest>().empty());
      CHECK_FALSE(bench.coordinator.settled());
      bench.written(1, WriteOutcome::unknown);
      bench.advance(1s);
      CHECK(bench.of<RemoveMetadata>().size() == 2);
      CHECK(bench.of<AnswerRequest>().empty());
      bench.written(1, WriteOutcome::failed);
      CHECK_FALSE(bench.error(1).empty());
      CHECK(has_reason(bench, Reason::finalize_failure));
      CHECK(bench.coordinator.settled());
    }
  }
}

SCENARIO("a checkpoint of which nobody can tell whether it is complete ends the job", "[actors]") {
  GIVEN("a failed write that cannot be undone either") {
    Bench bench;
    bench.start();
    bench.complete_checkpoint();
    bench.writes_metadata = false;
    bench.request_checkpoint(2);
    bench.acknowledge_all(2);
    bench.written(2, WriteOutcome::unknown);
    bench.forget();
    const auto exhaust = [&] {
      for (int i = 0; i < 60; ++i) {
        bench.written(2, WriteOutcome::unknown);
        bench.advance(1s);
      }
    };
    WHEN("all attempts are used up") {
      exhaust();
      THEN("the job fails for good, and nothing there is touched any more") {
        REQUIRE(bench.of<FailJob>().size() == 1);
        CHECK_FALSE(bench.of<FailJob>()[0].recoverable);
        CHECK(mentions(bench.error(2), "may or may not be complete in '" + job_path + "/chk-2'"));
        CHECK(bench.of<RemoveMetadata>().size() == 59);
        CHECK(bench.coordinator.settled());
        CHECK(bench.of<DeleteSnapshot>().empty());
        bench.acknowledge(count_0, 2);
        CHECK(bench.of<DiscardFiles>().empty());
      }
    }
    WHEN("a newer checkpoint completes meanwhile") {
      bench.savepoint(3);
      bench.acknowledge_all(3);
      bench.written(3);
      bench.request_checkpoint(4);
      THEN("the savepoint did not wait, the checkpoint does for the bound of concurrent ones") {
        CHECK(bench.answer<TriggerSavepointSuccess>(3));
        exhaust();
        CHECK(bench.triggered() == Ids{3});
      }
    }
  }
  GIVEN("the same with two concurrent checkpoints") {
    CheckpointConfig config;
    config.max_concurrent = 2;
    Bench bench(config);
    bench.start();
    bench.writes_metadata = false;
    bench.request_checkpoint(1);
    bench.acknowledge_all(1);
    bench.written(1, WriteOutcome::unknown);
    bench.request_checkpoint(2);
    bench.acknowledge_all(2);
    bench.written(2);
    WHEN("a newer one has completed") {
      for (int i = 0; i < 60; ++i) {
        bench.written(1, WriteOutcome::unknown);
        bench.advance(1s);
      }
      THEN("the unknown one harms nobody") {
        CHECK(bench.announced() == Ids{2});
        CHECK(bench.of<FailJob>().empty());
        CHECK(mentions(bench.error(1), "may or may not be complete"));
      }
    }
  }
}

SCENARIO("completions are announced in the order of ids", "[actors]") {
  GIVEN("three checkpoints and a savepoint being written") {
    CheckpointConfig config;
    config.max_concurrent = 10;
    config.num_retained = 10;
    Bench bench(config);
    bench.start();
    bench.writes_metadata = false;
    bench.request_checkpoint(1);
    bench.savepoint(2);
    bench.request_checkpoint(3);
    bench.request_checkpoint(4);
    for (std::uint64_t id = 1; id <= 4; ++id) bench.acknowledge_all(id);
    bench.forget();
    WHEN("their writes end in another order") {
      bench.written(4);
      bench.written(2);
      CHECK(bench.announced().empty());
      bench.written(1);
      CHECK(bench.announced() == Ids{1, 2});
      bench.written(3);
      THEN("the announcements do not") {
        CHECK(bench.announced() == Ids{1, 2, 3, 4});
        std::vector<RequestId> answers;
        for (const auto& answer : bench.of<AnswerRequest>()) answers.push_back(answer.request);
        CHECK(answers == std::vector<RequestId>{1, 2, 3, 4});
      }
    }
    WHEN("an older one fails") {
      bench.written(4);
      bench.written(3);
      bench.written(2);
      bench.written(1, WriteOutcome::failed);
      THEN("the newer ones wait no longer") { CHECK(bench.announced() == Ids{2, 3, 4}); }
    }
    WHEN("an answer comes twice") {
      bench.written(4);
      bench.written(4, WriteOutcome::failed);
      bench.written(1);
      bench.written(1, WriteOutcome::failed);
      bench.written(2);
      bench.written(3);
      THEN("the first counts") { CHECK(bench.announced() == Ids{1, 2, 3, 4}); }
    }
  }
}

// ---- The job ------------------------------------------------------------------------------------

SCENARIO("leaving RUNNING aborts what is pending, coming back starts anew", "[actors]") {
  GIVEN("a checkpoint and a savepoint in flight") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(1s);
    bench.savepoint(1);
    bench.forget();
    WHEN("the job fails") {
      bench.job(JobState::failing);
      THEN("both are aborted with COORDINATOR_SUSPEND and the JobManager may go on") {
        CHECK(bench.reasons() == Reasons{Reason::coordinator_suspend, Reason::coordinator_suspend});
        CHECK(mentions(bench.error(1), "the job is FAILING"));
        CHECK(deleted(bench).size() == 2);
        CHECK(bench.of<NotifyCheckpointAborted>().empty());  // the tasks end anyway
        REQUIRE(bench.of<Settled>().size() == 1);
        CHECK(bench.of<Settled>()[0].state == JobState::failing);
        CHECK(bench.of<FailJob>().empty());
      }
      AND_WHEN("it runs again") {
        bench.advance(1h);
        bench.job(JobState::restarting);
        bench.start(1);
        bench.forget();
        THEN("the first periodic one comes after one interval, with the new attempt and a new id") {
          bench.advance(999ms);
          CHECK(bench.triggered().empty());
          bench.advance(1ms);
          CHECK(bench.triggered() == Ids{3});
          CHECK(bench.of<TriggerCheckpoint>()[0].fence == Fence{{3}, 1});
          CHECK(bench.of<TriggerCheckpoint>()[0].execution.attempt == 1);
        }
        THEN("a task of the old attempt does not count") {
          bench.set({1, 0, 0}, TaskState::failed);
          bench.savepoint(9);
          CHECK(bench.error(9).empty());
        }
      }
    }
  }
}

SCENARIO("the job's end deletes checkpoints or keeps them", "[actors]") {
  const auto ends = [](CheckpointRetention retention, JobState state) {
    CheckpointConfig config;
    config.retention = retention;
    Bench bench(config);
    bench.start();
    bench.complete_checkpoint();
    bench.savepoint(1);
    bench.acknowledge_all(2);
    bench.forget();
    bench.job(state);
    REQUIRE(bench.of<Settled>().size() == 1);
    CHECK(bench.of<Settled>()[0].state == state);
    return deleted(bench);
  };
  const std::vector<std::string> kept;
  const std::vector<std::string> gone{job_path + "/chk-1"};  // never the savepoint
  using enum CheckpointRetention;
  for (const auto retention : {no_externalized_checkpoints, delete_on_cancellation}) {
    CHECK(ends(retention, JobState::finished) == gone);
    CHECK(ends(retention, JobState::canceled) == gone);
    CHECK(ends(retention, JobState::failed) == kept);
  }
  for (const auto state : {JobState::finished, JobState::canceled, JobState::failed})
    CHECK(ends(retain_on_cancellation, state) == kept);
}

SCENARIO("checkpoints without a directory are kept in memory", "[actors]") {
  Bench bench({}, {}, "");
  bench.start();
  bench.request_checkpoint(1);
  CHECK(bench.of<CreateDirectory>().empty());
  CHECK(bench.of<TriggerCheckpoint>()[0].options.directory.empty());
  bench.acknowledge_all(1);
  CHECK(bench.of<WriteMetadata>().empty());
  CHECK(bench.answer<CheckpointCompleted>(1)->directory.empty());
  CHECK(bench.coordinator.restore_point()->metadata->operators.size() == 2);
  bench.request_checkpoint(2);
  bench.decline(count_0, 2);
  bench.acknowledge(count_1, 2);
  bench.complete_checkpoint();
  CHECK(bench.of<DeleteSnapshot>().empty());
  CHECK(bench.of<DiscardFiles>().empty());
  WHEN("an older savepoint is still being written") {
    bench.writes_metadata = false;
    bench.savepoint(10);
    bench.request_checkpoint(11);
    THEN("the bound of concurrent ones makes the checkpoint wait") {
      bench.acknowledge_all(4);
      CHECK(bench.of<WriteMetadata>().size() == 1);
      bench.written(4);
      bench.acknowledge_all(5);
      CHECK(bench.answer<CheckpointCompleted>(11)->checkpoint == CheckpointId{5});
    }
  }
}

// ---- End of input -------------------------------------------------------------------------------

SCENARIO("a job at the end of its input takes a final checkpoint and ends after it (A5)",
         "[actors]") {
  GIVEN("a job without periodic checkpoints") {
    Bench bench;
    bench.start();
    WHEN("some tasks have reached the end of their input") {
      bench.set(source_0, TaskState::finishing);
      bench.set(count_0, TaskState::finishing);
      THEN("there is no final checkpoint yet, and checkpoints still go through all tasks") {
        CHECK(bench.of<TriggerCheckpoint>().empty());
        bench.complete_checkpoint();
        CHECK(bench.of<TriggerCheckpoint>().size() == 2);
        CHECK(bench.announced() == Ids{1});
      }
    }
    WHEN("all have") {
      bench.set_all(TaskState::finishing);
      THEN("the final checkpoint is triggered at once, and nothing else may begin") {
        CHECK(bench.triggered() == Ids{1});
        CHECK(bench.of<TriggerCheckpoint>()[0].options.final);
        bench.savepoint(1);
        bench.request_checkpoint(2);
        bench.stop(3);
        for (RequestId request = 1; request <= 3; ++request)
          CHECK(mentions(bench.error(request),
                         "the job has reached the end of its input and is finishing"));
      }
      AND_WHEN("it completes") {
        bench.acknowledge_all(1);
        THEN("every task is told to end, again and again until it is FINISHED") {
          REQUIRE(bench.of<NotifyCheckpointComplete>().size() == 4);
          CHECK(bench.of<NotifyCheckpointComplete>()[0].ends_task);
          CHECK(bench.of<NotifyCheckpointComplete>()[0].kind == SnapshotKind::checkpoint);
          bench.set(source_0, TaskState::finished);
          bench.forget();
          bench.advance(1s);
          CHECK(bench.of<NotifyCheckpointComplete>().size() == 3);
          for (const auto& task : bench.tasks()) bench.set(task, TaskState::finished);
          bench.forget();
          bench.advance(1h);
          CHECK(bench.effects.empty());
          bench.job(JobState::finished);
          CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
        }
        THEN("it is the restore point of a job that fails before its tasks are FINISHED") {
          bench.job(JobState::restarting);
          bench.forget();
          bench.advance(1h);
          CHECK(bench.effects.empty());
          CHECK(bench.coordinator.restore_point()->metadata->checkpoint == CheckpointId{1});
          CHECK_FALSE(bench.coordinator.terminal_savepoint());
          bench.start(1);
          bench.set_all(TaskState::finishing);
          CHECK(bench.triggered() == Ids{2});
        }
      }
      AND_WHEN("it is declined") {
        bench.decline(count_0, 1);
        THEN("the job fails with the reason, and no further one begins before it runs again") {
          REQUIRE(bench.of<FailJob>().size() == 1);
          CHECK(bench.of<FailJob>()[0].recoverable);
          CHECK(bench.of<FailJob>()[0].cause.what ==
                "final checkpoint 1 was given up: task 1/0 declined it: disk full");
          bench.set(source_0, TaskState::finishing);
          CHECK(bench.triggered() == Ids{1});
        }
      }
      AND_WHEN("it expires") {
        bench.advance(10min);
        THEN("the job fails with the reason") {
          CHECK(mentions(bench.of<FailJob>().at(0).cause.what,
                         "was given up: not acknowledged within"));
        }
      }
      AND_WHEN("the job fails meanwhile") {
        bench.job(JobState::failing);
        THEN("it is aborted without a failure of its own") { CHECK(bench.of<FailJob>().empty()); }
      }
    }
  }
  GIVEN("a periodic checkpoint and a savepoint in flight") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(1s);
    bench.savepoint(1);
    WHEN("all tasks reach the end of their input") {
      bench.set_all(TaskState::finishing);
      THEN("the final one waits for neither; periodic ones stop") {
        CHECK(bench.triggered() == Ids{1, 2, 3});
        bench.advance(5min);
        CHECK(bench.triggered() == Ids{1, 2, 3});
      }
      AND_WHEN("the final one completes first") {
        bench.acknowledge_all(3);
        THEN("it subsumes the periodic one; the savepoint lives while its tasks do") {
          CHECK(bench.reasons() == Reasons{Reason::subsumed});
          CHECK(bench.error(1).empty());
          bench.set(source_0, TaskState::finished);
          CHECK(mentions(bench.error(1), "task 0/0 finished before it had acknowledged"));
          CHECK(bench.of<FailJob>().empty());
        }
      }
      AND_WHEN("the others complete first") {
        bench.acknowledge_all(1);
        bench.acknowledge_all(2);
        bench.acknowledge_all(3);
        THEN("all are announced") { CHECK(bench.announced() == Ids{1, 2, 3}); }
      }
    }
  }
  GIVEN("a job whose tasks were at the end before it was RUNNING") {
    Bench bench;
    bench.deploy(0);
    bench.set_all(TaskState::finishing);
    CHECK(bench.triggered().empty());
    WHEN("it is RUNNING") {
      bench.job(JobState::running);
      THEN("the final checkpoint is triggered") { CHECK(bench.triggered() == Ids{1}); }
    }
  }
}

SCENARIO(
    "tasks that are FINISHED take no part; who has only such before it starts the barrier (A5)",
    "[actors]") {
  Bench bench;
  bench.start();
  WHEN("one source is FINISHED") {
    bench.set(source_0, TaskState::finished);
    bench.request_checkpoint(1);
    THEN("the other one starts the barrier, and the finished one is recorded as such") {
      REQUIRE(bench.of<TriggerCheckpoint>().size() == 1);
      for (const auto& task : {ExecutionId{0, 1, 0}, count_0, count_1}) bench.acknowledge(task, 1);
      REQUIRE(bench.answer<CheckpointCompleted>(1));
      const auto* source = bench.coordinator.restore_point()->metadata->find("source");
      CHECK(source->subtasks[0].finished);
      CHECK_FALSE(source->subtasks[1].finished);
    }
  }
  WHEN("one ends without having acknowledged") {
    bench.request_checkpoint(1);
    bench.request_checkpoint(2);
    bench.set(source_0, TaskState::finished);
    THEN("the checkpoint that awaited it is given up, and the queued one begins without it") {
      CHECK(mentions(bench.error(1), "task 0/0 finished before it had acknowledged"));
      CHECK(bench.triggered() == Ids{1, 2});
      CHECK(bench.of<TriggerCheckpoint>().back().execution == ExecutionId{0, 1, 0});
    }
  }
  WHEN("both sources are FINISHED") {
    bench.set(source_0, TaskState::finished);
    bench.set({0, 1, 0}, TaskState::finished);
    bench.request_checkpoint(1);
    THEN("the tasks behind them start the barrier") {
      const auto triggers = bench.of<TriggerCheckpoint>();
      REQUIRE(triggers.size() == 2);
      CHECK(triggers[0].execution == count_0);
      CHECK(triggers[1].execution == count_1);
    }
  }
}

SCENARIO("behind forward edges a task waits for its own upstream subtask only (A5)", "[actors]") {
  GIVEN("two sources that a third operator reads subtask by subtask") {
    auto plan = two_by_two();
    plan.operators[1].uid = plan.operators[1].name = "other";
    plan.operators[1].source = true;
    plan.operators.push_back({.uid = "join", .name = "join", .parallelism = 2});
    plan.edges = {{0, "", 2, 0, Partitioning::forward, {}},
                  {1, "", 2, 1, Partitioning::forward, {}}};
    CheckpointCoordinator coordinator({test_job, "job", {3}, plan, "", {1}}, {});
    const Moment now{MonotonicTime(1h), 0};
    (void)coordinator.attempt_started(0);
    for (std::uint32_t vertex = 0; vertex < 3; ++vertex) {
      for (std::uint32_t i = 0; i < 2; ++i)
        (void)coordinator.task_state_changed({vertex, i, 0}, TaskState::running, now);
    }
    (void)coordinator.job_state_changed(JobState::running, now);
    WHEN("subtask 0 of both sources is FINISHED") {
      (void)coordinator.task_state_changed({0, 0, 0}, TaskState::finished, now);
      (void)coordinator.task_state_changed({1, 0, 0}, TaskState::finished, now);
      THEN("the barrier starts at the other subtasks and at subtask 0 behind them") {
        std::vector<ExecutionId> starters;
        for (const auto& effect : coordinator.request_checkpoint(1, now)) {
          if (const auto* trigger = std::get_if<TriggerCheckpoint>(&effect))
            starters.push_back(trigger->execution);
        }
        CHECK(starters == std::vector<ExecutionId>{{0, 1, 0}, {1, 1, 0}, {2, 0, 0}});
      }
    }
  }
}

// ---- Terminal savepoints ------------------------------------------------------------------------

SCENARIO("stop takes a savepoint, at whose barrier the sources stay, and ends the job (A2, A11)",
         "[actors]") {
  GIVEN("a job with a completed checkpoint, one in flight and one queued") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(1s);
    bench.acknowledge_all(1);
    bench.advance(2s);
    REQUIRE(bench.triggered() == Ids{1, 2});
    bench.forget();
    WHEN("it is stopped") {
      bench.stop(1);
      THEN("what is pending is aborted, then the terminal savepoint triggered") {
        CHECK(bench.reasons() == Reasons{Reason::job_is_stopping});
        CHECK(bench.place<NotifyCheckpointAborted>() < bench.place<TriggerCheckpoint>());
        CHECK(bench.triggered() == Ids{3});
        const auto options = bench.of<TriggerCheckpoint>()[0].options;
        CHECK(options.kind == SnapshotKind::terminal_savepoint);
        CHECK(options.terminal);
        CHECK_FALSE(options.final);
        CHECK(options.directory == "/savepoints/savepoint-3");
      }
      THEN("no other checkpoint begins") {
        bench.advance(5min);
        bench.request_checkpoint(2);
        bench.savepoint(3);
        bench.stop(4);
        bench.cancel(5);
        for (RequestId request = 2; request <= 5; ++request)
          CHECK(mentions(bench.error(request), "being stopped with a savepoint"));
        CHECK(bench.triggered() == Ids{3});
      }
      AND_WHEN("the savepoint is durable") {
        bench.forget();
        bench.acknowledge_all(3);
        THEN("the JobManager hears first, then the tasks; the client waits") {
          CHECK(bench.of<WriteMetadata>().at(0).pointer);
          REQUIRE(bench.of<TerminalSavepointCompleted>().size() == 1);
          CHECK(bench.of<TerminalSavepointCompleted>()[0].ends_as == JobState::finished);
          CHECK(bench.place<TerminalSavepointCompleted>() <
                bench.place<NotifyCheckpointComplete>());
          const auto notices = bench.of<NotifyCheckpointComplete>();
          REQUIRE(notices.size() == 4);
          CHECK(notices[0].ends_task);
          CHECK(notices[0].kind == SnapshotKind::terminal_savepoint);
          CHECK(bench.of<AnswerRequest>().empty());
          CHECK(bench.of<DeleteSnapshot>().empty());
          REQUIRE(bench.coordinator.terminal_savepoint());
          CHECK(bench.coordinator.restore_point()->directory == "/savepoints/savepoint-3");
        }
        AND_WHEN("tasks are slow to end") {
          bench.set(source_0, TaskState::finished);
          bench.forget();
          bench.advance(3s);
          THEN("they are told again") { CHECK(bench.of<NotifyCheckpointComplete>().size() == 9); }
        }
        AND_WHEN("the tasks and the job are FINISHED") {
          bench.set_all(TaskState::finished);
          bench.forget();
          bench.job(JobState::finished);
          THEN("the checkpoints go, the savepoint stays, the client hears last") {
            CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
            CHECK(bench.of<DeleteSavepointPointer>().empty());
            CHECK(bench.answer<StoppingSuccess>(1)->savepoint == "/savepoints/savepoint-3");
            CHECK(bench.place<DeleteSnapshot>() < bench.place<AnswerRequest>());
            CHECK(bench.of<Settled>().size() == 1);
          }
        }
        AND_WHEN("a task fails before it is FINISHED") {
          bench.set(count_0, TaskState::failed);
          bench.job(JobState::failing);
          bench.job(JobState::failed);
          THEN("the client hears of the savepoint and nothing is deleted") {
            CHECK(mentions(bench.error(1), "resume it with -s /savepoints/savepoint-3"));
            CHECK(bench.of<DeleteSnapshot>().empty());
            CHECK(bench.coordinator.terminal_savepoint());
          }
        }
      }
      AND_WHEN("a task declines the savepoint") {
        bench.forget();
        bench.decline(count_0, 3);
        THEN("the tasks hear it, so that the sources go on, and the client gets the reason") {
          CHECK(bench.of<NotifyCheckpointAborted>().size() == 4);
          CHECK(mentions(bench.error(1), "savepoint 3 was given up: task 1/0 declined it"));
          CHECK(bench.of<FailJob>().empty());
          CHECK(deleted(bench) == std::vector<std::string>{"/savepoints/savepoint-3"});
        }
        THEN("periodic checkpoints go on (A3), and it can be stopped again") {
          bench.advance(1s);
          CHECK(bench.triggered() == Ids{4});
          bench.acknowledge_all(4);
          CHECK(bench.announced() == Ids{4});
          bench.stop(2);
          CHECK(bench.triggered() == Ids{4, 5});
        }
      }
      AND_WHEN("it expires, or its metadata cannot be written") {
        bench.writes_metadata = false;
        bench.acknowledge_all(3);
        bench.written(3, WriteOutcome::unknown);
        REQUIRE(bench.of<RemoveMetadata>().size() == 1);
        CHECK(bench.of<RemoveMetadata>()[0].pointer);
        bench.forget();
        bench.written(3, WriteOutcome::failed);
        THEN("the job runs on") {
          CHECK_FALSE(bench.error(1).empty());
          CHECK(has_reason(bench, Reason::finalize_failure));
          bench.advance(1s);
          CHECK(bench.triggered() == Ids{4});
        }
      }
      AND_WHEN("the job fails before all have acknowledged") {
        bench.job(JobState::failing);
        THEN("the client hears why, and the job may restart") {
          CHECK(mentions(bench.error(1), "the job is FAILING"));
          CHECK_FALSE(bench.coordinator.terminal_savepoint());
        }
      }
      AND_WHEN("the job fails while the metadata is being written") {
        bench.writes_metadata = false;
        bench.acknowledge_all(3);
        bench.job(JobState::failing);
        bench.forget();
        bench.written(3);
        THEN("the savepoint is complete, the JobManager hears it before it may restart") {
          CHECK(bench.place<TerminalSavepointCompleted>() < bench.place<Settled>());
          CHECK(bench.of<NotifyCheckpointComplete>().empty());
          bench.job(JobState::failed);
          CHECK(mentions(bench.error(1),
                         "the job is FAILED after savepoint '/savepoints/savepoint-3'"));
        }
      }
      AND_WHEN("the tasks reach the end of their input meanwhile") {
        bench.set_all(TaskState::finishing);
        THEN("there is no final checkpoint beside it") { CHECK(bench.triggered() == Ids{3}); }
        THEN("if the savepoint fails, there is one") {
          bench.decline(count_0, 3);
          CHECK(bench.triggered() == Ids{3, 4});
          CHECK(bench.of<TriggerCheckpoint>().back().options.final);
        }
      }
    }
    WHEN("it is cancelled with a savepoint") {
      bench.cancel(1);
      bench.acknowledge_all(3);
      bench.set_all(TaskState::finished);
      THEN("it ends as CANCELED with the path") {
        CHECK(bench.of<TerminalSavepointCompleted>().at(0).ends_as == JobState::canceled);
        bench.job(JobState::canceled);
        CHECK(bench.answer<CancellationSuccess>(1)->savepoint == "/savepoints/savepoint-3");
      }
    }
    WHEN("it is cancelled outright before every task has committed") {
      bench.cancel(1);
      bench.acknowledge_all(3);
      bench.set(source_0, TaskState::finished);
      bench.job(JobState::cancelling);
      bench.job(JobState::canceled);
      THEN("the client hears that the savepoint must be resumed") {
        CHECK(mentions(bench.error(1), "resume it with -s /savepoints/savepoint-3"));
      }
    }
    WHEN("it is stopped while a checkpoint is being written") {
      bench.writes_metadata = false;
      bench.acknowledge_all(2);
      bench.stop(1);
      const auto savepoint = bench.newest_trigger();
      bench.acknowledge_all(savepoint);
      bench.forget();
      bench.written(savepoint);
      THEN("both complete, in order") {
        CHECK(bench.announced().empty());
        bench.written(2);
        CHECK(bench.announced() == Ids{2, savepoint});
      }
    }
  }
}

SCENARIO("stop with drain lets the sources end first", "[actors]") {
  GIVEN("a draining job") {
    Bench bench(every(1s));
    bench.start();
    bench.advance(1s);
    bench.forget();
    bench.stop(1, true);
    THEN("what is pending is aborted, the sources are told, and nothing is triggered") {
      CHECK(bench.reasons() == Reasons{Reason::job_is_stopping});
      REQUIRE(bench.of<DrainTask>().size() == 2);
      CHECK(bench.of<DrainTask>()[0].execution == source_0);
      CHECK(bench.triggered().empty());
    }
    THEN("sources that still run are told again, and no checkpoint completes") {
      bench.set(source_0, TaskState::finishing);
      bench.forget();
      bench.advance(1s);
      CHECK(bench.of<DrainTask>().size() == 1);
      CHECK(bench.triggered().empty());
    }
    WHEN("all tasks have reached the end") {
      bench.set_all(TaskState::finishing);
      THEN("the savepoint is terminal and final") {
        CHECK(bench.triggered() == Ids{2});
        CHECK(bench.of<TriggerCheckpoint>()[0].options.kind == SnapshotKind::terminal_savepoint);
        CHECK(bench.of<TriggerCheckpoint>()[0].options.final);
        bench.acknowledge_all(2);
        bench.set_all(TaskState::finished);
        bench.job(JobState::finished);
        CHECK(bench.answer<StoppingSuccess>(1));
      }
      AND_WHEN("the savepoint fails") {
        bench.decline(count_0, 2);
        THEN("only a restart lets the sources read on; there is no final checkpoint") {
          REQUIRE(bench.of<FailJob>().size() == 1);
          CHECK(bench.of<FailJob>()[0].recoverable);
          CHECK(mentions(bench.error(1), "disk full"));
          CHECK(bench.triggered() == Ids{2});
        }
      }
    }
    WHEN("the job fails while it drains") {
      bench.job(JobState::failing);
      THEN("the client hears it") { CHECK(mentions(bench.error(1), "the job is FAILING")); }
    }
  }
}

SCENARIO("a savepoint that may or may not be complete ends the stop and the job", "[actors]") {
  Bench bench;
  bench.start();
  bench.writes_metadata = false;
  bench.stop(1);
  bench.acknowledge_all(1);
  for (int i = 0; i <= 60; ++i) {
    bench.written(1, WriteOutcome::unknown);
    bench.advance(1s);
  }
  REQUIRE(bench.of<FailJob>().size() == 1);
  CHECK_FALSE(bench.of<FailJob>()[0].recoverable);
  CHECK(mentions(bench.error(1), "may or may not be complete"));
  bench.job(JobState::failed);
  CHECK(bench.of<AnswerRequest>().size() == 1);
}

// ---- What a job starts from ---------------------------------------------------------------------

SCENARIO("as many checkpoints are kept as configured, deleted oldest first", "[actors]") {
  CheckpointConfig config;
  config.num_retained = 3;
  Bench bench(config);
  bench.start();
  for (int i = 0; i < 3; ++i) bench.complete_checkpoint();
  CHECK(deleted(bench).empty());
  bench.complete_checkpoint();
  CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
  bench.complete_checkpoint();
  CHECK(deleted(bench).back() == job_path + "/chk-2");
}

SCENARIO("a continued job owns the checkpoints it found", "[actors]") {
  GIVEN("two checkpoints of the job, the first id behind them") {
    Bench bench({}, {completed(test_job, 2, 9), completed(test_job, 1, 12)}, "/checkpoints", {13});
    THEN("it starts from the one with the highest epoch, then id") {
      bench.start();
      CHECK(bench.coordinator.counts().restored_from == CheckpointId{9});
      CHECK(bench.coordinator.counts().restored_directory == "/found/9");
    }
    WHEN("its first checkpoint completes") {
      bench.start();
      bench.complete_checkpoint();
      THEN("it counts on, and the old ones go, oldest first") {
        CHECK(bench.triggered() == Ids{13});
        CHECK(deleted(bench) == std::vector<std::string>{"/found/12", "/found/9"});
      }
    }
  }
  GIVEN("a terminal savepoint behind a checkpoint") {
    Bench bench({},
                {completed(test_job, 2, 5),
                 completed(test_job, 2, 6, SnapshotOwner::user, SnapshotKind::terminal_savepoint)},
                "/checkpoints", {7});
    bench.start();
    CHECK(bench.coordinator.counts().restored_from == CheckpointId{6});
    WHEN("the first checkpoint completes") {
      bench.complete_checkpoint();
      THEN("the savepoint stays and only its pointer goes") {
        CHECK(deleted(bench) == std::vector<std::string>{"/found/5"});
        REQUIRE(bench.of<DeleteSavepointPointer>().size() == 1);
        CHECK(bench.of<DeleteSavepointPointer>()[0].checkpoint == CheckpointId{6});
      }
    }
  }
}

SCENARIO("a forked job never deletes the snapshot that it came from", "[actors]") {
  GIVEN("the checkpoint of another job, with higher numbers") {
    const JobId other{1, 1};
    Bench bench({}, {completed(other, 9, 100, SnapshotOwner::user)});
    bench.start();
    CHECK(bench.coordinator.restore_point()->directory == "/found/100");
    WHEN("the job fails before its first checkpoint") {
      bench.job(JobState::restarting);
      THEN("it starts there again") {
        CHECK(bench.coordinator.restore_point()->directory == "/found/100");
      }
    }
    WHEN("its first checkpoint completes and the job ends") {
      bench.complete_checkpoint();
      CHECK(bench.coordinator.restore_point()->metadata->checkpoint == CheckpointId{1});
      bench.job(JobState::finished);
      THEN("only its own is deleted") {
        CHECK(deleted(bench) == std::vector<std::string>{job_path + "/chk-1"});
        CHECK(bench.of<DeleteSavepointPointer>().empty());
      }
    }
  }
}

SCENARIO("timers are armed once, and stale or early ones do nothing", "[actors]") {
  Bench bench(every(1s));
  bench.start();
  REQUIRE(bench.timers.size() == 1);
  const auto at = *bench.timers.begin();
  WHEN("it fires too early") {
    const auto effects = bench.coordinator.timer_fired(at, bench.now);
    THEN("it is armed again") {
      REQUIRE(effects.size() == 1);
      CHECK(std::get<ArmTimer>(effects[0]).at == at);
    }
  }
  WHEN("a timer fires that nobody armed") {
    const auto effects = bench.coordinator.timer_fired(at + 5s, bench.now);
    THEN("nothing happens") { CHECK(effects.empty()); }
  }
  WHEN("an hour of checkpoints has passed") {
    for (int i = 0; i < 3600; ++i) {
      bench.advance(1s);
      bench.acknowledge_all(bench.newest_trigger());
      bench.forget();
      bench.request_checkpoint(1);
      bench.acknowledge_all(bench.newest_trigger());
    }
    THEN("timers have not piled up") { CHECK(bench.timers.size() <= 2); }
  }
}

// ---- Messages that were lost --------------------------------------------------------------------

SCENARIO("what two heartbeats in a row show not to have come is told again", "[actors]") {
  Bench bench;
  bench.start();
  const auto hear = [&](const ExecutionId& task, HeardCheckpoints heard) {
    bench.forget();
    bench.perform(bench.coordinator.tasks_heard({{task, std::move(heard)}}));
  };
  GIVEN("a checkpoint that was triggered") {
    bench.request_checkpoint(1);
    THEN("a source that has not heard of it is triggered again") {
      for (int i = 0; i < 2; ++i) {  // what was said again has one more heartbeat to take effect
        hear(source_0, {});
        CHECK(bench.of<TriggerCheckpoint>().empty());
        hear(source_0, {});
        const auto again = bench.of<TriggerCheckpoint>();
        REQUIRE(again.size() == 1);
        CHECK(again[0].execution == source_0);
        CHECK(again[0].checkpoint == CheckpointId{1});
        CHECK(again[0].options.directory == job_path + "/chk-1");
      }
    }
    THEN("one that has heard between two heartbeats is not") {
      hear(source_0, {});
      hear(source_0, {CheckpointId{1}, {}, {CheckpointId{1}}});
      hear(source_0, {CheckpointId{1}, {}, {CheckpointId{1}}});
      CHECK(bench.effects.empty());
    }
    THEN("one that has acknowledged, or starts no barrier, is not") {
      bench.acknowledge(source_0, 1);
      for (const ExecutionId& task : {source_0, count_0})
        for (int i = 0; i < 2; ++i) hear(task, {});
      CHECK(bench.effects.empty());
    }
    AND_WHEN("it has completed") {
      bench.acknowledge_all(1);
      THEN("a task that has not heard so is told again") {
        hear(count_0, {});
        CHECK(bench.of<NotifyCheckpointComplete>().empty());
        hear(count_0, {});
        const auto again = bench.of<NotifyCheckpointComplete>();
        REQUIRE(again.size() == 1);
        CHECK(again[0].execution == count_0);
        CHECK(again[0].checkpoint == CheckpointId{1});
        CHECK_FALSE(again[0].ends_task);
      }
      THEN("one that has is not") {
        for (int i = 0; i < 2; ++i) hear(count_0, {{}, CheckpointId{1}, {}});
        CHECK(bench.effects.empty());
      }
    }
    AND_WHEN("it was given up") {
      bench.decline(count_1, 1);
      THEN("a task that it holds up is told again") {
        hear(count_0, {{}, {}, {CheckpointId{1}}});
        CHECK(bench.of<NotifyCheckpointAborted>().empty());
        hear(count_0, {{}, {}, {CheckpointId{1}}});
        const auto again = bench.of<NotifyCheckpointAborted>();
        REQUIRE(again.size() == 1);
        CHECK(again[0].execution == count_0);
        CHECK(again[0].checkpoint == CheckpointId{1});
      }
    }
    AND_WHEN("the job does not run any more") {
      bench.job(JobState::cancelling);
      THEN("nothing is told again") {
        for (int i = 0; i < 2; ++i) hear(source_0, {{}, {}, {CheckpointId{1}}});
        CHECK(bench.effects.empty());
      }
    }
  }
}

}  // namespace weir::test
