// The job of the savepoints in test/golden: every kind of state and many types. What it prints is told at
// the end of the input and is the same wherever it was interrupted.
//
//   weir run golden.so [--count N] [--rate PER_SECOND]
//
// The savepoints are kept for ever, so nothing in here changes: another job makes other golden files.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <weir/weir.hpp>

namespace {

using namespace weir;

enum class Colour : std::uint8_t { red = 1, green = 7 };
WEIR_ENUM(Colour, red, green)

struct Record {
  std::uint64_t number = 0;
  std::string key;
};
WEIR_FIELDS(Record, number, key)

struct Tree {
  std::int16_t value = 0;
  std::vector<Tree> children;
};
WEIR_FIELDS(Tree, value, children)

struct Rich {
  bool flag = false;
  std::int8_t small = 0;
  std::uint32_t medium = 0;
  float real = 0;
  double precise = 0;
  std::string text;
  Colour colour = Colour::red;
  std::array<std::uint16_t, 3> triple{};
  std::vector<std::string> texts;
  std::set<std::int32_t> numbers;
  std::map<std::string, std::int64_t> sums;
  std::optional<std::uint64_t> maybe;
  std::variant<std::int64_t, std::string> either;
  std::pair<std::uint8_t, std::string> both;
  Tree tree;
};
WEIR_FIELDS(Rich, flag, small, medium, real, precise, text, colour, triple, texts, numbers, sums,
            maybe, either, both, tree)

struct Mean final
    : AggregateFunction<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> {
  using Sum = std::pair<std::uint64_t, std::uint64_t>;
  Sum create_accumulator() const override { return {}; }
  void add(const std::uint64_t& value, Sum& sum) const override {
    sum.first += value;
    ++sum.second;
  }
  std::uint64_t get_result(const Sum& sum) const override { return sum.first / sum.second; }
  void merge(const Sum& other, Sum& sum) const override {
    sum.first += other.first;
    sum.second += other.second;
  }
};

Rich rich(std::uint64_t n) {
  Rich made;
  made.flag = n % 2 == 1;
  made.small = static_cast<std::int8_t>(n);
  made.medium = static_cast<std::uint32_t>(n * 1000);
  made.real = static_cast<float>(n) / 2;
  made.precise = static_cast<double>(n) / 8;
  made.text = std::string(n % 30, 't');
  made.colour = n % 3 == 0 ? Colour::green : Colour::red;
  made.triple = {1, 2, static_cast<std::uint16_t>(n)};
  made.texts = {"a", std::to_string(n)};
  made.numbers = {-1, static_cast<std::int32_t>(n)};
  made.sums = {{"n", static_cast<std::int64_t>(n)}, {"minus", -static_cast<std::int64_t>(n)}};
  if (n % 4 == 0) made.maybe = n;
  if (n % 5 == 0) made.either = "five";
  made.both = {static_cast<std::uint8_t>(n % 200), "b"};
  made.tree = {static_cast<std::int16_t>(n % 1000), {{1, {}}, {2, {{3, {}}}}}};
  return made;
}
std::string json_of(const Rich& value) {
  const std::string bytes = encode_value(value);
  ByteReader reader(bytes);
  std::string json;
  if (!append_json(schema_of<Rich>(), reader, json)) return "damaged";
  return json;
}

/// Keeps keyed state of every kind, and the rules of the broadcast side.
struct Keyed final : KeyedBroadcastProcessFunction<std::string, Record, std::string, std::string> {
  void open(RuntimeContext& context) override {
    const StateTtlConfig long_time{std::chrono::hours(24 * 365 * 90)};
    last_ = context.state(ValueStateDescriptor<Rich>{"last"});
    timed_ = context.state(ValueStateDescriptor<std::uint64_t>{"timed", long_time});
    all_ = context.list_state(ListStateDescriptor<std::uint32_t>{"all"});
    largest_ = context.reducing_state(ReducingStateDescriptor<std::uint64_t>{
        "largest", [](const std::uint64_t& a, const std::uint64_t& b) { return std::max(a, b); }});
    mean_ = context.aggregating_state(
        AggregatingStateDescriptor<std::uint64_t, Mean::Sum, std::uint64_t>{
            "mean", std::make_shared<Mean>()});
    tens_ = context.map_state(MapStateDescriptor<std::string, std::uint64_t>{"tens", long_time});
    rules_ = context.broadcast_state(MapStateDescriptor<std::string, std::uint64_t>{"rules"});
  }
  void process_element(const Record& record, ReadOnlyContext& context,
                       Collector<std::string>&) override {
    // The last one by number: records of different sources come in no particular order.
    if (record.number >= timed_.value_or(0)) {
      last_.update(rich(record.number));
      timed_.update(record.number);
    }
    all_.add(static_cast<std::uint32_t>(record.number));
    largest_.add(record.number);
    mean_.add(record.number);
    tens_.mutable_value(std::to_string(record.number / 10)) += record.number;
    context.timer_service().register_event_time_timer(
        static_cast<EventTime>(1'000'000 + record.number));
    context.timer_service().register_processing_time_timer(std::int64_t{1} << 60);
  }
  void process_broadcast_element(const std::string& rule, BroadcastContext& context,
                                 Collector<std::string>&) override {
    context.state(rules_).put(rule, rule.size());
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    out.collect("timer " + context.current_key() + " " + std::to_string(time));
  }
  void on_end_of_input(const std::string& key, ReadOnlyContext& context,
                       Collector<std::string>& out) {
    std::string line = key + " last " + json_of(*last_.value()) + " timed " +
                       std::to_string(*timed_.value()) + " largest " +
                       std::to_string(*largest_.get()) + " mean " + std::to_string(*mean_.get());
    std::vector<std::uint32_t> all = all_.get();
    std::ranges::sort(all);
    for (const std::uint32_t one : all) line += " " + std::to_string(one);
    std::map<std::string, std::uint64_t> tens;
    tens_.for_each([&](const std::string& ten, std::uint64_t sum) { tens[ten] = sum; });
    for (const auto& [ten, sum] : tens) line += " " + ten + ":" + std::to_string(sum);
    context.state(rules_).for_each([&](const std::string& rule, std::uint64_t size) {
      line += " " + rule + "=" + std::to_string(size);
    });
    out.collect(std::move(line));
  }

