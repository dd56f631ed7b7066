#include "network/run_directory.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <utility>

#include <boost/filesystem.hpp>

#include "network/private_directory.hpp"

namespace weir {
namespace {

namespace fs = boost::filesystem;

constexpr std::string_view socket_suffix = ".sock";

/// What `$name` says; none if it is not set or empty.
std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

/// Appends the sockets in `directory`, which may be missing.
Status list_sockets(const std::string& directory, std::uint32_t user,
                    std::vector<std::string>& paths) {
  const Status trusted = check_private_directory(directory, user);
  if (!trusted && trusted.error().code == Errc::not_found) return {};
  WEIR_TRY(trusted);
  boost::system::error_code failed;
  for (fs::directory_iterator entry(directory, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with('.') || !name.ends_with(socket_suffix)) continue;
    paths.push_back(entry->path().string());
  }
  if (failed) return error(Errc::io_error, directory + ": cannot list it: " + failed.message());
  return {};
}

}  // namespace

std::vector<std::string> RunDirectory::candidates() const {
  std::vector<std::string> found;
  if (runtime_directory && runtime_directory->starts_with('/') &&
      check_private_directory(*runtime_directory, user))
    found.push_back(*runtime_directory + "/weir");
  found.push_back(temporary_directory + "/weir-" + std::to_string(user));
  return found;
}

Result<std::string> RunDirectory::make() const {
  std::string path = candidates().front();
  WEIR_TRY(make_private_directory(path, user));
  return path;
}

Result<std::vector<std::string>> RunDirectory::sockets() const {
  std::vector<std::string> paths;
  for (const std::string& directory : candidates()) WEIR_TRY(list_sockets(directory, user, paths));
  std::ranges::sort(paths);
  return paths;
}

RunDirectory run_directory_of_process() {
  return {environment("XDG_RUNTIME_DIR"), environment("TMPDIR").value_or("/tmp"), current_user()};
}

std::string new_socket_path(const std::string& directory, std::int64_t process_id, Random& random) {
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(random.next()));
  return directory + "/" + std::to_string(process_id) + "-" + digits + std::string(socket_suffix);
}

Result<std::optional<Socket>> connect_or_drop(const std::string& path,
                                              std::chrono::milliseconds timeout) {
  auto socket = connect_to(path, timeout);
  if (socket) return std::optional<Socket>(std::move(*socket));
  // A socket appears under its name only when it answers, so one that refuses has lost its process.
  if (socket.error().code == Errc::unavailable)
    ::unlink(path.c_str());
  else if (socket.error().code != Errc::not_found)
    return std::unexpected(socket.error());
  return std::optional<Socket>();
}

}  // namespace weir
