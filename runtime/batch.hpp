#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "runtime/events.hpp"
#include "state/codec.hpp"
#include "state/key_groups.hpp"

namespace weir {

/// A batch is full at this many records ...
inline constexpr std::size_t batch_capacity_records = 1024;
/// ... or at this many bytes with heap, whichever comes first.
inline constexpr std::size_t batch_capacity_bytes = 256 * 1024;

/// Records on their way from one operator to the next, of a type that only the two know. What tasks,
/// channels and executors handle.
/// Threads: one at a time.
class AnyBatch {
 public:
  virtual ~AnyBatch() = default;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// Bytes of memory that the records occupy, with heap: what bounds the queues.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
  /// A deep copy, for a second consumer. Requires `copyable()`.
  [[nodiscard]] virtual std::unique_ptr<AnyBatch> clone() const = 0;
  /// Whether the records can be copied, so that they may have several consumers.
  [[nodiscard]] virtual bool copyable() const = 0;
  /// Removes the records and keeps the memory, for recycling.
  virtual void clear() = 0;
  /// Writes the records as network frames and unaligned snapshots hold them. Requires a described type.
  void encode(ByteWriter& writer) const {
    (void)encode_some(0, std::numeric_limits<std::size_t>::max(), writer);
  }
  /// Writes a batch of its own with the records from `first` on, at least one if there is one, and no more
  /// once they have reached `target_bytes`. Returns the index behind the last of them. Requires a described type.
  [[nodiscard]] virtual std::size_t encode_some(std::size_t first, std::size_t target_bytes,
                                                ByteWriter& writer) const = 0;
  /// Replaces the content by what `encode` or `encode_some` wrote. Errors: `corruption`.
  [[nodiscard]] virtual Status decode(ByteReader& reader) = 0;
};

/// Memory of one record; of a type that is not described, without its heap.
template <class T>
[[nodiscard]] std::size_t record_bytes(const T& value) {
  if constexpr (is_flat<T>)
    return sizeof(T);
  else if constexpr (Described<T>)
    return memory_usage(value);
  else
    return sizeof(T);
}

/// A few hundred to a few thousand records, with event times only when the job uses event time, and
/// key hashes where a keyed exchange has computed them. Columns are empty or as long as `values`.
template <class T>
class Batch final : public AnyBatch {
 public:
  static_assert(!std::is_same_v<T, bool>,
                "wrap a bool in a struct: records are handed out by reference");

  std::vector<T> values;
  std::vector<EventTime> times;  ///< milliseconds; empty if the job has no event time
  std::vector<KeyHash> hashes;   ///< empty unless the batch came through a keyed exchange

  void add(T value) {
    heap_bytes_ += record_bytes(value) - sizeof(T);
    values.push_back(std::move(value));
  }
  [[nodiscard]] bool full() const {
    if constexpr (is_flat<T> && sizeof(T) * batch_capacity_records <= batch_capacity_bytes)
      return values.size() >= batch_capacity_records;
    else
      return values.size() >= batch_capacity_records || memory_bytes() >= batch_capacity_bytes;
  }
  [[nodiscard]] std::size_t size() const override { return values.size(); }
  [[nodiscard]] std::size_t memory_bytes() const override {
    return values.size() * sizeof(T) + heap_bytes_ + times.size() * sizeof(EventTime) +
           hashes.size() * sizeof(KeyHash);
  }
  [[nodiscard]] std::unique_ptr<AnyBatch> clone() const override {
    if constexpr (std::copy_constructible<T>)
      return std::make_unique<Batch>(*this);
    else
      WEIR_ASSERT(!"a record with two consumers is copyable");
  }
  [[nodiscard]] bool copyable() const override { return std::copy_constructible<T>; }
  void clear() override {
    values.clear();
    times.clear();
    hashes.clear();
    heap_bytes_ = 0;
  }

  std::size_t encode_some(std::size_t first, std::size_t target_bytes,
                          ByteWriter& writer) const override {
    if constexpr (Described<T>) {
      const std::size_t begin = writer.size();
      writer.number(std::uint32_t{0});  // the count, once it is known
      writer.number(static_cast<std::uint8_t>((times.empty() ? 0 : 1) | (hashes.empty() ? 0 : 2)));
      const std::size_t columns =
          (times.empty() ? 0 : sizeof(EventTime)) + (hashes.empty() ? 0 : sizeof(KeyHash));
      std::size_t end = first;
      while (end < values.size() &&
             (end == first || writer.size() - begin + (end - first) * columns < target_bytes))
        weir::encode(values[end++], writer);
      for (std::size_t i = first; !times.empty() && i < end; ++i) writer.number(times[i]);
      for (std::size_t i = first; !hashes.empty() && i < end; ++i) writer.number(hashes[i]);
      const auto count = static_cast<std::uint32_t>(end - first);
      std::memcpy(writer.buffer().data() + begin, &count, sizeof(count));
      return end;
    } else {
      WEIR_ASSERT(!"only batches of described types are encoded");
    }
  }
  Status decode(ByteReader& reader) override {
    if constexpr (Described<T>) {
      clear();
      const std::size_t count = detail::read_count(reader, Codec<T>::min_width);
      const auto columns = reader.number<std::uint8_t>();
      if (columns > 3) reader.fail();
      for (std::size_t i = 0; i < count && !reader.failed(); ++i) {
        T value{};
        weir::decode(reader, value);
        add(std::move(value));
      }
      for (std::size_t i = 0; (columns & 1) != 0 && i < count && !reader.failed(); ++i)
        times.push_back(reader.number<EventTime>());
      for (std::size_t i = 0; (columns & 2) != 0 && i < count && !reader.failed(); ++i)
        hashes.push_back(reader.number<KeyHash>());
      if (reader.failed()) return error(Errc::corruption, "a batch of records does not decode");
      return {};
    } else {
      WEIR_ASSERT(!"only batches of described types are decoded");
    }
  }

 private:
  std::size_t heap_bytes_ = 0;
};

/// Where an operator's function puts its results.
/// Threads: belongs to one task.
template <class T>
class Collector {
 public:
  /// Emits one record behind those emitted before, with the event time of the record being processed.
  void collect(T value) {
    batch_->add(std::move(value));
    if (timed_) batch_->times.push_back(time_);
  }

  /// For operators: where to collect, and the event time of what follows.
  void attach(Batch<T>* batch) { batch_ = batch; }
  void set_time(EventTime time) {
    // Records before that have none get their place in the column.
    if (!timed_) batch_->times.resize(batch_->values.size(), no_event_time);
    timed_ = true;
    time_ = time;
  }
  void clear_time() {
    timed_ = !batch_->times.empty();
    time_ = no_event_time;
  }
  [[nodiscard]] bool full() const { return batch_->full(); }
  [[nodiscard]] Batch<T>& batch() { return *batch_; }

 private:
  Batch<T>* batch_ = nullptr;
  EventTime time_ = no_event_time;
  bool timed_ = false;
};

}  // namespace weir
