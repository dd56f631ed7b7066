#pragma once

#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>

#include "messages/interfaces.hpp"

namespace weir {

/// CAF as a process uses it: every message registered, and sockets, which the gate hands to it.
class ActorSystemConfig : public caf::actor_system_config {
 public:
  ActorSystemConfig() {
    load<caf::io::middleman>();
    configure_actor_system(*this);
  }
};

}  // namespace weir
