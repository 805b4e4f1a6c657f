#ifndef NARK_COMMON_NET_SINK_SOCKET_H_
#define NARK_COMMON_NET_SINK_SOCKET_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "common/net/descriptor.h"

namespace nark::net {

// A connected socket that sends to an address, and the largest datagram that it may.
struct SinkSocket {
  Descriptor socket;
  size_t datagram_bytes = 0;
};

// Errors as OpenUdpSink. `rule` stands for the address's own.
absl::StatusOr<SinkSocket> OpenSinkSocket(const UdpAddress& address, MtuRule rule,
                                          const Notify& notify);

// INVALID_ARGUMENT: a datagram of `bytes` is more than the interface carries whole.
absl::Status TooLarge(const UdpAddress& address, const Descriptor& socket, size_t bytes);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_SINK_SOCKET_H_
