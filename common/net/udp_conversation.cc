#include "common/net/udp_conversation.h"

#include <netinet/in.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/socket.h"
#include "common/net/source_socket.h"

namespace nark::net {
namespace {

class SocketConversation final : public UdpConversation {
 public:
  SocketConversation(int fd, std::unique_ptr<DatagramSource> source, UdpAddress address)
      : fd_(fd), source_(std::move(source)), address_(std::move(address)) {}

  DatagramSource& source() override { return *source_; }

  absl::Status Send(ByteView datagram) override {
    // A refusal that an earlier datagram brought back takes the place of one send.
    for (int tries = 0; tries < 2; ++tries) {
      if (::send(fd_, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        return absl::OkStatus();
      }
      if (errno != ECONNREFUSED && errno != EINTR) break;
    }
    return absl::OkStatus();  // lost: what ICMP brought back may be forged
  }

 private:
  const int fd_;  // source_'s
  std::unique_ptr<DatagramSource> source_;
  UdpAddress address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UdpConversation>> OpenUdpConversation(const UdpAddress& address) {
  if (address.multicast()) {
    return absl::InvalidArgumentError(
        absl::StrCat(address.HostPort(), " is a group; want the address of one host"));
  }
  ASSIGN_OR_RETURN(Adapter adapter, FindAdapter(address.adapter));
  ASSIGN_OR_RETURN(SocketAddress to, Resolve(address.address, address.port, adapter.index));
  ASSIGN_OR_RETURN(Descriptor socket, OpenUdpSocket(to.family()));
  SetUpReading(socket, address, nullptr);
  const int probe = IP_PMTUDISC_PROBE;
  // What a router says of its MTU can be forged, and is not believed.
  SetOption(socket, IPPROTO_IP, IP_MTU_DISCOVER, probe);
  if (to.family() == AF_INET6) SetOption(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, probe);
  if (::connect(socket.fd(), to.get(), to.size) != 0) {
    return SocketError(errno, "cannot reach", address);
  }
  const int fd = socket.fd();
  return std::unique_ptr<UdpConversation>(
      std::make_unique<SocketConversation>(fd, ReadUdpSocket(std::move(socket), address), address));
}

}  // namespace nark::net
