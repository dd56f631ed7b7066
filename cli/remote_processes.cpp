#include "cli/remote_processes.hpp"

#include <utility>

#include <caf/all.hpp>
#include <caf/io/all.hpp>

#include "actors/peer_connection.hpp"
#include "cli/actor_system_config.hpp"
#include "cli/gateway_job_client.hpp"
#include "storage/system.hpp"

namespace weir {

struct RemoteProcesses::Actors {
  ActorSystemConfig config;
  SystemClock clock;
  Delivery delivery{clock, {}};
  caf::actor_system system{config};
};

RemoteProcesses::RemoteProcesses() = default;
RemoteProcesses::~RemoteProcesses() = default;

Result<std::unique_ptr<JobClient>> RemoteProcesses::connect(Socket socket,
                                                            std::chrono::milliseconds timeout) {
  if (actors_ == nullptr) actors_ = std::make_unique<Actors>();
  Socket watched = socket.duplicate();
  WEIR_TRY_ASSIGN(job_manager, connect_peer(actors_->system, std::move(socket), timeout));
  return std::make_unique<GatewayJobClient>(actors_->system, std::move(job_manager),
                                            actors_->delivery, std::move(watched));
}

}  // namespace weir
