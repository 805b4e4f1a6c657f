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

// A datagram in two pieces of memory, sent as one: nothing is copied together.
struct GatheredDatagram {
  ByteView head;
  ByteView body;  // may be empty
  size_t size() const { return head.size() + body.size(); }
};

// Where datagrams go. One thread only.
class DatagramSink {
 public:
  virtual ~DatagramSink() = default;
  // Sends in order, in as few system calls as it can. Blocks while the socket's
  // buffer is full. A lost datagram is no error.
  virtual absl::Status Send(std::span<const ByteView> datagrams) = 0;
  // The same; joins the pieces first where the sink has no better way.
  virtual absl::Status SendGathered(std::span<const GatheredDatagram> datagrams);
  // Datagrams that the network refused (interface down, no route, a firewall's
  // veto), dropped and only counted.
  virtual uint64_t lost() const { return 0; }
};

// Where datagrams come from. One thread only.
class DatagramSource {
 public:
  virtual ~DatagramSource() = default;
  // Hands over what is there, at most `most` datagrams, without blocking; views
  // are valid during the call only. Returns how many; fewer than `most` only
  // where nothing is left, so that it is safe to poll() again.
  virtual absl::StatusOr<size_t> Receive(size_t most,
                                         absl::FunctionRef<void(ByteView)> consume) = 0;
  // For poll(); -1 where there is nothing to poll.
  virtual int descriptor() const = 0;
  // Nothing will ever come again (the end of a file).
  virtual bool exhausted() const { return false; }
  // Datagrams that the kernel dropped because the receive buffer was full.
  virtual uint64_t lost() const { return 0; }
};

// Whether the kernel may be asked to cut and join runs of datagrams (UDP GSO and
// GRO). kRefuse is for tests and measurements: it is tried, and done without where
// it is missing, anyway.
enum class Offload { kUse, kRefuse };

// udp://[SOURCE@]GROUP:PORT?adapter=IFACE&ttl=N&rcvbuf=N&sndbuf=N&mtu=N, or
// unicast udp://HOST:PORT for outputs. [IPv6] in brackets.
struct UdpAddress {
  std::string source;   // SSM source; empty for any
  std::string address;  // numeric; for unicast outputs also a host name
  uint16_t port = 0;
  std::string adapter;  // interface name; empty for the route's
  int ttl = 1;          // hop limit for IPv6; 64 for unicast unless given
  int receive_buffer_bytes = 8 << 20;
  int send_buffer_bytes = 2 << 20;
  // Of a datagram's payload: `mtu` less the 48 bytes of IPv6 and UDP headers.
  int datagram_bytes = 1452;
  Offload offload = Offload::kUse;  // no part of the URI

  // Strict: unknown, repeated and empty parameters are refused. INVALID_ARGUMENT
  // names the URI and the part that is wrong.
  static absl::StatusOr<UdpAddress> Parse(std::string_view uri);
  bool multicast() const;
  // "239.1.1.1:5000", "[ff15::1]:5000".
  std::string HostPort() const;
};

// Sends to a group or host, with sendmmsg and UDP GSO where the kernel has it. To a
// group: out of the adapter and from its address, heard on this machine as well.
// NOT_FOUND where the interface does not exist, UNAVAILABLE without a route.
absl::StatusOr<std::unique_ptr<DatagramSink>> OpenUdpSink(const UdpAddress& address);

// Joins the group and binds to the group's own address, so that nothing else that
// arrives on the port is seen; recvmmsg, and UDP GRO where the kernel has it. A
// unicast address is bound to. Errors as above.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenUdpSource(const UdpAddress& address);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_IO_H_
