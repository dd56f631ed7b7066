#include "cli/simulated_world.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cli/backends.hpp"
#include "cli/job_library.hpp"
#include "cli/process_files.hpp"
#include "cli/starting_point.hpp"
#include "cli/surroundings.hpp"
#include "simulation/output_lines.hpp"
#include "simulation/overlay_file_system.hpp"
#include "simulation/scenario/damage.hpp"
#include "simulation/simulated_cluster.hpp"
#include "simulation/simulated_databases.hpp"
#include "state/checkpoint_directory.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"

namespace weir {
namespace {

using std::chrono::milliseconds;

constexpr const char* work = "/work";
constexpr const char* output_directory = "/work/output";
constexpr const char* checkpoints = "/work/checkpoints";
constexpr const char* savepoints = "/work/savepoints";
/// Slots of a TaskManager if the scenario names none.
constexpr std::uint32_t enough_slots = 64;
/// A client that got no answer by then gives up.
constexpr milliseconds patience = std::chrono::minutes(30);
/// Between two questions of how the job is.
constexpr milliseconds question_interval{20};
/// Of the random numbers for databases.
constexpr std::uint64_t databases_apart = 0xda7aba5e;
/// Time passes beside the work at this pace, so that what is asked for while records flow comes while they do.
constexpr milliseconds pace{5};
/// A process that is paused without an end.
constexpr milliseconds for_ever = std::chrono::hours(24 * 365);

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

std::unexpected<Error> unsupported(const std::string& what) {
  return error(Errc::unsupported, what);
}
std::unexpected<Error> nothing_to(const std::string& what) {
  return error(Errc::invalid_argument, "there is nothing to " + what);
}

/// Whether `name`, such as `Task` or `Task:0/1`, means `endpoint`; empty: any.
bool means(const std::string& name, const Endpoint& endpoint) {
  const std::string text = to_string(endpoint);
  return name.empty() || text == name || text.starts_with(name + ":");
}

class SimulatedWorld final : public ScenarioWorld {
 public:
  SimulatedWorld(const Scenario& scenario, std::uint64_t seed)
      : scenario_(scenario),
        seed_(seed),
        random_(seed),
        database_random_(seed ^ databases_apart),
        databases_{database_random_.next(),  // braces: in this order
                   SimulatedDatabases::draw_table_bytes(database_random_)} {}
  ~SimulatedWorld() override {
    cluster_.reset();
    if (temporary_) temporary_->remove();
  }

  /// Loads the job.
  Status load(const std::string& library) {
    SystemRandom random;
    auto temporary =
        TemporaryDirectory::make(posix_, environment_variable("TMPDIR").value_or("/tmp"), random);
    if (!temporary) return std::unexpected(temporary.error());
    temporary_.emplace(std::move(*temporary));
    WEIR_TRY_ASSIGN(directory, temporary_->make_inner("jobs"));
    libraries_ = std::make_unique<LocalJobLibraries>(posix_, std::move(directory), work);
    WEIR_TRY_ASSIGN(code, libraries_->load(library));
    code_ = std::move(code);
    return {};
  }

  Status check(const Step& step) const override {
    const auto is_client = [](const ProcessName& name) { return name.kind == ProcessKind::client; };
    return std::visit(Overloaded{[&](const CutStep& cut) -> Status {
                                   if (is_client(cut.from) || is_client(cut.to))
                                     return unsupported(
                                         "a client's link to the JobManager cannot be cut; cut one "
                                         "between 'job manager' and 'task manager N'");
                                   return {};
                                 },
                                 [](const auto&) -> Status { return {}; }},
                      step.action);
  }

