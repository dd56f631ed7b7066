#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "network/record_exchange.hpp"
#include "simulation/simulated_link.hpp"
#include "state/clock.hpp"

namespace weir {

/// The connections for records between simulated processes. The bytes of one pass over two `SimulatedLink`s, one in
/// each direction: what is lost or comes twice there, which no TCP connection would let through, must be noticed, too.
/// Threads: one.
class SimulatedRecordNetwork {
 public:
  /// `note` hears what links do to bytes, a line each; `carried` whatever arrives.
  SimulatedRecordNetwork(const Clock& clock, std::function<void(const std::string& line)> note,
                         std::function<void(std::string_view bytes)> carried);
  ~SimulatedRecordNetwork();
  SimulatedRecordNetwork(const SimulatedRecordNetwork&) = delete;
  SimulatedRecordNetwork& operator=(const SimulatedRecordNetwork&) = delete;

  /// A process that will run, and how its exchange connects.
  [[nodiscard]] RecordTransport& transport_of(TaskManagerId id);
  /// It runs.
  void add(TaskManagerId id, RecordExchange& exchange);
  /// It is gone, with what was on its way. Whether the others hear of it at once, as when its system closes its
  /// connections, or its host is gone as well and they must find out.
  void remove(TaskManagerId id, bool is_told);
  [[nodiscard]] bool is_connected(TaskManagerId id) const;

  /// The links between running processes that have been connected, there and back.
  [[nodiscard]] std::vector<std::pair<SimulatedLink*, SimulatedLink*>> links() const;

 private:
  class Transport;
  class End;
  /// One connection, as nobody alone sees it.
  struct Connection {
    struct Side {
      TaskManagerId id;
      RecordExchange* exchange = nullptr;  ///< null: it is gone
      std::uint64_t number = 0;            ///< of the connection there
      bool closed = false;
    };
    std::array<Side, 2> sides;
    bool is_answered = true;  ///< bytes for a process that is gone are answered by its system
  };
  using Between = std::pair<TaskManagerId, TaskManagerId>;

  void connect(TaskManagerId from, TaskManagerId to);
  /// From side `from` to the other one.
  void send(const std::shared_ptr<Connection>& connection, std::size_t from, std::string bytes);
  void arrive(const std::shared_ptr<Connection>& connection, std::size_t at,
              const std::string& bytes);
  /// Tells side `to` that the connection is over, if the link lets it through.
  void end(const std::shared_ptr<Connection>& connection, std::size_t to, const std::string& why);
  SimulatedLink& link(TaskManagerId from, TaskManagerId to);

  const Clock& clock_;
  const std::function<void(const std::string&)> note_;
  const std::function<void(std::string_view)> carried_;
  std::map<TaskManagerId, std::unique_ptr<Transport>> transports_;
  std::map<TaskManagerId, RecordExchange*> exchanges_;
  std::map<Between, std::unique_ptr<SimulatedLink>> links_;
  std::vector<std::shared_ptr<Connection>> connections_;
};

}  // namespace weir
