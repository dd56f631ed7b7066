#include "test/simulation/seeded_run.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backends/fs/fs_state_backend.hpp"
#include "backends/memory/memory_state_backend.hpp"
#include "backends/rocksdb/rocksdb_state_backend.hpp"
#include "cli/starting_point.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_cluster.hpp"
#include "simulation/simulated_databases.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "test/simulation/function_libraries.hpp"
#include "test/simulation/passing_backend.hpp"
#include "test/simulation/seeded_job.hpp"

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

/// Of the seeds that are not told which backend to begin with, one in so many begins with databases.
constexpr std::uint64_t seeds_per_database = 4;

/// What is drawn and stays the same through the restarts of a job.
struct Drawn {
  SeededJob job;
  bool has_databases = false;
  std::size_t table_bytes = 0;
  std::map<std::string, std::string>
      configuration;  ///< the backend may be another one from run to run
};

using Counts = std::map<std::string, std::uint64_t>;

/// Counts what tables in front of a database have done.
class CountedTables final : public test::PassingKeyedState {
 public:
  CountedTables(std::shared_ptr<KeyedStateBackend> inner, Counts& counts)
      : PassingKeyedState(std::move(inner)), counts_(counts) {}
  ~CountedTables() override { count(); }
  Status add_table(std::unique_ptr<TableBase> table) override {
    tables_.push_back(table.get());
    return inner_->add_table(std::move(table));
  }
  void dispose() override {
    count();
    inner_->dispose();
  }

