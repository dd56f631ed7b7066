#include <algorithm>

#include "api/stream_environment.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

/// Emits, for every key at the end, the key and the number of its records.
struct Count final : KeyedProcessFunction<std::string, std::string, std::string> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
  }
  void process_element(const std::string&, Context&, Collector<std::string>&) override {
    ++count_.mutable_value();
  }
  void on_end_of_input(const std::string& key, Context&, Collector<std::string>& out) {
    out.collect(key + "=" + std::to_string(*count_.value()));
    if (key.ends_with("7")) count_.clear();
  }
  ValueState<long> count_;
};

std::shared_ptr<const Plan> counting() {
  return plan_of([](StreamEnvironment& env) {
    env.add_source<std::string>("source", [] { return std::unique_ptr<Operator>(); })
        .key_by([](const std::string& text) { return text; })
        .process(Count{})
        .uid("count")
        .rebalance()
        .collect(std::make_shared<Collected<std::string>>());
  });
}

constexpr int keys = 5000;

void feed(TaskUnderTest& test, const Plan& plan) {
  const auto writer = plan.edges[0].make_writer({test.inputs[0]}, 0, 128);
  auto batch = std::make_unique<Batch<std::string>>();
  for (int i = 0; i < 2 * keys; ++i) batch->add("key " + std::to_string(i % keys));
  std::unique_ptr<AnyBatch> any = std::move(batch);
  writer->write(any);
  writer->broadcast(EndOfInput{});
}

SCENARIO("at the end of the input a keyed function sees every key once, in order, piece by piece",
         "[api]") {
  GIVEN("5,000 keys and room for a few") {
    TaskWorld world;
    world.channel_bytes = 4096;
    const auto plan = counting();
    TaskUnderTest test(world, plan, 1);
    (void)test.run();
    feed(test, *plan);
    CHECK(test.settle() == StepResult::waiting_for_room);
    CHECK(test.listener->last() == "running");

    WHEN("the consumer takes what there is, again and again") {
      Lines all;
      std::size_t waits = 0;
      for (StepResult result = StepResult::waiting_for_room; result != StepResult::idle; ++waits) {
        CHECK(test.outputs[0]->queued_bytes() <
              world.channel_bytes + 2 * batch_capacity_records * (sizeof(std::string) + 16));
        for (auto& line : take<std::string>(*test.outputs[0])) all.push_back(std::move(line));
        result = test.settle();
      }
      for (auto& line : take<std::string>(*test.outputs[0])) all.push_back(std::move(line));

      THEN("it gets every key once, by key group and then by encoding") {
        CHECK(waits > 3);
        REQUIRE(all.size() == keys + 1);
        CHECK(all.back() == "end of input");
        all.pop_back();
        const auto place = [](const std::string& line) {
          const std::string key = line.substr(0, line.find('='));
          return std::pair(key_group_of(hash_key(key), 128), encode_value(key));
        };
        CHECK(std::ranges::is_sorted(all, std::less<>{}, place));
        CHECK(std::ranges::adjacent_find(all) == all.end());
        CHECK(
            std::ranges::all_of(all, [](const std::string& line) { return line.ends_with("=2"); }));
        CHECK(test.listener->last() == "finishing");
      }
    }
    WHEN("the task is cancelled in between") {
      test.task->cancel();
      THEN("it ends at once") {
        CHECK(test.settle() == StepResult::finished);
        CHECK(test.listener->last() == "canceled");
      }
    }
    WHEN("a barrier comes in between") {
      test.inputs[0]->push(barrier_of(1));
      CHECK(test.settle() == StepResult::waiting_for_room);
      THEN("it goes out behind the end, with a snapshot in which the operator has finished") {
        Lines all;
        for (StepResult result = StepResult::waiting_for_room; result != StepResult::idle;) {
          for (auto& line : take<std::string>(*test.outputs[0])) all.push_back(std::move(line));
          result = test.settle();
        }
        for (auto& line : take<std::string>(*test.outputs[0])) all.push_back(std::move(line));
        REQUIRE(all.size() == keys + 2);
        CHECK(all.back() == "barrier 1");
        world.io.run_all();
        REQUIRE(test.listener->last() == "acknowledge 1");
        CHECK(test.listener->snapshots[{1}].operators[0].snapshot.finished);
      }
    }
  }
}

