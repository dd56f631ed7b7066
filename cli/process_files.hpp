#pragma once

#include <cstdint>
#include <string>

#include "runtime/configuration.hpp"
#include "state/clock.hpp"
#include "state/file_system.hpp"

namespace weir {

/// The temporary directory of one process, mode 0700. It stays until `remove` is called, or for ever if
/// the process is killed.
class TemporaryDirectory {
 public:
  /// Makes `<base>/weir-<uid>-<process id>-<random>`, and `base` if it is missing. Errors: `io_error`.
  [[nodiscard]] static Result<TemporaryDirectory> make(FileSystem& files, const std::string& base,
                                                       Random& random);
  [[nodiscard]] const std::string& path() const { return path_; }
  /// A directory in it, made with mode 0700. Errors: `io_error`.
  [[nodiscard]] Result<std::string> make_inner(const std::string& name) const;
  /// Removes it with everything in it, as far as that goes.
  void remove() const;

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// The path of a new log file: in `env.log.dir`, else in `<base>/weir-<uid>-logs`, where it survives the
/// process's temporary directory. Makes the directory. Errors: `io_error`, `unavailable`.
[[nodiscard]] Result<std::string> new_log_path(FileSystem& files,
                                               const Configuration& configuration,
                                               const std::string& base, const std::string& job_name,
                                               WallTime now);

}  // namespace weir
