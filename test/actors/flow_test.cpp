#include <algorithm>
#include <atomic>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "test/actors/gated_source.hpp"
#include "test/actors/local_cluster.hpp"

namespace weir::test {
namespace {

struct Total {
  std::uint64_t key = 0;
  std::uint64_t count = 0;
  std::uint64_t largest = 0;
  std::uint64_t listed = 0;
  bool operator==(const Total&) const = default;
};
WEIR_FIELDS(Total, key, count, largest, listed)

/// Keeps every kind of keyed state; emits one `Total` per key at the end of the input.
struct KeepTotals final : KeyedProcessFunction<std::uint64_t, std::uint64_t, Total> {
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<std::uint64_t>{"count"});
    largest_ = context.reducing_state(ReducingStateDescriptor<std::uint64_t>{
        "largest", [](auto a, auto b) { return std::max(a, b); }});
    seen_ = context.list_state(ListStateDescriptor<std::uint64_t>{"seen"});
  }
  void process_element(const std::uint64_t& value, Context&, Collector<Total>&) override {
    if (value == poison) throw std::runtime_error("poison");
    ++count_.mutable_value();
    largest_.add(value);
    seen_.add(value);
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<Total>& out) {
    out.collect({key, *count_.value(), *largest_.get(), seen_.size()});
  }
  std::uint64_t poison = ~std::uint64_t{0};
  ValueState<std::uint64_t> count_;
  ReducingState<std::uint64_t> largest_;
  ListState<std::uint64_t> seen_;
};

constexpr std::uint64_t records = 6000;
constexpr std::uint64_t keys = 60;

struct TestJob {
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::shared_ptr<Collected<Total>> results = std::make_shared<Collected<Total>>();

  std::function<void(StreamEnvironment&)> function() const {
    return [*this](StreamEnvironment& env) {
      gated(env, gate, records)
          .uid("numbers")
          .key_by([](const std::uint64_t& value) { return value % keys; })
          .process(KeepTotals{})
          .uid("totals")
          .collect(results)
          .uid("results");
    };
  }
  /// What an uninterrupted run emits, once.
  void check_results() const {
    auto values = results->values();
    std::ranges::sort(values, {}, &Total::key);
    REQUIRE(values.size() == keys);
    for (std::uint64_t key = 0; key < keys; ++key)
      CHECK(values[key] == Total{key, records / keys, records - keys + key, records / keys});
  }
};

/// Waits until `totals` has taken `count` records.
void wait_for_records(LocalCluster& cluster, const JobId& job, std::uint64_t count) {
  const auto details = cluster.wait_until(job, [&](const JobDetails& now) {
    return now.operators.size() > 1 && now.operators[1].records_in >= count;
  });
  REQUIRE(details.overview.state == JobState::running);
}

using Settings = std::map<std::string, std::string>;

TEST_CASE("a job runs to the end of its input and finishes", "[actors]") {
  const auto backend = GENERATE("memory", "fs", "rocksdb");
  const auto parallelism = GENERATE("1", "3");
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  TestJob test;
  cluster.libraries().add("totals", test.function());
  test.gate->open_to(records);
  const auto job =
      cluster.submit("totals", {{"state.backend", backend}, {"parallelism.default", parallelism}});
  INFO((job ? "" : job.error().what));
  REQUIRE(job);
  const auto end = cluster.wait_for_end(*job);
  INFO(end.failure << cluster.log());
  CHECK(end.overview.state == JobState::finished);
  test.check_results();
}

TEST_CASE("a savepoint of any backend and parallelism restores on any other", "[actors]") {
  const auto from = GENERATE("memory", "fs", "rocksdb");
  const auto p = GENERATE("1", "2", "3", "4");
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  TestJob first;
  cluster.libraries().add("first", first.function());
  first.gate->open_to(records / 2);
  const auto job = cluster.submit("first", {{"state.backend", from}, {"parallelism.default", p}});
  REQUIRE(job);
  wait_for_records(cluster, *job, records / 2);
  const auto savepoint = cluster.request<TriggerSavepointSuccess>(
      TriggerSavepoint{*job, directory.path() + "/savepoints"});
  INFO((savepoint ? "" : savepoint.error().what) << cluster.log());
  REQUIRE(savepoint);
  REQUIRE(cluster.request<CancellationSuccess>(CancelJob{*job}));
  CHECK(first.results->values().empty());

  for (const std::string to : {"memory", "fs", "rocksdb"}) {
    for (const std::string q : {"1", "2", "3", "4"}) {
      INFO(from << " at " << p << " to " << to << " at " << q);
      TestJob second;
      cluster.libraries().add("second", second.function());
      second.gate->open_to(records);
      const auto restored = cluster.submit(
          "second", {{"state.backend", to}, {"parallelism.default", q}}, savepoint->path);
      INFO((restored ? "" : restored.error().what));
      REQUIRE(restored);
      const auto end = cluster.wait_for_end(*restored);
      INFO(end.failure << cluster.log());
      CHECK(end.overview.state == JobState::finished);
      second.check_results();
    }
  }
}

