#include "test/simulation/seeded_run.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_cluster.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "test/simulation/function_libraries.hpp"

namespace weir {

namespace {

using std::chrono::milliseconds;

constexpr const char* job_name = "counted";
constexpr const char* checkpoints = "/checkpoints";
constexpr const char* savepoints = "/savepoints";
constexpr const char* output = "/output";
/// A client that got no answer by then gives up; longer than what a savepoint may take.
constexpr milliseconds patience = std::chrono::minutes(2);
/// With nothing failing any more the job reaches its end within this time.
constexpr milliseconds time_to_heal = std::chrono::minutes(30);

/// One record: its number and its key.
struct Numbered {
  std::uint64_t number = 0;
  std::uint64_t key = 0;
};
WEIR_FIELDS(Numbered, number, key)

/// What is drawn of a job and stays the same through its restarts.
struct Drawn {
  std::uint64_t records;
  std::uint64_t keys;
  double records_per_second;
  std::uint32_t max_parallelism;
  bool rebalanced;  // the records pass one more exchange
  bool mapped;      // and one more chained operator
  std::string backend;
  std::map<std::string, std::string> configuration;
};

/// A user function that throws when the seed says so.
struct Chaos {
  std::uint64_t calls_to_failure = 0;  ///< 0: none is due
  void call() {
    if (calls_to_failure > 0 && --calls_to_failure == 0)
      throw std::runtime_error("the seed wants it");
  }
};

std::uint64_t key_of(std::uint64_t number, std::uint64_t keys) {
  return number * 0x9e3779b97f4a7c15 % keys;
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

  [[nodiscard]] std::string line(std::uint64_t key) const {
    std::string text = "key " + std::to_string(key) + " " + std::to_string(count) + " " +
                       std::to_string(sum) + " " + extremes;
    for (const auto& [remainder, times] : remainders)
      text += " " + std::to_string(remainder) + "*" + std::to_string(times);
    for (const std::uint64_t tenth : tenths) text += " " + std::to_string(tenth);
    return text;
  }
};

/// Lets every record through, tells of every fifth when its timer fires, and at the end of the input what it
/// has kept of each key.
struct Keep final : KeyedProcessFunction<std::uint64_t, Numbered, std::string> {
  explicit Keep(std::shared_ptr<Chaos> with) : chaos(std::move(with)) {}
  void open(RuntimeContext& context) override {
    count = context.state(ValueStateDescriptor<std::uint64_t>{"count"});
    sum = context.reducing_state(ReducingStateDescriptor<std::uint64_t>{
        "sum", [](std::uint64_t a, std::uint64_t b) { return a + b; }});
    last = context.state(ValueStateDescriptor<std::string>{"last"});
    every_tenth = context.list_state(ListStateDescriptor<std::uint64_t>{"every tenth"});
    extremes =
        context.aggregating_state(AggregatingStateDescriptor<std::uint64_t, Extremes, std::string>{
            "extremes", std::make_shared<LowestAndHighest>()});
    // One outlives every run, the other expires within most of them.
    remainders = context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{
        "remainders", StateTtlConfig{std::chrono::hours(24 * 1000)}});
    recent = context.map_state(MapStateDescriptor<std::uint64_t, std::uint64_t>{
        "recent", StateTtlConfig{milliseconds(100), TtlUpdateType::on_read_and_write}});
  }
  void process_element(const Numbered& record, Context& context,
                       Collector<std::string>& out) override {
    chaos->call();
    auto& timers = context.timer_service();
    const EventTime time = context.timestamp() + 20;
    if (record.number % 5 < 2) timers.register_event_time_timer(time);
    if (record.number % 5 == 1) timers.delete_event_time_timer(time);
    ++count.mutable_value();
    sum.add(record.number);
    // Set and cleared, so that entries come and go.
    if (record.number % 3 == 0)
      last.clear();
    else
      last.update(std::string(record.number % 50, 'x') + std::to_string(record.number));
    if (record.number % 10 == 0) every_tenth.add(record.number);
    extremes.add(record.number);
    ++remainders.mutable_value(record.number % 7);
    const std::uint64_t* of_same_remainder = recent.get(record.number % 7);
    if (of_same_remainder != nullptr && *of_same_remainder % 7 != record.number % 7)
      throw std::logic_error("the state of another map key");
    recent.put(record.number % 7, record.number);
    out.collect("record " + std::to_string(record.number));
  }
  void on_timer(std::int64_t time, OnTimerContext& context, Collector<std::string>& out) {
    chaos->call();
    const auto number = static_cast<std::uint64_t>(time - 20);
    if (!count.contains() || remainders.get(number % 7) == nullptr)
      throw std::logic_error("a timer without the state of its key");
    out.collect("timer " + std::to_string(number) + " of " + std::to_string(context.current_key()));
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<std::string>& out) {
    Kept kept{count.value_or(0),
              sum.get() != nullptr ? *sum.get() : 0,
              extremes.get().value_or("none"),
              {},
              every_tenth.get()};
    remainders.for_each(
        [&](std::uint64_t remainder, std::uint64_t times) { kept.remainders[remainder] = times; });
    std::ranges::sort(kept.tenths);
    out.collect(kept.line(key));
  }

