#ifndef NARK_SECURESPACE_FRAME_H_
#define NARK_SECURESPACE_FRAME_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark::securespace {

// The framed protocol of a secure space's socket (docs/wire.md, section 15). A
// client sends the preamble, then a frame a call; each is answered by one, in
// order:
//
//    0  length     4  of the message
//    4  kind       1  a Method, or in an answer an absl::StatusCode
//    5  message       of nark.v1; google.rpc.Status where the code is not 0
inline constexpr std::string_view kFramePreamble = "NARKSS1\n";
inline constexpr size_t kFrameHeaderBytes = 5;

enum class Method : uint8_t {
  kGetIdentity = 1,
  kAttest = 2,
  kInstallGrant = 3,
  kReleaseKeys = 4,
  kOpenAdus = 5,
  kGetDeliveryNote = 6,
  kOpenMarkedBlock = 7,
};

// The most that a message on a secure space's socket measures: 64 ADUs of 16 MiB
// do not fit, so a host sends fewer of that size.
inline constexpr size_t kMaxSocketMessageBytes = 64 << 20;

struct Frame {
  uint8_t kind = 0;
  ByteView message;  // until the reader's next call
};

// Cuts a stream into frames, in memory that is wiped. What a length announces
// costs no memory before its bytes arrive: the buffer at most doubles what has, and
// 256 KiB of it stay.
// Thread-compatible.
class FrameReader {
 public:
  explicit FrameReader(size_t max_message_bytes = kMaxSocketMessageBytes);

  // Where the next bytes go: at least one byte, except while a whole frame waits.
  MutableByteView Room();
  void Received(size_t bytes);

  // The next whole frame; nullopt where more bytes are needed. INVALID_ARGUMENT for
  // a length beyond the limit: the stream is then of no use any more.
  absl::StatusOr<std::optional<Frame>> Next();

  // Nothing of a frame is held.
  bool empty() const { return begin_ == end_; }
  size_t buffer_bytes() const { return buffer_.size(); }

 private:
  // Bytes of the frame that begins the buffer; of its header where that is not whole.
  size_t FrameBytes() const;
  void MoveTo(size_t size);

  const size_t max_message_bytes_;
  SecretBytes buffer_;
  size_t begin_ = 0;  // of what was not yet given out
  size_t end_ = 0;
  size_t given_ = 0;  // bytes of the frame given out last, from begin_
};

// The header of a message of that size, into kFrameHeaderBytes at `to`.
void WriteFrameHeader(uint8_t kind, size_t message_bytes, uint8_t* to);
// Header and room for a message of that size.
SecretBytes MakeFrame(uint8_t kind, size_t message_bytes);
inline MutableByteView MessageIn(SecretBytes& frame) {
  return frame.RevealMutable().subspan(kFrameHeaderBytes);
}
SecretBytes MakeFrame(uint8_t kind, ByteView message);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FRAME_H_
