#include "common/net/socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::net {

absl::StatusOr<Adapter> FindAdapter(const std::string& name) {
  Adapter adapter;
  if (name.empty()) return adapter;
  adapter.index = ::if_nametoindex(name.c_str());
  if (adapter.index == 0) {
    return absl::NotFoundError(
        absl::StrCat("no network interface is named ", name, "; `ip link` lists them"));
  }
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return absl::InternalError(absl::StrCat("cannot list interfaces: ", std::strerror(errno)));
  }
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    if (name != one->ifa_name) continue;
    adapter.ipv4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
    break;
  }
  ::freeifaddrs(list);
  return adapter;
}

absl::StatusOr<SocketAddress> Resolve(const std::string& host, uint16_t port, unsigned scope) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
    return address;
  }
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    v6->sin6_scope_id = scope;
    address.size = sizeof *v6;
    return address;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot find the host ", host, ": ", ::gai_strerror(error)));
  }
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

absl::StatusOr<Descriptor> OpenUdpSocket(int family) {
  Descriptor socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.fd() < 0) {
    return absl::InternalError(absl::StrCat("cannot open a socket: ", std::strerror(errno)));
  }
  return socket;
}

absl::Status SocketError(int error, std::string_view what, const UdpAddress& address) {
  std::string message =
      absl::StrCat(Absl(what), " ", address.HostPort(), address.adapter.empty() ? "" : " on ",
                   address.adapter, ": ", std::strerror(error));
  switch (error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENODEV:
      return absl::UnavailableError(absl::StrCat(
          message, address.adapter.empty() ? "; no route leads there, name an interface with "
                                             "?adapter=IFACE"
                                           : "; the interface does not carry multicast"));
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat(message, "; another program holds the port, choose another one"));
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(
          absl::StrCat(message, "; neither a multicast group nor an address of this machine"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EMSGSIZE:
      return absl::InvalidArgumentError(
          absl::StrCat(message, "; lower the datagram size with ?mtu=N"));
    default:
      return absl::InternalError(message);
  }
}

}  // namespace nark::net
