#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <caf/actor_system.hpp>

#include "actors/delivery.hpp"
#include "actors/job_libraries.hpp"
#include "messages/interfaces.hpp"
#include "runtime/configuration.hpp"
#include "runtime/thread_executor.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/executor.hpp"
#include "state/file_system.hpp"
#include "state/keyed_state_backend.hpp"
#include "state/standard_streams.hpp"

namespace weir {

class RecordExchange;

/// Everything that the actors of one process reach the world through; `cli/` puts it together.
/// All pointers outlive the process. Threads: any, as each part says.
struct ProcessSeams {
  const Clock* clock = nullptr;
  Random* random = nullptr;
  FileSystem* files = nullptr;
  std::shared_ptr<CheckpointStorage> storage;
  StandardStreams* standard_streams = nullptr;
  IoExecutor* io = nullptr;
  TaskExecutor* executor = nullptr;
  Delivery* delivery = nullptr;
  JobLibraries* libraries = nullptr;
  /// Brings records to and from other processes; null: this process has no connections for them.
  RecordExchange* records = nullptr;
  /// Makes the backend that a job's configuration asks for; called once per job and TaskManager.
  std::function<Result<std::shared_ptr<StateBackend>>(const Configuration&)> make_backend;
  /// Writes one line into the process's log. `level` is one of `info`, `warning`, `error`, or `notice`: a warning
  /// that whoever looks at the process should see at once.
  std::function<void(const std::string& level, const std::string& text)> log;
  /// Ends the process at once with this sentence (a task that cannot be cancelled).
  std::function<void(const std::string& why)> fatal;
};

/// What a process is told at its start.
struct ProcessSettings {
  Configuration configuration;      ///< with absolute directories
  std::string temporary_directory;  ///< of this process alone, absolute; working files lie below
  std::string log_file;             ///< absolute; for people who ask
};

class GatewayRegistry;

/// The actors of one process: a JobManager, a TaskManager, or both. Whatever belongs to the process
/// hangs on this object.
/// Threads: one, which is no actor's.
class Process {
 public:
  Process(caf::actor_system& system, ProcessSeams seams, ProcessSettings settings);
  /// Ends the actors as a crash would, if `stop` was not called.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void start_job_manager();
  /// Registers with the JobManager of this process. `slots` is how many subtasks of one vertex it runs.
  void start_task_manager(TaskManagerId id, std::uint32_t slots);
  /// Registers with the JobManager of another process, which reaches it once told (`add_task_manager`).
  void start_task_manager(TaskManagerId id, std::uint32_t slots,
                          const JobManagerInterface& job_manager);
  /// Lets the JobManager of this process reach a TaskManager of another one, and no longer.
  void add_task_manager(TaskManagerId id, const TaskManagerInterface& task_manager);
  void remove_task_manager(TaskManagerId id);
  /// Requires `start_job_manager`.
  [[nodiscard]] JobManagerInterface job_manager() const;
  /// Requires `start_task_manager`.
  [[nodiscard]] TaskManagerInterface task_manager() const;
  /// Ends the actors and waits for them; every job must have ended.
  void stop();

 private:
  struct Actors;
  caf::actor_system& system_;
  std::shared_ptr<ProcessSeams> seams_;
  ProcessSettings settings_;
  std::shared_ptr<GatewayRegistry> gateways_;
  std::unique_ptr<Actors> actors_;
};

}  // namespace weir
