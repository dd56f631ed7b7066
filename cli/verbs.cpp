#include "cli/verbs.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <unistd.h>
#include <utility>

#include "cli/job_output.hpp"
#include "cli/remote_processes.hpp"
#include "cli/request_watch.hpp"
#include "cli/running_jobs.hpp"
#include "cli/surroundings.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/snapshot_io.hpp"
#include "storage/file_checkpoint_storage.hpp"
#include "storage/posix_file_system.hpp"
#include "storage/system.hpp"
#include "storage/uri.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

/// What writes a snapshot; the checkpoint's own timeout ends it long before.
constexpr std::chrono::milliseconds snapshot_timeout = 1h;
/// What a JobManager has to say how far a snapshot has come.
constexpr std::chrono::milliseconds progress_timeout = 1s;
/// What a process has to say hello; one that is stopped shall not hold up the others.
constexpr std::chrono::milliseconds longest_hello = 5s;

/// A command on its way: its settings, and the processes that it has reached.
struct Conversation {
  bool json = false;
  std::chrono::milliseconds timeout{0};  ///< of quick requests
  std::chrono::milliseconds hello{0};    ///< of each process to connect and list its jobs
  std::string working_directory;
  SystemClock clock;
  RemoteProcesses remote;  // outlives the clients in `reached`
  ReachedProcesses reached;
};

/// Calls `talk` with the settings of `common` and the processes that run jobs; prints the text that it
/// returns, or its error. Returns the exit code.
int converse(const CommonOptions& common,
             const std::function<Result<std::string>(Conversation&)>& talk) {
  PosixFileSystem files;
  const auto settings = load_settings(files, common);
  if (!settings) return answer_with(settings.error(), common);
  Conversation conversation;
  conversation.json = common.json;
  conversation.timeout = settings->process().client_timeout;
  conversation.hello = std::min(conversation.timeout, longest_hello);
  conversation.working_directory = current_directory();
  const auto connect = [&](Socket socket, std::chrono::milliseconds timeout) {
    return conversation.remote.connect(std::move(socket), timeout);
  };
  auto reached = reach_processes(run_directory_of_process(), connect, conversation.hello);
  if (!reached) return answer_with(reached.error(), common);
  conversation.reached = std::move(*reached);
  for (const std::string& warning : conversation.reached.warnings) warn(warning);

  const Result<std::string> text = talk(conversation);
  if (!text) return answer_with(text.error(), common);
  if (std::fputs(text->c_str(), stdout) < 0 || std::fflush(stdout) != 0)
    return report({Errc::io_error, "cannot write to standard output"}, failure_exit_code);
  return success_exit_code;
}

using Snapshots = decltype(RequestWatch::Request::snapshots);

/// Asks a JobManager and waits for the answer; `what` is shown if that takes long, and how far `snapshots`
/// have come.
template <class M>
auto ask(const Conversation& conversation, JobClient& client, M message,
         std::chrono::milliseconds timeout, const std::string& what, Snapshots snapshots = {}) {
  const RequestWatch watch({what, [&client] { return client.is_gone(); }, std::move(snapshots)},
                           !conversation.json && ::isatty(STDERR_FILENO) != 0, conversation.clock);
  auto answer = client.ask(std::move(message), timeout);
  // The words were right; what the JobManager refuses, it found outside of them.
  if (!answer && answer.error().code == Errc::invalid_argument)
    answer.error().code = Errc::unavailable;
  return answer;
}

/// The checkpoints of `job` that are under way, or else its savepoints. Which of several savepoints is whose
/// a JobManager does not say.
Snapshots snapshots_under_way(JobClient& client, const JobId& job, bool savepoints) {
  return [&client, job, savepoints] {
    std::vector<CheckpointProgress> found;
    if (const auto details = client.ask(RequestJobDetails{job}, progress_timeout))
      for (const CheckpointProgress& one : details->checkpoints.in_progress)
        if ((one.kind != SnapshotKind::checkpoint) == savepoints) found.push_back(one);
    return found;
  };
}

/// The target directory of a savepoint, absolute; empty if none is named.
Result<std::string> target_of(const Conversation& conversation, const std::string& word) {
  if (word.empty()) return std::string();
  return parse_path(word, conversation.working_directory);
}

/// Asks for a savepoint, as `ask`. `named`: the command named its directory, else the job's is used.
template <class M>
auto ask_for_savepoint(const Conversation& conversation, JobClient& client, M message, bool named,
                       const std::string& what) {
  const JobId job = message.job;
  auto answer = ask(conversation, client, std::move(message), snapshot_timeout, what,
                    snapshots_under_way(client, job, true));
  if (answer) return answer;
  Error& error = answer.error();
  if (named && (error.code == Errc::io_error || error.code == Errc::already_exists ||
                error.code == Errc::not_found))
    error.what += "; name a directory that the process of the job can write to";
  if (!named && (error.code == Errc::io_error || error.code == Errc::already_exists))
    error.what += "; it belongs into the job's state.savepoints.dir: name another directory";
  return answer;
}

std::string savepoint_answer(const Conversation& conversation, const JobId& job,
                             const std::string& path) {
  return conversation.json ? savepoint_json(job, path) : path + "\n";
}

/// The process whose job may still need the snapshot in `path`: it refuses to delete it. Otherwise any
/// process, or none if there is none.
JobClient* process_to_dispose(Conversation& conversation, const std::string& path) {
  JobClient* any = nullptr;
  for (const ReachedProcess& process : conversation.reached.processes) {
    if (any == nullptr) any = process.client.get();
    for (const JobOverview& job : process.jobs) {
      const auto details = process.client->ask(RequestJobDetails{job.id}, conversation.hello);
      if (details && details->checkpoints.restored_directory == path) return process.client.get();
    }
  }
  return any;
}

