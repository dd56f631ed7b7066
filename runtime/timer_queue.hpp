#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "state/codec.hpp"
#include "state/entry_key.hpp"
#include "state/key_context.hpp"
#include "state/table.hpp"

namespace weir {

/// What a timer goes by.
enum class TimeDomain : std::uint8_t {
  event_time,      ///< fires when the watermark has reached its time
  processing_time  ///< fires when the wall clock has
};
WEIR_ENUM(TimeDomain, event_time, processing_time)

/// The value of a timer's entry: that the entry is there says everything.
struct TimerMark {};
WEIR_NO_FIELDS(TimerMark)

/// A time as the namespace of an entry: 8 bytes that sort as the times do.
[[nodiscard]] inline std::string timer_namespace(std::int64_t time) {
  std::string bytes;
  ByteWriter(bytes).big_endian(static_cast<std::uint64_t>(time) ^ (std::uint64_t{1} << 63));
  return bytes;
}
/// The time that `timer_namespace` wrote; none if `bytes` are not one.
[[nodiscard]] inline std::optional<std::int64_t> timer_of_namespace(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto time = reader.big_endian<std::uint64_t>() ^ (std::uint64_t{1} << 63);
  if (!reader.complete()) return std::nullopt;
  return static_cast<std::int64_t>(time);
}

/// The timers of one operator in one time domain. A timer is an entry of a table, so that it freezes,
/// restores and is dealt out like all state: its namespace is its time. The queue is an index over the
/// entries: a binary heap by time, which may hold timers that have been removed; the table decides.
/// Timers of one time fire in the order of their keys' hashes.
/// Threads: the task thread.
template <Described Key>
class TimerQueue {
 public:
  struct Timer {
    std::int64_t time = 0;  ///< milliseconds
    KeyHash hash = 0;
    std::uint32_t group = 0;
    Key key{};
  };

  TimerQueue() = default;
  /// `table` is a composite one and outlives the queue.
  explicit TimerQueue(Table<TimerMark>* table)
      : table_(table), next_group_(table->groups().first) {}

  /// Takes over the timers of the next key group that were restored. Returns whether all are there; nothing
  /// else is called before. May throw `StateAccessFailed`.
  bool load_restored() {
    if (next_group_ == table_->groups().end) return true;
    table_->for_each_entry(next_group_, [&](std::string_view bytes) { take_over(bytes); });
    return ++next_group_ == table_->groups().end;
  }

  /// Does nothing if `key` has a timer of this time already.
  void add(const KeyContext& context, const Key& key, std::int64_t time) {
    const KeyContext entry = entry_of(context, key, time);
    if (table_->find(entry) != nullptr) return;
    (void)table_->find_or_insert(entry);
    push({time, context.hash, context.group, key});
    ++live_;
  }
  /// Does nothing if `key` has no timer of this time.
  void remove(const KeyContext& context, const Key& key, std::int64_t time) {
    if (erase(context, key, time)) drop_removed();
  }
  /// Takes the earliest timer out if its time has come.
  [[nodiscard]] std::optional<Timer> take_due(std::int64_t now) {
    while (!heap_.empty() && heap_.front().time <= now) {
      Timer timer = pop();
      KeyContext context;
      context.hash = timer.hash;
      context.group = timer.group;
      if (erase(context, timer.key, timer.time)) return timer;
    }
    return std::nullopt;
  }
  /// A time before which no timer fires; none if there are no timers.
  [[nodiscard]] std::optional<std::int64_t> earliest() const {
    return heap_.empty() ? std::nullopt : std::optional(heap_.front().time);
  }
  /// Timers that have been set and neither removed nor taken.
  [[nodiscard]] std::size_t size() const { return live_; }
  /// What the index holds: removed timers too, until they are more than the others.
  [[nodiscard]] std::size_t held() const { return heap_.size(); }

 private:
  static bool is_later(const Timer& a, const Timer& b) {
    return a.time != b.time ? a.time > b.time : a.hash > b.hash;
  }
  void push(Timer timer) {
    heap_.push_back(std::move(timer));
    std::ranges::push_heap(heap_, is_later);
  }
  Timer pop() {
    std::ranges::pop_heap(heap_, is_later);
    Timer timer = std::move(heap_.back());
    heap_.pop_back();
    return timer;
  }
  /// The entry of a timer; views `entry_`.
  [[nodiscard]] KeyContext entry_of(const KeyContext& context, const Key& key, std::int64_t time) {
    key_.clear();
    ByteWriter writer(key_);
    encode_key(key, writer);
    entry_.clear();
    append_entry_suffix({context.group, key_, timer_namespace(time), {}}, Codec<Key>::fixed_width,
                        entry_);
    return {hash_bytes(entry_), context.group, 0, entry_};
  }
  bool erase(const KeyContext& context, const Key& key, std::int64_t time) {
    const KeyContext entry = entry_of(context, key, time);
    if (table_->find(entry) == nullptr) return false;
    table_->erase(entry);
    --live_;
    return true;
  }
  void take_over(std::string_view bytes) {
    EntryKey entry;
    Timer timer;
    bool valid = read_entry_suffix(bytes, Codec<Key>::fixed_width, entry);
    if (const auto time = timer_of_namespace(entry.name_space); valid && time) {
      ByteReader reader(entry.key);
      decode(reader, timer.key);
      timer.time = *time;
      valid = reader.complete();
    } else {
      valid = false;
    }
    if (!valid)
      throw StateAccessFailed({Errc::corruption, "a timer does not decode: it is damaged"});
    timer.hash = hash_bytes(entry.key);
    timer.group = next_group_;
    push(std::move(timer));
    ++live_;
  }
  /// Rids the heap of timers that were removed, once they are more than the others: each removal pays
  /// for its own.
  void drop_removed() {
    if (heap_.size() < 64 || heap_.size() < 2 * live_) return;
    std::vector<Timer> kept;
    std::vector<Timer>
        same;  // time and hash, as the last one kept; different keys are rare among them
    std::ranges::sort(heap_, [](const Timer& a, const Timer& b) { return is_later(b, a); });
    for (Timer& timer : heap_) {
      KeyContext context;
      context.group = timer.group;
      if (table_->find(entry_of(context, timer.key, timer.time)) == nullptr) continue;
      if (!same.empty() && (same.front().time != timer.time || same.front().hash != timer.hash))
        same.clear();
      const auto encoded = [](const Timer& one) {
        std::string bytes;
        ByteWriter writer(bytes);
        encode_key(one.key, writer);
        return bytes;
      };
      if (std::ranges::any_of(same, [&](const Timer& o) { return encoded(o) == encoded(timer); }))
        continue;
      same.push_back(timer);
      kept.push_back(std::move(timer));
    }
    heap_ = std::move(kept);  // ascending, which is a heap
  }

  Table<TimerMark>* table_ = nullptr;
  std::uint32_t next_group_ = 0;
  std::vector<Timer> heap_;
  std::size_t live_ = 0;
  std::string key_;
  std::string entry_;
};

}  // namespace weir
