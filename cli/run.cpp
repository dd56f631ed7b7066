#include "cli/run.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "cli/backends.hpp"
#include "cli/detach.hpp"
#include "cli/embedded_process.hpp"
#include "cli/job_library.hpp"
#include "cli/job_output.hpp"
#include "cli/live_display.hpp"
#include "cli/log_file.hpp"
#include "cli/process_files.hpp"
#include "cli/signals.hpp"
#include "cli/starting_point.hpp"
#include "cli/surroundings.hpp"
#include "runtime/crash_reporter.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/standard_streams.hpp"
#include "storage/system.hpp"
#include "storage/uri.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

/// Requests that end with the job's own progress; a signal cuts the wait short.
constexpr std::chrono::milliseconds long_timeout = 1h;
/// How often the job is asked how it does: soon at first, so that a short job ends soon.
constexpr std::chrono::milliseconds first_pause = 10ms;
constexpr std::chrono::milliseconds longest_pause = 200ms;
/// How old the numbers of operators may be that are shown, unless `heartbeat.interval` is set.
constexpr const char* heartbeat_interval = "1 s";

/// A failure, and the exit code that it ends the process with.
struct Failure {
  Error error;
  int exit_code = failure_exit_code;
};
template <class T>
using Outcome = std::expected<T, Failure>;

std::unexpected<Failure> fail(Error error) {
  const int exit_code = error.code == Errc::invalid_argument ? usage_exit_code : failure_exit_code;
  return std::unexpected(Failure{std::move(error), exit_code});
}
/// Of what was found outside, whatever kind the error is of.
std::unexpected<Failure> fail_outside(Error error) {
  return std::unexpected(Failure{std::move(error), failure_exit_code});
}

/// Of a directory that `key` names, or, if it is not set, would have named.
std::unexpected<Failure> fail_directory(Error error, const Configuration& configuration,
                                        const std::string& key) {
  const bool set = configuration.is_set(key);
  error.what = (set ? key + ": " : "") + error.what + "; set " + (set ? "it" : key) +
               " to a directory that can be written to";
  return fail_outside(std::move(error));
}

/// What this process is and has, before there is a job.
struct Host {
  SystemClock clock;
  SystemRandom random;
  PosixFileSystem files;
  std::shared_ptr<FileCheckpointStorage> storage =
      std::make_shared<FileCheckpointStorage>(files, random);
  std::string working_directory = current_directory();
};

/// A job whose function was run: everything that its submission needs but where it starts.
struct Job {
  JobCode code;
  std::string name;
  std::shared_ptr<const Plan> plan;
  PlanDescription description;
  Configuration configuration;  ///< file, job and command line, with absolute directories
};

std::string absolute(const std::string& path, const std::string& working_directory) {
  return path.starts_with('/') ? path : working_directory + "/" + path;
}

Outcome<Configuration> settings_of_job(const JobCode& code, const JobRun& run) {
  Configuration settings;
  for (const auto& [key, value] : run.settings)
    if (const Status set = settings.set(key, value, "job " + code.name); !set)
      return fail_outside(set.error());
  return settings;
}

bool same_parallelism(const Configuration& a, const Configuration& b) {
  return a.execution().parallelism == b.execution().parallelism &&
         a.execution().max_parallelism == b.execution().max_parallelism;
}

Outcome<JobRun> run_function(const LocalJobLibraries& libraries, const JobCode& code,
                             const RunCommand& command, const Configuration& configuration) {
  auto run = libraries.run(code, command.arguments, configuration);
  if (!run)
    return std::unexpected(Failure{std::move(run.error().error),
                                   run.error().in_arguments ? usage_exit_code : failure_exit_code});
  return std::move(*run);
}

