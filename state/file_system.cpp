#include "state/file_system.hpp"

namespace weir {
namespace {

/// Of an absolute path other than the root.
std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Status FileSystem::create_directories(const std::string& path) {
  if (!path.starts_with('/'))
    return error(Errc::invalid_argument, path + ": is not an absolute path");
  std::string place = path.substr(0, path.find_last_not_of('/') + 1);
  if (place.empty()) return {};      // the root
  std::vector<std::string> missing;  // innermost first
  for (;;) {
    const auto about = stat(place);
    if (about && !about->is_directory)
      return error(Errc::io_error, path + ": cannot create the directory: a file is in the way");
    if (about) break;
    if (about.error().code != Errc::not_found) return std::unexpected(about.error());
    missing.push_back(place);
    place = parent_of(place);
  }
  // Each name is made durable before the next one is made, so the innermost existing one is the only
  // one that may not be. If we may not even read its parent, somebody else has made it.
  if (place != "/") {
    const std::string parent = parent_of(place);
    if (const Status synced = sync_directory(parent); !synced && list(parent)) return synced;
  }
  for (; !missing.empty(); missing.pop_back()) {
    // Another thread or process may be making it as well.
    const Status made = make_directory(missing.back());
    if (!made && made.error().code != Errc::already_exists) return made;
    WEIR_TRY(sync_directory(parent_of(missing.back())));
  }
  return {};
}

Result<std::string> FileSystem::identify_directory(const std::string& path) { return path; }

Result<std::string> read_whole(InputFile& file, const std::string& path,
                               std::uint64_t limit_bytes) {
  WEIR_TRY_ASSIGN(size, file.size());
  if (size > limit_bytes) {
    return error(Errc::limit_exceeded, path + ": is " + std::to_string(size) +
                                           " bytes long; at most " + std::to_string(limit_bytes) +
                                           " are read");
  }
  std::string bytes(size, '\0');
  WEIR_TRY_ASSIGN(got, file.read_at(0, bytes.data(), bytes.size()));
  bytes.resize(got);  // it may have become shorter meanwhile
  return bytes;
}

Result<std::string> read_file(FileSystem& files, const std::string& path,
                              std::uint64_t limit_bytes) {
  WEIR_TRY_ASSIGN(file, files.open(path));
  return read_whole(*file, path, limit_bytes);
}

}  // namespace weir
