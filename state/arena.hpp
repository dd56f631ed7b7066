#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace weir {

/// Hands out blocks of memory cut from large chunks; a freed block waits for the next of its size.
/// Chunks start small and grow to 2 MiB, from where on they are huge pages: a table that is read at
/// random would otherwise miss the TLB with every record. Memory goes back to the system when the
/// arena is destroyed, blocks in use or not.
/// Threads: one at a time, but for `prepare`.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `bytes` of uninitialized memory, aligned to 64 bytes if there are at least 64, else to 16.
  [[nodiscard]] void* allocate(std::size_t bytes);
  /// Takes back what `allocate(bytes)` returned.
  void free(void* block, std::size_t bytes);
  /// Has some chunks ready for `allocate`, one for 64 in use and 16 at most, which the system has filled with zeros
  /// already: whoever touches new memory waits for that, for several ms where a host must find it. They are not in
  /// `used_bytes`.
  /// Threads: any, beside all others.
  void prepare() const;
  /// Bytes of all blocks in use, rounded up as they are allocated.
  [[nodiscard]] std::size_t used_bytes() const { return used_bytes_; }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  struct Chunk {
    char* memory;
    std::size_t bytes;
  };
  static constexpr std::size_t small_step = 16;
  static constexpr std::size_t small_limit =
      1024;  ///< up to here sizes are multiples of `small_step`
  static constexpr std::size_t step = 64;
  static constexpr std::size_t middle_limit = std::size_t{16}
                                              << 10;  ///< from `small_limit` to here of `step`
  static constexpr std::size_t limit = std::size_t{256} << 10;  ///< from there to here powers of 2
  static constexpr std::size_t powers = std::countr_zero(limit / middle_limit);
  static constexpr std::size_t first_chunk_bytes = std::size_t{32} << 10;
  static constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
  static constexpr std::size_t chunks_per_ready = 64;
  static constexpr std::size_t ready_max = 16;

  /// The size that is really taken for `bytes`, and its place in `free_`.
  static std::size_t rounded(std::size_t bytes);
  static std::size_t size_class(std::size_t rounded_bytes);
  /// Of one that holds a block of `bytes`.
  void add_chunk(std::size_t bytes);
  static char* map_huge_page();
  /// One that is ready; nullptr if there is none.
  char* take_ready();

  std::size_t used_bytes_ = 0;
  char* next_ = nullptr;  // unused rest of the newest chunk
  char* end_ = nullptr;
  std::array<FreeBlock*, small_limit / small_step + middle_limit / step + powers + 1> free_{};
  std::vector<Chunk> chunks_;
  std::atomic<std::size_t> ready_wanted_ = 0;
  mutable std::array<std::atomic<char*>, ready_max> ready_{};
  std::unordered_set<void*> large_;  // blocks over `limit`; each has memory of its own
};

}  // namespace weir
