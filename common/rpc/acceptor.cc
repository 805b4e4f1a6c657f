#include "common/rpc/acceptor.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/memory_limit.h"
#include "common/base/status.h"
#include "common/rpc/open_calls.h"

namespace nark::rpc {
namespace {

using std::chrono::milliseconds;

constexpr size_t kDescriptorsForTheRest = 128;
constexpr size_t kLeastConnections = 16;
// Of a connection over TLS that says nothing gRPC 1.51 keeps 77 KiB, and 12 KiB of each of its
// 16 calls that have begun.
constexpr size_t kBytesAConnection = 288 << 10;
// A listener gives way to the next one after so many, however long its line is.
constexpr int kAcceptedInARow = 64;
// How many are looked at to find who has been silent longest.
constexpr size_t kCandidates = 64;
// Looking through all takes some milliseconds where they are thousands.
constexpr milliseconds kBetweenLooks{10};
constexpr milliseconds kBetweenRounds{100};
constexpr milliseconds kWithoutMemory{10};
// A peer that has connected has that long to say something, and is nobody's until then; and once
// more to say all of its first message.
constexpr int kDeferSeconds = 10;

absl::StatusOr<uint64_t> CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) {
    return absl::ErrnoToStatus(errno, "SO_COOKIE");
  }
  return cookie;
}

absl::StatusOr<net::Descriptor> ListenOn(const addrinfo& at, uint16_t port) {
  net::Descriptor listener(
      socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (listener.fd() < 0) return absl::UnavailableError(strerror(errno));
  const int on = 1, off = 0;
  setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // "::" stands for all addresses, of both families.
  if (at.ai_family == AF_INET6) {
    const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(at.ai_addr);
    const int* only = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr) ? &off : &on;
    setsockopt(listener.fd(), IPPROTO_IPV6, IPV6_V6ONLY, only, sizeof *only);
  }
  setsockopt(listener.fd(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &kDeferSeconds, sizeof kDeferSeconds);
  // Connections inherit it. gRPC sets it on listeners of its own; without it an answer waits
  // for the peer to acknowledge the frame before, which it may put off for 40 ms.
  setsockopt(listener.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_storage address{};
  std::memcpy(&address, at.ai_addr, at.ai_addrlen);
  // The port lies at one place in both families.
  reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port);
  if (bind(listener.fd(), reinterpret_cast<sockaddr*>(&address), at.ai_addrlen) != 0 ||
      listen(listener.fd(), SOMAXCONN) != 0) {
    return absl::UnavailableError(strerror(errno));
  }
  return listener;
}

absl::StatusOr<uint16_t> PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return absl::ErrnoToStatus(errno, "getsockname");
  }
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

net::Descriptor OpenReserve() { return net::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

size_t MostConnections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kLeastConnections;
  return MostConnectionsWithin(static_cast<size_t>(limit.rlim_cur), MemoryLimit());
}