TEST_CASE("a state that cannot be had fails the task with that reason", "[api]") {
  struct Broken final : RichFlatMapFunction<long, long> {
    explicit Broken(int what) : what_(what) {}
    void open(RuntimeContext& context) override {
      if (what_ == 0) (void)context.reducing_state(ReducingStateDescriptor<long>{"sum", {}});
      if (what_ == 1)
        for (int i = 0; i < 2; ++i) (void)context.state(ValueStateDescriptor<long>{"twice"});
      if (what_ == 2)
        for (int i = 0; i < 2; ++i) (void)context.operator_list_state<long>("twice");
      if (what_ == 3) (void)context.state(ValueStateDescriptor<long>{"keyed"});
      if (what_ == 4)
        (void)context.aggregating_state(AggregatingStateDescriptor<long, long, long>{"sum", {}});
      if (what_ == 5) {
        (void)context.state(ValueStateDescriptor<long>{"twice"});
        (void)context.map_state(MapStateDescriptor<long, long>{"twice"});
      }
      if (what_ == 6)
        (void)context.map_state(
            MapStateDescriptor<long, long>{"short", StateTtlConfig{std::chrono::milliseconds(0)}});
      if (what_ == 7) {
        (void)context.map_state(MapStateDescriptor<long, long>{"twice"});
        (void)context.operator_list_state<long>("twice");
      }
      if (what_ == 8) (void)context.state(ValueStateDescriptor<long>{""});
      if (what_ == 9) (void)context.state(ValueStateDescriptor<long>{"two\nlines"});
      if (what_ == 11) (void)context.operator_list_state<long>("");
      if (what_ == 12) (void)context.broadcast_state(MapStateDescriptor<long, long>{"a\tb"});
      if (what_ == 10) (void)context.state(ValueStateDescriptor<long>{std::string(256, 'x')});
    }
    void flat_map(const long&, Collector<long>&) override {}
    int what_;
  };
  const auto failure = [](int what, bool keyed) {
    TaskWorld world;
    const auto plan = plan_of([&](StreamEnvironment& env) {
      const auto source = probe_source(env, std::make_shared<Script>());
      if (keyed)
        source.key_by([](long value) { return value; }).flat_map(Broken(what)).uid("broken");
      else
        source.rebalance().flat_map(Broken(what)).uid("broken");
    });
    TaskUnderTest test(world, plan, 1);
    CHECK(test.settle() == StepResult::finished);
    return test.listener->failure.what;
  };
  CHECK(failure(0, true) ==
        "operator 'broken', state 'sum': a reducing or aggregating state needs a "
        "function; give its descriptor one");
  CHECK(failure(4, true) == failure(0, true));
  CHECK(failure(1, true).find("'twice'") != std::string::npos);
  CHECK(failure(5, true) == failure(1, true));
  CHECK(failure(7, true) == failure(2, false));
  CHECK(failure(6, true) ==
        "operator 'broken', state 'short': its time to live is 0 ms; give one above 0, or none for "
        "state that stays");
  CHECK(failure(2, false) ==
        "operator 'broken', state 'twice': the name is used twice; give each state of an operator "
        "its own");
  for (const int what : {8, 9, 10, 11, 12})
    CHECK(failure(what, true)
              .ends_with("a state's name has from 1 to 255 bytes and no control characters"));
  CHECK(failure(3, false) ==
        "operator 'broken', state 'keyed': keyed state needs a keyed stream; call key_by before");
}

}  // namespace
}  // namespace weir::test
