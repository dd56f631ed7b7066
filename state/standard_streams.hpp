#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "state/result.hpp"

namespace weir {

/// Bytes that somebody else reads ahead, into a bounded buffer, so that taking them never waits.
/// Threads: one at a time.
class ByteFeed {
 public:
  virtual ~ByteFeed() = default;
  /// Appends to `into` what has arrived, possibly nothing, and makes room for more. False if that
  /// was the rest: nothing will arrive any more. Errors: `io_error`.
  [[nodiscard]] virtual Result<bool> take(std::string& into) = 0;
};

/// What a process reads and prints when it is used in a pipe or on a terminal.
/// Threads: any, concurrently.
class StandardStreams {
 public:
  virtual ~StandardStreams() = default;
  /// Prints `text` in one piece. Waits while the other side does not read. Errors: `io_error`.
  [[nodiscard]] virtual Status print(std::string_view text) = 0;
  /// Begins to read standard input. `on_arrival` is called when there is something to take again
  /// after a `take` that found nothing, and at the end; on any thread, never after the feed is
  /// destroyed.
  /// Errors: `already_exists` if it was read before: what one reader took, the next would miss.
  [[nodiscard]] virtual Result<std::unique_ptr<ByteFeed>> read_input(
      std::function<void()> on_arrival) = 0;
};

}  // namespace weir
