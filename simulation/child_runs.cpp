#include "simulation/child_runs.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace weir {

namespace {

using Time = std::chrono::steady_clock;

/// Far more than a report with all its lines.
constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// One that runs.
struct Child {
  std::uint64_t number = 0;
  pid_t process = -1;
  int pipe = -1;  ///< what it returns comes here
  std::string bytes;
  Time::time_point begin;
  bool is_killed = false;
};

std::string reason_of(const std::string& what) {
  return what + ": " + std::generic_category().message(errno);
}

/// An exception ends the child: above this is code that the parent goes on with, not a copy of it.
[[noreturn]] void be_child(int pipe, pid_t parent, std::uint64_t number,
                           const std::function<std::string(std::uint64_t)>& work) noexcept {
  // Nobody would read the answer.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const std::string bytes = work(number);
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = ::write(pipe, bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ::_exit(1);
    at += static_cast<std::size_t>(written);
  }
  std::fflush(nullptr);
  ::_exit(0);
}

Result<Child> start(std::uint64_t number, const std::function<std::string(std::uint64_t)>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return error(Errc::io_error, reason_of("no pipe can be made"));
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return error(Errc::io_error, reason_of("no process can be started"));
  }
  if (process == 0) {
    ::close(ends[0]);
    be_child(ends[1], parent, number, work);
  }
  ::close(ends[1]);
  Child child;
  child.number = number;
  child.process = process;
  child.pipe = ends[0];
  child.begin = Time::now();
  return child;
}

/// Reads what has come. False if that was the rest.
bool read_some(Child& child) {
  char buffer[65536];
  const ssize_t read = ::read(child.pipe, buffer, sizeof buffer);
  if (read < 0) return errno == EINTR || errno == EAGAIN;
  if (read == 0 || child.bytes.size() > most_bytes) return false;
  child.bytes.append(buffer, static_cast<std::size_t>(read));
  return true;
}

ChildResult bury(Child& child, std::chrono::milliseconds longest) {
  ::close(child.pipe);
  int status = 0;
  while (::waitpid(child.process, &status, 0) < 0 && errno == EINTR) {
  }
  ChildResult result;
  result.number = child.number;
  if (child.is_killed)
    result.failure = "took more than " + std::to_string(longest.count() / 1000) +
                     " s of real time and was ended";
  else if (WIFSIGNALED(status))
    result.failure =
        "crashed its process (SIG" + std::string(::sigabbrev_np(WTERMSIG(status))) + ")";
  else if (WEXITSTATUS(status) != 0)
    result.failure = "ended its process with exit code " + std::to_string(WEXITSTATUS(status));
  else
    result.bytes = std::move(child.bytes);
  return result;
}

}  // namespace

Status ChildRuns::run(std::uint64_t first, std::uint64_t last,
                      const std::function<std::string(std::uint64_t)>& work,
                      const std::function<void(ChildResult)>& take) const {
  std::vector<Child> children;
  std::uint64_t next = first;
  bool is_over = false;
  const auto kill_all = [&] {
    for (Child& child : children) {
      ::kill(child.process, SIGKILL);
      (void)bury(child, longest);
    }
    children.clear();
  };
  while (!is_over || !children.empty()) {
    if (ended && ended()) {
      kill_all();
      return {};
    }
    while (!is_over && children.size() < at_a_time) {
      auto started = start(next, work);
      if (!started) {
        kill_all();
        return std::unexpected(started.error());
      }
      children.push_back(std::move(*started));
      is_over = next++ == last;
    }
    std::vector<pollfd> pipes;
    for (const Child& child : children) pipes.push_back({child.pipe, POLLIN, 0});
    (void)::poll(pipes.data(), pipes.size(), 200);
    for (std::size_t i = children.size(); i-- > 0;) {
      Child& child = children[i];
      if (!child.is_killed && Time::now() - child.begin > longest) {
        child.is_killed = true;
        ::kill(child.process, SIGKILL);
      }
      if (pipes[i].revents == 0 || read_some(child)) continue;
      take(bury(child, longest));
      children.erase(children.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return {};
}

}  // namespace weir
