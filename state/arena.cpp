#include "state/arena.hpp"

#include <algorithm>
#include <bit>
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
  while (char* memory = take_ready()) ::munmap(memory, huge_page_bytes);
}

std::size_t Arena::rounded(std::size_t bytes) {
  if (bytes > middle_limit && bytes <= limit) return std::bit_ceil(bytes);
  return round_up(std::max(bytes, small_step), bytes <= small_limit ? small_step : step);
}

std::size_t Arena::size_class(std::size_t rounded_bytes) {
  if (rounded_bytes <= small_limit) return rounded_bytes / small_step;
  constexpr std::size_t middle = small_limit / small_step;
  if (rounded_bytes <= middle_limit) return middle + rounded_bytes / step;
  return middle + middle_limit / step + std::countr_zero(rounded_bytes / middle_limit);
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
  if (next_ == nullptr || cut() + bytes > end_) add_chunk(bytes);
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

void Arena::add_chunk(std::size_t bytes) {
  const std::size_t doubled = chunks_.empty() ? first_chunk_bytes : chunks_.back().bytes * 2;
  const std::size_t wanted = std::min(std::max(doubled, std::bit_ceil(bytes)), huge_page_bytes);
  char* memory = nullptr;
  if (wanted == huge_page_bytes) {
    memory = take_ready();
    if (memory == nullptr) memory = map_huge_page();
  } else if (void* mapped = ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
             mapped != MAP_FAILED) {
    memory = static_cast<char*>(mapped);
  }
  if (memory == nullptr) throw std::bad_alloc();
  chunks_.push_back({memory, wanted});
  ready_wanted_.store(std::min(chunks_.size() / chunks_per_ready, ready_max),
                      std::memory_order_relaxed);
  next_ = memory;
  end_ = memory + wanted;
  WEIR_POISON(memory, wanted);
}

char* Arena::map_huge_page() {
  // It must be aligned to its size: map twice as much and give the ends back.
  void* raw = ::mmap(nullptr, 2 * huge_page_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto* memory = static_cast<char*>(raw);
  const std::size_t lead = round_up(reinterpret_cast<std::uintptr_t>(memory), huge_page_bytes) -
                           reinterpret_cast<std::uintptr_t>(memory);
  if (lead > 0) ::munmap(memory, lead);
  if (huge_page_bytes > lead) ::munmap(memory + lead + huge_page_bytes, huge_page_bytes - lead);
  memory += lead;
  ::madvise(memory, huge_page_bytes, MADV_HUGEPAGE);
  return memory;
}

char* Arena::take_ready() {
  for (std::atomic<char*>& place : ready_) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    if (char* memory = place.exchange(nullptr, std::memory_order_acquire)) return memory;
  }
  return nullptr;
}

void Arena::prepare() const {
  const std::size_t wanted = ready_wanted_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < wanted; ++i) {
    if (ready_[i].load(std::memory_order_relaxed) != nullptr) continue;
    char* memory = map_huge_page();
    if (memory == nullptr) return;
    // A byte in each page: the system may have given small ones.
    constexpr std::size_t small_page_bytes = 4096;
    for (std::size_t at = 0; at < huge_page_bytes; at += small_page_bytes)
      *static_cast<volatile char*>(memory + at) = 0;
    char* none = nullptr;
    if (!ready_[i].compare_exchange_strong(none, memory, std::memory_order_release))
      ::munmap(memory, huge_page_bytes);  // another thread was quicker
  }
}

}  // namespace weir
