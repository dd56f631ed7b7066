#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <latch>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include <weir/testing.hpp>

namespace weir::test {
namespace {

using namespace weir::testing;
using Catch::Matchers::Contains;

constexpr std::uint64_t keys = 4;
std::map<std::uint64_t, std::int64_t> seen_by_all;

/// Counts numbers by key and tells the counts at the end; wrong in the way that it is told.
class Count final : public KeyedProcessFunction<std::uint64_t, std::uint64_t, std::string> {
 public:
  explicit Count(std::string wrong) : wrong_(std::move(wrong)) {}
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<std::int64_t>{"count"});
    at_ = context.state(ValueStateDescriptor<std::int64_t>{"at"});
  }
  void process_element(const std::uint64_t& number, Context&, Collector<std::string>&) override {
    const std::uint64_t key = number % keys;
    ++count_.mutable_value();
    ++seen_by_me_[key];
    ++seen_by_all[key];
    if (wrong_ == "clock") at_.update(std::chrono::system_clock::now().time_since_epoch().count());
    if (wrong_ == "crash" && number == 7) std::raise(SIGSEGV);
    if (wrong_ == "throw" && number == 7) throw std::runtime_error("seven is too much");
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<std::string>& out) {
    const std::int64_t count = wrong_ == "member"   ? seen_by_me_[key]
                               : wrong_ == "static" ? seen_by_all[key]
                                                    : *count_.value();
    out.collect(std::to_string(key) + "=" + std::to_string(count));
  }

 private:
  const std::string wrong_;
  std::map<std::uint64_t, std::int64_t> seen_by_me_;
  ValueState<std::int64_t> count_;
  ValueState<std::int64_t> at_;
};

void count_job(StreamEnvironment& env) {
  const auto wrong = env.parameters().get("wrong", "");
  // A source gives up to 1,024 at once: of fewer, a checkpoint has all or none.
  const auto records = env.parameters().number("records", 4000);
  env.generate(records, [](std::uint64_t number) { return number; })
      .uid("numbers")
      .key_by([](std::uint64_t number) { return number % keys; })
      .process(Count{wrong})
      .uid("count")
      .write_files("counts", [](const std::string& line) { return line; })
      .uid("output");
}

void job_that_prints(StreamEnvironment& env) {
  env.generate(10, [](std::uint64_t number) { return number; }).uid("numbers").print().uid("print");
}

void job_that_reads(StreamEnvironment& env) {
  env.read_text({"/nowhere/input.txt"}).uid("lines").print().uid("print");
}

/// One process at a time, as other tests run beside this one.
Simulation count(const std::string& wrong = "") {
  Simulation simulation = simulate(count_job).at_a_time(1);
  if (!wrong.empty()) (void)simulation.arguments({"--wrong", wrong});
  return simulation;
}

/// The text of what is thrown.
template <class E>
std::string thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& failed) {
    return failed.what();
  }
  return "nothing is thrown";
}

/// `text` without the line breaks of long lines.
std::string unwrapped(std::string text) {
  for (auto at = text.find("\n  "); at != std::string::npos; at = text.find("\n  ", at))
    text.replace(at, 3, " ");
  return text;
}

bool is_one_sentence(const std::string& text) {
  return !text.empty() && text.find('\n') == std::string::npos && !text.ends_with('.');
}

}  // namespace

TEST_CASE("a job that keeps its promises passes, whatever happens to it", "[simulation]") {
  const auto outcome = count().seeds(1, 12).expect_exactly_once();
  CHECK(outcome.seeds == 12);
  CHECK(outcome.faults.size() > 5);
  CHECK(count().seeds(1, 3).with_faults(no_faults()).expect_exactly_once().faults.empty());
  CHECK(count().seeds(1, 4).expect_determinism().seeds == 4);
  CHECK(count("static").seeds(1, 4).expect_survival().seeds == 4);
}

TEST_CASE("sets of faults are joined, and only they happen", "[simulation]") {
  const auto faults = count()
                          .seeds(1, 12)
                          .with_faults(fault(FaultClass::crash_task_manager))
                          .with_faults("faults:\n  savepoint: 1\n")
                          .expect_exactly_once()
                          .faults;
  CHECK(faults.contains("crash-task-manager"));
  CHECK(faults.contains("savepoint"));
  CHECK(faults.size() == 2);
  const FaultPlan both = crashes() | fault(FaultClass::rescale, 0.25);
  CHECK(both.of(FaultClass::crash_host) == 0.5);
  CHECK(both.of(FaultClass::rescale) == 0.25);
  CHECK(both.of(FaultClass::torn_write) == 0);
  CHECK(both.disturbances == 15);
}

