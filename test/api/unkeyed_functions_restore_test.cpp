#include "test/api/restore_harness.hpp"

namespace weir::test {
namespace {

std::string text(const Entry& entry) { return entry.key + std::to_string(entry.number); }

/// The lines that are numbers, added up.
Lines total(const Lines& lines) {
  long sum = 0;
  for (const auto& line : lines) sum += std::stol(line);
  return {std::to_string(sum)};
}

/// Sums up in a field.
struct SumUp final : RichFlatMapFunction<Entry, std::string>, Checkpointed<long> {
  void flat_map(const Entry& entry, Collector<std::string>&) override { sum_ += entry.number; }
  void on_end_of_input(Collector<std::string>& out) { out.collect(std::to_string(sum_)); }
  long snapshot_state() override { return sum_; }
  void restore_state(const long& sum) override { sum_ += sum; }
  long sum_ = 0;
};

/// Holds every record back until the end.
struct HoldBack final : ProcessFunction<Entry, std::string>, CheckpointedFunction {
  void initialize_state(FunctionInitializationContext& context) override {
    state_ = context.list_state<Entry>("held");
    CHECK((context.is_restored() || state_->get().empty()));
    held_ = state_->get();
  }
  void snapshot_state(const FunctionSnapshotContext& context) override {
    CHECK(context.checkpoint.value > 0);
    state_->update(held_);
  }
  void process_element(const Entry& entry, Collector<std::string>&) override {
    held_.push_back(entry);
  }
  void on_end_of_input(Collector<std::string>& out) {
    for (const Entry& entry : held_) out.collect(text(entry));
  }
  OperatorListState<Entry>* state_ = nullptr;
  std::vector<Entry> held_;
};

/// Keeps what it saw in a list that is dealt out, and the largest number in one that all get.
struct ListAndUnion final : ProcessFunction<Entry, std::string> {
  void open(RuntimeContext& context) override {
    seen_ = context.operator_list_state<std::string>("seen");
    largest_ = context.operator_union_state<long>("largest");
    const std::vector<long> all = largest_->get();
    for (const long number : all) raise(number);
  }
  void process_element(const Entry& entry, Collector<std::string>&) override {
    seen_->add(text(entry));
    raise(entry.number);
  }
  void on_end_of_input(Collector<std::string>& out) {
    for (const auto& line : seen_->get()) out.collect(line);
    out.collect("largest " + std::to_string(number_));
  }
  void raise(long number) {
    number_ = std::max(number_, number);
    largest_->update({number_});
  }
  OperatorListState<std::string>* seen_ = nullptr;
  OperatorListState<long>* largest_ = nullptr;
  long number_ = -1;
};

TEST_CASE("functions without state go on after a restore", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.filter([](const Entry& entry) { return entry.number % 3 != 0; })
        .map([](Entry entry) { return Entry{entry.key + "!", entry.number}; })
        .flat_map<std::string>([](const Entry& entry, Collector<std::string>& out) {
          for (long i = 0; i < entry.number % 4; ++i) out.collect(text(entry));
        });
  });
}

TEST_CASE("a Checkpointed function is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) { return stream.flat_map(SumUp{}); }, total);
}

TEST_CASE("a CheckpointedFunction is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) { return stream.process(HoldBack{}); });
}

TEST_CASE("a function with list and union state is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) { return stream.process(ListAndUnion{}); },
                 [](Lines lines) {
                   // A subtask knows the largest number of all only after a restore.
                   long largest = -1;
                   std::erase_if(lines, [&](const std::string& line) {
                     if (!line.starts_with("largest ")) return false;
                     largest = std::max(largest, std::stol(line.substr(8)));
                     return true;
                   });
                   lines.push_back("largest " + std::to_string(largest));
                   return sorted(lines);
                 });
}

}  // namespace
}  // namespace weir::test
