#include "test/simulation/seeded_job.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

namespace weir {

namespace {

using std::chrono::milliseconds;

/// One record: its number and its key.
struct Numbered {
  std::uint64_t number = 0;
  std::uint64_t key = 0;
};
WEIR_FIELDS(Numbered, number, key)

/// Numbers of the second stream begin here.
constexpr std::uint64_t second_stream = 70'000;
/// Two keys that no record of a stream has: what `Tally` has counted goes there at the end.
constexpr std::uint64_t first_tally_key = 1000;
/// Where the broadcast state says how many rules it has seen.
constexpr std::uint64_t rules_seen = ~std::uint64_t{0};

std::uint64_t key_of(std::uint64_t number, std::uint64_t keys) {
  return number * 0x9e3779b97f4a7c15 % keys;
}
bool is_tally(const Numbered& record) { return record.key >= first_tally_key; }

EventTime time_of(const Numbered& record) {
  return is_tally(record) ? 0 : static_cast<EventTime>(record.number % second_stream);
}

/// 0: a timer of the record fires; 1: it is set and removed. A key has one timer of a time, so those of the two
/// streams are at different ones.
std::uint64_t timer_phase(std::uint64_t number) {
  return (number + (number < second_stream ? 0 : 2)) % 5;
}

/// What a handle returns, for longer than until the next call of one.
template <class T>
std::optional<T> copy_of(const T* value) {
  return value != nullptr ? std::optional<T>(*value) : std::nullopt;
}

using Extremes = std::pair<std::uint64_t, std::uint64_t>;

struct LowestAndHighest final : AggregateFunction<std::uint64_t, Extremes, std::string> {
  Extremes create_accumulator() const override { return {~std::uint64_t{0}, 0}; }
  void add(const std::uint64_t& number, Extremes& extremes) const override {
    merge({number, number}, extremes);
  }
  std::string get_result(const Extremes& extremes) const override {
    return std::to_string(extremes.first) + " " + std::to_string(extremes.second);
  }
  void merge(const Extremes& other, Extremes& extremes) const override {
    extremes.first = std::min(extremes.first, other.first);
    extremes.second = std::max(extremes.second, other.second);
  }
};

/// What is told of one key. The order of its records makes no difference.
struct Kept {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
  std::string extremes;
  std::map<std::uint64_t, std::uint64_t> remainders;  ///< of the numbers by 7, and how often
  std::vector<std::uint64_t> tenths;
  std::string more;  ///< that the kind of job adds

  [[nodiscard]] std::string line(std::uint64_t key) const {
    // How many subtasks have counted depends on the parallelism.
    if (key >= first_tally_key) return key_prefix + std::to_string(key) + " " + std::to_string(sum);
    std::string text = key_prefix + std::to_string(key) + " " + std::to_string(count) + " " +
                       std::to_string(sum) + " " + extremes;
    for (const auto& [remainder, times] : remainders)
      text += " " + std::to_string(remainder) + "*" + std::to_string(times);
    for (const std::uint64_t tenth : tenths) text += " " + std::to_string(tenth);
    return text + more;
  }
};

/// States that expire within most runs, and beside them, in states that do not, what must be there. It can be
/// told exactly because the virtual clock stands still while a function is called.
class ExpiringStates {
 public:
  ExpiringStates(std::shared_ptr<Chaos> chaos, milliseconds time_to_live)
      : chaos_(std::move(chaos)), time_to_live_(time_to_live) {}
  void open(RuntimeContext& context) {
    const StateTtlConfig written{time_to_live_};
    const StateTtlConfig accessed{time_to_live_, TtlUpdateType::on_read_and_write};
    newest_ = context.state(ValueStateDescriptor<std::uint64_t>{"newest", written});
    recent_ =
        context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{"recent", accessed});
    trail_ = context.list_state(ListStateDescriptor<std::uint64_t>{"trail", written});
    newest_known_ = context.state(ValueStateDescriptor<Known>{"newest known"});
    recent_known_ = context.map_state(MapStateDescriptor<std::uint64_t, Known>{"recent known"});
    trail_known_ = context.state(ValueStateDescriptor<std::vector<Known>>{"trail known"});
  }
  void record(std::uint64_t number, std::int64_t now_ms) {
    const auto lives = [&](const Known& known) {
      return now_ms - known.first < time_to_live_.count();
    };
    compare(copy_of(newest_.value()), copy_of(newest_known_.value()), lives, "value");
    newest_.update(number);
    newest_known_.update({now_ms, number});

    const std::uint64_t map_key = number % 7;
    const std::optional<Known> known = copy_of(recent_known_.get(map_key));
    compare(copy_of(recent_.get(map_key)), known, lives, "map entry");
    if (number % 2 == 0) {
      recent_.put(map_key, number);
      recent_known_.put(map_key, {now_ms, number});
    } else if (known && lives(*known)) {
      recent_known_.mutable_value(map_key).first = now_ms;  // reading has made it young
    }

    std::vector<Known> trail = trail_known_.value_or({});
    std::erase_if(trail, [&](const Known& element) { return !lives(element); });
    std::vector<std::uint64_t> expected;
    for (const Known& element : trail) expected.push_back(element.second);
    if (trail_.get() != expected)
      chaos_->complain("a list with a time to live has " + std::to_string(trail_.get().size()) +
                       " elements instead of " + std::to_string(expected.size()));
    if (number % 3 == 0) {
      trail_.add(number);
      trail.emplace_back(now_ms, number);
    }
    trail_known_.update(std::move(trail));
  }