  ValueState<Rich> last_;
  ValueState<std::uint64_t> timed_;
  ListState<std::uint32_t> all_;
  ReducingState<std::uint64_t> largest_;
  AggregatingState<std::uint64_t, Mean::Sum, std::uint64_t> mean_;
  MapState<std::string, std::uint64_t> tens_;
  BroadcastStateHandle<std::string, std::uint64_t> rules_;
};

/// Operator list and union state: what the records of every tenth number were.
struct Unkeyed final : RichFlatMapFunction<Record, std::string> {
  void open(RuntimeContext& context) override {
    list_ = context.operator_list_state<Record>("list");
    union_ = context.operator_union_state<std::uint64_t>("union");
    is_first_ = context.subtask() == 0;
  }
  void flat_map(const Record& record, Collector<std::string>&) override {
    if (record.number % 10 == 0) list_->add(record);
    if (record.number == 0) union_->add(17);
  }
  void on_end_of_input(Collector<std::string>& out) {
    for (const Record& record : list_->get())
      out.collect("list " + record.key + " " + std::to_string(record.number));
    list_->clear();
    // Whoever has read number 0 has one; everybody has it after a restore.
    if (is_first_)
      out.collect("union " + std::to_string(union_->get().empty() ? 17 : union_->get()[0]));
  }
  OperatorListState<Record>* list_ = nullptr;
  OperatorListState<std::uint64_t>* union_ = nullptr;
  bool is_first_ = false;
};

}  // namespace

WEIR_JOB(golden) {
  const auto count = env.parameters().number("count", 300);
  const auto rate = static_cast<double>(env.parameters().number("rate", 0));
  env.set_max_parallelism(16);
  auto records = env.generate(
      count, [](std::uint64_t i) { return Record{i, "key " + std::to_string(i * 7 % 5)}; }, rate);
  records.uid("records");
  auto rules = env.from_collection<std::string>({"one", "three", "fifteen letters"});
  rules.uid("rules");
  records.key_by([](const Record& record) { return record.key; })
      .connect(rules.broadcast())
      .process(Keyed{})
      .uid("keyed")
      .print()
      .uid("print keyed");
  records.rebalance().flat_map(Unkeyed{}).uid("unkeyed").print().uid("print unkeyed");
}