  Status begin() override {
    SimulatedCluster::Settings settings;
    settings.seed = seed_;
    WEIR_TRY_ASSIGN(configuration, configuration_of(nullptr, {}));
    settings.configuration = std::move(configuration);
    settings.libraries = libraries_.get();
    settings.make_backend =
        [this](const Configuration& of) -> Result<std::shared_ptr<StateBackend>> {
      return make_backend(of.state_backend(), &databases_);
    };
    settings.beside = [this] { return databases_.merge_some(); };
    settings.pace = pace;
    settings.links = true;
    settings.overlay = [inputs = &posix_](FileSystem& files, SimulatedDisk& disk) {
      return std::make_unique<OverlayFileSystem>(
          files, disk, OverlayFileSystem::Settings{inputs, {work, "/temporary"}, std::nullopt});
    };
    settings.on_delivery = [this](const DeliveryRecord& record, const std::string&) {
      see(record);
      return false;
    };
    settings.on_link = [this](const DeliveryRecord& record) { return decide(record); };
    settings.trace = [this](const std::string& line) { listen(line); };
    cluster_ = std::make_unique<SimulatedCluster>(std::move(settings));
    cluster_->disk().put_directory(work);
    for (const ScenarioFile& file : scenario_.files)
      cluster_->disk().put(std::string(work) + "/" + file.name, file.content);
    start_processes();
    return {};
  }

  milliseconds now() const override {
    return std::chrono::duration_cast<milliseconds>(cluster_->now().time_since_epoch());
  }

  Result<bool> advance(milliseconds) override {
    if (!cluster_->step()) return false;
    ask_how_the_job_is();
    return true;
  }

  // ---- asking

  Result<RequestId> request(const WorldRequest& words) override {
    const RequestId id = next_request_++;
    Request& request = requests_[id];
    const auto ask = [&](auto message, auto& awaited) -> Status {
      if (!cluster_->has_job_manager())
        return error(Errc::unavailable, "no JobManager runs that could be asked");
      request.job_manager = job_managers_;
      using R = typename std::remove_reference_t<decltype(**awaited)>::value_type;
      awaited = cluster_->ask<R>(std::move(message), patience);
      return {};
    };
    const Status asked = std::visit(
        Overloaded{[&](const StartJobRequest& start) {
                     request.starts = start;
                     return begin_start(request);
                   },
                   [&](const TakeSavepointRequest& one) -> Status {
                     switch (one.end) {
                       case SavepointEnd::cancelled:
                         return ask(CancelJobWithSavepoint{job_, "", one.form}, request.cancel);
                       case SavepointEnd::stopped:
                         return ask(StopJobWithSavepoint{job_, "", one.drain, one.form},
                                    request.stop);
                       case SavepointEnd::runs_on:
                         break;
                     }
                     return ask(TriggerSavepoint{job_, "", one.form}, request.savepoint);
                   },
                   [&](const TakeCheckpointRequest&) {
                     return ask(RequestCheckpoint{job_}, request.checkpoint);
                   },
                   [&](const CancelJobRequest&) { return ask(CancelJob{job_}, request.cancel); }},
        words);
    if (!asked) request.answer = std::unexpected(asked.error());
    return id;
  }

  std::optional<Result<WorldAnswer>> answer(RequestId id) override {
    Request& request = requests_.at(id);
    if (request.answer) return shown(request);
    const auto take = [&](auto& awaited, auto make) {
      if (!awaited || !awaited->has_value() || request.answer) return;
      see_answer(**awaited);
      if (**awaited)
        request.answer = make(***awaited);
      else
        request.answer = std::unexpected((*awaited)->error());
    };
    take(request.savepoint, [](const TriggerSavepointSuccess& done) {
      return WorldAnswer{done.path, done.checkpoint.value};
    });
    take(request.cancel, [&](const CancellationSuccess& done) {
      was_ended_ = request.ends = true;
      return WorldAnswer{done.savepoint, 0};
    });
    take(request.stop, [&](const StoppingSuccess& done) {
      was_ended_ = request.ends = true;
      return WorldAnswer{done.savepoint, 0};
    });
    take(request.checkpoint, [](const CheckpointCompleted& done) {
      return WorldAnswer{done.directory, done.checkpoint.value};
    });
    if (request.starts) {
      if (const Status begun = begin_start(request); !begun)
        request.answer = std::unexpected(begun.error());
      answer_start(request);
    }
    // Whoever was asked is gone, and with it the answer.
    const bool asked = !request.starts || request.submit;
    if (!request.answer && asked &&
        (!cluster_->has_job_manager() || request.job_manager != job_managers_))
      request.answer = error(Errc::unavailable, "the JobManager is gone, and with it the answer");
    if (!request.answer) return std::nullopt;
    return shown(request);
  }

