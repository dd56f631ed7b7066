#include "network/private_directory.hpp"

#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace weir {
namespace {

constexpr mode_t private_mode = 0700;
constexpr mode_t others_write = S_IWGRP | S_IWOTH;

std::string reason(int number) { return std::generic_category().message(number); }

}  // namespace

Status check_private_directory(const std::string& path, std::uint32_t user) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0)
    return error(errno == ENOENT ? Errc::not_found : Errc::io_error, path + ": " + reason(errno));
  const auto refuse = [&](const std::string& why) {
    return error(Errc::unavailable, path + ": " + why);
  };
  if (!S_ISDIR(found.st_mode)) return refuse("this is no directory; remove it");
  if (found.st_uid != user)
    return refuse("this directory belongs to another user (id " + std::to_string(found.st_uid) +
                  ") and is not to be trusted; have it removed, or set XDG_RUNTIME_DIR or TMPDIR");
  if ((found.st_mode & others_write) != 0)
    return refuse("others may write to this directory; run `chmod 700 " + path + "`");
  return {};
}

Status make_private_directory(const std::string& path, std::uint32_t user) {
  if (::mkdir(path.c_str(), private_mode) != 0 && errno != EEXIST)
    return error(Errc::io_error, path + ": cannot make the directory: " + reason(errno));
  WEIR_TRY(check_private_directory(path, user));
  // Its content is private, so nobody else needs to see names either; and a umask may have taken ours.
  if (::chmod(path.c_str(), private_mode) != 0)
    return error(Errc::io_error, path + ": cannot set the mode to 0700: " + reason(errno));
  return {};
}

std::uint32_t current_user() { return ::geteuid(); }

}  // namespace weir
