#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "state/result.hpp"

namespace weir {

/// What became of a piece of work in a process of its own.
struct ChildResult {
  std::uint64_t number = 0;  ///< which piece
  std::string bytes;         ///< what it returned; empty if it did not
  /// Why it did not return: a crash, or that it took too long; empty if it did.
  std::string failure;
};

/// Does pieces of work in processes of their own, so that what code of a job leaves in its statics, leaks and crashes
/// ends with each.
struct ChildRuns {
  std::uint32_t at_a_time = 1;
  /// A child that takes longer is killed.
  std::chrono::milliseconds longest = std::chrono::minutes(10);
  /// Asked before each child is started, and every now and then; true: those that run are killed, and no more are started.
  std::function<bool()> ended;

  /// Calls `work(number)` for the numbers from `first` to `last` in children of this process, and `take` here as each
  /// ends, in any order. Requires that this process has one thread. Errors: `io_error` if no process can be started.
  [[nodiscard]] Status run(std::uint64_t first, std::uint64_t last,
                           const std::function<std::string(std::uint64_t number)>& work,
                           const std::function<void(ChildResult)>& take) const;
};

}  // namespace weir