 private:
  /// When it was last accessed, and the value.
  using Known = std::pair<std::int64_t, std::uint64_t>;

  void compare(const std::optional<std::uint64_t>& found, const std::optional<Known>& known,
               const auto& lives, const std::string& what) const {
    const bool expected = known && lives(*known);
    if (found.has_value() != expected)
      chaos_->complain(expected ? "a " + what + " has gone before its time"
                                : "a " + what + " is there that has expired");
    if (expected && *found != known->second) chaos_->complain("a " + what + " is another one");
  }

  std::shared_ptr<Chaos> chaos_;
  milliseconds time_to_live_;
  ValueState<std::uint64_t> newest_;
  MapState<std::uint64_t, std::uint64_t> recent_;
  ListState<std::uint64_t> trail_;
  ValueState<Known> newest_known_;
  MapState<std::uint64_t, Known> recent_known_;
  ValueState<std::vector<Known>> trail_known_;
};

/// The states of a key in every kind of job, and its timers.
class KeyedStates {
 public:
  KeyedStates(const std::shared_ptr<Chaos>& chaos, milliseconds time_to_live)
      : chaos_(chaos), expiring_(chaos, time_to_live) {}
  void open(RuntimeContext& context) {
    count_ = context.state(ValueStateDescriptor<std::uint64_t>{"count"});
    sum_ = context.reducing_state(ReducingStateDescriptor<std::uint64_t>{
        "sum", [](std::uint64_t a, std::uint64_t b) { return a + b; }});
    last_ = context.state(ValueStateDescriptor<std::string>{"last"});
    every_tenth_ = context.list_state(ListStateDescriptor<std::uint64_t>{"every tenth"});
    extremes_ =
        context.aggregating_state(AggregatingStateDescriptor<std::uint64_t, Extremes, std::string>{
            "extremes", std::make_shared<LowestAndHighest>()});
    // It outlives every run.
    remainders_ = context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{
        "remainders", StateTtlConfig{std::chrono::hours(24 * 1000)}});
    alarms_ = context.map_state(MapStateDescriptor<std::int64_t, bool>{"alarms"});
    expiring_.open(context);
  }

  template <class Context>
  void record(const Numbered& record, Context& context, Collector<std::string>& out) {
    sum_.add(record.number);
    if (is_tally(record)) return;
    auto& timers = context.timer_service();
    const EventTime time = context.timestamp() + 20;
    const std::uint64_t phase = timer_phase(record.number);
    if (phase < 2) timers.register_event_time_timer(time);
    if (phase == 1) timers.delete_event_time_timer(time);
    if (record.number % 4 == 0) {
      const std::int64_t at =
          timers.current_processing_time() + static_cast<std::int64_t>(record.number % 50);
      timers.register_processing_time_timer(at);
      alarms_.put(at, true);
    }
    ++count_.mutable_value();
    // Set and cleared, so that entries come and go.
    if (record.number % 3 == 0)
      last_.clear();
    else
      last_.update(std::string(record.number % 50, 'x') + std::to_string(record.number));
    if (record.number % 10 == 0) every_tenth_.add(record.number);
    extremes_.add(record.number);
    ++remainders_.mutable_value(record.number % 7);
    expiring_.record(record.number, timers.current_processing_time());
    out.collect("record " + std::to_string(record.number));
  }

