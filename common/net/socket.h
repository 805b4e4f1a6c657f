#ifndef NARK_COMMON_NET_SOCKET_H_
#define NARK_COMMON_NET_SOCKET_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "common/net/descriptor.h"

namespace nark::net {

// A socket address of either family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  const sockaddr_in& v4() const { return reinterpret_cast<const sockaddr_in&>(storage); }
  const sockaddr_in6& v6() const { return reinterpret_cast<const sockaddr_in6&>(storage); }
};

// A network interface as it is now; index 0 leaves the choice to the routes.
struct Adapter {
  unsigned index = 0;
  in_addr ipv4{};  // its first IPv4 address, 0 where it has none
  std::string name;
  // Up, with a carrier: what is sent may arrive.
  bool running = false;
};

// NOT_FOUND where there is no interface of that name.
absl::StatusOr<Adapter> FindAdapter(const std::string& name);
// The interface out of which the routes lead to `to`; index 0 where none does.
Adapter AdapterTowards(const SocketAddress& to);

// INVALID_ARGUMENT where `address` means something else on each link (fe80::/10,
// ff02::/16) and not just one is named.
absl::Status CheckScope(const SocketAddress& address, const Adapter& adapter,
                        const UdpAddress& from);

// Numeric addresses are read, host names are looked up (blocks).
absl::StatusOr<SocketAddress> Resolve(const std::string& host, uint16_t port, unsigned scope);

absl::StatusOr<Descriptor> OpenUdpSocket(int family);

enum class Buffer { kReceive, kSend };
// Asks for the size that the address wants, with privilege where the process has it;
// tells where the kernel grants less.
void SizeBuffer(const Descriptor& socket, Buffer buffer, const UdpAddress& address,
                const Notify& notify);

// What the route of a connected socket carries whole, IP header included; 0 where
// that is unknown.
int MtuOf(const Descriptor& socket);

// "what ADDRESS: cause", with a hint where the cause is known to puzzle people.
absl::Status SocketError(int error, std::string_view what, const UdpAddress& address);

// `error` of a send or a join: the network is away, and may come back.
bool IsOutage(int error);

template <typename Value>
int SetOption(const Descriptor& socket, int level, int name, const Value& value) {
  return ::setsockopt(socket.fd(), level, name, &value, sizeof value);
}

}  // namespace nark::net

#endif  // NARK_COMMON_NET_SOCKET_H_