  // ---- faults

  Status inject(const WorldFault& fault) override {
    return std::visit(
        Overloaded{[&](const KillStep& step) { return kill(step); },
                   [&](const PauseStep& step) {
                     return for_processes(step.process, "pause", [&](auto id) {
                       cluster_->pause(id, step.time.value_or(for_ever));
                     });
                   },
                   [&](const ResumeStep& step) {
                     return for_processes(step.process, "resume",
                                          [&](auto id) { cluster_->pause(id, milliseconds(0)); });
                   },
                   [&](const StartProcessStep& step) { return start_process(step.process); },
                   [&](const CutStep& step) { return cut(step); },
                   [&](const HealStep&) -> Status {
                     cluster_->heal();
                     cluster_->disk().heal();
                     message_faults_.clear();
                     return {};
                   },
                   [&](const MessageFaultStep& step) -> Status {
                     message_faults_.push_back({step, 0});
                     return {};
                   },
                   [&](const CorruptStep& step) { return corrupt(step); },
                   [&](const FillDiskStep& step) -> Status {
                     std::uint64_t bytes = 0;
                     for (const auto& [path, content] : cluster_->disk().contents())
                       bytes += content.size();
                     cluster_->disk().limit_bytes(bytes + step.leave_bytes);
                     return {};
                   },
                   [&](const FreeDiskStep&) -> Status {
                     cluster_->disk().limit_bytes(std::nullopt);
                     return {};
                   },
                   [&](const FailIoStep& step) { return fail_io(step); },
                   [&](const SlowDiskStep& step) {
                     return for_processes(step.process, "slow down",
                                          [&](auto id) { cluster_->stall_disk(id, step.time); });
                   },
                   [&](const ClockJumpStep& step) -> Status {
                     cluster_->jump_clock(std::nullopt, step.by);
                     for (const TaskManagerId id : cluster_->task_managers())
                       cluster_->jump_clock(id, step.by);
                     return {};
                   }},
        fault);
  }

  // ---- looking

  const std::vector<SeenMessage>& messages() override { return messages_; }
  Result<SeenJob> job() override {
    if (seen_.submitted && !seen_.gone && !cluster_->has_job_manager()) seen_.gone = true;
    return seen_;
  }
  Result<std::vector<std::string>> output() override {
    std::vector<std::string> lines;
    const std::string root = std::string(output_directory) + "/";
    for (const auto& [path, content] : cluster_->disk().contents()) {
      if (!path.starts_with(root) || path.find("/.", root.size() - 1) != std::string::npos)
        continue;
      append_lines(content, lines);
    }
    std::ranges::sort(lines);
    return lines;
  }
  Result<std::vector<std::string>> files() override {
    std::vector<std::string> paths;
    const std::string root = std::string(work) + "/";
    for (const auto& [path, content] : cluster_->disk().contents())
      if (path.starts_with(root)) paths.push_back(path.substr(root.size()));
    std::ranges::sort(paths);
    return paths;
  }
  Result<std::string> latest_snapshot() override {
    const Outside outside(*cluster_);
    WEIR_TRY_ASSIGN(found, scan_job(*outside.storage, checkpoints, job_));
    const FoundSnapshot* newest = nullptr;
    for (const FoundSnapshot& one : found)
      if (one.kind != FoundSnapshot::Kind::incomplete &&
          (newest == nullptr || one.checkpoint > newest->checkpoint))
        newest = &one;
    if (newest == nullptr) return std::string();
    if (newest->kind == FoundSnapshot::Kind::complete) return newest->path;
    WEIR_TRY_ASSIGN(pointer, read_savepoint_pointer(*outside.storage, newest->path));
    return pointer.directory;
  }
  Result<SnapshotValues> snapshot(const std::string& directory) override {
    const Outside outside(*cluster_);
    return read_snapshot_values(*outside.storage, directory);
  }
  std::string told() override { return told_; }
  std::map<std::uint32_t, std::string> vertex_names() override { return vertex_names_; }
  bool is_one_process() const override { return false; }
  std::string how_to_repeat() const override {
    return "weir scenario run --simulate --seed " + std::to_string(seed_) + " " + scenario_.path;
  }

