#include "cli/detach.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace weir {
namespace {

/// The process in the background, for the signal handler alone.
volatile pid_t background = 0;

void pass_on(int signal) { ::kill(background, signal); }

std::unexpected<Error> failure(const std::string& what) {
  return error(Errc::io_error, "cannot " + what + ": " + std::generic_category().message(errno));
}

/// Everything that is written into `pipe`; returns when it is closed on the other side.
std::string read_all(int pipe) {
  std::string text;
  char buffer[512];
  for (;;) {
    const auto count = ::read(pipe, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

/// In the process that the user started.
int wait_for_release(int pipe) {
  struct sigaction action{};
  action.sa_handler = pass_on;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  const std::string text = read_all(pipe);
  if (!text.empty()) {
    std::fputs(text.c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
  int status = 0;
  while (::waitpid(background, &status, 0) < 0 && errno == EINTR) continue;
  // As a shell tells a death by a signal.
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Result<std::variant<int, std::unique_ptr<DetachedProcess>>> detach() {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return failure("make a pipe");
  std::fflush(nullptr);
  const pid_t process = ::fork();
  if (process < 0) return failure("start a process");
  if (process > 0) {
    ::close(pipe[1]);
    background = process;
    return wait_for_release(pipe[0]);
  }
  ::close(pipe[0]);
  ::setsid();
  if (::isatty(STDIN_FILENO) != 0) {
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  }
  return std::make_unique<DetachedProcess>(pipe[1]);
}

DetachedProcess::~DetachedProcess() {
  if (pipe_ >= 0) ::close(pipe_);
  if (output_ >= 0) ::close(output_);
}

Status DetachedProcess::redirect_output(const std::string& path) {
  output_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (output_ < 0 || ::dup2(output_, STDOUT_FILENO) < 0)
    return failure("write the output to " + path);
  return {};
}

void DetachedProcess::release(const std::string& text) {
  if (pipe_ < 0) return;
  for (std::size_t done = 0; done < text.size();) {
    const auto count = ::write(pipe_, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) break;  // nobody waits any more
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  // Whoever waits for the end of our stderr, such as a shell's $(...), waits no longer.
  std::fflush(nullptr);
  if (output_ >= 0) ::dup2(output_, STDERR_FILENO);
  ::close(std::exchange(pipe_, -1));
}

}  // namespace weir