/// Loads the job and runs its function, twice if its own settings change the parallelism.
Outcome<Job> load_job(Host& host, LocalJobLibraries& libraries, const RunCommand& command,
                      const JobDescriptor* linked, const Configuration& file_settings) {
  auto code = linked != nullptr ? libraries.add_linked(*linked)
                                : libraries.load(absolute(command.library, host.working_directory));
  if (!code) return fail_outside(code.error());
  Configuration first = file_settings;
  first.merge(command.common.settings);
  auto run = run_function(libraries, *code, command, first);
  if (!run) return std::unexpected(run.error());
  auto job_settings = settings_of_job(*code, *run);
  if (!job_settings) return std::unexpected(job_settings.error());

  Job job;
  job.configuration = file_settings;
  job.configuration.merge(*job_settings);
  job.configuration.merge(command.common.settings);
  if (const Status status = resolve_settings(job.configuration); !status)
    return fail(status.error());
  if (const Status status = job.configuration.check(); !status) return fail(status.error());
  if (!same_parallelism(first, job.configuration)) {
    run = run_function(libraries, *code, command, job.configuration);
    if (!run) return std::unexpected(run.error());
  }
  job.code = *code;
  const std::string& name = job.configuration.execution().job_name;
  job.name = name.empty() ? code->name : name;
  job.plan = run->plan;
  job.description = job.plan->describe();
  if (const Status memory =
          check_backend_memory(job.configuration.state_backend(), job.description);
      !memory)
    return fail(memory.error());
  return job;
}

/// What to do if the job cannot start from `directory`, as the end of a sentence.
std::string advice_on_snapshot(Host& host, const Job& job, const std::string& directory, Errc why) {
  const bool is_snapshot =
      host.files.stat(directory + "/" + std::string(metadata_file_name)).has_value();
  if (why == Errc::corruption || (why == Errc::not_found && is_snapshot))
    return job.configuration.directories().checkpoints.empty()
               ? "; start from another snapshot"
               : "; start from another snapshot, or with -s latest from the newest that is whole";
  if (why == Errc::not_found)
    return "; -s takes the directory of a checkpoint or savepoint, or `latest`";
  return {};
}

LatestSearch search_for_latest(const Job& job) {
  LatestSearch search;
  search.job_name = job.name;
  if (const auto& directory = job.configuration.directories().checkpoints; !directory.empty())
    search.directories.push_back(directory);
  search.transactional =
      std::ranges::any_of(job.description.operators, &OperatorDescription::transactional);
  return search;
}

/// What a job that begins anew can be told before anything is made for it: that its input is missing.
Status check_input(Host& host, const Job& job) {
  for (const PlanOperator& one : job.plan->operators)
    if (one.check_input) WEIR_TRY(one.check_input(host.files));
  return {};
}

/// The snapshot that `-s` names; none without `-s`.
Outcome<std::optional<StartingPoint>> find_start(Host& host, const RunCommand& command,
                                                 const Job& job) {
  if (!command.restore) return std::optional<StartingPoint>();
  Result<StartingPoint> start;
  if (*command.restore == "latest") {
    start = find_latest(*host.storage, search_for_latest(job));
  } else {
    const auto directory = parse_path(*command.restore, host.working_directory);
    if (!directory) return fail(directory.error());
    if (const auto entry = host.files.stat(*directory);
        !entry && entry.error().code == Errc::not_found)
      return fail_outside(
          {Errc::not_found, *directory +
                                ": there is no such file or directory; -s takes the directory of a "
                                "checkpoint or savepoint, or `latest`"});
    const auto& checkpoints = job.configuration.directories().checkpoints;
    start = command.claim ? claim_starting_point(*host.storage, *directory, checkpoints)
                          : open_starting_point(*host.storage, *directory);
    if (!start) start.error().what += advice_on_snapshot(host, job, *directory, start.error().code);
  }
  if (!start) return fail_outside(start.error());
  return std::move(*start);
}

JobId new_job_id(Random& random) {
  JobId id{random.next(), random.next()};
  while (id.is_none()) id.low = random.next();
  return id;
}

