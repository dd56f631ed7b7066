#include "simulation/simulated_record_network.hpp"

#include <algorithm>

namespace weir {

namespace {

std::string name_of(TaskManagerId id) { return "TaskManager-" + std::to_string(id.value); }

/// What links are told of bytes.
DeliveryRecord record_of(TaskManagerId from, TaskManagerId to) {
  DeliveryRecord record;
  record.from = endpoint_of(from);
  record.to = endpoint_of(to);
  record.message = "Records";
  return record;
}

}  // namespace

class SimulatedRecordNetwork::Transport final : public RecordTransport {
 public:
  Transport(SimulatedRecordNetwork& network, TaskManagerId self) : network_(network), self_(self) {}
  void connect(TaskManagerId peer) override { network_.connect(self_, peer); }

 private:
  SimulatedRecordNetwork& network_;
  const TaskManagerId self_;
};

class SimulatedRecordNetwork::End final : public RecordLink {
 public:
  End(SimulatedRecordNetwork& network, std::shared_ptr<Connection> connection, std::size_t side)
      : network_(network), connection_(std::move(connection)), side_(side) {}
  void send(std::string bytes) override { network_.send(connection_, side_, std::move(bytes)); }
  void close() override {
    connection_->sides[side_].closed = true;
    network_.end(connection_, 1 - side_, "the other end has closed it");
  }

 private:
  SimulatedRecordNetwork& network_;
  const std::shared_ptr<Connection> connection_;
  const std::size_t side_;
};

SimulatedRecordNetwork::SimulatedRecordNetwork(const Clock& clock,
                                               std::function<void(const std::string&)> note,
                                               std::function<void(std::string_view)> carried)
    : clock_(clock), note_(std::move(note)), carried_(std::move(carried)) {}

SimulatedRecordNetwork::~SimulatedRecordNetwork() = default;

RecordTransport& SimulatedRecordNetwork::transport_of(TaskManagerId id) {
  auto& transport = transports_[id];
  if (!transport) transport = std::make_unique<Transport>(*this, id);
  return *transport;
}

void SimulatedRecordNetwork::add(TaskManagerId id, RecordExchange& exchange) {
  exchanges_[id] = &exchange;
}

void SimulatedRecordNetwork::remove(TaskManagerId id, bool is_told) {
  exchanges_.erase(id);
  for (const auto& connection : connections_)
    for (const std::size_t side : {0U, 1U}) {
      Connection::Side& gone = connection->sides[side];
      if (gone.id != id || gone.exchange == nullptr) continue;
      gone.exchange = nullptr;
      connection->is_answered = is_told;
      if (is_told && !gone.closed) end(connection, 1 - side, "the other process is gone");
    }
  for (const auto& [between, link] : links_)
    if (between.first == id || between.second == id) link->clear();
  std::erase_if(connections_, [](const auto& connection) {
    return std::ranges::all_of(connection->sides, [](const Connection::Side& side) {
      return side.exchange == nullptr || side.closed;
    });
  });
}

bool SimulatedRecordNetwork::is_connected(TaskManagerId id) const {
  return std::ranges::any_of(connections_, [&](const auto& connection) {
    return std::ranges::any_of(connection->sides, [&](const Connection::Side& side) {
      return side.id == id && side.exchange != nullptr && !side.closed;
    });
  });
}

SimulatedLink& SimulatedRecordNetwork::link(TaskManagerId from, TaskManagerId to) {
  auto& link = links_[{from, to}];
  if (!link) {
    link = std::make_unique<SimulatedLink>(name_of(from) + " -> " + name_of(to), clock_);
    link->on_fault = [this, name = link->name()](const std::string& what) {
      note_(name + ": " + what);
    };
  }
  return *link;
}

std::vector<std::pair<SimulatedLink*, SimulatedLink*>> SimulatedRecordNetwork::links() const {
  std::vector<std::pair<SimulatedLink*, SimulatedLink*>> pairs;
  for (const auto& [between, there] : links_) {
    const auto& [from, to] = between;
    if (from > to || !exchanges_.contains(from) || !exchanges_.contains(to)) continue;
    pairs.emplace_back(there.get(), links_.at({to, from}).get());
  }
  return pairs;
}

void SimulatedRecordNetwork::connect(TaskManagerId from, TaskManagerId to) {
  const auto caller = exchanges_.find(from);
  const auto called = exchanges_.find(to);
  if (caller == exchanges_.end()) return;
  // The caller's line first, so that `links` finds both.
  const bool is_cut = link(from, to).is_cut() || link(to, from).is_cut();
  if (called == exchanges_.end() || is_cut)
    return caller->second->refused(to,
                                   is_cut ? "it cannot be reached" : "there is no such process");
  auto connection = std::make_shared<Connection>();
  connection->sides[0] = {from, caller->second};
  connection->sides[1] = {to, called->second};
  for (const std::size_t side : {0U, 1U}) {
    Connection::Side& one = connection->sides[side];
    one.number = one.exchange->connected(connection->sides[1 - side].id,
                                         std::make_unique<End>(*this, connection, side));
  }
  connections_.push_back(std::move(connection));
}

void SimulatedRecordNetwork::send(const std::shared_ptr<Connection>& connection, std::size_t from,
                                  std::string bytes) {
  const TaskManagerId sender = connection->sides[from].id;
  const TaskManagerId receiver = connection->sides[1 - from].id;
  link(sender, receiver)
      .carry(record_of(sender, receiver), [this, connection, from, bytes = std::move(bytes)] {
        arrive(connection, 1 - from, bytes);
      });
}

void SimulatedRecordNetwork::arrive(const std::shared_ptr<Connection>& connection, std::size_t at,
                                    const std::string& bytes) {
  Connection::Side& side = connection->sides[at];
  if (side.exchange != nullptr && !side.closed) {
    carried_(bytes);
    side.exchange->received(side.number, bytes);
  } else if (side.exchange != nullptr || connection->is_answered) {
    end(connection, 1 - at, "the other end is gone");
  }
}

void SimulatedRecordNetwork::end(const std::shared_ptr<Connection>& connection, std::size_t to,
                                 const std::string& why) {
  const TaskManagerId sender = connection->sides[1 - to].id;
  const TaskManagerId receiver = connection->sides[to].id;
  link(sender, receiver).carry(record_of(sender, receiver), [this, connection, to, why] {
    Connection::Side& side = connection->sides[to];
    if (side.exchange == nullptr || side.closed) return;
    side.closed = true;
    side.exchange->lost(side.number, why);
  });
}

}  // namespace weir
