#ifndef NARK_SENDER_RTP_H_
#define NARK_SENDER_RTP_H_

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"

namespace nark::sender {

struct RtpPacket {
  uint16_t sequence = 0;
  uint32_t source = 0;  // SSRC
  ByteView payload;     // whole transport stream packets
};

// A transport stream in RTP (RFC 3550 section 5.1, RFC 2250 section 2): version 2,
// payload type 33, and at least one packet of 188 bytes, each with its sync byte,
// behind a header that is whole. Nothing otherwise: no transport stream, nor any part
// of one that begins with a packet, looks so.
std::optional<RtpPacket> ParseRtp(ByteView datagram);

// Counts what is missing from one RTP source's sequence numbers. One thread only.
class RtpSequence {
 public:
  void See(const RtpPacket& packet);
  // Packets that did not come. One that comes late is no longer missing; a repeated one
  // counts as one of those, so the number is a lower bound.
  uint64_t missing() const { return missing_; }

 private:
  std::optional<uint32_t> source_;
  uint16_t next_ = 0;
  uint64_t missing_ = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_RTP_H_