  template <class Context>
  void timer(std::int64_t time, Context& context, Collector<std::string>& out) {
    if (!count_.contains()) chaos_->complain("a timer without the state of its key");
    if (context.time_domain() == TimeDomain::event_time) {
      out.collect("timer " + std::to_string(time - 20) + " of " +
                  std::to_string(context.current_key()));
      return;
    }
    // Those of a key fire in order, each once.
    if (!alarms_.contains(time)) chaos_->complain("a timer fires twice, or was never set");
    alarms_.for_each_key([&](std::int64_t other) {
      if (other < time) chaos_->complain("a timer was lost");
    });
    alarms_.remove(time);
  }

  [[nodiscard]] Kept kept() {
    Kept kept{count_.value_or(0),
              sum_.get() != nullptr ? *sum_.get() : 0,
              extremes_.get().value_or("none"),
              {},
              every_tenth_.get(),
              {}};
    remainders_.for_each(
        [&](std::uint64_t remainder, std::uint64_t times) { kept.remainders[remainder] = times; });
    std::ranges::sort(kept.tenths);
    return kept;
  }

 private:
  std::shared_ptr<Chaos> chaos_;
  ValueState<std::uint64_t> count_;
  ReducingState<std::uint64_t> sum_;
  ValueState<std::string> last_;
  ListState<std::uint64_t> every_tenth_;
  AggregatingState<std::uint64_t, Extremes, std::string> extremes_;
  MapState<std::uint64_t, std::uint64_t> remainders_;
  MapState<std::int64_t, bool> alarms_;  ///< the timers that go by the clock and have not fired
  ExpiringStates expiring_;
};

/// Lets every record through, tells of every fifth when its timer fires, and at the end of the input what it
/// has kept of each key.
struct Keep final : KeyedProcessFunction<std::uint64_t, Numbered, std::string> {
  Keep(std::shared_ptr<Chaos> with, milliseconds time_to_live)
      : chaos(std::move(with)), states(chaos, time_to_live) {}
  void open(RuntimeContext& context) override { states.open(context); }
  void process_element(const Numbered& record, Context& context,
                       Collector<std::string>& out) override {
    chaos->call();
    states.record(record, context, out);
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    chaos->call();
    states.timer(time, context, out);
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<std::string>& out) {
    out.collect(states.kept().line(key));
  }

  std::shared_ptr<Chaos> chaos;
  KeyedStates states;
};

/// The same of two streams. A record waits for the one of the other stream that has its number, and the one
/// that comes second tells of the pair.
struct Pair final : KeyedCoProcessFunction<std::uint64_t, Numbered, Numbered, std::string> {
  Pair(std::shared_ptr<Chaos> with, milliseconds time_to_live)
      : chaos(std::move(with)), states(chaos, time_to_live) {}
  void open(RuntimeContext& context) override {
    states.open(context);
    first = context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{"first waits"});
    second = context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{"second waits"});
  }
  void process_element1(const Numbered& record, Context& context,
                        Collector<std::string>& out) override {
    chaos->call();
    states.record(record, context, out);
    if (!is_tally(record)) pair(record, first, second, out);
  }
  void process_element2(const Numbered& record, Context& context,
                        Collector<std::string>& out) override {
    chaos->call();
    states.record(record, context, out);
    pair(record, second, first, out);
  }
  using Waiting = MapState<std::uint64_t, std::uint64_t>;
  void pair(const Numbered& record, Waiting& own, Waiting& other, Collector<std::string>& out) {
    const std::uint64_t number = record.number % second_stream;
    if (const std::uint64_t* found = other.get(number)) {
      if (*found == record.number || *found % second_stream != number)
        chaos->complain("what waits is another record");
      other.remove(number);
      out.collect("pair " + std::to_string(number));
    } else {
      own.put(number, record.number);
    }
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    chaos->call();
    states.timer(time, context, out);
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<std::string>& out) {
    Kept kept = states.kept();
    std::uint64_t waiting = 0;
    for (const Waiting* side : {&first, &second})
      side->for_each_key([&](std::uint64_t) { ++waiting; });
    kept.more = ", " + std::to_string(waiting) + " alone";
    out.collect(kept.line(key));
  }

  std::shared_ptr<Chaos> chaos;
  KeyedStates states;
  Waiting first;
  Waiting second;
};

