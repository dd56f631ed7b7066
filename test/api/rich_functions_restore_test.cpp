#include "test/api/restore_harness.hpp"

namespace weir::test {
namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };

/// Keeps keyed state of every kind.
struct EveryState final : RichFlatMapFunction<Entry, std::string> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<long>{"count"});
    numbers_ = context.list_state(ListStateDescriptor<std::string>{"numbers"});
    largest_ = context.reducing_state(ReducingStateDescriptor<long>{
        "largest", [](const long& a, const long& b) { return std::max(a, b); }});
  }
  void flat_map(const Entry& entry, Collector<std::string>& out) override {
    ++count_.mutable_value();
    numbers_.add(std::to_string(entry.number));
    largest_.add(100 - entry.number);
    std::string text =
        entry.key + " " + std::to_string(*count_.value()) + " " + std::to_string(*largest_.get());
    numbers_.for_each([&](const std::string& number) { text += "," + number; });
    out.collect(std::move(text));
    if (entry.number == 6) numbers_.clear();
  }
  ValueState<long> count_;
  ListState<std::string> numbers_;
  ReducingState<long> largest_;
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

}  // namespace
}  // namespace weir::test
