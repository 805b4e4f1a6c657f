#ifndef NARK_COMMON_NET_UDP_CONVERSATION_H_
#define NARK_COMMON_NET_UDP_CONVERSATION_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/net/datagram_io.h"

namespace nark::net {

// Unicast UDP with one host: a source of what comes from its address and port, and
// nothing else. One thread only.
class UdpConversation {
 public:
  virtual ~UdpConversation() = default;
  virtual DatagramSource& source() = 0;
  // One datagram, without blocking; one that is lost, or that nobody takes, is no error.
  virtual absl::Status Send(ByteView datagram) = 0;
};

// `address` is unicast: a host name is looked up (blocks). UNAVAILABLE where there is
// no such host or no route.
absl::StatusOr<std::unique_ptr<UdpConversation>> OpenUdpConversation(const UdpAddress& address);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_UDP_CONVERSATION_H_
