#include "cli/running_jobs.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace weir {
Result<ReachedProcesses> reach_processes(const RunDirectory& directory, const Connect& connect,
                                         std::chrono::milliseconds timeout) {
  WEIR_TRY_ASSIGN(paths, directory.sockets());
  ReachedProcesses reached;
  for (const std::string& path : paths) {
    const auto reach = [&]() -> Result<std::optional<ReachedProcess>> {
      WEIR_TRY_ASSIGN(socket, connect_or_drop(path, timeout));
      if (!socket) return std::optional<ReachedProcess>();
      WEIR_TRY_ASSIGN(client, connect(std::move(*socket), timeout));
      WEIR_TRY_ASSIGN(list, client->ask(ListJobs{}, timeout));
      return ReachedProcess{std::move(client), std::move(list.jobs)};
    };
    auto process = reach();
    if (!process) {
      if (process.error().code == Errc::timed_out) ++reached.late;
      // A process that ends while it is asked has no jobs; one that is silent may have some.
      if (process.error().code != Errc::unavailable)
        reached.warnings.push_back("the process behind " + path +
                                   " does not answer: " + process.error().what);
    } else if (*process) {
      reached.processes.push_back(std::move(**process));
    }
  }
  return reached;
}

Result<FoundJob> find_job(const ReachedProcesses& reached, const std::string& word) {
  std::optional<FoundJob> found;
  for (const ReachedProcess& process : reached.processes) {
    for (const JobOverview& job : process.jobs) {
      if (!to_string(job.id).starts_with(word)) continue;
      if (found)
        return error(Errc::not_found,
                     "the ids of several jobs begin with '" + word + "'; give more digits");
      found = FoundJob{process.client.get(), job};
    }
  }
  if (!found && reached.late > 0)
    return error(
        Errc::timed_out,
        "no process that has answered runs job " + word + ", and " +
            (reached.late == 1 ? "one" : std::to_string(reached.late)) +
            " did not answer within client.timeout (5 s if that is longer): ask again, with "
            "a longer -D client.timeout if it was short");
  if (!found)
    return error(Errc::not_found,
                 "no job " + word + " is running; `weir list` shows those that are");
  return *found;
}

}  // namespace weir
