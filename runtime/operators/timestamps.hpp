#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "runtime/operators/stateless.hpp"

namespace weir {

/// How far behind the latest event time the watermark stays, and how often it is told.
///
///   clicks.assign_timestamps_and_watermarks({.out_of_orderness = std::chrono::seconds(5)},
///                                           [](const Click& click) { return click.time_ms; });
///
struct WatermarkStrategy {
  /// Records come at most this much after one with a later time; what is later than that is late.
  std::chrono::milliseconds out_of_orderness{0};
  /// Between two watermarks of a subtask, by the clock.
  std::chrono::milliseconds interval{200};
};

/// Gives each record the event time `f(const T&)` and makes the watermarks that go with them. Watermarks
/// that come in are dropped, but for the one at the end of the input.
/// Source: Flink's bounded out-of-orderness strategy; the watermark is one millisecond below what may
/// still come.
template <class T, class F>
class TimestampsOperator final : public Operator {
 public:
  TimestampsOperator(WatermarkStrategy strategy, F f) : strategy_(strategy), f_(std::move(f)) {}

  Status open(OperatorContext& context) override {
    context_ = &context;
    return {};
  }
  void on_batch(std::uint32_t, AnyBatch& any, Cursor& cursor) override {
    auto& batch = static_cast<Batch<T>&>(any);
    auto& out = output_.collector();
    while (cursor.next < cursor.limit && !out.full()) {
      T& value = batch.values[cursor.next++];
      const EventTime time = f_(std::as_const(value));
      latest_ = std::max(latest_, time);
      out.set_time(time);
      out.collect(std::move(value));
    }
  }
  Progress on_timer(MonotonicTime) override {
    waiting_ = false;
    return Progress::done;
  }
  std::optional<Watermark> take_watermark() override {
    if (latest_ == no_event_time) return std::nullopt;
    const EventTime behind = strategy_.out_of_orderness.count() + 1;
    const EventTime time = latest_ > no_event_time + behind ? latest_ - behind : no_event_time;
    if (time <= told_) return std::nullopt;
    const MonotonicTime now = context_->clock().now();
    if (told_ != no_event_time && now < next_) {
      if (!std::exchange(waiting_, true)) context_->wake_at(next_);
      return std::nullopt;
    }
    told_ = time;
    next_ = now + strategy_.interval;
    return Watermark{time};
  }
  bool makes_watermarks() const override { return true; }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  WatermarkStrategy strategy_;
  F f_;
  OperatorContext* context_ = nullptr;
  EventTime latest_ = no_event_time;
  EventTime told_ = no_event_time;
  MonotonicTime next_{};  // not before this is the next one told
  bool waiting_ = false;  // for `next_`
  Output<T> output_;
};

}  // namespace weir
