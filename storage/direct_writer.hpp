#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

namespace weir {

/// Writes what is appended to a file past the page cache, in whole blocks and in a thread of its own: while one block
/// goes to the disk, whoever appends fills the next one.
/// Threads: one at a time.
class DirectWriter {
 public:
  /// Place, size and memory of a direct write are multiples of it.
  static constexpr std::size_t alignment = 4096;
  static constexpr std::size_t block_bytes = std::size_t{1} << 20;

  /// Goes on at `offset`, a multiple of `alignment`, of the file that `descriptor` writes; it stays the caller's and
  /// outlives this. Null if there is no memory, no thread, or nothing can be written there directly.
  [[nodiscard]] static std::unique_ptr<DirectWriter> begin(int descriptor, std::uint64_t offset);
  /// Gives up what is not written.
  ~DirectWriter();
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;

  /// Takes all of `bytes`. Waits if two blocks are full. Returns the error number of a write that has failed, 0 if
  /// none has; afterwards nothing more is written.
  [[nodiscard]] int append(std::string_view bytes);
  /// Waits until all whole blocks are written and ends direct writing. Returns as `append`. What is left, less than a
  /// block, is `rest()`, and belongs at `offset()`.
  [[nodiscard]] int finish();
  [[nodiscard]] std::string_view rest() const { return {blocks_[filling_].get(), filled_}; }
  /// Up to where the file is written; where a write has failed.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }

 private:
  using Block = std::unique_ptr<char, decltype(&std::free)>;

  DirectWriter(int descriptor, std::uint64_t offset, std::array<Block, 2> blocks);
  /// Hands the block over that is full.
  [[nodiscard]] int hand_over();
  void write_blocks();
  /// One block. An error number, 0 if none.
  [[nodiscard]] int write(std::string_view bytes);

  const int descriptor_;
  std::uint64_t offset_;  // the thread's until it has no block
  std::array<Block, 2> blocks_;
  std::size_t filling_ = 0;  // which block the caller fills
  std::size_t filled_ = 0;   // bytes in it

  std::mutex mutex_;
  std::condition_variable changed_;
  const char* waiting_ = nullptr;  // the block that is to be written, or is being
  int failure_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace weir
