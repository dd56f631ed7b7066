#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

class StreamTask;

/// What the sentence of a crash says beside the operator.
struct CrashNotice {
  std::string subject;  ///< whose code runs, such as `job words (0123...)`
  std::string advice;   ///< what to do next, as the end of a sentence; empty: nothing is said
};

/// Makes a crash (SIGSEGV and the like) print one sentence before the process dies as it would have:
/// which operator was working on the thread that crashed, of which job, and what to do. An exception that
/// nobody catches is such a crash, and is told, too. Once per process.
void install_crash_reporter();

/// From here on, crashes are told with `notice`. Texts that are very long are cut.
/// Threads: one at a time. Another thread may crash meanwhile, which then tells the old notice or the new.
void set_crash_notice(const CrashNotice& notice);

/// While it lives, this thread runs code of the user. If that calls `exit` or `quick_exit`, the process
/// says so and ends with exit code 1, whatever code was asked for: the job has not ended, and what it has
/// not committed is lost. A thread has one at a time. Threads: made and destroyed on one; others have their
/// own.
class UserCode {
 public:
  /// `task` says which of its operators works, and outlives this.
  explicit UserCode(const StreamTask& task);
  /// On another thread than its task's, for the operator that sentences call `label`, which outlives this.
  UserCode(std::string_view label, std::uint32_t subtask);
  /// Code of the user outside of tasks, which the notice alone describes.
  UserCode();
  ~UserCode();
  UserCode(const UserCode&) = delete;
  UserCode& operator=(const UserCode&) = delete;
};

/// Whether this thread runs code of the user. Threads: any.
[[nodiscard]] bool runs_user_code();

}  // namespace weir
