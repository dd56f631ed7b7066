#include <cstdint>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "test/actors/coordinator_bench.hpp"

/// What the coordinator decides about incremental checkpoints and the files that they share.
namespace weir::test {
namespace {

using namespace std::chrono_literals;

CheckpointConfig incremental() {
  CheckpointConfig config;
  config.incremental = true;
  config.max_concurrent = 2;
  return config;
}

/// The shared file that task 1/0 writes for checkpoint `id`.
std::string file_of(std::uint64_t id) {
  return "data-e3-c" + std::to_string(id) + "-v1-s0-a0-" + std::to_string(id * 11);
}

DataLocation shared_location(std::uint64_t id) { return {file_of(id), id, 10, {}, true}; }

/// Task 1/0 acknowledges checkpoint `id` with a file of its own and those of the checkpoints `reused`, the
/// others acknowledge with nothing.
void acknowledge_shared(Bench& bench, std::uint64_t id, const Ids& reused) {
  for (const auto& task : bench.tasks()) {
    auto message = bench.acknowledgement(task, id);
    message.snapshot.locations = {DataLocation{}};
    if (task == count_0) {
      message.snapshot.locations = {shared_location(id)};
      for (const auto older : reused) message.snapshot.locations.push_back(shared_location(older));
    }
    bench.perform(bench.coordinator.acknowledge(message, bench.now));
  }
}

/// A checkpoint that is asked for and completes; see `acknowledge_shared`.
std::uint64_t complete_shared(Bench& bench, const Ids& reused) {
  bench.request_checkpoint(999);
  const std::uint64_t id = bench.newest_trigger();
  acknowledge_shared(bench, id, reused);
  return id;
}

std::vector<std::string> unshared(const Bench& bench) {
  std::vector<std::string> files;
  for (const auto& one : bench.of<DeleteSharedFiles>()) {
    CHECK(one.directory == job_path + "/shared");
    files.insert(files.end(), one.files.begin(), one.files.end());
  }
  return files;
}

using Files = std::vector<std::string>;

SCENARIO("a trigger says which checkpoint it may build on", "[actors]") {
  const auto newest = [](const Bench& bench) {
    return bench.of<TriggerCheckpoint>().back().options;
  };
  GIVEN("a job with incremental checkpoints") {
    Bench bench(incremental());
    bench.start();
    bench.request_checkpoint(1);
    THEN("the first builds on nothing") {
      CHECK(newest(bench).form == SnapshotForm::incremental);
      CHECK(newest(bench).base == CheckpointId{0});
    }
    WHEN("the next one begins while the first is in flight") {
      bench.request_checkpoint(2);
      THEN("it builds on nothing, too") { CHECK(newest(bench).base == CheckpointId{0}); }
    }
    WHEN("the first has completed") {
      bench.acknowledge_all(1);
      bench.request_checkpoint(2);
      THEN("the next builds on it") { CHECK(newest(bench).base == CheckpointId{1}); }
      AND_WHEN("that one is declined") {
        bench.decline(count_0, 2);
        bench.request_checkpoint(3);
        THEN("the one behind it builds on the first as well") {
          CHECK(newest(bench).base == CheckpointId{1});
        }
      }
      AND_WHEN("the job restarts") {
        bench.job(JobState::failing);
        bench.start(1);
        bench.request_checkpoint(3);
        THEN("the next builds on what was restored") {
          CHECK(newest(bench).base == CheckpointId{1});
        }
      }
      AND_WHEN("a savepoint is asked for") {
        bench.perform(bench.coordinator.request_savepoint(3, {"/savepoints", SnapshotForm::native},
                                                          bench.now));
        THEN("it is written as the client said, and stands alone") {
          CHECK(newest(bench).form == SnapshotForm::native);
          CHECK(newest(bench).base == CheckpointId{0});
        }
      }
    }
  }
  GIVEN("a job without incremental checkpoints") {
    Bench bench;
    bench.start();
    bench.complete_checkpoint();
    bench.complete_checkpoint();
    THEN("each is canonical and builds on nothing") {
      CHECK(newest(bench).form == SnapshotForm::canonical);
      CHECK(newest(bench).base == CheckpointId{0});
    }
  }
  GIVEN("a job that goes on from its own checkpoint 6") {
    Bench bench(incremental(), {completed(test_job, 2, 6)}, "/checkpoints", {8});
    bench.start();
    bench.request_checkpoint(1);
    THEN("its first checkpoint builds on that") { CHECK(newest(bench).base == CheckpointId{6}); }
  }
  GIVEN("a job that was forked from another's checkpoint") {
    Bench bench(incremental(), {completed({1, 1}, 2, 6, SnapshotOwner::user)});
    bench.start();
    bench.request_checkpoint(1);
    THEN("its first checkpoint is whole") { CHECK(newest(bench).base == CheckpointId{0}); }
  }
  GIVEN("a job that goes on from its terminal savepoint") {
    Bench bench(incremental(),
                {completed(test_job, 2, 6),
                 completed(test_job, 2, 7, SnapshotOwner::user, SnapshotKind::terminal_savepoint)},
                "/checkpoints", {8});
    bench.start();
    bench.request_checkpoint(1);
    THEN("its first checkpoint is whole") { CHECK(newest(bench).base == CheckpointId{0}); }
  }
  for (const bool drain : {false, true}) {
    GIVEN(std::string("a native savepoint that ends the job") + (drain ? ", drained" : "")) {
      Bench bench(incremental());
      bench.start();
      bench.perform(bench.coordinator.stop_with_savepoint(1, {"/savepoints", SnapshotForm::native},
                                                          drain, bench.now));
      if (drain) bench.set_all(TaskState::finishing);
      THEN("it is written as the client said") {
        CHECK(newest(bench).kind == SnapshotKind::terminal_savepoint);
        CHECK(newest(bench).form == SnapshotForm::native);
        CHECK(newest(bench).base == CheckpointId{0});
      }
    }
  }
}

SCENARIO("a shared file goes with the last checkpoint that names it", "[actors]") {
  GIVEN("a job that keeps one checkpoint, which names two files") {
    Bench bench(incremental());
    bench.start();
    complete_shared(bench, {});
    complete_shared(bench, {1});
    THEN("what both name is a location of the newer one, and stays") {
      CHECK(deleted(bench) == Files{job_path + "/chk-1"});
      CHECK(unshared(bench).empty());
      CHECK(bench.coordinator.restore_point()->metadata->locations.size() == 5);
      CHECK(bench.coordinator.counts().last_completed->size_bytes == 20);
      CHECK(bench.coordinator.counts().last_completed->written_bytes == 10);
    }
    bench.forget();
    WHEN("the third names the second's file alone") {
      complete_shared(bench, {2});
      THEN("the first's is deleted, once its checkpoint is gone") {
        CHECK(unshared(bench) == Files{file_of(1)});
        CHECK(bench.place<DeleteSnapshot>() < bench.place<DeleteSharedFiles>());
      }
      AND_WHEN("the fourth names neither") {
        bench.forget();
        complete_shared(bench, {});
        THEN("the second's and the third's go, and nothing twice") {
          CHECK(unshared(bench) == Files{file_of(2), file_of(3)});
        }
      }
    }
    WHEN("the job is cancelled") {
      bench.job(JobState::canceled);
      THEN("all are deleted, behind the checkpoint") {
        CHECK(deleted(bench) == Files{job_path + "/chk-2"});
        CHECK(unshared(bench) == Files{file_of(1), file_of(2)});
        CHECK(bench.place<DeleteSharedFiles>() < bench.place<Settled>());
      }
    }
    WHEN("the job fails") {
      bench.job(JobState::failed);
      THEN("nothing is deleted") {
        CHECK(deleted(bench).empty());
        CHECK(unshared(bench).empty());
      }
    }
    WHEN("an acknowledgement of the first arrives once more") {
      auto message = bench.acknowledgement(count_0, 1);
      message.snapshot.locations = {shared_location(1)};
      bench.perform(bench.coordinator.acknowledge(message, bench.now));
      THEN("its file stays, because the second names it") {
        CHECK(bench.of<DiscardFiles>().empty());
      }
    }
  }
  GIVEN("a job that keeps two checkpoints") {
    auto config = incremental();
    config.num_retained = 2;
    Bench bench(config);
    bench.start();
    complete_shared(bench, {});
    complete_shared(bench, {1});
    complete_shared(bench, {});
    THEN("the file of the first stays for the second") {
      CHECK(deleted(bench) == Files{job_path + "/chk-1"});
      CHECK(unshared(bench).empty());
    }
    WHEN("the second goes, too") {
      complete_shared(bench, {3});
      THEN("so do their files") { CHECK(unshared(bench) == Files{file_of(1), file_of(2)}); }
    }
  }
}

SCENARIO("what a checkpoint in flight may build on is spared", "[actors]") {
  GIVEN("two checkpoints in flight on the first") {
    Bench bench(incremental());
    bench.start();
    complete_shared(bench, {});
    bench.request_checkpoint(2);
    bench.request_checkpoint(3);
    REQUIRE(bench.triggered() == Ids{1, 2, 3});
    WHEN("the older of them completes without the first's file") {
      acknowledge_shared(bench, 2, {});
      THEN("the first is deleted, but for its file") {
        CHECK(deleted(bench) == Files{job_path + "/chk-1"});
        CHECK(unshared(bench).empty());
      }
      AND_WHEN("the newer one completes and names it") {
        acknowledge_shared(bench, 3, {1});
        THEN("it stays, and the second's goes") { CHECK(unshared(bench) == Files{file_of(2)}); }
        AND_WHEN("nobody names it any more") {
          complete_shared(bench, {3});
          THEN("it goes") { CHECK(unshared(bench) == Files{file_of(2), file_of(1)}); }
        }
      }
      AND_WHEN("the newer one is given up") {
        bench.decline(count_0, 3);
        THEN("it leaves what it did not write") {
          CHECK(unshared(bench).empty());
          const auto last = bench.of<DeleteSnapshot>().back();
          CHECK(last.directory == job_path + "/chk-3");
          CHECK(last.with_shared);
        }
        AND_WHEN("another one has completed") {
          complete_shared(bench, {2});
          THEN("the file that was spared goes") { CHECK(unshared(bench) == Files{file_of(1)}); }
        }
        AND_WHEN("its acknowledgement comes late") {
          bench.forget();
          auto message = bench.acknowledgement(count_0, 3);
          message.snapshot.locations = {shared_location(3), shared_location(1)};
          bench.perform(bench.coordinator.acknowledge(message, bench.now));
          THEN("only what it has written itself is discarded") {
            REQUIRE(bench.of<DiscardFiles>().size() == 1);
            const auto discarded = bench.of<DiscardFiles>()[0];
            CHECK(discarded.directory == job_path + "/shared");
            CHECK(discarded.files == Files{file_of(3)});
            CHECK(discarded.keep_directory);
          }
        }
      }
    }
  }
  GIVEN("a checkpoint of which nobody knows whether it is complete") {
    Bench bench(incremental());
    bench.start();
    complete_shared(bench, {});
    bench.writes_metadata = false;
    bench.request_checkpoint(2);
    acknowledge_shared(bench, 2, {1});
    for (int i = 0; i < 100; ++i) {
      bench.written(2, WriteOutcome::unknown);
      bench.advance(1s);
    }
    bench.writes_metadata = true;
    REQUIRE_FALSE(bench.of<LogFailure>().empty());
    bench.job(JobState::failing);
    bench.start(1);
    bench.forget();
    complete_shared(bench, {});
    THEN("the files that it names stay") {
      CHECK(deleted(bench) == Files{job_path + "/chk-1"});
      CHECK(unshared(bench).empty());
    }
  }
}

SCENARIO("a shared file that several tasks name is one location", "[actors]") {
  Bench bench(incremental());
  bench.start();
  complete_shared(bench, {});
  bench.request_checkpoint(2);
  const auto acknowledge = [&](const ExecutionId& task, const DataLocation& reused) {
    auto message = bench.acknowledgement(task, 2);
    message.snapshot.locations = {DataLocation{}, reused};
    bench.perform(bench.coordinator.acknowledge(message, bench.now));
  };
  acknowledge(source_0, shared_location(1));
  acknowledge({0, 1, 0}, shared_location(1));
  acknowledge(count_0, shared_location(1));
  WHEN("they agree on it") {
    acknowledge(count_1, shared_location(1));
    THEN("the checkpoint completes with it") {
      CHECK(bench.announced() == Ids{1, 2});
      CHECK(bench.coordinator.restore_point()->metadata->locations.size() == 5);
    }
  }
  WHEN("one of them means another file of that name") {
    auto other = shared_location(1);
    other.file_id = 77;
    acknowledge(count_1, other);
    THEN("the checkpoint is given up") {
      CHECK(bench.announced() == Ids{1});
      CHECK(bench.reasons() == Reasons{Reason::declined});
    }
  }
}

}  // namespace
}  // namespace weir::test
