#include "common/serve/bounded_server.h"

#include <fcntl.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/base/bytes.h"
#include "common/crypto/tls.h"
#include "common/net/descriptor.h"

namespace nark::serve {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How soon a connection that waits notices that reading ends.
constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::milliseconds kLinger{1000};

// One connection, within its limits. One thread only.
class BoundedStream final : public httplib::Stream {
 public:
  BoundedStream(int fd, const ConnectionLimits& limits, const ReadingEnds& reading_ends)
      : fd_(fd),
        limits_(limits),
        reading_ends_(reading_ends),
        bytes_left_(limits.head_bytes),
        until_(SteadyClock::now() + limits.head_time) {}

  // Whether the client spoke TLS.
  bool Accept(ssl_ctx_st& context) {
    tls_.emplace(context, fd_);
    return Complete([this] { return tls_->Accept(); }) > 0;
  }
  void BeginBody() {
    bytes_left_ = limits_.body_bytes;
    until_ = SteadyClock::now() + limits_.body_time;
  }
  // Closed with bytes unread, a connection is reset, and the answer may be lost: not to be
  // cared for where the client was late.
  void Close() {
    if (tls_) tls_->Close();
    if (late_) return;
    (void)::shutdown(fd_, SHUT_WR);
    until_ = SteadyClock::now() + kLinger;
    reading_ = true;
    std::array<uint8_t, 4096> unread;
    for (size_t size = 0; size < limits_.body_bytes;) {
      const ssize_t got = ::recv(fd_, unread.data(), unread.size(), MSG_DONTWAIT);
      if (got == 0 || (got < 0 && !Wait(POLLIN))) return;
      if (got > 0) size += static_cast<size_t>(got);
    }
  }

  bool is_readable() const override { return bytes_left_ > 0; }
  bool is_writable() const override { return Wait(POLLOUT); }
  ssize_t read(char* to, size_t size) override {
    size = std::min(size, bytes_left_);
    if (size == 0) return -1;
    reading_ = true;
    auto* const bytes = reinterpret_cast<uint8_t*>(to);
    const ptrdiff_t got = Complete([&] { return Receive({bytes, size}); });
    if (got > 0) bytes_left_ -= static_cast<size_t>(got);
    return got;
  }
  ssize_t write(const char* from, size_t size) override {
    if (std::exchange(reading_, false)) until_ = SteadyClock::now() + limits_.answer_time;
    return Complete([&] { return Send(AsBytes(std::string_view(from, size))); });
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return fd_; }

 private:
  static TlsStep Result(ssize_t done, TlsStep::Want want) {
    if (done >= 0) return {done, TlsStep::Want::kNothing};
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return {-1, later ? want : TlsStep::Want::kNothing};
  }
  TlsStep Receive(MutableByteView to) {
    if (tls_) return tls_->Read(to);
    return Result(::recv(fd_, to.data(), to.size(), MSG_DONTWAIT), TlsStep::Want::kRead);
  }
  TlsStep Send(ByteView from) {
    if (tls_) return tls_->Write(from);
    return Result(::send(fd_, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL),
                  TlsStep::Want::kWrite);
  }

  template <typename Try>
  ptrdiff_t Complete(Try attempt) {
    for (;;) {
      const TlsStep step = attempt();
      if (step.want == TlsStep::Want::kNothing) return step.bytes;
      if (Wait(step.want == TlsStep::Want::kRead ? POLLIN : POLLOUT)) continue;
      late_ = true;
      return -1;
    }
  }

  bool Wait(short events) const {
    for (;;) {
      SteadyClock::time_point until = until_;
      const SteadyClock::time_point ends = reading_ends_;
      if (reading_ && ends != SteadyClock::time_point()) until = std::min(until, ends);
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now());
      if (left.count() <= 0) return false;
      pollfd wait{fd_, events, 0};
      const int ready = ::poll(&wait, 1, static_cast<int>(std::min(left, kLook).count()));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
    }
  }

  const int fd_;
  const ConnectionLimits& limits_;
  const ReadingEnds& reading_ends_;
  std::optional<TlsConnection> tls_;
  size_t bytes_left_;
  SteadyClock::time_point until_;
  bool reading_ = true;
  bool late_ = false;
};

// httplib hands over what serves a connection and closes it; called so, it only closes it.
thread_local bool turned_away = false;

void TurnAway(const std::function<void()>& serve) {
  turned_away = true;
  serve();
  turned_away = false;
}

// The line of connections that wait for a thread.
class BoundedLine final : public httplib::TaskQueue {
 public:
  explicit BoundedLine(const WorkQueue::Limits& limits) : line_(std::in_place, limits) {}

  void enqueue(std::function<void()> serve) override {
    const bool waits = line_->TryAdd([serve](WorkQueue::Turn turn, WorkQueue::Duration) {
      turn == WorkQueue::Turn::kDo ? serve() : TurnAway(serve);
    });
    if (!waits) TurnAway(serve);
  }
  void shutdown() override { line_.reset(); }

 private:
  std::optional<WorkQueue> line_;
};

template <typename Base>
class BoundedServer final : public Base {
 public:
  template <typename... Arguments>
  BoundedServer(const ConnectionLimits& limits, const WorkQueue::Limits& line,
                const ReadingEnds& reading_ends, Arguments&&... arguments)
      : Base(std::forward<Arguments>(arguments)...), limits_(limits), reading_ends_(reading_ends) {
    this->new_task_queue = [this, line] {
      // httplib lets five wait for accept(2), and whoever comes in a burst a second or more.
      (void)::listen(this->svr_sock_, SOMAXCONN);
      return new BoundedLine(line);
    };
  }

 private:
  bool process_and_close_socket(socket_t fd) override {
    const net::Descriptor closing(fd);
    if (turned_away || reading_ends_.load() != SteadyClock::time_point()) return false;
    BoundedStream stream(fd, limits_, reading_ends_);
    if constexpr (std::is_same_v<Base, httplib::SSLServer>) {
      SetNonBlocking(fd);
      if (!stream.Accept(*this->ssl_context())) return false;
    }
    bool closed = false;
    const bool answered =
        this->process_request(stream, /*close_connection=*/true, closed,
                              [&stream](httplib::Request&) { stream.BeginBody(); });
    stream.Close();
    return answered;
  }

  static void SetNonBlocking(int fd) {
    (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }

  const ConnectionLimits limits_;
  const ReadingEnds& reading_ends_;
};

}  // namespace

std::unique_ptr<httplib::Server> MakeBoundedServer(const ConnectionLimits& limits,
                                                   const WorkQueue::Limits& line,
                                                   const ReadingEnds& reading_ends,
                                                   std::function<bool(ssl_ctx_st&)> set_up) {
  if (!set_up) return std::make_unique<BoundedServer<httplib::Server>>(limits, line, reading_ends);
  return std::make_unique<BoundedServer<httplib::SSLServer>>(limits, line, reading_ends,
                                                             std::move(set_up));
}

}  // namespace nark::serve
