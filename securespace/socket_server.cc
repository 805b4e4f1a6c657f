#include "securespace/socket_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/rpc/server.h"
#include "securespace/frame.h"
#include "securespace/messages.h"
#include "securespace/service.h"
#include "securespace/socket_path.h"

namespace nark::securespace {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kDrain{1000};
// What all connections may hold of messages that do not fit a small buffer.
constexpr size_t kMaxHeldBytes = 256 << 20;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// Removes a socket that nobody listens on any more.
absl::Status ClearPath(const std::string& name, const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", name, ": there is a file of that name; remove it"));
  }
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open a socket for ", name));
  sockaddr_un address = AddressOf(path);
  bool served = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  if (served) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", name, ": another process serves it; stop that one"));
  }
  (void)::unlink(path.c_str());  // bind says it where it could not be removed
  return absl::OkStatus();
}

void SetTimeouts(int fd, std::chrono::seconds time) {
  const timeval value{.tv_sec = time.count(), .tv_usec = 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

// Nothing, with errno, where the system has no more of them.
template <typename Work>
std::optional<std::thread> StartThread(Work work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& error) {
    errno = error.code().value();
    return std::nullopt;
  }
}

// One connection that speaks frames. One thread.
class FrameConnection {
 public:
  FrameConnection(int fd, SecureSpace& space, const SocketLimits& limits, std::atomic<size_t>& held)
      : fd_(fd), space_(space), limits_(limits), held_(held) {}
  ~FrameConnection() { held_ -= counted_; }

  // Returns once the connection is of no use any more: OK where the peer closed it
  // between two frames.
  absl::Status Run() {
    RETURN_IF_ERROR(ReadPreamble());
    while (true) {
      absl::StatusOr<std::optional<Frame>> frame = reader_.Next();
      if (!frame.ok()) {
        (void)Send(FrameStatus(frame.status()));
        return frame.status();
      }
      if (frame->has_value()) {
        RETURN_IF_ERROR(Send(AnswerFrame(space_, **frame)));
        continue;
      }
      ASSIGN_OR_RETURN(size_t bytes, Receive(reader_.empty(), reader_.Room()));
      if (bytes == 0 && reader_.empty()) return absl::OkStatus();
      if (bytes == 0) return absl::DataLossError("half a frame");
      reader_.Received(bytes);
      RETURN_IF_ERROR(Account());
    }
  }

 private:
  absl::Status ReadPreamble() {
    uint8_t preamble[kFramePreamble.size()];
    size_t got = 0;
    idle_since_ = frame_since_ = SteadyClock::now();
    while (got < sizeof preamble) {
      ASSIGN_OR_RETURN(size_t bytes,
                       Receive(/*idle=*/false, {preamble + got, sizeof preamble - got}));
      if (bytes == 0) return absl::InvalidArgumentError("no preamble");
      got += bytes;
      if (!Equal({preamble, got}, AsBytes(kFramePreamble.substr(0, got)))) {
        return absl::InvalidArgumentError("another protocol");
      }
    }
    return absl::OkStatus();
  }

  // 0 at the end. `idle`: no frame has begun.
  absl::StatusOr<size_t> Receive(bool idle, MutableByteView room) {
    while (true) {
      const ssize_t bytes = ::recv(fd_, room.data(), room.size(), 0);
      const auto now = SteadyClock::now();
      if (bytes < 0 && errno != EAGAIN && errno != EINTR) {
        return absl::ErrnoToStatus(errno, "cannot receive");
      }
      if (bytes >= 0 && idle) idle_since_ = frame_since_ = now;
      const bool late =
          idle ? now - idle_since_ > limits_.idle_time : now - frame_since_ > limits_.frame_time;
      if (late) return absl::DeadlineExceededError(idle ? "idle" : "too slow");
      if (bytes >= 0) return static_cast<size_t>(bytes);
    }
  }

  absl::Status Send(const SecretBytes& frame) {
    ByteView rest = frame.Reveal();
    const auto begin = SteadyClock::now();
    while (!rest.empty()) {
      const ssize_t bytes = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (bytes < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "cannot send");
      if (bytes > 0) rest = rest.subspan(static_cast<size_t>(bytes));
      if (!rest.empty() && SteadyClock::now() - begin > limits_.frame_time) {
        return absl::DeadlineExceededError("the peer does not read");
      }
    }
    idle_since_ = SteadyClock::now();
    return absl::OkStatus();
  }

  // Keeps all connections together below the bound.
  absl::Status Account() {
    const size_t now = reader_.buffer_bytes();
    const size_t all = held_ += now - counted_;  // modulo 2^64, as unsigned sums are
    counted_ = now;
    if (all <= kMaxHeldBytes) return absl::OkStatus();
    return absl::ResourceExhaustedError("too many large messages at once");
  }

  const int fd_;
  SecureSpace& space_;
  const SocketLimits& limits_;
  std::atomic<size_t>& held_;
  size_t counted_ = 0;
  FrameReader reader_;
  SteadyClock::time_point idle_since_;
  SteadyClock::time_point frame_since_;
};

class Server final : public SocketServer {
 public:
  Server(SecureSpace& space, ShortSocketPath path, SocketLimits limits)
      : space_(space), service_(space), path_(std::move(path)), limits_(std::move(limits)) {}
  ~Server() override;

  absl::Status Listen(const std::string& name);

  SocketCounts counts() const override {
    return {refused_peers_, refused_full_, refused_threads_, dropped_connections_};
  }

 private:
  void Accept();
  void Admit(int fd);
  // On a thread of its own; closes the descriptor, or hands it to gRPC.
  void Serve(int fd);
  void Forget(int fd);
  // At most one line a second, whatever comes. The accepting thread only.
  void Complain(const char* what);

  SecureSpace& space_;
  SecureSpaceService service_;
  const ShortSocketPath path_;
  const SocketLimits limits_;
  std::unique_ptr<rpc::Server> grpc_;
  int listener_ = -1;
  int wake_ = -1;
  std::thread acceptor_;
  std::atomic<size_t> held_bytes_{0};
  std::atomic<uint64_t> refused_peers_{0};
  std::atomic<uint64_t> refused_full_{0};
  std::atomic<uint64_t> refused_threads_{0};
  std::atomic<uint64_t> dropped_connections_{0};
  SteadyClock::time_point complained_{};
  absl::Mutex mutex_;
  std::set<int> connections_ ABSL_GUARDED_BY(mutex_);
};

absl::Status Server::Listen(const std::string& name) {
  RETURN_IF_ERROR(ClearPath(name, path_.path()));
  rpc::ServerOptions options;
  options.max_message_bytes = kMaxSocketMessageBytes;
  ASSIGN_OR_RETURN(grpc_, rpc::Server::Start(std::move(options), {&service_}));
  const auto fail = [&] {
    const int cause = errno;
    if (listener_ >= 0) ::close(std::exchange(listener_, -1));
    return absl::UnavailableError(
        absl::StrCat(absl::ErrnoToStatus(cause, absl::StrCat("cannot listen on ", name)).message(),
                     "; check that its folder exists and may be written to"));
  };
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0 || wake_ < 0) return fail();
  // Before it has a name, so that nobody else can ever connect.
  const sockaddr_un address = AddressOf(path_.path());
  if (::fchmod(listener_, 0600) != 0 ||
      ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail();
  }
  if (::listen(listener_, 64) != 0) return fail();
  std::optional<std::thread> acceptor = StartThread([this] { Accept(); });
  if (!acceptor.has_value()) return fail();
  acceptor_ = *std::move(acceptor);
  return absl::OkStatus();
}