/// A checkpoint belongs to its job for as long as that runs.
Status check_not_in_use(const Conversation& conversation, CheckpointStorage& storage,
                        const std::string& path) {
  auto metadata = read_metadata(storage, path);
  if (!metadata && metadata.error().code == Errc::not_found)
    return error(
        Errc::not_found,
        path + ": there is no savepoint here; give the directory that holds its _metadata");
  if (!metadata && metadata.error().code == Errc::corruption)
    return error(Errc::corruption, metadata.error().what +
                                       "; what belongs to it cannot be told: remove the directory "
                                       "yourself if nothing in it is needed");
  if (!metadata) return std::unexpected(metadata.error());
  if (metadata->kind != SnapshotKind::checkpoint) return {};
  for (const ReachedProcess& process : conversation.reached.processes)
    for (const JobOverview& job : process.jobs)
      if (job.id == metadata->job && !is_terminal(job.state))
        return error(Errc::unavailable, path + ": this is a checkpoint of job " +
                                            to_string(job.id) +
                                            ", which is running and deletes it itself");
  return {};
}

}  // namespace

int run_verb(const ListCommand& command) {
  return converse(command.common, [](Conversation& conversation) -> Result<std::string> {
    std::vector<JobOverview> jobs;
    for (const ReachedProcess& process : conversation.reached.processes)
      for (const JobOverview& job : process.jobs)
        if (!is_terminal(job.state)) jobs.push_back(job);
    std::ranges::sort(jobs, {},
                      [](const JobOverview& job) { return std::pair(job.started_at_ms, job.id); });
    return conversation.json ? jobs_json(jobs) : jobs_text(jobs);
  });
}

int run_verb(const InfoCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(job, find_job(conversation.reached, command.job));
    WEIR_TRY_ASSIGN(details, ask(conversation, *job.client, RequestJobDetails{job.overview.id},
                                 conversation.timeout, "asking for the details"));
    return conversation.json ? details_json(details) : details_text(details);
  });
}

int run_verb(const SavepointCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(target, target_of(conversation, command.target));
    WEIR_TRY_ASSIGN(job, find_job(conversation.reached, command.job));
    WEIR_TRY_ASSIGN(written,
                    ask_for_savepoint(conversation, *job.client,
                                      TriggerSavepoint{job.overview.id, target, command.form},
                                      !target.empty(), "writing a savepoint"));
    return savepoint_answer(conversation, written.job, written.path);
  });
}

int run_verb(const DisposeCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(path, target_of(conversation, command.path));
    PosixFileSystem files;
    SystemRandom random;
    FileCheckpointStorage storage(files, random);
    WEIR_TRY(check_not_in_use(conversation, storage, path));
    if (JobClient* client = process_to_dispose(conversation, path)) {
      WEIR_TRY(ask(conversation, *client, DisposeSavepoint{path}, snapshot_timeout,
                   "deleting the savepoint"));
    } else {
      WEIR_TRY(delete_snapshot(storage, path));
    }
    if (conversation.json) return disposal_json(path);
    const bool others = files.stat(path).has_value();
    return path +
           (others ? ": the savepoint is deleted; what else was there stays\n" : " is deleted\n");
  });
}

int run_verb(const CancelCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(target, target_of(conversation, command.target));
    WEIR_TRY_ASSIGN(job, find_job(conversation.reached, command.job));
    const JobId id = job.overview.id;
    if (command.with_savepoint) {
      WEIR_TRY_ASSIGN(cancelled, ask_for_savepoint(conversation, *job.client,
                                                   CancelJobWithSavepoint{id, target, command.form},
                                                   !target.empty(), "writing the last savepoint"));
      return savepoint_answer(conversation, id, cancelled.savepoint);
    }
    // Asked before: with the job its process may end.
    WEIR_TRY_ASSIGN(details, ask(conversation, *job.client, RequestJobDetails{id},
                                 conversation.timeout, "asking for the job"));
    WEIR_TRY(
        ask(conversation, *job.client, CancelJob{id}, conversation.timeout, "waiting for the end"));
    if (conversation.json) return cancellation_json(id);
    PosixFileSystem files;
    const bool are_deleted =
        details.checkpoints.last_completed && !details.checkpoint_directory.empty() &&
        !files.stat(job_directory(details.checkpoint_directory, id)).has_value();
    return "job " + to_string(id) + " is cancelled" +
           (are_deleted ? ", and its checkpoints are deleted" + std::string(deletes_because) : "") +
           "\n";
  });
}

int run_verb(const StopCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(target, target_of(conversation, command.target));
    WEIR_TRY_ASSIGN(job, find_job(conversation.reached, command.job));
    const JobId id = job.overview.id;
    WEIR_TRY_ASSIGN(stopped,
                    ask_for_savepoint(conversation, *job.client,
                                      StopJobWithSavepoint{id, target, command.drain, command.form},
                                      !target.empty(), "writing the last savepoint"));
    return savepoint_answer(conversation, id, stopped.savepoint);
  });
}

int run_verb(const CheckpointCommand& command) {
  return converse(command.common, [&](Conversation& conversation) -> Result<std::string> {
    WEIR_TRY_ASSIGN(job, find_job(conversation.reached, command.job));
    WEIR_TRY_ASSIGN(completed, ask(conversation, *job.client, RequestCheckpoint{job.overview.id},
                                   snapshot_timeout, "taking a checkpoint",
                                   snapshots_under_way(*job.client, job.overview.id, false)));
    if (conversation.json) return checkpoint_json(completed);
    return "checkpoint " + std::to_string(completed.checkpoint.value) +
           (completed.directory.empty() ? std::string() : " " + completed.directory) + "\n";
  });
}

}  // namespace weir
