#include "simulation/operator_watch.hpp"

#include <algorithm>
#include <deque>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "runtime/crash_reporter.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir::test {
namespace {

using Catch::Matchers::Contains;
using Words = std::vector<std::string>;

/// What the operators of the plan below have been asked, and whether that was in code of the job.
struct Log {
  Words calls;
  void say(const std::string& call) { calls.push_back(call + (runs_user_code() ? "*" : "")); }
};

class LoggedSource final : public SourceOperator {
 public:
  LoggedSource(Log& log, long records) : log_(log), left_(records) {}
  Status open(OperatorContext&) override {
    log_.say("open source");
    return {};
  }
  PollResult poll() override {
    log_.say("poll");
    if (left_ > 0) output_.collector().collect(left_--);
    return left_ > 0 ? PollResult::more : PollResult::end;
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  Log& log_;
  long left_;
  Output<long> output_;
};

class LoggedOperator final : public Operator {
 public:
  explicit LoggedOperator(Log& log) : log_(log) {}
  Status open(OperatorContext&) override {
    log_.say("open");
    return {};
  }
  Progress on_restored() override { return say("restored"); }
  void on_batch(std::uint32_t input, AnyBatch&, Cursor&) override {
    log_.say("batch " + std::to_string(input));
    if (on_batch_) on_batch_();
  }
  Progress on_watermark(std::uint32_t input, Watermark) override {
    return say("watermark " + std::to_string(input));
  }
  bool makes_watermarks() const override { return true; }
  std::optional<Watermark> take_watermark() override { return Watermark{7}; }
  Progress on_timer(MonotonicTime) override { return say("timer"); }
  Progress on_end(std::uint32_t input) override { return say("end " + std::to_string(input)); }
  Progress before_barrier(const CheckpointBarrier&) override { return say("barrier"); }
  Status snapshot_state(const CheckpointBarrier&) override {
    log_.say("snapshot");
    return {};
  }
  Status notify_checkpoint_complete(CheckpointId id, SnapshotKind) override {
    log_.say("complete " + std::to_string(id.value));
    return {};
  }
  Status notify_checkpoint_aborted(CheckpointId id) override {
    log_.say("aborted " + std::to_string(id.value));
    return {};
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

  std::function<void()> on_batch_;

 private:
  Progress say(const std::string& call) {
    log_.say(call);
    return Progress::more;
  }
  Log& log_;
  Output<long> output_;
};

/// A job of a source `numbers` of so many records and an operator `sums`.
class TwoOperators final : public JobLibraries {
 public:
  TwoOperators(Log& log, long records) : log_(log), records_(records) {}
  Result<std::shared_ptr<const Plan>> build_plan(
      const std::string& library, const std::vector<std::string>&,
      const std::map<std::string, std::string>&) override {
    if (library != "job") return error(Errc::not_found, "no library " + library);
    auto plan = std::make_shared<Plan>();
    plan->operators.resize(2);
    plan->operators[0].description.uid = "numbers";
    plan->operators[0].description.source = true;
    plan->operators[0].make = [this] { return std::make_unique<LoggedSource>(log_, records_); };
    plan->operators[1].description.uid = "sums";
    plan->operators[1].make = [this] {
      auto made = std::make_unique<LoggedOperator>(log_);
      made->on_batch_ = on_batch;
      return made;
    };
    return plan;
  }
  std::function<void()> on_batch;

 private:
  Log& log_;
  const long records_;
};

/// The plan of that job, watched.
struct WatchedJob {
  Log log;
  std::shared_ptr<OperatorWatch> watch = std::make_shared<OperatorWatch>();
  TwoOperators libraries;
  WatchedLibraries watched{libraries, watch};
  std::shared_ptr<const Plan> plan;
  MemoryFileSystem files;
  Surroundings around;
  FakeContext context{files, around, "numbers", 0, 1};
  Batch<long> batch;
  Cursor cursor;