JobSubmission make_submission(Host& host, const RunCommand& command, const Job& job,
                              const std::optional<StartingPoint>& start) {
  JobSubmission submission;
  submission.id = start && start->continues ? start->job : new_job_id(host.random);
  submission.name = job.name;
  submission.plan = job.description;
  submission.library_sha256 = job.code.sha256;
  submission.arguments = command.arguments;
  submission.configuration = job.configuration.as_map();
  if (start) {
    submission.restore_directory = start->directory;
    submission.continues = start->continues;
  }
  submission.allow_non_restored_state = command.allow_non_restored_state;
  return submission;
}

void warn_of_generated_uids(const PlanDescription& plan) {
  for (const OperatorDescription& one : plan.operators)
    if (one.stateful && one.generated_uid)
      warn("operator '" + one.name + "' keeps state and has no uid; it got '" + one.uid +
           "', which changes with the plan: give it one with .uid(\"...\")");
}

std::uint32_t slots_for(const Job& job) {
  if (const auto& slots = job.configuration.process().task_slots) return *slots;
  return std::ranges::max(job.description.operators, {}, &OperatorDescription::parallelism)
      .parallelism;
}

/// The configuration of the process: the job's, but with numbers that are fresh enough to be shown.
Configuration process_configuration(const Job& job) {
  Configuration configuration = job.configuration;
  if (!configuration.is_set("heartbeat.interval"))
    WEIR_ASSERT(configuration.set("heartbeat.interval", heartbeat_interval, "weir run"));
  return configuration;
}

/// Writes the lines of `--trace` and, with -v, the same into the log. A trace that cannot be written any
/// more is told once, by `tell`.
Outcome<std::function<void(const std::string&)>> open_trace(
    const Host& host, const RunCommand& command, LogFile& log,
    std::function<void(const std::string& warning)> tell) {
  std::shared_ptr<std::ofstream> file;
  if (command.trace_file) {
    const std::string path = absolute(*command.trace_file, host.working_directory);
    file = std::make_shared<std::ofstream>(path, std::ios::trunc);
    if (!*file)
      return fail_outside({Errc::io_error, path + ": cannot write the trace there: " +
                                               std::generic_category().message(errno) +
                                               "; name a file in a directory that exists and can "
                                               "be written to"});
  }
  if (file == nullptr && !command.verbose) return std::function<void(const std::string&)>();
  return [file, &log, verbose = command.verbose, path = command.trace_file.value_or(""),
          tell = std::move(tell)](const std::string& line) {
    if (file != nullptr && *file && !(*file << line << '\n' << std::flush))
      tell("--trace " + path + ": cannot be written any more (" +
           std::generic_category().message(errno) + "); what follows is not traced");
    if (verbose) log.write("debug", line);
  };
}

bool is_terminal_attached(const RunCommand& command) {
  return !command.common.json && !command.detached && ::isatty(STDERR_FILENO) != 0 &&
         environment_variable("TERM").value_or("dumb") != "dumb";
}

/// What the process that waits in the foreground prints when the job is under way.
std::string detached_text(const RunCommand& command, const JobOverview& job) {
  if (command.common.json)
    return "{\"job\":\"" + to_string(job.id) + "\",\"state\":\"" + state_name(job.state) + "\"}\n";
  return to_string(job.id) + "\n";
}

/// Whose code crashed.
std::string subject_of(const std::string& job_name, const JobId& job) {
  return "job " + job_name + " (" + to_string(job) + ")";
}

/// What to do if the process crashed now. A checkpoint may just have been completed that `details` do not
/// know, so only that there can be none is said for certain.
std::string crash_advice(const RunCommand& command, const JobDetails& details) {
  const CheckpointCounts& counts = details.checkpoints;
  const bool kept = !details.checkpoint_directory.empty();
  std::string advice;
  if (kept && counts.last_completed && !counts.last_completed->directory.empty())
    advice = "its last completed checkpoint is kept: resume with `weir run -s latest`";
  else if (counts.last_savepoint)
    advice =
        "resume from its savepoint with `weir run -s " + counts.last_savepoint->directory + "`";
  else if (command.restore)
    advice = "start it as before, with `weir run -s " + *command.restore + "`";
  else if (kept)
    advice = "`weir run -s latest` resumes it if a checkpoint was completed, and else says so";
  else
    advice = "no checkpoint is kept, as state.checkpoints.dir is not set, so it begins anew";
  return advice + " (log: " + details.log_file + ")";
}

