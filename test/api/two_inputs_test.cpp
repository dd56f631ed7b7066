#include <set>

#include "test/api/restore_harness.hpp"
#include "test/api/run_by_hand.hpp"

namespace weir::test {
namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };

/// Tells a record once it has come on both inputs.
struct Pair final : KeyedCoProcessFunction<std::string, Entry, Entry, std::string> {
  void open(RuntimeContext& context) override {
    waiting_ = context.map_state(MapStateDescriptor<long, int>{"waiting"});
    pairs_ = context.state(ValueStateDescriptor<long>{"pairs"});
  }
  void process_element1(const Entry& entry, Context& context,
                        Collector<std::string>& out) override {
    come(1, entry, context, out);
  }
  void process_element2(const Entry& entry, Context& context,
                        Collector<std::string>& out) override {
    come(2, entry, context, out);
  }
  void on_end_of_input(const std::string& key, Context&, Collector<std::string>& out) {
    out.collect(key + " has " + std::to_string(pairs_.value_or(0)) + " pairs");
  }
  void come(int side, const Entry& entry, Context& context, Collector<std::string>& out) {
    CHECK(context.current_key() == entry.key);
    CHECK(context.timestamp() == 1000 + entry.number);
    const int* other = waiting_.get(entry.number);
    if (other == nullptr) {
      waiting_.put(entry.number, side);
      return;
    }
    CHECK(*other == 3 - side);
    waiting_.remove(entry.number);
    ++pairs_.mutable_value();
    out.collect(entry.key + " " + std::to_string(entry.number));
  }
  MapState<long, int> waiting_;
  ValueState<long> pairs_;
};

TEST_CASE("a function of two keyed streams has one state per key, restored after every record",
          "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).connect(stream.key_by(by_key)).process(Pair{});
  });
}

/// Counts records by key, and tells at the end what the broadcast side has said of each.
struct Ruled final : KeyedBroadcastProcessFunction<std::string, Entry, Entry, std::string> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
    sums_ = context.broadcast_state(MapStateDescriptor<std::string, long>{"sums"});
  }
  void process_element(const Entry&, ReadOnlyContext&, Collector<std::string>&) override {
    ++count_.mutable_value();
  }
  void process_broadcast_element(const Entry& entry, BroadcastContext& context,
                                 Collector<std::string>&) override {
    auto& sums = context.state(sums_);
    if (entry.number == 7) {
      sums.remove(entry.key);
    } else {
      const long* sum = sums.get(entry.key);
      sums.put(entry.key, (sum == nullptr ? 0 : *sum) + entry.number);
    }
  }
  void on_end_of_input(const std::string& key, ReadOnlyContext& context,
                       Collector<std::string>& out) {
    std::string text = key + "=" + std::to_string(*count_.value());
    context.state(sums_).for_each(
        [&](const std::string& rule, long sum) { text += " " + rule + ":" + std::to_string(sum); });
    out.collect(std::move(text));
  }
  ValueState<long> count_;
  BroadcastStateHandle<std::string, long> sums_;
};

TEST_CASE("every subtask has the broadcast state, restored at any parallelism", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).connect(stream.broadcast()).process(Ruled{});
  });
}

/// Numbers of the left side, and how many letters the right side has sent.
struct Mixed final : CoProcessFunction<long, std::string, std::string> {
  void process_element1(const long& number, Collector<std::string>& out) override {
    out.collect("left " + std::to_string(number));
  }
  void process_element2(const std::string& text, Collector<std::string>&) override {
    letters_ += text.size();
  }
  void on_end_of_input(Collector<std::string>& out) {
    out.collect("letters " + std::to_string(letters_));
  }
  std::size_t letters_ = 0;
};

/// Passes what the broadcast side names.
struct Allowed final : BroadcastProcessFunction<long, long, long> {
  void open(RuntimeContext& context) override {
    allowed_ = context.broadcast_state(MapStateDescriptor<long, bool>{"allowed"});
  }
  void process_element(const long& number, ReadOnlyContext& context,
                       Collector<long>& out) override {
    seen_.push_back(number);
    if (context.state(allowed_).contains(number)) out.collect(number);
  }
  void process_broadcast_element(const long& number, BroadcastContext& context,
                                 Collector<long>& out) override {
    context.state(allowed_).put(number, true);
    for (const long seen : seen_)
      if (seen == number) out.collect(number);
  }
  BroadcastStateHandle<long, bool> allowed_;
  std::vector<long> seen_;
};

SCENARIO("two streams of different types end in one function", "[api]") {
  GIVEN("numbers and texts") {
    const auto result = std::make_shared<Collected<std::string>>();
    run_by_hand([&](StreamEnvironment& env) {
      env.from_collection<long>({1, 2})
          .connect(env.from_collection<std::string>({"ab", "cde"}))
          .process(Mixed{})
          .collect(result);
    });
    THEN("both arrive, and the end comes once, after both") {
      Lines lines = result->values();
      REQUIRE(lines.size() == 3);
      CHECK(lines.back() == "letters 5");
      CHECK(sorted(lines) == Lines{"left 1", "left 2", "letters 5"});
    }
  }
  GIVEN("numbers and a broadcast side that names some of them") {
    const auto result = std::make_shared<Collected<long>>();
    run_by_hand(
        [&](StreamEnvironment& env) {
          env.generate(100, [](std::uint64_t i) { return static_cast<long>(i); })
              .rebalance()
              .connect(env.from_collection<long>({3, 50, 99, 1000}).broadcast())
              .process(Allowed{})
              .collect(result);
        },
        2);
    THEN("these pass, once each") {
      const auto values = result->values();
      CHECK(values.size() == 3);
      CHECK(std::set<long>(values.begin(), values.end()) == std::set<long>{3, 50, 99});
    }
  }
}

SCENARIO("broadcast state that cannot be had is refused when the function is opened", "[api]") {
  struct Asking final : BroadcastProcessFunction<long, long, long> {
    explicit Asking(std::function<void(RuntimeContext&)> ask) : ask_(std::move(ask)) {}
    void open(RuntimeContext& context) override { ask_(context); }
    void process_element(const long&, ReadOnlyContext&, Collector<long>&) override {}
    void process_broadcast_element(const long&, BroadcastContext&, Collector<long>&) override {}
    std::function<void(RuntimeContext&)> ask_;
  };
  const auto failure = [](std::function<void(RuntimeContext&)> ask) {
    TaskWorld world;
    TaskUnderTest test(world, plan_of([&](StreamEnvironment& env) {
                         const auto source = env.from_collection<long>({1});
                         source.rebalance()
                             .connect(source.broadcast())
                             .process(Asking{std::move(ask)})
                             .uid("rules")
                             .rebalance()
                             .collect(std::make_shared<Collected<long>>());
                       }),
                       1);
    CHECK(test.run() == StepResult::finished);
    return test.listener->failure.what;
  };
  using Descriptor = MapStateDescriptor<long, long>;
  CHECK(failure([](RuntimeContext& context) {
          (void)context.broadcast_state(Descriptor{"a"});
          (void)context.broadcast_state(Descriptor{"a"});
        }) ==
        "operator 'rules', state 'a': the name is used twice; give each state of an operator its "
        "own");
  CHECK(failure([](RuntimeContext& context) {
          (void)context.broadcast_state(Descriptor{"a", StateTtlConfig{std::chrono::hours(1)}});
        }) == "operator 'rules', state 'a': broadcast state has no time to live; leave it out");
}

}  // namespace
}  // namespace weir::test
