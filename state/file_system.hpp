#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "state/result.hpp"

namespace weir {

/// A file being written from its beginning to its end.
/// Threads: one at a time. The destructor closes the descriptor and deletes nothing.
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  /// Appends `bytes`. Errors: `io_error` with the path; afterwards the file's content is undefined.
  [[nodiscard]] virtual Status append(std::string_view bytes) = 0;
  /// Returns when everything appended is on stable storage. After an error the file must be given up:
  /// the operating system may have dropped the pages, and a second call could lie.
  [[nodiscard]] virtual Status sync() = 0;
  [[nodiscard]] virtual Status close() = 0;
};

/// A file open for reading.
/// Threads: any, concurrently.
class InputFile {
 public:
  virtual ~InputFile() = default;
  /// Reads up to `size` bytes at byte `offset` into `out` and returns how many; fewer only at the end
  /// of the file. Errors: `io_error` with path and offset.
  [[nodiscard]] virtual Result<std::size_t> read_at(std::uint64_t offset, char* out,
                                                    std::size_t size) = 0;
  /// The size in bytes now.
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
};

/// Holds a directory against every other process until it is destroyed or the process ends.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

/// One name in a directory.
struct DirectoryEntry {
  std::string name;  ///< without the directory
  bool is_directory = false;
  std::uint64_t size_bytes = 0;  ///< 0 for directories
  bool is_symlink = false;       ///< the rest then describes its target
  bool operator==(const DirectoryEntry&) const = default;
};

/// The files and directories that a process sees. Everything above `storage/` reaches files through
/// this interface, so that simulation can lose, tear and refuse what it pleases.
/// Paths are absolute, '/'-separated. Errors name the path.
/// Threads: any, concurrently. May block; actors never call it.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Creates `path` for writing. Errors: `already_exists`, `not_found` (no directory), `io_error`.
  [[nodiscard]] virtual Result<std::unique_ptr<OutputFile>> create(const std::string& path) = 0;
  /// Opens `path` for reading. Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Result<std::unique_ptr<InputFile>> open(const std::string& path) = 0;
  /// Gives `from` the name `to` unless `to` exists; never replaces. Errors: `already_exists`, `not_found`.
  [[nodiscard]] virtual Status rename_no_replace(const std::string& from,
                                                 const std::string& to) = 0;
  /// Returns when names created, renamed and removed in `directory` are on stable storage. Errors: `not_found`,
  /// `io_error`; `unsupported` if this kind of file system cannot promise that.
  [[nodiscard]] virtual Status sync_directory(const std::string& directory) = 0;
  /// Makes the directory `path`, which may be gone after a crash until its parent is synced. Errors:
  /// `already_exists`, `not_found` (no parent), `io_error`.
  [[nodiscard]] virtual Status make_directory(const std::string& path) = 0;
  /// Creates `path` and its missing parents, durably. Existing directories are success; the innermost
  /// one is made durable as well, because whoever made it may have been killed before that. Errors:
  /// `invalid_argument` (not absolute), `io_error`.
  [[nodiscard]] Status create_directories(const std::string& path);
  /// The names in `directory`, sorted. Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Result<std::vector<DirectoryEntry>> list(const std::string& directory) = 0;
  /// What `path` is; follows symbolic links. Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Result<DirectoryEntry> stat(const std::string& path) = 0;
  /// Removes a file or an empty directory; a symbolic link itself, never its target.
  /// Errors: `not_found`, `io_error`.
  [[nodiscard]] virtual Status remove(const std::string& path) = 0;
  /// Hard-links `to` to the file `from`. Errors: `already_exists`, `io_error`.
  [[nodiscard]] virtual Status link(const std::string& from, const std::string& to) = 0;
  /// Takes the exclusive lock of `directory` (a file `.lock` in it). Errors: `unavailable` if another
  /// process or another holder in this process has it; `unsupported` if the file system gives no locks; `not_found`,
  /// `io_error`.
  [[nodiscard]] virtual Result<std::unique_ptr<DirectoryLock>> lock_directory(
      const std::string& directory) = 0;
  /// A text that is the same for all paths that lead to the directory `path`, and another for every other
  /// directory, as long as it is there. The path itself where directories have one path each. Errors: `not_found`,
  /// `io_error`.
  [[nodiscard]] virtual Result<std::string> identify_directory(const std::string& path);
};

/// Reads all of `file`, called `path` in errors, which must be no longer than `limit_bytes`.
/// Errors: also `limit_exceeded`.
[[nodiscard]] Result<std::string> read_whole(InputFile& file, const std::string& path,
                                             std::uint64_t limit_bytes);
/// Opens `path` and reads all of it, as `read_whole`.
[[nodiscard]] Result<std::string> read_file(FileSystem& files, const std::string& path,
                                            std::uint64_t limit_bytes);

}  // namespace weir
