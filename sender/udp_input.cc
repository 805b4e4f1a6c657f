#include "sender/udp_input.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "sender/rtp.h"

namespace nark::sender {
namespace {

constexpr size_t kDatagramsAtOnce = 256;
// Handed over at once.
constexpr size_t kChunkBytes = 256 << 10;

class Event {
 public:
  Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  int fd() const { return fd_.fd(); }
  void Set() {
    uint64_t one = 1;
    // It fails only where it is set more often than anybody can count.
    (void)!::write(fd_.fd(), &one, sizeof one);
  }
  void Clear() {
    uint64_t count = 0;
    (void)!::read(fd_.fd(), &count, sizeof count);
  }

 private:
  net::Descriptor fd_;
};

class UdpInput final : public Input {
 public:
  explicit UdpInput(std::unique_ptr<net::DatagramSource> source) : source_(std::move(source)) {}
  ~UdpInput() override { Close(); }

  absl::Status Start() {
    if (arrived_.fd() < 0 || close_.fd() < 0) {
      return absl::InternalError(absl::StrCat("cannot make an event: ", std::strerror(errno)));
    }
    thread_ = std::thread([this] { TakeIn(); });
    return absl::OkStatus();
  }

  int descriptor() const override { return arrived_.fd(); }
  Kind kind() const override { return Kind::kLive; }

  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    Bytes chunk;
    {
      absl::MutexLock lock(&mutex_);
      if (chunks_.empty()) {
        arrived_.Clear();
        RETURN_IF_ERROR(status_);
        // Set again, so that whoever polls comes back for it.
        if (ended_) arrived_.Set();
        return ended_ ? State::kEnded : State::kOpen;
      }
      chunk = std::move(chunks_.front());
      chunks_.pop_front();
      queued_ -= chunk.size();
    }
    consume(chunk);
    return State::kOpen;
  }

  void Close() override {
    if (!thread_.joinable()) return;
    close_.Set();
    thread_.join();
  }

  InputCounters counters() const override {
    return {.datagrams = datagrams_, .missing = missing_, .dropped = dropped_ + socket_dropped_};
  }

 private:
  void TakeIn() {
    pollfd waiting[] = {{.fd = source_->descriptor(), .events = POLLIN, .revents = 0},
                        {.fd = close_.fd(), .events = POLLIN, .revents = 0}};
    absl::Status status;
    for (bool closing = false; status.ok() && !closing;) {
      ::poll(waiting, 2, -1);
      // What had arrived when it was closed is still taken in, once through.
      closing = waiting[1].revents != 0;
      status = TakeWhatIsThere();
    }
    absl::MutexLock lock(&mutex_);
    status_ = status;
    ended_ = true;
    arrived_.Set();
  }

  absl::Status TakeWhatIsThere() {
    // Bounded, so that a flood does not keep it from being closed.
    for (size_t rounds = 0; rounds < kUdpInputBytes / kChunkBytes; ++rounds) {
      ASSIGN_OR_RETURN(size_t taken, source_->Receive(kDatagramsAtOnce, [this](ByteView datagram) {
        ++datagrams_;
        Take(datagram);
      }));
      socket_dropped_ = source_->lost();
      if (taken < kDatagramsAtOnce) break;
    }
    return absl::OkStatus();
  }

  void Take(ByteView datagram) {
    if (std::optional<RtpPacket> rtp = ParseRtp(datagram)) {
      sequence_.See(*rtp);
      missing_ = sequence_.missing();
      datagram = rtp->payload;
    }
    absl::MutexLock lock(&mutex_);
    if (queued_ + datagram.size() > kUdpInputBytes) {
      ++dropped_;
      return;
    }
    if (chunks_.empty()) arrived_.Set();
    if (chunks_.empty() || chunks_.back().size() >= kChunkBytes) chunks_.emplace_back();
    chunks_.back().insert(chunks_.back().end(), datagram.begin(), datagram.end());
    queued_ += datagram.size();
  }

  const std::unique_ptr<net::DatagramSource> source_;  // the thread's
  RtpSequence sequence_;                               // the thread's
  Event arrived_;
  Event close_;
  std::atomic<uint64_t> datagrams_{0};
  std::atomic<uint64_t> missing_{0};
  std::atomic<uint64_t> dropped_{0};
  std::atomic<uint64_t> socket_dropped_{0};
  absl::Mutex mutex_;
  std::deque<Bytes> chunks_ ABSL_GUARDED_BY(mutex_);
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Input>> OpenUdpInput(const std::string& uri, net::Notify notify) {
  ASSIGN_OR_RETURN(net::UdpAddress address, net::UdpAddress::Parse(uri));
  if (!address.more_adapters.empty()) {
    // What came twice would be sent twice.
    return absl::InvalidArgumentError(
        absl::StrCat("the input ", uri, " names several adapters; name one"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSource> source,
                   net::OpenUdpSource(address, std::move(notify)));
  auto input = std::make_unique<UdpInput>(std::move(source));
  RETURN_IF_ERROR(input->Start());
  return input;
}

}  // namespace nark::sender