  std::shared_ptr<Chaos> chaos;
  ValueState<std::uint64_t> count;
  ReducingState<std::uint64_t> sum;
  ValueState<std::string> last;
  ListState<std::uint64_t> every_tenth;
  AggregatingState<std::uint64_t, Extremes, std::string> extremes;
  MapState<std::uint64_t, std::uint64_t> remainders;
  MapState<std::uint64_t, std::uint64_t> recent;
};

void build_job(StreamEnvironment& env, const Drawn& drawn, const std::string& directory,
               const std::shared_ptr<Chaos>& chaos) {
  auto records = env.generate(
      drawn.records, [keys = drawn.keys](std::uint64_t i) { return Numbered{i, key_of(i, keys)}; },
      drawn.records_per_second);
  records.uid("records");
  if (drawn.rebalanced) records = records.rebalance();
  if (drawn.mapped) {
    records = records.map([chaos](const Numbered& record) {
      chaos->call();
      return record;
    });
    records.uid("look");
  }
  records = records.assign_timestamps_and_watermarks(
      {.out_of_orderness = milliseconds(10), .interval = milliseconds(30)},
      [](const Numbered& record) { return static_cast<EventTime>(record.number); });
  records.uid("times");
  auto kept =
      records.key_by([](const Numbered& record) { return record.key; }).process(Keep(chaos));
  kept.uid("keep").set_max_parallelism(drawn.max_parallelism);
  kept.write_files(directory, [](const std::string& line) { return line; }).uid("files");
}

/// What a sequential program puts out, sorted.
std::vector<std::string> model(const Drawn& drawn, bool with_records) {
  std::map<std::uint64_t, Kept> keys;
  std::map<std::uint64_t, Extremes> extremes;
  const LowestAndHighest function;
  std::vector<std::string> lines;
  for (std::uint64_t i = 0; i < drawn.records; ++i) {
    Kept& kept = keys[key_of(i, drawn.keys)];
    ++kept.count;
    kept.sum += i;
    function.add(
        i,
        extremes.try_emplace(key_of(i, drawn.keys), function.create_accumulator()).first->second);
    ++kept.remainders[i % 7];
    if (i % 10 == 0) kept.tenths.push_back(i);
    if (!with_records) continue;
    lines.push_back("record " + std::to_string(i));
    if (i % 5 == 0)
      lines.push_back("timer " + std::to_string(i) + " of " +
                      std::to_string(key_of(i, drawn.keys)));
  }
  for (auto& [key, kept] : keys) {
    kept.extremes = function.get_result(extremes.at(key));
    lines.push_back(kept.line(key));
  }
  std::ranges::sort(lines);
  return lines;
}

/// The lines of the committed files in `directory`, sorted.
std::vector<std::string> committed(SimulatedDisk& disk, const std::string& directory) {
  std::vector<std::string> lines;
  for (const auto& [path, content] : disk.contents()) {
    if (!path.starts_with(directory + "/") || path[directory.size() + 1] == '.') continue;
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = content.find('\n', begin);
      lines.push_back(content.substr(begin, end - begin));
      begin = end == std::string::npos ? content.size() : end + 1;
    }
  }
  std::ranges::sort(lines);
  return lines;
}

