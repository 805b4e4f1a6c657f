#include "common/net/source_socket.h"

#include <netinet/udp.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

namespace nark::net {
namespace {

std::vector<std::string> Names(const UdpAddress& address) {
  std::vector<std::string> names = {address.adapter};
  names.insert(names.end(), address.more_adapters.begin(), address.more_adapters.end());
  return names;
}

// RFC 3678: the protocol-independent calls, which name an interface by its index.
absl::Status JoinOn(const Descriptor& socket, const SocketAddress& group, const Adapter& adapter,
                    const UdpAddress& address) {
  int level = group.family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  int joined = 0;
  if (address.source.empty()) {
    group_req membership{};
    membership.gr_interface = adapter.index;
    membership.gr_group = group.storage;
    joined = SetOption(socket, level, MCAST_JOIN_GROUP, membership);
  } else {
    ASSIGN_OR_RETURN(SocketAddress source, Resolve(address.source, 0, adapter.index));
    RETURN_IF_ERROR(CheckScope(source, adapter, address));
    group_source_req membership{};
    membership.gsr_interface = adapter.index;
    membership.gsr_group = group.storage;
    membership.gsr_source = source.storage;
    joined = SetOption(socket, level, MCAST_JOIN_SOURCE_GROUP, membership);
  }
  if (joined != 0) return SocketError(errno, "cannot join", address);
  return absl::OkStatus();
}

// Only what this socket joined, from whom it joined it, and not what others did here.
absl::Status HearOwnGroupOnly(const Descriptor& socket, int family, const UdpAddress& address) {
  int all = 0;
  if (family == AF_INET6) {
    // Linux 4.20; before, the bind to the group suffices.
    SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, all);
    // For IPv6 Linux does not compare the interface: what another program joined on its
    // own would be heard too. Before Linux 5.7 this needs privilege, and is done without.
    if (!address.adapter.empty() && address.more_adapters.empty()) {
      (void)::setsockopt(socket.fd(), SOL_SOCKET, SO_BINDTODEVICE, address.adapter.c_str(),
                         static_cast<socklen_t>(address.adapter.size()));
    }
  } else if (SetOption(socket, IPPROTO_IP, IP_MULTICAST_ALL, all) != 0) {
    return SocketError(errno, "cannot join", address);
  }
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> Bound(const SocketAddress& at, const UdpAddress& address,
                                 const Notify& notify) {
  ASSIGN_OR_RETURN(Descriptor socket, OpenUdpSocket(at.family()));
  int on = 1;
  // Several receivers of one group share a machine; a unicast port is one program's.
  if (address.multicast() && SetOption(socket, SOL_SOCKET, SO_REUSEADDR, on) != 0) {
    return SocketError(errno, "cannot share", address);
  }
  SetUpReading(socket, address, notify);
  if (::bind(socket.fd(), at.get(), at.size) != 0) {
    return SocketError(errno, "cannot listen at", address);
  }
  return socket;
}

}  // namespace

void SetUpReading(const Descriptor& socket, const UdpAddress& address, const Notify& notify) {
  SizeBuffer(socket, Buffer::kReceive, address, notify);
  const int on = 1;
  // Both are missing from some kernels, and done without there.
  SetOption(socket, SOL_SOCKET, SO_RXQ_OVFL, on);
  if (address.offload == Offload::kUse) SetOption(socket, SOL_UDP, UDP_GRO, on);
}

std::vector<Adapter> FindAdapters(const UdpAddress& address) {
  std::vector<Adapter> adapters;
  if (address.adapter.empty()) {
    absl::StatusOr<SocketAddress> group = Resolve(address.address, address.port, 0);
    adapters.push_back(group.ok() ? AdapterTowards(*group) : Adapter{});
    return adapters;
  }
  for (const std::string& name : Names(address)) {
    absl::StatusOr<Adapter> found = FindAdapter(name);
    adapters.push_back(found.ok() ? *found : Adapter{});
    adapters.back().name = name;
  }
  return adapters;
}

absl::StatusOr<SourceSocket> OpenSourceSocket(const UdpAddress& address, Missing missing,
                                              const Notify& notify) {
  SourceSocket opened;
  if (!address.multicast()) {
    if (!address.source.empty() || !address.more_adapters.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          address.HostPort(),
          ": only a group is received from one source or on several adapters; leave them out"));
    }
    ASSIGN_OR_RETURN(Adapter adapter, FindAdapter(address.adapter));
    ASSIGN_OR_RETURN(SocketAddress at, Resolve(address.address, address.port, adapter.index));
    RETURN_IF_ERROR(CheckScope(at, adapter, address));
    ASSIGN_OR_RETURN(opened.socket, Bound(at, address, notify));
    return opened;
  }
  if (missing == Missing::kRefuse) {
    for (const std::string& name : Names(address)) RETURN_IF_ERROR(FindAdapter(name).status());
  }
  opened.adapters = FindAdapters(address);
  const Adapter& first = opened.adapters[0];
  ASSIGN_OR_RETURN(SocketAddress group, Resolve(address.address, address.port, first.index));
  RETURN_IF_ERROR(CheckScope(group, first, address));
  ASSIGN_OR_RETURN(opened.socket, Bound(group, address, notify));
  RETURN_IF_ERROR(HearOwnGroupOnly(opened.socket, group.family(), address));
  for (const Adapter& adapter : opened.adapters) {
    if (adapter.index == 0 && !address.adapter.empty()) continue;
    RETURN_IF_ERROR(JoinOn(opened.socket, group, adapter, address));
  }
  return opened;
}

}  // namespace nark::net
