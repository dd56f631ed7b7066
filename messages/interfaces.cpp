#include "messages/interfaces.hpp"

#include <caf/atom.hpp>

namespace weir {

std::string to_string(const Endpoint& endpoint) {
  switch (endpoint.kind) {
    case EndpointKind::client:
      return "client";
    case EndpointKind::job_manager:
      return "JobManager";
    case EndpointKind::checkpoint_coordinator:
      return "CheckpointCoordinator";
    case EndpointKind::task_manager:
      return "TaskManager:" + std::to_string(endpoint.number);
    case EndpointKind::task:
      return "Task:" + std::to_string(endpoint.number) + "/" + std::to_string(endpoint.subtask);
  }
  return "?";
}

void configure_actor_system(caf::actor_system_config& config) {
#define WEIR_REGISTER(Type, name) config.add_message_type<Envelope<Type>>(name);
  WEIR_MESSAGE_LIST(WEIR_REGISTER)
#undef WEIR_REGISTER
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", 2);
}

}  // namespace weir
