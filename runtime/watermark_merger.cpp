#include "runtime/watermark_merger.hpp"

#include <algorithm>

#include "state/result.hpp"

namespace weir {

WatermarkMerger::WatermarkMerger(std::size_t channel_count)
    : times_(channel_count, no_event_time), ended_(channel_count) {
  WEIR_ASSERT(channel_count >= 1);
}

std::optional<Watermark> WatermarkMerger::on_watermark(std::size_t channel, Watermark watermark) {
  const EventTime before = times_[channel];
  if (ended_[channel] || watermark.time <= before) return std::nullopt;
  times_[channel] = watermark.time;
  // Only a channel that held the others back can move the minimum.
  return before > current_ ? std::nullopt : advance();
}

std::optional<Watermark> WatermarkMerger::on_end_of_input(std::size_t channel) {
  ended_[channel] = true;
  return advance();
}

std::optional<Watermark> WatermarkMerger::advance() {
  EventTime minimum = Watermark::max_time;
  bool all_ended = true;
  for (std::size_t channel = 0; channel < times_.size(); ++channel) {
    if (ended_[channel]) continue;
    minimum = std::min(minimum, times_[channel]);
    all_ended = false;
  }
  if (all_ended) minimum = std::ranges::max(times_);
  if (minimum <= current_) return std::nullopt;
  current_ = minimum;
  return Watermark{current_};
}

}  // namespace weir
