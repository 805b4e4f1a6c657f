#ifndef NARK_COMMON_NET_DATAGRAM_IO_H_
#define NARK_COMMON_NET_DATAGRAM_IO_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::net {

// Where datagrams go. One thread only.
class DatagramSink {
 public:
  virtual ~DatagramSink() = default;
  // Sends in order, in as few system calls as it can. Blocks while the socket's
  // buffer is full. A lost datagram is no error.
  virtual absl::Status Send(std::span<const ByteView> datagrams) = 0;
};

// Where datagrams come from. One thread only.
class DatagramSource {
 public:
  virtual ~DatagramSource() = default;
  // Hands over what is there, at most `most` datagrams, without blocking; views
  // are valid during the call only. Returns how many.
  virtual absl::StatusOr<size_t> Receive(size_t most,
                                         absl::FunctionRef<void(ByteView)> consume) = 0;
  // For poll(); -1 where there is nothing to poll.
  virtual int descriptor() const = 0;
};

// udp://[SOURCE@]GROUP:PORT?adapter=IFACE&ttl=N&rcvbuf=N&sndbuf=N&mtu=N, or
// unicast udp://HOST:PORT for outputs. [IPv6] in brackets.
struct UdpAddress {
  std::string source;   // SSM source; empty for any
  std::string address;  // numeric
  uint16_t port = 0;
  std::string adapter;  // interface name; empty for the route's
  int ttl = 1;
  int receive_buffer_bytes = 8 << 20;
  int send_buffer_bytes = 2 << 20;
  int datagram_bytes = 1452;
  static absl::StatusOr<UdpAddress> Parse(std::string_view uri);
  bool multicast() const;
};

// Sends to a group or host, with sendmmsg and UDP GSO where the kernel has it.
absl::StatusOr<std::unique_ptr<DatagramSink>> OpenUdpSink(const UdpAddress& address);

// Joins the group and binds to the group's own address, so that nothing else that
// arrives on the port is seen; recvmmsg, and UDP GRO where the kernel has it.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenUdpSource(const UdpAddress& address);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_IO_H_
