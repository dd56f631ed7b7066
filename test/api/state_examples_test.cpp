// The examples about state in the comments of the headers that a job includes, as they stand there.
// `.ci/check_examples.py` finds each of them here or in examples_test.cpp.

#include <algorithm>
#include <chrono>
#include <cmath>

#include "test/api/run_by_hand.hpp"
#include <weir/weir.hpp>

namespace weir::test::state_examples {

struct Order {
  std::string customer;
  double amount = 0;
};
WEIR_FIELDS(Order, customer, amount)

struct Total {
  std::string customer;
  double amount = 0;
  bool operator==(const Total&) const = default;
};
WEIR_FIELDS(Total, customer, amount)

// state/fields.hpp

struct Bid {
  long auction = 0;
  double price = 0;
};
WEIR_FIELDS(Bid, auction, price)

enum class Side : std::uint8_t { buy, sell };
WEIR_ENUM(Side, buy, sell)

/// A type of somebody else's.
class Uuid {
 public:
  static Uuid parse(const std::string& digits) {
    Uuid uuid;
    uuid.number_ = std::stoul(digits);
    return uuid;
  }
  [[nodiscard]] std::string to_string() const { return std::to_string(number_); }

 private:
  unsigned long number_ = 0;
};

struct UuidMirror {
  std::string digits;
  UuidMirror() = default;
  explicit UuidMirror(const Uuid& uuid) : digits(uuid.to_string()) {}
  explicit operator Uuid() const { return Uuid::parse(digits); }
};
WEIR_FIELDS(UuidMirror, digits)
WEIR_AS(Uuid, UuidMirror)

/// A type that only its own serializer can write.
struct Sketch {
  std::vector<std::uint8_t> bits;
};

struct SketchSerializer {
  static constexpr std::string_view name = "sketch";  // for ever
  static constexpr std::uint16_t version = 2;         // of what `write` writes
  static constexpr std::uint16_t oldest_version = 1;  // that `read` reads; optional, else `version`
  static void write(const Sketch& sketch, weir::ByteWriter& writer);
  /// All of the bytes that `write` of that version wrote; `reader.fail()` if they are none.
  static void read(weir::ByteReader& reader, std::uint16_t version, Sketch& sketch);
  /// Memory beyond `sizeof`; not needed if the type is trivially copyable.
  static std::size_t heap_bytes(const Sketch& sketch);
};
WEIR_SERIALIZER(Sketch, SketchSerializer)

void SketchSerializer::write(const Sketch& sketch, ByteWriter& writer) {
  for (const std::uint8_t bit : sketch.bits) writer.number(bit);
}
void SketchSerializer::read(ByteReader& reader, std::uint16_t, Sketch& sketch) {
  while (reader.remaining() > 0) sketch.bits.push_back(reader.number<std::uint8_t>());
}
std::size_t SketchSerializer::heap_bytes(const Sketch& sketch) { return sketch.bits.capacity(); }

namespace {

template <class T>
std::shared_ptr<Collected<T>> collector() {
  return std::make_shared<Collected<T>>();
}

template <class T>
T there_and_back(const T& value) {
  const auto decoded = decode_value<T>(encode_value(value), "a value");
  REQUIRE(decoded);
  return *decoded;
}

TEST_CASE("the examples of descriptions describe", "[api]") {
  CHECK(there_and_back(Bid{3, 1.5}).auction == 3);
  CHECK(there_and_back(Side::sell) == Side::sell);
  CHECK(there_and_back(Uuid::parse("42")).to_string() == "42");
  CHECK(there_and_back(Sketch{{1, 0, 1}}).bits == std::vector<std::uint8_t>{1, 0, 1});
}

// runtime/operators/timestamps.hpp, runtime/timer_service.hpp, state/time_to_live.hpp

struct Click {
  std::string page;
  std::int64_t time_ms = 0;
};
WEIR_FIELDS(Click, page, time_ms)

struct Fade final : KeyedProcessFunction<std::string, Click, std::string> {
  void open(RuntimeContext& context) override {
    count_ =
        context.state(ValueStateDescriptor<long>{"count", StateTtlConfig{std::chrono::hours(24)}});
  }
  void process_element(const Click& click, Context& context, Collector<std::string>& out) override {
    auto& timers = context.timer_service();
    timers.register_processing_time_timer(timers.current_processing_time() + 60'000);
    out.collect(click.page + " " + std::to_string(++count_.mutable_value()) + " at " +
                std::to_string(context.timestamp()));
  }
  void on_timer(std::int64_t, OnTimerContext&, Collector<std::string>&) { count_.clear(); }
  ValueState<long> count_;
};

TEST_CASE("the examples of times are set", "[api]") {
  const auto seen = collector<std::string>();
  run_by_hand([&](StreamEnvironment& env) {
    const auto clicks = env.from_collection<Click>({{"/", 1'000}, {"/", 2'000}});
    const auto timed =
        clicks.assign_timestamps_and_watermarks({.out_of_orderness = std::chrono::seconds(5)},
                                                [](const Click& click) { return click.time_ms; });
    timed.key_by([](const Click& click) { return click.page; }).process(Fade{}).collect(seen);
  });
  CHECK(seen->values() == Lines{"/ 1 at 1000", "/ 2 at 2000"});
}

// runtime/runtime_context.hpp and state/keyed_state.hpp, which functions see

struct Contextual final : RichFlatMapFunction<std::string, long> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
  }
  void flat_map(const std::string&, Collector<long>& out) override {
    ValueState<long>& counts = count_;
    long& count = counts.mutable_value();  // 0 for a new key
    ++count;
    out.collect(count);
  }
  ValueState<long> count_;
};

// state/descriptors.hpp

struct Average final : AggregateFunction<double, std::pair<double, long>, double> {
  std::pair<double, long> create_accumulator() const override { return {0, 0}; }
  void add(const double& value, std::pair<double, long>& sum) const override {
    sum.first += value;
    ++sum.second;
  }
  double get_result(const std::pair<double, long>& sum) const override {
    return sum.first / static_cast<double>(sum.second);
  }
  void merge(const std::pair<double, long>& other, std::pair<double, long>& sum) const override {
    sum.first += other.first;
    sum.second += other.second;
  }
};

struct Averages final : RichFlatMapFunction<Order, Total> {
  void open(RuntimeContext& context) override {
    average_ = context.aggregating_state(
        AggregatingStateDescriptor<double, std::pair<double, long>, double>{
            "average", std::make_shared<Average>()});
  }
  void flat_map(const Order& order, Collector<Total>& out) override {
    average_.add(order.amount);
    out.collect({order.customer, *average_.get()});
  }
  AggregatingState<double, std::pair<double, long>, double> average_;
};

// state/keyed_state.hpp

struct Statistics final : RichFlatMapFunction<Order, std::string> {
  void open(RuntimeContext& context) override {
    ReducingStateDescriptor<double> descriptor{"largest",
                                               [](double a, double b) { return std::max(a, b); }};
    largest = context.reducing_state(descriptor);
    amounts = context.list_state(ListStateDescriptor<double>{"amounts"});
    orders = context.map_state(MapStateDescriptor<double, long>{"orders by amount"});
    average = context.aggregating_state(
        AggregatingStateDescriptor<double, std::pair<double, long>, double>{
            "average", std::make_shared<Average>()});
  }
  void flat_map(const Order& order, Collector<std::string>& out) override {
    amounts.add(order.amount);
    if (amounts.size() > 2) amounts.clear();
    largest.add(order.amount);
    const double so_far = *largest.get();  // not null, as something was added
    average.add(order.amount);
    const double mean = *average.get();    // not empty, as something was added
    ++orders.mutable_value(order.amount);  // 0 for a new one
    long sum = 0;
    orders.for_each([&](const double&, const long& number) { sum += number; });
    out.collect(std::to_string(amounts.size()) + " " + std::to_string(std::lround(so_far)) + " " +
                std::to_string(std::lround(mean)) + " " + std::to_string(sum));
  }
  ListState<double> amounts;
  ReducingState<double> largest;
  AggregatingState<double, std::pair<double, long>, double> average;
  MapState<double, long> orders;
};

TEST_CASE("the examples of the kinds of keyed state do what they say", "[api]") {
  const auto rows = collector<std::string>();
  run_by_hand([&](StreamEnvironment& env) {
    env.from_collection<Order>({{"x", 4}, {"x", 2}, {"x", 6}})
        .key_by([](const Order& order) { return order.customer; })
        .flat_map(Statistics{})
        .collect(rows);
  });
  CHECK(rows->values() == Lines{"1 4 4 1", "2 4 3 2", "0 6 4 3"});
}

TEST_CASE("the example of an aggregating state averages", "[api]") {
  const auto averages = collector<Total>();
  run_by_hand([&](StreamEnvironment& env) {
    env.from_collection<Order>({{"x", 1}, {"x", 4}})
        .key_by([](const Order& order) { return order.customer; })
        .flat_map(Averages{})
        .collect(averages);
  });
  CHECK(averages->values() == std::vector<Total>{{"x", 1}, {"x", 2.5}});
}

TEST_CASE("the example of a runtime context counts", "[api]") {
  const auto counts = collector<long>();
  run_by_hand([&](StreamEnvironment& env) {
    env.from_collection<std::string>({"a", "a"})
        .key_by([](const std::string& word) { return word; })
        .flat_map(Contextual{})
        .collect(counts);
  });
  CHECK(counts->values() == std::vector<long>{1, 2});
}

}  // namespace
}  // namespace weir::test::state_examples
