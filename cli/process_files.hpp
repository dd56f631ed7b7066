#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/configuration.hpp"
#include "state/clock.hpp"
#include "state/file_system.hpp"

namespace weir {

/// The temporary directory of one process, mode 0700. It stays until `remove` is called; that of a process
/// which was killed goes when the same user makes the next one.
class TemporaryDirectory {
 public:
  /// Makes `<base>/weir-<uid>-<process id>-<random>`, and `base` if it is missing, and holds a lock on it.
  /// First removes those there that nobody holds. Errors: `io_error`.
  [[nodiscard]] static Result<TemporaryDirectory> make(FileSystem& files, const std::string& base,
                                                       Random& random);
  [[nodiscard]] const std::string& path() const { return path_; }
  /// A directory in it, made with mode 0700. Errors: `io_error`.
  [[nodiscard]] Result<std::string> make_inner(const std::string& name) const;
  /// Removes it with everything in it, as far as that goes.
  void remove() const;

 private:
  TemporaryDirectory(std::string path, std::unique_ptr<DirectoryLock> lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  std::unique_ptr<DirectoryLock> lock_;
};

/// The path of a new log file: in `env.log.dir`, else in `<base>/weir-<uid>-logs`, where it survives the
/// process's temporary directory. Makes the directory. Errors: `io_error`, `unavailable`.
[[nodiscard]] Result<std::string> new_log_path(FileSystem& files,
                                               const Configuration& configuration,
                                               const std::string& base, const std::string& job_name,
                                               WallTime now);

}  // namespace weir
