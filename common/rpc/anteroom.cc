#include "common/rpc/anteroom.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace nark::rpc {
namespace {

constexpr uint8_t kHandshakeRecord = 22;
constexpr size_t kRecordHeadBytes = 5;
constexpr size_t kMostRecordBytes = 1 << 14;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr int kEventsAtOnce = 64;

// Readable means so many bytes, or the end.
void WakeAt(int connection, size_t bytes) {
  const int least = static_cast<int>(bytes);
  setsockopt(connection, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
}

}  // namespace

size_t FirstMessageBytes(ByteView begun) {
  if (begun.empty()) return 1;
  if (begun[0] == kHandshakeRecord) {
    if (begun.size() < kRecordHeadBytes) return kRecordHeadBytes;
    const size_t length = static_cast<size_t>(begun[3]) << 8 | begun[4];
    return length <= kMostRecordBytes ? kRecordHeadBytes + length : begun.size();
  }
  const size_t same = std::min(begun.size(), kPreface.size());
  const bool http =
      std::equal(begun.begin(), begun.begin() + static_cast<ptrdiff_t>(same), kPreface.begin(),
                 [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); });
  return http ? kPreface.size() : begun.size();
}

void Reset(int connection) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(connection, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(connection);
}

Anteroom::Anteroom() : events_(epoll_create1(EPOLL_CLOEXEC)) {}

Anteroom::~Anteroom() {
  for (const Waiting& one : waiting_) Reset(one.connection);
}

bool Anteroom::IsWhole(int connection) {
  // The most that there can be to look at; it stays where it is.
  std::array<uint8_t, kRecordHeadBytes + kMostRecordBytes> begun;
  const ssize_t bytes = recv(connection, begun.data(), begun.size(), MSG_PEEK | MSG_DONTWAIT);
  if (bytes <= 0) return false;
  const size_t needed = FirstMessageBytes({begun.data(), static_cast<size_t>(bytes)});
  const bool whole = static_cast<size_t>(bytes) >= needed;
  WakeAt(connection, whole ? 1 : needed);
  return whole;
}

void Anteroom::Enter(int connection, Clock::time_point now) {
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = connection}};
  if (epoll_ctl(events_.fd(), EPOLL_CTL_ADD, connection, &event) != 0) return Reset(connection);
  places_[connection] = waiting_.insert(waiting_.end(), {connection, now});
}

std::vector<int> Anteroom::Leave() {
  std::vector<int> whole;
  std::array<epoll_event, kEventsAtOnce> events;
  const int count = epoll_wait(events_.fd(), events.data(), kEventsAtOnce, 0);
  for (int i = 0; i < count; ++i) {
    const int connection = events[static_cast<size_t>(i)].data.fd;
    const bool ready = IsWhole(connection);
    const bool ended =
        (events[static_cast<size_t>(i)].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (!ready && !ended) continue;  // more is known of how much is missing
    Forget(places_.at(connection));
    if (ready) {
      whole.push_back(connection);
    } else {
      close(connection);
    }
  }
  return whole;
}

bool Anteroom::CloseFirst(Clock::time_point now, Clock::duration at_least) {
  if (waiting_.empty() || now - waiting_.front().since < at_least) return false;
  const int connection = waiting_.front().connection;
  Forget(waiting_.begin());
  Reset(connection);
  return true;
}

void Anteroom::Forget(std::list<Waiting>::iterator one) {
  epoll_ctl(events_.fd(), EPOLL_CTL_DEL, one->connection, nullptr);
  places_.erase(one->connection);
  waiting_.erase(one);
}

}  // namespace nark::rpc
