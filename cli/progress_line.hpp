#pragma once

#include <functional>
#include <span>
#include <string>

#include "cli/live_display.hpp"
#include "messages/messages.hpp"
#include "state/clock.hpp"

namespace weir {

/// One line on a terminal that shows that a request goes on: for how long, and how far the snapshots have
/// come that it waits for.
///
///   writing a savepoint ... 3 s; savepoint 7: 2 of 6 subtasks, 12.3 MB
///
/// Threads: one at a time.
class ProgressLine {
 public:
  /// The request has begun at `begin`; `what` says what is done for it, as in "writing a savepoint".
  /// `write` puts text on the terminal, which is `size()` large.
  ProgressLine(std::string what, MonotonicTime begin, std::function<void(const std::string&)> write,
               std::function<TerminalSize()> size)
      : what_(std::move(what)), begin_(begin), write_(std::move(write)), size_(std::move(size)) {}

  /// Whether the request has taken so long by `now` that the line is worth showing: a second.
  [[nodiscard]] bool is_due(MonotonicTime now) const;
  /// Draws the line as of `now`, in place of the one that is there.
  void show(std::span<const CheckpointProgress> snapshots, MonotonicTime now);
  /// Takes the line away, if it is there.
  void clear();

 private:
  const std::string what_;
  const MonotonicTime begin_;
  const std::function<void(const std::string&)> write_;
  const std::function<TerminalSize()> size_;
  bool shown_ = false;
};

}  // namespace weir
