#include <netinet/udp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "common/net/sink_socket.h"
#include "common/net/socket.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace nark::net {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// One message of sendmmsg carries up to this many datagrams of one size (the
// kernel's own limit), cut apart by the kernel or the network card.
constexpr size_t kMaxSegments = 64;
constexpr size_t kMaxMessageBytes = 65000;
constexpr size_t kMaxMessages = 16;

// Between two tries to open the socket anew while the network is away.
constexpr std::chrono::milliseconds kReopenPause{200};
// Sending must have worked for so long before it counts as working again.
constexpr std::chrono::milliseconds kSettled{500};

// What the network does to datagrams on their way: they are lost, no more.
bool IsLoss(int error) { return error == ECONNREFUSED || error == ENOBUFS || IsOutage(error); }

// What kernels and network cards without GSO, or with a smaller MTU, answer.
bool IsOffloadRefusal(int error) {
  return error == EINVAL || error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT ||
         error == EMSGSIZE;
}

class UdpSink final : public DatagramSink {
 public:
  UdpSink(SinkSocket opened, UdpAddress address, Notify notify)
      : socket_(std::move(opened.socket)),
        datagram_bytes_(opened.datagram_bytes),
        address_(std::move(address)),
        notify_(std::move(notify)),
        segments_(address_.offload == Offload::kUse ? kMaxSegments : 1),
        iovecs_(2 * kMaxMessages * kMaxSegments) {}

  absl::Status Send(std::span<const ByteView> datagrams) override {
    whole_.clear();
    for (ByteView datagram : datagrams) whole_.push_back({datagram, {}});
    return SendGathered(whole_);
  }

  absl::Status SendGathered(std::span<const GatheredDatagram> datagrams) override {
    while (!datagrams.empty()) {
      ASSIGN_OR_RETURN(size_t sent, SendSome(datagrams));
      datagrams = datagrams.subspan(sent);
    }
    return absl::OkStatus();
  }

  uint64_t lost() const override { return lost_; }
  size_t datagram_bytes() const override { return datagram_bytes_; }

 private:
  union Control {
    cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  // How many datagrams at the front may go as one message: equal in size, the last
  // may be shorter.
  size_t Run(std::span<const GatheredDatagram> datagrams) const {
    size_t size = datagrams[0].size();
    if (size == 0) return 1;
    size_t most = std::min({segments_, kMaxMessageBytes / size, datagrams.size()});
    size_t count = 1;
    while (count < most && datagrams[count].size() == size) ++count;
    bool shorter = count < most && datagrams[count].size() < size && datagrams[count].size() > 0;
    return shorter ? count + 1 : count;
  }

  // Lays out as many messages as one call takes; returns how many.
  size_t Arrange(std::span<const GatheredDatagram> datagrams) {
    size_t messages = 0;
    size_t used = 0;
    while (messages < kMaxMessages && !datagrams.empty()) {
      size_t run = std::max<size_t>(1, Run(datagrams));
      msghdr& message = messages_[messages].msg_hdr;
      message = {};
      message.msg_iov = &iovecs_[used];
      for (const GatheredDatagram& one : datagrams.first(run)) {
        for (ByteView piece : {one.head, one.body}) {
          if (piece.empty()) continue;
          iovecs_[used + message.msg_iovlen++] = {const_cast<uint8_t*>(piece.data()), piece.size()};
        }
      }
      used += message.msg_iovlen;
      if (run > 1) AskForSegments(message, controls_[messages], datagrams[0].size());
      runs_[messages++] = run;
      datagrams = datagrams.subspan(run);
    }
    return messages;
  }

  static void AskForSegments(msghdr& message, Control& control, size_t size) {
    control = {};
    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t segment = static_cast<uint16_t>(size);
    std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
  }