 private:
  struct Request {
    std::optional<StartJobRequest> starts;  ///< a start
    bool begun = false;            ///< a start that waits for the end of the job before it no more
    bool ends = false;             ///< the job, as was answered
    bool submission_seen = false;  ///< of a start: its first answer is among the messages
    SimulatedCluster::Awaited<SubmitJobSuccess> submit;
    SimulatedCluster::Awaited<TriggerSavepointSuccess> savepoint;
    SimulatedCluster::Awaited<CancellationSuccess> cancel;
    SimulatedCluster::Awaited<StoppingSuccess> stop;
    SimulatedCluster::Awaited<CheckpointCompleted> checkpoint;
    std::uint64_t job_manager = 0;  ///< how many had been started when it was asked
    std::optional<Result<WorldAnswer>> answer;
    std::optional<std::uint64_t>
        shown_after;  ///< how many questions of how the job is were answered
  };
  /// What somebody sees who looks at the disk from outside.
  struct Outside {
    explicit Outside(const SimulatedCluster& cluster)
        : files(cluster.outside()),
          storage(std::make_shared<FileCheckpointStorage>(*files, random)) {}
    SeededRandom random{0};
    std::unique_ptr<SimulatedFileSystem> files;
    std::shared_ptr<FileCheckpointStorage> storage;
  };
  /// The answer of `request`, once `job()` is what the JobManager has said after it.
  std::optional<Result<WorldAnswer>> shown(Request& request) {
    if (!request.shown_after) request.shown_after = questions_asked_ + 1;
    const bool can_be_asked = seen_.submitted && cluster_->has_job_manager();
    // Whoever ended the job hears of that a moment before its locks are released and it is shown.
    const bool not_yet = request.ends && *request.answer && !is_terminal(seen_.state);
    if (can_be_asked && (not_yet || questions_answered_ < *request.shown_after)) {
      next_question_ = {};
      return std::nullopt;
    }
    return told_of(*request.answer);
  }

  struct PendingFault {
    MessageFaultStep step;
    std::uint64_t seen = 0;  ///< messages that it means
  };

  [[nodiscard]] std::string replaced(const std::string& text) const {
    return replace_variables(text, scenario_, {work, output_directory});
  }
  std::optional<Result<WorldAnswer>> told_of(const Result<WorldAnswer>& answer) {
    if (!answer && last_told_ != answer.error().what) {
      last_told_ = answer.error().what;
      told_ += last_told_ + "\n";
    }
    return answer;
  }

  // ---- processes

