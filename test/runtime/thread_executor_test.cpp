#include "runtime/thread_executor.hpp"

#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <sys/wait.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>

#include "runtime/crash_reporter.hpp"
#include "runtime/snapshot_job.hpp"
#include "storage/system.hpp"
#include "test/runtime/probe_operators.hpp"

namespace weir::test {
namespace {

/// Lets the test wait for a state that a task reaches on its own thread.
class WaitingListener final : public TaskListener {
 public:
  void on_state(TaskState state, const Error& failure, bool) override {
    const std::scoped_lock lock(mutex_);
    state_ = state;
    failure_ = failure.what;
    changed_.notify_all();
  }
  void on_acknowledge(CheckpointId, TaskSnapshot, CheckpointMetrics) override {}
  void on_decline(CheckpointId, DeclineReason, std::string) override {}
  void on_warning(std::string) override {}
  /// Waits until the task is in `state`, or has ended.
  TaskState wait_for(TaskState state) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return state_ == state || is_terminal(state_); });
    return state_;
  }
  std::string failure() {
    const std::scoped_lock lock(mutex_);
    return failure_;
  }

 private:
  std::mutex mutex_;  // guards state_ and failure_
  std::condition_variable changed_;
  TaskState state_ = TaskState::created;
  std::string failure_;
};

/// Emits 0 up to `count`, each only when its predecessor has come out of the job again.
class PingPongSource final : public SourceOperator {
 public:
  struct Ball {
    std::atomic<long> returned{0};
    std::mutex mutex;  // guards wake
    std::function<void()> wake;
    void come_back() {
      ++returned;
      const std::scoped_lock lock(mutex);
      if (wake) wake();
    }
  };
  PingPongSource(std::shared_ptr<Ball> ball, long count) : ball_(std::move(ball)), count_(count) {}
  Status open(OperatorContext& context) override {
    const std::scoped_lock lock(ball_->mutex);
    ball_->wake = context.waker();
    return {};
  }
  PollResult poll() override {
    if (ball_->returned < next_) return PollResult::nothing_now;
    if (next_ == count_) return PollResult::end;
    output_.collector().collect(next_++);
    return PollResult::nothing_now;
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  const std::shared_ptr<Ball> ball_;
  const long count_;
  long next_ = 0;
  Output<long> output_;
};

/// The tasks of a plan, one of each vertex, on threads of their own.
struct RunningPlan {
  explicit RunningPlan(const std::shared_ptr<const Plan>& plan,
                       std::size_t channel_bytes = 1 << 16) {
    const PlanDescription description = plan->describe();
    const JobGraph graph = build_job_graph(description);
    std::map<std::uint32_t, std::shared_ptr<Channel>> channels;
    for (const std::uint32_t e : graph.exchange_edges)
      channels[e] = std::make_shared<Channel>(channel_bytes);
    for (std::uint32_t v = 0; v < graph.vertices.size(); ++v) {
      TaskEnvironment env;
      env.execution = {v, 0, 0};
      env.description = description;
      env.graph = graph;
      env.plan = plan;
      env.backend = std::make_shared<MemoryStateBackend>();
      env.storage = std::make_shared<MemoryStorage>();
      env.clock = &clock;
      env.random = &random;
      env.io = &io;
      env.listener = listeners.emplace_back(std::make_shared<WaitingListener>());
      for (const std::uint32_t e : graph.exchange_edges) {
        const EdgeDescription& edge = description.edges[e];
        if (graph.vertex_of[edge.consumer] == v) env.inputs.push_back({edge.input, {channels[e]}});
        if (graph.vertex_of[edge.producer] == v) env.outputs.push_back({e, {channels[e]}});
      }
      tasks.push_back(std::make_shared<StreamTask>(std::move(env)));
    }
    for (const auto& task : tasks) {
      task->start();
      REQUIRE(executor.start(task));
    }
  }
  ~RunningPlan() {
    for (const auto& task : tasks) task->cancel();
  }
  /// Ends the tasks, which have all reached the end of their input.
  void finish() {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      REQUIRE(listeners[i]->wait_for(TaskState::finishing) == TaskState::finishing);
      tasks[i]->notify_checkpoint_complete({1}, SnapshotKind::checkpoint, true);
      REQUIRE(listeners[i]->wait_for(TaskState::finished) == TaskState::finished);
    }
  }

