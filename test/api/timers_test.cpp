#include <chrono>
#include <limits>

#include "test/api/restore_harness.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };

/// Sets a timer for the time after each record's, and removes that of every fifth again. A timer tells its
/// time and the number of records before it.
struct Remind final : KeyedProcessFunction<std::string, Entry, std::string> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
  }
  void process_element(const Entry& entry, Context& context, Collector<std::string>& out) override {
    ++count_.mutable_value();
    auto& timers = context.timer_service();
    timers.register_event_time_timer(context.timestamp() + 1);
    timers.register_event_time_timer(context.timestamp() + 1);
    if (entry.number % 5 == 4) timers.delete_event_time_timer(context.timestamp() + 1);
    timers.delete_event_time_timer(17);
    out.collect(entry.key + " " + std::to_string(entry.number));
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    CHECK(context.timestamp() == time);
    CHECK(context.time_domain() == TimeDomain::event_time);
    CHECK(context.timer_service().current_watermark() >= time);
    out.collect(context.current_key() + "@" + std::to_string(time) + " " +
                std::to_string(*count_.value()));
    if (time == 1003) context.timer_service().register_event_time_timer(5000);
  }
  ValueState<long> count_;
};

DataStream<std::string> remind(const DataStream<Entry>& stream) {
  return stream.key_by(by_key).process(Remind{});
}

TEST_CASE("timers are restored with the job, on every backend and at any parallelism", "[api]") {
  check_restores(remind);
}

SCENARIO("event-time timers fire when the watermark reaches them", "[api]") {
  TaskWorld world;
  Attempt attempt(world, remind, 1);
  GIVEN("a timer for each of 12 records, two of which are removed again") {
    for (const Entry& entry : test_records()) attempt.feed(entry);
    attempt.output.clear();
    WHEN("the watermark is at the third's time") {
      attempt.advance_watermark(1003);
      THEN("three fire, in the order of their times, and no more come at the same watermark") {
        const Lines fired{"a@1001 3", "b@1002 3", "c@1003 3"};
        CHECK(attempt.output == fired);
        attempt.advance_watermark(1003);
        CHECK(attempt.output == fired);
      }
    }
    WHEN("it goes back to the past and then to the end") {
      attempt.advance_watermark(1001);
      attempt.advance_watermark(900);
      attempt.advance_watermark(1001);
      CHECK(attempt.output.size() == 1);
      attempt.end_input();
      THEN("the others fire once, with the one that a timer has set") {
        CHECK(attempt.output.size() == 11);
        CHECK(attempt.output.back() == "c@5000 3");
      }
    }
  }
}

/// Sets timers by the clock.
struct Alarm final : KeyedProcessFunction<std::string, Entry, std::string> {
  void process_element(const Entry& entry, Context& context, Collector<std::string>&) override {
    auto& timers = context.timer_service();
    CHECK(timers.current_watermark() == no_event_time);
    timers.register_processing_time_timer(entry.number);
    if (entry.number == 700) timers.delete_processing_time_timer(500);
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    CHECK(context.timestamp() == no_event_time);
    CHECK(context.time_domain() == TimeDomain::processing_time);
    out.collect(context.current_key() + "@" + std::to_string(time));
    if (time == 300) context.timer_service().register_processing_time_timer(400);
  }
};

SCENARIO("processing-time timers fire by the clock", "[api]") {
  using std::chrono::milliseconds;
  TaskWorld world;
  const Build alarm = [](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).process(Alarm{});
  };
  const auto pass = [&](long ms) {
    world.around.clock.time += milliseconds(ms);
    world.around.clock.wall += milliseconds(ms);
  };
  pass(100);
  auto attempt = std::make_unique<Attempt>(world, alarm, 1);
  StreamTask& task = *attempt->tasks[0]->task;
  GIVEN("timers of two keys at 300, 500 and 700 ms, of which one is removed") {
    attempt->feed({"a", 300});
    attempt->feed({"b", 500});
    attempt->feed({"a", 500});
    attempt->feed({"a", 700});
    REQUIRE(task.wake_time());
    CHECK(*task.wake_time() - world.around.clock.time <= milliseconds(200));
    WHEN("nothing happens for 200 ms") {
      pass(200);
      attempt->advance_watermark(1);
      THEN("the first fires, and what it sets is waited for") {
        CHECK(attempt->output == Lines{"a@300"});
        pass(100);
        attempt->advance_watermark(2);
        CHECK(attempt->output == Lines{"a@300", "a@400"});
      }
    }
    WHEN("the task is restored when their time is over") {
      const SnapshotMetadata snapshot = attempt->checkpoint(1);
      attempt.reset();
      pass(10'000);
      attempt = std::make_unique<Attempt>(world, alarm, 1, &snapshot);
      pass(1);
      attempt->advance_watermark(1);
      THEN("all fire") { CHECK(attempt->output == Lines{"a@300", "a@400", "b@500", "a@700"}); }
    }
    WHEN("the input ends first") {
      attempt->end_input();
      THEN("those that are not due never fire") { CHECK(attempt->output.empty()); }
    }
  }
}

/// A timer per record, each of which says `lines` lines.
struct Flood final : KeyedProcessFunction<long, long, long> {
  void process_element(const long& value, Context& context, Collector<long>&) override {
    context.timer_service().register_event_time_timer(value / 1000);
  }
  void on_timer(std::int64_t, OnTimerContext& context, Collector<long>& out) {
    for (int i = 0; i < 10; ++i) out.collect(context.current_key());
  }
};

