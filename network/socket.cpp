#include "network/socket.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

std::string reason(int number) { return std::generic_category().message(number); }

Result<sockaddr_un> address_of(const std::string& path) {
  if (path.size() > max_socket_path_bytes())
    return error(Errc::invalid_argument,
                 path + ": too long for a Unix-domain socket, which takes " +
                     std::to_string(max_socket_path_bytes()) +
                     " bytes; set XDG_RUNTIME_DIR or TMPDIR to a directory with a shorter name");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<Socket> new_socket() {
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return error(Errc::io_error, "cannot make a socket: " + reason(errno));
  return socket;
}

/// Ends a `connect` that waits because the other side does not accept; 0: never.
void set_connect_timeout(const Socket& socket, std::chrono::milliseconds timeout) {
  timeval limit{};
  limit.tv_sec = timeout.count() / 1000;
  limit.tv_usec = timeout.count() % 1000 * 1000;
  ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/// `<directory>/.<name>`: where the socket lies until it answers.
std::string hidden_name(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return path.substr(0, slash + 1) + "." + path.substr(slash + 1);
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

int Socket::release() { return std::exchange(descriptor_, -1); }

Socket Socket::duplicate() const { return Socket(::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0)); }

void Socket::close() {
  if (is_open()) ::close(release());
}

std::size_t max_socket_path_bytes() { return sizeof(sockaddr_un::sun_path) - 1; }

Result<Socket> listen_at(const std::string& path, int backlog) {
  const std::string hidden = hidden_name(path);
  WEIR_TRY_ASSIGN(address, address_of(hidden));
  WEIR_TRY_ASSIGN(socket, new_socket());
  const auto failed = [&](const std::string& what) {
    return error(Errc::io_error, path + ": cannot " + what + ": " + reason(errno));
  };
  if (::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("make the socket");
  Status status;
  if (::chmod(hidden.c_str(), 0600) != 0)
    status = failed("set the mode of the socket");
  else if (::listen(socket.descriptor(), backlog) != 0)
    status = failed("listen");
  else if (::renameat2(AT_FDCWD, hidden.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0)
    status = errno == EEXIST ? error(Errc::already_exists, path + ": there is such a file already")
                             : failed("name the socket");
  if (!status) {
    ::unlink(hidden.c_str());
    return std::unexpected(std::move(status.error()));
  }
  return socket;
}

Result<Socket> connect_to(const std::string& path, std::chrono::milliseconds timeout) {
  WEIR_TRY_ASSIGN(address, address_of(path));
  WEIR_TRY_ASSIGN(socket, new_socket());
  set_connect_timeout(socket, timeout);
  const auto* target = reinterpret_cast<const sockaddr*>(&address);
  while (::connect(socket.descriptor(), target, sizeof address) != 0) {
    if (errno == EINTR) continue;
    switch (errno) {
      case ENOENT:
        return error(Errc::not_found, path + ": there is no such socket");
      case ECONNREFUSED:
        return error(Errc::unavailable, path + ": nobody listens there any more");
      case EAGAIN:
        return error(Errc::timed_out, path + ": the process does not answer; it may be stopped");
      default:
        return error(Errc::io_error, path + ": cannot connect: " + reason(errno));
    }
  }
  set_connect_timeout(socket, std::chrono::milliseconds(0));
  return socket;
}

Result<std::uint32_t> peer_user(const Socket& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.descriptor(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return error(Errc::io_error, "cannot tell who is at the other end: " + reason(errno));
  return credentials.uid;
}

bool is_hung_up(const Socket& socket) {
  pollfd polled{socket.descriptor(), POLLRDHUP, 0};
  return ::poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

}  // namespace weir
