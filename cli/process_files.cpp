#include "cli/process_files.hpp"

#include <cctype>
#include <cstdio>
#include <ctime>
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

}  // namespace

Result<TemporaryDirectory> TemporaryDirectory::make(FileSystem& files, const std::string& base,
                                                    Random& random) {
  WEIR_TRY(files.create_directories(base));
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(random.next()));
  const std::uint32_t user = current_user();
  std::string path =
      base + "/weir-" + std::to_string(user) + "-" + std::to_string(::getpid()) + "-" + digits;
  WEIR_TRY(make_private_directory(path, user));
  return TemporaryDirectory(std::move(path));
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
