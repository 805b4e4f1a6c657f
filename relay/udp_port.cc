#include "relay/udp_port.h"

#include <linux/errqueue.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "relay/client/message.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace nark::relay {
namespace {

constexpr size_t kMaxSegments = 64;  // the kernel's limit
constexpr size_t kMaxMessageBytes = 65000;
constexpr size_t kMaxMessages = 64;          // a call of sendmmsg
constexpr size_t kMessageBufferBytes = 512;  // larger than any message: what is cut is none
constexpr int kSendBufferBytes = 4 << 20;
constexpr int kFullBufferPatienceMs = 20;
constexpr int kMostErrors = 16;  // in a row of receiving, each of which hides nothing for long

union SocketName {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

Endpoint FromName(const SocketName& name) {
  Endpoint endpoint;
  if (name.any.sa_family == AF_INET) {
    endpoint.address[10] = endpoint.address[11] = 0xff;
    std::memcpy(&endpoint.address[12], &name.v4.sin_addr, 4);
    endpoint.port = ntohs(name.v4.sin_port);
  } else {
    std::memcpy(endpoint.address.data(), &name.v6.sin6_addr, 16);
    endpoint.port = ntohs(name.v6.sin6_port);
    endpoint.scope = name.v6.sin6_scope_id;
  }
  return endpoint;
}

socklen_t ToName(const Endpoint& endpoint, int family, SocketName& name) {
  name = {};
  if (family == AF_INET) {
    name.v4.sin_family = AF_INET;
    std::memcpy(&name.v4.sin_addr, &endpoint.address[12], 4);
    name.v4.sin_port = htons(endpoint.port);
    return sizeof name.v4;
  }
  name.v6.sin6_family = AF_INET6;
  std::memcpy(&name.v6.sin6_addr, endpoint.address.data(), 16);
  name.v6.sin6_port = htons(endpoint.port);
  name.v6.sin6_scope_id = endpoint.scope;
  return sizeof name.v6;
}

bool IsOffloadRefusal(int error) {
  return error == EINVAL || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT ||
         error == EMSGSIZE;
}

template <typename Value>
int Set(const net::Descriptor& socket, int level, int name, Value value) {
  return ::setsockopt(socket.fd(), level, name, &value, sizeof value);
}

// Datagrams of one size, the last may be shorter: one message where the kernel cuts.
struct Run {
  size_t first_iovec;
  size_t count;
  uint16_t segment;  // 0: one datagram
};

class SocketPort final : public UdpPort {
 public:
  SocketPort(net::Descriptor socket, int family, std::string address, net::Offload offload)
      : socket_(std::move(socket)),
        family_(family),
        address_(std::move(address)),
        segments_(offload == net::Offload::kUse ? kMaxSegments : 1) {}

  const std::string& address() const override { return address_; }
  int descriptor() const override { return socket_.fd(); }
  uint64_t lost() const override { return lost_; }

  absl::StatusOr<size_t> Receive(
      size_t most, absl::FunctionRef<void(const Endpoint&, ByteView)> consume) override {
    size_t delivered = 0;
    int errors = 0;
    while (delivered < most) {
      const size_t want = std::min(most - delivered, kMaxMessages);
      for (size_t i = 0; i < want; ++i) {
        iovec& buffer = in_iovecs_[i];
        buffer = {in_buffers_[i].data(), kMessageBufferBytes};
        in_messages_[i].msg_hdr = {};
        in_messages_[i].msg_hdr.msg_name = &in_names_[i];
        in_messages_[i].msg_hdr.msg_namelen = sizeof in_names_[i];
        in_messages_[i].msg_hdr.msg_iov = &buffer;
        in_messages_[i].msg_hdr.msg_iovlen = 1;
      }
      const int got = ::recvmmsg(socket_.fd(), in_messages_.data(), static_cast<unsigned>(want),
                                 MSG_DONTWAIT, nullptr);
      if (got < 0) {
        // What ICMP brings back, which anybody can forge, is TakeUnreachable's: it hides
        // what has arrived once, and stops nothing.
        if (net::IsOwnFault(errno)) {
          return absl::InternalError(
              absl::StrCat("cannot receive at ", address_, ": ", std::strerror(errno)));
        }
        if (errno == EAGAIN || ++errors == kMostErrors) break;
        continue;
      }
      for (size_t i = 0; i < static_cast<size_t>(got); ++i) {
        consume(FromName(in_names_[i]), ByteView(in_buffers_[i]).first(in_messages_[i].msg_len));
      }
      delivered += static_cast<size_t>(got);
      if (static_cast<size_t>(got) < want) break;
    }
    return delivered;
  }

