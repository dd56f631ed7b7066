#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace weir {

/// The memory that the tables of all subtasks of a process may use together, in equal shares.
/// Threads: any.
class TableMemory {
 public:
  explicit TableMemory(std::size_t bytes) : bytes_(bytes) {}

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

   private:
    const std::shared_ptr<TableMemory> memory_;
  };

 private:
  const std::size_t bytes_;
  std::atomic<std::size_t> shares_ = 0;
};

}  // namespace weir