/// What distinguishes two sorted lists, in a few words.
std::string difference(const std::vector<std::string>& found,
                       const std::vector<std::string>& expected) {
  std::vector<std::string> surplus;
  std::vector<std::string> missing;
  std::ranges::set_difference(found, expected, std::back_inserter(surplus));
  std::ranges::set_difference(expected, found, std::back_inserter(missing));
  std::string text = std::to_string(missing.size()) + " lines missing, " +
                     std::to_string(surplus.size()) + " too many;";
  for (std::size_t i = 0; i < std::min<std::size_t>(missing.size(), 3); ++i)
    text += " missing '" + missing[i] + "'";
  for (std::size_t i = 0; i < std::min<std::size_t>(surplus.size(), 3); ++i)
    text += " surplus '" + surplus[i] + "'";
  return text;
}

/// The one who operates the cluster: starts what has crashed, submits the job again, asks for savepoints
/// and other parallelisms, and makes things fail.
class SeededRun {
 public:
  explicit SeededRun(std::uint64_t seed)
      : random_(seed), drawn_(draw()), libraries_("/"), cluster_(settings()) {
    libraries_.add(job_name,
                   [this](StreamEnvironment& env) { build_job(env, drawn_, output, chaos_); });
  }

  SeededRunReport run() {
    faults_left_ = random_.below(16);
    plan_disturbance();
    start_processes();
    submit_anew();
    while (!finished_ && report_.violations.empty()) {
      if (!cluster_.step()) {
        violated("nothing moves any more: the job neither ends nor fails");
        break;
      }
      look_after();
      if (disturbance_is_due()) disturb_once();
      if (faults_left_ == 0 && cluster_.now() - healed_at_ > time_to_heal)
        violated("nothing fails any more, but the job does not reach its end");
    }
    if (report_.violations.empty()) check_output();
    if (report_.violations.empty()) check_savepoints();
    report_.trace_hash = cluster_.trace_hash();
    if (!report_.violations.empty())
      report_.last_lines.assign(cluster_.recent().begin(), cluster_.recent().end());
    return std::move(report_);
  }

 private:
  Drawn draw() {
    Drawn drawn;
    drawn.records = random_.between(50, 1200);
    drawn.keys = random_.between(1, 24);
    drawn.records_per_second = static_cast<double>(random_.between(100, 2000));
    drawn.max_parallelism = static_cast<std::uint32_t>(random_.between(4, 16));
    drawn.rebalanced = random_.one_in(2);
    drawn.mapped = random_.one_in(2);
    drawn.backend = random_.one_in(2) ? "memory" : "fs";
    drawn.configuration = {
        {"state.backend", drawn.backend},
        {"state.checkpoints.dir", checkpoints},
        {"state.savepoints.dir", savepoints},
        {"state.backend.fs.memory-threshold", random_.one_in(2) ? "0" : "2 kb"},
        {"state.checkpoints.num-retained", std::to_string(random_.between(1, 3))},
        {"execution.checkpointing.incremental", random_.one_in(2) ? "true" : "false"},
        {"execution.checkpointing.interval", std::to_string(random_.between(30, 400)) + " ms"},
        {"execution.checkpointing.timeout", std::to_string(random_.between(2, 20)) + " s"},
        {"execution.checkpointing.max-concurrent-checkpoints",
         std::to_string(random_.between(1, 3))},
        {"restart-strategy", "fixed-delay"},
        {"restart-strategy.fixed-delay.delay", std::to_string(random_.between(0, 2000)) + " ms"},
    };
    report_.story = std::to_string(drawn.records) + " records at " +
                    std::to_string(static_cast<int>(drawn.records_per_second)) + "/s, " +
                    std::to_string(drawn.keys) + " keys, backend " + drawn.backend +
                    (drawn.rebalanced ? ", rebalanced" : "") + (drawn.mapped ? ", mapped" : "");
    for (const auto& [key, value] : drawn.configuration) report_.story += ", " + key + "=" + value;
    return drawn;
  }
  SimulatedCluster::Settings settings() {
    SimulatedCluster::Settings settings;
    settings.seed = random_.next();
    auto configuration = Configuration::from_map(drawn_.configuration, "simulation");
    WEIR_ASSERT(configuration);
    settings.configuration = std::move(*configuration);
    settings.libraries = &libraries_;
    settings.make_backend = [backend = drawn_.backend](
                                const Configuration& of) -> Result<std::shared_ptr<StateBackend>> {
      if (backend == "memory") return std::make_shared<MemoryStateBackend>();
      return std::make_shared<FsStateBackend>(of.state_backend().inline_threshold_bytes);
    };
    return settings;
  }

