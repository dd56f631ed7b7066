#pragma once

#include <chrono>
#include <sys/types.h>

namespace weir {

/// The exit code of a process that Ctrl-C or SIGTERM has ended.
inline constexpr int interrupted_exit_code = 130;

/// From here on, the first SIGINT or SIGTERM is kept as a request to end cleanly; the second ends the
/// process at once. A reader that has gone and a limit of file sizes (`ulimit -f`) are errors of the
/// write, not signals.
/// To be called before any thread exists.
void catch_end_signals();

/// From here on, SIGINT, SIGTERM or a hangup ends the process at once, with that exit code, and with it
/// the process group of `set_companions`.
/// To be called before any thread exists.
void end_on_signals();

/// Which process group ends with this process, after `end_on_signals`; 0: none. Threads: one.
void set_companions(pid_t group);

/// Whether the process was asked to end. Threads: any.
[[nodiscard]] bool end_requested();

/// Waits for `time`, or until the first such signal comes. Returns `end_requested()`. Threads: one.
bool wait_for_end_request(std::chrono::milliseconds time);

}  // namespace weir
