#include "receiver/socket_factory.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "common/net/transport.h"
#include "receiver/driver.h"
#include "receiver/output.h"
#include "receiver/session_sources.h"
#include "receiver/stream_output.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;

// How often the numbers that others see are brought up to date.
constexpr microseconds kTurn = std::chrono::milliseconds(100);
constexpr microseconds kFlushTime = std::chrono::seconds(1);

// Joins, then plays into one end of a socket pair from a thread of its own.
class PlayingSocket final : public SessionSocket {
 public:
  PlayingSocket(securespace::SecureSpace& secure_space, Clock& clock, Random& random)
      : secure_space_(secure_space), clock_(clock), random_(random) {}
  ~PlayingSocket() override;

  absl::Status Open(const SocketRequest& request);

  int TakeDescriptor() override {
    absl::MutexLock lock(&mutex_);
    return std::exchange(readers_end_, -1);
  }
  absl::Status status() const override {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  Statistics statistics() const override {
    absl::MutexLock lock(&mutex_);
    return statistics_;
  }

 private:
  absl::Status Bind(const SocketRequest& request);
  absl::Status Join(const SocketRequest& request);
  absl::Status OpenPair(const StreamFilter& streams);
  void Play();
  absl::Status PlayToTheEnd();
  bool Told() const {
    uint64_t told = 0;
    return ::read(stop_.fd(), &told, sizeof told) > 0;
  }

  securespace::SecureSpace& secure_space_;
  Clock& clock_;
  Random& random_;
  std::optional<Purchase> purchase_;
  OutputSet outputs_;
  SessionSources sources_;
  std::unique_ptr<Reception> reception_;
  std::optional<Driver> driver_;
  net::Descriptor stop_;
  mutable absl::Mutex mutex_;
  int readers_end_ ABSL_GUARDED_BY(mutex_) = -1;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Statistics statistics_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

PlayingSocket::~PlayingSocket() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_.fd(), &one, sizeof one);
    thread_.join();
  }
  absl::MutexLock lock(&mutex_);
  if (readers_end_ >= 0) ::close(readers_end_);
}

absl::Status PlayingSocket::Open(const SocketRequest& request) {
  ASSIGN_OR_RETURN(purchase_,
                   Purchase::Load(request.session_path, request.voucher_path, clock_.Now()));
  RETURN_IF_ERROR(OpenPair(request.streams));
  RETURN_IF_ERROR(Bind(request));
  RETURN_IF_ERROR(Join(request));
  driver_->StartPlaying();
  thread_ = std::thread([this] { Play(); });
  return absl::OkStatus();
}

absl::Status PlayingSocket::OpenPair(const StreamFilter& streams) {
  stop_ = net::Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::array<int, 2> ends{};
  if (stop_.fd() < 0 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return absl::ErrnoToStatus(errno, "a socket pair");
  }
  const net::Descriptor ours(ends[0]);
  {
    absl::MutexLock lock(&mutex_);
    readers_end_ = ends[1];
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Output> output,
                   StreamOutput::OnDescriptor("the application's socket", ours.fd()));
  outputs_.Add(std::move(output), streams);
  return absl::OkStatus();
}

absl::Status PlayingSocket::Bind(const SocketRequest& request) {
  const std::set<uint32_t> sub_sessions = {request.streams.sub_session};
  ASSIGN_OR_RETURN(
      sources_, SessionSources::Open(purchase_->session, sub_sessions, request.input,
                                     [](const std::string& uri) { return net::OpenSource(uri); }));
  ReceptionOptions options;
  options.sub_sessions = sub_sessions;
  options.play_out.delay = request.playout_delay;
  ASSIGN_OR_RETURN(reception_,
                   Reception::Create(purchase_->session, secure_space_, outputs_, options));
  driver_.emplace(sources_.borrowed(), *reception_, outputs_, clock_);
  return absl::OkStatus();
}

absl::Status PlayingSocket::Join(const SocketRequest& request) {
  ASSIGN_OR_RETURN(
      const KeyManagers managers,
      KeyManagers::Connect(purchase_->session, request.key_managers, request.transport, random_));
  Joiner joiner(purchase_->session, purchase_->voucher, purchase_->verified_voucher, secure_space_,
                managers.endpoints);
  JoinOptions options;
  options.timeout = request.timeout;
  options.spread = managers.spread;
  const BlockCache cache(request.cache);
  options.cache = &cache;
  joiner.Start(options, clock_.Now());
  ASSIGN_OR_RETURN(const auto thread, JoinThread::Start(joiner, clock_));
  while (!thread->done()) {
    const std::array<int, 1> wake = {thread->fd()};
    RETURN_IF_ERROR(driver_->Turn(wake, kTurn).status());
  }
  RETURN_IF_ERROR(thread->result());
  return reception_->SetBlock(joiner.block());
}

void PlayingSocket::Play() {
  absl::Status ended = PlayToTheEnd();
  // A reader that goes is how an application ends a session.
  for (const absl::Status& error : outputs_.TakeErrors()) {
    if (ended == error) ended = absl::OkStatus();
  }
  outputs_ = OutputSet();  // end of file for the reader
  absl::MutexLock lock(&mutex_);
  status_ = ended;
  statistics_ = Statistics::Of(*reception_);
}

absl::Status PlayingSocket::PlayToTheEnd() {
  for (;;) {
    const std::array<int, 1> wake = {stop_.fd()};
    ASSIGN_OR_RETURN(const Driver::Source source, driver_->Turn(wake, kTurn));
    {
      absl::MutexLock lock(&mutex_);
      statistics_ = Statistics::Of(*reception_);
    }
    if (Told()) return driver_->Finish(kFlushTime);
    if (source == Driver::Source::kEnded) break;
  }
  // A file is at its end: what is left of it is for the reader to take.
  absl::Status finished = driver_->Finish(kTurn);
  while (absl::IsDeadlineExceeded(finished) && !Told()) finished = driver_->Finish(kTurn);
  return finished;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionSocket>> SocketFactory::Open(const SocketRequest& request) {
  auto socket = std::make_unique<PlayingSocket>(secure_space_, clock_, random_);
  RETURN_IF_ERROR(socket->Open(request));
  return socket;
}

}  // namespace nark::receiver