  SystemClock clock;
  SystemRandom random;
  std::vector<std::shared_ptr<WaitingListener>> listeners;
  std::vector<std::shared_ptr<StreamTask>> tasks;
  IoPool io{1};
  ThreadExecutor executor;
};

TEST_CASE("tasks run to completion on threads of their own", "[runtime]") {
  const auto collected = std::make_shared<Collected<long>>();
  RunningPlan running(plan_of([&](StreamEnvironment& env) {
                        env.generate(100'000, [](std::uint64_t i) { return static_cast<long>(i); })
                            .map([](long value) { return 2 * value; })
                            .rebalance()
                            .filter([](long value) { return value % 3 == 0; })
                            .collect(collected);
                      }),
                      1 << 12);
  running.finish();
  const auto values = collected->values();
  REQUIRE(values.size() == 33'334);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != static_cast<long>(6 * i)) FAIL("out of order");
}

TEST_CASE("two tasks that park after every record lose no wake-up", "[runtime]") {
  constexpr long count = 100'000;
  const auto ball = std::make_shared<PingPongSource::Ball>();
  long received = 0;
  RunningPlan running(plan_of([&](StreamEnvironment& env) {
    env.add_source<long>("ping", [=] { return std::make_unique<PingPongSource>(ball, count); })
        .rebalance()
        .filter([&received, ball](long) {
          ++received;
          ball->come_back();
          return false;
        })
        .collect(std::make_shared<Collected<long>>());
  }));
  running.finish();
  CHECK(received == count);
}

TEST_CASE("a cancelled task ends although it is parked", "[runtime]") {
  RunningPlan running(source_plan(std::make_shared<Script>(), std::make_shared<Script>()));
  CHECK(running.listeners[0]->wait_for(TaskState::running) == TaskState::running);
  running.tasks[0]->cancel();
  CHECK(running.listeners[0]->wait_for(TaskState::canceled) == TaskState::canceled);
}

TEST_CASE("the I/O pool runs everything that it was given before it ends", "[runtime]") {
  std::atomic<int> count{0};
  {
    IoPool pool(2);
    for (int i = 0; i < 1000; ++i) pool.submit([&] { ++count; });
  }
  CHECK(count == 1000);
}

/// What a forked child that does `work` prints to stderr, and how it ended.
std::pair<std::string, int> in_child(const std::function<void()>& work) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    // Not Catch2's handlers, and no core file.
    for (const int signal : {SIGSEGV, SIGABRT}) std::signal(signal, SIG_DFL);
    install_crash_reporter();
    set_crash_notice({"job of another name", "told no more"});
    set_crash_notice({"job bad (12ab)", "resume it"});
    work();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string printed;
  char buffer[1024];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    printed.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return {printed, status};
}

/// The same when a user function does `crash`, or the making of its operator does.
std::pair<std::string, int> crash_in_child(void (*crash)(), const std::string& uid,
                                           bool while_made = false) {
  return in_child([&] {
    auto script = std::make_shared<Script>();
    auto source = std::make_shared<Script>();
    source->values = {1};
    script->on_record = [crash](long, Collector<long>&) { crash(); };
    RunningPlan running(plan_of([&](StreamEnvironment& env) {
      auto stream = probe_source(env, source)
                        .add<long>(
                            "bad",
                            [=] {
                              if (while_made) crash();
                              return std::make_unique<Probe>("bad", script);
                            },
                            true);
      if (!uid.empty()) stream.uid(uid);
      drop(stream);
    }));
    running.listeners[0]->wait_for(TaskState::finished);
  });
}

TEST_CASE("a crash in a user function names its operator, and the process dies of it",
          "[runtime]") {
  const auto [printed, status] = crash_in_child([] { ::raise(SIGSEGV); }, "bad-one");
  CHECK(
      printed.starts_with("weir: operator 'bad-one', subtask 0 of job bad (12ab) crashed the "
                          "process (SIGSEGV); resume it\n"));
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  const auto [said, aborted] = crash_in_child([] { std::abort(); }, "");
  CHECK(
      said.starts_with("weir: operator 'bad' (uid 'generated-1'), subtask 0 of job bad (12ab) "
                       "crashed the process (SIGABRT)"));
  REQUIRE(WIFSIGNALED(aborted));
  CHECK(WTERMSIG(aborted) == SIGABRT);
  const auto made = crash_in_child([] { ::raise(SIGSEGV); }, "bad-one", true).first;
  CHECK(
      made.starts_with("weir: operator 'bad-one', subtask 0 of job bad (12ab) crashed the process "
                       "(SIGSEGV); resume it\n"));
}

/// Throws where nobody may.
template <class E>
void throw_through_noexcept() {
  const auto thrower = [] {
    if constexpr (std::is_same_v<E, std::system_error>)
      throw E(std::make_error_code(std::errc::resource_unavailable_try_again));
    else if constexpr (std::is_same_v<E, std::runtime_error>)
      throw E("no way out");
    else
      throw E();
  };
  const auto through = [](const auto& call) noexcept { call(); };
  through(thrower);
}

TEST_CASE("an exception that nobody catches is told as such, and the want of memory as what it is",
          "[runtime]") {
  const auto [printed, status] =
      crash_in_child(throw_through_noexcept<std::runtime_error>, "bad-one");
  CHECK(printed ==
        "weir: operator 'bad-one', subtask 0 of job bad (12ab) crashed the process (SIGABRT) by an "
        "exception that nobody has caught: no way out; resume it\n");
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  const std::string without =
      "weir: operator 'bad-one', subtask 0 of job bad (12ab): the process has no memory left, or "
      "may start no more threads, and ends: raise the limit (ulimit -v or -u, or that of the "
      "control group), or lower the parallelism; resume it\n";
  CHECK(crash_in_child(throw_through_noexcept<std::bad_alloc>, "bad-one").first == without);
  CHECK(crash_in_child(throw_through_noexcept<std::system_error>, "bad-one").first == without);
}

/// Does `crash` where a snapshot calls functions of the job.
struct CrashingSnapshot final : SnapshotTask {
  explicit CrashingSnapshot(void (*crash)()) : crash(crash) {}
  Result<KeyedSnapshot> run(SnapshotSink&) override {
    crash();
    return KeyedSnapshot();
  }
  void (*crash)();
};

/// Uses up the stack.
int descend(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? depth : descend(depth + 1) + frame[0];
}

TEST_CASE("a crash while a snapshot is written names the operator whose state it is", "[runtime]") {
  using Case = std::pair<void (*)(), int>;
  const auto [crash, signal] = GENERATE(values<Case>(
      {{[] { std::abort(); }, SIGABRT}, {[] { (void)descend(0); }, SIGSEGV}, {[] {}, 0}}));
  const auto [printed, status] = in_child([crash = crash] {
    SystemRandom random;
    IoPool pool(1);
    std::vector<FrozenOperator> operators(2);
    operators[0].label = "operator 'good'";
    operators[1].label = "operator 'bad-one'";
    operators[1].subtask = 3;
    operators[1].keyed = std::make_unique<CrashingSnapshot>(crash);
    auto writer = std::make_unique<TaskSnapshotWriter>(nullptr, "", "",
                                                       SnapshotPlacement{.files = false}, random);
    auto job = std::make_shared<SnapshotJob>(std::move(operators), std::move(writer));
    pool.submit([job = std::move(job)] { (void)job->run(); });
    pool.submit([] { std::abort(); });  // behind it the thread is nobody's
  });
  const std::string whose = signal == 0 ? "" : "operator 'bad-one', subtask 3 of ";
  const std::string how = signal == SIGSEGV ? "SIGSEGV" : "SIGABRT";
  CHECK(printed ==
        "weir: " + whose + "job bad (12ab) crashed the process (" + how + "); resume it\n");
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == (signal == 0 ? SIGABRT : signal));
}

TEST_CASE(
    "a user function that calls exit ends the process as a failure, and its operator is named",
    "[runtime]") {
  for (void (*leave)() : {+[] { std::exit(0); }, +[] { std::quick_exit(0); }}) {
    const auto [printed, status] = crash_in_child(leave, "bad-one");
    CHECK(printed ==
          "weir: operator 'bad-one', subtask 0 of job bad (12ab) called exit, which ends the "
          "process before the job; throw an exception instead; resume it\n");
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == EXIT_FAILURE);
  }
}

}  // namespace
}  // namespace weir::test
