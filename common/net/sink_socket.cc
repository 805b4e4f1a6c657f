#include "common/net/sink_socket.h"

#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/socket.h"

#ifndef IPV6_DONTFRAG
#define IPV6_DONTFRAG 62
#endif

namespace nark::net {
namespace {

constexpr int kHeaders4Bytes = 28;  // IPv4 and UDP
constexpr int kHeaders6Bytes = 48;
constexpr int kSmallestMtu = 576;

absl::Status ChooseMulticast4(const Descriptor& socket, const Adapter& adapter,
                              const UdpAddress& address) {
  // With an index alone a group on lo would be sent from another interface's address.
  ip_mreqn interface {};
  interface.imr_ifindex = static_cast<int>(adapter.index);
  interface.imr_address = adapter.ipv4;
  uint8_t ttl = static_cast<uint8_t>(address.ttl);
  uint8_t loop = address.loop == Loopback::kHeard ? 1 : 0;
  if ((adapter.index != 0 && SetOption(socket, IPPROTO_IP, IP_MULTICAST_IF, interface) != 0) ||
      SetOption(socket, IPPROTO_IP, IP_MULTICAST_TTL, ttl) != 0 ||
      SetOption(socket, IPPROTO_IP, IP_MULTICAST_LOOP, loop) != 0) {
    return SocketError(errno, "cannot send to", address);
  }
  return absl::OkStatus();
}

absl::Status ChooseMulticast6(const Descriptor& socket, const Adapter& adapter,
                              const UdpAddress& address) {
  int index = static_cast<int>(adapter.index);
  int loop = address.loop == Loopback::kHeard ? 1 : 0;
  if ((index != 0 && SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, index) != 0) ||
      SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, address.ttl) != 0 ||
      SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loop) != 0) {
    return SocketError(errno, "cannot send to", address);
  }
  return absl::OkStatus();
}

absl::Status ChooseUnicast(const Descriptor& socket, int family, const UdpAddress& address) {
  bool v4 = family == AF_INET;
  if (SetOption(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS,
                address.ttl) != 0 ||
      (!address.adapter.empty() &&
       ::setsockopt(socket.fd(), SOL_SOCKET, SO_BINDTODEVICE, address.adapter.c_str(),
                    static_cast<socklen_t>(address.adapter.size())) != 0)) {
    return SocketError(errno, "cannot send to", address);
  }
  return absl::OkStatus();
}

// DSCP, and that nothing is cut by IP: a datagram that arrives in pieces is lost with
// any of them, and firewalls drop pieces. PROBE goes by the interface alone; what
// routers answer, which anybody can forge, shrinks nothing.
absl::Status SetIpFields(const Descriptor& socket, int family, const UdpAddress& address) {
  int octet = address.dscp << 2;
  bool v4 = family == AF_INET;
  int discover = v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
  int on = 1;
  if (SetOption(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, octet) != 0 ||
      SetOption(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
                discover) != 0 ||
      (!v4 && SetOption(socket, IPPROTO_IPV6, IPV6_DONTFRAG, on) != 0)) {
    return SocketError(errno, "cannot send to", address);
  }
  return absl::OkStatus();
}

absl::Status BindToSource(const Descriptor& socket, const Adapter& adapter,
                          const UdpAddress& address) {
  if (address.source.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(SocketAddress from, Resolve(address.source, 0, adapter.index));
  RETURN_IF_ERROR(CheckScope(from, adapter, address));
  if (::bind(socket.fd(), from.get(), from.size) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(address.source, ", the source to send to ", address.HostPort(),
                   " from, is not this machine's: ", std::strerror(errno)));
}

// The interface's, whatever a router (anybody may pose as one) said of the way before.
int InterfaceMtu(const Descriptor& socket, const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return 0;
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  return ::ioctl(socket.fd(), SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0;
}

absl::StatusOr<size_t> ChooseDatagramBytes(const Descriptor& socket, const SocketAddress& to,
                                           MtuRule rule, const UdpAddress& address,
                                           const Notify& notify) {
  int headers = to.family() == AF_INET ? kHeaders4Bytes : kHeaders6Bytes;
  std::string interface = address.adapter.empty() ? AdapterTowards(to).name : address.adapter;
  // To an address of this machine's own the route, over lo, carries more.
  int mtu = std::max(MtuOf(socket), InterfaceMtu(socket, interface));
  int bytes = address.datagram_bytes;
  if (mtu == 0 || bytes + headers <= mtu) return static_cast<size_t>(bytes);
  std::string where = absl::StrCat(address.HostPort(), address.adapter.empty() ? "" : " on ",
                                   address.adapter, ": the way");
  if (mtu < kSmallestMtu) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, " carries ", mtu, " bytes at most; raise its MTU to ", kSmallestMtu, " or more"));
  }
  if (rule == MtuRule::kAsked) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " carries ", mtu, " bytes at most; use ?mtu=", mtu,
                     ", or raise the interface's MTU (`ip link set IFACE mtu N`)"));
  }
  bytes = mtu - headers;
  if (notify) {
    notify(absl::StrCat(where, " carries ", mtu, " bytes at most: datagrams have ", bytes,
                        " bytes instead of ", address.datagram_bytes));
  }
  return static_cast<size_t>(bytes);
}

}  // namespace

absl::StatusOr<SinkSocket> OpenSinkSocket(const UdpAddress& address, MtuRule rule,
                                          const Notify& notify) {
  if (!address.more_adapters.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(address.HostPort(), ": only receivers use several adapters; name one"));
  }
  ASSIGN_OR_RETURN(Adapter adapter, FindAdapter(address.adapter));
  ASSIGN_OR_RETURN(SocketAddress to, Resolve(address.address, address.port, adapter.index));
  RETURN_IF_ERROR(CheckScope(to, adapter, address));
  ASSIGN_OR_RETURN(Descriptor socket, OpenUdpSocket(to.family()));
  if (!address.multicast()) {
    RETURN_IF_ERROR(ChooseUnicast(socket, to.family(), address));
  } else if (to.family() == AF_INET) {
    RETURN_IF_ERROR(ChooseMulticast4(socket, adapter, address));
  } else {
    RETURN_IF_ERROR(ChooseMulticast6(socket, adapter, address));
  }
  RETURN_IF_ERROR(SetIpFields(socket, to.family(), address));
  SizeBuffer(socket, Buffer::kSend, address, notify);
  RETURN_IF_ERROR(BindToSource(socket, adapter, address));
  // The route is looked up once, and its absence is known now.
  if (::connect(socket.fd(), to.get(), to.size) != 0) {
    return SocketError(errno, "cannot send to", address);
  }
  ASSIGN_OR_RETURN(size_t bytes, ChooseDatagramBytes(socket, to, rule, address, notify));
  return SinkSocket{std::move(socket), bytes};
}

absl::Status TooLarge(const UdpAddress& address, const Descriptor& socket, size_t bytes) {
  int mtu = MtuOf(socket);
  return absl::InvalidArgumentError(
      absl::StrCat("cannot send to ", address.HostPort(), address.adapter.empty() ? "" : " on ",
                   address.adapter, ": a datagram of ", bytes, " bytes is more than the interface ",
                   "carries whole; start again with ?mtu=", mtu));
}

}  // namespace nark::net
