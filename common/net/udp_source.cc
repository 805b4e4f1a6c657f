#include <netinet/udp.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "common/net/link_monitor.h"
#include "common/net/socket.h"
#include "common/net/source_socket.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
namespace nark::net {
namespace {

// A message holds a run of datagrams that the kernel joined.
constexpr size_t kMessageBytes = 65536;
constexpr size_t kMaxMessages = 16;

// A socket and what tells of the network's changes, as one descriptor for poll().
class UdpSource final : public DatagramSource {
 public:
  UdpSource(SourceSocket opened, UdpAddress address, Notify notify)
      : socket_(std::move(opened.socket)),
        adapters_(std::move(opened.adapters)),
        monitor_(address.adapter.empty() ? LinkMonitor::Routes::kHeard
                                         : LinkMonitor::Routes::kIgnored),
        address_(std::move(address)),
        notify_(std::move(notify)),
        buffer_(kMaxMessages * kMessageBytes) {}

  // Only a group's memberships have to be watched.
  absl::Status Watch() {
    if (!address_.multicast() || monitor_.fd() < 0) return absl::OkStatus();
    watched_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    RETURN_IF_ERROR(Watch(monitor_.fd()));
    RETURN_IF_ERROR(Watch(socket_.fd()));
    // What changed while the socket was opened.
    LookAtAdapters();
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    size_t delivered = 0;
    while (delivered < most) {
      if (current_ == filled_) {
        current_ = filled_ = 0;
        ASSIGN_OR_RETURN(filled_, Refill());
        if (filled_ == 0) {
          HearOfNetwork();
          break;
        }
      }
      delivered += Deliver(most - delivered, consume);
    }
    return delivered;
  }

  int descriptor() const override { return watched_.fd() >= 0 ? watched_.fd() : socket_.fd(); }
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
      // An interface that went down, or an error that ICMP brought back, which anybody can
      // forge: nothing arrives now, something may later.
      if (!IsOwnFault(errno)) return 0;
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

  absl::Status Watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(watched_.fd(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("cannot watch ", address_.HostPort(), ": ", std::strerror(errno)));
  }

  void HearOfNetwork() {
    if (watched_.fd() < 0) return;
    bool heard = monitor_.Take([this](unsigned index) {
      for (Adapter& adapter : adapters_) {
        if (adapter.index == index) SetStopped(adapter);
      }
    });
    if (heard) LookAtAdapters();
  }

  void SetStopped(Adapter& adapter) {
    if (adapter.running && notify_) {
      notify_(absl::StrCat(adapter.name, " is down or gone: nothing is received from ",
                           address_.HostPort(), " on it until it is back"));
    }
    adapter.running = false;
  }

  // Memberships die with an interface, also where one of the same name comes back, and
  // switches forget them where a cable was out. A new socket joins as if for the first
  // time.
  void LookAtAdapters() {
    std::vector<Adapter> now = FindAdapters(address_);
    std::string back;
    for (size_t i = 0; i < now.size(); ++i) {
      bool other = now[i].index != adapters_[i].index;
      if (other || !now[i].running) SetStopped(adapters_[i]);
      if (now[i].running && !adapters_[i].running) back = now[i].name;
    }
    if (back.empty()) return;
    absl::StatusOr<SourceSocket> opened = OpenSourceSocket(address_, Missing::kSkip, nullptr);
    if (!opened.ok() || !Watch(opened->socket.fd()).ok()) return;
    socket_ = std::move(opened->socket);
    adapters_ = std::move(opened->adapters);
    kernel_dropped_ = 0;
    if (notify_) {
      notify_(absl::StrCat(back, " is up: joined ", address_.HostPort(), " again"));
    }
  }

  Descriptor socket_;
  std::vector<Adapter> adapters_;  // as joined on; never empty for a group
  LinkMonitor monitor_;
  Descriptor watched_;  // both; none where the socket suffices
  UdpAddress address_;
  Notify notify_;
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

}  // namespace

std::unique_ptr<DatagramSource> ReadUdpSocket(Descriptor socket, const UdpAddress& address) {
  return std::make_unique<UdpSource>(SourceSocket{std::move(socket), {}}, address, nullptr);
}

absl::StatusOr<std::unique_ptr<DatagramSource>> OpenUdpSource(const UdpAddress& address,
                                                              Notify notify) {
  if (notify && address.source_specific() && address.source.empty()) {
    notify(absl::StrCat(address.HostPort(),
                        " is a group of source-specific multicast: routers carry it to nobody who "
                        "does not name its source, udp://SOURCE@GROUP:PORT"));
  }
  ASSIGN_OR_RETURN(SourceSocket opened, OpenSourceSocket(address, Missing::kRefuse, notify));
  auto source = std::make_unique<UdpSource>(std::move(opened), address, std::move(notify));
  RETURN_IF_ERROR(source->Watch());
  return source;
}

}  // namespace nark::net
