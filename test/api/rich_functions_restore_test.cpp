#include <chrono>
#include <map>

#include "test/api/restore_harness.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };

/// Joins the first letters of numbers to a text and tells it with its length.
struct Joined final : AggregateFunction<long, std::string, std::string> {
  std::string create_accumulator() const override { return "<"; }
  void add(const long& number, std::string& text) const override {
    text += std::to_string(number)[0];
  }
  std::string get_result(const std::string& text) const override {
    return text + std::to_string(text.size());
  }
  void merge(const std::string& other, std::string& text) const override {
    text += other.substr(1);
  }
};

/// Keeps keyed state of every kind, each once without and once with a time to live that no test outlives.
struct EveryState final : RichFlatMapFunction<Entry, std::string> {
  void open(RuntimeContext& context) override {
    const StateTtlConfig ttl{std::chrono::hours(1), TtlUpdateType::on_read_and_write};
    for (std::size_t timed = 0; timed < 2; ++timed) {
      const auto end = timed == 1 ? std::optional(ttl) : std::nullopt;
      const auto name = [&](const char* base) { return base + std::to_string(timed); };
      Kinds& kinds = kinds_[timed];
      kinds.count = context.state(ValueStateDescriptor<long>{name("count"), end});
      kinds.numbers = context.list_state(ListStateDescriptor<std::string>{name("numbers"), end});
      kinds.largest = context.reducing_state(ReducingStateDescriptor<long>{
          name("largest"), [](const long& a, const long& b) { return std::max(a, b); }, end});
      kinds.joined =
          context.aggregating_state(AggregatingStateDescriptor<long, std::string, std::string>{
              name("joined"), std::make_shared<Joined>(), end});
      kinds.by_digit =
          context.map_state(MapStateDescriptor<std::string, long>{name("by digit"), end});
    }
  }
  void flat_map(const Entry& entry, Collector<std::string>& out) override {
    std::string texts[2];
    for (std::size_t timed = 0; timed < 2; ++timed) {
      Kinds& kinds = kinds_[timed];
      ++kinds.count.mutable_value();
      kinds.numbers.add(std::to_string(entry.number));
      kinds.largest.add(100 - entry.number);
      kinds.joined.add(entry.number);
      kinds.by_digit.mutable_value(std::to_string(entry.number % 3)) += entry.number;
      std::string& text = texts[timed];
      text = entry.key + " " + std::to_string(*kinds.count.value()) + " " +
             std::to_string(*kinds.largest.get()) + " " + *kinds.joined.get();
      kinds.numbers.for_each([&](const std::string& number) { text += "," + number; });
      std::map<std::string, long> digits;
      kinds.by_digit.for_each([&](const std::string& digit, long sum) { digits[digit] = sum; });
      for (const auto& [digit, sum] : digits) text += " " + digit + ":" + std::to_string(sum);
      if (entry.number == 6) kinds.numbers.clear();
      if (entry.number == 5) kinds.by_digit.clear();
      if (entry.number == 7) kinds.by_digit.remove("1");
      if (entry.number == 4) kinds.joined.clear();
    }
    CHECK(texts[0] == texts[1]);
    out.collect(std::move(texts[0]));
  }
  struct Kinds {
    ValueState<long> count;
    ListState<std::string> numbers;
    ReducingState<long> largest;
    AggregatingState<long, std::string, std::string> joined;
    MapState<std::string, long> by_digit;
  };
  Kinds kinds_[2];
};

/// Keeps nothing but a map, whose keys come to the end of the input once each.
struct OnlyMaps final : KeyedProcessFunction<std::string, Entry, std::string> {
  void open(RuntimeContext& context) override {
    numbers_ = context.map_state(MapStateDescriptor<long, long>{"numbers"});
  }
  void process_element(const Entry& entry, Context&, Collector<std::string>&) override {
    numbers_.put(entry.number, entry.number * 2);
    if (entry.number == 8) numbers_.clear();  // nothing is left of that key so far
  }
  void on_end_of_input(const std::string& key, Context&, Collector<std::string>& out) {
    long sum = 0;
    long count = 0;
    numbers_.for_each_value([&](long number) {
      sum += number;
      ++count;
    });
    out.collect(key + std::to_string(count) + " " + std::to_string(sum));
  }
  MapState<long, long> numbers_;
};

