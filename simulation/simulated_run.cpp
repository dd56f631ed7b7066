#include "simulation/simulated_run.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "runtime/caught_calls.hpp"
#include "simulation/kill_points.hpp"
#include "simulation/operator_watch.hpp"
#include "simulation/output_lines.hpp"
#include "simulation/overlay_file_system.hpp"
#include "simulation/protocol_watch.hpp"
#include "simulation/seeded_random.hpp"
#include "simulation/simulated_cluster.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"

namespace weir {

namespace {

using std::chrono::milliseconds;

constexpr const char* root = "/simulation";
constexpr const char* checkpoints = "/simulation/checkpoints";
constexpr const char* savepoints = "/simulation/savepoints";
/// Beyond the slots that any drawn parallelism needs.
constexpr std::uint32_t slots = 8;
/// A client that got no answer by then gives up; longer than what a savepoint may take.
constexpr milliseconds patience = std::chrono::minutes(2);
/// What a job may still do of itself when all its input is read: timers that go by the clock, batches that wait.
constexpr milliseconds settling = std::chrono::seconds(30);

/// How long a flow goes on behind its last answer: sinks commit, tasks are told.
constexpr milliseconds flow_rest = std::chrono::seconds(1);
constexpr milliseconds flow_patience = std::chrono::minutes(5);
/// Of a message of a staged flow, or of its repetition.
constexpr milliseconds staged_delay = std::chrono::seconds(5);
/// At which time passes once nothing fails any more.
constexpr milliseconds calm_pace{5};

/// Where a seed draws the backend, one in so many is on databases, which take longer.
constexpr std::uint64_t seeds_per_database = 5;
constexpr const char* databases_name = "rocksdb";
/// What is drawn because of databases comes from a source of its own: seeds without them are as if there were none.
constexpr std::uint64_t databases_apart = 0xda7aba5e;
/// I/O work waits so long at most, in half of the runs on databases.
constexpr std::uint64_t most_io_delay_ms = 200;

/// What waits for a message or an operation on a file gets so much time before everything is mended.
constexpr milliseconds lingering = std::chrono::seconds(20);

/// What distinguishes two sorted lists, in a few words.
std::string difference(const std::vector<std::string>& found,
                       const std::vector<std::string>& expected) {
  std::vector<std::string> surplus;
  std::vector<std::string> missing;
  std::ranges::set_difference(found, expected, std::back_inserter(surplus));
  std::ranges::set_difference(expected, found, std::back_inserter(missing));
  std::string text = std::to_string(missing.size()) + " lines missing, " +
                     std::to_string(surplus.size()) + " too many;";
  const auto add = [&](const char* what, const std::vector<std::string>& lines) {
    for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), 3); ++i)
      text += std::string(" ") + what + " '" + lines[i] + "'";
  };
  add("missing", missing);
  add("surplus", surplus);
  return text;
}

/// How many times as often as others a class comes that often meets nothing, or that comes at one of many places.
std::size_t weight_of(FaultClass what) {
  switch (what) {
    case FaultClass::crash_at_file_operation:
    case FaultClass::crash_at_message:
      return 6;
    case FaultClass::bit_flip:
    case FaultClass::savepoint:
    case FaultClass::cancel_with_savepoint:
    case FaultClass::stop:
      return 3;
    default:
      return 1;
  }
}

/// One thing that is made to happen.
struct Disturbance {
  std::uint64_t step = 0;  ///< not before this one
  FaultClass what = FaultClass::savepoint;
  std::uint64_t seed = 0;  ///< of all that is drawn for it
};

/// The one who operates the cluster: starts what has crashed, submits the job again, asks for savepoints
/// and other parallelisms, and makes things fail.
class SimulatedRun {
 public:
  SimulatedRun(const SimulatedJob& job, const SimulatedRunSettings& settings)
      : job_(job),
        settings_(settings),
        random_(settings.seed),
        database_random_(settings.seed ^ databases_apart),
        libraries_(*job.libraries, watch_),
        drawn_(draw()),
        databases_(database_random_.next(), table_bytes_) {
    catch_calls([watch = watch_](CaughtCall call, std::string_view function) {
      watch->catch_call(call, function);
    });
  }
  ~SimulatedRun() { catch_calls({}); }
  SimulatedRun(const SimulatedRun&) = delete;
  SimulatedRun& operator=(const SimulatedRun&) = delete;

  SimulatedRunReport run() {
    report_.seed = settings_.seed;
    if (Status begun = begin(); !begun) {
      violated("protocol", begun.error().what);
    } else {
      go_through();
      if (report_.violations.empty()) check_output();
      if (report_.violations.empty()) check_orphans();
      if (report_.violations.empty()) check_leftovers();
      if (report_.violations.empty() && settings_.expected != nullptr) check_savepoints();
    }
    if (settings_.keep_files) report_.files = cluster_->disk().contents();
    if (has_databases_) {
      report_.counts["merges"] = databases_.merges();
      report_.counts["local files refused"] = databases_.refused();
    }
    report_.disturbances = planned_.size();
    report_.caught.assign(watch_->caught().begin(), watch_->caught().end());
    if (report_.result.steps == 0) report_.result.steps = cluster_->steps();
    report_.trace_hash = cluster_->trace_hash();
    if (!report_.violations.empty())
      report_.last_lines.assign(cluster_->recent().begin(), cluster_->recent().end());
    return std::move(report_);
  }

 private:
  // ---- drawing

  std::map<std::string, std::string> draw() {
    const bool quiet = settings_.faults.is_empty();
    std::map<std::string, std::string> drawn = job_.settings;
    const auto set = [&](const std::string& key, std::string value) {
      drawn[key] = std::move(value);
    };
    const auto ms = [](std::uint64_t number) { return std::to_string(number) + " ms"; };
    set("state.backend", draw_backend());
    set("state.checkpoints.dir", checkpoints);
    set("state.savepoints.dir", savepoints);
    set("state.backend.fs.memory-threshold", random_.one_in(2) ? "0" : "2 kb");
    set("state.checkpoints.num-retained", std::to_string(random_.between(1, 3)));
    set("execution.checkpointing.incremental", random_.one_in(2) ? "true" : "false");
    set("execution.checkpointing.interval", ms(settings_.staged ? 200
                                               : quiet          ? 1000
                                                                : random_.between(30, 400)));
    set("execution.checkpointing.timeout", ms(random_.between(2, 20) * 1000));
    set("execution.checkpointing.max-concurrent-checkpoints",
        std::to_string(random_.between(1, 3)));
    set("execution.checkpointing.externalized-checkpoint-retention",
        random_.one_in(2) ? "RETAIN_ON_CANCELLATION" : "NO_EXTERNALIZED_CHECKPOINTS");
    set("restart-strategy", "fixed-delay");
    set("restart-strategy.fixed-delay.attempts", "2147483647");
    set("restart-strategy.fixed-delay.delay", ms(random_.between(0, 2000)));
    // Drawn apart, so that what a seed does in one TaskManager stays what it was.
    if (!quiet && !settings_.staged && SeededRandom(~settings_.seed).one_in(2))
      set("cluster.evenly-spread-out-slots", "true");
    for (const auto& [key, value] : job_.fixed) drawn[key] = value;
    backend_ = drawn.at("state.backend");
    has_databases_ = backend_ == databases_name;
    draw_pace();
    for (const auto& [key, value] : drawn)
      report_.story += (report_.story.empty() ? "" : ", ") + key + "=" + value;
    report_.story += ", pace " + std::to_string(pace_.count()) + " ms";
    if (has_databases_) draw_databases();
    for (std::size_t i = 0; i < fault_classes; ++i) {
      // Drawn for each, so that one plan more does not move all others.
      const double draw = static_cast<double>(random_.below(1'000'000)) / 1e6;
      if (draw < settings_.faults.probability[i]) classes_.push_back(static_cast<FaultClass>(i));
    }
    plan_disturbances();
    hold_ = settings_.look_at_state && (quiet || !random_.one_in(3));
    return drawn;
  }

