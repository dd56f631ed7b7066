#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "state/result.hpp"

namespace weir {

/// An open socket, closed with its owner and on exec.
/// Threads: one at a time.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Gives the descriptor away: the caller closes it.
  [[nodiscard]] int release();
  /// A second descriptor of the same socket; not open if the system has none left.
  [[nodiscard]] Socket duplicate() const;
  void close();

 private:
  int descriptor_ = -1;
};

/// The longest path that a Unix-domain socket may have, in bytes.
[[nodiscard]] std::size_t max_socket_path_bytes();

/// Listens at `path`, a file that is made with mode 0600 and appears only when connections are
/// answered: one that refuses them belongs to a dead process. At most `backlog` wait to be accepted.
/// Errors: `invalid_argument` (path too long), `already_exists`, `io_error`.
[[nodiscard]] Result<Socket> listen_at(const std::string& path, int backlog);

/// Connects to the socket at `path`. Errors: `not_found`; `unavailable` if nobody listens there any
/// more; `timed_out`; `invalid_argument` (path too long); `io_error`.
[[nodiscard]] Result<Socket> connect_to(const std::string& path, std::chrono::milliseconds timeout);

/// The user id of the process at the other end, as the system vouches for it.
[[nodiscard]] Result<std::uint32_t> peer_user(const Socket& socket);

/// Whether the other end has been closed. Does not wait.
[[nodiscard]] bool is_hung_up(const Socket& socket);

}  // namespace weir