/// Emits a key's numbers and times at the end of the input.
struct AtTheEnd final : KeyedProcessFunction<std::string, Entry, std::string> {
  void open(RuntimeContext& context) override {
    text_ = context.state(ValueStateDescriptor<std::string>{"text"});
  }
  void process_element(const Entry& entry, Context& context, Collector<std::string>&) override {
    CHECK(context.current_key() == entry.key);
    text_.mutable_value() += "," + std::to_string(context.timestamp());
    if (entry.number == 9) text_.clear();  // nothing is left of that key so far
  }
  void on_end_of_input(const std::string& key, Context& context, Collector<std::string>& out) {
    CHECK(context.current_key() == key);
    CHECK(context.timestamp() == no_event_time);
    out.collect(key + *text_.value());
  }
  ValueState<std::string> text_;
};

/// A keyed function that also snapshots a field of its own.
struct KeyedAndCheckpointed final : RichFlatMapFunction<Entry, std::string>, Checkpointed<long> {
  void open(RuntimeContext& context) override {
    sum_ = context.state(ValueStateDescriptor<long>{"sum"});
  }
  void flat_map(const Entry& entry, Collector<std::string>& out) override {
    ++records_;
    out.collect(entry.key + std::to_string(sum_.mutable_value() += entry.number));
  }
  void on_end_of_input(Collector<std::string>& out) { out.collect("#" + std::to_string(records_)); }
  long snapshot_state() override { return records_; }
  void restore_state(const long& records) override { records_ += records; }
  ValueState<long> sum_;
  long records_ = 0;
};

TEST_CASE("a rich function with every kind of keyed state is restored after every record",
          "[api]") {
  check_restores(
      [](const DataStream<Entry>& stream) { return stream.key_by(by_key).flat_map(EveryState{}); });
}

TEST_CASE("a function that keeps nothing but a map is restored after every record", "[api]") {
  check_restores(
      [](const DataStream<Entry>& stream) { return stream.key_by(by_key).process(OnlyMaps{}); });
}

TEST_CASE("a process function that emits at the end of the input is restored after every record",
          "[api]") {
  check_restores(
      [](const DataStream<Entry>& stream) { return stream.key_by(by_key).process(AtTheEnd{}); });
}

TEST_CASE("a keyed function that is Checkpointed is restored after every record", "[api]") {
  check_restores(
      [](const DataStream<Entry>& stream) {
        return stream.key_by(by_key).flat_map(KeyedAndCheckpointed{});
      },
      [](Lines lines) {
        // The counts of the subtasks add up to that of one.
        long records = 0;
        std::erase_if(lines, [&](const std::string& line) {
          if (line[0] != '#') return false;
          records += std::stol(line.substr(1));
          return true;
        });
        lines.push_back("#" + std::to_string(records));
        return sorted(lines);
      });
}

SCENARIO("a function that asks for a state when open is over is told so", "[api]") {
  const std::string sentence =
      "state 'late': a function asks for its states in open, and keeps the handles; this one asked "
      "the RuntimeContext when open was over";
  GIVEN("a keyed function") {
    struct Late final : KeyedProcessFunction<std::string, Entry, std::string> {
      void open(RuntimeContext& context) override { kept_ = &context; }
      void process_element(const Entry&, Context&, Collector<std::string>& out) override {
        out.collect(kept_->uid());
        try {
          (void)kept_->state(ValueStateDescriptor<long>{"late"});
        } catch (const OperatorError& error) {
          out.collect(error.what());
        }
      }
      RuntimeContext* kept_ = nullptr;
    };
    TaskWorld world;
    Attempt attempt(
        world,
        [](const DataStream<Entry>& stream) {
          return stream.key_by([](const Entry& entry) { return entry.key; }).process(Late{});
        },
        1);
    attempt.feed({"a", 1});
    CHECK(attempt.output == Lines{"op", sentence});
  }
  GIVEN("a function without key") {
    struct Late final : RichFlatMapFunction<Entry, std::string> {
      void open(RuntimeContext& context) override { kept_ = &context; }
      void flat_map(const Entry&, Collector<std::string>&) override {
        (void)kept_->operator_list_state<long>("late");
      }
      RuntimeContext* kept_ = nullptr;
    };
    TaskWorld world;
    TaskUnderTest test(world, plan_of([](StreamEnvironment& env) {
                         env.from_collection<Entry>({{"a", 0}})
                             .flat_map(Late{})
                             .uid("op")
                             .collect(std::make_shared<Collected<std::string>>());
                       }),
                       0);
    CHECK(test.run() == StepResult::finished);
    CHECK(test.listener->failure.what == "operator 'op', subtask 0: " + sentence);
  }
}

}  // namespace
}  // namespace weir::test
