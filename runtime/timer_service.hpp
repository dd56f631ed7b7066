#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/events.hpp"
#include "runtime/operator.hpp"
#include "runtime/timer_queue.hpp"

namespace weir {

/// Sets and removes timers of the current key. Setting one that is set already, or removing one that is
/// not, does nothing. A timer whose time has come before it is set fires at the next watermark, or at
/// once if it goes by the clock.
/// At the end of the input all event-time timers fire, as the last watermark is above every time; timers
/// that go by the clock and are not due then never fire.
///
///   auto& timers = context.timer_service();
///   timers.register_processing_time_timer(timers.current_processing_time() + 60'000);
///
/// Threads: the task thread.
template <Described Key>
class TimerService {
 public:
  /// The least watermark of the inputs, in milliseconds; `no_event_time` before the first.
  [[nodiscard]] EventTime current_watermark() const { return watermark_; }
  /// The wall clock, in milliseconds since 1970.
  [[nodiscard]] std::int64_t current_processing_time() const {
    return context_->clock().wall_now().time_since_epoch().count();
  }
  /// `on_timer` is called once the watermark is at `time` or above.
  void register_event_time_timer(EventTime time) {
    queue(event_time_).add(*key_context_, *key_, time);
  }
  void delete_event_time_timer(EventTime time) {
    queue(event_time_).remove(*key_context_, *key_, time);
  }
  /// `on_timer` is called once the wall clock is at `time` (milliseconds since 1970) or above.
  void register_processing_time_timer(std::int64_t time) {
    queue(processing_time_).add(*key_context_, *key_, time);
  }
  void delete_processing_time_timer(std::int64_t time) {
    queue(processing_time_).remove(*key_context_, *key_, time);
  }

  // For the operator.
  /// `key_context` is that of the function's states. Both outlive the service.
  void open(OperatorContext& context, const KeyContext* key_context) {
    context_ = &context;
    key_context_ = key_context;
  }
  void open(TimerQueue<Key> event_time, TimerQueue<Key> processing_time) {
    event_time_ = std::move(event_time);
    processing_time_ = std::move(processing_time);
  }
  void set_key(const Key& key) { key_ = &key; }
  void set_watermark(EventTime time) { watermark_ = time; }
  /// Takes over some of the restored timers. Returns whether all are there.
  [[nodiscard]] bool load_restored() {
    // Short-circuiting is the order: one domain, then the other.
    return event_time_->load_restored() && processing_time_->load_restored();
  }
  [[nodiscard]] std::optional<typename TimerQueue<Key>::Timer> take_due(TimeDomain domain) {
    return domain == TimeDomain::event_time ? event_time_->take_due(watermark_)
                                            : processing_time_->take_due(current_processing_time());
  }
  /// Asks to be woken for the next timer that goes by the clock, unless that was done already.
  void wake_for_next() {
    const auto next = processing_time_->earliest();
    if (!next || (wake_time_ && *wake_time_ <= *next)) return;
    wake_time_ = next;
    // At least a millisecond, as the clock shows no less; at most an hour, because it may jump.
    constexpr std::int64_t longest_ms = 3'600'000;
    const std::int64_t now = current_processing_time();
    const std::int64_t wait_ms = *next <= now               ? 1
                                 : *next - now > longest_ms ? longest_ms
                                                            : *next - now;
    context_->wake_at(context_->clock().now() + std::chrono::milliseconds(wait_ms));
  }
  /// The time asked for has come.
  void woken() { wake_time_.reset(); }

 private:
  [[nodiscard]] TimerQueue<Key>& queue(std::optional<TimerQueue<Key>>& queue) const {
    if (!queue)
      throw OperatorError({Errc::invalid_argument,
                           "the function sets a timer and has no on_timer to be called; give it "
                           "void on_timer(std::int64_t time, OnTimerContext&, Collector<Out>&)"});
    return *queue;
  }

  OperatorContext* context_ = nullptr;
  const KeyContext* key_context_ = nullptr;
  const Key* key_ = nullptr;
  EventTime watermark_ = no_event_time;
  std::optional<TimerQueue<Key>> event_time_;  // none if the function has no `on_timer`
  std::optional<TimerQueue<Key>> processing_time_;
  std::optional<std::int64_t> wake_time_;
};

/// What is known of the record or key that a function on a keyed stream is working on.
template <Described Key>
class KeyedContext {
 public:
  [[nodiscard]] const Key& current_key() const { return *key_; }
  /// Event time in milliseconds, `no_event_time` if the record has none. Of a timer: its time.
  [[nodiscard]] EventTime timestamp() const { return time_; }
  /// The timers of the current key.
  [[nodiscard]] TimerService<Key>& timer_service() {
    timers_->set_key(*key_);
    return *timers_;
  }

  // For the operator.
  void attach(TimerService<Key>& timers) { timers_ = &timers; }
  void set(const Key& key, EventTime time) {
    key_ = &key;
    time_ = time;
  }

 private:
  const Key* key_ = nullptr;
  EventTime time_ = no_event_time;
  TimerService<Key>* timers_ = nullptr;
};

/// What is known of a timer that fires.
template <Described Key>
class TimerContext : public KeyedContext<Key> {
 public:
  explicit TimerContext(TimeDomain domain) : domain_(domain) {}
  [[nodiscard]] TimeDomain time_domain() const { return domain_; }

 private:
  TimeDomain domain_;
};

}  // namespace weir
