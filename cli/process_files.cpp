#include "cli/process_files.hpp"

#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <boost/filesystem.hpp>

#include "network/private_directory.hpp"

namespace weir {
namespace {

namespace fs = boost::filesystem;

/// `name` with nothing in it that a file's name should not have.
std::string file_name_of(const std::string& name) {
  std::string result;
  for (const char c : name.substr(0, 64))
    result += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ? c : '_';
  return result;
}

/// The id of the process in `name`, if it is one of a temporary directory that begins with `prefix`.
std::optional<::pid_t> process_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  ::pid_t process = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), process);
  if (failure != std::errc() || process <= 0 || end == name.data() + name.size() || *end != '-')
    return std::nullopt;
  return process;
}

bool is_running(::pid_t process) { return ::kill(process, 0) == 0 || errno != ESRCH; }

/// Removes what processes that were killed have left in `base`. The lock tells those of another process
/// namespace apart; the process id, one that is just being made. What cannot be removed stays.
void remove_left_directories(FileSystem& files, const std::string& base,
                             const std::string& prefix) {
  const auto entries = files.list(base);
  if (!entries) return;
  for (const DirectoryEntry& entry : *entries) {
    const auto process = process_of(entry.name, prefix);
    if (!entry.is_directory || entry.is_symlink || !process || is_running(*process)) continue;
    const std::string path = base + "/" + entry.name;
    const auto lock = files.lock_directory(path);
    boost::system::error_code ignored;
    if (lock) fs::remove_all(path, ignored);
  }
}

}  // namespace

Result<TemporaryDirectory> TemporaryDirectory::make(FileSystem& files, const std::string& base,
                                                    Random& random) {
  WEIR_TRY(files.create_directories(base));
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random.next()));
  const std::uint32_t user = current_user();
  const std::string prefix = "weir-" + std::to_string(user) + "-";
  remove_left_directories(files, base, prefix);
  std::string path = base + "/" + prefix + std::to_string(::getpid()) + "-" + digits;
  WEIR_TRY(make_private_directory(path, user));
  WEIR_TRY_ASSIGN(lock, files.lock_directory(path));
  return TemporaryDirectory(std::move(path), std::move(lock));
}

Result<std::string> TemporaryDirectory::make_inner(const std::string& name) const {
  std::string path = path_ + "/" + name;
  WEIR_TRY(make_private_directory(path, current_user()));
  return path;
}

void TemporaryDirectory::remove() const {
  boost::system::error_code ignored;
  fs::remove_all(path_, ignored);
}

Result<std::string> new_log_path(FileSystem& files, const Configuration& configuration,
                                 const std::string& base, const std::string& job_name,
                                 WallTime now) {
  std::string directory = configuration.directories().logs;
  if (directory.empty()) {
    directory = base + "/weir-" + std::to_string(current_user()) + "-logs";
    WEIR_TRY(make_private_directory(directory, current_user()));
  } else {
    WEIR_TRY(files.create_directories(directory));
  }
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char date[32];
  std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", &local);
  return directory + "/" + date + "-" + file_name_of(job_name) + "-" + std::to_string(::getpid()) +
         ".log";
}

}  // namespace weir
