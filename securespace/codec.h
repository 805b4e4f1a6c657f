#ifndef NARK_SECURESPACE_CODEC_H_
#define NARK_SECURESPACE_CODEC_H_

#include <cstdint>

#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark::securespace {

// Writes big-endian integers and byte strings (u32 size || bytes) into memory that
// is wiped, as state holds keys. Thread-compatible.
class Writer {
 public:
  void U8(uint8_t value) { *Room(1) = value; }
  void U32(uint32_t value) { StoreBig32(Room(4), value); }
  void U64(uint64_t value) { StoreBig64(Room(8), value); }
  void Raw(ByteView bytes);
  void String(ByteView bytes);

  ByteView bytes() const { return buffer_.Reveal().first(size_); }

 private:
  uint8_t* Room(size_t bytes);
  SecretBytes buffer_;
  size_t size_ = 0;
};

// The mirror. After the first failure everything reads as zero or empty and ok()
// is false. Views into what is read. Thread-compatible.
class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}
  uint8_t U8();
  uint32_t U32();
  uint64_t U64();
  ByteView Raw(size_t bytes);
  ByteView String();
  // A count of items of at least `item_bytes` each: fails where they cannot follow.
  uint32_t Count(size_t item_bytes);

  bool ok() const { return ok_; }
  // All was read, and nothing is left.
  bool done() const { return ok_ && rest_.empty(); }

 private:
  ByteView rest_;
  bool ok_ = true;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_CODEC_H_
