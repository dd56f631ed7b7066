#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>
#include <vector>

#include "state/codec.hpp"

namespace weir {

/// The list of one key: a chain of full chunks, which nobody changes any more and copies share, and a
/// tail to which elements are appended. A copy copies at most one chunk, so that appending to a long
/// list after a snapshot costs no more than appending to a short one.
/// Threads: as `std::vector`; copies may be used and destroyed on different threads.
template <Described T>
class ListValue {
 public:
  /// Elements of a full chunk: about 1 KiB, at most 64, at least 1.
  static constexpr std::size_t chunk_elements = std::clamp<std::size_t>(1024 / sizeof(T), 1, 64);

  ListValue() = default;
  ListValue(const ListValue& other) : full_(other.full_), size_(other.size_), tail_(other.tail_) {
    if (full_ != nullptr) full_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  ListValue(ListValue&& other) noexcept
      : full_(std::exchange(other.full_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        tail_(std::move(other.tail_)) {}
  ListValue& operator=(ListValue other) noexcept {
    std::swap(full_, other.full_);
    std::swap(size_, other.size_);
    tail_.swap(other.tail_);
    return *this;
  }
  ~ListValue() { release(full_); }

  void push_back(T element) {
    if (tail_.size() == chunk_elements) {
      auto* chunk = new Chunk(full_, std::move(tail_));  // takes over our share of `full_`
      full_ = chunk;
      tail_ = {};
    }
    tail_.push_back(std::move(element));
    ++size_;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Calls `f(const T&)` for each element, the oldest first.
  template <class F>
  void for_each(F&& f) const {
    std::vector<const Chunk*> chunks;  // the chain leads from the newest to the oldest
    for (const Chunk* chunk = full_; chunk != nullptr; chunk = chunk->previous)
      chunks.push_back(chunk);
    for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk)
      for (const T& element : (*chunk)->elements) f(element);
    for (const T& element : tail_) f(element);
  }

  /// Memory beyond `sizeof`. Shared chunks count in full with each list that holds them.
  [[nodiscard]] std::size_t heap_bytes() const {
    std::size_t bytes = tail_.capacity() * sizeof(T);
    for (const Chunk* chunk = full_; chunk != nullptr; chunk = chunk->previous)
      bytes += sizeof(Chunk) + chunk->elements.capacity() * sizeof(T);
    if constexpr (!is_flat<T>)
      for_each([&](const T& element) { bytes += Codec<T>::heap_bytes(element); });
    return bytes;
  }

 private:
  /// Immutable but for the count of its owners: lists, and the chunk after it.
  struct Chunk {
    Chunk(Chunk* previous_chunk, std::vector<T> values)
        : previous(previous_chunk), elements(std::move(values)) {}
    std::atomic<std::size_t> owners = 1;
    Chunk* const previous;
    const std::vector<T> elements;
  };

  /// Gives up one share of `chunk`; a loop, because a long chain would exhaust the stack.
  static void release(Chunk* chunk) {
    while (chunk != nullptr && chunk->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      Chunk* previous = chunk->previous;
      delete chunk;
      chunk = previous;
    }
  }

  Chunk* full_ = nullptr;  // newest full chunk
  std::size_t size_ = 0;
  std::vector<T> tail_;
};

}  // namespace weir
