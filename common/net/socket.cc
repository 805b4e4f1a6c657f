#include "common/net/socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::net {

namespace {

struct FreeAddresses {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};
using Addresses = std::unique_ptr<ifaddrs, FreeAddresses>;

absl::StatusOr<Addresses> ListAddresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return absl::InternalError(absl::StrCat("cannot list interfaces: ", std::strerror(errno)));
  }
  return Addresses(list);
}

bool SameHost(const sockaddr* one, const SocketAddress& other) {
  if (one == nullptr || one->sa_family != other.family()) return false;
  if (other.family() == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(one)->sin_addr.s_addr == other.v4().sin_addr.s_addr;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(one);
  return std::memcmp(&v6->sin6_addr, &other.v6().sin6_addr, sizeof v6->sin6_addr) == 0;
}

bool NeedsInterface(const SocketAddress& address) {
  if (address.family() != AF_INET6) return false;
  const in6_addr& v6 = address.v6().sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MC_LINKLOCAL(&v6) ||
         IN6_IS_ADDR_MC_NODELOCAL(&v6);
}

}  // namespace

absl::StatusOr<Adapter> FindAdapter(const std::string& name) {
  Adapter adapter;
  if (name.empty()) return adapter;
  adapter.name = name;
  adapter.index = ::if_nametoindex(name.c_str());
  if (adapter.index == 0) {
    return absl::NotFoundError(
        absl::StrCat("no network interface is named ", name, "; `ip link` lists them"));
  }
  ASSIGN_OR_RETURN(Addresses addresses, ListAddresses());
  for (const ifaddrs* one = addresses.get(); one != nullptr; one = one->ifa_next) {
    if (name != one->ifa_name) continue;
    adapter.running = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_RUNNING) != 0;
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    adapter.ipv4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr;
    break;
  }
  return adapter;
}

Adapter AdapterTowards(const SocketAddress& to) {
  // Connecting asks the routes which address would be sent from.
  absl::StatusOr<Descriptor> socket = OpenUdpSocket(to.family());
  SocketAddress from;
  from.size = sizeof from.storage;
  if (!socket.ok() || ::connect(socket->fd(), to.get(), to.size) != 0 ||
      ::getsockname(socket->fd(), reinterpret_cast<sockaddr*>(&from.storage), &from.size) != 0) {
    return {};
  }
  absl::StatusOr<Addresses> addresses = ListAddresses();
  if (!addresses.ok()) return {};
  for (const ifaddrs* one = addresses->get(); one != nullptr; one = one->ifa_next) {
    if (!SameHost(one->ifa_addr, from)) continue;
    absl::StatusOr<Adapter> adapter = FindAdapter(one->ifa_name);
    return adapter.ok() ? *adapter : Adapter{};
  }
  return {};
}

absl::Status CheckScope(const SocketAddress& address, const Adapter& adapter,
                        const UdpAddress& from) {
  if (!NeedsInterface(address)) return absl::OkStatus();
  if (adapter.index != 0 && from.more_adapters.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(from.HostPort(),
                   ": a link-local address is another one on each interface; name one interface "
                   "with ?adapter=IFACE"));
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
    address.size = sizeof *v6;
    if (NeedsInterface(address)) v6->sin6_scope_id = scope;
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

void SizeBuffer(const Descriptor& socket, Buffer buffer, const UdpAddress& address,
                const Notify& notify) {
  bool receive = buffer == Buffer::kReceive;
  int asked = receive ? address.receive_buffer_bytes : address.send_buffer_bytes;
  if (SetOption(socket, SOL_SOCKET, receive ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, asked) != 0) {
    SetOption(socket, SOL_SOCKET, receive ? SO_RCVBUF : SO_SNDBUF, asked);
  }
  int granted = 0;
  socklen_t size = sizeof granted;
  if (notify == nullptr || ::getsockopt(socket.fd(), SOL_SOCKET, receive ? SO_RCVBUF : SO_SNDBUF,
                                        &granted, &size) != 0) {
    return;
  }
  // Linux doubles what it grants, for its own book-keeping (socket(7)).
  granted /= 2;
  if (granted >= asked) return;
  std::string_view limit = receive ? "net.core.rmem_max" : "net.core.wmem_max";
  std::string_view name = receive ? "rcvbuf" : "sndbuf";
  notify(absl::StrCat(address.HostPort(), ": the kernel grants a ", receive ? "receive" : "send",
                      " buffer of ", granted, " bytes instead of ", asked,
                      "; raise it with `sysctl ", "-w ", Absl(limit), "=", asked,
                      "`, or ask for less with ?", Absl(name), "=", granted));
}

int MtuOf(const Descriptor& socket) {
  int family = AF_UNSPEC;
  int mtu = 0;
  socklen_t size = sizeof mtu;
  ::getsockopt(socket.fd(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  bool v4 = family == AF_INET;
  if (::getsockopt(socket.fd(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu,
                   &size) != 0) {
    return 0;
  }
  return mtu;
}

bool IsOwnFault(int error) {
  switch (error) {
    case EBADF:
    case ENOTSOCK:
    case EFAULT:
    case EINVAL:
    case ENOTCONN:
      return true;
    default:
      return false;
  }
}

bool IsOutage(int error) {
  switch (error) {
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENODEV:
    case ENXIO:
    // The address that a socket sends from went with its interface.
    case EADDRNOTAVAIL:
    case EINVAL:
    // A firewall's veto.
    case EPERM:
      return true;
    default:
      return false;
  }
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
