#include "cli/real_world.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/child_process.hpp"
#include "cli/remote_processes.hpp"
#include "cli/running_jobs.hpp"
#include "runtime/configuration.hpp"
#include "simulation/output_lines.hpp"
#include "simulation/scenario/damage.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"
#include "storage/uri.hpp"

extern char** environ;

namespace weir {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;

/// Between two looks at processes and files.
constexpr milliseconds pause(5);
/// What the JobManager of the job has to answer a question.
constexpr milliseconds question_timeout(5000);
/// The largest file of output, or of a snapshot that is damaged, that is read.
constexpr std::uint64_t longest_file = std::uint64_t{1} << 30;
/// Files and directories below a directory whose files are looked at.
constexpr std::size_t most_files = 1'000'000;

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

std::unexpected<Error> unsupported(const std::string& what) {
  return error(Errc::unsupported, what);
}

/// Real processes have real links, disks and clocks.
std::unexpected<Error> only_simulated(const std::string& what) {
  return unsupported(what + " with real processes; play the scenario with --simulate");
}

std::optional<JobState> job_state(std::string name) {
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr auto list = weir_enumerators(TypeTag<JobState>{});
  for (const auto& one : list.enumerators)
    if (one.name == name) return one.value;
  return std::nullopt;
}

/// The last line of what a command has printed that is a JSON object; null if there is none.
Json object_in(const std::string& output) {
  std::string_view rest = output;
  Json found;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    Json line = Json::parse(rest.substr(0, end), nullptr, false);
    if (line.is_object()) found = std::move(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return found;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
std::uint64_t number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

/// The sentence of a command that has failed.
Error error_of(const ChildProcess& process, int exit_code) {
  const std::string told = text_of(object_in(process.output()), "error");
  if (!told.empty()) return {Errc::unavailable, told};
  std::string errors = process.errors();
  while (errors.ends_with('\n')) errors.pop_back();
  const std::size_t line = errors.rfind('\n');
  errors = line == std::string::npos ? errors : errors.substr(line + 1);
  if (errors.starts_with("weir: ")) errors.erase(0, 6);
  return {Errc::unavailable,
          errors.empty() ? "the process ended with " + std::to_string(exit_code) : errors};
}

class RealWorld final : public ScenarioWorld {
 public:
  RealWorld(const Scenario& scenario, RealWorldParts parts)
      : scenario_(scenario),
        parts_(std::move(parts)),
        directories_{parts_.directory + "/work", parts_.directory + "/work/output"},
        run_directory_{parts_.directory + "/run", parts_.directory + "/tmp", ::getuid()} {}

  Status check(const Step& step) const override {
    const auto process = [&](const ProcessName& name) -> Status {
      if (name.kind == ProcessKind::task_manager)
        return unsupported(
            "with real processes, JobManager and TaskManager are one; write 'job manager' or "
            "'any', or play the "
            "scenario with --simulate");
      if (name.kind == ProcessKind::host)
        return only_simulated("what is not synced cannot be lost");
      return {};
    };
    return std::visit(
        Overloaded{[&](const KillStep& kill) -> Status {
                     if (kill.after_file_operations > 0)
                       return only_simulated("file operations cannot be counted");
                     return process(kill.process);
                   },
                   [&](const PauseStep& one) { return process(one.process); },
                   [&](const ResumeStep& one) { return process(one.process); },
                   [](const StartProcessStep&) -> Status {
                     return unsupported(
                         "with real processes, a process is started with its job; write 'restore', "
                         "or play the "
                         "scenario with --simulate");
                   },
                   [](const CutStep&) -> Status { return only_simulated("no link can be cut"); },
                   [](const MessageFaultStep&) -> Status {
                     return only_simulated("no message can be touched");
                   },
                   [](const FillDiskStep&) -> Status {
                     return only_simulated("the disk cannot be filled");
                   },
                   [](const FreeDiskStep&) -> Status {
                     return only_simulated("the disk cannot be filled");
                   },
                   [](const FailIoStep&) -> Status {
                     return only_simulated("no file operation can be made to fail");
                   },
                   [](const SlowDiskStep&) -> Status {
                     return only_simulated("the disk cannot be slowed down");
                   },
                   [](const ClockJumpStep&) -> Status {
                     return only_simulated("the clock cannot be set");
                   },
                   [](const auto&) -> Status { return {}; }},
        step.action);
  }

  Status begin() override {
    if (scenario_.cluster.task_managers > 1)
      return unsupported(scenario_.path + ": the cluster has " +
                         std::to_string(scenario_.cluster.task_managers) +
                         " task_managers, and with real processes there is one; play the scenario "
                         "with --simulate");
    for (const std::string& directory :
         {directories_.work, *run_directory_.runtime_directory, run_directory_.temporary_directory})
      if (::mkdir(directory.c_str(), 0700) != 0)
        return error(Errc::io_error, directory + ": " + std::generic_category().message(errno));
    for (const ScenarioFile& file : scenario_.files) {
      const std::string path = directories_.work + "/" + file.name;
      WEIR_TRY(files_.create_directories(path.substr(0, path.find_last_of('/'))));
      WEIR_TRY(write_file(path, file.content));
    }
    WEIR_TRY(write_file(directories_.work + "/weir.yaml", configuration_file()));
    begun_ = std::chrono::steady_clock::now();
    wall_begun_ms_ = clock_.wall_now().time_since_epoch().count();
    return {};
  }

  milliseconds now() const override {
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun_);
  }

  Result<bool> advance(milliseconds limit) override {
    if (resume_at_ && now() >= *resume_at_) resume();
    // Those in the background, too, begin as soon as they can, whether or not somebody waits for them.
    for (auto& [id, request] : requests_)
      if (request.process == nullptr && !request.begun && !request.answer)
        if (auto given = answer(id); given && !*given) request.answer = std::move(given);
    ::poll(nullptr, 0, static_cast<int>(std::min(limit, pause).count()));
    return true;
  }

  // ---- asking

  Result<RequestId> request(const WorldRequest& request) override {
    const RequestId id = next_request_++;
    requests_[id].words = request;
    return id;
  }

  std::optional<Result<WorldAnswer>> answer(RequestId id) override {
    Request& request = requests_.at(id);
    if (const auto* start = std::get_if<StartJobRequest>(&request.words))
      return answer_to_start(request, *start);
    if (request.answer) return request.answer;
    if (request.process == nullptr) {
      const auto job = this->job();
      if (job && job_id_.empty()) {
        if (!run_ || run_->process->exit_code())
          return error(Errc::not_found, "the job was not submitted, so that nobody can be asked");
        return std::nullopt;
      }
      auto process = start_process(words_of(request.words));
      if (!process) return std::unexpected(process.error());
      request.process = std::move(*process);
    }
    const auto exit_code = request.process->exit_code();
    if (!exit_code) return std::nullopt;
    if (*exit_code != 0) return std::unexpected(error_of(*request.process, *exit_code));
    const auto* savepoint = std::get_if<TakeSavepointRequest>(&request.words);
    if (std::holds_alternative<CancelJobRequest>(request.words) ||
        (savepoint != nullptr && savepoint->end != SavepointEnd::runs_on)) {
      run_->ends = true;
      // A client hears of the end a moment before the job's locks are released and it is shown.
      const auto job = this->job();
      if (job && !job->gone && !is_terminal(job->state)) return std::nullopt;
    }
    const Json object = object_in(request.process->output());
    WorldAnswer answer{text_of(object, "savepoint"), number_of(object, "checkpoint")};
    if (answer.directory.empty()) answer.directory = text_of(object, "directory");
    return answer;
  }

  // ---- faults

  Status inject(const WorldFault& fault) override {
    return std::visit(
        Overloaded{[&](const KillStep&) -> Status {
                     if (!run_ || run_->process->exit_code())
                       return error(Errc::invalid_argument, "no process runs that could be killed");
                     resume_at_.reset();
                     paused_ = false;
                     forget_client();
                     run_->process->kill();
                     read_trace();
                     last_.gone = true;
                     return {};
                   },
                   [&](const PauseStep& step) -> Status {
                     if (!run_ || run_->process->exit_code())
                       return error(Errc::invalid_argument, "no process runs that could be paused");
                     run_->process->send(SIGSTOP);
                     paused_ = true;
                     if (step.time) resume_at_ = now() + *step.time;
                     return {};
                   },
                   [&](const ResumeStep&) -> Status {
                     resume();
                     return {};
                   },
                   [&](const HealStep&) -> Status { return {}; },
                   [&](const CorruptStep& step) { return corrupt(step); },
                   [&](const auto&) -> Status { return only_simulated("this cannot be done"); }},
        fault);
  }

  // ---- looking

  const std::vector<SeenMessage>& messages() override {
    read_trace();
    return messages_;
  }

  Result<SeenJob> job() override {
    if (!run_ || paused_ || last_.gone) return last_;
    if (const auto exit_code = run_->process->exit_code()) {
      forget_client();
      take_summary(*exit_code);
      return last_;
    }
    // Its client is gone, so that the process need not wait for it.
    if (run_->client_done) return last_;
    auto details = ask_for_details();
    if (!details) return last_;
    take(*details);
    if (is_terminal(last_.state)) {
      forget_client();
      run_->client_done = true;
    }
    return last_;
  }

  Result<std::vector<std::string>> output() override {
    std::vector<std::string> lines;
    WEIR_TRY_ASSIGN(paths, files_below(directories_.output, false));
    for (const std::string& path : paths) {
      WEIR_TRY_ASSIGN(text, read_file(files_, path, longest_file));
      append_lines(text, lines);
    }
    std::ranges::sort(lines);
    return lines;
  }

  Result<std::vector<std::string>> files() override {
    WEIR_TRY_ASSIGN(paths, files_below(directories_.work, true));
    for (std::string& path : paths) path.erase(0, directories_.work.size() + 1);
    std::ranges::sort(paths);
    return paths;
  }

  Result<std::string> latest_snapshot() override {
    WEIR_TRY_ASSIGN(checkpoints, checkpoint_directory_of_jobs());
    WEIR_TRY_ASSIGN(found, scan_checkpoints(storage_, checkpoints));
    const FoundSnapshot* newest = nullptr;
    for (const FoundSnapshot& one : found) {
      if (one.kind == FoundSnapshot::Kind::incomplete || to_string(one.job) != job_id_) continue;
      if (newest == nullptr || one.checkpoint > newest->checkpoint) newest = &one;
    }
    if (newest == nullptr) return std::string();
    if (newest->kind == FoundSnapshot::Kind::complete) return newest->path;
    WEIR_TRY_ASSIGN(pointer, read_savepoint_pointer(storage_, newest->path));
    return pointer.directory;
  }

  Result<SnapshotValues> snapshot(const std::string& directory) override {
    return read_snapshot_values(storage_, directory);
  }

  std::string told() override {
    std::string text;
    for (const auto& run : ended_runs_) text += run->errors();
    if (run_) text += run_->process->errors();
    for (const auto& [id, request] : requests_)
      if (request.process != nullptr) text += request.process->errors();
    return text;
  }

  std::map<std::uint32_t, std::string> vertex_names() override { return vertex_names_; }
  bool is_one_process() const override { return true; }
  std::string how_to_repeat() const override { return parts_.how_to_repeat; }

 private:
  struct Request {
    WorldRequest words;
    std::unique_ptr<ChildProcess> process;  ///< of what is no start; null until it could begin
    bool begun = false;                     ///< of a start: its process is `run_`
    std::optional<Result<WorldAnswer>> answer;
  };
  /// A process that runs the job.
  struct Run {
    std::unique_ptr<ChildProcess> process;
    std::string trace_path;
    std::uint64_t trace_read = 0;  ///< bytes
    std::size_t first_message = 0;
    bool all_run = false;  ///< every task has begun, once
    bool ends = false;     ///< a request to end the job has succeeded
    bool client_done = false;
    bool summary_taken = false;
  };

  // ---- processes

  [[nodiscard]] std::string replaced(const std::string& text) const {
    return replace_variables(text, scenario_, directories_);
  }

  Status write_file(const std::string& path, std::string_view content) {
    WEIR_TRY_ASSIGN(file, files_.create(path));
    WEIR_TRY(file->append(content));
    return file->close();
  }

  /// The files below `root`, which need not be there; with those whose name, or that of a directory above them,
  /// begins with a dot if `hidden`. Errors: `io_error`, `limit_exceeded`.
  Result<std::vector<std::string>> files_below(const std::string& root, bool hidden) {
    std::vector<std::string> paths;
    std::vector<std::string> directories{root};
    for (std::size_t i = 0; i < directories.size(); ++i) {
      const std::string directory = directories[i];
      const auto entries = files_.list(directory);
      if (!entries && entries.error().code == Errc::not_found) continue;
      if (!entries) return std::unexpected(entries.error());
      for (const DirectoryEntry& entry : *entries) {
        if ((!hidden && entry.name.starts_with('.')) || entry.is_symlink) continue;
        if (directories.size() + paths.size() > most_files)
          return error(Errc::limit_exceeded, root + ": too many files");
        (entry.is_directory ? directories : paths).push_back(directory + "/" + entry.name);
      }
    }
    return paths;
  }

  /// What stands in `weir.yaml`: the settings of the cluster over those that a scenario needs.
  [[nodiscard]] std::string configuration_file() const {
    std::map<std::string, std::string> settings{
        {"state.checkpoints.dir", directories_.work + "/checkpoints"},
        {"state.savepoints.dir", directories_.work + "/savepoints"},
        {"env.log.dir", parts_.directory + "/log"},
        // Steps wait for numbers that heartbeats bring.
        {"heartbeat.interval", "20 ms"}};
    if (scenario_.cluster.slots != 0)
      settings["taskmanager.numberOfTaskSlots"] = std::to_string(scenario_.cluster.slots);
    for (const auto& [key, value] : scenario_.cluster.configuration) {
      settings[key] = replaced(value);
    }
    // JSON strings are YAML.
    std::string text;
    for (const auto& [key, value] : settings)
      text += key + ": " + Json(value).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    return text;
  }

  [[nodiscard]] Result<std::string> checkpoint_directory_of_jobs() const {
    std::string directory = directories_.work + "/checkpoints";
    for (const auto* settings : {&scenario_.cluster.configuration, &scenario_.job.configuration})
      for (const auto& [key, value] : *settings)
        if (key == "state.checkpoints.dir") directory = replaced(value);
    return parse_path(directory, directories_.work);
  }

  Result<std::unique_ptr<ChildProcess>> start_process(std::vector<std::string> words) {
    ChildProcess::Start start;
    start.words = std::move(words);
    start.words.insert(start.words.begin(), parts_.program);
    start.directory = directories_.work;
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string one = *variable;
      const std::size_t equals = one.find('=');
      if (equals == std::string::npos || one.starts_with("WEIR_")) continue;
      start.environment[one.substr(0, equals)] = one.substr(equals + 1);
    }
    start.environment["XDG_RUNTIME_DIR"] = *run_directory_.runtime_directory;
    start.environment["TMPDIR"] = run_directory_.temporary_directory;
    const std::string number = std::to_string(++process_count_);
    start.output_path = parts_.directory + "/" + number + ".out";
    start.error_path = parts_.directory + "/" + number + ".err";
    return ChildProcess::start(start);
  }

  /// The command of what is no start.
  [[nodiscard]] std::vector<std::string> words_of(const WorldRequest& request) const {
    return std::visit(Overloaded{[&](const TakeSavepointRequest& one) {
                                   static constexpr std::array verbs{"savepoint", "cancel", "stop"};
                                   std::vector<std::string> words{
                                       verbs[static_cast<std::size_t>(one.end)], "--json", "--type",
                                       std::string(enumerator_name(one.form))};
                                   if (one.drain) words.emplace_back("--drain");
                                   if (one.end == SavepointEnd::cancelled) words.emplace_back("-s");
                                   words.push_back(job_id_);
                                   return words;
                                 },
                                 [&](const TakeCheckpointRequest&) {
                                   return std::vector<std::string>{"checkpoint", "--json", job_id_};
                                 },
                                 [&](const CancelJobRequest&) {
                                   return std::vector<std::string>{"cancel", "--json", job_id_};
                                 },
                                 [](const StartJobRequest&) { return std::vector<std::string>{}; }},
                      request);
  }

  /// Whether a request is under way that may end the job.
  [[nodiscard]] bool something_is_asked() {
    return std::ranges::any_of(requests_, [](auto& one) {
      return one.second.process != nullptr && !one.second.process->exit_code();
    });
  }

  Status start_run(const StartJobRequest& start) {
    forget_client();
    std::vector<std::string> words{
        "run", "--json", "--trace",
        parts_.directory + "/" + std::to_string(process_count_ + 1) + ".trace"};
    const std::string trace_path = words.back();
    const auto set = [&](const std::string& key, const std::string& value) {
      words.emplace_back("-D");
      words.push_back(key + "=" + value);
    };
    for (const auto& [key, value] : scenario_.job.configuration)
      if (start.backend.empty() || key != "state.backend") set(key, replaced(value));
    if (!start.backend.empty()) set("state.backend", start.backend);
    const std::uint32_t parallelism =
        start.parallelism != 0 ? start.parallelism : scenario_.job.parallelism;
    if (parallelism != 0) words.insert(words.end(), {"-p", std::to_string(parallelism)});
    if (!start.restore.empty()) words.insert(words.end(), {"-s", start.restore});
    if (start.claim) words.insert(words.end(), {"--claimMode", "CLAIM"});
    if (start.allow_non_restored_state) words.emplace_back("-n");
    words.push_back(parts_.library);
    for (const auto* arguments : {&scenario_.job.arguments, &start.more_arguments})
      for (const std::string& argument : *arguments) words.push_back(replaced(argument));
    WEIR_TRY_ASSIGN(process, start_process(std::move(words)));
    if (run_) ended_runs_.push_back(std::move(run_->process));
    run_ = Run{};
    run_->process = std::move(process);
    run_->trace_path = trace_path;
    run_->first_message = messages_.size();
    before_ = last_;
    last_ = {};
    last_.submitted = true;
    return {};
  }

  std::optional<Result<WorldAnswer>> answer_to_start(Request& request,
                                                     const StartJobRequest& start) {
    if (request.answer) return request.answer;
    if (!request.begun) {
      if (run_ && !run_->process->exit_code()) {
        // A process ends a moment after its job.
        const auto job = this->job();
        if ((job && is_terminal(job->state)) || run_->ends || something_is_asked())
          return std::nullopt;
        return error(Errc::unavailable, "the job still runs; end it first");
      }
      if (const Status started = start_run(start); !started)
        return std::unexpected(started.error());
      request.begun = true;
    }
    const auto exit_code = run_->process->exit_code();
    read_trace();
    const auto job = this->job();
    if (run_->all_run && job && (!job_id_.empty() || exit_code)) {
      request.answer = WorldAnswer{};
    } else if (exit_code && *exit_code == 0) {
      request.answer = WorldAnswer{};
    } else if (exit_code) {
      request.answer = std::unexpected(error_of(*run_->process, *exit_code));
      if (!last_.failure.empty() && last_.state == JobState::failed)
        request.answer = error(Errc::user_function_failed, last_.failure);
      else
        last_ = before_;  // there was no new job
    }
    return request.answer;
  }

  void resume() {
    if (run_) run_->process->send(SIGCONT);
    paused_ = false;
    resume_at_.reset();
  }

  Status corrupt(const CorruptStep& step) {
    WEIR_TRY_ASSIGN(path, file_to_damage(storage_, step.snapshot, step.metadata));
    if (step.damage == Damage::remove) return files_.remove(path);
    WEIR_TRY_ASSIGN(bytes, read_file(files_, path, longest_file));
    WEIR_TRY_ASSIGN(changed, damaged(std::move(bytes), step.damage, step.at));
    WEIR_TRY(files_.remove(path));
    return write_file(path, changed);
  }

  // ---- the job

  void forget_client() {
    reached_ = {};
    remote_.reset();
  }

  Result<JobDetails> ask_for_details() {
    if (reached_.processes.empty()) {
      if (!remote_) remote_ = std::make_unique<RemoteProcesses>();
      const auto connect = [&](Socket socket, milliseconds timeout) {
        return remote_->connect(std::move(socket), timeout);
      };
      WEIR_TRY_ASSIGN(reached, reach_processes(run_directory_, connect, question_timeout));
      if (reached.processes.empty() || reached.processes.front().jobs.empty())
        return error(Errc::not_found, "the job is not there yet");
      reached_ = std::move(reached);
      job_id_ = to_string(reached_.processes.front().jobs.front().id);
    }
    const ReachedProcess& process = reached_.processes.front();
    auto details =
        process.client->ask(RequestJobDetails{process.jobs.front().id}, question_timeout);
    if (!details) forget_client();
    return details;
  }

  void take(const JobDetails& details) {
    last_.state = details.overview.state;
    last_.failure = details.failure;
    last_.restarts = details.overview.restarts;
    last_.checkpoints_completed = details.checkpoints.completed;
    last_.checkpoints_failed = details.checkpoints.failed;
    if (details.checkpoints.last_completed)
      last_.last_checkpoint = details.checkpoints.last_completed->id.value;
    last_.restored_directory = details.checkpoints.restored_directory;
    last_.source_records = 0;
    for (const OperatorMetrics& one : details.operators)
      take_records(one.uid, one.records_in, one.records_out);
    for (std::size_t i = 0; i < details.vertices.size(); ++i)
      vertex_names_[static_cast<std::uint32_t>(i)] = details.vertices[i];
  }

  void take_records(const std::string& uid, std::uint64_t in, std::uint64_t out) {
    last_.records_in[uid] = in;
    if (in == 0) last_.source_records += out;
  }

  /// What a process has said when it ended.
  void take_summary(int exit_code) {
    if (run_->summary_taken) return;
    run_->summary_taken = true;
    const Json summary = object_in(run_->process->output());
    const auto state = job_state(text_of(summary, "state"));
    if (!state) {
      // Killed by somebody, crashed, or refused.
      if (exit_code != 0) last_.gone = true;
      return;
    }
    job_id_ = text_of(summary, "job");
    last_.state = *state;
    last_.failure = text_of(summary, "failure");
    last_.restarts = number_of(summary, "restarts");
    if (const auto counts = summary.find("checkpoints");
        counts != summary.end() && counts->is_object()) {
      last_.checkpoints_completed = number_of(*counts, "completed");
      last_.checkpoints_failed = number_of(*counts, "failed");
      if (const auto newest = counts->find("last_completed"); newest != counts->end())
        last_.last_checkpoint = number_of(*newest, "id");
      last_.restored_directory = text_of(*counts, "restored_directory");
    }
    if (const auto operators = summary.find("operators");
        operators != summary.end() && operators->is_array()) {
      last_.source_records = 0;
      for (const Json& one : *operators)
        take_records(text_of(one, "uid"), number_of(one, "records_in"),
                     number_of(one, "records_out"));
    }
  }

  /// Reads what has been added to the trace of the process.
  void read_trace() {
    if (!run_) return;
    const int file = ::open(run_->trace_path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    std::string bytes;
    std::array<char, 1 << 16> buffer;
    for (std::uint64_t at = run_->trace_read;; at = run_->trace_read + bytes.size()) {
      const ssize_t count = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      bytes.append(buffer.data(), static_cast<std::size_t>(count));
    }
    ::close(file);
    for (std::size_t at = 0, end = 0; (end = bytes.find('\n', at)) != std::string::npos;
         at = end + 1) {
      run_->trace_read += end + 1 - at;
      const Json line =
          Json::parse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                      bytes.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      if (!line.is_object()) continue;
      SeenMessage message;
      const auto time = line.find("t");
      if (time != line.end() && time->is_number_integer())
        message.time =
            milliseconds(std::max<std::int64_t>(time->get<std::int64_t>() - wall_begun_ms_, 0));
      message.from = text_of(line, "from");
      message.to = text_of(line, "to");
      message.message = text_of(line, "message");
      message.job = text_of(line, "job");
      message.checkpoint = number_of(line, "checkpoint");
      message.state = text_of(line, "state");
      message.reason = text_of(line, "reason");
      message.detail = text_of(line, "detail");
      // Sources are told to begin when every task runs.
      run_->all_run |= message.message == "StartTask";
      messages_.push_back(std::move(message));
    }
  }

  const Scenario& scenario_;
  const RealWorldParts parts_;
  const ScenarioDirectories directories_;
  const RunDirectory run_directory_;
  PosixFileSystem files_;
  SystemClock clock_;
  SystemRandom random_;
  FileCheckpointStorage storage_{files_, random_};
  std::chrono::steady_clock::time_point begun_;
  std::int64_t wall_begun_ms_ = 0;

  std::size_t process_count_ = 0;
  std::map<RequestId, Request> requests_;
  RequestId next_request_ = 1;
  std::optional<Run> run_;  ///< the newest
  std::vector<std::unique_ptr<ChildProcess>> ended_runs_;
  std::unique_ptr<RemoteProcesses> remote_;  ///< outlives the clients in `reached_`
  ReachedProcesses reached_;
  std::string job_id_;  ///< of the newest job that was heard of
  SeenJob last_;
  SeenJob before_;  ///< the run before the newest
  std::map<std::uint32_t, std::string> vertex_names_;
  std::vector<SeenMessage> messages_;
  bool paused_ = false;
  std::optional<milliseconds> resume_at_;
};

}  // namespace

std::unique_ptr<ScenarioWorld> make_real_world(const Scenario& scenario, RealWorldParts parts) {
  return std::make_unique<RealWorld>(scenario, std::move(parts));
}

}  // namespace weir
