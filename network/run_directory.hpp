#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/socket.hpp"
#include "state/clock.hpp"
#include "state/result.hpp"

namespace weir {

/// Where the sockets of a user's processes lie, so that commands find them: `$XDG_RUNTIME_DIR/weir`,
/// else `weir-<uid>` in the temporary directory.
/// Threads: none of its own; a value.
struct RunDirectory {
  std::optional<std::string> runtime_directory;  ///< `$XDG_RUNTIME_DIR`
  std::string temporary_directory;               ///< `$TMPDIR`, else `/tmp`
  std::uint32_t user = 0;

  /// Makes the directory if it is missing and returns its path. `$XDG_RUNTIME_DIR` counts if it is an
  /// absolute path of a directory that belongs to `user`.
  /// Errors: `unavailable` if another user owns the directory or may write to it; `io_error`.
  [[nodiscard]] Result<std::string> make() const;
  /// Sockets in both places, by path; a process may have been started without `$XDG_RUNTIME_DIR`.
  /// Errors: `unavailable` as above; `io_error`. A missing directory holds none.
  [[nodiscard]] Result<std::vector<std::string>> sockets() const;

 private:
  [[nodiscard]] std::vector<std::string> candidates() const;
};

/// The run directory of this process, from its environment and user.
[[nodiscard]] RunDirectory run_directory_of_process();

/// `<directory>/<process id>-<random>.sock`
[[nodiscard]] std::string new_socket_path(const std::string& directory, std::int64_t process_id,
                                          Random& random);

/// Connects to a socket of `RunDirectory::sockets`; none if its process is dead, and the file is
/// removed then. Errors: as `connect_to`.
[[nodiscard]] Result<std::optional<Socket>> connect_or_drop(const std::string& path,
                                                            std::chrono::milliseconds timeout);

}  // namespace weir