TEST_CASE("a set of faults, and no other, has each class that may happen", "[simulation]") {
  for (std::size_t i = 0; i < fault_classes; ++i) {
    const auto one = static_cast<FaultClass>(i);
    INFO(to_string(one));
    int sets = 0;
    for (const FaultPlan& set : {crashes(), storage_faults(), network_faults(), operations()})
      sets += set.of(one) > 0 ? 1 : 0;
    const bool is_in_everything_only =
        one == FaultClass::clock_jump || one == FaultClass::poison_record;
    CHECK(sets == (is_in_everything_only ? 0 : 1));
    CHECK(everything().of(one) > 0);
  }
}

TEST_CASE("a count in a member is lost with it, and the failure says all about it",
          "[simulation]") {
  const auto member = [] {
    return count("member").with_faults(fault(FaultClass::crash_task_manager));
  };
  const std::string text =
      thrown<Failure>([&] { (void)member().seeds(1, 40).expect_exactly_once(); });
  INFO(text);
  CHECK_THAT(text, Contains("simulate(job): 40 seeds, ") && Contains(" failed: "));
  const std::string whole_lines = unwrapped(text);
  CHECK_THAT(whole_lines, Contains(" draws ") && Contains("state.backend="));
  CHECK_THAT(whole_lines, Contains("faults that hit: crash-task-manager "));
  CHECK_THAT(whole_lines, Contains("CheckpointCoordinator -> "));
  CHECK_THAT(whole_lines, Contains("E2: ") && Contains("/counts: 4 lines missing, 4 too many"));
  CHECK_THAT(whole_lines, Contains("missing '0=1000'") && Contains("surplus '0="));
  // The seed that it names fails alone in the same way.
  const std::string replay = "  replay: .seeds(";
  const auto at = text.find(replay);
  REQUIRE(at != std::string::npos);
  const std::uint64_t seed = std::stoull(text.substr(at + replay.size()));
  const std::string number = std::to_string(seed);
  CHECK_THAT(text, Contains("  replay: .seeds(" + number + ", " + number +
                            ") in the test, or WEIR_SEED=" + number + " in its environment"));
  const std::string violation = text.substr(text.find("seed " + number + ", step "));
  const std::string alone =
      thrown<Failure>([&] { (void)member().seeds(seed, seed).expect_exactly_once(); });
  CHECK_THAT(alone, Contains("simulate(job): 1 seed, 1 failed: " + number + "\n"));
  CHECK_THAT(alone, Contains(violation.substr(0, violation.find('\n'))));
}

TEST_CASE("a count in a static counts twice what comes again", "[simulation]") {
  const std::string text = unwrapped(thrown<Failure>([] {
    (void)count("static")
        .seeds(1, 40)
        .with_faults(fault(FaultClass::crash_task_manager))
        .expect_exactly_once();
  }));
  CHECK_THAT(text, Contains("E2: ") && Contains("missing '0=1000'"));
}

TEST_CASE("a function that reads the clock is found", "[simulation]") {
  if (sanitized) return;  // a sanitizer has these functions itself
  const std::string text =
      thrown<Failure>([] { (void)count("clock").seeds(1, 2).expect_determinism(); });
  CHECK_THAT(text, Contains("seed 1: determinism: operator 'count' reads the clock"));
  CHECK_THAT(text, Contains("  replay: .seeds(1, 1)"));
}

TEST_CASE("a job that cannot do with its input is told of before any seed runs", "[simulation]") {
  CHECK_THAT(thrown<Failure>([] { (void)count("throw").seeds(1, 2).expect_exactly_once(); }),
             Contains("simulate(job): a run of the job without any fault goes wrong: ") &&
                 Contains("seven is too much"));
  if (sanitized) return;  // which ends a process that crashes in its own way
  CHECK_THAT(thrown<Failure>([] { (void)count("crash").seeds(1, 2).expect_exactly_once(); }),
             Contains("crashed its process (SIGSEGV)"));
}

