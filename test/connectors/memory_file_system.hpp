#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "state/file_system.hpp"

namespace weir {

/// Files in memory, for tests that read: exact contents, exact errors. Directories are those that the
/// files lie in and those named in `empty_directories`. What writes answers `unsupported`.
class MemoryFileSystem : public FileSystem {
 public:
  std::map<std::string, std::string> files;    ///< by path
  std::vector<std::string> empty_directories;  ///< paths
  std::vector<std::string> unreadable;         ///< paths that answer `io_error`
  std::size_t reads = 0;                       ///< calls of `read_at`
  std::uint64_t read_bytes = 0;                ///< bytes that they returned

  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    if (refused(path)) return error(Errc::io_error, path + ": permission denied");
    const auto found = files.find(path);
    if (found == files.end()) return error(Errc::not_found, path + ": no such file");
    return std::make_unique<File>(*this, path);
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& directory) override {
    if (refused(directory)) return error(Errc::io_error, directory + ": permission denied");
    const std::string prefix = directory == "/" ? directory : directory + "/";
    std::map<std::string, DirectoryEntry> entries;
    const auto add = [&](const std::string& path, bool is_directory, std::uint64_t size) {
      if (!path.starts_with(prefix) || path == prefix) return;
      const std::string rest = path.substr(prefix.size());
      const std::size_t slash = rest.find('/');
      const std::string name = rest.substr(0, slash);
      const bool below = slash != std::string::npos;
      entries[name] = {name, below || is_directory, below ? 0 : size};
    };
    for (const auto& path : empty_directories) add(path, true, 0);
    for (const auto& [path, content] : files) add(path, false, content.size());
    std::vector<DirectoryEntry> result;
    for (const auto& [name, entry] : entries) result.push_back(entry);
    return result;
  }
  Result<DirectoryEntry> stat(const std::string& path) override {
    if (refused(path)) return error(Errc::io_error, path + ": permission denied");
    const std::string name = path.substr(path.find_last_of('/') + 1);
    const auto found = files.find(path);
    if (found != files.end()) return DirectoryEntry{name, false, found->second.size()};
    const std::string prefix = path.ends_with('/') ? path : path + "/";
    const auto lies_in = [&](const std::string& other) {
      return (other + "/").starts_with(prefix);
    };
    if (std::ranges::any_of(empty_directories, lies_in) ||
        std::ranges::any_of(files, [&](const auto& file) { return lies_in(file.first); }))
      return DirectoryEntry{name, true, 0};
    return error(Errc::not_found, path + ": no such file or directory");
  }

  Result<std::unique_ptr<OutputFile>> create(const std::string&) override { return refuse(); }
  Status rename_no_replace(const std::string&, const std::string&) override { return refuse(); }
  Status sync_directory(const std::string&) override { return refuse(); }
  Status make_directory(const std::string&) override { return refuse(); }
  Status remove(const std::string&) override { return refuse(); }
  Status link(const std::string&, const std::string&) override { return refuse(); }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string&) override {
    return refuse();
  }

 private:
  class File : public InputFile {
   public:
    File(MemoryFileSystem& owner, std::string path) : owner_(owner), path_(std::move(path)) {}
    Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
      if (owner_.refused(path_))
        return error(Errc::io_error, path_ + ": cannot read at byte " + std::to_string(offset));
      const std::string& content = owner_.files.at(path_);
      const std::size_t count =
          offset >= content.size() ? 0 : std::min(size, content.size() - offset);
      if (count > 0) std::memcpy(out, content.data() + offset, count);
      ++owner_.reads;
      owner_.read_bytes += count;
      return count;
    }
    Result<std::uint64_t> size() override { return owner_.files.at(path_).size(); }

   private:
    MemoryFileSystem& owner_;
    std::string path_;
  };

  [[nodiscard]] bool refused(const std::string& path) const {
    return std::ranges::find(unreadable, path) != unreadable.end();
  }
  static std::unexpected<Error> refuse() {
    return error(Errc::unsupported, "this file system is read-only");
  }
};

}  // namespace weir
