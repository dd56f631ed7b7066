// A rich function with every kind of keyed state: a value, a value that is reduced, and a list. And a
// function without key that keeps operator state: the elements that each subtask has seen last.
//
//   weir run all_states.so [--readings N] [--rate PER_SECOND]
#include <algorithm>
#include <cstdint>
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
  std::vector<double> latest;
};
WEIR_FIELDS(Summary, sensor, readings, warmest, latest)

/// Emits a summary with every third reading of a sensor.
class Summarize final : public RichFlatMapFunction<Reading, Summary> {
 public:
  void open(RuntimeContext& context) override {
    readings_ = context.state(ValueStateDescriptor<std::uint64_t>{"readings"});
    warmest_ = context.reducing_state(ReducingStateDescriptor<double>{
        "warmest", [](double a, double b) { return std::max(a, b); }});
    latest_ = context.list_state(ListStateDescriptor<double>{"latest"});
  }
  void flat_map(const Reading& reading, Collector<Summary>& out) override {
    const std::uint64_t readings = ++readings_.mutable_value();
    warmest_.add(reading.celsius);
    latest_.add(reading.celsius);
    if (readings % 3 != 0) return;
    out.collect({reading.sensor, readings, *warmest_.get(), latest_.get()});
    latest_.clear();
  }

 private:
  ValueState<std::uint64_t> readings_;
  ReducingState<double> warmest_;
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
                std::to_string(summary.warmest));
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