/// One submitted job, until it has ended.
class JobWatch {
 public:
  /// Everything outlives the watch; `display` and `detached` may be null.
  JobWatch(const RunCommand& command, Host& host, JobClient& client, LiveDisplay* display,
           DetachedProcess* detached, JobId job, std::chrono::milliseconds timeout, bool retained)
      : command_(command),
        host_(host),
        client_(client),
        display_(display),
        detached_(detached),
        job_(job),
        timeout_(timeout),
        retained_(retained) {}

  /// Waits until the job has ended, and cancels it when this process is asked to end.
  Result<JobDetails> wait() {
    std::chrono::milliseconds pause = first_pause;
    for (;;) {
      WEIR_TRY_ASSIGN(details, client_.ask(RequestJobDetails{job_}, timeout_));
      tell(details);
      if (is_terminal(details.overview.state)) return details;
      if (wait_for_end_request(pause) && !cancelled_) {
        cancelled_ = true;
        above([&] {
          warn("cancelling job " + details.overview.name + what_becomes_of_checkpoints(details) +
               "; a second signal ends the process at once");
        });
        // The answer comes with the job's end; an error says that it has ended already.
        (void)client_.ask(CancelJob{job_}, long_timeout);
      }
      pause = std::min(2 * pause, longest_pause);
    }
  }

 private:
  [[nodiscard]] std::string what_becomes_of_checkpoints(const JobDetails& details) const {
    if (details.checkpoint_directory.empty()) return {};
    return retained_ ? ", whose last checkpoint is kept"
                     : ", which deletes its checkpoints" + std::string(deletes_because);
  }
  void tell(const JobDetails& details) {
    const JobOverview& job = details.overview;
    if (job.restarts > restarts_) {
      restarts_ = job.restarts;
      above([&] {
        warn("job " + job.name + " started again after a failure (restart " +
             std::to_string(restarts_) + "): " + details.failure);
      });
    }
    tell_of_checkpoints(details.checkpoints, job.name, details.log_file);
    if (std::string advice = crash_advice(command_, details); advice != advice_) {
      advice_ = std::move(advice);
      set_crash_notice({subject_of(job.name, job.id), advice_});
    }
    const bool under_way =
        job.state == JobState::running || (is_terminal(job.state) && job.state != JobState::failed);
    if (detached_ != nullptr && under_way) detached_->release(detached_text(command_, job));
    if (display_ == nullptr) return;
    if (is_terminal(job.state))
      display_->clear();
    else
      display_->show(details, host_.clock.now(), host_.clock.wall_now());
  }
  /// Of failures in a row only the first is told: the next may come every few milliseconds.
  void tell_of_checkpoints(const CheckpointCounts& counts, const std::string& job,
                           const std::string& log_file) {
    const CheckpointId completed =
        counts.last_completed ? counts.last_completed->id : CheckpointId{};
    if (completed != last_completed_) told_failure_ = false;
    last_completed_ = completed;
    if (counts.last_failure == last_failure_) return;
    last_failure_ = counts.last_failure;
    if (std::exchange(told_failure_, true)) return;
    above([&] {
      warn("job " + job + ": " + last_failure_ +
           "; until one completes, further ones are told in the log alone (" + log_file + ")");
    });
  }
  void above(const std::function<void()>& print) {
    if (display_ != nullptr)
      display_->print_above(print);
    else
      print();
  }

  const RunCommand& command_;
  Host& host_;
  JobClient& client_;
  LiveDisplay* const display_;
  DetachedProcess* const detached_;
  const JobId job_;
  const std::chrono::milliseconds timeout_;
  const bool retained_;  ///< a job that is cancelled leaves its last checkpoint
  std::uint32_t restarts_ = 0;
  CheckpointId last_completed_;  ///< checkpoint
  std::string last_failure_;     ///< of a checkpoint
  bool told_failure_ = false;    ///< since the last one that completed
  bool cancelled_ = false;
  std::string advice_;  ///< that a crash would end with
};

