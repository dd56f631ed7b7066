#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace weir {

/// The memory that the tables of all subtasks of a process may use together, in equal shares.
/// Threads: any.
class TableMemory {
 public:
  /// A value of a few bytes is let through however many subtasks share the memory.
  static constexpr std::size_t least_entry_limit_bytes = std::size_t{64} << 10;

  /// An entry of up to `entry_limit_bytes` is let through however small a share is.
  explicit TableMemory(std::size_t bytes, std::size_t entry_limit_bytes = least_entry_limit_bytes)
      : bytes_(bytes), entry_limit_bytes_(entry_limit_bytes) {}

  /// One subtask's share, which shrinks when others join and grows when they leave.
  class Share {
   public:
    explicit Share(std::shared_ptr<TableMemory> memory) : memory_(std::move(memory)) {
      memory_->shares_.fetch_add(1, std::memory_order_relaxed);
    }
    ~Share() { memory_->shares_.fetch_sub(1, std::memory_order_relaxed); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    [[nodiscard]] std::size_t bytes() const {
      return memory_->bytes_ / memory_->shares_.load(std::memory_order_relaxed);
    }
    /// What an entry may take at most.
    [[nodiscard]] std::size_t entry_bytes_max() const {
      return std::max(bytes(), memory_->entry_limit_bytes_);
    }

   private:
    const std::shared_ptr<TableMemory> memory_;
  };

 private:
  const std::size_t bytes_;
  const std::size_t entry_limit_bytes_;
  std::atomic<std::size_t> shares_ = 0;
};

}  // namespace weir
