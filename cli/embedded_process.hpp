#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "actors/job_libraries.hpp"
#include "cli/job_client.hpp"
#include "cli/log_file.hpp"
#include "network/run_directory.hpp"
#include "runtime/configuration.hpp"
#include "state/checkpoint_storage.hpp"
#include "state/clock.hpp"
#include "state/file_system.hpp"
#include "state/standard_streams.hpp"

namespace weir {

/// What the JobManager and the TaskManager of this process work with; all of it outlives them.
struct EmbeddedProcessParts {
  Configuration configuration;      ///< with absolute directories
  std::string temporary_directory;  ///< of this process alone
  std::string log_file_path;
  RunDirectory run_directory;  ///< where the socket goes
  std::uint32_t slots = 1;     ///< of the TaskManager
  const Clock* clock = nullptr;
  Random* random = nullptr;
  FileSystem* files = nullptr;
  std::shared_ptr<CheckpointStorage> storage;
  StandardStreams* standard_streams = nullptr;
  JobLibraries* libraries = nullptr;
  LogFile* log = nullptr;
  std::function<void(const std::string& line)> trace;    ///< may be empty
  std::function<void(const std::string& warning)> warn;  ///< shows one; called on any thread
};

/// A JobManager and a TaskManager in this process, on real threads, and the gate through which commands
/// of the same user reach them.
/// Threads: one.
class EmbeddedProcess {
 public:
  /// Errors: those of the run directory and of the gate.
  [[nodiscard]] static Result<std::unique_ptr<EmbeddedProcess>> start(EmbeddedProcessParts parts);
  /// Ends the actors as a crash would, unless `stop` was called.
  ~EmbeddedProcess();

  [[nodiscard]] JobClient& client();
  /// Waits a little for commands that have yet to read their answer, then ends the actors and waits
  /// for them. Every job must have ended.
  void stop();

 private:
  struct Actors;
  explicit EmbeddedProcess(std::unique_ptr<Actors> actors);
  std::unique_ptr<Actors> actors_;
};

}  // namespace weir
