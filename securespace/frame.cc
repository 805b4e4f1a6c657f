#include "securespace/frame.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace nark::securespace {
namespace {

// Holds a list of a hundred headers.
constexpr size_t kSmallBuffer = 64 << 10;
// Holds one of some three hundred, and stays with a connection that sent one: pages that
// are mapped anew for each cost more than what they carry.
constexpr size_t kKeptBuffer = 256 << 10;

}  // namespace

FrameReader::FrameReader(size_t max_message_bytes)
    : max_message_bytes_(max_message_bytes), buffer_(kSmallBuffer) {}

size_t FrameReader::FrameBytes() const {
  if (end_ - begin_ < kFrameHeaderBytes) return kFrameHeaderBytes;
  return kFrameHeaderBytes + LoadBig32(buffer_.Reveal().data() + begin_);
}

void FrameReader::MoveTo(size_t size) {
  ByteView held = buffer_.Reveal().subspan(begin_, end_ - begin_);
  if (size == buffer_.size()) {
    std::copy(held.begin(), held.end(), buffer_.RevealMutable().begin());
  } else {
    SecretBytes other(size);
    std::copy(held.begin(), held.end(), other.RevealMutable().begin());
    buffer_ = std::move(other);
  }
  end_ -= begin_;
  begin_ = 0;
}

MutableByteView FrameReader::Room() {
  if (begin_ == end_) {
    if (buffer_.size() > kKeptBuffer) buffer_ = SecretBytes(kSmallBuffer);
    begin_ = end_ = 0;
  }
  const size_t wanted = FrameBytes();
  if (end_ == buffer_.size() || begin_ + wanted > buffer_.size()) {
    if (begin_ > 0) {
      MoveTo(buffer_.size());
    } else if (end_ == buffer_.size()) {
      MoveTo(std::min(wanted, 2 * buffer_.size()));
    }
  }
  return buffer_.RevealMutable().subspan(end_);
}

void FrameReader::Received(size_t bytes) { end_ += bytes; }

absl::StatusOr<std::optional<Frame>> FrameReader::Next() {
  if (given_ > 0) {
    // Answers hold keys.
    Wipe(buffer_.RevealMutable().subspan(begin_, given_));
    begin_ += std::exchange(given_, 0);
  }
  if (end_ - begin_ < kFrameHeaderBytes) return std::nullopt;
  const size_t bytes = FrameBytes();
  if (bytes - kFrameHeaderBytes > max_message_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("a frame of ", bytes - kFrameHeaderBytes, " bytes is too long"));
  }
  if (end_ - begin_ < bytes) return std::nullopt;
  given_ = bytes;
  ByteView frame = buffer_.Reveal().subspan(begin_, bytes);
  return Frame{frame[4], frame.subspan(kFrameHeaderBytes)};
}

void WriteFrameHeader(uint8_t kind, size_t message_bytes, uint8_t* to) {
  StoreBig32(to, static_cast<uint32_t>(message_bytes));
  to[4] = kind;
}

SecretBytes MakeFrame(uint8_t kind, size_t message_bytes) {
  SecretBytes frame(kFrameHeaderBytes + message_bytes);
  WriteFrameHeader(kind, message_bytes, frame.RevealMutable().data());
  return frame;
}

SecretBytes MakeFrame(uint8_t kind, ByteView message) {
  SecretBytes frame = MakeFrame(kind, message.size());
  std::copy(message.begin(), message.end(), MessageIn(frame).begin());
  return frame;
}

}  // namespace nark::securespace