  void start_processes() {
    if (!cluster_->has_job_manager()) {
      cluster_->start_job_manager();
      ++job_managers_;
      forget_question();
      if (seen_.submitted) seen_.gone = true;
      for (const TaskManagerId id : cluster_->task_managers()) cluster_->crash_task_manager(id);
      task_managers_.clear();
    }
    task_managers_.resize(scenario_.cluster.task_managers);
    for (std::optional<TaskManagerId>& id : task_managers_)
      if (!id || !runs(*id)) id = cluster_->start_task_manager(slots());
  }
  [[nodiscard]] std::uint32_t slots() const {
    return scenario_.cluster.slots != 0 ? scenario_.cluster.slots : enough_slots;
  }
  [[nodiscard]] bool runs(TaskManagerId id) const {
    const auto ids = cluster_->task_managers();
    return std::ranges::find(ids, id) != ids.end();
  }
  [[nodiscard]] std::optional<TaskManagerId> numbered(std::uint32_t number) const {
    if (number == 0 || number > task_managers_.size()) return std::nullopt;
    const auto id = task_managers_[number - 1];
    return id && runs(*id) ? id : std::nullopt;
  }
  /// Calls `work` with each running process that `name` means; none: the JobManager's. Errors: `invalid_argument` if it
  /// means none that runs.
  template <class F>
  Status for_processes(const ProcessName& name, const std::string& what, F work) {
    using Id = std::optional<TaskManagerId>;
    std::vector<Id> meant;
    const bool all = name.kind == ProcessKind::everything || name.kind == ProcessKind::host;
    const bool any = name.kind == ProcessKind::any;
    if ((all || any || name.kind == ProcessKind::job_manager) && cluster_->has_job_manager())
      meant.emplace_back();
    if (all || any)
      for (const TaskManagerId id : cluster_->task_managers()) meant.emplace_back(id);
    if (name.kind == ProcessKind::task_manager)
      if (const auto id = numbered(name.number)) meant.emplace_back(id);
    if (meant.empty()) return nothing_to(what + ": " + to_string(name) + " does not run");
    if (any) meant = {meant[random_.below(meant.size())]};
    for (const Id& id : meant) work(id);
    return {};
  }
  Status kill(const KillStep& step) {
    if (step.after_file_operations > 0) {
      cluster_->crash_at_file_operation(step.after_file_operations);
      return {};
    }
    if (step.process.kind == ProcessKind::host) {
      cluster_->crash_host();
      return {};
    }
    return for_processes(step.process, "kill", [&](std::optional<TaskManagerId> id) {
      if (id)
        cluster_->crash_task_manager(*id);
      else
        cluster_->crash_job_manager();
    });
  }
  Status start_process(const ProcessName& name) {
    if (name.kind == ProcessKind::task_manager) {
      if (!cluster_->has_job_manager())
        return error(Errc::invalid_argument,
                     "a TaskManager registers with a JobManager, and none runs");
      if (numbered(name.number)) return nothing_to("start: " + to_string(name) + " runs already");
      if (name.number == 0 || name.number > task_managers_.size())
        return nothing_to("start: the cluster has " + std::to_string(task_managers_.size()) +
                          " task_managers");
      task_managers_[name.number - 1] = cluster_->start_task_manager(slots());
      return {};
    }
    if (name.kind == ProcessKind::job_manager && cluster_->has_job_manager())
      return nothing_to("start: the JobManager runs already");
    start_processes();
    return {};
  }
  Status cut(const CutStep& step) {
    const bool there = step.from.kind == ProcessKind::job_manager;
    const ProcessName& other = there ? step.to : step.from;
    if (other.kind != ProcessKind::task_manager)
      return error(Errc::invalid_argument,
                   "links are between the JobManager and a 'task manager N'");
    const auto id = numbered(other.number);
    if (!id) return nothing_to("cut: " + to_string(other) + " does not run");
    const MonotonicTime end = cluster_->now() + for_ever;
    if (there || !step.one_way) cluster_->link_to(*id)->cut_until(end);
    if (!there || !step.one_way) cluster_->link_from(*id)->cut_until(end);
    return {};
  }

  SimulatedLink::Deed decide(const DeliveryRecord& record) {
    for (PendingFault& one : message_faults_) {
      const MessagePattern& wanted = one.step.message;
      if (wanted.message != record.message || !means(wanted.from, record.from) ||
          !means(wanted.to, record.to) ||
          (wanted.checkpoint && *wanted.checkpoint != record.checkpoint.value))
        continue;
      const std::uint64_t number = ++one.seen;
      const bool repeats = one.step.fault == MessageFault::repeated;
      if (number < one.step.nth || number >= one.step.nth + (repeats ? 1 : one.step.times))
        continue;
      switch (one.step.fault) {
        case MessageFault::delayed:
          return {FlowFault::delayed, one.step.time};
        case MessageFault::dropped:
          return {FlowFault::dropped, {}};
        case MessageFault::repeated:
          return {FlowFault::repeated, std::max(one.step.time, milliseconds(1)),
                  one.step.time > milliseconds(0), one.step.times};
      }
    }
    return {};
  }

