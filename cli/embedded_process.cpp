#include "cli/embedded_process.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <utility>

#include <caf/all.hpp>
#include <caf/io/all.hpp>

#include "actors/peer_connection.hpp"
#include "actors/process.hpp"
#include "cli/actor_system_config.hpp"
#include "cli/backends.hpp"
#include "cli/gateway_job_client.hpp"
#include "network/gate.hpp"
#include "runtime/thread_executor.hpp"

namespace weir {
namespace {

/// How long a process that has ended waits for commands to read their last answer.
constexpr std::chrono::milliseconds farewell = std::chrono::seconds(2);

[[noreturn]] void end_at_once(LogFile& log, const std::string& why) {
  std::fprintf(stderr, "weir: %s\n", why.c_str());
  log.write("error", why);
  std::_Exit(1);
}

}  // namespace

struct EmbeddedProcess::Actors {
  explicit Actors(const EmbeddedProcessParts& parts)
      : io(parts.configuration.process().io_threads),
        delivery(*parts.clock, parts.trace),
        system(config) {}

  ActorSystemConfig config;
  IoPool io;
  ThreadExecutor executor;
  Delivery delivery;
  caf::actor_system system;
  std::unique_ptr<Process> process;
  std::unique_ptr<GatewayJobClient> client;
  std::unique_ptr<Gate> gate;
};

Result<std::unique_ptr<EmbeddedProcess>> EmbeddedProcess::start(EmbeddedProcessParts parts) {
  auto actors = std::make_unique<Actors>(parts);
  ProcessSeams seams;
  seams.clock = parts.clock;
  seams.random = parts.random;
  seams.files = parts.files;
  seams.storage = parts.storage;
  seams.standard_streams = parts.standard_streams;
  seams.io = &actors->io;
  seams.executor = &actors->executor;
  seams.delivery = &actors->delivery;
  seams.libraries = parts.libraries;
  seams.make_backend = make_backend_registry();
  seams.log = [log = parts.log, show = parts.warn](const std::string& level,
                                                   const std::string& text) {
    log->write(level, text);
    if (level == "notice") show(text);
  };
  seams.fatal = [log = parts.log](const std::string& why) { end_at_once(*log, why); };

  actors->process = std::make_unique<Process>(
      actors->system, std::move(seams),
      ProcessSettings{parts.configuration, parts.temporary_directory, parts.log_file_path});
  actors->process->start_job_manager();
  actors->process->start_task_manager(TaskManagerId{1}, parts.slots);
  const JobManagerInterface job_manager = actors->process->job_manager();
  actors->client =
      std::make_unique<GatewayJobClient>(actors->system, job_manager, actors->delivery, Socket());

  WEIR_TRY_ASSIGN(directory, parts.run_directory.make());
  GateSettings settings;
  settings.path = new_socket_path(directory, ::getpid(), *parts.random);
  settings.user = parts.run_directory.user;
  WEIR_TRY_ASSIGN(gate, Gate::open(settings, [&system = actors->system, job_manager](Socket peer) {
                    serve_peer(system, std::move(peer), job_manager);
                  }));
  actors->gate = std::move(gate);
  parts.log->write("info", "commands reach this process at " + settings.path);
  return std::unique_ptr<EmbeddedProcess>(new EmbeddedProcess(std::move(actors)));
}

EmbeddedProcess::EmbeddedProcess(std::unique_ptr<Actors> actors) : actors_(std::move(actors)) {}

EmbeddedProcess::~EmbeddedProcess() = default;

JobClient& EmbeddedProcess::client() { return *actors_->client; }

void EmbeddedProcess::stop() {
  actors_->gate->stop(farewell);
  actors_->gate.reset();
  actors_->process->stop();
}

}  // namespace weir
