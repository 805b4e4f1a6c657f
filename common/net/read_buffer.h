#ifndef NARK_COMMON_NET_READ_BUFFER_H_
#define NARK_COMMON_NET_READ_BUFFER_H_

#include <cstddef>
#include <cstring>

#include "common/base/bytes.h"

namespace nark::net {

// What was read and is not used yet. Reading costs what is read: memory is made once, and
// moved only when its end is reached. One thread only.
class ReadBuffer {
 public:
  static constexpr size_t kRoomBytes = 1 << 16;

  // Valid until Room.
  ByteView unread() const { return ByteView(memory_).subspan(begin_, end_ - begin_); }
  // At most all that is unread.
  void Use(size_t bytes) { begin_ += bytes; }
  void Clear() { begin_ = end_ = 0; }

  // Where to read to, behind what is unread: at least kRoomBytes.
  MutableByteView Room() {
    if (memory_.size() - end_ < kRoomBytes) {
      if (begin_ != 0) std::memmove(memory_.data(), memory_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      if (memory_.size() - end_ < kRoomBytes) memory_.resize(end_ + 4 * kRoomBytes);
    }
    return MutableByteView(memory_).subspan(end_);
  }
  // So much of the room now holds what was read.
  void Filled(size_t bytes) { end_ += bytes; }

 private:
  Bytes memory_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace nark::net

#endif  // NARK_COMMON_NET_READ_BUFFER_H_