 private:
  void count() {
    for (const TableBase* table : std::exchange(tables_, {})) {
      const TableCounters& done = table->counters();
      counts_["segments evicted"] += done.segments_evicted;
      counts_["entries loaded"] += done.entries_loaded;
      counts_["entries loaded together with others"] +=
          done.entries_loaded - std::min(done.entries_loaded, done.look_ups);
      counts_["runs begun"] += done.runs_begun;
    }
  }
  Counts& counts_;
  std::vector<const TableBase*> tables_;
};

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
  SeededRun(std::uint64_t seed, const SeededRunCode& code)
      : code_(code),
        random_(seed),
        database_random_(seed ^ databases_apart),
        drawn_(draw()),
        libraries_("/"),
        databases_(database_random_.next(), drawn_.table_bytes),
        cluster_(settings()) {
    libraries_.add(job_name, [this](StreamEnvironment& env) {
      build_job(env, drawn_.job, output, chaos_, code_.sink);
    });
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
      listen();
      if (disturbance_is_due()) disturb_once();
      if (faults_left_ == 0 && cluster_.now() - healed_at_ > time_to_heal)
        violated("nothing fails any more, but the job does not reach its end");
    }
    if (report_.violations.empty()) check_output();
    if (report_.violations.empty()) check_savepoints();
    report_.trace_hash = cluster_.trace_hash();
    if (drawn_.has_databases) {
      report_.counts["merges"] = databases_.merges();
      report_.counts["local files refused"] = databases_.refused();
    }
    if (!report_.violations.empty())
      report_.last_lines.assign(cluster_.recent().begin(), cluster_.recent().end());
    return std::move(report_);
  }

 private:
  Drawn draw() {
    Drawn drawn;
    drawn.job = draw_job(random_);
    drawn.configuration = {
        {"state.backend", random_.one_in(2) ? "memory" : "fs"},
        {"state.checkpoints.dir", checkpoints},
        {"state.savepoints.dir", savepoints},
        {"state.backend.fs.memory-threshold", random_.one_in(2) ? "0" : "2 kb"},
        {"state.checkpoints.num-retained", std::to_string(random_.between(1, 3))},
        {"execution.checkpointing.incremental", random_.one_in(2) ? "true" : "false"},
        {"execution.checkpointing.interval", std::to_string(random_.between(30, 400)) + " ms"},
        {"execution.checkpointing.timeout", std::to_string(random_.between(2, 20)) + " s"},
        {"execution.checkpointing.max-concurrent-checkpoints",
         std::to_string(random_.between(1, 3))},
        {"execution.checkpointing.externalized-checkpoint-retention",
         random_.one_in(2) ? "RETAIN_ON_CANCELLATION" : "NO_EXTERNALIZED_CHECKPOINTS"},
        {"restart-strategy", "fixed-delay"},
        {"restart-strategy.fixed-delay.delay", std::to_string(random_.between(0, 2000)) + " ms"},
    };
    if (database_random_.one_in(seeds_per_database))
      drawn.configuration["state.backend"] = "rocksdb";
    for (const auto& [key, value] : code_.configuration) drawn.configuration[key] = value;
    drawn.has_databases = drawn.configuration["state.backend"] == "rocksdb";
    drawn.table_bytes = SimulatedDatabases::draw_table_bytes(database_random_);
    if (drawn.has_databases) count("jobs on databases");
    switch (drawn.job.shape) {
      case SeededJob::Shape::one_stream:
        count("jobs of one stream");
        break;
      case SeededJob::Shape::two_streams:
        count("jobs of two streams");
        break;
      case SeededJob::Shape::rules:
        count("jobs with rules");
        break;
    }
    if (drawn.job.tallied) count("jobs with operator state");
    report_.story = drawn.job.describe();
    if (drawn.has_databases)
      report_.story += ", " + std::to_string(drawn.table_bytes >> 10) + " KiB of tables";
    for (const auto& [key, value] : drawn.configuration) report_.story += ", " + key + "=" + value;
    return drawn;
  }
  SimulatedCluster::Settings settings() {
    SimulatedCluster::Settings settings;
    settings.seed = random_.next();
    settings.pace = milliseconds(random_.one_in(3) ? 0 : random_.between(1, 20));
    report_.story += ", pace " + std::to_string(settings.pace.count()) + " ms";
    auto configuration = Configuration::from_map(drawn_.configuration, "simulation");
    WEIR_ASSERT(configuration);
    settings.configuration = std::move(*configuration);
    settings.libraries = &libraries_;
    settings.make_backend =
        [this](const Configuration& of) -> Result<std::shared_ptr<StateBackend>> {
      std::shared_ptr<StateBackend> made = make_backend(of.state_backend());
      if (code_.backend) made = code_.backend(made);
      if (of.state_backend().kind != StateBackendKind::rocksdb) return made;
      return std::make_shared<test::PassingBackend>(
          std::move(made), [this](std::shared_ptr<KeyedStateBackend> keyed) {
            return std::make_unique<CountedTables>(std::move(keyed), report_.counts);
          });
    };
    settings.beside = [this] { return databases_.merge_some(); };
    if (drawn_.has_databases) {
      settings.io_delay =
          milliseconds(database_random_.one_in(2) ? 0 : database_random_.between(1, 200));
      report_.story += ", I/O within " + std::to_string(settings.io_delay.count()) + " ms";
    }
    settings.alter_files = code_.files;
    settings.make_storage = code_.storage;
    settings.between = code_.between;
    return settings;
  }

  std::shared_ptr<StateBackend> make_backend(const StateBackendConfig& config) {
    const NativeStatesFactory of_databases = RocksDBStateBackend::file_reader(databases_.seams());
    const auto unlimited = std::make_shared<MemoryBudget>();
    switch (config.kind) {
      case StateBackendKind::jobmanager:
        return std::make_shared<MemoryStateBackend>(MemoryStateBackend::default_max_state_bytes,
                                                    MemoryStateBackend::default_max_payload_bytes,
                                                    unlimited, of_databases);
      case StateBackendKind::filesystem:
        return std::make_shared<FsStateBackend>(config.inline_threshold_bytes, unlimited,
                                                of_databases);
      case StateBackendKind::rocksdb:
        break;
    }
    RocksDBStateBackend::Options configured;
    configured.memory_threshold_bytes = config.inline_threshold_bytes;
    return std::make_shared<RocksDBStateBackend>(databases_.options(configured));
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
    if (drawn_.has_databases) draw_backend();
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
    cancelling_plainly_.reset();
    stopping_.reset();
    last_submission_ = what;
    faults_met_at_submission_ = faults_met();
    submitted_ = cluster_.ask<SubmitJobSuccess>(SubmitJob{std::move(what)}, patience);
  }
  /// That of the next run, which goes on from what any other has left.
  void draw_backend() {
    const std::uint64_t drawn = database_random_.below(6);
    const std::string backend = drawn == 0 ? "memory" : drawn == 1 ? "fs" : "rocksdb";
    if (std::exchange(drawn_.configuration["state.backend"], backend) != backend)
      count("goes on with another backend");
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
  /// As `weir run -s latest` or what comes to the same, or as `weir run` if there is no snapshot yet.
  void go_on() {
    cluster_.disk().heal();  // what is looked at here is not what may fail
    const auto files = cluster_.outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    const std::vector<std::string> directories{checkpoints};
    const auto found = find_recovery_points(storage, directories, job_name);
    if (!found) return violated("recovery points cannot be looked for: " + found.error().what);
    for (const auto* list : {&found->points, &found->nameless})
      for (const RecoveryPoint& point : *list)
        if (point.damage) return violated("E3: a snapshot is damaged: " + point.damage->what);
    // A job that has reached its end deletes its checkpoints; then its output is whole.
    const bool has_output = !committed(cluster_.disk(), output).empty();
    if (found->finished || (found->points.empty() && has_output)) {
      count("ended before the client knew");
      finished_ = true;
      return;
    }
    if (found->points.empty()) {
      if (completed_)
        return violated("E3: a checkpoint had been reported complete; now there is none");
      count("started anew");
      return submit_anew();
    }
    // Also the older ones, which count once those before them are damaged.
    for (const RecoveryPoint& point : found->points)
      if (const auto verified = verify_snapshot(storage, point.directory); !verified)
        return violated("E3: " + verified.error().what);
    const RecoveryPoint& newest = found->points.front();
    JobSubmission next = submission(job_name, draw_parallelism());
    next.restore_directory = newest.directory;
    if (random_.one_in(4)) {
      // As `-s PATH`: a new job leaves the snapshot alone.
      next.id = draw_job_id();
      left_alone_.push_back(newest);
      count("restored under a new id");
      return submit(std::move(next));
    }
    if (random_.one_in(3)) {
      // As `-s PATH --claimMode CLAIM`.
      if (!check_claims(storage, found->points)) return;
      if (!newest.is_savepoint) count("claimed a checkpoint");
    }
    next.id = newest.job;
    next.continues = true;
    std::erase_if(left_alone_, [&](const RecoveryPoint& one) { return one.job == newest.job; });
    count("continued from the latest snapshot");
    submit(std::move(next));
  }
  /// Whether the newest of `points` can be claimed if it is a checkpoint, and no other.
  bool check_claims(CheckpointStorage& storage, const std::vector<RecoveryPoint>& points) {
    for (const RecoveryPoint& point : points) {
      const auto claimed = claim_starting_point(storage, point.directory, checkpoints);
      const bool can_be = &point == &points.front() && !point.is_savepoint;
      if (can_be && (!claimed || !claimed->continues || claimed->job != point.job))
        violated("a checkpoint cannot be claimed: " +
                 (claimed ? point.directory : claimed.error().what));
      if (!can_be && claimed) violated(point.directory + " was claimed; it must not be");
    }
    return report_.violations.empty();
  }

  /// What functions of the job have found wrong is never forgiven, whatever a restart makes of it.
  void listen() {
    for (const std::string& complaint : chaos_->complaints) violated("E1: " + complaint);
    chaos_->complaints.clear();
  }

  // ---- looking after

  /// What whoever operates the cluster does after each step: starts processes and jobs that have ended,
  /// and takes note of answers.
  void look_after() {
    if (!cluster_.has_job_manager() || cluster_.task_managers().size() < 2) {
      const bool job_is_lost = !cluster_.has_job_manager();
      start_processes();
      if (job_is_lost) return go_on();
    }
    if (submitted_ && submitted_->has_value()) {
      const auto answer = **submitted_;
      submitted_.reset();
      if (!answer) {
        // Slots of the attempt before may not be free yet.
        count("submission refused: " + std::string(to_string(answer.error().code)));
        if (answer.error().code != Errc::unavailable && answer.error().code != Errc::timed_out &&
            !(answer.error().code == Errc::io_error && disk_has_failed()))
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
    if (cancelling_plainly_ && cancelling_plainly_->has_value()) {
      const bool cancelled = (*cancelling_plainly_)->has_value();
      count(cancelled ? "cancelled" : "cancelling failed");
      cancelling_plainly_.reset();
      if (cancelled) return go_on();
    }
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
            return go_on();
          }
          // What is wrong at the beginning of a job is no reason to try again, other than for its user.
          if (last_submission_.restore_directory.empty() && disk_has_failed()) {
            count("failed at its beginning");
            return go_on();
          }
          violated("the job failed, although it may restart for ever: " + answer->failure);
          break;
        case JobState::canceled:
          // Its end was asked for, but the answer was lost with a process.
          if (!is_ending()) go_on();
          break;
        default:
          break;
      }
    }
  }

  /// Since the last submission.
  bool disk_has_failed() { return faults_met() > faults_met_at_submission_; }
  std::size_t faults_met() {
    return faults_met_before_ + cluster_.disk().faults_met() + databases_.refused();
  }
  bool is_ending() const { return cancelling_ || cancelling_plainly_ || stopping_; }
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
    go_on();
  }

  // ---- disturbing

  /// Draws when something happens next: a time, over which all that is to happen is spread, and from
  /// there a number of steps, so that it meets the protocol anywhere.
  void plan_disturbance() {
    const auto all_ms = static_cast<std::uint64_t>(1000 * static_cast<double>(drawn_.job.records) /
                                                   drawn_.job.records_per_second);
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
    switch (random_.below(11)) {
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
      case 8:
        fail_disk();
        return;
      case 9:
        // Without its checkpoints there would be nothing to go on from.
        if (!cluster_.has_job_manager() || is_ending() || submitted_ || !retains_checkpoints())
          return;
        cancelling_plainly_ = cluster_.ask<CancellationSuccess>(CancelJob{job_}, patience);
        return;
      default:
        if (!cluster_.has_job_manager() || is_ending() || submitted_) return;
        end_with_savepoint();
    }
  }
  bool retains_checkpoints() const {
    return drawn_.configuration.at("execution.checkpointing.externalized-checkpoint-retention") ==
           "RETAIN_ON_CANCELLATION";
  }
  /// One of the next file operations fails, and perhaps those behind it: on the disk that all see, or on that of the
  /// databases.
  void fail_disk() {
    if (drawn_.has_databases && database_random_.one_in(2)) {
      count("the disk of the databases fails");
      const std::uint64_t times = database_random_.one_in(2) ? 1 : database_random_.between(2, 6);
      databases_.refuse_files(database_random_.between(1, 200), times);
      return;
    }
    count("the disk fails");
    InjectedFault fault;
    fault.fault = static_cast<Fault>(random_.below(6));
    fault.at = random_.between(1, 60);
    fault.times = random_.one_in(2) ? 1 : random_.between(2, 6);
    faults_met_before_ += cluster_.disk().faults_met();  // it begins to count anew
    cluster_.disk().inject(fault);
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
    const auto expected = expected_lines(drawn_.job, true);
    if (found != expected) violated("E1 or E2: " + difference(found, expected));
  }

  /// A savepoint that was reported, or a checkpoint that was left alone, on a new cluster: its state and the rest
  /// of the input give what all of the input gives.
  void check_savepoints() {
    cluster_.disk().heal();
    databases_.heal();
    const auto files = cluster_.outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    for (const RecoveryPoint& point : left_alone_) taken_.push_back(point.directory);
    for (const std::string& path : taken_)
      if (const auto verified = verify_snapshot(storage, path); !verified)
        return violated("E4: " + path + ": " + verified.error().what);
    // After the end of the input keys have been told already, in the files of the job itself.
    std::erase_if(taken_, [&](const std::string& path) { return is_at_end(storage, path); });
    if (taken_.empty()) return;
    const std::string& path = taken_[random_.below(taken_.size())];
    cluster_.crash_host();
    const auto files_again = cluster_.outside();
    FileCheckpointStorage storage_again(*files_again, names);
    if (const auto verified = verify_snapshot(storage_again, path); !verified)
      return violated("E4: " + path + ", after a crash of the host: " + verified.error().what);
    libraries_.add("fork", [this](StreamEnvironment& env) {
      build_job(env, drawn_.job, "/fork", chaos_, code_.sink);
    });
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
      listen();
    }
    auto found = committed(cluster_.disk(), "/fork");
    std::erase_if(found, [](const std::string& line) { return !line.starts_with(key_prefix); });
    const auto expected = expected_lines(drawn_.job, false);
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

  const SeededRunCode code_;
  SeededRunReport report_;
  SeededRandom random_;
  /// What is drawn because of databases comes from here: seeds without them are as if there were none.
  SeededRandom database_random_;
  static constexpr std::uint64_t databases_apart = 0xda7aba5e;
  Drawn drawn_;
  std::shared_ptr<Chaos> chaos_ = std::make_shared<Chaos>();
  FunctionLibraries libraries_;
  SimulatedDatabases databases_;
  SimulatedCluster cluster_;

  JobSubmission last_submission_;
  JobId job_;
  bool finished_ = false;
  bool completed_ = false;  ///< a checkpoint or terminal savepoint of the job was reported complete
  std::uint64_t faults_left_ = 0;
  std::size_t faults_met_before_ = 0;  ///< of all injected faults but the last
  std::size_t faults_met_at_submission_ = 0;
  MonotonicTime healed_at_;
  MonotonicTime disturb_at_;
  std::uint64_t disturb_after_steps_ = 0;
  MonotonicTime next_look_;
  std::vector<std::string> taken_;  ///< savepoints that were reported
  /// Checkpoints and savepoints that a job with an id of its own was restored from.
  std::vector<RecoveryPoint> left_alone_;
  SimulatedCluster::Awaited<SubmitJobSuccess> submitted_;
  SimulatedCluster::Awaited<JobDetails> details_;
  SimulatedCluster::Awaited<TriggerSavepointSuccess> savepoint_;
  SimulatedCluster::Awaited<CancellationSuccess> cancelling_;
  SimulatedCluster::Awaited<CancellationSuccess> cancelling_plainly_;  ///< without a savepoint
  SimulatedCluster::Awaited<StoppingSuccess> stopping_;
};

}  // namespace

SeededRunReport run_seed(std::uint64_t seed, const SeededRunCode& code) {
  return SeededRun(seed, code).run();
}

}  // namespace weir