/// What the rules before number `seen` amount to: every third takes the one before it away.
struct RulesModel {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
  explicit RulesModel(std::uint64_t seen) {
    for (std::uint64_t i = 0; i < seen; ++i)
      if (i % 3 != 1 || i + 1 >= seen) {
        ++count;
        sum += i * i;
      }
  }
  [[nodiscard]] std::string text() const {
    return ", " + std::to_string(count) + " rules " + std::to_string(sum);
  }
};

/// The same of a keyed stream and a broadcast one, whose records come from one subtask, so in order.
struct Judge final
    : KeyedBroadcastProcessFunction<std::uint64_t, Numbered, std::uint64_t, std::string> {
  Judge(std::shared_ptr<Chaos> with, milliseconds time_to_live)
      : chaos(std::move(with)), states(chaos, time_to_live) {}
  void open(RuntimeContext& context) override {
    states.open(context);
    seen = context.state(ValueStateDescriptor<std::uint64_t>{"rules seen"});
    rules = context.broadcast_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{"rules"});
  }
  void process_element(const Numbered& record, ReadOnlyContext& context,
                       Collector<std::string>& out) override {
    chaos->call();
    // A snapshot has cut both inputs, so the rules go back no further than what the key has seen of them.
    const std::uint64_t now = check(context.state(rules));
    if (now < seen.value_or(0)) chaos->complain("rules that were seen have gone");
    seen.update(now);
    states.record(record, context, out);
  }
  void process_broadcast_element(const std::uint64_t& rule, BroadcastContext& context,
                                 Collector<std::string>&) override {
    chaos->call();
    auto& state = context.state(rules);
    if (rule != check(state)) chaos->complain("a rule is missing or comes twice");
    state.put(rule, rule * rule);
    if (rule % 3 == 2) state.remove(rule - 1);
    state.put(rules_seen, rule + 1);
  }
  /// How many rules have been seen, of which the state holds what it must.
  std::uint64_t check(const BroadcastState<std::uint64_t, std::uint64_t>& state) const {
    const std::uint64_t* seen = state.get(rules_seen);
    if (seen == nullptr) return 0;
    const RulesModel model(*seen);
    std::uint64_t sum = 0;
    state.for_each([&](std::uint64_t rule, std::uint64_t value) {
      if (rule != rules_seen) sum += value;
    });
    if (state.size() != model.count + 1 || sum != model.sum)
      chaos->complain("the broadcast state is not that of its rules");
    return *seen;
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    chaos->call();
    (void)check(context.state(rules));
    states.timer(time, context, out);
  }
  void on_end_of_input(const std::uint64_t& key, ReadOnlyContext& context,
                       Collector<std::string>& out) {
    Kept kept = states.kept();
    kept.more = RulesModel(check(context.state(rules))).text();
    out.collect(kept.line(key));
  }

  std::shared_ptr<Chaos> chaos;
  KeyedStates states;
  ValueState<std::uint64_t> seen;  ///< how many rules there were at the last record of the key
  BroadcastStateHandle<std::uint64_t, std::uint64_t> rules;
};