TEST_CASE("a job whose function throws restarts from its last checkpoint", "[actors]") {
  const auto backend = GENERATE("memory", "fs", "rocksdb");
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  TestJob test;
  auto fuse = std::make_shared<std::atomic<bool>>(true);
  cluster.libraries().add("fragile", [=](StreamEnvironment& env) {
    gated(env, test.gate, records)
        .uid("numbers")
        .map([fuse](std::uint64_t value) {
          if (value == records / 2 + 7 && fuse->exchange(false))
            throw std::runtime_error("a fuse blew");
          return value;
        })
        .uid("fuse")
        .key_by([](const std::uint64_t& value) { return value % keys; })
        .process(KeepTotals{})
        .uid("totals")
        .collect(test.results)
        .uid("results");
  });
  test.gate->open_to(records / 2);
  const auto job = cluster.submit("fragile", {{"state.backend", backend},
                                              {"parallelism.default", "2"},
                                              {"restart-strategy", "fixed-delay"},
                                              {"restart-strategy.fixed-delay.delay", "1 ms"}});
  REQUIRE(job);
  cluster.wait_until(*job, [](const JobDetails& now) {
    return now.operators.size() > 2 && now.operators[2].records_in >= records / 2;
  });
  const auto checkpoint = cluster.request<CheckpointCompleted>(RequestCheckpoint{*job});
  INFO((checkpoint ? "" : checkpoint.error().what) << cluster.log());
  REQUIRE(checkpoint);
  test.gate->open_to(records);
  const auto end = cluster.wait_for_end(*job);
  INFO(end.failure << cluster.log());
  CHECK(end.overview.state == JobState::finished);
  CHECK(end.overview.restarts == 1);
  CHECK(end.failure.find("a fuse blew") != std::string::npos);
  CHECK(end.failure.find("'fuse'") != std::string::npos);
  test.check_results();
}

TEST_CASE(
    "local directories go with their attempt and their job, also those that a killed process left",
    "[actors]") {
  TemporaryDirectory directory;
  const std::string local = directory.path() + "/local";
  const JobId id{3, 4};
  const std::string of_job = local + "/" + to_string(id);
  const std::string left = of_job + "/0-0-1-9/op-0/db";
  const std::string of_other = local + "/of-another-job";
  boost::filesystem::create_directories(left);
  boost::filesystem::create_directories(of_other);
  LocalCluster cluster(directory.path());
  TestJob test;
  auto fuse = std::make_shared<std::atomic<bool>>(true);
  cluster.libraries().add("fragile", [=](StreamEnvironment& env) {
    gated(env, test.gate, records)
        .map([fuse](std::uint64_t value) {
          if (value == 7 && fuse->exchange(false)) throw std::runtime_error("a fuse blew");
          return value;
        })
        .key_by([](const std::uint64_t& value) { return value % keys; })
        .process(KeepTotals{})
        .uid("totals")
        .collect(test.results);
  });
  const auto submission =
      cluster.submission(id, "fragile",
                         {{"state.backend", "rocksdb"},
                          {"state.backend.rocksdb.localdir", local},
                          {"state.checkpoints.dir", directory.path() + "/checkpoints"},
                          {"restart-strategy", "fixed-delay"},
                          {"restart-strategy.fixed-delay.delay", "1 ms"}});
  REQUIRE(submission);
  const auto submitted = cluster.request<SubmitJobSuccess>(SubmitJob{*submission});
  INFO((submitted ? "" : submitted.error().what) << cluster.log());
  REQUIRE(submitted);
  const auto is_there = [](const std::string& path) { return boost::filesystem::exists(path); };
  CHECK_FALSE(is_there(of_job + "/0-0-1-9"));
  cluster.wait_until(id, [&](const JobDetails& now) {
    return now.overview.state == JobState::running && is_there(of_job + "/1-0-1-0/op-0/db");
  });
  test.gate->open_to(100);
  const auto running = cluster.wait_until(id, [&](const JobDetails& now) {
    return now.overview.restarts == 1 && now.overview.state == JobState::running &&
           is_there(of_job + "/1-0-1-1/op-0/db") && !is_there(of_job + "/1-0-1-0");
  });
  CHECK(running.overview.state == JobState::running);
  REQUIRE(cluster.request<CancellationSuccess>(CancelJob{id}));
  CHECK_FALSE(is_there(of_job));
  CHECK(is_there(of_other));
}

