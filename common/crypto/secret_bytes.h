#ifndef NARK_COMMON_CRYPTO_SECRET_BYTES_H_
#define NARK_COMMON_CRYPTO_SECRET_BYTES_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "common/base/bytes.h"

namespace nark {

// Bytes that must not be logged, copied by accident, compared in variable time
// or left behind in memory. Move-only; wiped on destruction and when moved from;
// has no formatter. More than 64 bytes live in pages of their own, left out of
// core dumps and, where the limit on locked memory allows, never swapped; fewer
// live in the object itself, wherever that is, which only DisableCoreDumps()
// protects. Thread-compatible.
class SecretBytes {
 public:
  SecretBytes() = default;
  // Zeroed.
  explicit SecretBytes(size_t size);
  // A copy of `plain`; wiping `plain` is the caller's business.
  static SecretBytes CopyOf(ByteView plain);
  ~SecretBytes();
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  // A deliberate second copy.
  SecretBytes Clone() const { return CopyOf(Reveal()); }

  // The bytes themselves. Grep for it.
  ByteView Reveal() const { return {data(), size_}; }
  MutableByteView RevealMutable() { return {data(), size_}; }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Constant time in the content.
  friend bool operator==(const SecretBytes& a, const SecretBytes& b);

 private:
  static constexpr size_t kInline = 64;
  const uint8_t* data() const { return size_ <= kInline ? inline_ : heap_; }
  uint8_t* data() { return size_ <= kInline ? inline_ : heap_; }
  void Wipe();

  size_t size_ = 0;
  // Keys are small: no allocation for up to 64 bytes.
  union {
    uint8_t inline_[kInline] = {};
    uint8_t* heap_;
  };
};

// Overwrites memory in a way that no compiler removes.
void Wipe(MutableByteView memory);

// Forbids core dumps and attaching debuggers (PR_SET_DUMPABLE, RLIMIT_CORE) for
// the life of the process, and leaves its memory out of images that root makes of it
// all the same (/proc/self/coredump_filter, where it can be written). Every main that
// holds a key calls it first.
absl::Status DisableCoreDumps();

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_SECRET_BYTES_H_
