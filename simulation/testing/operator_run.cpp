#include "simulation/testing/operator_run.hpp"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <limits>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "actors/pending_checkpoint.hpp"
#include "actors/state_assignment.hpp"
#include "runtime/crash_reporter.hpp"
#include "runtime/stream_task.hpp"
#include "simulation/scenario/snapshot_values.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_file_system.hpp"
#include "simulation/testing/configured_backend.hpp"
#include "simulation/testing/failure.hpp"
#include "simulation/testing/operator_harness.hpp"
#include "state/remove_tree.hpp"
#include "state/snapshot_io.hpp"
#include "state/thrown.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"

namespace weir::testing {
namespace {

using Json = nlohmann::json;

constexpr const char* job_name = "test";
constexpr JobId job{1, 1};
/// Far more than any test needs; then operators go round in a circle.
constexpr int most_steps = 10'000'000;
/// Attempts with databases: those that there are, and those that there were.
std::size_t attempts_with_databases = 0;
std::size_t attempts_with_databases_ever = 0;

/// The value of `result`, or a `Failure`.
template <class T>
T value_of(Result<T> result) {
  if (!result) throw Failure(result.error().what);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class QueuedIo final : public IoExecutor {
 public:
  void submit(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void run_all() {
    for (; !queue_.empty(); queue_.pop_front()) queue_.front()();
  }

 private:
  std::deque<std::function<void()>> queue_;
};

class NoStreams final : public StandardStreams {
 public:
  Status print(std::string_view) override { return {}; }
  Result<std::unique_ptr<ByteFeed>> read_input(std::function<void()>) override {
    return error(Errc::unsupported, "a test of an operator has no standard input");
  }
};

/// Takes note of what one task reports.
class Listener final : public TaskListener {
 public:
  TaskState state = TaskState::created;
  Error failure;
  std::map<CheckpointId, TaskSnapshot> snapshots;
  std::string declined;

  void on_state(TaskState now, const Error& why, bool) override {
    state = now;
    failure = why;
  }
  void on_acknowledge(CheckpointId id, TaskSnapshot snapshot, CheckpointMetrics) override {
    snapshots[id] = std::move(snapshot);
  }
  void on_decline(CheckpointId, DeclineReason, std::string why) override {
    declined = std::move(why);
  }
  void on_warning(std::string) override {}
};

}  // namespace

class OperatorRun::HarnessClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime now() const override { return MonotonicTime(since_begin_); }
  [[nodiscard]] WallTime wall_now() const override {
    return WallTime(std::chrono::floor<std::chrono::milliseconds>(since_begin_));
  }
  void set(MonotonicTime time) { since_begin_ = time.time_since_epoch(); }

 private:
  std::chrono::nanoseconds since_begin_{0};
};

/// Where the snapshots of a run lie, and of those that go on from them.
struct OperatorRun::Store {
  SimulatedFileSystem files;
  SeededRandom random{0};
  std::shared_ptr<FileCheckpointStorage> storage =
      std::make_shared<FileCheckpointStorage>(files, random);
  std::uint64_t next_id = 1;
};

class OperatorRun::Snapshot {
 public:
  std::shared_ptr<Store> store;  ///< never null
  std::string directory;
  SnapshotMetadata metadata;
  std::vector<EventTime> watermarks;
};

/// The tasks between two restores.
struct OperatorRun::Attempt {
  struct Task {
    std::shared_ptr<Listener> listener = std::make_shared<Listener>();
    std::shared_ptr<StreamTask> task;
    bool is_over = false;
  };

  std::shared_ptr<Store> store;
  std::shared_ptr<const Plan> plan;
  PlanDescription description;
  JobGraph graph;
  PosixFileSystem files;
  NoStreams streams;
  QueuedIo io;
  std::string local_directory;  ///< of databases; removed with the attempt
  std::vector<Task> tasks;
  /// By input: the writers of all its edges.
  std::vector<std::vector<std::unique_ptr<ExchangeWriter>>> inputs;
  std::vector<std::shared_ptr<Channel>> outputs;