  /// On databases one time in `seeds_per_database`, but without faults only if there is nothing else.
  std::string draw_backend() {
    std::vector<std::string> others = job_.backends;
    const bool may_have = std::erase(others, databases_name) > 0;
    const std::string other =
        others.empty() ? databases_name : others[random_.below(others.size())];
    const bool is_drawn = may_have && database_random_.one_in(seeds_per_database);
    return is_drawn && settings_.expected != nullptr ? databases_name : other;
  }
  void draw_databases() {
    table_bytes_ = SimulatedDatabases::draw_table_bytes(database_random_);
    if (database_random_.one_in(2))
      io_delay_ = milliseconds(database_random_.between(1, most_io_delay_ms));
    report_.story += ", " + std::to_string(table_bytes_ >> 10) + " KiB of tables, I/O within " +
                     std::to_string(io_delay_.count()) + " ms";
  }
  /// That of the next run, which goes on from what any other has left.
  void draw_next_backend() {
    if (!has_databases_ || job_.backends.size() == 1) return;
    const std::string next = database_random_.one_in(3)
                                 ? job_.backends[database_random_.below(job_.backends.size())]
                                 : databases_name;
    if (std::exchange(backend_, next) != next) count("goes on with another backend");
  }

  /// Virtual time passes beside the work so fast that the input takes some seconds: checkpoints begin and timeouts end
  /// while records are on their way.
  void draw_pace() {
    const std::uint64_t length_ms = random_.between(1000, 10'000);
    const std::uint64_t steps = settings_.expected == nullptr ? 0 : settings_.expected->steps;
    // Every eighth step is one of time, of half the pace on average.
    pace_ =
        milliseconds(steps == 0 ? 10 : std::clamp<std::uint64_t>(16 * length_ms / steps, 1, 500));
  }

  Status begin() {
    auto configuration = Configuration::from_map(drawn_, "simulation");
    if (!configuration) return std::unexpected(configuration.error());
    if (settings_.vary_parallelism)
      parallelism_ = static_cast<std::uint32_t>(random_.between(1, 4));
    auto first = submission(parallelism_);
    if (first) {
      for (const OperatorDescription& one : first->plan.operators) {
        if (!one.output_directory.empty()) outputs_.insert(one.output_directory);
        if (one.transactional) transactional_ = true;
      }
    }
    SimulatedCluster::Settings cluster;
    cluster.seed = random_.next();
    cluster.configuration = std::move(*configuration);
    cluster.libraries = &libraries_;
    cluster.make_backend = [this](const Configuration& configuration) {
      return job_.make_backend(configuration, databases_);
    };
    cluster.beside = [this] { return databases_.merge_some(); };
    cluster.pace = pace_;
    cluster.io_delay = io_delay_;
    cluster.links = true;
    cluster.trace = settings_.trace;
    cluster.on_delivery = [this](const DeliveryRecord& record, const std::string& process) {
      return (settings_.staged && stage_delivery(record, process)) || kill_at(record, process);
    };
    if (settings_.staged) {
      cluster.on_link = [this](const DeliveryRecord& message) {
        return SimulatedLink::Deed{stage_on_link(message.message), staged_delay};
      };
    }
    watch_protocol(cluster);
    OverlayFileSystem::Settings overlay{job_.inputs, {root, "/temporary"}, job_.lines};
    overlay.hidden.insert(overlay.hidden.end(), outputs_.begin(), outputs_.end());
    cluster.overlay = [overlay](FileSystem& files, SimulatedDisk& disk) {
      return std::make_unique<OverlayFileSystem>(files, disk, overlay);
    };
    cluster_ = std::make_unique<SimulatedCluster>(std::move(cluster));
    if (!first) return std::unexpected(first.error());
    if (hold_) watch_->hold_sources();
    start_processes();
    first->id = draw_job_id();
    submit(std::move(*first));
    return {};
  }

  void watch_protocol(SimulatedCluster::Settings& cluster) {
    ProtocolWatch::Settings settings;
    settings.checkpoints = checkpoints;
    settings.savepoints = savepoints;
    settings.outputs = outputs_;
    settings.channel_bytes = cluster.configuration.execution().channel_bytes;
    settings.read = [this](const std::string& path) {
      auto content = cluster_->disk().content(path);
      // What a flipped bit has damaged is still there.
      return content && flipped_ && flipped_->first == path ? flipped_->second : content;
    };
    protocol_.emplace(std::move(settings));
    protocol_->attach(cluster);
  }
  void count(const std::string& what) { ++report_.counts[what]; }
  void hit(FaultClass fault, std::uint64_t times = 1) {
    if (times > 0) report_.faults[std::string(to_string(fault))] += times;
  }
  void violated(std::string promise, std::string what) {
    report_.violations.push_back(
        {std::move(promise), std::move(what), cluster_ ? cluster_->steps() : 0});
  }

  // ---- the way through

  void go_through() {
    while (!finished_ && report_.violations.empty()) {
      if (!cluster_->step()) {
        violated("liveness", "nothing moves any more: the job neither ends nor fails");
        break;
      }
      look_after();
      count_hits();
      if (auto broken = protocol_->take_broken(*cluster_)) violated("protocol", *broken);
      if (report_.result.steps == 0 && sources_ > 0 && watch_->waiting_sources() >= sources_)
        report_.result.steps = cluster_->steps();
      if (settings_.staged) go_through_flow();
      disturb_if_due();
      if (all_has_happened() && (!settings_.staged || stage_ == Stage::after)) {
        if (!healed_) heal();
        look_at_state();
        if (cluster_->now() - healed_at_ > settings_.time_to_heal)
          violated(
              "liveness",
              std::string(settings_.expected == nullptr ? "" : "nothing fails any more, but ") +
                  "the job does not reach the end of its input within " +
                  std::to_string(settings_.time_to_heal / std::chrono::minutes(1)) +
                  " minutes of virtual time (" + whereabouts() + ")" +
                  (failure_.empty() ? ": " + job_.how_to_limit : ""));
      }
      if (settings_.most_records && emitted() > *settings_.most_records)
        violated("liveness", "its sources have given more than " +
                                 std::to_string(*settings_.most_records) +
                                 " records: " + job_.how_to_limit);
      if (cluster_->steps() > settings_.most_steps)
        violated("liveness", "the run was given up after " + std::to_string(settings_.most_steps) +
                                 " steps: " + job_.how_to_limit);
    }
  }

  /// Records of all sources so far.
  [[nodiscard]] std::uint64_t emitted() const {
    std::uint64_t sum = 0;
    for (const auto& [source, records] : watch_->records()) sum += records;
    return sum;
  }
  /// What the run waits for.
  [[nodiscard]] std::string whereabouts() const {
    std::string text = "the job is " + (report_.state.empty() ? "not heard of" : report_.state);
    if (hold_ && watch_->held())
      text += ", " + std::to_string(watch_->waiting_sources()) + " of " + std::to_string(sources_) +
              " sources have read all";
    if (submitted_) text += ", a submission is not answered";
    if (savepoint_ || last_look_) text += ", a savepoint is not answered";
    if (is_ending()) text += ", its end was asked for";
    if (!failure_.empty()) text += ", it last restarted because of this: " + failure_;
    return text;
  }

  // ---- processes and submissions

  void start_processes() {
    if (!cluster_->has_job_manager()) {
      cluster_->start_job_manager();
      for (const TaskManagerId id : cluster_->task_managers()) cluster_->crash_task_manager(id);
    }
    while (cluster_->task_managers().size() < settings_.task_managers)
      (void)cluster_->start_task_manager(slots);
  }

  /// At the parallelism that the job is configured with, or at `parallelism`.
  Result<JobSubmission> submission(std::optional<std::uint32_t> parallelism) {
    JobSubmission made;
    made.name = job_.name;
    made.library_sha256 = job_.library_sha256;
    made.arguments = job_.arguments;
    made.configuration = drawn_;
    made.configuration["state.backend"] = backend_;
    if (parallelism && !job_.fixed.contains("parallelism.default"))
      made.configuration["parallelism.default"] = std::to_string(*parallelism);
    WEIR_TRY_ASSIGN(plan,
                    libraries_.build_plan(job_.library_sha256, job_.arguments, made.configuration));
    made.plan = plan->describe();
    return made;
  }
  void submit(JobSubmission what) {
    current_ = what.id;
    details_.reset();
    savepoint_.reset();
    last_look_.reset();
    cancelling_.reset();
    cancelling_plainly_.reset();
    stopping_.reset();
    stop_may_have_come_ = false;
    sources_ = 0;
    for (const OperatorDescription& one : what.plan.operators)
      if (one.source) sources_ += one.parallelism - ended_sources(one, what.restore_directory);
    last_submission_ = what;
    was_flipped_ = flipped_.has_value();
    faults_met_at_submission_ = faults_met();
    submitted_ = cluster_->ask<SubmitJobSuccess>(SubmitJob{std::move(what)}, patience);
  }
  /// Subtasks of `source` that had ended when the snapshot in `directory` was taken: they do not read again.
  [[nodiscard]] std::uint32_t ended_sources(const OperatorDescription& source,
                                            const std::string& directory) const {
    if (directory.empty()) return 0;
    const auto files = cluster_->outside();
    SeededRandom names(0);
    FileCheckpointStorage storage(*files, names);
    const auto metadata = read_metadata(storage, directory);
    if (!metadata) return 0;  // whoever restores from it finds out
    const auto old = std::ranges::find(metadata->operators, source.uid, &OperatorSnapshot::uid);
    if (old == metadata->operators.end()) return 0;
    const auto ended = static_cast<std::uint32_t>(
        std::ranges::count_if(old->subtasks, &OperatorSubtaskSnapshot::finished));
    if (ended == old->subtasks.size()) return source.parallelism;
    return source.parallelism == old->subtasks.size() ? ended : 0;
  }
  /// The job at the parallelism of the next run.
  std::optional<JobSubmission> next_submission() {
    if (draws(FaultClass::rescale) && !settings_.faults.is_empty()) {
      const auto parallelism = static_cast<std::uint32_t>(random_.between(1, 4));
      if (parallelism_ != parallelism) hit(FaultClass::rescale);
      parallelism_ = parallelism;
    }
    draw_next_backend();
    auto next = submission(parallelism_);
    if (next) return std::move(*next);
    violated("protocol", "the job function fails when it is run again: " + next.error().what);
    return std::nullopt;
  }
  [[nodiscard]] bool draws(FaultClass fault) const {
    return std::ranges::find(classes_, fault) != classes_.end();
  }
  JobId draw_job_id() { return {random_.next() | 1, random_.next()}; }
  /// Of a savepoint.
  static SnapshotForm draw_form(SeededRandom& random) {
    return random.one_in(2) ? SnapshotForm::native : SnapshotForm::canonical;
  }

  /// As `weir run`.
  void submit_anew() {
    if (auto anew = next_submission()) {
      anew->id = draw_job_id();
      submit(std::move(*anew));
    }
  }
  /// As `weir run -s latest` or what comes to the same, or as `weir run` if there is no snapshot yet.
  void go_on() {
    cluster_->disk().heal();  // what is looked at here is not what may fail
    const auto files = cluster_->outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    const std::vector<std::string> directories{checkpoints};
    const auto found = find_recovery_points(storage, directories, job_.name);
    if (!found)
      return violated("E3", "recovery points cannot be looked for: " + found.error().what);
    if (flipped_) {
      // Whoever operates the cluster finds the damage, as the scan or the check of the newest must, and mends it.
      check_flip(storage, *found);
      if (!report_.violations.empty()) return;
      mend_flip();
      return go_on();
    }
    for (const auto* list : {&found->points, &found->nameless})
      for (const RecoveryPoint& point : *list)
        if (point.damage) return violated("E3", "a snapshot is damaged: " + point.damage->what);
    // A job that has reached its end deletes its checkpoints; then its output is whole. One without output
    // cannot be told from one that has lost them, unless its sources were held back.
    const bool may_have_ended = outputs_.empty() ? !watch_->held() && completed_ : has_output();
    if (found->finished || (found->points.empty() && may_have_ended)) {
      count("ended before the client knew");
      finished_ = true;
      return;
    }
    if (found->points.empty()) {
      if (completed_)
        return violated("E3", "a checkpoint had been reported complete; now there is none");
      count("started anew");
      return submit_anew();
    }
    // Also the older ones, which count once those before them are damaged.
    for (const RecoveryPoint& point : found->points)
      if (const auto verified = verify_snapshot(storage, point.directory); !verified)
        return violated("E3", verified.error().what);
    RecoveryPoint newest = found->points.front();
    if (const auto own = newest_of_last_job(storage); own && own->job != newest.job) newest = *own;
    auto next = next_submission();
    if (!next) return;
    next->restore_directory = newest.directory;
    if (random_.one_in(4)) {
      // As `-s PATH`: a new job leaves the snapshot alone.
      next->id = draw_job_id();
      left_alone_.push_back(newest);
      count("restored under a new id");
      return submit(std::move(*next));
    }
    next->id = newest.job;
    next->continues = true;
    std::erase_if(left_alone_, [&](const RecoveryPoint& one) { return one.job == newest.job; });
    count("continued from the latest snapshot");
    submit(std::move(*next));
  }

  /// The newest snapshot of the job that ran last, or what it had started from. Among jobs of one name `-s latest` goes
  /// by the clock, which may have jumped; whoever operates the cluster knows which was the last.
  std::optional<RecoveryPoint> newest_of_last_job(CheckpointStorage& storage) {
    const auto found = scan_job(storage, checkpoints, current_);
    std::string directory = last_submission_.restore_directory;
    if (found)
      for (const FoundSnapshot& one : *found) {
        if (one.kind == FoundSnapshot::Kind::incomplete) continue;
        directory = one.path;
        if (one.kind != FoundSnapshot::Kind::savepoint_pointer) continue;
        const auto pointer = read_savepoint_pointer(storage, one.path);
        if (!pointer) return std::nullopt;
        directory = pointer->directory;
      }
    if (directory.empty()) return std::nullopt;
    const auto metadata = read_metadata(storage, directory);
    if (!metadata) return std::nullopt;
    RecoveryPoint point;
    point.job = metadata->job;
    point.checkpoint = metadata->checkpoint;
    point.directory = directory;
    return point;
  }

  // ---- looking after

  /// What whoever operates the cluster does after each step: starts processes and jobs that have ended,
  /// and takes note of answers.
  void look_after() {
    if (!cluster_->has_job_manager() ||
        cluster_->task_managers().size() < settings_.task_managers) {
      const bool job_is_lost = !cluster_->has_job_manager();
      start_processes();
      if (job_is_lost) return go_on();
    }
    if (submitted_ && submitted_->has_value()) {
      const auto answer = **submitted_;
      submitted_.reset();
      if (!answer) return refused(answer.error());
    }
    if (savepoint_ && savepoint_->has_value()) {
      flow_is_answered((*savepoint_)->has_value());
      if (**savepoint_) {
        taken_.push_back((**savepoint_)->path);
        hit(FaultClass::savepoint);
      } else {
        count("savepoint failed");
      }
      savepoint_.reset();
    }
    if (auto path = ended_with()) return go_on_from(*path);
    if (cancelling_plainly_ && cancelling_plainly_->has_value()) {
      const bool cancelled = (*cancelling_plainly_)->has_value();
      if (cancelled)
        hit(FaultClass::cancel);
      else
        count("cancelling failed");
      cancelling_plainly_.reset();
      if (cancelled) return go_on();
    }
    if (submitted_) return;
    if (!details_) {
      if (cluster_->now() < next_look_) return;
      next_look_ = cluster_->now() + milliseconds(100);
      details_ = cluster_->ask<JobDetails>(RequestJobDetails{current_}, patience);
    } else if (details_->has_value()) {
      const auto answer = **details_;
      details_.reset();
      if (answer) hear(*answer);
    }
  }
  /// A submission was.
  void refused(const Error& why) {
    // Slots of the attempt before may not be free yet.
    count("submission refused: " + std::string(to_string(why.code)));
    const bool may_come = why.code == Errc::unavailable || why.code == Errc::timed_out ||
                          (why.code == Errc::io_error && disk_has_failed());
    if (was_flipped_ && why.code == Errc::corruption) {
      hit(FaultClass::bit_flip);
      mend_flip();
      return go_on();
    }
    if (!may_come) return violated("protocol", "a submission was refused: " + why.what);
    submit(last_submission_);
  }
  void hear(const JobDetails& details) {
    failure_ = details.failure;
    if (details.checkpoints.last_completed) completed_ = true;
    report_.counts["restarts"] =
        std::max<std::uint64_t>(report_.counts["restarts"], details.overview.restarts);
    report_.state = enumerator_name(details.overview.state);
    if (details.overview.state == JobState::running) flow_is_running();
    switch (details.overview.state) {
      case JobState::finished:
        // It may have stopped, and not come to its end: the answer is still to come, or was lost.
        if (stopping_) break;
        if (stop_may_have_come_) return go_on();
        finished_ = true;
        report_.counts["checkpoints completed by the last run"] = details.checkpoints.completed;
        break;
      case JobState::failed:
        // A task was lost behind a savepoint that ends the job: nothing may start from before it.
        if (details.failure.ends_with("is complete: resume from it with -s")) {
          if (is_ending()) break;  // its answer is still to come
          count("failed behind its last savepoint");
          return go_on();
        }
        if (was_flipped_) {
          // It may not go on from what is damaged, and has said so.
          hit(FaultClass::bit_flip);
          mend_flip();
          return go_on();
        }
        // What is wrong at the beginning of a job is no reason to try again, other than for its user.
        if (last_submission_.restore_directory.empty() && disk_has_failed()) {
          count("failed at its beginning");
          return go_on();
        }
        violated("liveness",
                 "the job failed, although it may restart for ever: " + details.failure);
        break;
      case JobState::canceled:
        // Its end was asked for, but the answer was lost with a process.
        if (!is_ending()) go_on();
        break;
      default:
        break;
    }
  }

  /// Since the last submission.
  bool disk_has_failed() { return faults_met() > faults_met_at_submission_ || is_full_; }
  std::size_t faults_met() {
    return faults_met_before_ + cluster_->disk().faults_met() + databases_.refused();
  }
  [[nodiscard]] bool is_ending() const { return cancelling_ || cancelling_plainly_ || stopping_; }
  /// The answer to `end_with_savepoint`, when it is there and a success.
  std::optional<std::string> ended_with() {
    std::optional<std::string> path;
    const auto take = [&](auto& awaited, FaultClass what) {
      if (!awaited || !awaited->has_value()) return;
      flow_is_answered((*awaited)->has_value());
      if (**awaited) {
        path = (**awaited)->savepoint;
        hit(what);
      } else {
        count("ending with a savepoint failed");
        if ((*awaited)->error().code != Errc::timed_out) stop_may_have_come_ = false;
      }
      awaited.reset();
    };
    take(cancelling_, FaultClass::cancel_with_savepoint);
    take(stopping_, FaultClass::stop);
    return path;
  }
  void go_on_from(const std::string& savepoint) {
    taken_.push_back(savepoint);
    completed_ = true;
    go_on();
  }

  // ---- the state at the end of the input

  /// When every source has given all it has and everything has come to rest, a savepoint shows the state; then the sources
  /// may say that they have ended.
  void look_at_state() {
    if (!hold_ || !watch_->held()) return;
    if (last_look_) {
      if (!last_look_->has_value()) return;
      const auto answer = std::exchange(last_look_, {})->value();
      if (!answer) return count("savepoint at the end of the input failed");
      const auto files = cluster_->outside();
      SeededRandom names(0);
      FileCheckpointStorage storage(*files, names);
      auto contents = read_contents(storage, answer->path, settings_.ordered_lists);
      if (!contents) return violated("E4", contents.error().what);
      if (settings_.expected != nullptr && settings_.expected->state)
        if (const auto differs = first_difference(*contents, *settings_.expected->state))
          return violated("E1", *differs);
      report_.result.state = std::move(*contents);
      watch_->release_sources();
      return;
    }
    if (submitted_ || is_ending() || savepoint_ || !cluster_->has_job_manager() ||
        watch_->waiting_sources() < sources_ || !cluster_->tasks_rest()) {
      if (watch_->waiting_sources() < sources_) rests_since_.reset();
      return;
    }
    if (!rests_since_) rests_since_ = cluster_->now();
    if (cluster_->now() - *rests_since_ < settling) return;
    rests_since_.reset();
    last_look_ = cluster_->ask<TriggerSavepointSuccess>(
        TriggerSavepoint{current_, "", SnapshotForm::canonical}, patience);
  }

  // ---- disturbing

  /// Draws what happens when. All that is to happen is spread over the steps that a run without faults takes and a
  /// little more, or over several times as many, when checkpoints of all of the input come. Each has a seed of its own, so that it stays what it is when others are left out.
  void plan_disturbances() {
    const std::uint64_t count =
        classes_.empty() ? 0 : random_.below(settings_.faults.disturbances + 1);
    const std::uint64_t steps = settings_.expected == nullptr ? 0 : settings_.expected->steps;
    const std::uint64_t last = (3 * steps / 2 + 100) * (random_.one_in(2) ? 1 : 5);
    std::vector<FaultClass> weighted;
    for (const FaultClass what : classes_) weighted.insert(weighted.end(), weight_of(what), what);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t step = random_.below(last);
      const FaultClass what = weighted[random_.below(weighted.size())];
      planned_.push_back({step, what, random_.next()});
    }
    std::ranges::stable_sort(planned_, {}, &Disturbance::step);
    if (!settings_.only) return;
    std::vector<Disturbance> kept;
    for (const std::uint64_t index : *settings_.only)
      if (index < planned_.size()) kept.push_back(planned_[index]);
    planned_ = std::move(kept);
  }
  [[nodiscard]] bool all_has_happened() const {
    return next_disturbance_ == planned_.size() && postponed_.empty() &&
           (!last_disturbance_at_ || cluster_->now() - *last_disturbance_at_ >= lingering);
  }
  void disturb_if_due() {
    if (!postponed_.empty() && can_be_asked()) {
      const Disturbance one = postponed_.front();
      postponed_.erase(postponed_.begin());
      make_happen(one);
    }
    while (next_disturbance_ < planned_.size() &&
           planned_[next_disturbance_].step <= cluster_->steps()) {
      const Disturbance& one = planned_[next_disturbance_++];
      if (asks_for_something(one.what) && !can_be_asked())
        postponed_.push_back(one);
      else
        make_happen(one);
    }
  }
  void make_happen(const Disturbance& one) {
    last_disturbance_at_ = cluster_->now();
    faults_ = SeededRandom(one.seed);
    disturb(one.what);
  }
  static bool asks_for_something(FaultClass what) {
    return what == FaultClass::savepoint || what == FaultClass::cancel ||
           what == FaultClass::cancel_with_savepoint || what == FaultClass::stop;
  }
  /// The last disturbance is over: from here on nothing fails.
  void heal() {
    healed_ = true;
    healed_at_ = cluster_->now();
    protocol_->see_healed();
    cluster_->heal();
    // What is slow as well: else a checkpoint may never be done in time.
    cluster_->set_pace(std::min(pace_, calm_pace));
    cluster_->disk().heal();
    databases_.heal();
    cluster_->disk().limit_bytes(std::nullopt);
    is_full_ = false;
    watch_->heal();
    kill_at_.reset();
    postponed_.clear();
    mend_flip();
  }

