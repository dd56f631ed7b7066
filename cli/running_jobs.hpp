#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/job_client.hpp"
#include "network/run_directory.hpp"

namespace weir {

/// A JobManager that a command has reached, and what it had to tell.
struct ReachedProcess {
  std::unique_ptr<JobClient> client;
  std::vector<JobOverview> jobs;
};

/// Connects to the JobManager behind a socket (`RemoteProcesses::connect`).
using Connect = std::function<Result<std::unique_ptr<JobClient>>(
    Socket socket, std::chrono::milliseconds timeout)>;

/// The processes of this user that run jobs.
struct ReachedProcesses {
  std::vector<ReachedProcess> processes;  ///< by socket path
  std::vector<std::string> warnings;      ///< of processes that did not answer
  std::size_t late = 0;                   ///< how many had not answered when their time was over
};

/// Looks in all sockets of `directory`, drops those of dead processes, and asks the others for their
/// jobs; each has `timeout` to answer. Errors: those of `RunDirectory::sockets`.
[[nodiscard]] Result<ReachedProcesses> reach_processes(const RunDirectory& directory,
                                                       const Connect& connect,
                                                       std::chrono::milliseconds timeout);

/// One job among those that were found.
struct FoundJob {
  JobClient* client = nullptr;  ///< belongs to the `ReachedProcesses`
  JobOverview overview;
};

/// The job whose id begins with `word`. Errors: `not_found` if there is none, or several; `timed_out` if
/// there is none and a process has not answered that may run it.
[[nodiscard]] Result<FoundJob> find_job(const ReachedProcesses& reached, const std::string& word);

}  // namespace weir
