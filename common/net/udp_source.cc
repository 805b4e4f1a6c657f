#include <netinet/udp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "common/net/socket.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

namespace nark::net {
namespace {

// A message holds a run of datagrams that the kernel joined.
constexpr size_t kMessageBytes = 65536;
constexpr size_t kMaxMessages = 16;

class UdpSource final : public DatagramSource {
 public:
  UdpSource(Descriptor socket, UdpAddress address)
      : socket_(std::move(socket)),
        address_(std::move(address)),
        buffer_(kMaxMessages * kMessageBytes) {}

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    size_t delivered = 0;
    while (delivered < most) {
      if (current_ == filled_) {
        ASSIGN_OR_RETURN(filled_, Refill());
        current_ = 0;
        if (filled_ == 0) break;
      }
      delivered += Deliver(most - delivered, consume);
    }
    return delivered;
  }

  int descriptor() const override { return socket_.fd(); }
  uint64_t lost() const override { return lost_; }

 private:
  union Control {
    cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t))];
  };

  // Hands over datagrams of the current message.
  size_t Deliver(size_t most, absl::FunctionRef<void(ByteView)> consume) {
    size_t delivered = 0;
    ByteView message(&buffer_[current_ * kMessageBytes], messages_[current_].msg_len);
    do {
      size_t size = std::min(segments_[current_], message.size() - offset_);
      consume(message.subspan(offset_, size));
      offset_ += size;
      ++delivered;
    } while (offset_ < message.size() && delivered < most);
    if (offset_ == message.size()) {
      offset_ = 0;
      ++current_;
    }
    return delivered;
  }

  absl::StatusOr<size_t> Refill() {
    for (size_t i = 0; i < kMaxMessages; ++i) {
      iovecs_[i] = {&buffer_[i * kMessageBytes], kMessageBytes};
      msghdr& message = messages_[i].msg_hdr;
      message = {};
      message.msg_iov = &iovecs_[i];
      message.msg_iovlen = 1;
      message.msg_control = &controls_[i];
      message.msg_controllen = sizeof controls_[i].bytes;
    }
    for (;;) {
      int got = ::recvmmsg(socket_.fd(), messages_.data(), kMaxMessages, MSG_DONTWAIT, nullptr);
      if (got >= 0) {
        for (int i = 0; i < got; ++i) ReadControl(static_cast<size_t>(i));
        return static_cast<size_t>(got);
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return 0;
      // An error that an earlier datagram of ours brought back, or an interface
      // that went down: nothing arrives now, something may later.
      if (errno == ECONNREFUSED || errno == ENETDOWN || errno == EHOSTUNREACH) return 0;
      return SocketError(errno, "cannot receive from", address_);
    }
  }

  void ReadControl(size_t i) {
    segments_[i] = kMessageBytes;
    msghdr& message = messages_[i].msg_hdr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size = 0;
        std::memcpy(&size, CMSG_DATA(c), sizeof size);
        if (size > 0) segments_[i] = static_cast<size_t>(size);
      } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
        uint32_t dropped = 0;
        std::memcpy(&dropped, CMSG_DATA(c), sizeof dropped);
        lost_ += static_cast<uint32_t>(dropped - kernel_dropped_);  // the kernel's count wraps
        kernel_dropped_ = dropped;
      }
    }
  }

  Descriptor socket_;
  UdpAddress address_;
  std::vector<uint8_t> buffer_;
  std::array<iovec, kMaxMessages> iovecs_{};
  std::array<mmsghdr, kMaxMessages> messages_{};
  std::array<Control, kMaxMessages> controls_{};
  std::array<size_t, kMaxMessages> segments_{};
  size_t filled_ = 0;   // messages in the buffer
  size_t current_ = 0;  // the one that is being handed over
  size_t offset_ = 0;   // how far
  uint64_t lost_ = 0;
  uint32_t kernel_dropped_ = 0;
};

absl::Status JoinIpv4(const Descriptor& socket, const SocketAddress& group, const Adapter& adapter,
                      const UdpAddress& address) {
  int all = 0;
  if (SetOption(socket, IPPROTO_IP, IP_MULTICAST_ALL, all) != 0) {
    return SocketError(errno, "cannot join", address);
  }
  if (address.source.empty()) {
    ip_mreqn membership{};
    membership.imr_multiaddr = group.v4().sin_addr;
    membership.imr_ifindex = static_cast<int>(adapter.index);
    if (SetOption(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership) != 0) {
      return SocketError(errno, "cannot join", address);
    }
    return absl::OkStatus();
  }
  // MCAST_JOIN_SOURCE_GROUP takes an interface by index, IP_ADD_SOURCE_MEMBERSHIP
  // only by address.
  ASSIGN_OR_RETURN(SocketAddress source, Resolve(address.source, 0, adapter.index));
  group_source_req membership{};
  membership.gsr_interface = adapter.index;
  membership.gsr_group = group.storage;
  membership.gsr_source = source.storage;
  if (SetOption(socket, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, membership) != 0) {
    return SocketError(errno, "cannot join", address);
  }
  return absl::OkStatus();
}

absl::Status JoinIpv6(const Descriptor& socket, const SocketAddress& group, const Adapter& adapter,
                      const UdpAddress& address) {
  int all = 0;
  SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, all);  // Linux 4.20; the bind suffices
  if (address.source.empty()) {
    ipv6_mreq membership{};
    membership.ipv6mr_multiaddr = group.v6().sin6_addr;
    membership.ipv6mr_interface = adapter.index;
    if (SetOption(socket, IPPROTO_IPV6, IPV6_JOIN_GROUP, membership) != 0) {
      return SocketError(errno, "cannot join", address);
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(SocketAddress source, Resolve(address.source, 0, adapter.index));
  group_source_req membership{};
  membership.gsr_interface = adapter.index;
  membership.gsr_group = group.storage;
  membership.gsr_source = source.storage;
  if (SetOption(socket, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, membership) != 0) {
    return SocketError(errno, "cannot join", address);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSource>> OpenUdpSource(const UdpAddress& address) {
  ASSIGN_OR_RETURN(Adapter adapter, FindAdapter(address.adapter));
  ASSIGN_OR_RETURN(SocketAddress at, Resolve(address.address, address.port, adapter.index));
  ASSIGN_OR_RETURN(Descriptor socket, OpenUdpSocket(at.family()));
  int on = 1;
  // Several receivers of one group share a machine; a unicast port is one program's.
  if (address.multicast() && SetOption(socket, SOL_SOCKET, SO_REUSEADDR, on) != 0) {
    return SocketError(errno, "cannot share", address);
  }
  if (SetOption(socket, SOL_SOCKET, SO_RCVBUFFORCE, address.receive_buffer_bytes) != 0) {
    SetOption(socket, SOL_SOCKET, SO_RCVBUF, address.receive_buffer_bytes);
  }
  // Both are missing from some kernels, and done without there.
  SetOption(socket, SOL_SOCKET, SO_RXQ_OVFL, on);
  if (address.offload == Offload::kUse) SetOption(socket, SOL_UDP, UDP_GRO, on);
  if (::bind(socket.fd(), at.get(), at.size) != 0) {
    return SocketError(errno, "cannot listen at", address);
  }
  if (address.multicast()) {
    RETURN_IF_ERROR(at.family() == AF_INET ? JoinIpv4(socket, at, adapter, address)
                                           : JoinIpv6(socket, at, adapter, address));
  }
  return std::unique_ptr<DatagramSource>(std::make_unique<UdpSource>(std::move(socket), address));
}

}  // namespace nark::net