/// Tells how the job ended. Returns the exit code.
int conclude(const RunCommand& command, const JobDetails& details, const PlanDescription& plan,
             bool on_terminal) {
  const JobOverview& job = details.overview;
  if (command.common.json && !command.detached)
    std::fputs(summary_json(details, plan).c_str(), stdout);
  if (on_terminal) std::fputs(summary_text(details, plan).c_str(), stderr);
  if (std::fflush(stdout) != 0)
    return report({Errc::io_error, "cannot write to standard output"}, failure_exit_code);
  if (job.state == JobState::failed)
    return report({Errc::user_function_failed, "job " + job.name + " (" + to_string(job.id) +
                                                   ") failed: " + details.failure +
                                                   " (log: " + details.log_file + ")"},
                  failure_exit_code);
  if (job.state == JobState::canceled && end_requested()) return interrupted_exit_code;
  return success_exit_code;
}

/// That `job` was not taken in because of `why`. `restored`: it was to start from a snapshot.
std::unexpected<Failure> fail_submission(Host& host, const Job& job, bool restored, Error why) {
  // There is output of another run. To go on with that one is good advice only where it can be done.
  if (why.code == Errc::already_exists && !restored)
    if (const auto latest = find_latest_of_output(*host.storage, host.files, search_for_latest(job),
                                                  job.description))
      why.what += ", or go on from " + latest->directory + " with -s latest";
  const std::string& checkpoints = job.configuration.directories().checkpoints;
  if (!checkpoints.empty() && why.what.starts_with(checkpoints))
    return fail_directory(std::move(why), job.configuration, "state.checkpoints.dir");
  return fail_outside(std::move(why));
}

/// Runs `job` to its end. `temporary` is this process's.
Outcome<int> run_loaded(Host& host, const RunCommand& command, const Job& job,
                        LocalJobLibraries& libraries, const TemporaryDirectory& temporary,
                        DetachedProcess* detached) {
  auto start = find_start(host, command, job);
  if (!start) return std::unexpected(start.error());
  if (*start)
    for (const std::string& warning : (*start)->warnings) warn(warning);
  else if (const Status readable = check_input(host, job); !readable)
    return fail_outside(readable.error());
  warn_of_generated_uids(job.description);

  const auto log_path =
      new_log_path(host.files, job.configuration, temporary_base(job.configuration), job.name,
                   host.clock.wall_now());
  if (!log_path) return fail_directory(log_path.error(), job.configuration, "env.log.dir");
  auto log = LogFile::open(*log_path, command.verbose);
  if (!log) return fail_outside(log.error());
  if (!job.configuration.is_set("state.backend"))
    (*log)->write(
        "warning",
        "no state.backend is set: state is kept in memory, and a checkpoint may hold at "
        "most 5 MiB of each state and subtask; filesystem and rocksdb have no such limit");
  const bool on_terminal = is_terminal_attached(command);
  LiveDisplay display([](const std::string& text) { std::fputs(text.c_str(), stderr); },
                      terminal_size);
  const auto show_warning = [&display](const std::string& warning) {
    display.print_above([&] { warn(warning); });
  };
  auto trace = open_trace(host, command, **log, show_warning);
  if (!trace) return std::unexpected(trace.error());
  if (detached != nullptr) {
    const Status redirected =
        detached->redirect_output(log_path->substr(0, log_path->size() - 4) + ".out");
    if (!redirected) return fail_outside(redirected.error());
  }

  ProcessStreams streams(STDIN_FILENO, command.common.json ? STDERR_FILENO : STDOUT_FILENO);
  DisplayedStreams displayed(streams, display);

  EmbeddedProcessParts parts;
  parts.configuration = process_configuration(job);
  parts.temporary_directory = temporary.path();
  parts.log_file_path = *log_path;
  parts.run_directory = run_directory_of_process();
  parts.slots = slots_for(job);
  parts.clock = &host.clock;
  parts.random = &host.random;
  parts.files = &host.files;
  parts.storage = host.storage;
  parts.standard_streams = &streams;
  if (on_terminal && ::isatty(STDOUT_FILENO) != 0) parts.standard_streams = &displayed;
  parts.libraries = &libraries;
  parts.log = log->get();
  parts.trace = std::move(*trace);
  parts.warn = show_warning;
  if (end_requested()) return interrupted_exit_code;
  auto process = EmbeddedProcess::start(std::move(parts));
  if (!process) return fail_outside(process.error());

  JobSubmission submission = make_submission(host, command, job, *start);
  const JobId id = submission.id;
  JobDetails before;  // as far as a crash in the job's first moments needs them
  before.checkpoint_directory = job.configuration.directories().checkpoints;
  before.log_file = *log_path;
  set_crash_notice({subject_of(job.name, id), crash_advice(command, before)});
  JobClient& client = (*process)->client();
  auto submitted = client.ask(SubmitJob{std::move(submission)}, long_timeout);
  if (!submitted) {
    (*process)->stop();
    return fail_submission(host, job, start->has_value(), std::move(submitted.error()));
  }
  for (const std::string& warning : submitted->warnings) warn(warning);
  if (*start && on_terminal)
    tell("job " + job.name + " (" + to_string(id) + ") goes on from " + (*start)->directory);

  JobWatch watch(command, host, client, on_terminal ? &display : nullptr, detached, id,
                 job.configuration.process().client_timeout,
                 job.configuration.checkpoint_config().retention ==
                     CheckpointRetention::retain_on_cancellation);
  const auto details = watch.wait();
  if (!details) {
    // Tasks may still run, and nothing can end them any more but the process itself.
    answer_with(details.error(), failure_exit_code, command.common);
    std::fflush(nullptr);
    std::_Exit(failure_exit_code);
  }
  const int exit_code = conclude(command, *details, job.description, on_terminal);
  (*process)->stop();
  return exit_code;
}

