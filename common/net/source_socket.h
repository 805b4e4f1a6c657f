#ifndef NARK_COMMON_NET_SOURCE_SOCKET_H_
#define NARK_COMMON_NET_SOURCE_SOCKET_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "common/net/descriptor.h"
#include "common/net/socket.h"

namespace nark::net {

// A socket that hears a group or an address, and the interfaces it has joined on.
struct SourceSocket {
  Descriptor socket;
  std::vector<Adapter> adapters;
};

// The interfaces that the address names, or the routes choose, as they are now, in the
// order of their names there: index 0 for one that does not exist.
std::vector<Adapter> FindAdapters(const UdpAddress& address);

// Whether an interface that does not exist is an error, or joined on later.
enum class Missing { kRefuse, kSkip };

// Errors as OpenUdpSource.
absl::StatusOr<SourceSocket> OpenSourceSocket(const UdpAddress& address, Missing missing,
                                              const Notify& notify);

// Sizes the receive buffer and asks for what a source of datagrams can use.
void SetUpReading(const Descriptor& socket, const UdpAddress& address, const Notify& notify);

// Reads a socket that is bound or connected and set up so; `address` is for messages.
std::unique_ptr<DatagramSource> ReadUdpSocket(Descriptor socket, const UdpAddress& address);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_SOURCE_SOCKET_H_
