#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <variant>

#include "runtime/batch.hpp"
#include "runtime/events.hpp"
#include "runtime/spsc_queue.hpp"

namespace weir {

/// Someone who may be parked until there is something to do. Threads: any.
class Wakeable {
 public:
  virtual ~Wakeable() = default;
  virtual void wake() = 0;
};

/// The producer is gone for good: no record, no barrier follows.
struct EndOfPartition {};

/// What flows through a channel: batches, and events between them.
using StreamElement = std::variant<std::unique_ptr<AnyBatch>, Watermark, CheckpointBarrier,
                                   CancelCheckpointMarker, EndOfInput, EndOfPartition>;

/// The way from one subtask to another within a process: a queue of elements, bounded in bytes.
/// The producer asks `has_room` before it works; what it then produces is always taken, so that an
/// event never waits and a step may overshoot by one slice. Spent batches flow back for reuse.
/// Threads: one producer, one consumer.
class Channel {
 public:
  /// `capacity_bytes` bounds the batches in flight.
  explicit Channel(std::size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // The producer's side.
  /// False if the queued bytes have reached the capacity; then the producer is woken when there is room.
  [[nodiscard]] bool has_room() {
    if (queued_bytes_.load(std::memory_order_acquire) < capacity_bytes_) return true;
    producer_waits_.store(true, std::memory_order_seq_cst);
    return queued_bytes_.load(std::memory_order_seq_cst) < capacity_bytes_;
  }
  void push(StreamElement element) {
    queued_bytes_.fetch_add(bytes_of(element), std::memory_order_relaxed);
    elements_.push(std::move(element));
    if (auto* const consumer = consumer_.load(std::memory_order_acquire)) consumer->wake();
  }
  /// A cleared batch that the consumer is done with, or null.
  [[nodiscard]] std::unique_ptr<AnyBatch> take_spent() {
    auto* const front = spent_.front();
    if (front == nullptr) return nullptr;
    auto batch = std::move(*front);
    spent_.pop();
    return batch;
  }

  // The consumer's side.
  /// The next element, or null if there is none now. Stays until `pop`.
  [[nodiscard]] StreamElement* peek() { return elements_.front(); }
  [[nodiscard]] StreamElement pop() {
    StreamElement element = std::move(*elements_.front());
    elements_.pop();
    const std::size_t bytes = bytes_of(element);
    const std::size_t before = queued_bytes_.fetch_sub(bytes, std::memory_order_seq_cst);
    if (before >= capacity_bytes_ && before - bytes < capacity_bytes_ &&
        producer_waits_.exchange(false, std::memory_order_seq_cst)) {
      if (auto* const producer = producer_.load(std::memory_order_acquire)) producer->wake();
    }
    return element;
  }
  void recycle(std::unique_ptr<AnyBatch> batch) {
    batch->clear();
    spent_.push(std::move(batch));
  }

  /// Bytes of the batches in flight. Threads: any.
  [[nodiscard]] std::size_t queued_bytes() const {
    return queued_bytes_.load(std::memory_order_relaxed);
  }
  /// Who is woken when an element arrives. At most once.
  void set_consumer(std::shared_ptr<Wakeable> consumer) {
    consumer_owner_ = std::move(consumer);
    consumer_.store(consumer_owner_.get(), std::memory_order_release);
  }
  /// Who is woken when there is room again. At most once.
  void set_producer(std::shared_ptr<Wakeable> producer) {
    producer_owner_ = std::move(producer);
    producer_.store(producer_owner_.get(), std::memory_order_release);
  }

 private:
  /// An event counts as this much, so that a flood of watermarks is bounded like records.
  static constexpr std::size_t event_bytes = 64;
  [[nodiscard]] static std::size_t bytes_of(const StreamElement& element) {
    const auto* const batch = std::get_if<std::unique_ptr<AnyBatch>>(&element);
    return batch == nullptr ? event_bytes : (*batch)->memory_bytes();
  }

  /// Few: an exchange of a thousand subtasks has a million channels, and a barrier goes through each.
  static constexpr std::size_t block_slots = 8;

  const std::size_t capacity_bytes_;
  SpscQueue<StreamElement, block_slots> elements_;
  SpscQueue<std::unique_ptr<AnyBatch>, block_slots> spent_;
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> producer_waits_{false};
  std::shared_ptr<Wakeable> consumer_owner_;
  std::shared_ptr<Wakeable> producer_owner_;
  std::atomic<Wakeable*> consumer_{nullptr};  // published after its owner is stored
  std::atomic<Wakeable*> producer_{nullptr};
};

}  // namespace weir
