#ifndef NARK_COMMON_NET_DATAGRAM_IO_H_
#define NARK_COMMON_NET_DATAGRAM_IO_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

// Of a datagram's payload: an MTU of 1500 less the 48 bytes of IPv6 and UDP headers.
inline constexpr int kDefaultDatagramBytes = 1452;

// Called with what people should know, one line: a buffer smaller than asked for, an
// interface that went down or came back. On the thread that uses the sink or source.
using Notify = std::function<void(const std::string&)>;

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
  // The largest datagram that it takes.
  virtual size_t datagram_bytes() const { return kDefaultDatagramBytes; }
};

class Recording;

// Where datagrams come from. One thread only.
class DatagramSource {
 public:
  virtual ~DatagramSource() = default;
  // Hands over what is there, at most `most` datagrams, without blocking; views
  // are valid during the call only. Returns how many; fewer than `most` only where
  // more() is true or nothing is left, so that it is safe to poll() again. A call is
  // short: what has to be looked through before a datagram is found takes several.
  virtual absl::StatusOr<size_t> Receive(size_t most,
                                         absl::FunctionRef<void(ByteView)> consume) = 0;
  // For poll(); -1 where there is nothing to poll.
  virtual int descriptor() const = 0;
  // The last call stopped early, or there is nothing to poll() for: another one may hand over
  // more at once.
  virtual bool more() const { return false; }
  // Nothing will ever come again (the end of a file).
  virtual bool exhausted() const { return false; }
  // Datagrams that the kernel dropped because the receive buffer was full.
  virtual uint64_t lost() const { return 0; }
  // Itself, where it is one.
  virtual Recording* recording() { return nullptr; }
};

// A source that is read and not listened to: what is not received stays there.
class Recording : public DatagramSource {
 public:
  Recording* recording() override { return this; }
  // Of what is played of it (PlayRange), times that count from the beginning count from
  // this signed time, of a header that has verified; it goes on at its place. Of a range
  // that counts from the epoch, and after the first call, nothing. lseek(2)'s errors.
  virtual absl::Status SetBeginning(uint64_t signed_time_us) = 0;
  // Nothing so far was damaged: what comes stands as it was recorded, each stream in order.
  virtual bool in_order() const = 0;
};

// Whether the kernel may be asked to cut and join runs of datagrams (UDP GSO and
// GRO). kRefuse is for tests and measurements: it is tried, and done without where
// it is missing, anyway.
enum class Offload { kUse, kRefuse };

// Whether what is sent to a group is heard on this machine too.
enum class Loopback { kHeard, kMuted };

// kFit: datagrams shrink to what the interface carries. kAsked: opening is refused
// where it carries less.
enum class MtuRule { kFit, kAsked };

// udp://[SOURCE@]GROUP:PORT?adapter=IFACE&ttl=N&dscp=N&loop=0|1&rcvbuf=N&sndbuf=N&mtu=N,
// or unicast udp://[SOURCE@]HOST:PORT. [IPv6] in brackets; [IPv6%IFACE] is adapter=IFACE.
struct UdpAddress {
  // Where a sink sends from. To a group: also the only host that a source hears.
  // Empty: the routes' choice, any.
  std::string source;
  std::string address;  // numeric; for unicast outputs also a host name
  uint16_t port = 0;
  std::string adapter;  // interface name; empty for the route's
  // Interfaces on which a source joins besides (adapter=a,b).
  std::vector<std::string> more_adapters;
  int ttl = 1;   // hop limit for IPv6; 64 for unicast unless given
  int dscp = 0;  // RFC 2474
  Loopback loop = Loopback::kHeard;
  int receive_buffer_bytes = 8 << 20;
  int send_buffer_bytes = 2 << 20;
  int datagram_bytes = kDefaultDatagramBytes;  // `mtu` less the headers' 48
  MtuRule mtu_rule = MtuRule::kFit;
  Offload offload = Offload::kUse;  // no part of the URI

  // Strict: unknown, repeated and empty parameters are refused. INVALID_ARGUMENT
  // names the URI and the part that is wrong.
  static absl::StatusOr<UdpAddress> Parse(std::string_view uri);
  bool multicast() const;
  // In 232.0.0.0/8 or ff3x::/32 (RFC 4607): routers carry it for a named source only.
  bool source_specific() const;
  // "239.1.1.1:5000", "[ff15::1]:5000".
  std::string HostPort() const;
};

// Sends to a group or host, with sendmmsg and UDP GSO where the kernel has it. To a
// group: out of the adapter and from its address. IP fragments nothing: what the
// interface does not carry whole is an INVALID_ARGUMENT that names the right ?mtu=.
// While the network is down datagrams are lost; when it is back, also as a new
// interface of the same name, sending goes on by itself. NOT_FOUND where the
// interface does not exist, UNAVAILABLE without a route.
absl::StatusOr<std::unique_ptr<DatagramSink>> OpenUdpSink(const UdpAddress& address,
                                                          Notify notify = nullptr);

// Joins the group and binds to the group's own address, so that nothing else that
// arrives on the port is seen; recvmmsg, and UDP GRO where the kernel has it. A
// unicast address is bound to. Joins again when an interface comes back: its
// descriptor is readable then, too. Errors as above; an interface must exist, but
// needs no address, nor be up.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenUdpSource(const UdpAddress& address,
                                                              Notify notify = nullptr);

// `error` of a receive: it is a mistake of this program's or the machine's, and not
// something that the network said, or that there is nothing.
bool IsOwnFault(int error);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_IO_H_