  explicit WatchedJob(long records = 3) : libraries(log, records) {
    auto built = watched.build_plan("job", {}, {});
    REQUIRE(built);
    plan = *built;
  }
  std::unique_ptr<SourceOperator> source() {
    auto made = plan->operators[0].make();
    auto* source = dynamic_cast<SourceOperator*>(made.get());
    REQUIRE(source != nullptr);
    (void)made.release();
    std::unique_ptr<SourceOperator> owned(source);
    REQUIRE(owned->open(context));
    return owned;
  }
  std::unique_ptr<Operator> sums() {
    auto made = plan->operators[1].make();
    REQUIRE(made->open(context));
    return made;
  }
};

}  // namespace

TEST_CASE("a watched plan is the same plan, and errors of building it pass", "[simulation]") {
  WatchedJob job;
  REQUIRE(job.plan->operators.size() == 2);
  CHECK(job.plan->operators[0].description.uid == "numbers");
  CHECK(job.plan->operators[1].description.uid == "sums");
  const auto none = job.watched.build_plan("another", {}, {});
  REQUIRE_FALSE(none);
  CHECK(none.error().what == "no library another");
}

TEST_CASE("a watched operator passes every call on, those of functions as code of the job",
          "[simulation]") {
  WatchedJob job;
  const auto sums = job.sums();
  CHECK(sums->on_restored() == Progress::more);
  sums->on_batch(1, job.batch, job.cursor);
  CHECK(sums->on_watermark(1, Watermark{3}) == Progress::more);
  CHECK(sums->makes_watermarks());
  CHECK(sums->take_watermark() == Watermark{7});
  CHECK(sums->on_timer({}) == Progress::more);
  CHECK(sums->on_end(1) == Progress::more);
  CHECK(sums->before_barrier({}) == Progress::more);
  REQUIRE(sums->snapshot_state({}));
  REQUIRE(sums->notify_checkpoint_complete(CheckpointId{4}, SnapshotKind::checkpoint));
  REQUIRE(sums->notify_checkpoint_aborted(CheckpointId{5}));
  CHECK(sums->outputs().size() == 1);
  CHECK(job.log.calls == Words{"open*", "restored", "batch 1*", "watermark 1*", "timer*", "end 1*",
                               "barrier", "snapshot", "complete 4", "aborted 5"});
  CHECK_FALSE(runs_user_code());
}

SCENARIO("calls of functions of a job fail from a given one on", "[simulation]") {
  WatchedJob job;
  const auto sums = job.sums();
  const auto attempt = [&] {
    try {
      sums->on_batch(0, job.batch, job.cursor);
      return true;
    } catch (const std::runtime_error& thrown) {
      CHECK(std::string(thrown.what()) == "a record was poison (simulated)");
      return false;
    }
  };
  const auto attempts = [&](int count) {
    std::string outcome;
    for (int i = 0; i < count; ++i) outcome += attempt() ? '.' : 'x';
    return outcome;
  };
  GIVEN("nothing is to fail") { CHECK(attempts(5) == "....."); }
  GIVEN("the first call fails") {
    job.watch->fail_calls(1, 1);
    CHECK(attempts(4) == "x...");
    CHECK(job.watch->failed_calls() == 1);
  }
  GIVEN("the third call fails, and two attempts after it") {
    job.watch->fail_calls(3, 3);
    CHECK(attempts(8) == "..xxx...");
    CHECK(job.watch->failed_calls() == 3);
    // Whoever fails has not reached the operator.
    CHECK(std::ranges::count(job.log.calls, "batch 0*") == 5);
  }
  GIVEN("a failure that is to come, and a heal before it") {
    job.watch->fail_calls(2, 4);
    CHECK(attempts(1) == ".");
    job.watch->heal();
    CHECK(attempts(4) == "....");
    CHECK(job.watch->failed_calls() == 0);
  }
  GIVEN("calls of several operators") {
    job.watch->fail_calls(3, 1);
    const auto source = job.source();
    CHECK(source->poll() == PollResult::more);
    CHECK(attempts(1) == ".");
    CHECK_THROWS_AS(source->poll(), std::runtime_error);
    CHECK(source->poll() == PollResult::more);
  }
}

SCENARIO("sources that have ended wait until they are released", "[simulation]") {
  WatchedJob job(2);
  const auto source = job.source();
  GIVEN("sources are not held") {
    THEN("they end by themselves, and go on saying so") {
      CHECK(source->poll() == PollResult::more);
      CHECK(source->poll() == PollResult::end);
      CHECK(source->poll() == PollResult::end);
      CHECK(job.watch->waiting_sources() == 0);
      CHECK(std::ranges::count(job.log.calls, "poll*") == 2);
    }
  }
  GIVEN("they are held") {
    job.watch->hold_sources();
    CHECK(source->poll() == PollResult::more);
    CHECK(job.watch->waiting_sources() == 0);
    CHECK(source->poll() == PollResult::nothing_now);
    CHECK(source->poll() == PollResult::nothing_now);
    THEN("one that has given all waits once, and is not asked any more") {
      CHECK(job.watch->waiting_sources() == 1);
      CHECK(std::ranges::count(job.log.calls, "poll*") == 2);
    }
    WHEN("they are released") {
      job.watch->release_sources();
      THEN("it ends") {
        CHECK(job.watch->waiting_sources() == 0);
        CHECK(source->poll() == PollResult::end);
      }
    }
    WHEN("another attempt of the job has a source of its own") {
      auto second = job.source();
      while (second->poll() != PollResult::nothing_now) {
      }
      CHECK(job.watch->waiting_sources() == 2);
      THEN("one that is gone does not wait") {
        second.reset();
        CHECK(job.watch->waiting_sources() == 1);
      }
    }
  }
  GIVEN("records") {
    while (source->poll() != PollResult::end) {
    }
    THEN("what a source has emitted is counted under its uid") {
      CHECK(job.watch->records().at("numbers") >= 2);
      CHECK_FALSE(job.watch->records().contains("sums"));
    }
  }
}

TEST_CASE("a caught call is told once for each operator and function, with what to do instead",
          "[simulation]") {
  WatchedJob job;
  job.libraries.on_batch = [&] {
    job.watch->catch_call(CaughtCall::clock, "time");
    job.watch->catch_call(CaughtCall::random, "rand");
  };
  const auto sums = job.sums();
  for (int i = 0; i < 3; ++i) sums->on_batch(0, job.batch, job.cursor);
  job.watch->catch_call(CaughtCall::thread, "pthread_create");
  const auto& caught = job.watch->caught();
  CHECK(Words(caught.begin(), caught.end()) ==
        Words{"operator 'sums' draws random numbers (rand): let them come from the record or from "
              "state",
              "operator 'sums' reads the clock (time): let it take event times, or the timers' "
              "current_processing_time()",
              "the job function starts a thread (pthread_create), which no simulation can put in "
              "an order: do the work in the function"});
}

}  // namespace weir::test
