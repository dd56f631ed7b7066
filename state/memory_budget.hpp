#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

namespace weir {

/// Memory that the state of a whole process may take, as its holders report it.
/// Threads: any.
class MemoryBudget {
 public:
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

  explicit MemoryBudget(std::uint64_t limit_bytes = unlimited) : limit_bytes_(limit_bytes) {}
  [[nodiscard]] std::uint64_t limit_bytes() const { return limit_bytes_; }
  [[nodiscard]] bool is_limited() const { return limit_bytes_ != unlimited; }
  [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }

  /// What one holder takes of a budget; given back when it is destroyed.
  /// Threads: one at a time.
  class Share {
   public:
    explicit Share(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}
    ~Share() { budget_->used_bytes_ -= bytes_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    [[nodiscard]] const MemoryBudget& budget() const { return *budget_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    /// Says how much the holder takes now. Returns whether all holders are within the limit.
    bool set(std::uint64_t bytes) {
      // A difference below 0 wraps around, and so does the sum.
      const std::uint64_t used = budget_->used_bytes_ += bytes - std::exchange(bytes_, bytes);
      return used <= budget_->limit_bytes_;
    }

   private:
    std::shared_ptr<MemoryBudget> budget_;
    std::uint64_t bytes_ = 0;
  };

 private:
  const std::uint64_t limit_bytes_;
  std::atomic<std::uint64_t> used_bytes_{0};
};

}  // namespace weir
