#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "network/socket.hpp"
#include "state/result.hpp"

namespace weir {

/// How a `Gate` admits.
struct GateSettings {
  std::string path;             ///< of the socket, in a private directory
  std::uint32_t user = 0;       ///< who may connect, besides root
  int max_pending = 16;         ///< connections that wait to be accepted
  std::size_t max_peers = 256;  ///< connections open at a time; more are closed at once
  /// Who is at the other end; tests pretend.
  std::function<Result<std::uint32_t>(const Socket&)> peer_user = weir::peer_user;
};

/// The one place where a process accepts connections. CAF trusts its peers, so it never listens:
/// every connection is accepted and authenticated here, by the user id that the system vouches for,
/// and only then handed on.
/// Threads: one of its own, which calls `admit`; the functions one at a time.
class Gate {
 public:
  /// Takes over the connected socket of a peer that was let in. On the gate's thread; not to block.
  /// The gate keeps a second descriptor to see when the peer leaves, so that ending the connection from
  /// this side takes a `shutdown`; CAF does that.
  using Admit = std::function<void(Socket)>;

  /// Listens, and accepts from here on. Errors: as `listen_at`.
  [[nodiscard]] static Result<std::unique_ptr<Gate>> open(GateSettings settings, Admit admit);
  /// Closes what is open, but leaves the socket's file; `stop` removes it.
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Removes the socket's file, so that nobody new comes, and waits up to `patience` until those who
  /// are connected have left: they may not have read their last answer yet.
  void stop(std::chrono::milliseconds patience);

 private:
  Gate(GateSettings settings, Admit admit, Socket listener, Socket wake_in, Socket wake_out);
  void run();
  void accept_one();

  const GateSettings settings_;
  const Admit admit_;
  Socket listener_;
  Socket wake_in_;  ///< closed to end the thread
  Socket wake_out_;
  std::vector<Socket> peers_;  ///< second descriptors, to see who has left; of the thread alone

  std::mutex mutex_;  ///< guards the fields below
  std::condition_variable changed_;
  std::size_t open_peers_ = 0;
  bool closing_ = false;  ///< nobody is let in any more

  std::thread thread_;
};

}  // namespace weir