  Status corrupt(const CorruptStep& step) {
    const Outside outside(*cluster_);
    WEIR_TRY_ASSIGN(path, file_to_damage(*outside.storage, step.snapshot, step.metadata));
    if (step.damage == Damage::remove) {
      cluster_->disk().erase(path);
      return {};
    }
    WEIR_TRY_ASSIGN(bytes, damaged(cluster_->disk().contents().at(path), step.damage, step.at));
    cluster_->disk().put(path, bytes);
    return {};
  }

  Status fail_io(const FailIoStep& step) {
    InjectedFault fault;
    if (step.error == "ENOSPC") fault.fault = Fault::no_space;
    if (step.error == "EIO") fault.fault = Fault::io_error;
    if (step.error == "EINTR") fault.fault = Fault::interrupted;
    if (step.error == "short write") fault.fault = Fault::short_write;
    if (step.error == "reported failed") fault.fault = Fault::reported_failed;
    if (step.error == "half renamed") fault.fault = Fault::half_renamed;
    fault.at = step.nth;
    fault.times = step.times == 0 ? InjectedFault::always : step.times;
    for (int i = 0; i <= static_cast<int>(FileOperation::lock); ++i)
      if (to_string(static_cast<FileOperation>(i)) == step.operation)
        fault.only = static_cast<FileOperation>(i);
    cluster_->disk().inject(fault);
    return {};
  }

  // ---- the job

  /// The settings of the scenario, and of the job function between those of cluster and job if it has been run.
  Result<Configuration> configuration_of(const JobRun* run, const StartJobRequest& start) const {
    Configuration configuration;
    const auto set = [&](const std::string& key, const std::string& value) {
      return configuration.set(key, replaced(value), scenario_.path);
    };
    WEIR_TRY(set("state.checkpoints.dir", checkpoints));
    WEIR_TRY(set("state.savepoints.dir", savepoints));
    // Steps wait for numbers that heartbeats bring.
    WEIR_TRY(set("heartbeat.interval", "20 ms"));
    for (const auto& [key, value] : scenario_.cluster.configuration) WEIR_TRY(set(key, value));
    if (run != nullptr)
      for (const auto& [key, value] : run->settings) WEIR_TRY(set(key, value));
    for (const auto& [key, value] : scenario_.job.configuration) WEIR_TRY(set(key, value));
    if (!start.backend.empty()) WEIR_TRY(set("state.backend", start.backend));
    const std::uint32_t parallelism =
        start.parallelism != 0 ? start.parallelism : scenario_.job.parallelism;
    if (parallelism != 0) WEIR_TRY(set("parallelism.default", std::to_string(parallelism)));
    WEIR_TRY(resolve_settings(configuration));
    WEIR_TRY(configuration.check());
    return configuration;
  }

