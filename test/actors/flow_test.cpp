#include <catch2/catch.hpp>

#include "test/actors/local_cluster.hpp"

namespace weir::test {
namespace {

struct Count {
  std::string word;
  std::int64_t count = 0;
  bool operator==(const Count&) const = default;
};
WEIR_FIELDS(Count, word, count)

/// Counts generated words; emits each word's total at the end of the input.
struct CountWords final : KeyedProcessFunction<std::string, std::string, Count> {
  void open(RuntimeContext& context) override { count_ = context.state(ValueStateDescriptor<std::int64_t>{"count"}); }
  void process_element(const std::string&, Context&, Collector<Count>&) override { ++count_.mutable_value(); }
  void on_end_of_input(const std::string& word, Context&, Collector<Count>& out) {
    out.collect({word, *count_.value()});
  }
  ValueState<std::int64_t> count_;
};

std::function<void(StreamEnvironment&)> counting_job(std::uint64_t records, double rate,
                                                     std::shared_ptr<Collected<Count>> into) {
  return [=](StreamEnvironment& env) {
    env.generate(records, [](std::uint64_t i) { return "w" + std::to_string(i % 100); }, rate)
        .uid("words")
        .key_by([](const std::string& word) { return word; })
        .process(CountWords{})
        .uid("count")
        .collect(into)
        .uid("results");
  };
}

void check_counts(const Collected<Count>& collected, std::int64_t each) {
  auto values = collected.values();
  std::ranges::sort(values, {}, &Count::word);
  REQUIRE(values.size() == 100);
  for (const Count& one : values) CHECK(one.count == each);
}

TEST_CASE("a job runs to the end of its input and finishes", "[actors]") {
  const auto backend = GENERATE("memory", "fs", "rocksdb");
  const auto parallelism = GENERATE("1", "3");
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  auto results = std::make_shared<Collected<Count>>();
  cluster.libraries().add("count", counting_job(100000, 0, results));
  const auto job = cluster.submit("count", {{"state.backend", backend}, {"parallelism.default", parallelism}});
  INFO((job ? "" : job.error().what));
  REQUIRE(job);
  const auto end = cluster.wait_for_end(*job);
  INFO(end.failure << cluster.log());
  CHECK(end.overview.state == JobState::finished);
  check_counts(*results, 1000);
}

}  // namespace
}  // namespace weir::test