TEST_CASE("the number of a checkpoint that a crash left incomplete is not given again",
          "[actors]") {
  TemporaryDirectory directory;
  const std::string checkpoints = directory.path() + "/checkpoints";
  const JobId id{5, 6};
  const std::string left = checkpoints + "/" + to_string(id) + "/chk-41";
  boost::filesystem::create_directories(left);
  LocalCluster cluster(directory.path());
  TestJob test;
  cluster.libraries().add("totals", test.function());
  const auto submission = cluster.submission(
      id, "totals", {{"state.backend", "fs"}, {"state.checkpoints.dir", checkpoints}});
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  CHECK_FALSE(boost::filesystem::exists(left));
  cluster.wait_until(id,
                     [](const JobDetails& now) { return now.overview.state == JobState::running; });
  const auto checkpoint = cluster.request<CheckpointCompleted>(RequestCheckpoint{id});
  INFO((checkpoint ? "" : checkpoint.error().what) << cluster.log());
  REQUIRE(checkpoint);
  CHECK(checkpoint->checkpoint == CheckpointId{42});
  REQUIRE(cluster.request<CancellationSuccess>(CancelJob{id}));
}

TEST_CASE("stop ends the job with a savepoint from which it goes on exactly once", "[actors]") {
  const bool drain = GENERATE(false, true);
  const bool cancel = GENERATE(false, true);
  if (drain && cancel) return;
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  TestJob first;
  cluster.libraries().add("first", first.function());
  first.gate->open_to(records / 2);
  const auto job = cluster.submit("first", {{"state.backend", "fs"}, {"parallelism.default", "2"}});
  REQUIRE(job);
  wait_for_records(cluster, *job, records / 2);
  std::string savepoint;
  if (cancel) {
    const auto cancelled = cluster.request<CancellationSuccess>(
        CancelJobWithSavepoint{*job, directory.path() + "/savepoints"});
    INFO((cancelled ? "" : cancelled.error().what) << cluster.log());
    REQUIRE(cancelled);
    savepoint = cancelled->savepoint;
  } else {
    const auto stopped = cluster.request<StoppingSuccess>(
        StopJobWithSavepoint{*job, directory.path() + "/savepoints", drain});
    INFO((stopped ? "" : stopped.error().what) << cluster.log());
    REQUIRE(stopped);
    savepoint = stopped->savepoint;
  }
  const auto end = cluster.wait_for_end(*job);
  CHECK(end.overview.state == (cancel ? JobState::canceled : JobState::finished));
  CHECK(first.results->values().size() == (drain ? keys : 0));
  if (drain) return;

  TestJob second;
  cluster.libraries().add("second", second.function());
  second.gate->open_to(records);
  const auto restored = cluster.submit("second", {{"parallelism.default", "3"}}, savepoint);
  REQUIRE(restored);
  CHECK(cluster.wait_for_end(*restored).overview.state == JobState::finished);
  second.check_results();
}

TEST_CASE("checkpoints are deleted when the job finishes, unless retained", "[actors]") {
  const bool retained = GENERATE(false, true);
  TemporaryDirectory directory;
  LocalCluster cluster(directory.path());
  TestJob test;
  cluster.libraries().add("totals", test.function());
  test.gate->open_to(records / 2);
  Settings settings{{"state.backend", "fs"},
                    {"state.checkpoints.dir", directory.path() + "/checkpoints"}};
  if (retained)
    settings["execution.checkpointing.externalized-checkpoint-retention"] =
        "RETAIN_ON_CANCELLATION";
  const auto job = cluster.submit("totals", settings);
  INFO((job ? "" : job.error().what));
  REQUIRE(job);
  wait_for_records(cluster, *job, records / 2);
  REQUIRE(cluster.request<CheckpointCompleted>(RequestCheckpoint{*job}));
  test.gate->open_to(records);
  CHECK(cluster.wait_for_end(*job).overview.state == JobState::finished);
  const auto left = cluster.storage().list(directory.path() + "/checkpoints");
  REQUIRE(left);
  CHECK(left->size() == (retained ? 1 : 0));
}

}  // namespace
}  // namespace weir::test