Server::~Server() {
  if (acceptor_.joinable()) {
    const uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
    acceptor_.join();
    ::unlink(path_.path().c_str());
  }
  if (listener_ >= 0) ::close(listener_);
  if (wake_ >= 0) ::close(wake_);
  {
    absl::MutexLock lock(&mutex_);
    for (int fd : connections_) ::shutdown(fd, SHUT_RDWR);
    mutex_.Await(absl::Condition(
        +[](std::set<int>* connections) { return connections->empty(); }, &connections_));
  }
  if (grpc_ != nullptr) grpc_->Drain(kDrain);
}

void Server::Accept() {
  while (true) {
    pollfd waited[] = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (::poll(waited, 2, -1) < 0 && errno != EINTR) return;
    if ((waited[1].revents & POLLIN) != 0) return;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      Admit(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // It would be ready again at once, and nothing would have changed.
      Complain("out of descriptors or memory");
      (void)::poll(&waited[1], 1, 100);
    }
  }
}

void Server::Admit(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !limits_.admits(peer.uid)) {
    ++refused_peers_;
    Complain("a process of another user");
    ::close(fd);
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    if (connections_.size() < limits_.connections)
      connections_.insert(fd);
    else
      fd = -1 - fd;
  }
  if (fd < 0) {
    ++refused_full_;
    Complain("too many connections");
    ::close(-1 - fd);
    return;
  }
  if (std::optional<std::thread> thread = StartThread([this, fd] { Serve(fd); })) {
    thread->detach();
    return;
  }
  ++refused_threads_;
  Complain("out of threads");
  Forget(fd);
}

void Server::Serve(int fd) {
  SetTimeouts(fd, limits_.frame_time);
  uint8_t first = 0;
  // HTTP/2 begins with "PRI ", frames with "NARK": one byte tells.
  const ssize_t got = ::recv(fd, &first, 1, MSG_PEEK);
  if (got == 1 && first == 'P') {
    absl::MutexLock lock(&mutex_);
    connections_.erase(fd);
    grpc_->Adopt(fd);
    return;
  }
  if (got != 1 || !FrameConnection(fd, space_, limits_, held_bytes_).Run().ok()) {
    ++dropped_connections_;
  }
  Forget(fd);
}

void Server::Forget(int fd) {
  // Closed under the lock: the destructor must not shut down another's descriptor.
  absl::MutexLock lock(&mutex_);
  ::close(fd);
  connections_.erase(fd);
}

void Server::Complain(const char* what) {
  const auto now = SteadyClock::now();
  if (now - complained_ < std::chrono::seconds(1)) return;
  complained_ = now;
  spdlog::warn("the secure space's socket refused a connection: {}", what);
}

}  // namespace

bool OwnerOrRoot(uid_t peer) { return peer == 0 || peer == ::geteuid(); }

absl::StatusOr<std::unique_ptr<SocketServer>> SocketServer::Start(SecureSpace& space,
                                                                  const std::string& socket_path,
                                                                  SocketLimits limits) {
  ASSIGN_OR_RETURN(ShortSocketPath path, ShortSocketPath::For(socket_path));
  auto server = std::make_unique<Server>(space, std::move(path), std::move(limits));
  RETURN_IF_ERROR(server->Listen(socket_path));
  return server;
}

}  // namespace nark::securespace