  void TakeUnreachable(absl::FunctionRef<void(const Endpoint&)> consume) override {
    for (;;) {
      SocketName name{};
      uint8_t content[64];
      alignas(cmsghdr) uint8_t control[512];
      iovec iov{content, sizeof content};
      msghdr message{};
      message.msg_name = &name;
      message.msg_namelen = sizeof name;
      message.msg_iov = &iov;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      if (::recvmsg(socket_.fd(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
      for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        const bool v4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR;
        const bool v6 = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (!v4 && !v6) continue;
        sock_extended_err error{};
        std::memcpy(&error, CMSG_DATA(c), sizeof error);
        if (error.ee_errno == ECONNREFUSED || error.ee_errno == EHOSTUNREACH) {
          consume(FromName(name));
        }
      }
    }
  }

  absl::Status Send(std::span<const Endpoint> to, std::span<const ByteView> datagrams) override {
    Arrange(datagrams);
    names_.resize(to.size());
    out_.clear();
    for (size_t i = 0; i < to.size(); ++i) {
      const socklen_t size = ToName(to[i], family_, names_[i]);
      for (const Run& run : runs_) {
        out_.push_back({});
        msghdr& message = out_.back().msg_hdr;
        message.msg_name = &names_[i];
        message.msg_namelen = size;
        message.msg_iov = &iovecs_[run.first_iovec];
        message.msg_iovlen = run.count;
        if (run.segment != 0) {
          message.msg_control = &controls_[static_cast<size_t>(&run - runs_.data())];
          message.msg_controllen = sizeof(Control::bytes);
        }
      }
    }
    return SendAll(to, datagrams);
  }

 private:
  union Control {
    cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  void Arrange(std::span<const ByteView> datagrams) {
    iovecs_.clear();
    runs_.clear();
    for (ByteView one : datagrams) {
      iovecs_.push_back({const_cast<uint8_t*>(one.data()), one.size()});
    }
    for (size_t at = 0; at < datagrams.size();) {
      const size_t size = datagrams[at].size();
      const size_t most = std::min(
          {segments_, kMaxMessageBytes / std::max<size_t>(size, 1), datagrams.size() - at});
      size_t count = 1;
      while (count < most && datagrams[at + count].size() == size) ++count;
      if (count < most && datagrams[at + count].size() < size) ++count;
      runs_.push_back({at, count, count > 1 ? static_cast<uint16_t>(size) : uint16_t{0}});
      at += count;
    }
    controls_.resize(runs_.size());
    for (size_t i = 0; i < runs_.size(); ++i) {
      controls_[i] = {};
      cmsghdr& header = controls_[i].header;
      header.cmsg_level = SOL_UDP;
      header.cmsg_type = UDP_SEGMENT;
      header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
      std::memcpy(CMSG_DATA(&header), &runs_[i].segment, sizeof(uint16_t));
    }
  }

  absl::Status SendAll(std::span<const Endpoint> to, std::span<const ByteView> datagrams) {
    size_t done = 0;
    int tries = 0;  // of the message at `done`
    while (done < out_.size()) {
      const size_t count = std::min(kMaxMessages, out_.size() - done);
      const int sent = ::sendmmsg(socket_.fd(), &out_[done], static_cast<unsigned>(count), 0);
      if (sent > 0) {
        done += static_cast<size_t>(sent);
        tries = 0;
        continue;
      }
      const int error = errno;
      if (error == EINTR) continue;
      const Run& run = runs_[done % runs_.size()];
      if (run.segment != 0 && IsOffloadRefusal(error)) {
        segments_ = 1;
        // Whoever has had all keeps it; the rest begins anew, cut by us.
        return Send(to.subspan(done / runs_.size()), datagrams);
      }
      const bool full = error == EAGAIN || error == ENOBUFS;
      if (full && tries++ == 0) {
        pollfd writable{socket_.fd(), POLLOUT, 0};
        ::poll(&writable, 1, kFullBufferPatienceMs);
        continue;
      }
      // An error that ICMP brought for somebody else is told once, in place of a send.
      if (!full && tries++ == 0) continue;
      lost_ += run.count;
      ++done;
      tries = 0;
    }
    return absl::OkStatus();
  }

  net::Descriptor socket_;
  const int family_;
  const std::string address_;
  size_t segments_;
  uint64_t lost_ = 0;
  std::vector<iovec> iovecs_;
  std::vector<Run> runs_;
  std::vector<Control> controls_;
  std::vector<SocketName> names_;
  std::vector<mmsghdr> out_;
  std::array<std::array<uint8_t, kMessageBufferBytes>, kMaxMessages> in_buffers_{};
  std::array<iovec, kMaxMessages> in_iovecs_{};
  std::array<SocketName, kMaxMessages> in_names_{};
  std::array<mmsghdr, kMaxMessages> in_messages_{};
};

// "HOST:PORT" as a socket's name.
absl::StatusOr<std::pair<SocketName, socklen_t>> ParseListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  std::string host = listen.substr(0, colon == std::string::npos ? 0 : colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (host.empty() || colon + 1 == listen.size() ||
      ::getaddrinfo(host.c_str(), listen.c_str() + colon + 1, &hints, &found) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", listen, ": want ADDRESS:PORT, such as 0.0.0.0:7600 or [::]:7600"));
  }
  SocketName name{};
  const socklen_t size = std::min<socklen_t>(found->ai_addrlen, sizeof name);
  std::memcpy(&name, found->ai_addr, size);
  ::freeaddrinfo(found);
  return std::pair(name, size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UdpPort>> UdpPort::Open(const std::string& listen,
                                                       net::Offload offload) {
  ASSIGN_OR_RETURN(const auto parsed, ParseListen(listen));
  const auto& [name, size] = parsed;
  const int family = name.any.sa_family;
  net::Descriptor socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.fd() < 0) {
    return absl::InternalError(absl::StrCat("cannot open a socket: ", std::strerror(errno)));
  }
  if (family == AF_INET6) Set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (Set(socket, SOL_SOCKET, SO_SNDBUFFORCE, kSendBufferBytes) != 0) {
    Set(socket, SOL_SOCKET, SO_SNDBUF, kSendBufferBytes);
  }
  // Who is gone is told by ICMP; without it leases end by time alone.
  Set(socket, IPPROTO_IP, IP_RECVERR, 1);
  if (family == AF_INET6) Set(socket, IPPROTO_IPV6, IPV6_RECVERR, 1);
  // What a router says of its MTU can be forged, and is not believed.
  Set(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  if (family == AF_INET6) Set(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  if (::bind(socket.fd(), &name.any, size) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", listen, ": ", std::strerror(errno)));
  }
  SocketName bound{};
  socklen_t bound_size = sizeof bound;
  if (::getsockname(socket.fd(), &bound.any, &bound_size) != 0) {
    return absl::InternalError(absl::StrCat("cannot ask for ", listen));
  }
  std::string address = FromName(bound).ToString();
  return std::unique_ptr<UdpPort>(
      std::make_unique<SocketPort>(std::move(socket), family, std::move(address), offload));
}

}  // namespace nark::relay
