#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "common/net/socket.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace nark::net {
namespace {

// One message of sendmmsg carries up to this many datagrams of one size (the
// kernel's own limit), cut apart by the kernel or the network card.
constexpr size_t kMaxSegments = 64;
constexpr size_t kMaxMessageBytes = 65000;
constexpr size_t kMaxMessages = 16;

// What the network does to datagrams on their way: they are lost, no more.
bool IsLoss(int error) {
  return error == ECONNREFUSED || error == ENETDOWN || error == ENETUNREACH ||
         error == EHOSTUNREACH || error == EHOSTDOWN || error == ENOBUFS || error == EPERM;
}

// What kernels and network cards without GSO, or with a smaller MTU, answer.
bool IsOffloadRefusal(int error) {
  return error == EINVAL || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT ||
         error == EMSGSIZE;
}

class UdpSink final : public DatagramSink {
 public:
  UdpSink(Descriptor socket, UdpAddress address)
      : socket_(std::move(socket)),
        address_(std::move(address)),
        segments_(address_.offload == Offload::kUse ? kMaxSegments : 1),
        iovecs_(2 * kMaxMessages * kMaxSegments) {}

  absl::Status Send(std::span<const ByteView> datagrams) override {
    whole_.clear();
    for (ByteView datagram : datagrams) whole_.push_back({datagram, {}});
    return SendGathered(whole_);
  }

  absl::Status SendGathered(std::span<const GatheredDatagram> datagrams) override {
    while (!datagrams.empty()) {
      ASSIGN_OR_RETURN(size_t sent, SendSome(datagrams));
      datagrams = datagrams.subspan(sent);
    }
    return absl::OkStatus();
  }

  uint64_t lost() const override { return lost_; }

 private:
  union Control {
    cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  // How many datagrams at the front may go as one message: equal in size, the last
  // may be shorter.
  size_t Run(std::span<const GatheredDatagram> datagrams) const {
    size_t size = datagrams[0].size();
    if (size == 0) return 1;
    size_t most = std::min({segments_, kMaxMessageBytes / size, datagrams.size()});
    size_t count = 1;
    while (count < most && datagrams[count].size() == size) ++count;
    bool shorter = count < most && datagrams[count].size() < size && datagrams[count].size() > 0;
    return shorter ? count + 1 : count;
  }

  // Lays out as many messages as one call takes; returns how many.
  size_t Arrange(std::span<const GatheredDatagram> datagrams) {
    size_t messages = 0;
    size_t used = 0;
    while (messages < kMaxMessages && !datagrams.empty()) {
      size_t run = std::max<size_t>(1, Run(datagrams));
      msghdr& message = messages_[messages].msg_hdr;
      message = {};
      message.msg_iov = &iovecs_[used];
      for (const GatheredDatagram& one : datagrams.first(run)) {
        for (ByteView piece : {one.head, one.body}) {
          if (piece.empty()) continue;
          iovecs_[used + message.msg_iovlen++] = {const_cast<uint8_t*>(piece.data()), piece.size()};
        }
      }
      used += message.msg_iovlen;
      if (run > 1) AskForSegments(message, controls_[messages], datagrams[0].size());
      runs_[messages++] = run;
      datagrams = datagrams.subspan(run);
    }
    return messages;
  }

  static void AskForSegments(msghdr& message, Control& control, size_t size) {
    control = {};
    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t segment = static_cast<uint16_t>(size);
    std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
  }

  // Returns how many datagrams have been dealt with; 0 asks to be called again.
  absl::StatusOr<size_t> SendSome(std::span<const GatheredDatagram> datagrams) {
    size_t messages = Arrange(datagrams);
    int sent = ::sendmmsg(socket_.fd(), messages_.data(), static_cast<unsigned>(messages), 0);
    if (sent >= 0) {
      size_t count = 0;
      for (int i = 0; i < sent; ++i) count += runs_[static_cast<size_t>(i)];
      return count;
    }
    int error = errno;
    if (error == EINTR) return 0;
    if (error == EAGAIN) {
      pollfd writable{.fd = socket_.fd(), .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
      return 0;
    }
    if (runs_[0] > 1 && IsOffloadRefusal(error)) {
      segments_ = 1;
      return 0;
    }
    if (!IsLoss(error)) return SocketError(error, "cannot send to", address_);
    lost_ += runs_[0];
    return runs_[0];
  }

  Descriptor socket_;
  UdpAddress address_;
  size_t segments_;
  uint64_t lost_ = 0;
  std::vector<GatheredDatagram> whole_;
  std::vector<iovec> iovecs_;
  std::array<mmsghdr, kMaxMessages> messages_{};
  std::array<Control, kMaxMessages> controls_{};
  std::array<size_t, kMaxMessages> runs_{};
};

absl::Status ChooseMulticast4(const Descriptor& socket, const Adapter& adapter,
                              const UdpAddress& address) {
  // With an index alone a group on lo would be sent from another interface's address.
  ip_mreqn interface {};
  interface.imr_ifindex = static_cast<int>(adapter.index);
  interface.imr_address = adapter.ipv4;
  uint8_t ttl = static_cast<uint8_t>(address.ttl);
  uint8_t loop = 1;
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
  int loop = 1;
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

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSink>> OpenUdpSink(const UdpAddress& address) {
  ASSIGN_OR_RETURN(Adapter adapter, FindAdapter(address.adapter));
  ASSIGN_OR_RETURN(SocketAddress to, Resolve(address.address, address.port, adapter.index));
  ASSIGN_OR_RETURN(Descriptor socket, OpenUdpSocket(to.family()));
  if (!address.multicast()) {
    RETURN_IF_ERROR(ChooseUnicast(socket, to.family(), address));
  } else if (to.family() == AF_INET) {
    RETURN_IF_ERROR(ChooseMulticast4(socket, adapter, address));
  } else {
    RETURN_IF_ERROR(ChooseMulticast6(socket, adapter, address));
  }
  if (SetOption(socket, SOL_SOCKET, SO_SNDBUFFORCE, address.send_buffer_bytes) != 0) {
    SetOption(socket, SOL_SOCKET, SO_SNDBUF, address.send_buffer_bytes);
  }
  if (!address.source.empty()) {
    ASSIGN_OR_RETURN(SocketAddress from, Resolve(address.source, 0, adapter.index));
    if (::bind(socket.fd(), from.get(), from.size) != 0) {
      return absl::InvalidArgumentError(address.source + ", the source to send to " +
                                        address.HostPort() +
                                        " from, is not this machine's: " + std::strerror(errno));
    }
  }
  // The route is looked up once, and its absence is known now.
  if (::connect(socket.fd(), to.get(), to.size) != 0) {
    return SocketError(errno, "cannot send to", address);
  }
  return std::unique_ptr<DatagramSink>(std::make_unique<UdpSink>(std::move(socket), address));
}

}  // namespace nark::net