  void count(const std::string& what) { ++report_.counts[what]; }
  void violated(std::string what) { report_.violations.push_back(std::move(what)); }

  // ---- processes and submissions

  void start_processes() {
    if (!cluster_.has_job_manager()) {
      cluster_.start_job_manager();
      for (const TaskManagerId id : cluster_.task_managers()) cluster_.crash_task_manager(id);
    }
    while (cluster_.task_managers().size() < 2) (void)cluster_.start_task_manager(4);
  }

  JobSubmission submission(const std::string& library, std::uint32_t parallelism) {
    JobSubmission submission;
    submission.name = submission.library_sha256 = library;
    submission.configuration = drawn_.configuration;
    submission.configuration["parallelism.default"] = std::to_string(parallelism);
    auto plan = libraries_.build_plan(library, {}, submission.configuration);
    WEIR_ASSERT(plan);
    submission.plan = (*plan)->describe();
    return submission;
  }
  void submit(JobSubmission what) {
    job_ = what.id;
    details_.reset();
    savepoint_.reset();
    cancelling_.reset();
    stopping_.reset();
    last_submission_ = what;
    submitted_ = cluster_.ask<SubmitJobSuccess>(SubmitJob{std::move(what)}, patience);
  }
  std::uint32_t draw_parallelism() { return static_cast<std::uint32_t>(random_.between(1, 4)); }
  /// Of a savepoint.
  SnapshotForm draw_form() {
    return random_.one_in(2) ? SnapshotForm::native : SnapshotForm::canonical;
  }
  JobId draw_job_id() { return {random_.next() | 1, random_.next()}; }

  /// As `weir run`.
  void submit_anew() {
    JobSubmission anew = submission(job_name, draw_parallelism());
    anew.id = draw_job_id();
    submit(std::move(anew));
  }
  /// As `weir run -s latest`, or as `weir run` if there is no snapshot yet.
  void submit_latest() {
    const auto files = cluster_.outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    const std::vector<std::string> directories{checkpoints};
    const auto found = find_recovery_points(storage, directories, job_name);
    if (!found) return violated("recovery points cannot be looked for: " + found.error().what);
    for (const auto* list : {&found->points, &found->nameless})
      for (const RecoveryPoint& point : *list)
        if (point.damage) return violated("E3: a snapshot is damaged: " + point.damage->what);
    if (found->points.empty()) {
      // A job that has reached its end deletes its checkpoints; then its output is whole.
      if (!committed(cluster_.disk(), output).empty()) {
        count("ended before the client knew");
        finished_ = true;
        return;
      }
      if (completed_)
        return violated("E3: a checkpoint had been reported complete; now there is none");
      count("started anew");
      return submit_anew();
    }
    const RecoveryPoint& newest = found->points.front();
    if (const auto verified = verify_snapshot(storage, newest.directory); !verified)
      return violated("E3: " + verified.error().what);
    JobSubmission latest = submission(job_name, draw_parallelism());
    latest.id = newest.job;
    latest.restore_directory = newest.directory;
    latest.continues = true;
    count("continued from the latest snapshot");
    submit(std::move(latest));
  }

  // ---- looking after

