#include "cli/child_process.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "storage/posix_file_system.hpp"

namespace weir {
namespace {

/// Nothing that a command prints is longer.
constexpr std::uint64_t longest_output = 64 << 20;

int open_new(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string read_text(const std::string& path) {
  PosixFileSystem files;
  auto text = read_file(files, path, longest_output);
  return text ? std::move(*text) : std::string();
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const Start& start) {
  // Between fork and exec nothing may be allocated: other threads may hold the allocator's locks.
  const std::vector<char*> words = pointers(start.words);
  std::vector<std::string> variables;
  for (const auto& [name, value] : start.environment) variables.push_back(name + "=" + value);
  const std::vector<char*> environment = pointers(variables);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int output = open_new(start.output_path);
  const int errors = open_new(start.error_path);
  const pid_t parent = ::getpid();
  const pid_t process = input < 0 || output < 0 || errors < 0 ? -1 : ::fork();
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The parent may have ended before that.
    if (::getppid() == parent && ::dup2(input, 0) == 0 && ::dup2(output, 1) == 1 &&
        ::dup2(errors, 2) == 2 && ::chdir(start.directory.c_str()) == 0) {
      for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE})
        ::signal(signal, SIG_DFL);
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::execve(words[0], words.data(), environment.data());
    }
    ::_exit(127);
  }
  const int failure = errno;
  for (const int file : {input, output, errors})
    if (file >= 0) ::close(file);
  if (process < 0)
    return error(Errc::io_error, "cannot start " + start.words[0] + ": " +
                                     std::generic_category().message(failure));
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(process, start.output_path, start.error_path));
}

ChildProcess::~ChildProcess() { kill(); }

std::optional<int> ChildProcess::exit_code() {
  if (exit_code_) return exit_code_;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(process_, &status, WNOHANG)) < 0 && errno == EINTR) continue;
  if (ended == process_)
    exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return exit_code_;
}

void ChildProcess::send(int signal) {
  if (!exit_code()) ::kill(process_, signal);
}

void ChildProcess::kill() {
  if (exit_code()) return;
  ::kill(process_, SIGKILL);
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string ChildProcess::output() const { return read_text(output_path_); }
std::string ChildProcess::errors() const { return read_text(error_path_); }

}  // namespace weir