/// Counts the records in elements that are dealt out, and in one that all subtasks get and of which each takes
/// over what falls to it. At the end of the input both counts go downstream, to be summed.
struct Tally final : ProcessFunction<Numbered, Numbered> {
  explicit Tally(std::shared_ptr<Chaos> with) : chaos(std::move(with)) {}
  void open(RuntimeContext& context) override {
    dealt = context.operator_list_state<std::uint64_t>("dealt");
    shared = context.operator_union_state<Owned>("shared");
    if (dealt == nullptr || shared == nullptr) return;
    subtask = context.subtask();
    std::uint64_t mine = 0;
    for (const Owned& one : shared->get())
      if (one.first % context.parallelism() == subtask) mine += one.second;
    shared->update({{subtask, mine}});
  }
  void process_element(const Numbered& record, Collector<Numbered>& out) override {
    chaos->call();
    std::vector<std::uint64_t> counts = dealt->get();
    if (counts.empty() || counts.back() >= 20) counts.push_back(0);
    ++counts.back();
    dealt->update(std::move(counts));
    shared->update({{subtask, shared->get().front().second + 1}});
    out.collect(record);
  }
  /// What has been handed on is no longer here: subtasks that have not ended may get it.
  void on_end_of_input(Collector<Numbered>& out) {
    std::uint64_t count = 0;
    for (const std::uint64_t one : dealt->get()) count += one;
    out.collect({count, first_tally_key});
    out.collect({shared->get().front().second, first_tally_key + 1});
    dealt->clear();
    shared->update({{subtask, 0}});
  }

  using Owned = std::pair<std::uint32_t, std::uint64_t>;  ///< subtask and count
  std::shared_ptr<Chaos> chaos;
  std::uint32_t subtask = 0;
  OperatorListState<std::uint64_t>* dealt = nullptr;
  OperatorListState<Owned>* shared = nullptr;
};

constexpr WatermarkStrategy watermarks{.out_of_orderness = milliseconds(10),
                                       .interval = milliseconds(30)};
constexpr auto by_key = [](const Numbered& record) { return record.key; };

DataStream<std::string> add_keyed_operator(StreamEnvironment& env, const SeededJob& job,
                                           const DataStream<Numbered>& records,
                                           const std::shared_ptr<Chaos>& chaos) {
  if (job.shape == SeededJob::Shape::two_streams) {
    auto others = env.generate(
        job.other_records,
        [keys = job.keys](std::uint64_t i) { return Numbered{second_stream + i, key_of(i, keys)}; },
        job.other_records_per_second);
    others.uid("others");
    others = others.assign_timestamps_and_watermarks(watermarks, time_of);
    others.uid("times of others");
    return records.key_by(by_key)
        .connect(others.key_by(by_key))
        .process(Pair(chaos, job.time_to_live));
  }
  if (job.shape == SeededJob::Shape::rules) {
    auto rules = env.generate(
        job.other_records, [](std::uint64_t i) { return i; }, job.other_records_per_second);
    rules.uid("rules").set_parallelism(1);
    rules = rules.assign_timestamps_and_watermarks(
        watermarks, [](std::uint64_t rule) { return static_cast<EventTime>(rule * 10); });
    rules.uid("times of rules").set_parallelism(1);
    return records.key_by(by_key)
        .connect(rules.broadcast())
        .process(Judge(chaos, job.time_to_live));
  }
  return records.key_by(by_key).process(Keep(chaos, job.time_to_live));
}

}  // namespace

std::string SeededJob::describe() const {
  const auto rate = [](double per_second) {
    return std::to_string(static_cast<int>(per_second)) + "/s";
  };
  std::string text = std::to_string(records) + " records at " + rate(records_per_second);
  if (shape != Shape::one_stream)
    text += " and " + std::to_string(other_records) +
            (shape == Shape::rules ? " rules at " : " of a second stream at ") +
            rate(other_records_per_second);
  return text + ", " + std::to_string(keys) + " keys, time to live " +
         std::to_string(time_to_live.count()) + " ms" + (rebalanced ? ", rebalanced" : "") +
         (mapped ? ", mapped" : "") + (tallied ? ", tallied" : "");
}

