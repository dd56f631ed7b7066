// Watches sensors: an alert for each reading above the limit of its sensor, and one for each sensor that has
// been silent for a while. The limits are rules that come on a stream of their own and change with time:
// every subtask keeps all of them as broadcast state, beside the keyed state and the timers of its sensors.
//
//   weir run alerts.so --readings FILE --rules FILE --output DIRECTORY [--silence SECONDS] [--rate PER_SECOND]
//
// A reading is a line `TIME SENSOR VALUE`, a rule a line `TIME SENSOR LIMIT`, valid from that time on; times
// are in seconds since 1970, readings come at most 5 seconds late.
#include <chrono>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <weir/weir.hpp>

namespace {

using namespace weir;
using namespace std::chrono_literals;

struct Reading {
  std::int64_t time_ms = 0;
  std::string sensor;
  double value = 0;
};
WEIR_FIELDS(Reading, time_ms, sensor, value)

struct Rule {
  std::int64_t time_ms = 0;
  std::string sensor;
  double limit = 0;
};
WEIR_FIELDS(Rule, time_ms, sensor, limit)

struct Alert {
  std::int64_t time_ms = 0;
  std::string sensor;
  std::string what;
};
WEIR_FIELDS(Alert, time_ms, sensor, what)

/// Parses a line of both files; `T` has a time, a sensor and a number, in that order.
template <class T>
struct Parse {
  std::string path;  ///< where the lines come from, for who must mend one

  T operator()(const std::string& line) const {
    std::istringstream words(line);
    std::int64_t seconds = 0;
    std::string sensor;
    double number = 0;
    if (!(words >> seconds >> sensor >> number) || !(words >> std::ws).eof())
      throw std::invalid_argument(path + ": the line '" + line +
                                  "' is not TIME SENSOR NUMBER; mend it there");
    return {seconds * 1000, sensor, number};
  }
};

/// Readings and rules come in no promised order towards each other. So a reading waits until the watermark,
/// which is the lesser one of both streams, says that every rule up to its time is there: its timer fires.
class Watch final : public KeyedBroadcastProcessFunction<std::string, Reading, Rule, Alert> {
 public:
  explicit Watch(std::int64_t silence_ms) : silence_ms_(silence_ms) {}

  void open(RuntimeContext& context) override {
    waiting_ = context.map_state(MapStateDescriptor<std::int64_t, double>{"waiting"});
    last_ = context.state(ValueStateDescriptor<std::int64_t>{"last"});
    rules_ = context.broadcast_state(MapStateDescriptor<std::string, std::vector<Rule>>{"rules"});
  }

  void process_element(const Reading& reading, ReadOnlyContext& context,
                       Collector<Alert>&) override {
    waiting_.put(reading.time_ms, reading.value);
    context.timer_service().register_event_time_timer(reading.time_ms);
    context.timer_service().register_event_time_timer(reading.time_ms + silence_ms_);
  }

  /// All rules are kept, as readings that wait may be older than the newest.
  void process_broadcast_element(const Rule& rule, BroadcastContext& context,
                                 Collector<Alert>&) override {
    auto& state = context.state(rules_);
    const std::vector<Rule>* known = state.get(rule.sensor);
    std::vector<Rule> rules = known == nullptr ? std::vector<Rule>() : *known;
    rules.push_back(rule);
    state.put(rule.sensor, rules);
  }

  // Found by its name, so without `override`.
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<Alert>& out) {
    const std::string& sensor = context.current_key();
    if (const double* value = waiting_.get(time)) {
      if (const Rule* rule = rule_at(context, sensor, time);
          rule != nullptr && *value > rule->limit)
        out.collect({time, sensor, "above its limit"});
      waiting_.remove(time);
      last_.update(time);
    } else if (const std::int64_t* last = last_.value(); last && *last + silence_ms_ == time) {
      out.collect({time, sensor, "silent"});
    }
  }

 private:
  /// The newest rule of `sensor` that is valid at `time`; null if there is none.
  const Rule* rule_at(OnTimerContext& context, const std::string& sensor, std::int64_t time) const {
    const std::vector<Rule>* rules = context.state(rules_).get(sensor);
    const Rule* newest = nullptr;
    if (rules == nullptr) return newest;
    for (const Rule& rule : *rules)
      if (rule.time_ms <= time && (newest == nullptr || rule.time_ms >= newest->time_ms))
        newest = &rule;
    return newest;
  }

  std::int64_t silence_ms_;
  MapState<std::int64_t, double> waiting_;  ///< readings by their time
  ValueState<std::int64_t> last_;           ///< when the sensor was heard last
  BroadcastStateHandle<std::string, std::vector<Rule>> rules_;
};

}  // namespace

WEIR_JOB(alerts) {
  const auto readings = env.parameters().required("readings");
  const auto rules = env.parameters().required("rules");
  const auto output = env.parameters().required("output");
  const auto silence_ms = 1000 * static_cast<std::int64_t>(env.parameters().number("silence", 60));
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));

  auto rule_stream =
      env.read_text({rules})
          .uid("rule lines")
          .map(Parse<Rule>{rules})
          .uid("rules")
          .assign_timestamps_and_watermarks({}, [](const Rule& rule) { return rule.time_ms; })
          .uid("rule times");

  env.read_text({readings}, rate)
      .uid("reading lines")
      .map(Parse<Reading>{readings})
      .uid("readings")
      .assign_timestamps_and_watermarks({.out_of_orderness = 5s},
                                        [](const Reading& reading) { return reading.time_ms; })
      .uid("reading times")
      .key_by([](const Reading& reading) { return reading.sensor; })
      .connect(rule_stream.broadcast())
      .process(Watch(silence_ms))
      .uid("watch")
      .write_files(output,
                   [](const Alert& alert) {
                     return std::to_string(alert.time_ms / 1000) + '\t' + alert.sensor + '\t' +
                            alert.what;
                   })
      .uid("output");
}