int run_here(const RunCommand& command, const JobDescriptor* linked, DetachedProcess* detached) {
  catch_end_signals();
  install_crash_reporter();
  set_crash_notice({linked == nullptr ? command.library : "job " + std::string(linked->name), ""});
  Host host;
  auto file_settings = load_settings_file(host.files, command.common);
  if (!file_settings) return answer_with(file_settings.error(), command.common);
  Configuration early = *file_settings;
  early.merge(command.common.settings);
  if (const Status status = resolve_settings(early); !status)
    return answer_with(status.error(), command.common);
  if (const Status status = early.check_before_job(command.common.settings); !status)
    return answer_with(status.error(), command.common);

  const auto temporary = TemporaryDirectory::make(host.files, temporary_base(early), host.random);
  if (!temporary) {
    const Failure failure = fail_directory(temporary.error(), early, "io.tmp.dirs").error();
    return answer_with(failure.error, failure.exit_code, command.common);
  }
  const auto run = [&]() -> Outcome<int> {
    auto directory = temporary->make_inner("jobs");
    if (!directory) return fail_outside(directory.error());
    LocalJobLibraries libraries(host.files, std::move(*directory), host.working_directory);
    const auto job = load_job(host, libraries, command, linked, *file_settings);
    if (!job) return std::unexpected(job.error());
    return run_loaded(host, command, *job, libraries, *temporary, detached);
  };
  const Outcome<int> outcome = run();
  temporary->remove();
  return outcome ? *outcome
                 : answer_with(outcome.error().error, outcome.error().exit_code, command.common);
}

}  // namespace

int run_job(const RunCommand& command, const JobDescriptor* linked) {
  if (!command.detached) return run_here(command, linked, nullptr);
  auto detached = detach();
  if (!detached) return report(detached.error(), failure_exit_code);
  if (const int* exit_code = std::get_if<int>(&*detached)) return *exit_code;
  return run_here(command, linked, std::get<std::unique_ptr<DetachedProcess>>(*detached).get());
}

}  // namespace weir