  /// What whoever operates the cluster does after each step: starts processes and jobs that have ended,
  /// and takes note of answers.
  void look_after() {
    if (!cluster_.has_job_manager() || cluster_.task_managers().size() < 2) {
      const bool job_is_lost = !cluster_.has_job_manager();
      start_processes();
      if (job_is_lost) return submit_latest();
    }
    if (submitted_ && submitted_->has_value()) {
      const auto answer = **submitted_;
      submitted_.reset();
      if (!answer) {
        // Slots of the attempt before may not be free yet.
        count("submission refused: " + std::string(to_string(answer.error().code)));
        if (answer.error().code != Errc::unavailable && answer.error().code != Errc::timed_out)
          return violated("a submission was refused: " + answer.error().what);
        return submit(last_submission_);
      }
    }
    if (savepoint_ && savepoint_->has_value()) {
      if (**savepoint_) {
        taken_.push_back((**savepoint_)->path);
        count("savepoint completed");
      } else {
        count("savepoint failed");
      }
      savepoint_.reset();
    }
    if (auto path = ended_with()) return go_on_from(*path);
    if (submitted_) return;
    if (!details_) {
      if (cluster_.now() < next_look_) return;
      next_look_ = cluster_.now() + milliseconds(100);
      details_ = cluster_.ask<JobDetails>(RequestJobDetails{job_}, patience);
    } else if (details_->has_value()) {
      const auto answer = **details_;
      details_.reset();
      if (!answer) return;
      if (answer->checkpoints.last_completed) completed_ = true;
      report_.counts["restarts"] =
          std::max<std::uint64_t>(report_.counts["restarts"], answer->overview.restarts);
      switch (answer->overview.state) {
        case JobState::finished:
          finished_ = true;
          report_.counts["checkpoints completed by the last run"] = answer->checkpoints.completed;
          break;
        case JobState::failed:
          // A task was lost behind a savepoint that ends the job: nothing may start from before it.
          if (answer->failure.ends_with("is complete: resume from it with -s")) {
            if (is_ending()) break;  // its answer is still to come
            count("failed behind its last savepoint");
            return submit_latest();
          }
          violated("the job failed, although it may restart for ever: " + answer->failure);
          break;
        case JobState::canceled:
          // Its end was asked for, but the answer was lost with a process.
          if (!is_ending()) submit_latest();
          break;
        default:
          break;
      }
    }
  }

  bool is_ending() const { return cancelling_ || stopping_; }
  /// The answer to `end_with_savepoint`, when it is there and a success.
  std::optional<std::string> ended_with() {
    std::optional<std::string> path;
    const auto take = [&](auto& awaited) {
      if (!awaited || !awaited->has_value()) return;
      if (**awaited) path = (**awaited)->savepoint;
      count(path ? "ended with a savepoint" : "ending with a savepoint failed");
      awaited.reset();
    };
    take(cancelling_);
    take(stopping_);
    return path;
  }
  void go_on_from(const std::string& savepoint) {
    taken_.push_back(savepoint);
    completed_ = true;
    submit_latest();
  }

  // ---- disturbing

  /// Draws when something happens next: a time, over which all that is to happen is spread, and from
  /// there a number of steps, so that it meets the protocol anywhere.
  void plan_disturbance() {
    const auto all_ms = static_cast<std::uint64_t>(1000 * static_cast<double>(drawn_.records) /
                                                   drawn_.records_per_second);
    disturb_at_ = cluster_.now() + milliseconds(random_.below(2 * all_ms / (faults_left_ + 1) + 1));
    disturb_after_steps_ = random_.below(400);
  }
  bool disturbance_is_due() {
    if (faults_left_ == 0 || cluster_.now() < disturb_at_) return false;
    return disturb_after_steps_ == 0 || --disturb_after_steps_ == 0;
  }
  void disturb_once() {
    --faults_left_;
    disturb();
    plan_disturbance();
    if (faults_left_ == 0) healed_at_ = cluster_.now();
  }

  /// Makes something happen that a job must survive.
  void disturb() {
    switch (random_.below(9)) {
      case 0: {
        const auto ids = cluster_.task_managers();
        if (ids.empty()) return;
        count("crash of a TaskManager");
        cluster_.crash_task_manager(ids[random_.below(ids.size())]);
        return;
      }
      case 1:
        if (!cluster_.has_job_manager()) return;
        count("crash of the JobManager");
        cluster_.crash_job_manager();
        return;
      case 2:
        count("crash of the host");
        cluster_.crash_host();
        return;
      case 3:
      case 4:
        count("crash between two file operations");
        cluster_.crash_at_file_operation(random_.between(1, 60));
        return;
      case 5:
        count("user function throws");
        chaos_->calls_to_failure = random_.between(1, 200);
        return;
      case 6:
      case 7:
        if (!cluster_.has_job_manager() || savepoint_ || is_ending() || submitted_) return;
        savepoint_ = cluster_.ask<TriggerSavepointSuccess>(TriggerSavepoint{job_, "", draw_form()},
                                                           patience);
        return;
      default:
        if (!cluster_.has_job_manager() || is_ending() || submitted_) return;
        end_with_savepoint();
    }
  }
  /// As `weir cancel -s` or `weir stop`, after which the job goes on at another parallelism.
  void end_with_savepoint() {
    if (random_.one_in(2))
      cancelling_ = cluster_.ask<CancellationSuccess>(CancelJobWithSavepoint{job_, "", draw_form()},
                                                      patience);
    else
      stopping_ = cluster_.ask<StoppingSuccess>(StopJobWithSavepoint{job_, "", false, draw_form()},
                                                patience);
  }

