#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "network/record_connection.hpp"
#include "network/remote_channel.hpp"
#include "state/clock.hpp"
#include "state/ids.hpp"

namespace weir {

/// This process's end of an open connection to another one.
/// Threads: the one that drives the exchange.
class RecordLink {
 public:
  virtual ~RecordLink() = default;
  /// Sends `bytes` behind those of earlier calls: they arrive in their order, or the connection is lost. Never blocks;
  /// what waits to be sent is bounded by the credit of the channels.
  virtual void send(std::string bytes) = 0;
  /// Ends the connection. The other end hears of it, if anything reaches it. Nothing is called back any more.
  virtual void close() = 0;
};

/// How a process connects with others.
/// Threads: the one that drives the exchange.
class RecordTransport {
 public:
  virtual ~RecordTransport() = default;
  /// Begins to connect with the process of `peer`. In both processes `RecordExchange::connected` follows, or
  /// in this one `RecordExchange::refused`. Never blocks.
  virtual void connect(TaskManagerId peer) = 0;
};

/// The channels between the tasks of this process and those of others, over one connection with each process.
/// Of two processes the one with the lower id connects. When a connection is lost, every channel of it is
/// broken for good, and with it the attempt of its job; the next attempt's channels get a new connection.
///
/// `step` is the only way forward, as for a task; what comes from others is put down until then.
/// Threads: one (or the simulator) calls `step`; the calls that say so come from any.
class RecordExchange {
 public:
  /// Time between two attempts to connect.
  static constexpr std::chrono::milliseconds connect_retry_delay{1000};

  /// `transport` and `clock` outlive the exchange. `log` hears of connections that are made and lost, a sentence
  /// each, in `step`.
  RecordExchange(TaskManagerId self, RecordTransport& transport, const Clock& clock,
                 const RecordConnectionSettings& settings,
                 std::function<void(const std::string& text)> log);
  ~RecordExchange();
  RecordExchange(const RecordExchange&) = delete;
  RecordExchange& operator=(const RecordExchange&) = delete;
  /// Who is woken when there is something to do. Before the first `step`.
  void set_wakeable(std::shared_ptr<Wakeable> wakeable);

  // Of tasks. Threads: any.
  /// Connects `channel`, whose other end is in the process of `peer`. Its `on_failure` is called in `step`.
  void add(TaskManagerId peer, RemoteChannel channel);
  /// The task with this end has ended; see `RecordConnection::release`.
  void release(TaskManagerId peer, const ChannelId& id, ChannelEnd end);

  // Of the transport. Threads: any.
  /// A connection with `peer` is open. Returns its number for the next two. One that was open before is lost.
  [[nodiscard]] std::uint64_t connected(TaskManagerId peer, std::unique_ptr<RecordLink> link);
  void received(std::uint64_t connection, std::string bytes);
  void lost(std::uint64_t connection, std::string why);
  void refused(TaskManagerId peer, std::string why);

  /// Does what there is to do. Returns whether something was done. Never blocks.
  bool step();
  /// Whether `step` has something to do at once.
  [[nodiscard]] bool has_work() const;
  /// When `step` wants to be called again, if nobody wakes it before.
  [[nodiscard]] std::optional<MonotonicTime> wake_time() const;
  /// Whether no channel has anything to send or to hand on, as far as this process knows.
  [[nodiscard]] bool rests();

 private:
  struct ReadyList;
  class Signal;
  /// Another process.
  struct Peer {
    std::uint64_t number = 0;  ///< of the connection; 0: there is none
    std::unique_ptr<RecordLink> link;
    std::optional<RecordConnection> connection;
    std::vector<RemoteChannel> waiting;  ///< for a connection
    MonotonicTime give_up_at;            ///< if `waiting` is not empty
    MonotonicTime connect_at;            ///< the same, if it is for this process to connect
    std::string refused;                 ///< why the last attempt failed
    bool has_more = false;               ///< to write
  };

  void post(std::function<void()> mail);
  void take_mails();
  void look_at_ready();
  void work_on(TaskManagerId id, Peer& peer, MonotonicTime now);
  void connect_if_due(TaskManagerId id, Peer& peer, MonotonicTime now);
  /// The connection with `peer` is over, because of `why`.
  void lose(TaskManagerId id, Peer& peer, const std::string& why, bool close);
  Peer* find(std::uint64_t connection, TaskManagerId& id);
  /// The connection with `peer`, as sentences name it.
  [[nodiscard]] std::string between(TaskManagerId peer) const;

  const TaskManagerId self_;
  RecordTransport& transport_;
  const Clock& clock_;
  const RecordConnectionSettings settings_;
  const std::function<void(const std::string&)> log_;
  const std::shared_ptr<ReadyList> ready_;
  std::map<TaskManagerId, Peer> peers_;
  std::atomic<std::uint64_t> connections_{0};
  mutable std::mutex mutex_;  // guards `mails_`
  std::vector<std::function<void()>> mails_;
};

}  // namespace weir
