#pragma once

#include <memory>
#include <string>
#include <variant>

#include "state/result.hpp"

namespace weir {

/// The way from a process in the background to the one that started it and still waits.
/// Threads: one.
class DetachedProcess {
 public:
  explicit DetachedProcess(int pipe) : pipe_(pipe) {}
  ~DetachedProcess();
  DetachedProcess(const DetachedProcess&) = delete;
  DetachedProcess& operator=(const DetachedProcess&) = delete;

  /// What the process prints goes to the file at `path` from here on; its errors too, once `release`
  /// was called. Errors: `io_error`.
  [[nodiscard]] Status redirect_output(const std::string& path);
  /// Lets the waiting process print `text` on stdout and exit with 0.
  void release(const std::string& text);

 private:
  int pipe_;
  int output_ = -1;
};

/// Goes on in the background. Returns an exit code in the process that was started by the user, once
/// the one in the background has released it or has ended; and the way to it in the background. To be
/// called before any thread exists. A signal to the waiting process reaches the other one.
/// Errors: `io_error`.
[[nodiscard]] Result<std::variant<int, std::unique_ptr<DetachedProcess>>> detach();

}  // namespace weir
