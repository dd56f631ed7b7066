#include "connectors/input_splits.hpp"

#include <algorithm>

namespace weir {
namespace {

std::unexpected<Error> unreadable(const Error& cause) {
  return error(cause.code, "input cannot be read: " + cause.what +
                               "; make it readable, or give another file or directory");
}

/// Whether the file `path`, of which `entry` tells, can be cut into splits. What is no regular file seems to be empty.
Status check_file(FileSystem& files, const std::string& path, const DirectoryEntry& entry) {
  if (entry.size_bytes > 0) return {};
  const auto file = files.open(path);
  if (file) return {};
  if (file.error().code != Errc::unsupported) return unreadable(file.error());
  return error(Errc::unsupported, "input " + path +
                                      " is no regular file: give a file or a directory, or what "
                                      "comes through a pipe as standard input");
}

/// Appends the files below `directory`, which does not end in a slash.
Status append_files(FileSystem& files, const std::string& directory, std::size_t depth,
                    std::vector<std::string>& found) {
  if (depth > max_directory_depth) {
    return error(Errc::limit_exceeded, "input directory " + directory + " lies more than " +
                                           std::to_string(max_directory_depth) +
                                           " levels deep: look for a loop of symbolic links");
  }
  const auto entries = files.list(directory.empty() ? "/" : directory);
  if (!entries) return unreadable(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name.starts_with('.')) continue;
    std::string path = directory + "/" + entry.name;
    if (entry.is_directory) {
      WEIR_TRY(append_files(files, path, depth + 1, found));
    } else {
      WEIR_TRY(check_file(files, path, entry));
      found.push_back(std::move(path));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> input_files(FileSystem& files,
                                             const std::vector<std::string>& paths) {
  std::vector<std::string> found;
  for (const std::string& path : paths) {
    const auto entry = files.stat(path);
    if (!entry && entry.error().code == Errc::not_found)
      return error(Errc::not_found,
                   "input " + path + " does not exist: give a file or a directory");
    if (!entry) return unreadable(entry.error());
    if (!entry->is_directory) {
      WEIR_TRY(check_file(files, path, *entry));
      found.push_back(path);
      continue;
    }
    const std::size_t found_before = found.size();
    const std::string directory = path.substr(0, path.find_last_not_of('/') + 1);
    WEIR_TRY(append_files(files, directory, 1, found));
    if (found.size() == found_before)
      return error(Errc::not_found,
                   "input directory " + path + " has no files (hidden ones do not count)");
  }
  return found;
}

Result<std::vector<FileSplit>> input_splits(FileSystem& files,
                                            const std::vector<std::string>& paths,
                                            std::uint64_t split_bytes) {
  WEIR_ASSERT(split_bytes >= 1);
  WEIR_TRY_ASSIGN(const found, input_files(files, paths));
  std::vector<FileSplit> splits;
  for (const std::string& path : found) {
    const auto file = files.open(path);
    if (!file) return unreadable(file.error());
    const auto size = (*file)->size();
    if (!size) return unreadable(size.error());
    for (std::uint64_t begin = 0; begin < *size; begin += std::min(split_bytes, *size - begin))
      splits.push_back({path, begin, begin + std::min(split_bytes, *size - begin), begin});
  }
  return splits;
}

}  // namespace weir