size_t MostConnectionsWithin(size_t files, uint64_t memory_bytes) {
  const size_t left = files - std::min(files, kDescriptorsForTheRest);
  return std::max(kLeastConnections, std::min(left, memory_bytes / 2 / kBytesAConnection));
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const Address& address,
                                                           ConnectionCap cap) {
  const std::string where = address.ToString();
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int lookup = getaddrinfo(address.host.c_str(), nullptr, &hints, &found);
  if (lookup != 0) return absl::UnavailableError(absl::StrCat(where, ": ", gai_strerror(lookup)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  std::vector<net::Descriptor> listeners;
  uint16_t port = address.port;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    absl::StatusOr<net::Descriptor> listener = ListenOn(*one, port);
    if (!listener.ok()) return Annotate(listener.status(), where);
    ASSIGN_OR_RETURN(port, PortOf(listener->fd()));
    listeners.push_back(*std::move(listener));
  }
  cap.connections =
      cap.connections == 0 ? MostConnections() : std::min(cap.connections, MostConnections());
  auto acceptor = std::unique_ptr<Acceptor>(new Acceptor(std::move(listeners), port, cap));
  if (acceptor->wake_.fd() < 0 || acceptor->anteroom_.fd() < 0)
    return absl::UnavailableError("no descriptor is left to listen");
  return acceptor;
}

Acceptor::Acceptor(std::vector<net::Descriptor> listeners, int port, ConnectionCap cap)
    : listeners_(std::move(listeners)),
      port_(port),
      cap_(cap),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      reserve_(OpenReserve()) {}

Acceptor::~Acceptor() { Stop(); }

void Acceptor::Run(Take take, Greedy greedy) {
  take_ = std::move(take);
  greedy_ = std::move(greedy);
  thread_ = std::thread([this] { Loop(); });
}

void Acceptor::Stop() {
  if (stopping_.exchange(true)) return;
  const uint64_t one = 1;
  [[maybe_unused]] const auto woken = write(wake_.fd(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  // Whoever waits in the kernel's line is told at once.
  for (const net::Descriptor& listener : listeners_) shutdown(listener.fd(), SHUT_RDWR);
}

ConnectionCounts Acceptor::counts() const {
  return {
      .accepted = accepted_, .evicted = evicted_, .turned_away = turned_away_, .held = held_count_};
}

void Acceptor::Loop() {
  std::vector<pollfd> waits;
  for (const net::Descriptor& listener : listeners_) {
    waits.push_back({.fd = listener.fd(), .events = POLLIN, .revents = 0});
  }
  waits.push_back({.fd = anteroom_.fd(), .events = POLLIN, .revents = 0});
  waits.push_back({.fd = wake_.fd(), .events = POLLIN, .revents = 0});
  while (!stopping_) {
    const int ready = poll(waits.data(), waits.size(), static_cast<int>(kBetweenRounds.count()));
    MakeRounds();
    if (ready <= 0) continue;
    for (const pollfd& wait : waits) {
      if (wait.revents == 0 || wait.fd == wake_.fd()) continue;
      if (wait.fd != anteroom_.fd()) {
        AcceptSome(wait.fd);
        continue;
      }
      for (const int fd : anteroom_.Leave()) HandOver(fd);
      Count();  // those who went away
    }
  }
}

void Acceptor::MakeRounds() {
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_at_ < kBetweenRounds) return;
  looked_at_ = now;
  while (anteroom_.CloseFirst(now, std::chrono::seconds(kDeferSeconds))) ++evicted_;
  Count();
  EvictGreedy();
}

void Acceptor::AcceptSome(int listener) {
  for (int i = 0; i < kAcceptedInARow && !stopping_; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Admit(fd);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == ENOMEM || errno == ENOBUFS) {
      // It stays in the line, and there is no more memory for it at once.
      std::this_thread::sleep_for(kWithoutMemory);
      return;
    }
    if (errno != EMFILE && errno != ENFILE) continue;  // that connection has failed already
    // Left in the line it would wake this loop for ever.
    reserve_ = net::Descriptor();
    const int unwanted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (unwanted >= 0) {
      ++turned_away_;
      Reset(unwanted);
    }
    reserve_ = OpenReserve();
    if (unwanted < 0) return;
  }
}

void Acceptor::Admit(int fd) {
  const bool whole = Anteroom::IsWhole(fd);
  if (taken() >= cap_.connections && !MakeRoom(whole)) {
    ++turned_away_;
    return Reset(fd);
  }
  ++accepted_;
  if (whole) return HandOver(fd);
  anteroom_.Enter(fd, std::chrono::steady_clock::now());
  Count();
}

void Acceptor::HandOver(int fd) {
  const absl::StatusOr<uint64_t> cookie = CookieOf(fd);
  if (!cookie.ok()) return Reset(fd);
  held_.push_back({fd, *cookie});
  Count();  // first: who is given it may look here
  take_(fd);
}

bool Acceptor::MakeRoom(bool whole) {
  const auto now = std::chrono::steady_clock::now();
  if (now - forgot_at_ >= kBetweenLooks) {
    forgot_at_ = now;
    ForgetClosed();
    if (taken() < cap_.connections) return true;
  }
  if (anteroom_.CloseFirst(now, whole ? milliseconds(0) : cap_.idle)) {
    ++evicted_;
    return true;
  }
  return EvictIdle();
}

void Acceptor::ForgetClosed() {
  std::erase_if(held_, [](const Held& one) {
    const absl::StatusOr<uint64_t> cookie = CookieOf(one.fd);
    return !cookie.ok() || *cookie != one.cookie;
  });
  Count();
}

bool Acceptor::EvictIdle() {
  std::optional<size_t> victim;
  uint32_t longest_ms = static_cast<uint32_t>(cap_.idle.count());
  for (size_t i = 0; i < std::min(kCandidates, held_.size()); ++i) {
    const size_t at = next_victim_++ % held_.size();
    const absl::StatusOr<uint64_t> cookie = CookieOf(held_[at].fd);
    tcp_info info{};
    socklen_t size = sizeof info;
    if (!cookie.ok() || *cookie != held_[at].cookie ||
        getsockopt(held_[at].fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
      held_[at] = held_.back();  // closed meanwhile
      held_.pop_back();
      return true;
    }
    if (info.tcpi_last_data_recv < longest_ms) continue;
    longest_ms = info.tcpi_last_data_recv;
    victim = at;
  }
  if (!victim) return false;
  Evict(*victim);
  return true;
}

void Acceptor::EvictGreedy() {
  if (greedy_ == nullptr) return;
  const std::set<std::string> greedy = greedy_();
  if (greedy.empty()) return;
  for (size_t at = held_.size(); at-- > 0;) {
    if (greedy.contains(PeerKeyOf(held_[at].fd))) Evict(at);
  }
}

void Acceptor::Evict(size_t at) {
  // The server that has it sees its end, and closes it. Where it did so already, the number may
  // be something else's by now.
  const absl::StatusOr<uint64_t> cookie = CookieOf(held_[at].fd);
  if (cookie.ok() && *cookie == held_[at].cookie) {
    ++evicted_;  // first: who sees the end may look here
    shutdown(held_[at].fd, SHUT_RDWR);
  }
  held_[at] = held_.back();
  held_.pop_back();
  Count();
}

}  // namespace nark::rpc
