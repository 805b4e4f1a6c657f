#include "sender/rtp.h"

#include "sender/transport_stream.h"

namespace nark::sender {
namespace {

//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
// |                           timestamp                           |
// |           synchronization source (SSRC) identifier            |
// |            contributing source (CSRC) identifiers             |
// X: |  defined by profile  |  length in words  | header extension |
constexpr size_t kHeaderBytes = 12;
constexpr size_t kWordBytes = 4;
constexpr uint8_t kTransportStream = 33;  // RFC 3551, MP2T

size_t LoadBig16(const uint8_t* at) { return static_cast<size_t>(at[0]) << 8 | at[1]; }

}  // namespace

std::optional<RtpPacket> ParseRtp(ByteView datagram) {
  if (datagram.size() < kHeaderBytes || datagram[0] >> 6 != 2) return std::nullopt;
  if ((datagram[1] & 0x7f) != kTransportStream) return std::nullopt;
  size_t begin = kHeaderBytes + kWordBytes * (datagram[0] & 0x0f);
  if ((datagram[0] & 0x10) != 0) {
    if (datagram.size() < begin + kWordBytes) return std::nullopt;
    begin += kWordBytes + kWordBytes * LoadBig16(&datagram[begin + 2]);
  }
  size_t end = datagram.size();
  if ((datagram[0] & 0x20) != 0) {
    size_t padding = datagram.back();
    if (padding == 0 || padding > end) return std::nullopt;
    end -= padding;
  }
  if (begin >= end || (end - begin) % kPacketBytes != 0) return std::nullopt;
  for (size_t at = begin; at < end; at += kPacketBytes) {
    if (datagram[at] != kSyncByte) return std::nullopt;
  }
  RtpPacket packet;
  packet.sequence = static_cast<uint16_t>(LoadBig16(&datagram[2]));
  packet.source = static_cast<uint32_t>(LoadBig16(&datagram[8]) << 16 | LoadBig16(&datagram[10]));
  packet.payload = datagram.subspan(begin, end - begin);
  return packet;
}

void RtpSequence::See(const RtpPacket& packet) {
  if (source_ != packet.source) {
    // An encoder that started anew counts from anywhere.
    source_ = packet.source;
    next_ = packet.sequence;
  }
  // Sequence numbers wrap: what is half of them ahead was passed already.
  uint16_t ahead = static_cast<uint16_t>(packet.sequence - next_);
  if (ahead >= 0x8000) {
    if (missing_ > 0) --missing_;
    return;
  }
  missing_ += ahead;
  next_ = static_cast<uint16_t>(packet.sequence + 1);
}

}  // namespace nark::sender