  // ---- checking

  void check_output() {
    const auto found = committed(cluster_.disk(), output);
    const auto expected = model(drawn_, true);
    if (found != expected) violated("E1 or E2: " + difference(found, expected));
  }

  /// The last savepoint that was reported, on a new cluster: its state and the rest of the input give
  /// what all of the input gives.
  void check_savepoints() {
    const auto files = cluster_.outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    for (const std::string& path : taken_)
      if (const auto verified = verify_snapshot(storage, path); !verified)
        return violated("E4: savepoint " + path + ": " + verified.error().what);
    // After the end of the input keys have been told already, in the files of the job itself.
    std::erase_if(taken_, [&](const std::string& path) { return is_at_end(storage, path); });
    if (taken_.empty()) return;
    const std::string& path = taken_[random_.below(taken_.size())];
    cluster_.crash_host();
    const auto files_again = cluster_.outside();
    FileCheckpointStorage storage_again(*files_again, names);
    if (const auto verified = verify_snapshot(storage_again, path); !verified)
      return violated("E4: savepoint " + path +
                      ", after a crash of the host: " + verified.error().what);
    libraries_.add("fork",
                   [this](StreamEnvironment& env) { build_job(env, drawn_, "/fork", chaos_); });
    chaos_->calls_to_failure = 0;
    start_processes();
    JobSubmission fork = submission("fork", draw_parallelism());
    fork.id = draw_job_id();
    fork.restore_directory = path;
    finished_ = false;
    submit(std::move(fork));
    const MonotonicTime begin = cluster_.now();
    while (!finished_ && report_.violations.empty()) {
      if (!cluster_.step() || cluster_.now() - begin > time_to_heal)
        return violated("E4: a job restored from " + path + " does not reach its end");
      look_after();
    }
    auto found = committed(cluster_.disk(), "/fork");
    std::erase_if(found, [](const std::string& line) { return !line.starts_with("key "); });
    const auto expected = model(drawn_, false);
    if (found != expected)
      violated("E4: restored from " + path + ": " + difference(found, expected));
  }

  /// Whether the source had nothing more to give at the savepoint.
  bool is_at_end(CheckpointStorage& storage, const std::string& path) {
    const auto metadata = read_metadata(storage, path);
    WEIR_ASSERT(metadata);
    for (const OperatorSnapshot& op : metadata->operators)
      if (op.uid == "records")
        return std::ranges::all_of(op.subtasks, &OperatorSubtaskSnapshot::finished);
    return true;
  }

  SeededRunReport report_;
  SeededRandom random_;
  Drawn drawn_;
  std::shared_ptr<Chaos> chaos_ = std::make_shared<Chaos>();
  FunctionLibraries libraries_;
  SimulatedCluster cluster_;

  JobSubmission last_submission_;
  JobId job_;
  bool finished_ = false;
  bool completed_ = false;  ///< a checkpoint or terminal savepoint of the job was reported complete
  std::uint64_t faults_left_ = 0;
  MonotonicTime healed_at_;
  MonotonicTime disturb_at_;
  std::uint64_t disturb_after_steps_ = 0;
  MonotonicTime next_look_;
  std::vector<std::string> taken_;  ///< savepoints that were reported
  SimulatedCluster::Awaited<SubmitJobSuccess> submitted_;
  SimulatedCluster::Awaited<JobDetails> details_;
  SimulatedCluster::Awaited<TriggerSavepointSuccess> savepoint_;
  SimulatedCluster::Awaited<CancellationSuccess> cancelling_;
  SimulatedCluster::Awaited<StoppingSuccess> stopping_;
};

}  // namespace

SeededRunReport run_seed(std::uint64_t seed) { return SeededRun(seed).run(); }

}  // namespace weir