  // Returns how many datagrams have been dealt with; 0 asks to be called again.
  absl::StatusOr<size_t> SendSome(std::span<const GatheredDatagram> datagrams) {
    size_t messages = Arrange(datagrams);
    int sent = ::sendmmsg(socket_.fd(), messages_.data(), static_cast<unsigned>(messages), 0);
    if (sent >= 0) {
      OnSent();
      size_t count = 0;
      for (int i = 0; i < sent; ++i) count += runs_[static_cast<size_t>(i)];
      return count;
    }
    int error = errno;
    if (error == EINTR) return 0;
    if (error == EAGAIN) {
      pollfd writable{.fd = socket_.fd(), .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
      return 0;
    }
    // It may be a router's answer to an earlier datagram, told once: anybody can forge
    // those, so they stop nothing.
    if (error == EMSGSIZE && !std::exchange(too_large_, true)) return 0;
    if (runs_[0] > 1 && IsOffloadRefusal(error)) {
      segments_ = 1;
      too_large_ = false;
      return 0;
    }
    if (error == EMSGSIZE) return TooLarge(address_, socket_, datagrams[0].size());
    if (!IsLoss(error)) return SocketError(error, "cannot send to", address_);
    if (IsOutage(error) && Reopen()) return 0;
    lost_ += runs_[0];
    if (IsOutage(error)) OnOutage(error, runs_[0]);
    return runs_[0];
  }

  void OnSent() {
    if (std::exchange(too_large_, false)) OnSmallerPath();
    if (!outage_) return;
    SteadyTime now = std::chrono::steady_clock::now();
    if (!well_since_) well_since_ = now;
    if (now - *well_since_ < kSettled) return;
    if (notify_) {
      notify_(absl::StrFormat("sending to %s works again after %.1f s; %d datagrams were dropped",
                              address_.HostPort(),
                              std::chrono::duration<double>(*well_since_ - outage_->begin).count(),
                              lost_ - outage_->lost_before));
    }
    outage_.reset();
  }

  void OnOutage(int error, size_t dropped) {
    well_since_.reset();
    if (outage_) return;
    outage_ = {std::chrono::steady_clock::now(), lost_ - dropped};
    if (notify_) {
      notify_(absl::StrCat(SocketError(error, "cannot send to", address_).message(),
                           "; datagrams are dropped until it works again"));
    }
  }

  // An interface that comes back may be another one of the same name, and have
  // another address: then the old socket is of no use.
  bool Reopen() {
    SteadyTime now = std::chrono::steady_clock::now();
    if (now < reopen_at_) return false;
    reopen_at_ = now + kReopenPause;
    absl::StatusOr<SinkSocket> opened = OpenSinkSocket(address_, MtuRule::kFit, nullptr);
    if (!opened.ok()) return false;
    socket_ = std::move(opened->socket);
    segments_ = address_.offload == Offload::kUse ? kMaxSegments : 1;
    return true;
  }

  void OnSmallerPath() {
    int mtu = MtuOf(socket_);
    if (std::exchange(smaller_path_told_, true) || !notify_) return;
    notify_(absl::StrCat("a router on the way to ", address_.HostPort(), " says that it carries ",
                         mtu, " bytes at most: larger datagrams are lost; send with ?mtu=", mtu));
  }

  Descriptor socket_;
  size_t datagram_bytes_;
  UdpAddress address_;
  Notify notify_;
  size_t segments_;
  uint64_t lost_ = 0;
  struct Outage {
    SteadyTime begin;
    uint64_t lost_before;
  };
  std::optional<Outage> outage_;
  std::optional<SteadyTime> well_since_;
  SteadyTime reopen_at_{};
  bool too_large_ = false;
  bool smaller_path_told_ = false;
  std::vector<GatheredDatagram> whole_;
  std::vector<iovec> iovecs_;
  std::array<mmsghdr, kMaxMessages> messages_{};
  std::array<Control, kMaxMessages> controls_{};
  std::array<size_t, kMaxMessages> runs_{};
};

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSink>> OpenUdpSink(const UdpAddress& address,
                                                          Notify notify) {
  ASSIGN_OR_RETURN(SinkSocket opened, OpenSinkSocket(address, address.mtu_rule, notify));
  return std::unique_ptr<DatagramSink>(
      std::make_unique<UdpSink>(std::move(opened), address, std::move(notify)));
}

}  // namespace nark::net
