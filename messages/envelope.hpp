#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "messages/messages.hpp"

namespace weir {

/// Which kind of actor, or the client, a message comes from or goes to.
enum class EndpointKind : std::uint8_t {
  client,
  job_manager,
  checkpoint_coordinator,
  task_manager,
  task
};
WEIR_ENUM(EndpointKind, client, job_manager, checkpoint_coordinator, task_manager, task)

/// A sender or receiver as traces name it; never an address.
struct Endpoint {
  EndpointKind kind = EndpointKind::client;
  std::uint32_t number = 0;   ///< of a TaskManager; of a task: its vertex
  std::uint32_t subtask = 0;  ///< of a task
  bool operator==(const Endpoint&) const = default;
};
WEIR_FIELDS(Endpoint, kind, number, subtask)

[[nodiscard]] inline Endpoint client_endpoint() { return {}; }
[[nodiscard]] inline Endpoint job_manager_endpoint() { return {EndpointKind::job_manager, 0, 0}; }
[[nodiscard]] inline Endpoint coordinator_endpoint() {
  return {EndpointKind::checkpoint_coordinator, 0, 0};
}
[[nodiscard]] inline Endpoint endpoint_of(TaskManagerId id) {
  return {EndpointKind::task_manager, id.value, 0};
}
[[nodiscard]] inline Endpoint endpoint_of(const ExecutionId& id) {
  return {EndpointKind::task, id.vertex, id.subtask};
}

/// `client`, `JobManager`, `CheckpointCoordinator`, `TaskManager:1`, `Task:2/0`.
[[nodiscard]] std::string to_string(const Endpoint& endpoint);

/// A message on its way: what every control message travels in.
template <class M>
struct Envelope {
  Endpoint from;
  Endpoint to;
  M message;
};

template <class M>
struct Codec<Envelope<M>> {
  static constexpr std::size_t fixed_width = 0;
  static constexpr std::size_t min_width = 1;
  template <Encoding E>
  static void encode(const Envelope<M>& envelope, ByteWriter& writer) {
    weir::encode(envelope.from, writer);
    weir::encode(envelope.to, writer);
    weir::encode(envelope.message, writer);
  }
  static void decode(ByteReader& reader, Envelope<M>& envelope) {
    weir::decode(reader, envelope.from);
    weir::decode(reader, envelope.to);
    weir::decode(reader, envelope.message);
  }
};

/// The name of a message as traces show it: the struct's, for a reply that of its value, or with
/// `Failure` in place of `Success` if it holds an error.
template <class M>
[[nodiscard]] std::string message_name(const M&) {
  constexpr auto list = weir_fields(TypeTag<M>{});
  return std::string(list.type_name);
}
template <class T>
[[nodiscard]] std::string message_name(const Reply<T>& reply) {
  constexpr auto list = weir_fields(TypeTag<T>{});
  std::string name(list.type_name);
  if (reply.value) return name;
  if (const auto at = name.find("Success"); at != std::string::npos)
    return name.replace(at, 7, "Failure");
  return name + "Failure";
}

}  // namespace weir
