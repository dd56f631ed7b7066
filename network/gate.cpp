#include "network/gate.hpp"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

/// A system without descriptors would otherwise keep the thread busy with a connection that it cannot
/// accept.
constexpr int retry_ms = 100;

}  // namespace

Result<std::unique_ptr<Gate>> Gate::open(GateSettings settings, Admit admit) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return error(Errc::io_error, "cannot make a socket: " + std::generic_category().message(errno));
  Socket wake_in(pair[0]);
  Socket wake_out(pair[1]);
  WEIR_TRY_ASSIGN(listener, listen_at(settings.path, settings.max_pending));
  std::unique_ptr<Gate> gate(new Gate(std::move(settings), std::move(admit), std::move(listener),
                                      std::move(wake_in), std::move(wake_out)));
  gate->thread_ = std::thread([raw = gate.get()] { raw->run(); });
  return gate;
}

Gate::Gate(GateSettings settings, Admit admit, Socket listener, Socket wake_in, Socket wake_out)
    : settings_(std::move(settings)),
      admit_(std::move(admit)),
      listener_(std::move(listener)),
      wake_in_(std::move(wake_in)),
      wake_out_(std::move(wake_out)) {}

Gate::~Gate() {
  wake_in_.close();
  if (thread_.joinable()) thread_.join();
}

void Gate::stop(std::chrono::milliseconds patience) {
  ::unlink(settings_.path.c_str());
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.wait_for(lock, patience, [this] { return open_peers_ == 0; });
}

void Gate::run() {
  for (;;) {
    std::vector<pollfd> polled{{wake_out_.descriptor(), 0, 0}, {listener_.descriptor(), POLLIN, 0}};
    for (const Socket& peer : peers_) polled.push_back({peer.descriptor(), 0, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0) continue;  // a signal
    if (polled[0].revents != 0) return;
    for (std::size_t i = peers_.size(); i-- > 0;) {
      if (polled[i + 2].revents == 0) continue;
      std::swap(peers_[i], peers_.back());
      peers_.pop_back();
    }
    if (polled[1].revents != 0) accept_one();
    const std::scoped_lock lock(mutex_);
    open_peers_ = peers_.size();
    if (open_peers_ == 0) changed_.notify_all();
  }
}

void Gate::accept_one() {
  Socket socket(::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.is_open()) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
      ::poll(nullptr, 0, retry_ms);
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (closing_) return;
  }
  const auto user = settings_.peer_user(socket);
  if (!user || (*user != settings_.user && *user != 0)) return;
  if (peers_.size() >= settings_.max_peers) return;
  Socket watched = socket.duplicate();
  if (!watched.is_open()) return;
  peers_.push_back(std::move(watched));
  {
    // Before anybody knows of the peer: who then stops the gate waits for it.
    const std::scoped_lock lock(mutex_);
    open_peers_ = peers_.size();
  }
  admit_(std::move(socket));
}

}  // namespace weir
