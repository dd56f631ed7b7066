#include "cli/signals.hpp"

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace weir {
namespace {

// A signal handler reaches nothing but what is global.
std::atomic<bool> requested{false};
int wake_pipe[2] = {-1, -1};
std::atomic<pid_t> companions{0};

void on_signal(int) {
  if (requested.exchange(true)) ::_exit(interrupted_exit_code);
  const char byte = 0;
  [[maybe_unused]] const auto written = ::write(wake_pipe[1], &byte, 1);
}

void end_at_once(int) {
  if (const pid_t group = companions; group > 0) ::kill(-group, SIGTERM);
  ::_exit(interrupted_exit_code);
}

void handle_end_signals(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

void catch_end_signals() {
  if (wake_pipe[0] < 0 && ::pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;
  handle_end_signals(on_signal);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

void end_on_signals() {
  handle_end_signals(end_at_once);
  // A hangup reaches the group in the foreground alone, and is to be survived under `nohup`.
  struct sigaction before{};
  ::sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) ::signal(SIGHUP, end_at_once);
}

void set_companions(pid_t group) { companions = group; }

bool end_requested() { return requested.load(); }

bool wait_for_end_request(std::chrono::milliseconds time) {
  pollfd polled{wake_pipe[0], POLLIN, 0};
  ::poll(&polled, 1, static_cast<int>(time.count()));
  // Only the first wait is cut short; who goes on waiting for the end has its full time.
  char byte = 0;
  [[maybe_unused]] const auto taken = ::read(wake_pipe[0], &byte, 1);
  return end_requested();
}

}  // namespace weir
