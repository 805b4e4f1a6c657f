#include "securespace/codec.h"

#include <algorithm>

namespace nark::securespace {

uint8_t* Writer::Room(size_t bytes) {
  if (buffer_.size() - size_ < bytes) {
    SecretBytes larger(std::max<size_t>({256, 2 * buffer_.size(), size_ + bytes}));
    std::copy_n(buffer_.Reveal().begin(), size_, larger.RevealMutable().begin());
    buffer_ = std::move(larger);
  }
  uint8_t* room = buffer_.RevealMutable().data() + size_;
  size_ += bytes;
  return room;
}

void Writer::Raw(ByteView bytes) {
  if (!bytes.empty()) std::copy(bytes.begin(), bytes.end(), Room(bytes.size()));
}

void Writer::String(ByteView bytes) {
  U32(static_cast<uint32_t>(bytes.size()));
  Raw(bytes);
}

ByteView Reader::Raw(size_t bytes) {
  if (!ok_ || rest_.size() < bytes) {
    ok_ = false;
    return {};
  }
  ByteView raw = rest_.first(bytes);
  rest_ = rest_.subspan(bytes);
  return raw;
}

uint8_t Reader::U8() {
  ByteView raw = Raw(1);
  return ok_ ? raw[0] : 0;
}

uint32_t Reader::U32() {
  ByteView raw = Raw(4);
  return ok_ ? LoadBig32(raw.data()) : 0;
}

uint64_t Reader::U64() {
  ByteView raw = Raw(8);
  return ok_ ? LoadBig64(raw.data()) : 0;
}

ByteView Reader::String() { return Raw(U32()); }

uint32_t Reader::Count(size_t item_bytes) {
  uint32_t count = U32();
  if (count > rest_.size() / item_bytes) ok_ = false;
  return ok_ ? count : 0;
}

}  // namespace nark::securespace
