#include "common/crypto/secret_memory.h"

#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "common/crypto/secret_bytes.h"

#if defined(__SANITIZE_ADDRESS__)
#define NARK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NARK_ASAN 1
#endif
#endif
#ifdef NARK_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace nark {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSlots = 64;

size_t WholePages(size_t size) { return (size + kPage - 1) & ~(kPage - 1); }

uint8_t* MapPages(size_t size) {
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    std::fprintf(stderr, "out of memory: cannot map %zu bytes for a secret\n", size);
    std::abort();
  }
  // Best effort: a kernel without it still keeps the secret.
  (void)::madvise(pages, size, MADV_DONTDUMP);
  return static_cast<uint8_t*>(pages);
}

// 64 slots of one page, and a bit for each: most secrets beyond a key (a grant's
// plaintext, a key file) fit one, and taking it is a compare-and-swap.
class Arena {
 public:
  static Arena& Get() {
    static Arena* arena = new Arena;  // outlives every static SecretBytes
    return *arena;
  }

  // nullptr where it is full.
  uint8_t* Take() {
    uint64_t free = free_.load(std::memory_order_relaxed);
    while (free != 0) {
      if (free_.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return base_ + kPage * static_cast<size_t>(std::countr_zero(free));
      }
    }
    return nullptr;
  }

  bool Owns(const uint8_t* memory) const {
    return memory >= base_ && memory < base_ + kPage * kSlots;
  }

  void Give(const uint8_t* slot) {
    size_t index = static_cast<size_t>(slot - base_) / kPage;
    free_.fetch_or(uint64_t{1} << index, std::memory_order_release);
  }

 private:
  Arena() : base_(MapPages(kPage * kSlots)) {
    // Best effort: RLIMIT_MEMLOCK may forbid it.
    (void)::mlock2(base_, kPage * kSlots, MLOCK_ONFAULT);
    ASAN_POISON_MEMORY_REGION(base_, kPage * kSlots);
  }

  uint8_t* base_;
  std::atomic<uint64_t> free_{~uint64_t{0}};
};

}  // namespace

uint8_t* AllocateSecret(size_t size) {
  size_t room = WholePages(size);
  uint8_t* memory = room == kPage ? Arena::Get().Take() : nullptr;
  if (memory == nullptr) memory = MapPages(room);
  ASAN_UNPOISON_MEMORY_REGION(memory, size);
  ASAN_POISON_MEMORY_REGION(memory + size, room - size);
  return memory;
}

void FreeSecret(uint8_t* memory, size_t size) {
  size_t room = WholePages(size);
  Wipe({memory, size});
  if (Arena::Get().Owns(memory)) {
    ASAN_POISON_MEMORY_REGION(memory, room);
    Arena::Get().Give(memory);
    return;
  }
  ASAN_UNPOISON_MEMORY_REGION(memory, room);
  ::munmap(memory, room);
}

}  // namespace nark