TEST_CASE("input is bounded, and a job that does not end is told how", "[simulation]") {
  const auto endless = [] {
    return simulate(count_job).arguments({"--records", "18446744073709551615"}).at_a_time(1);
  };
  CHECK(endless().records(40).seeds(1, 2).expect_exactly_once().seeds == 2);
}

TEST_CASE("WEIR_SEED names the one seed that runs", "[simulation]") {
  ::setenv("WEIR_SEED", "5", 1);
  CHECK(count().seeds(1, 400).expect_exactly_once().seeds == 1);
  ::setenv("WEIR_SEED", "5x", 1);
  const std::string text = thrown<BadUse>([] { (void)count().expect_exactly_once(); });
  ::unsetenv("WEIR_SEED");
  CHECK(text == "WEIR_SEED=5x: a seed is a whole number, as a failure tells it");
}

TEST_CASE("the threads of a database end with its harness, and a simulation can begin",
          "[simulation]") {
  const auto sums = [](const DataStream<std::uint64_t>& numbers) {
    return numbers.key_by([](std::uint64_t number) { return number % keys; })
        .map_with_state<std::uint64_t>(
            [](std::uint64_t number, std::uint64_t& sum) { return sum += number; })
        .uid("sums");
  };
  for (int i = 0; i < 2; ++i) {
    auto harness = operator_harness(sums).on("rocksdb");
    harness.push(4);
    harness.push(8);
    CHECK(harness.take_output() == std::vector<std::uint64_t>{4, 12});
    CHECK_THAT(thrown<BadUse>([] { (void)count().expect_exactly_once(); }),
               Contains("let the harness go out of scope first"));
    {
      const auto ended = std::move(harness);
    }
    CHECK(count().seeds(1, 2).expect_exactly_once().seeds == 2);
  }
}

TEST_CASE("settings are fixed for all seeds", "[simulation]") {
  const std::string text = unwrapped(thrown<Failure>([] {
    (void)count("static")
        .with("state.backend", "filesystem")
        .with("execution.checkpointing.interval", "77 ms")
        .parallelism(3)
        .task_managers(3)
        .seeds(1, 40)
        .with_faults(fault(FaultClass::crash_task_manager))
        .expect_exactly_once();
  }));
  CHECK_THAT(text, Contains("state.backend=filesystem"));
  CHECK_THAT(text, Contains("execution.checkpointing.interval=77 ms"));
  CHECK_THAT(text, Contains("parallelism.default=3"));
}

TEST_CASE("what a test cannot ask for is told in one sentence", "[simulation]") {
  const auto refused = [](const std::function<void()>& call, const std::string& what) {
    const std::string text = thrown<BadUse>(call);
    INFO(text);
    CHECK_THAT(text, Contains(what));
    CHECK(is_one_sentence(text));
  };
  refused([] { (void)count().seeds(5, 1); }, "write seeds(1, 5)");
  refused([] { (void)count().records(0); }, "records(0): ");
  refused([] { (void)count().at_a_time(0); }, "at_a_time(0): ");
  refused([] { (void)count().task_managers(0); }, "from 1 to 64");
  refused([] { (void)count().parallelism(0); }, "parallelism.default");
  refused([] { (void)count().with("state.backnd", "memory"); }, "did you mean 'state.backend'");
  refused([] { (void)count().with("state.backend", "floppy"); }, "state.backend");
  refused([] { (void)count().with_faults("faults:\n  crash-everything: 1\n"); },
          "crash-everything");
  refused([] { (void)fault(FaultClass::stop, 1.5); }, "a probability is from 0 to 1");
  refused([] { (void)simulate(nullptr); }, "was given no job");
  refused([] { (void)count().arguments({"--recrods", "5"}).expect_exactly_once(); },
          "did you mean '--records'");
  refused([] { (void)simulate(job_that_prints).expect_exactly_once(); }, "nothing to compare");
  refused([] { (void)simulate(job_that_reads).expect_exactly_once(); }, "/nowhere/input.txt");
  std::latch over(1);
  std::thread other([&over] { over.wait(); });
  refused([] { (void)count().expect_exactly_once(); }, " threads, and each seed runs in a child");
  over.count_down();
  other.join();
}

}  // namespace weir::test