  /// Unless the job before has been asked to end and still does.
  Status begin_start(Request& request) {
    const bool still_ends = was_ended_ && !is_terminal(seen_.state) && cluster_->has_job_manager();
    if (request.begun || still_ends) return {};
    request.begun = true;
    return start_job(request, *request.starts);
  }
  Status start_job(Request& request, const StartJobRequest& start) {
    if (seen_.submitted && !seen_.gone && !is_terminal(seen_.state) && cluster_->has_job_manager())
      return error(Errc::unavailable, "the job still runs; end it first");
    std::vector<std::string> arguments;
    for (const auto* words : {&scenario_.job.arguments, &start.more_arguments})
      for (const std::string& word : *words) arguments.push_back(replaced(word));
    WEIR_TRY_ASSIGN(first, configuration_of(nullptr, start));
    WEIR_TRY_ASSIGN(run, run_function(arguments, first));
    WEIR_TRY_ASSIGN(configuration, configuration_of(&run, start));
    WEIR_TRY_ASSIGN(again, run_function(arguments, configuration));

    JobSubmission submission;
    const std::string& name = configuration.execution().job_name;
    submission.name = name.empty() ? code_.name : name;
    submission.plan = again.plan->describe();
    submission.library_sha256 = code_.sha256;
    submission.arguments = std::move(arguments);
    submission.configuration = configuration.as_map();
    submission.allow_non_restored_state = start.allow_non_restored_state;
    submission.id = {random_.next() | 1, random_.next()};
    start_processes();
    WEIR_TRY(find_start(start, submission));
    job_ = submission.id;
    seen_ = {};
    seen_.submitted = true;
    was_ended_ = false;
    forget_question();
    tasks_ = 0;
    request.job_manager = job_managers_;
    request.submit = cluster_->ask<SubmitJobSuccess>(SubmitJob{std::move(submission)}, patience);
    return {};
  }
  Result<JobRun> run_function(const std::vector<std::string>& arguments,
                              const Configuration& configuration) {
    auto run = libraries_->run(code_, arguments, configuration);
    if (!run) return std::unexpected(run.error().error);
    return std::move(*run);
  }
  /// As `weir run -s`.
  Status find_start(const StartJobRequest& start, JobSubmission& submission) {
    if (start.restore.empty()) return {};
    const Outside outside(*cluster_);
    Result<StartingPoint> point;
    if (start.restore == "latest") {
      LatestSearch search;
      search.job_name = submission.name;
      search.directories = {checkpoints};
      search.transactional =
          std::ranges::any_of(submission.plan.operators, &OperatorDescription::transactional);
      point = find_latest(*outside.storage, search);
    } else if (start.claim) {
      point = claim_starting_point(*outside.storage, start.restore, checkpoints);
    } else {
      point = open_starting_point(*outside.storage, start.restore);
    }
    if (!point) return std::unexpected(point.error());
    for (const std::string& warning : point->warnings) told_ += warning + "\n";
    submission.restore_directory = point->directory;
    submission.continues = point->continues;
    if (point->continues) submission.id = point->job;
    return {};
  }
  void answer_start(Request& request) {
    if (!request.submit || !request.submit->has_value() || request.answer) return;
    if (!std::exchange(request.submission_seen, true)) see_answer(**request.submit);
    const Result<SubmitJobSuccess>& submitted = **request.submit;
    if (!submitted) {
      request.answer = std::unexpected(submitted.error());
      seen_.submitted = false;
      return;
    }
    for (const std::string& warning : submitted->warnings) told_ += warning + "\n";
    if (seen_.state == JobState::failed)
      request.answer = error(Errc::user_function_failed, seen_.failure);
    else if (seen_.state == JobState::finished || (tasks_ > 0 && all_tasks_run_))
      request.answer = WorldAnswer{};
  }

  /// The question of how the job is waits no longer: it is answered, or never will be.
  void forget_question() {
    details_.reset();
    questions_answered_ = questions_asked_;
  }
  /// Asks the JobManager every now and then, and takes note of its answer.
  void ask_how_the_job_is() {
    if (!seen_.submitted || !cluster_->has_job_manager()) {
      forget_question();
      return;
    }
    if (details_) {
      if (!details_->has_value()) return;
      const auto answer = **details_;
      forget_question();
      if (answer) take(*answer);
      return;
    }
    if (cluster_->now() < next_question_) return;
    next_question_ = cluster_->now() + question_interval;
    ++questions_asked_;
    details_ = cluster_->ask<JobDetails>(RequestJobDetails{job_}, patience);
  }
  void take(const JobDetails& details) {
    if (details.overview.id != job_) return;
    seen_.state = details.overview.state;
    if (!details.failure.empty() && details.failure != seen_.failure)
      told_ += details.failure + "\n";
    seen_.failure = details.failure;
    seen_.restarts = details.overview.restarts;
    seen_.checkpoints_completed = details.checkpoints.completed;
    seen_.checkpoints_failed = details.checkpoints.failed;
    if (details.checkpoints.last_completed)
      seen_.last_checkpoint = details.checkpoints.last_completed->id.value;
    seen_.restored_directory = details.checkpoints.restored_directory;
    seen_.source_records = 0;
    for (const OperatorMetrics& one : details.operators) {
      seen_.records_in[one.uid] = one.records_in;
      if (one.records_in == 0) seen_.source_records += one.records_out;
    }
    for (std::size_t i = 0; i < details.vertices.size(); ++i)
      vertex_names_[static_cast<std::uint32_t>(i)] = details.vertices[i];
    tasks_ = details.tasks.size();
    all_tasks_run_ = std::ranges::all_of(details.tasks, [](const auto& task) {
      return task.second == "running" || task.second == "finishing" || task.second == "finished";
    });
  }

