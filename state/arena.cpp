#include "state/arena.hpp"

#include <algorithm>
#include <new>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define WEIR_POISON(block, bytes) __asan_poison_memory_region(block, bytes)
#define WEIR_UNPOISON(block, bytes) __asan_unpoison_memory_region(block, bytes)
#else
#define WEIR_POISON(block, bytes) static_cast<void>(0)
#define WEIR_UNPOISON(block, bytes) static_cast<void>(0)
#endif

namespace weir {

namespace {

constexpr std::align_val_t large_alignment{64};

std::size_t round_up(std::size_t bytes, std::size_t step) {
  return (bytes + step - 1) / step * step;
}

}  // namespace

Arena::~Arena() {
  for (void* block : large_) ::operator delete(block, large_alignment);
  for (const Chunk& chunk : chunks_) {
    WEIR_UNPOISON(chunk.memory, chunk.bytes);
    ::munmap(chunk.memory, chunk.bytes);
  }
}

std::size_t Arena::rounded(std::size_t bytes) {
  return round_up(std::max(bytes, small_step), bytes <= small_limit ? small_step : step);
}

std::size_t Arena::size_class(std::size_t rounded_bytes) {
  if (rounded_bytes <= small_limit) return rounded_bytes / small_step;
  return small_limit / small_step + rounded_bytes / step;
}

void* Arena::allocate(std::size_t bytes) {
  bytes = rounded(bytes);
  used_bytes_ += bytes;
  if (bytes > limit) {
    void* block = ::operator new(bytes, large_alignment);
    large_.insert(block);
    return block;
  }
  // A free block of this size was aligned when it was cut.
  if (FreeBlock*& head = free_[size_class(bytes)]; head != nullptr) {
    FreeBlock* block = head;
    WEIR_UNPOISON(block, bytes);
    head = block->next;
    return block;
  }
  const std::size_t alignment = bytes >= step ? step : small_step;
  const auto cut = [&] {
    const auto address = reinterpret_cast<std::uintptr_t>(next_);
    return next_ + (round_up(address, alignment) - address);
  };
  if (next_ == nullptr || cut() + bytes > end_) add_chunk();
  char* block = cut();
  next_ = block + bytes;
  WEIR_UNPOISON(block, bytes);
  return block;
}

void Arena::free(void* block, std::size_t bytes) {
  bytes = rounded(bytes);
  used_bytes_ -= bytes;
  if (bytes > limit) {
    large_.erase(block);
    ::operator delete(block, large_alignment);
    return;
  }
  auto* freed = static_cast<FreeBlock*>(block);
  FreeBlock*& head = free_[size_class(bytes)];
  freed->next = head;
  head = freed;
  WEIR_POISON(block, bytes);
}

void Arena::add_chunk() {
  const std::size_t wanted =
      chunks_.empty() ? first_chunk_bytes : std::min(chunks_.back().bytes * 2, huge_page_bytes);
  const bool huge = wanted == huge_page_bytes;
  // A huge page must be aligned to its size: map twice as much and give the ends back.
  const std::size_t mapped = huge ? 2 * wanted : wanted;
  void* raw = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto* memory = static_cast<char*>(raw);
  if (huge) {
    const std::size_t lead = round_up(reinterpret_cast<std::uintptr_t>(memory), wanted) -
                             reinterpret_cast<std::uintptr_t>(memory);
    if (lead > 0) ::munmap(memory, lead);
    if (wanted > lead) ::munmap(memory + lead + wanted, wanted - lead);
    memory += lead;
    ::madvise(memory, wanted, MADV_HUGEPAGE);
  }
  chunks_.push_back({memory, wanted});
  next_ = memory;
  end_ = memory + wanted;
  WEIR_POISON(memory, wanted);
}

}  // namespace weir
