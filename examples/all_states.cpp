// A rich function with every kind of keyed state: a value, a value that is reduced, one that is aggregated,
// a list whose elements live for an hour, and a map. And a function without key that keeps operator state:
// the elements that each subtask has seen last.
//
//   weir run all_states.so [--readings N] [--rate PER_SECOND]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <weir/weir.hpp>

namespace {

using namespace weir;

struct Reading {
  std::string sensor;
  double celsius = 0;
};
WEIR_FIELDS(Reading, sensor, celsius)

struct Summary {
  std::string sensor;
  std::uint64_t readings = 0;
  double warmest = 0;
  double mean = 0;
  std::int64_t commonest = 0;  // whole degrees; the lowest of those that came equally often
  std::vector<double> latest;
};
WEIR_FIELDS(Summary, sensor, readings, warmest, mean, commonest, latest)

/// What is kept of the numbers whose mean is asked for.
struct Sum {
  double total = 0;
  std::uint64_t count = 0;
};
WEIR_FIELDS(Sum, total, count)

struct Mean final : AggregateFunction<double, Sum, double> {
  Sum create_accumulator() const override { return {}; }
  void add(const double& value, Sum& sum) const override {
    sum.total += value;
    ++sum.count;
  }
  double get_result(const Sum& sum) const override {
    return sum.total / static_cast<double>(sum.count);
  }
  void merge(const Sum& other, Sum& sum) const override {
    sum.total += other.total;
    sum.count += other.count;
  }
};

/// Emits a summary with every third reading of a sensor.
class Summarize final : public RichFlatMapFunction<Reading, Summary> {
 public:
  void open(RuntimeContext& context) override {
    readings_ = context.state(ValueStateDescriptor<std::uint64_t>{"readings"});
    warmest_ = context.reducing_state(ReducingStateDescriptor<double>{
        "warmest", [](double a, double b) { return std::max(a, b); }});
    mean_ = context.aggregating_state(
        AggregatingStateDescriptor<double, Sum, double>{"mean", std::make_shared<Mean>()});
    by_degree_ =
        context.map_state(MapStateDescriptor<std::int64_t, std::uint64_t>{"readings by degree"});
    latest_ = context.list_state(
        ListStateDescriptor<double>{"latest", StateTtlConfig{std::chrono::hours(1)}});
  }
  void flat_map(const Reading& reading, Collector<Summary>& out) override {
    const std::uint64_t readings = ++readings_.mutable_value();
    warmest_.add(reading.celsius);
    mean_.add(reading.celsius);
    ++by_degree_.mutable_value(std::llround(reading.celsius));
    latest_.add(reading.celsius);
    if (readings % 3 != 0) return;
    out.collect({reading.sensor, readings, *warmest_.get(), *mean_.get(), commonest_degree(),
                 latest_.get()});
    latest_.clear();
  }

 private:
  std::int64_t commonest_degree() const {
    std::int64_t commonest = 0;
    std::uint64_t most = 0;
    // In no particular order, so what comes out must not depend on one.
    by_degree_.for_each([&](std::int64_t degree, std::uint64_t readings) {
      if (readings < most || (readings == most && degree > commonest)) return;
      commonest = degree;
      most = readings;
    });
    return commonest;
  }

  ValueState<std::uint64_t> readings_;
  ReducingState<double> warmest_;
  AggregatingState<double, Sum, double> mean_;
  MapState<std::int64_t, std::uint64_t> by_degree_;
  ListState<double> latest_;
};

/// Remembers the last few summaries of its subtask in operator list state and prints how many there are.
class RememberLast final : public ProcessFunction<Summary, std::string>,
                           public CheckpointedFunction {
 public:
  void initialize_state(FunctionInitializationContext& context) override {
    last_ = context.list_state<Summary>("last");
    recent_ = last_->get();
  }
  void process_element(const Summary& summary, Collector<std::string>& out) override {
    recent_.push_back(summary);
    if (recent_.size() > 5) recent_.erase(recent_.begin());
    out.collect(summary.sensor + ": " + std::to_string(summary.readings) + " readings, warmest " +
                std::to_string(summary.warmest) + ", mean " + std::to_string(summary.mean) +
                ", most often " + std::to_string(summary.commonest));
  }
  void snapshot_state(const FunctionSnapshotContext&) override { last_->update(recent_); }

 private:
  OperatorListState<Summary>* last_ = nullptr;
  std::vector<Summary> recent_;
};

}  // namespace

WEIR_JOB(all_states) {
  const auto readings = env.parameters().number("readings", 30);
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));

  env.generate(
         readings,
         [](std::uint64_t i) {
           return Reading{"sensor-" + std::to_string(i % 4),
                          15.0 + static_cast<double>(i * 7 % 20)};
         },
         rate)
      .uid("readings")
      .key_by([](const Reading& reading) { return reading.sensor; })
      .flat_map(Summarize{})
      .uid("summaries")
      .process(RememberLast{})
      .uid("last")
      .print()
      .uid("print");
}
