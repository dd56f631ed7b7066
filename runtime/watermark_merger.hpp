#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "runtime/events.hpp"

namespace weir {

/// The watermark of a task with several input channels: the minimum of theirs. A channel that has
/// ended holds nothing back; once all have, the largest of their watermarks counts, in whatever
/// order they ended. Threads: none of its own; belongs to one task.
class WatermarkMerger {
 public:
  /// `channel_count` is at least 1. Channels are numbered 0 up to, not including, `channel_count`.
  explicit WatermarkMerger(std::size_t channel_count);

  /// Records `watermark` of `channel`; one that does not advance its channel is ignored. Returns
  /// the task's watermark if it advanced.
  [[nodiscard]] std::optional<Watermark> on_watermark(std::size_t channel, Watermark watermark);

  /// Records that no record follows on `channel` (`EndOfInput`; not a cancelled or stopped
  /// producer, whose records a restored job will still see). Returns the task's watermark if it
  /// advanced. May be called again.
  [[nodiscard]] std::optional<Watermark> on_end_of_input(std::size_t channel);

  /// The task's watermark; its time is `no_event_time` until every channel has one.
  [[nodiscard]] Watermark current() const { return {current_}; }

 private:
  [[nodiscard]] std::optional<Watermark> advance();

  std::vector<EventTime> times_;  ///< by channel
  std::vector<bool> ended_;       ///< by channel
  EventTime current_ = no_event_time;
};

}  // namespace weir