SCENARIO("one watermark that fires a million timers waits for room in between", "[api]") {
  GIVEN("a million timers and a small output channel") {
    constexpr long timers = 1'000'000;
    TaskWorld world;
    const auto plan = plan_of([](StreamEnvironment& env) {
      env.add_source<long>("source", [] { return std::unique_ptr<Operator>(); })
          .key_by([](const long& value) { return value; })
          .process(Flood{})
          .uid("flood")
          .rebalance()
          .collect(std::make_shared<Collected<long>>());
    });
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    const auto writer = plan->edges[0].make_writer({test.inputs[0]}, 0, 128);
    for (long i = 0; i < timers;) {
      auto batch = std::make_unique<Batch<long>>();
      for (int k = 0; k < 1000; ++k) batch->add(i++);
      std::unique_ptr<AnyBatch> any = std::move(batch);
      writer->write(any);
      writer->flush();
      REQUIRE(test.settle() == StepResult::idle);
    }
    writer->broadcast(Watermark{timers});
    writer->broadcast(barrier_of(1));
    writer->flush();

    WHEN("the consumer takes what there is whenever the task waits") {
      std::size_t records = 0;
      std::size_t most = 0;
      std::size_t waits = 0;
      StepResult result = StepResult::waiting_for_room;
      Lines last;
      while (result == StepResult::waiting_for_room) {
        result = test.settle();
        std::size_t bytes = 0;
        Channel& output = *test.outputs[0];
        while (output.peek() != nullptr) {
          StreamElement element = output.pop();
          if (auto* const batch = std::get_if<std::unique_ptr<AnyBatch>>(&element)) {
            records += (*batch)->size();
            bytes += (*batch)->memory_bytes();
            output.recycle(std::move(*batch));
            last.clear();
          } else if (std::holds_alternative<Watermark>(element)) {
            last.push_back("watermark");
          } else if (std::holds_alternative<CheckpointBarrier>(element)) {
            last.push_back("barrier");
          }
        }
        most = std::max(most, bytes);
        ++waits;
      }
      THEN("it never holds more than its channel and a slice, and the watermark comes behind all") {
        CHECK(records == 10 * timers);
        CHECK(waits > 50);
        CHECK(most < 2 * world.channel_bytes);
        CHECK(last == Lines{"watermark", "barrier"});
      }
    }
    test.task->cancel();
    (void)test.settle();
  }
}

SCENARIO("a stream is given event times and watermarks of its own", "[api]") {
  using std::chrono::milliseconds;
  GIVEN("times that come up to 100 ms late, and a watermark every 200 ms") {
    TaskWorld world;
    const auto plan = plan_of([](StreamEnvironment& env) {
      env.add_source<long>("source", [] { return std::unique_ptr<Operator>(); })
          .rebalance()
          .assign_timestamps_and_watermarks({.out_of_orderness = milliseconds(100)},
                                            [](const long& time) { return time; })
          .rebalance()
          .collect(std::make_shared<Collected<long>>());
    });
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    Channel& input = *test.inputs[0];
    const auto heard = [&] {
      (void)test.settle();
      world.around.clock.time += milliseconds(5);  // the buffer timeout
      (void)test.settle();
      return take<long>(*test.outputs[0]);
    };
    give<long>(input, {1000, 950, 1010, 990});
    CHECK(heard() == Lines{"1000", "950", "1010", "990", "watermark 909"});
    WHEN("more comes before the interval is over") {
      give<long>(input, {1500});
      input.push(Watermark{5000});  // not this stream's
      CHECK(heard() == Lines{"1500"});
      THEN("the watermark follows when it is, though no record does") {
        REQUIRE(test.task->wake_time());
        world.around.clock.time += milliseconds(200);
        CHECK(heard() == Lines{"watermark 1399"});
        world.around.clock.time += milliseconds(1000);
        CHECK(heard().empty());
        give<long>(input, {1450});
        CHECK(heard() == Lines{"1450"});
      }
      THEN("the end of the input brings the last one") {
        input.push(Watermark{Watermark::max_time});
        input.push(EndOfInput{});
        CHECK(heard() == Lines{"watermark max", "end of input"});
      }
    }
  }
}

SCENARIO("a timer that nobody would hear is an error", "[api]") {
  struct Deaf final : KeyedProcessFunction<long, long, long> {
    void process_element(const long& value, Context& context, Collector<long>&) override {
      context.timer_service().register_event_time_timer(value);
    }
  };
  TaskWorld world;
  const auto plan = plan_of([](StreamEnvironment& env) {
    env.add_source<long>("source", [] { return std::unique_ptr<Operator>(); })
        .key_by([](const long& value) { return value; })
        .process(Deaf{})
        .uid("deaf")
        .rebalance()
        .collect(std::make_shared<Collected<long>>());
  });
  TaskUnderTest test(world, plan, 1);
  (void)test.run();
  const auto writer = plan->edges[0].make_writer({test.inputs[0]}, 0, 128);
  auto batch = std::make_unique<Batch<long>>();
  batch->add(1);
  std::unique_ptr<AnyBatch> any = std::move(batch);
  writer->write(any);
  writer->flush();
  CHECK(test.settle() == StepResult::finished);
  CHECK(test.listener->failure.what ==
        "operator 'deaf', subtask 0: the function sets a timer and has no on_timer to be called; "
        "give it "
        "void on_timer(std::int64_t time, OnTimerContext&, Collector<Out>&)");
}

}  // namespace
}  // namespace weir::test
