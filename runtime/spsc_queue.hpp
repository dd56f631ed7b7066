#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "state/result.hpp"

namespace weir {

/// An unbounded first-in-first-out queue from one thread to one other. Whoever uses it keeps the
/// bound: a channel counts the bytes that are in it.
///
/// How: blocks of `block_slots` slots in a linked list, the first of which comes with the first value. The
/// producer publishes one counter, which also publishes the slots and links behind it; the consumer
/// publishes nothing but a block that it has emptied, for the producer to use again, so that in the steady
/// state nothing is allocated.
/// Wait-free. Threads: one producer (`push`), one consumer (`front`, `pop`, `empty`); constructed
/// before and destroyed after both.
template <class T, std::size_t block_slots = 64>
class SpscQueue {
 public:
  SpscQueue() = default;
  SpscQueue(const SpscQueue&) = delete;
  SpscQueue& operator=(const SpscQueue&) = delete;
  /// Destroys what is left.
  ~SpscQueue() {
    while (front() != nullptr) pop();
    delete head_;
    delete spare_.load(std::memory_order_relaxed);
  }

  /// Appends `value`. Producer only.
  void push(T value) {
    const std::uint64_t pushed = pushed_.load(std::memory_order_relaxed);
    const std::size_t slot = pushed % block_slots;
    if (pushed == 0) {
      first_ = tail_ = new Block;
    } else if (slot == 0) {
      Block* block = spare_.exchange(nullptr, std::memory_order_acquire);
      if (block == nullptr) block = new Block;
      block->next = nullptr;
      tail_->next = block;
      tail_ = block;
    }
    ::new (tail_->slot(slot)) T(std::move(value));
    pushed_.store(pushed + 1, std::memory_order_release);
  }

  /// The oldest value, or null if there is none; valid until `pop`. Consumer only.
  [[nodiscard]] T* front() {
    if (empty()) return nullptr;
    if (head_ == nullptr) head_ = first_;
    if (head_emptied_) {
      Block* emptied = std::exchange(head_, head_->next);
      head_emptied_ = false;
      delete spare_.exchange(emptied, std::memory_order_acq_rel);
    }
    return std::launder(reinterpret_cast<T*>(head_->slot(popped_ % block_slots)));
  }

  /// Removes the oldest value; there must be one. Consumer only.
  void pop() {
    T* oldest = front();
    WEIR_ASSERT(oldest != nullptr);
    oldest->~T();
    ++popped_;
    // The next block may not be there yet: `front` moves on when it is.
    head_emptied_ = popped_ % block_slots == 0;
  }

  /// Whether there is nothing to take; what the producer pushed before a synchronization with this
  /// thread is seen. Consumer only.
  [[nodiscard]] bool empty() {
    if (popped_ != pushed_seen_) return false;
    pushed_seen_ = pushed_.load(std::memory_order_acquire);
    return popped_ == pushed_seen_;
  }

 private:
  /// x86 fetches lines in pairs, hence 128 and not `hardware_destructive_interference_size`.
  static constexpr std::size_t line_bytes = 128;

  struct Block {
    alignas(T) std::array<std::byte, block_slots * sizeof(T)> bytes;
    Block* next = nullptr;  ///< published with the first slot of the next block
    Block() {}              // NOLINT(modernize-use-equals-default): leaves `bytes` uninitialized
    void* slot(std::size_t index) { return bytes.data() + index * sizeof(T); }
  };

  // The producer's.
  alignas(line_bytes) std::atomic<std::uint64_t> pushed_{0};
  Block* tail_ = nullptr;
  Block* first_ = nullptr;  ///< published with the first slot
  // The consumer's.
  alignas(line_bytes) std::uint64_t popped_ = 0;
  std::uint64_t pushed_seen_ = 0;  ///< `pushed_` when last looked at
  Block* head_ = nullptr;          ///< where the oldest value lies; null before the first
  bool head_emptied_ = false;      ///< it lies in the next block instead
  // Passed back and forth, once per block.
  alignas(line_bytes) std::atomic<Block*> spare_{nullptr};
};

}  // namespace weir