  void see(const DeliveryRecord& record) {
    // How the runner looks at the job is no part of what it sees.
    if (record.message == "RequestJobDetails" || record.message == "JobDetails" ||
        record.message == "Heartbeat")
      return;
    SeenMessage message;
    message.time = now();
    message.from = to_string(record.from);
    message.to = to_string(record.to);
    message.message = record.message;
    if (!record.job.is_none()) message.job = to_string(record.job);
    message.checkpoint = record.checkpoint.value;
    if (record.state) message.state = enumerator_name(*record.state);
    message.reason = record.reason;
    message.detail = record.detail;
    messages_.push_back(std::move(message));
  }
  /// What a client hears is delivered to no actor of a process.
  template <class R>
  void see_answer(const Result<R>& answer) {
    see(Delivery::record_of(
        Envelope<Reply<R>>{job_manager_endpoint(), client_endpoint(), Reply<R>(answer)}));
  }
  /// Warnings and errors in the logs of processes.
  void listen(const std::string& line) {
    for (const std::string_view level : {" warning: ", " error: ", " notice: "})
      if (const auto at = line.find(level); at != std::string::npos)
        told_ += line.substr(at + level.size()) + "\n";
  }

  const Scenario& scenario_;
  const std::uint64_t seed_;
  SeededRandom random_;           ///< of what the scenario leaves open
  SeededRandom database_random_;  ///< of what concerns databases: others go on as without them
  SimulatedDatabases databases_;
  PosixFileSystem posix_;
  std::optional<TemporaryDirectory> temporary_;
  std::unique_ptr<LocalJobLibraries> libraries_;
  JobCode code_;
  std::unique_ptr<SimulatedCluster> cluster_;
  std::vector<std::optional<TaskManagerId>> task_managers_;  ///< by their number in the scenario
  std::vector<PendingFault> message_faults_;

  std::map<RequestId, Request> requests_;
  RequestId next_request_ = 1;
  std::uint64_t job_managers_ = 0;  ///< that have been started
  JobId job_;
  SeenJob seen_;
  bool was_ended_ =
      false;  ///< a client has heard that the job has ended, whatever `seen_` says yet
  std::size_t tasks_ = 0;
  bool all_tasks_run_ = false;
  SimulatedCluster::Awaited<JobDetails> details_;
  MonotonicTime next_question_;
  std::uint64_t questions_asked_ = 0;
  std::uint64_t questions_answered_ = 0;
  std::map<std::uint32_t, std::string> vertex_names_;
  std::vector<SeenMessage> messages_;
  std::string told_;
  std::string last_told_;
};

}  // namespace

Result<std::unique_ptr<ScenarioWorld>> make_simulated_world(const Scenario& scenario,
                                                            const std::string& library,
                                                            std::uint64_t seed) {
  auto world = std::make_unique<SimulatedWorld>(scenario, seed);
  WEIR_TRY(world->load(library));
  return std::unique_ptr<ScenarioWorld>(std::move(world));
}

}  // namespace weir
