// Whatever the datagram: the payload lies inside it and is whole packets of a transport
// stream, or the datagram is taken as it is.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sender/rtp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::optional<nark::sender::RtpPacket> packet = nark::sender::ParseRtp({data, size});
  if (!packet.has_value()) return 0;
  nark::ByteView payload = packet->payload;
  if (payload.data() < data + 12 || payload.data() + payload.size() > data + size) std::abort();
  if (payload.empty() || payload.size() % 188 != 0) std::abort();
  for (size_t at = 0; at < payload.size(); at += 188) {
    if (payload[at] != 0x47) std::abort();
  }
  return 0;
}
