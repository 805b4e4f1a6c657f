#include "common/rpc/watchdog.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "common/rpc/address.h"

namespace nark::rpc {
namespace {

constexpr char kNoProtocol[] = "nark watchdog: are you there?\r\n\r\n";

bool WaitFor(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd wait{.fd = fd, .events = events, .revents = 0};
  return left.count() > 0 && poll(&wait, 1, static_cast<int>(left.count())) == 1;
}

std::string Loopback(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "::") return "::1";
  return host;
}

bool Dial(const addrinfo& to, std::chrono::steady_clock::time_point deadline) {
  const int fd = socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // Out of descriptors: nobody knows how the listener is.
  if (fd < 0) return true;
  connect(fd, to.ai_addr, to.ai_addrlen);
  bool alive = false;
  if (WaitFor(fd, POLLOUT, deadline)) {
    // An error here is a server that hung up already.
    [[maybe_unused]] const auto sent = send(fd, kNoProtocol, sizeof kNoProtocol - 1, MSG_NOSIGNAL);
    alive = WaitFor(fd, POLLIN, deadline);
  }
  close(fd);
  return alive;
}

}  // namespace

Pulse FeelPulse(const std::string& address, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const auto parsed = ParseAddress(address);
  if (!parsed.ok() || !parsed->unix_path.empty()) return Pulse::kSilent;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(Loopback(parsed->host).c_str(), std::to_string(parsed->port).c_str(), &hints,
                  &found) != 0) {
    return Pulse::kSilent;
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  return Dial(*found, deadline) ? Pulse::kAlive : Pulse::kSilent;
}

Watchdog::Watchdog(std::string address, std::chrono::milliseconds interval)
    : address_(std::move(address)), interval_(interval), thread_([this] { Run(); }) {}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void Watchdog::Run() {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::FromChrono(interval_));
      if (stop_) return;
    }
    const bool alive = FeelPulse(address_, std::chrono::seconds(5)) == Pulse::kAlive;
    silent_ = alive ? 0 : silent_ + 1;
  }
}

}  // namespace nark::rpc
