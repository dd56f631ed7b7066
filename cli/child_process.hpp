#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "state/result.hpp"

namespace weir {

/// A process that this one has started and that does not outlive it.
/// Threads: one, and it is the one that must not end before the child.
class ChildProcess {
 public:
  struct Start {
    std::vector<std::string> words;                  ///< the program's path first
    std::string directory;                           ///< to work in
    std::map<std::string, std::string> environment;  ///< all of it
    std::string output_path;                         ///< of a new file for its stdout
    std::string error_path;                          ///< and its stderr
  };
  /// Errors: `io_error`.
  [[nodiscard]] static Result<std::unique_ptr<ChildProcess>> start(const Start& start);
  /// Kills it, if it runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// The exit code as a shell shows it, once the process has ended.
  [[nodiscard]] std::optional<int> exit_code();
  /// Sends a signal, if it runs.
  void send(int signal);
  /// `kill -9`, and waits for its end.
  void kill();

  [[nodiscard]] pid_t id() const { return process_; }
  /// What it has printed so far. Empty if that cannot be read.
  [[nodiscard]] std::string output() const;
  [[nodiscard]] std::string errors() const;

 private:
  ChildProcess(pid_t process, std::string output_path, std::string error_path)
      : process_(process),
        output_path_(std::move(output_path)),
        error_path_(std::move(error_path)) {}

  const pid_t process_;
  const std::string output_path_;
  const std::string error_path_;
  std::optional<int> exit_code_;
};

}  // namespace weir
