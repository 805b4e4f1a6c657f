#include "securespace/remote.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "securespace/frame.h"
#include "securespace/messages.h"
#include "securespace/socket_path.h"

namespace nark::securespace {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kIdleConnections = 4;
constexpr int kSendBufferBytes = 1 << 20;

// One connection, and what was read from it. One thread at a time.
class Connection {
 public:
  // UNAVAILABLE where nobody listens.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path,
                                                          std::chrono::milliseconds timeout) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return absl::UnavailableError("cannot open a socket");
    auto connection = std::make_unique<Connection>(fd, timeout);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const timeval time{.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000};
    (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    // A list goes out whole, without waiting for its beginning to be read.
    (void)::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      return absl::UnavailableError(
          absl::StrCat(absl::ErrnoToStatus(errno, "cannot connect").message(),
                       "; start nark-securespace serve"));
    }
    if (!connection->Send(AsBytes(kFramePreamble))) {
      return absl::UnavailableError("it closed the connection at once");
    }
    return connection;
  }
  Connection(int fd, std::chrono::milliseconds timeout) : fd_(fd), timeout_(timeout) {}
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False where not everything was taken, so that nothing can come of it.
  bool Send(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EINTR) return false;
      if (sent > 0) bytes = bytes.subspan(static_cast<size_t>(sent));
    }
    return true;
  }

  // The frame is valid until the next call.
  absl::StatusOr<Frame> Receive() {
    const auto deadline = SteadyClock::now() + timeout_;
    while (true) {
      absl::StatusOr<std::optional<Frame>> frame = reader_.Next();
      if (!frame.ok()) return absl::InternalError(frame.status().message());
      if (frame->has_value()) return **frame;
      const MutableByteView room = reader_.Room();
      const ssize_t bytes = ::recv(fd_, room.data(), room.size(), 0);
      if (bytes > 0) {
        reader_.Received(static_cast<size_t>(bytes));
      } else if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
        return absl::UnavailableError("it went away before it answered");
      }
      if (SteadyClock::now() >= deadline) {
        return absl::DeadlineExceededError("it does not answer");
      }
    }
  }

  // Ends what the answer left behind.
  void Finish() { (void)reader_.Next(); }
  // Nothing is under way, and the other side is there.
  bool Usable() const {
    uint8_t byte = 0;
    return reader_.empty() && ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

 private:
  const int fd_;
  const std::chrono::milliseconds timeout_;
  FrameReader reader_;
};

class RemoteSpace final : public SecureSpace {
 public:
  RemoteSpace(std::string name, ShortSocketPath path, std::chrono::milliseconds timeout)
      : name_(std::move(name)), path_(std::move(path)), timeout_(timeout) {}

  absl::StatusOr<v1::GetIdentityResponse> GetIdentity() override {
    return Call<v1::GetIdentityResponse>(Method::kGetIdentity, v1::GetIdentityRequest());
  }
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request) override {
    return Call<v1::AttestResponse>(Method::kAttest, request);
  }
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(
      const v1::InstallGrantRequest& request) override {
    return Call<v1::InstallGrantResponse>(Method::kInstallGrant, request);
  }
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request) override {
    return Call<v1::GetDeliveryNoteResponse>(Method::kGetDeliveryNote, request);
  }
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName& session,
                                                                        ByteView sealed) override {
    return Exchange<std::shared_ptr<const ChameleonBlock>>(
        Method::kOpenMarkedBlock, ToMessage(OpenBlockRequest{session, sealed}).SerializeAsString(),
        ParseBlock);
  }
  absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request) override {
    return OneEach(request.headers.size(), ExchangeFrame<std::vector<KeyDecision>>(
                                               AsBytes(FrameRelease(request)), ParseDecisions));
  }
  absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request) override {
    ASSIGN_OR_RETURN(v1::OpenAdusResponse response,
                     Call<v1::OpenAdusResponse>(Method::kOpenAdus, ToMessage(request)));
    return OneEach<std::vector<OpenDecision>>(request.adus.size(), FromMessage(response));
  }

 private:
  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request) {
    return Exchange<Response>(
        method, request.SerializeAsString(), [](ByteView message) -> absl::StatusOr<Response> {
          Response response;
          if (response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
            return response;
          }
          return absl::InternalError("its answer does not parse");
        });
  }

  // One call; `parse` takes the answer's message.
  template <typename Response, typename Parse>
  absl::StatusOr<Response> Exchange(Method method, const std::string& message, Parse parse) {
    const SecretBytes request = MakeFrame(static_cast<uint8_t>(method), AsBytes(message));
    return ExchangeFrame<Response>(request.Reveal(), parse);
  }
  // The same of a whole frame.
  template <typename Response, typename Parse>
  absl::StatusOr<Response> ExchangeFrame(ByteView request, Parse parse) {
    if (request.size() > kFrameHeaderBytes + kMaxSocketMessageBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a call of ", request.size(), " bytes is too long for a socket"));
    }
    absl::StatusOr<std::unique_ptr<Connection>> connection = Send(request);
    if (!connection.ok()) return Named(connection.status());
    absl::StatusOr<Frame> answer = (*connection)->Receive();
    if (!answer.ok()) return Named(answer.status());
    absl::StatusOr<Response> response =
        answer->kind == 0 ? parse(answer->message) : ParseStatus(*answer);
    (*connection)->Finish();
    Keep(*std::move(connection));
    if (!response.ok()) return Named(response.status());
    return response;
  }

  // A connection that took the whole request. What it took in part was not read as
  // a call, so it may be sent again, once.
  absl::StatusOr<std::unique_ptr<Connection>> Send(ByteView request) {
    std::unique_ptr<Connection> kept = TakeKept();
    if (kept != nullptr && kept->Send(request)) return kept;
    ASSIGN_OR_RETURN(std::unique_ptr<Connection> fresh, Connection::Open(path_.path(), timeout_));
    if (fresh->Send(request)) return fresh;
    return absl::UnavailableError("it closed the connection");
  }

  std::unique_ptr<Connection> TakeKept() {
    absl::MutexLock lock(&mutex_);
    while (!kept_.empty()) {
      std::unique_ptr<Connection> connection = std::move(kept_.back());
      kept_.pop_back();
      if (connection->Usable()) return connection;
    }
    return nullptr;
  }
  void Keep(std::unique_ptr<Connection> connection) {
    absl::MutexLock lock(&mutex_);
    if (kept_.size() < kIdleConnections) kept_.push_back(std::move(connection));
  }

  absl::Status Named(const absl::Status& status) const {
    return MarkRemote(Annotate(status, absl::StrCat("secure space ", name_)));
  }
  // A secure space must answer one decision an item.
  template <typename List>
  absl::StatusOr<List> OneEach(size_t items, absl::StatusOr<List> list) const {
    if (!list.ok() || list->size() == items) return list;
    return Named(absl::InternalError("it answered another list than the one asked"));
  }

  const std::string name_;
  const ShortSocketPath path_;
  const std::chrono::milliseconds timeout_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<SecureSpace>> ConnectSecureSpace(const std::string& socket_path,
                                                                std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(ShortSocketPath path, ShortSocketPath::For(socket_path));
  return std::make_unique<RemoteSpace>(socket_path, std::move(path), timeout);
}

}  // namespace nark::securespace