  ~Attempt() {
    tasks.clear();
    if (local_directory.empty()) return;
    --attempts_with_databases;
    remove_tree(files, local_directory);
  }

  [[nodiscard]] std::uint32_t index_of(const std::string& uid) const {
    const auto& all = description.operators;
    return static_cast<std::uint32_t>(std::ranges::find(all, uid, &OperatorDescription::uid) -
                                      all.begin());
  }
  /// Tasks step in turn until none has anything to do. `take` is given what comes out.
  void settle(const std::function<void(StreamElement)>& take) {
    int steps = 0;
    for (bool busy = true; busy;) {
      busy = false;
      for (Task& one : tasks) {
        if (one.is_over) continue;
        const UserCode user_code(*one.task);
        StepResult result = StepResult::busy;
        while (result == StepResult::busy) {
          result = one.task->step();
          if (result == StepResult::busy) busy = true;
          if (++steps > most_steps) throw Failure("the operators never come to rest");
        }
        one.is_over = result == StepResult::finished;
      }
      for (const auto& channel : outputs)
        while (channel->peek() != nullptr) take(channel->pop());
    }
    for (const Task& one : tasks)
      if (one.listener->state == TaskState::failed) throw Failure(one.listener->failure.what);
  }
  [[nodiscard]] std::optional<MonotonicTime> wake_time() const {
    std::optional<MonotonicTime> first;
    for (const Task& one : tasks)
      if (const auto time = one.is_over ? std::nullopt : one.task->wake_time())
        first = first ? std::min(*first, *time) : *time;
    return first;
  }
};

OperatorRun::OperatorRun(Build build, std::size_t inputs)
    : build_(std::move(build)),
      inputs_(inputs),
      watermarks_(inputs, no_event_time),
      clock_(std::make_unique<HarnessClock>()) {}

OperatorRun::~OperatorRun() { stop(); }

void OperatorRun::configure(const std::string& key, const std::string& value) {
  if (attempt_ != nullptr)
    throw BadUse(key + ": the operator runs already; say so before its first record");
  const auto valid = Configuration::from_map({{key, value}}, "operator harness");
  if (!valid) throw BadUse(valid.error().what);
  const auto canonical = valid->as_map();
  for (const auto& [name, text] : canonical) settings_[name] = text;
}

std::size_t OperatorRun::open_databases() { return attempts_with_databases; }
bool OperatorRun::had_databases() { return attempts_with_databases_ever > 0; }

// ---- tasks

OperatorRun::Attempt& OperatorRun::attempt() {
  if (attempt_ == nullptr) start(nullptr);
  return *attempt_;
}

void OperatorRun::start(const Snapshot* snapshot) {
  const auto configuration = Configuration::from_map(settings_, "operator harness");
  if (!configuration) throw BadUse(configuration.error().what);
  if (store_ == nullptr) store_ = std::make_shared<Store>();
  auto made = std::make_unique<Attempt>();
  made->store = store_;
  StreamEnvironment env({}, configuration->execution().parallelism, "/");
  if (const auto max = configuration->execution().max_parallelism) env.set_max_parallelism(*max);
  try {
    const UserCode user_code;
    build_(env);
  } catch (const BadUse&) {
    throw;
  } catch (...) {
    throw BadUse("the function that puts the streams together threw" + thrown_text());
  }
  auto plan = env.build();
  if (!plan) throw BadUse(plan.error().what);
  made->plan = std::make_shared<const Plan>(std::move(*plan));
  made->description = made->plan->describe();
  made->graph = build_job_graph(made->description);
  std::optional<StateAssignment> restored;
  if (snapshot != nullptr) {
    auto assigned = assign_state(snapshot->metadata, snapshot->directory, made->description,
                                 made->graph, false);
    if (!assigned) throw BadUse("the snapshot does not fit: " + assigned.error().what);
    restored = std::move(*assigned);
    made->description = restored->plan;
    made->graph = build_job_graph(made->description);
  }

  const auto& operators = made->description.operators;
  std::map<std::array<std::uint32_t, 3>, std::shared_ptr<Channel>> channels;
  // By edge, producing and consuming subtask, as a TaskManager has them.
  const auto channel = [&](std::uint32_t edge, std::uint32_t producer, std::uint32_t consumer) {
    auto& one = channels[{edge, producer, consumer}];
    if (one == nullptr) one = std::make_shared<Channel>(std::numeric_limits<std::size_t>::max());
    return one;
  };
  const auto backend = configured_backend(*configuration);
  if (configuration->state_backend().kind == StateBackendKind::rocksdb) {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base == nullptr || *base == '\0' ? "/tmp" : base);
    path += "/weir-operator-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr)
      throw BadUse(path + ": cannot be made; set TMPDIR to a directory that can be written to");
    made->local_directory = path;
    ++attempts_with_databases;
    ++attempts_with_databases_ever;
  }
  const auto is_outside = [&](std::uint32_t index) {
    const OperatorDescription& one = operators[index];
    return one.source || one.uid == output_uid;
  };
  for (std::uint32_t v = 0; v < made->graph.vertices.size(); ++v) {
    const JobVertex& vertex = made->graph.vertices[v];
    if (is_outside(vertex.operators.front())) continue;
    for (std::uint32_t subtask = 0; subtask < vertex.parallelism; ++subtask) {
      Attempt::Task& task = made->tasks.emplace_back();
      TaskEnvironment environment;
      environment.job = job;
      environment.job_name = job_name;
      environment.epoch = {1};
      environment.execution = {v, subtask, 0};
      environment.plan = made->plan;
      environment.description = made->description;
      environment.graph = made->graph;
      if (restored) environment.restore = restored->tasks[v][subtask];
      environment.backend = backend;
      environment.storage = store_->storage;
      environment.files = &made->files;
      environment.clock = clock_.get();
      environment.random = &store_->random;
      environment.standard_streams = &made->streams;
      environment.io = &made->io;
      environment.listener = task.listener;
      environment.local_directory =
          made->local_directory + "/" + std::to_string(v) + "-" + std::to_string(subtask);
      for (const std::uint32_t e : made->graph.exchange_edges) {
        const EdgeDescription& edge = made->description.edges[e];
        const bool forward = edge.partitioning == Partitioning::forward;
        if (made->graph.vertex_of[edge.consumer] == v) {
          auto& input = environment.inputs.emplace_back();
          input.input = edge.input;
          for (std::uint32_t p = 0; p < operators[edge.producer].parallelism; ++p)
            if (!forward || p == subtask) input.channels.push_back(channel(e, p, subtask));
        }
        if (made->graph.vertex_of[edge.producer] == v) {
          auto& output = environment.outputs.emplace_back();
          output.edge = e;
          for (std::uint32_t c = 0; c < operators[edge.consumer].parallelism; ++c)
            if (!forward || c == subtask) output.channels.push_back(channel(e, subtask, c));
        }
      }
      task.task = std::make_shared<StreamTask>(std::move(environment));
    }
  }
  if (made->tasks.empty()) throw BadUse("there is no operator between the input and the output");
  made->inputs.resize(inputs_);
  for (const std::uint32_t e : made->graph.exchange_edges) {
    const EdgeDescription& edge = made->description.edges[e];
    for (std::size_t i = 0; i < inputs_; ++i) {
      if (operators[edge.producer].uid != input_uid(i)) continue;
      std::vector<std::shared_ptr<Channel>> to;
      for (std::uint32_t c = 0; c < operators[edge.consumer].parallelism; ++c)
        to.push_back(channel(e, 0, c));
      made->inputs[i].push_back(made->plan->edges[e].make_writer(
          std::move(to), 0, operators[edge.consumer].max_parallelism));
    }
    if (operators[edge.consumer].uid == output_uid)
      for (std::uint32_t p = 0; p < operators[edge.producer].parallelism; ++p)
        made->outputs.push_back(channel(e, p, 0));
  }
  attempt_ = std::move(made);
  settle();
}

void OperatorRun::stop() {
  if (attempt_ == nullptr) return;
  for (Attempt::Task& one : attempt_->tasks) {
    if (one.is_over) continue;
    one.task->cancel();
    while (one.task->step() != StepResult::finished) {
    }
  }
  attempt_->io.run_all();
  attempt_.reset();
}

void OperatorRun::settle() {
  attempt_->settle([this](StreamElement element) {
    if (auto* batch = std::get_if<std::unique_ptr<AnyBatch>>(&element)) {
      output_.push_back(std::move(*batch));
    } else if (const auto* watermark = std::get_if<Watermark>(&element)) {
      output_watermark_ = std::max(output_watermark_, watermark->time);
    }
  });
}

// ---- what enters

void OperatorRun::push(std::size_t input, std::unique_ptr<AnyBatch> batch) {
  if (ended_) throw BadUse("a record comes behind end_input()");
  auto& writers = attempt().inputs[input];
  for (std::size_t i = 0; i < writers.size(); ++i) {
    auto one = i + 1 < writers.size() ? batch->clone() : std::move(batch);
    writers[i]->write(one);
    writers[i]->flush();
  }
  settle();
  after_record();
}

void OperatorRun::advance_watermark(std::size_t input, EventTime time) {
  if (ended_) throw BadUse("a watermark comes behind end_input()");
  if (time < watermarks_[input])
    throw BadUse("advance_watermark(" + std::to_string(time) + "): the watermark is at " +
                 std::to_string(watermarks_[input]) + " and does not go back");
  watermarks_[input] = time;
  for (const auto& writer : attempt().inputs[input]) writer->broadcast(Watermark{time});
  settle();
  after_record();
}

void OperatorRun::advance_processing_time(std::chrono::milliseconds by) {
  if (by < std::chrono::milliseconds(0)) throw BadUse("processing time does not go back");
  (void)attempt();
  const MonotonicTime end = clock_->now() + by;
  for (;;) {
    const auto next = attempt_->wake_time();
    if (!next || *next > end) break;
    // Whoever asks to be called at once again and again sees time pass.
    clock_->set(std::min(end, std::max(*next, clock_->now() + std::chrono::milliseconds(1))));
    settle();
    if (clock_->now() == end) break;
  }
  clock_->set(end);
  settle();
  if (!ended_) after_record();
}

void OperatorRun::end_input() {
  if (ended_) throw BadUse("end_input() was called before");
  (void)attempt();
  ended_ = true;
  for (const auto& writers : attempt_->inputs)
    for (const auto& writer : writers) {
      writer->broadcast(Watermark{Watermark::max_time});
      writer->broadcast(EndOfInput{});
    }
  settle();
}

std::vector<std::unique_ptr<AnyBatch>> OperatorRun::take_output() {
  return std::exchange(output_, {});
}

std::int64_t OperatorRun::processing_time() const {
  return clock_->wall_now().time_since_epoch().count();
}

// ---- state

void OperatorRun::after_record() {
  if (restores_) restore(snapshot());
}

std::shared_ptr<const OperatorRun::Snapshot> OperatorRun::snapshot() {
  if (ended_) throw BadUse("the input has ended: take a snapshot before end_input()");
  Attempt& now = attempt();
  auto made = std::make_shared<Snapshot>();
  made->store = store_;
  CheckpointBarrier barrier;
  barrier.id = {store_->next_id++};
  barrier.triggered_at_ms = processing_time();
  made->directory = "/snapshots/chk-" + std::to_string(barrier.id.value);
  barrier.options.directory = made->directory;
  value_of(store_->storage->create_directories(made->directory));
  for (const auto& writers : now.inputs)
    for (const auto& writer : writers) writer->broadcast(barrier);
  settle();
  now.io.run_all();
  PendingCheckpoint::Settings settings;
  settings.id = barrier.id;
  settings.options = barrier.options;
  settings.triggered_at_ms = barrier.triggered_at_ms;
  std::vector<ExecutionId> executions;
  for (const Attempt::Task& one : now.tasks)
    executions.push_back(one.task->environment().execution);
  PendingCheckpoint pending(settings, executions, {});
  for (const Attempt::Task& one : now.tasks) {
    const auto share = one.listener->snapshots.extract(barrier.id);
    if (share.empty()) throw Failure("a snapshot cannot be taken: " + one.listener->declined);
    (void)pending.acknowledge(one.task->environment().execution, std::move(share.mapped()));
  }
  made->metadata = value_of(
      pending.assemble(job, job_name, now.description, now.graph, barrier.triggered_at_ms));
  value_of(write_metadata(*store_->storage, made->directory, made->metadata, store_->random));
  for (const Attempt::Task& one : now.tasks)
    one.task->notify_checkpoint_complete(barrier.id, SnapshotKind::checkpoint, false);
  settle();
  made->watermarks = watermarks_;
  return made;
}

void OperatorRun::restore(const std::shared_ptr<const Snapshot>& snapshot) {
  if (snapshot == nullptr) throw BadUse("restore() was given no snapshot");
  if (snapshot->watermarks.size() != inputs_)
    throw BadUse("the snapshot is of an operator with another number of inputs");
  stop();
  store_ = snapshot->store;
  ended_ = false;
  start(snapshot.get());
  // Sources of a job would come to where they were; a test goes on from there.
  watermarks_ = snapshot->watermarks;
  for (std::size_t i = 0; i < inputs_; ++i)
    if (watermarks_[i] != no_event_time)
      for (const auto& writer : attempt_->inputs[i]) writer->broadcast(Watermark{watermarks_[i]});
  settle();
}

std::string OperatorRun::state(const std::string& name, const std::optional<std::string>& key) {
  const auto now = snapshot();
  const SnapshotValues values =
      value_of(read_snapshot_values(*now->store->storage, now->directory));
  const StateValues* found = nullptr;
  std::vector<std::string_view> names;
  for (const auto& [place, state] : values.states) {
    names.push_back(place.second);
    if (place.second != name) continue;
    if (found != nullptr)
      throw BadUse("state '" + name + "': two operators have one of this name; test each alone");
    found = &state;
  }
  if (found == nullptr) {
    std::string has;
    for (const std::string_view one : names)
      has += (has.empty() ? "'" : ", '") + std::string(one) + "'";
    throw BadUse("state '" + name + "': the operator has none of this name; " +
                 (has.empty() ? "it keeps no state" : "it has " + has));
  }
  if (!found->unreadable.empty()) throw BadUse("state '" + name + "': " + found->unreadable);
  if (!key) return found->json;
  const Json json = Json::parse(found->json);
  if (!json.is_object()) throw BadUse("state '" + name + "' has no keys: leave the key out");
  return json.contains(*key) ? json[*key].dump() : "";
}

void detail::compare_restored(const std::vector<std::string>& plain,
                              const std::vector<std::string>& restored) {
  const auto [p, r] = std::ranges::mismatch(plain, restored);
  if (p == plain.end() && r == restored.end()) return;
  throw Failure("restored after every record, record " + std::to_string(p - plain.begin() + 1) +
                " of the output is " + (r == restored.end() ? "missing" : *r) +
                ", and without that " + (p == plain.end() ? "there is none" : *p) +
                ": the function keeps something where no snapshot sees it, such as in a member or "
                "a captured variable; put it into state");
}

}  // namespace weir::testing