  std::optional<TaskManagerId> draw_task_manager() {
    const auto ids = cluster_->task_managers();
    if (ids.empty()) return std::nullopt;
    return ids[faults_.below(ids.size())];
  }
  /// None: the JobManager's process.
  std::optional<TaskManagerId> draw_process() {
    return faults_.one_in(3) ? std::nullopt : draw_task_manager();
  }
  SimulatedLink* draw_link() {
    if (const auto pair = draw_record_links())
      return faults_.one_in(2) ? pair->first : pair->second;
    const auto id = draw_task_manager();
    if (!id) return nullptr;
    return faults_.one_in(2) ? cluster_->link_to(*id) : cluster_->link_from(*id);
  }
  /// In half of all cases those of two TaskManagers between which records flow, if there are some.
  std::optional<std::pair<SimulatedLink*, SimulatedLink*>> draw_record_links() {
    const auto pairs = cluster_->record_links();
    if (pairs.empty() || faults_.one_in(2)) return std::nullopt;
    return pairs[faults_.below(pairs.size())];
  }
  milliseconds draw_length(std::uint64_t most_ms) {
    return milliseconds(faults_.between(1, faults_.one_in(3) ? most_ms : most_ms / 20 + 1));
  }

  /// Makes something happen that a job must survive.
  void disturb(FaultClass what) {
    switch (what) {
      case FaultClass::crash_task_manager:
        if (const auto id = draw_task_manager()) {
          hit(what);
          cluster_->crash_task_manager(*id);
        }
        return;
      case FaultClass::crash_job_manager:
        if (!cluster_->has_job_manager()) return;
        hit(what);
        return cluster_->crash_job_manager();
      case FaultClass::crash_host:
        hit(what);
        return cluster_->crash_host();
      case FaultClass::crash_at_file_operation:
        return crash_at_file_operation();
      case FaultClass::crash_at_message:
        // The last, which meets a message least often, twice as often.
        kill_at_ = {message_kill_points[std::min(faults_.below(message_kill_points.size() + 1),
                                                 message_kill_points.size() - 1)],
                    faults_.one_in(2)};
        return provoke(kill_at_->message);
      case FaultClass::pause:
        hit(what);
        return cluster_->pause(draw_process(), draw_length(60'000));
      case FaultClass::delay_message:
        if (SimulatedLink* link = draw_link()) link->delay_next(draw_length(30'000));
        return;
      case FaultClass::drop_message:
        if (SimulatedLink* link = draw_link()) link->drop_next();
        return;
      case FaultClass::repeat_message:
        if (SimulatedLink* link = draw_link()) link->repeat_next(draw_length(5'000));
        return;
      case FaultClass::cut_link:
      case FaultClass::one_way_cut: {
        auto pair = draw_record_links();
        if (!pair) {
          const auto id = draw_task_manager();
          if (!id) return;
          pair.emplace(cluster_->link_to(*id), cluster_->link_from(*id));
        }
        cutting_ = what;
        const MonotonicTime end = cluster_->now() + draw_length(60'000);
        const bool there = what == FaultClass::cut_link || faults_.one_in(2);
        if (there) pair->first->cut_until(end);
        if (what == FaultClass::cut_link || !there) pair->second->cut_until(end);
        return;
      }
      case FaultClass::torn_write:
        return fail_disk(what, Fault::short_write, FileOperation::append);
      case FaultClass::failed_write: {
        if (has_databases_ && faults_.one_in(2)) return fail_local_disk();
        constexpr std::array kinds{Fault::no_space, Fault::io_error, Fault::interrupted,
                                   Fault::reported_failed};
        return fail_disk(what, kinds[faults_.below(kinds.size())], std::nullopt);
      }
      case FaultClass::failed_rename:
        return fail_disk(what, faults_.one_in(2) ? Fault::half_renamed : Fault::io_error,
                         FileOperation::rename);
      case FaultClass::failed_sync:
        return fail_disk(what, Fault::io_error,
                         faults_.one_in(2) ? FileOperation::sync : FileOperation::sync_directory);
      case FaultClass::full_disk:
        fill_disk();
        return;
      case FaultClass::slow_disk:
        hit(what);
        return cluster_->stall_disk(draw_process(), draw_length(60'000));
      case FaultClass::bit_flip:
        // A later checkpoint soon takes the place of the damaged one, so mostly somebody has to start from it at once.
        if (flip_bit() && !faults_.one_in(3)) cluster_->crash_host();
        return;
      case FaultClass::clock_jump: {
        hit(what);
        const auto by = static_cast<std::int64_t>(faults_.below(7'200'000)) - 3'600'000;
        return cluster_->jump_clock(draw_process(), milliseconds(by));
      }
      case FaultClass::poison_record:
        return watch_->fail_calls(faults_.between(1, 20),
                                  faults_.one_in(2) ? 1 : faults_.between(2, 5));
      case FaultClass::savepoint:
        savepoint_ = cluster_->ask<TriggerSavepointSuccess>(
            TriggerSavepoint{current_, "", draw_form(faults_)}, patience);
        return;
      case FaultClass::cancel:
        // Without its checkpoints there would be nothing to go on from.
        if (!retains_checkpoints()) return;
        cancelling_plainly_ = cluster_->ask<CancellationSuccess>(CancelJob{current_}, patience);
        return;
      case FaultClass::cancel_with_savepoint:
        cancelling_ = cluster_->ask<CancellationSuccess>(
            CancelJobWithSavepoint{current_, "", draw_form(faults_)}, patience);
        return;
      case FaultClass::stop:
        stop_may_have_come_ = true;
        stopping_ = cluster_->ask<StoppingSuccess>(
            StopJobWithSavepoint{current_, "", false, draw_form(faults_)}, patience);
        return;
      case FaultClass::rescale:
        return;  // at the next start
    }
  }
  /// Sees to it that `message` is sent, if it is one that only the beginning or the end of an attempt needs.
  void provoke(std::string_view message) {
    if (message == "SubmitJob" || message == "RegisterTaskManager") {
      if (cluster_->has_job_manager()) cluster_->crash_job_manager();
    } else if (message == "SubmitTask" || message == "StartTask") {
      if (const auto id = draw_task_manager()) cluster_->crash_task_manager(*id);
    } else if (message == "CancelTask") {
      // A crash might leave no task to be cancelled.
      watch_->fail_calls(1, 3);
    }
  }
  /// One of any kind, or behind one of a kind of its own: among all of them some are rare.
  void crash_at_file_operation() {
    crash_was_to_come_ = true;
    const bool any = faults_.one_in(6);
    const std::size_t first = transactional_ && faults_.one_in(3) ? first_output_kill_point : 0;
    const std::string_view wanted =
        file_kill_points[first + faults_.below(file_kill_points.size() - first)];
    cluster_->crash_at_file_operation(any ? faults_.between(1, 60) : faults_.between(1, 2),
                                      [this, any, wanted](const FileEvent& event) {
                                        killed_at_ =
                                            file_kill_point(event, std::string(root) + "/");
                                        return any || killed_at_ == wanted;
                                      });
  }
  /// Whether the message is lost because its receiver's process has ended.
  bool kill_at(const DeliveryRecord& record, const std::string& process) {
    if (!kill_at_ || record.message != kill_at_->message || process.empty()) return false;
    const bool after = kill_at_->after;
    kill_at_.reset();
    hit(FaultClass::crash_at_message);
    ++report_.kill_points[message_kill_point(record.message, after)];
    cluster_->doom(process, !after);
    return !after;
  }
  [[nodiscard]] bool can_be_asked() const {
    return cluster_->has_job_manager() && !savepoint_ && !is_ending() && !submitted_ && !last_look_;
  }
  [[nodiscard]] bool retains_checkpoints() const {
    return drawn_.at("execution.checkpointing.externalized-checkpoint-retention") ==
           "RETAIN_ON_CANCELLATION";
  }
  /// One of the next file operations fails, and perhaps those behind it.
  void fail_disk(FaultClass what, Fault fault, std::optional<FileOperation> only) {
    count_hits();
    InjectedFault injected;
    injected.fault = fault;
    injected.at = faults_.between(1, only ? 3 : 60);
    injected.times = faults_.one_in(2) ? 1 : faults_.between(2, 6);
    injected.only = only;
    faults_met_before_ += cluster_->disk().faults_met();  // it begins to count anew
    faults_told_ = 0;
    failing_ = what;
    cluster_->disk().inject(injected);
  }
  /// One of the next files that are written for a database, and perhaps those behind it.
  void fail_local_disk() {
    const std::uint64_t times = faults_.one_in(2) ? 1 : faults_.between(2, 6);
    databases_.refuse_files(faults_.between(1, 200), times);
  }
  /// The disk has room for a little more, and for all there is some time later.
  void fill_disk() {
    std::uint64_t bytes = 0;
    for (const auto& [path, content] : cluster_->disk().contents()) bytes += content.size();
    hit(FaultClass::full_disk);
    is_full_ = true;
    cluster_->disk().limit_bytes(bytes + faults_.below(20'000));
    full_until_ = cluster_->now() + draw_length(30'000);
  }
  /// One bit of one file of a complete checkpoint is another one; false if there is none.
  bool flip_bit() {
    if (flipped_) return false;
    std::vector<std::string> paths;
    const auto contents = cluster_->disk().contents();
    for (const auto& [path, content] : contents)
      if (path.starts_with(std::string(checkpoints) + "/") && path.ends_with("/_metadata") &&
          !content.empty())
        paths.push_back(path);
    if (paths.empty()) return false;
    const std::string& metadata = paths[faults_.below(paths.size())];
    const std::string directory = metadata.substr(0, metadata.rfind('/') + 1);
    std::erase_if(paths, [&](const std::string& one) { return one != metadata; });
    for (const auto& [path, content] : contents)
      if (path.starts_with(directory) && path != metadata && !content.empty() &&
          path.find("/.") == std::string::npos)
        paths.push_back(path);
    const std::string& chosen = paths[faults_.below(paths.size())];
    std::string bytes = contents.at(chosen);
    flipped_ = {chosen, bytes};
    was_flipped_ = true;
    bytes[faults_.below(bytes.size())] ^= static_cast<char>(1 << faults_.below(8));
    cluster_->disk().put(chosen, bytes);
    cluster_->tell("a bit of " + chosen + " is flipped");
    return true;
  }
  /// Whoever looks for the damage finds it, if it is of a snapshot that is still there.
  void check_flip(CheckpointStorage& storage, const RecoveryPoints& found) {
    const std::string& path = flipped_->first;
    const std::string directory = path.substr(0, path.rfind('/'));
    for (const auto* list : {&found.points, &found.nameless})
      for (const RecoveryPoint& point : *list) {
        if (point.directory != directory) continue;
        hit(FaultClass::bit_flip);
        if (!point.damage && verify_snapshot(storage, directory))
          violated("E3", path + " has a flipped bit, and the snapshot verifies");
      }
  }
  void mend_flip() {
    if (!flipped_) return;
    const auto [path, bytes] = *std::exchange(flipped_, {});
    if (cluster_->disk().contents().contains(path)) cluster_->disk().put(path, bytes);
    cluster_->tell("the bit of " + path + " is as it was");
  }

  /// Takes note of faults that have met something.
  void count_hits() {
    if (crash_was_to_come_ && !cluster_->is_crash_to_come()) {
      crash_was_to_come_ = false;
      hit(FaultClass::crash_at_file_operation);
      if (!killed_at_.empty()) ++report_.kill_points[std::string(killed_at_)];
    }
    if (const std::size_t met = cluster_->disk().faults_met(); met > faults_told_ && failing_) {
      hit(*failing_, met - faults_told_);
      faults_told_ = met;
    }
    if (const std::uint64_t refused = databases_.refused(); refused > refused_told_) {
      hit(FaultClass::failed_write, refused - refused_told_);
      refused_told_ = refused;
    }
    if (const std::uint64_t failed = watch_->failed_calls(); failed > poison_told_) {
      hit(FaultClass::poison_record, failed - poison_told_);
      poison_told_ = failed;
    }
    if (is_full_ && !healed_ && cluster_->now() > full_until_) {
      cluster_->disk().limit_bytes(std::nullopt);
      is_full_ = false;
      faults_met_before_ += 1;  // what failed meanwhile was the disk's fault
    }
    for (const TaskManagerId id : cluster_->task_managers())
      for (SimulatedLink* link : {cluster_->link_to(id), cluster_->link_from(id)})
        if (link != nullptr) count_hits_of(*link);
    for (const auto& [there, back] : cluster_->record_links())
      for (SimulatedLink* link : {there, back}) count_hits_of(*link);
  }
  void count_hits_of(SimulatedLink& link) {
    const SimulatedLink::Hits hits = link.take_hits();
    hit(FaultClass::delay_message, hits.delayed);
    hit(FaultClass::drop_message, hits.dropped);
    hit(FaultClass::repeat_message, hits.repeated);
    hit(cutting_, hits.cut);
  }

  // ---- a staged flow

  enum class Stage : std::uint8_t { before, within, after };

  /// Begins the flow once a checkpoint is complete and some of the input is read, and notices its end.
  void go_through_flow() {
    if (stage_ == Stage::before) {
      const bool is_time = completed_ && !submitted_ && can_be_asked() &&
                           cluster_->steps() >= settings_.expected->steps / 3;
      if (is_time) begin_flow();
    } else if (stage_ == Stage::within) {
      if (asked_ && asked_->has_value()) {
        report_.flow_outcome = (*asked_)->has_value() ? "completed" : "failed";
        asked_.reset();
        flow_ends_at_ = cluster_->now() + flow_rest;
      }
      if (flow_ends_at_ && cluster_->now() >= *flow_ends_at_) stage_ = Stage::after;
      // However the flow ends, the run goes on.
      if (cluster_->now() - flow_began_at_ > flow_patience) stage_ = Stage::after;
    }
  }
  void begin_flow() {
    stage_ = Stage::within;
    flow_began_at_ = cluster_->now();
    cluster_->tell("the flow begins");
    switch (settings_.staged->flow) {
      case Flow::checkpoint:
        asked_ = cluster_->ask<CheckpointCompleted>(RequestCheckpoint{current_}, patience);
        return;
      case Flow::savepoint:
        savepoint_ = cluster_->ask<TriggerSavepointSuccess>(
            TriggerSavepoint{current_, "", SnapshotForm::canonical}, patience);
        return;
      case Flow::cancel_with_savepoint:
        cancelling_ = cluster_->ask<CancellationSuccess>(
            CancelJobWithSavepoint{current_, "", SnapshotForm::canonical}, patience);
        return;
      case Flow::rescale:
        parallelism_ = parallelism_.value_or(1) + 1;
        [[fallthrough]];
      case Flow::stop:
        stop_may_have_come_ = true;
        stopping_ = cluster_->ask<StoppingSuccess>(
            StopJobWithSavepoint{current_, "", false, SnapshotForm::canonical}, patience);
        return;
      case Flow::restore:
        report_.flow_outcome = "restored";
        cluster_->crash_host();
        return;
    }
  }
  /// What the client of a staged savepoint, cancellation or stop has heard.
  void flow_is_answered(bool success) {
    if (stage_ != Stage::within) return;
    report_.flow_outcome = success ? "completed" : "failed";
    if (settings_.staged->flow == Flow::savepoint || !success)
      flow_ends_at_ = cluster_->now() + flow_rest;
  }
  /// A job runs: with it a flow ends that has made it anew.
  void flow_is_running() {
    if (stage_ == Stage::within && !flow_ends_at_ && !is_ending() &&
        settings_.staged->flow != Flow::checkpoint && settings_.staged->flow != Flow::savepoint)
      flow_ends_at_ = cluster_->now() + flow_rest;
  }

  static bool is_with_job_manager(const Endpoint& endpoint) {
    return endpoint.kind == EndpointKind::job_manager ||
           endpoint.kind == EndpointKind::checkpoint_coordinator;
  }
  static bool crosses(const DeliveryRecord& record) {
    return record.from.kind != EndpointKind::client && record.to.kind != EndpointKind::client &&
           is_with_job_manager(record.from) != is_with_job_manager(record.to);
  }
  /// Whether the `n`-th message of that name, from 0, meets the staged fault.
  [[nodiscard]] bool meets(const std::string& message, std::uint64_t n) const {
    return !report_.staged_has_hit && settings_.staged->message == message &&
           settings_.staged->occurrence == n;
  }
  bool stage_delivery(const DeliveryRecord& record, const std::string& process) {
    if (stage_ != Stage::within) return false;
    if (record.message == message_name(Heartbeat{}) ||
        record.message == message_name(RequestJobDetails{}))
      return false;
    report_.flow.push_back({record.message, record.from, record.to, crosses(record)});
    const std::uint64_t n = delivered_[{record.message, record.from.kind, record.to.kind}]++;
    const FlowFault fault = settings_.staged->fault;
    if (is_of_link(fault) || record.from.kind != settings_.staged->from ||
        record.to.kind != settings_.staged->to || !meets(record.message, n))
      return false;
    std::string victim = process;
    if (fault == FlowFault::sender_dies) victim = cluster_->process_of(record.from);
    if (victim.empty()) return false;
    report_.staged_has_hit = true;
    cluster_->doom(victim, fault != FlowFault::receiver_dies_after);
    return fault == FlowFault::receiver_dies_before;
  }
  FlowFault stage_on_link(const std::string& message) {
    if (stage_ != Stage::within) return FlowFault::none;
    const std::uint64_t n = carried_[message]++;
    if (!is_of_link(settings_.staged->fault) || !meets(message, n)) return FlowFault::none;
    report_.staged_has_hit = true;
    return settings_.staged->fault;
  }

  // ---- checking

  [[nodiscard]] bool has_output() const {
    return std::ranges::any_of(committed(), [](const auto& one) { return !one.second.empty(); });
  }
  /// The lines of the committed files in each output directory, sorted.
  [[nodiscard]] std::map<std::string, std::vector<std::string>> committed() const {
    std::map<std::string, std::vector<std::string>> lines;
    const auto contents = cluster_->disk().contents();
    for (const std::string& directory : outputs_) {
      auto& of = lines[directory];
      for (const auto& [path, content] : contents) {
        if (!path.starts_with(directory + "/") || path[directory.size() + 1] == '.') continue;
        append_lines(content, of);
      }
      std::ranges::sort(of);
    }
    return lines;
  }
  void check_output() {
    report_.result.output = committed();
    if (settings_.expected == nullptr) return;
    for (const auto& [directory, expected] : settings_.expected->output) {
      const auto& found = report_.result.output[directory];
      if (found != expected) return violated("E2", directory + ": " + difference(found, expected));
    }
  }
  /// The last run has left no file that nobody needs.
  void check_orphans() {
    OrphanWatch::Finished finished{current_, 0};
    if (retains_checkpoints())
      finished.kept = std::stoul(drawn_.at("state.checkpoints.num-retained"));
    if (auto orphan = protocol_->find_orphan(*cluster_, finished)) violated("protocol", *orphan);
  }
  /// What a crash behind the end leaves of all runs, their next start would remove.
  void check_leftovers() {
    cluster_->disk().heal();
    cluster_->crash_host();
    if (auto orphan = protocol_->find_lasting_orphan(*cluster_, flipped_))
      return violated("protocol", *orphan);
    const auto files = cluster_->outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    const auto left = scan_job(storage, checkpoints, current_);
    if (!left) return violated("protocol", left.error().what);
    for (const FoundSnapshot& one : *left)
      if (one.kind == FoundSnapshot::Kind::incomplete)
        count("incomplete checkpoints left at the end");
  }

  /// A savepoint that was reported, or a checkpoint that was left alone, on a new cluster: its state and the rest
  /// of the input give what all of the input gives.
  void check_savepoints() {
    const auto files = cluster_->outside();
    SeededRandom names(random_.next());
    FileCheckpointStorage storage(*files, names);
    for (const RecoveryPoint& point : left_alone_) taken_.push_back(point.directory);
    for (const std::string& path : taken_)
      if (const auto verified = verify_snapshot(storage, path); !verified)
        return violated("E4", path + ": " + verified.error().what);
    std::erase_if(taken_, [&](const std::string& path) { return is_at_end(storage, path); });
    if (taken_.empty() || !settings_.expected->state) return;
    const std::string path = taken_[random_.below(taken_.size())];
    // The new job begins without output but for what the savepoint holds, which may have been committed since.
    std::set<std::string> held;
    if (job_.held_output) {
      auto files_held = job_.held_output(storage, path);
      if (!files_held) return violated("E4", files_held.error().what);
      held = std::move(*files_held);
    }
    for (const auto& [file, content] : cluster_->disk().contents())
      for (const std::string& directory : outputs_)
        if (file.starts_with(directory + "/") && file[directory.size() + 1] != '.' &&
            !held.contains(file))
          cluster_->disk().erase(file);
    hold_ = true;
    watch_->hold_sources();
    start_processes();
    auto fork = next_submission();
    if (!fork) return;
    fork->id = draw_job_id();
    fork->restore_directory = path;
    finished_ = false;
    next_disturbance_ = planned_.size();
    if (!healed_) heal();
    healed_at_ = cluster_->now();
    count("savepoints restored in the end");
    submit(std::move(*fork));
    go_through();
    if (report_.violations.empty()) check_orphans();
    if (!report_.violations.empty()) {
      Violation& first = report_.violations.front();
      first.what = "restored from " + path + ": " + first.what;
      if (first.promise == "E1") first.promise = "E4";
      return;
    }
    for (const auto& [directory, found] : committed()) {
      const auto& expected = settings_.expected->output.at(directory);
      if (!std::ranges::includes(expected, found))
        return violated(
            "E4", "restored from " + path + ": " + directory + ": " + difference(found, expected));
    }
  }
  /// Whether no source had anything more to give.
  static bool is_at_end(CheckpointStorage& storage, const std::string& path) {
    const auto metadata = read_metadata(storage, path);
    WEIR_ASSERT(metadata);
    return std::ranges::all_of(metadata->operators, [](const OperatorSnapshot& op) {
      return std::ranges::all_of(op.subtasks, &OperatorSubtaskSnapshot::finished);
    });
  }

  const SimulatedJob& job_;
  const SimulatedRunSettings settings_;
  SimulatedRunReport report_;
  SeededRandom random_;
  SeededRandom database_random_;
  const std::shared_ptr<OperatorWatch> watch_ = std::make_shared<OperatorWatch>();
  WatchedLibraries libraries_;
  milliseconds pace_{0};
  std::vector<FaultClass> classes_;   ///< that this run meets
  std::vector<Disturbance> planned_;  ///< ascending by step
  std::size_t next_disturbance_ = 0;
  std::optional<MonotonicTime> last_disturbance_at_;
  SeededRandom faults_{0};       ///< of the disturbance that is being made
  bool hold_ = false;            ///< the state at the end of the input is looked at
  std::string backend_;          ///< of the job that runs, or is about to
  bool has_databases_ = false;   ///< the run began on databases, and goes on with them now and then
  std::size_t table_bytes_ = 0;  ///< of all tables in front of databases, in a process
  milliseconds io_delay_{0};
  const std::map<std::string, std::string> drawn_;
  SimulatedDatabases databases_;
  std::optional<ProtocolWatch> protocol_;
  std::unique_ptr<SimulatedCluster> cluster_;
  std::set<std::string> outputs_;  ///< directories
  bool transactional_ = false;     ///< some sink commits

  JobSubmission last_submission_;
  JobId current_;
  std::optional<std::uint32_t> parallelism_;  ///< none: as configured
  std::size_t sources_ = 0;                   ///< subtasks of sources of the job that runs
  std::string failure_;                       ///< what last restarted the job that runs
  bool finished_ = false;
  bool stop_may_have_come_ = false;  ///< of the job that runs: it was asked for, and not refused
  bool completed_ = false;  ///< a checkpoint or terminal savepoint of the job was reported complete
  bool healed_ = false;
  MonotonicTime healed_at_;
  std::optional<MonotonicTime> rests_since_;
  MonotonicTime next_look_;
  std::vector<std::string> taken_;  ///< savepoints that were reported
  /// Checkpoints and savepoints that a job with an id of its own was restored from.
  std::vector<RecoveryPoint> left_alone_;

  // The staged flow.
  Stage stage_ = Stage::before;
  MonotonicTime flow_began_at_;
  std::optional<MonotonicTime> flow_ends_at_;
  /// By the name of the message and between whom.
  std::map<std::tuple<std::string, EndpointKind, EndpointKind>, std::uint64_t> delivered_;
  std::map<std::string, std::uint64_t> carried_;
  SimulatedCluster::Awaited<CheckpointCompleted> asked_;

  // Faults that are under way.
  std::size_t faults_met_before_ = 0;  ///< of all injected faults but the last
  std::size_t faults_met_at_submission_ = 0;
  std::size_t faults_told_ = 0;
  std::optional<FaultClass> failing_;
  FaultClass cutting_ = FaultClass::cut_link;
  std::uint64_t poison_told_ = 0;
  std::uint64_t refused_told_ = 0;
  bool crash_was_to_come_ = false;
  std::string_view killed_at_;  ///< the kill point of the last file operation that counted
  struct MessageKillPoint {
    std::string_view message;
    bool after = false;
  };
  std::optional<MessageKillPoint> kill_at_;  ///< where a process is to end
  std::vector<Disturbance> postponed_;       ///< what can only be asked for later
  bool is_full_ = false;
  MonotonicTime full_until_;
  /// The file of which a bit was flipped, and what it was.
  std::optional<std::pair<std::string, std::string>> flipped_;
  bool was_flipped_ = false;  ///< at some time since the submission

  SimulatedCluster::Awaited<SubmitJobSuccess> submitted_;
  SimulatedCluster::Awaited<JobDetails> details_;
  SimulatedCluster::Awaited<TriggerSavepointSuccess> savepoint_;
  SimulatedCluster::Awaited<TriggerSavepointSuccess> last_look_;
  SimulatedCluster::Awaited<CancellationSuccess> cancelling_;
  SimulatedCluster::Awaited<CancellationSuccess> cancelling_plainly_;  ///< without a savepoint
  SimulatedCluster::Awaited<StoppingSuccess> stopping_;
};

}  // namespace

SimulatedRunReport run_simulated(const SimulatedJob& job, const SimulatedRunSettings& settings) {
  return SimulatedRun(job, settings).run();
}

}  // namespace weir