SeededJob draw_job(SeededRandom& random) {
  SeededJob job{};
  job.shape = static_cast<SeededJob::Shape>(random.below(3));
  job.records = random.between(50, 1200);
  job.keys = random.between(1, 24);
  job.records_per_second = static_cast<double>(random.between(100, 2000));
  // The second stream ends before or after the first.
  const double share = static_cast<double>(random.between(2, 15)) / 10;
  switch (job.shape) {
    case SeededJob::Shape::two_streams:
      job.other_records = random.between(1, job.records);
      break;
    case SeededJob::Shape::rules:
      job.other_records = random.between(1, 60);
      break;
    default:
      break;
  }
  job.other_records_per_second = static_cast<double>(job.other_records) * job.records_per_second /
                                 static_cast<double>(job.records) / share;
  job.max_parallelism = static_cast<std::uint32_t>(random.between(4, 16));
  job.rebalanced = random.one_in(2);
  job.mapped = random.one_in(2);
  job.tallied = random.one_in(2);
  job.time_to_live = milliseconds(random.between(20, 600));
  return job;
}

void Chaos::call() {
  if (calls_to_failure > 0 && --calls_to_failure == 0)
    throw std::runtime_error("the seed wants it");
}

void Chaos::complain(const std::string& what) {
  complaints.push_back(what);
  throw std::logic_error(what);
}

void build_job(StreamEnvironment& env, const SeededJob& job, const std::string& directory,
               const std::shared_ptr<Chaos>& chaos, const WrapSink& wrap_sink) {
  auto records = env.generate(
      job.records, [keys = job.keys](std::uint64_t i) { return Numbered{i, key_of(i, keys)}; },
      job.records_per_second);
  records.uid("records");
  if (job.rebalanced) records = records.rebalance();
  if (job.mapped) {
    records = records.map([chaos](const Numbered& record) {
      chaos->call();
      return record;
    });
    records.uid("look");
  }
  if (job.tallied) {
    records = records.process(Tally(chaos));
    records.uid("tally");
  }
  records = records.assign_timestamps_and_watermarks(watermarks, time_of);
  records.uid("times");
  auto kept = add_keyed_operator(env, job, records, chaos);
  kept.uid("keep").set_max_parallelism(job.max_parallelism);
  const auto as_it_is = [](const std::string& line) { return line; };
  if (!wrap_sink) {
    kept.write_files(directory, as_it_is).uid("files");
    return;
  }
  kept.add_sink("file sink", true,
                [directory, as_it_is, wrap_sink] {
                  return wrap_sink(std::make_unique<FileSink<std::string, decltype(as_it_is)>>(
                      directory, as_it_is));
                })
      .uid("files");
}

std::vector<std::string> expected_lines(const SeededJob& job, bool with_records) {
  std::map<std::uint64_t, Kept> keys;
  std::map<std::uint64_t, Extremes> extremes;
  std::map<std::uint64_t, std::uint64_t> alone;
  const LowestAndHighest function;
  std::vector<std::string> lines;
  const auto keep = [&](std::uint64_t number, std::uint64_t key) {
    Kept& kept = keys[key];
    ++kept.count;
    kept.sum += number;
    function.add(number, extremes.try_emplace(key, function.create_accumulator()).first->second);
    ++kept.remainders[number % 7];
    if (number % 10 == 0) kept.tenths.push_back(number);
    if (!with_records) return;
    lines.push_back("record " + std::to_string(number));
    if (timer_phase(number) == 0)
      lines.push_back("timer " + std::to_string(number % second_stream) + " of " +
                      std::to_string(key));
  };
  const bool pairs = job.shape == SeededJob::Shape::two_streams;
  for (std::uint64_t i = 0; i < job.records; ++i) {
    keep(i, key_of(i, job.keys));
    if (!pairs || i >= job.other_records) ++alone[key_of(i, job.keys)];
  }
  for (std::uint64_t i = 0; pairs && i < job.other_records; ++i) {
    keep(second_stream + i, key_of(i, job.keys));
    if (with_records) lines.push_back("pair " + std::to_string(i));
  }
  for (auto& [key, kept] : keys) {
    kept.extremes = function.get_result(extremes.at(key));
    if (pairs) kept.more = ", " + std::to_string(alone[key]) + " alone";
    if (job.shape == SeededJob::Shape::rules) kept.more = RulesModel(job.other_records).text();
    lines.push_back(kept.line(key));
  }
  for (const std::uint64_t key : {first_tally_key, first_tally_key + 1})
    if (job.tallied) {
      Kept tally;
      tally.sum = job.records;
      lines.push_back(tally.line(key));
    }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace weir
