#include "runtime/crash_reporter.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string_view>
#include <system_error>
#include <unistd.h>

#include "runtime/stream_task.hpp"

namespace weir {
namespace {

constexpr std::size_t subject_bytes = 1024;
constexpr std::size_t advice_bytes = 4096;
constexpr std::size_t sentence_bytes = 8192;

/// A text that a signal handler may read: it is never allocated anew.
template <std::size_t Bytes>
struct FixedText {
  void set(std::string_view text) {
    length = std::min(text.size(), Bytes);
    std::copy_n(text.data(), length, bytes.data());
  }
  [[nodiscard]] std::string_view view() const { return {bytes.data(), length}; }
  std::array<char, Bytes> bytes{};
  std::size_t length = 0;
};

struct FixedNotice {
  FixedText<subject_bytes> subject;
  FixedText<advice_bytes> advice;
};

// A signal handler reaches nothing but what is global. One notice is read while the other is written.
std::array<FixedNotice, 2> notices;
std::atomic<std::size_t> current_notice{0};

/// Of an exception that ends the process.
thread_local bool is_out_of_memory = false;
thread_local FixedText<subject_bytes> uncaught;

/// What this thread runs: a task, an operator apart from its task, or neither.
thread_local const StreamTask* task_of_thread = nullptr;
thread_local std::string_view label_of_thread;
thread_local std::uint32_t subtask_of_thread = 0;
thread_local bool in_user_code = false;

/// One sentence, put together without allocating.
class Sentence {
 public:
  void add(std::string_view text) { length_ += text.copy(bytes_ + length_, room()); }
  void add_number(std::uint32_t number) {
    char digits[10];
    std::size_t first = sizeof digits;
    do digits[--first] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    add({digits + first, sizeof digits - first});
  }
  /// `weir: operator 'sums', subtask 3 of job words (0123...)`, as far as it is known.
  void begin() {
    const std::string_view subject = notices[current_notice].subject.view();
    const std::string_view label =
        task_of_thread != nullptr ? task_of_thread->current_operator() : label_of_thread;
    add("weir: ");
    if (!label.empty()) {
      add(label);
      add(", subtask ");
      add_number(subtask_of_thread);
      if (!subject.empty()) add(" of ");
    }
    add(subject.empty() && label.empty() ? "code of the job" : subject);
  }
  void end() {
    const std::string_view advice = notices[current_notice].advice.view();
    if (!advice.empty()) add("; ");
    add(advice);
    bytes_[length_++] = '\n';
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, bytes_, length_);
  }

 private:
  [[nodiscard]] std::size_t room() const { return sizeof bytes_ - 1 - length_; }
  char bytes_[sentence_bytes];
  std::size_t length_ = 0;
};

std::string_view name_of(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGILL:
      return "SIGILL";
    default:
      return "SIGABRT";
  }
}

/// An exception that nobody has caught ends the process by SIGABRT; `report_crash` then says which.
[[noreturn]] void end_by_exception() {
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    is_out_of_memory = true;
  } catch (const std::system_error& failed) {
    // Of a thread that could not be started.
    is_out_of_memory = failed.code() == std::errc::resource_unavailable_try_again ||
                       failed.code() == std::errc::not_enough_memory;
    uncaught.set(failed.what());
  } catch (const std::exception& failed) {
    uncaught.set(failed.what());
  } catch (...) {
    uncaught.set("a value that is no std::exception");
  }
  std::abort();
}

void report_crash(int signal) {
  Sentence sentence;
  sentence.begin();
  if (is_out_of_memory) {
    sentence.add(
        ": the process has no memory left, or may start no more threads, and ends: raise the limit "
        "(ulimit -v or -u, or that of the control group), or lower the parallelism");
  } else {
    sentence.add(" crashed the process (");
    sentence.add(name_of(signal));
    sentence.add(")");
    if (!uncaught.view().empty()) {
      sentence.add(" by an exception that nobody has caught: ");
      sentence.add(uncaught.view());
    }
  }
  sentence.end();
  // The signal now ends the process as if the handler had never been there, also where that of a sanitizer stands
  // in front of it.
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

/// Called by `exit` on the thread that called it. Nothing of Weir's calls it but the end of `main`.
void report_exit() {
  if (!in_user_code && ::gettid() == ::getpid()) return;
  Sentence sentence;
  sentence.begin();
  sentence.add(" called exit, which ends the process before the job; throw an exception instead");
  sentence.end();
  std::_Exit(EXIT_FAILURE);
}

/// Handlers run in the opposite order: ours is to come before the destructors of a library's statics,
/// which other threads still use, and so is registered when the library is loaded.
void catch_exit() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::atexit(report_exit);
    std::at_quick_exit(report_exit);
  });
}

}  // namespace

void install_crash_reporter() {
  std::set_terminate(end_by_exception);
  struct sigaction action{};
  action.sa_handler = report_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK | SA_NODEFER);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    ::sigaction(signal, &action, nullptr);
}

void set_crash_notice(const CrashNotice& notice) {
  const std::size_t next = 1 - current_notice;
  notices[next].subject.set(notice.subject);
  notices[next].advice.set(notice.advice);
  current_notice = next;
}

UserCode::UserCode(const StreamTask& task) : UserCode() {
  task_of_thread = &task;
  subtask_of_thread = task.environment().execution.subtask;
}

UserCode::UserCode(std::string_view label, std::uint32_t subtask) : UserCode() {
  label_of_thread = label;
  subtask_of_thread = subtask;
}

UserCode::UserCode() {
  WEIR_ASSERT(!in_user_code);
  catch_exit();
  in_user_code = true;
}

UserCode::~UserCode() {
  in_user_code = false;
  task_of_thread = nullptr;
  label_of_thread = {};
}

bool runs_user_code() { return in_user_code; }

}  // namespace weir
