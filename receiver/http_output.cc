#include "receiver/http_output.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/address.h"

namespace nark::receiver {
namespace {

std::string_view ContentType(std::string_view path) {
  if (absl::EndsWith(Absl(path), ".wav")) return "audio/wav";
  if (absl::EndsWith(Absl(path), ".mp4")) return "video/mp4";
  if (absl::EndsWith(Absl(path), ".bin")) return "application/octet-stream";
  return "video/mp2t";
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

absl::StatusOr<net::Descriptor> OpenListener(const std::string& name, const rpc::Address& address) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat("output ", name, ": ", ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
  net::Descriptor listener(
      ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, found->ai_protocol));
  const int on = 1;
  if (listener.fd() < 0 ||
      ::setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(listener.fd(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listener.fd(), 16) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("output ", name));
  }
  return listener;
}

uint16_t PortOf(const net::Descriptor& listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpOutput>> HttpOutput::Listen(const std::string& uri,
                                                               const Limits& limits) {
  constexpr std::string_view kScheme = "http://";
  const std::string_view rest = std::string_view(uri).substr(kScheme.size());
  const size_t slash = rest.find('/');
  const std::string path(slash == std::string_view::npos ? "/" : rest.substr(slash));
  auto address = rpc::ParseAddress(rest.substr(0, slash));
  if (!address.ok()) return Annotate(address.status(), absl::StrCat("output ", uri));
  if (!address->unix_path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("output ", uri, ": wants http://HOST:PORT/PATH"));
  }
  ASSIGN_OR_RETURN(net::Descriptor listener, OpenListener(uri, *address));
  const uint16_t port = PortOf(listener);
  return std::unique_ptr<HttpOutput>(new HttpOutput(uri, path, std::move(listener), port, limits));
}

HttpOutput::HttpOutput(std::string name, std::string path, net::Descriptor listener, uint16_t port,
                       const Limits& limits)
    : name_(std::move(name)),
      path_(std::move(path)),
      listener_(std::move(listener)),
      port_(port),
      limits_(limits) {}

absl::Status HttpOutput::Write(ByteView plaintext, Timestamp now) {
  for (Player& player : players_) {
    if (player.state != Player::State::kPlays) continue;
    player.kept.insert(player.kept.end(), plaintext.begin(), plaintext.end());
  }
  return Service(now);
}

absl::Status HttpOutput::Service(Timestamp now) {
  Accept(now);
  for (auto player = players_.begin(); player != players_.end();) {
    player = Alive(*player, now) ? std::next(player) : players_.erase(player);
  }
  return absl::OkStatus();
}

void HttpOutput::Accept(Timestamp now) {
  while (players_.size() < limits_.players) {
    const int fd = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    Player& player = players_.emplace_back();
    player.socket = net::Descriptor(fd);
    player.since = now;
  }
}

bool HttpOutput::Alive(Player& player, Timestamp now) {
  if (!Read(player)) return false;
  if (!PassOn(player)) return false;
  const bool done = player.kept.size() == player.passed_on;
  switch (player.state) {
    case Player::State::kAsks:
      return now - player.since < limits_.request_time;
    case Player::State::kEnds:
      return !done && now - player.since < limits_.request_time;
    case Player::State::kPlays:
      break;
  }
  if (player.kept.size() - player.passed_on <= limits_.player_bytes) return true;
  ++dropped_;
  return false;
}

bool HttpOutput::Read(Player& player) {
  char buffer[2048];
  for (;;) {
    const ssize_t got = ::recv(player.socket.fd(), buffer, sizeof buffer, 0);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (player.state != Player::State::kAsks) continue;  // nothing more is asked
    player.request.append(buffer, static_cast<size_t>(got));
    if (player.request.find("\r\n\r\n") != std::string::npos) {
      Answer(player);
    } else if (player.request.size() > limits_.request_bytes) {
      return false;
    }
  }
}

void HttpOutput::Answer(Player& player) {
  const std::string_view line =
      std::string_view(player.request).substr(0, player.request.find("\r\n"));
  const size_t space = line.find(' ');
  const size_t second = line.find(' ', space == std::string_view::npos ? space : space + 1);
  const std::string_view method = line.substr(0, space);
  std::string_view target =
      second == std::string_view::npos ? "" : line.substr(space + 1, second - space - 1);
  target = target.substr(0, target.find('?'));

  std::string answer = "HTTP/1.1 200 OK\r\n";
  player.state = Player::State::kPlays;
  if (target != path_) answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n";
  if (method != "GET" && method != "HEAD") {
    answer = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Length: 0\r\n";
  }
  const bool found = target == path_ && (method == "GET" || method == "HEAD");
  if (!found || method == "HEAD") player.state = Player::State::kEnds;
  if (found) {
    absl::StrAppend(&answer, "Content-Type: ", Absl(ContentType(path_)),
                    "\r\nCache-Control: no-store\r\n");
  }
  absl::StrAppend(&answer, "Connection: close\r\n\r\n");
  player.kept = ToBytes(AsBytes(answer));
  player.request.clear();
}

bool HttpOutput::PassOn(Player& player) {
  while (player.passed_on < player.kept.size()) {
    const ssize_t sent = ::send(player.socket.fd(), player.kept.data() + player.passed_on,
                                player.kept.size() - player.passed_on, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    player.passed_on += static_cast<size_t>(sent);
    if (player.passed_on >= player.kept.size() / 2) {
      player.kept.erase(player.kept.begin(),
                        player.kept.begin() + static_cast<ptrdiff_t>(player.passed_on));
      player.passed_on = 0;
    }
  }
  return true;
}

void HttpOutput::AddPolls(std::vector<pollfd>& polls) const {
  if (players_.size() < limits_.players) polls.push_back({listener_.fd(), POLLIN, 0});
  for (const Player& player : players_) {
    const bool done = player.kept.size() == player.passed_on;
    polls.push_back({player.socket.fd(), static_cast<short>(done ? POLLIN : POLLIN | POLLOUT), 0});
  }
}

std::optional<Timestamp> HttpOutput::NextDeadline() const {
  std::optional<Timestamp> next;
  for (const Player& player : players_) {
    if (player.state == Player::State::kPlays) continue;
    const Timestamp at = player.since + limits_.request_time;
    if (!next || at < *next) next = at;
  }
  return next;
}

bool HttpOutput::drained() const {
  for (const Player& player : players_) {
    if (player.kept.size() != player.passed_on) return false;
  }
  return true;
}

size_t HttpOutput::players() const {
  size_t playing = 0;
  for (const Player& player : players_) playing += player.state == Player::State::kPlays;
  return playing;
}

}  // namespace nark::receiver
