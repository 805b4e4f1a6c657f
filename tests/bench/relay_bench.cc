// Datagrams a second that a relay forwards to 100 subscribers, beside bare sendmmsg to
// the same sockets in the same run. One JSON line: medians of interleaved rounds on one
// core.

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "common/base/steady_clock.h"
#include "common/crypto/random.h"
#include "common/wire/datagram.h"
#include "relay/client/message.h"
#include "relay/client/token.h"
#include "relay/desk.h"
#include "relay/forwarder.h"
#include "relay/udp_port.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr size_t kSubscribers = 100;
constexpr size_t kBatch = 44;  // what one message of sendmmsg can carry
constexpr size_t kBatches = 60;
constexpr uint64_t kTag = 42;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "relay_bench: %s\n", what);
  std::exit(1);
}

// Of the processor, so that a busy machine slows neither value nor limit.
double SecondsOf(auto&& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  work();
  return now() - begin;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Sockets that nobody reads: all that arrives beyond their buffers is dropped, for the
// relay and the limit alike.
class Subscribers {
 public:
  Subscribers() {
    for (size_t i = 0; i < kSubscribers; ++i) {
      const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof name;
      const int least = 1;
      Require(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least) == 0 &&
                  bind(fd, reinterpret_cast<sockaddr*>(&name), size) == 0 &&
                  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0,
              "no socket");
      fds_.push_back(fd);
      names_.push_back(name);
    }
  }
  ~Subscribers() {
    for (const int fd : fds_) close(fd);
  }
  std::vector<sockaddr_in>& names() { return names_; }

 private:
  std::vector<int> fds_;
  std::vector<sockaddr_in> names_;
};

relay::Endpoint EndpointOf(const sockaddr_in& name) {
  relay::Endpoint endpoint;
  endpoint.address[10] = endpoint.address[11] = 0xff;
  std::memcpy(&endpoint.address[12], &name.sin_addr, 4);
  endpoint.port = ntohs(name.sin_port);
  return endpoint;
}

std::vector<Bytes> MakeBatch() {
  std::vector<Bytes> batch(kBatch, Bytes(wire::kDefaultDatagramBytes, 0x5a));
  for (uint32_t i = 0; i < kBatch; ++i) {
    wire::Prefix prefix;
    prefix.kind = wire::DatagramKind::kSource;
    prefix.session_tag = kTag;
    prefix.index = i;
    wire::WritePrefix(prefix, batch[i].data());
  }
  return batch;
}

// The floor: messages laid out once, handed to the kernel 64 at a time.
class Bare {
 public:
  Bare(std::vector<sockaddr_in>& names, std::vector<Bytes>& batch, size_t segments)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    for (Bytes& one : batch) iovecs_.push_back({one.data(), one.size()});
    control_ = {};
    control_.header.cmsg_level = SOL_UDP;
    control_.header.cmsg_type = UDP_SEGMENT;
    control_.header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto size = static_cast<uint16_t>(batch[0].size());
    std::memcpy(CMSG_DATA(&control_.header), &size, sizeof size);
    for (sockaddr_in& name : names) {
      for (size_t at = 0; at < batch.size(); at += segments) {
        messages_.push_back({});
        msghdr& message = messages_.back().msg_hdr;
        message.msg_name = &name;
        message.msg_namelen = sizeof name;
        message.msg_iov = &iovecs_[at];
        message.msg_iovlen = std::min(segments, batch.size() - at);
        if (segments > 1) {
          message.msg_control = &control_;
          message.msg_controllen = sizeof control_.bytes;
        }
      }
    }
  }
  ~Bare() { close(fd_); }
  void Send() {
    for (size_t at = 0; at < messages_.size();) {
      const size_t count = std::min<size_t>(64, messages_.size() - at);
      const int sent = sendmmsg(fd_, &messages_[at], static_cast<unsigned>(count), 0);
      Require(sent > 0, "sendmmsg fails");
      at += static_cast<size_t>(sent);
    }
  }

 private:
  union Control {
    cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };
  int fd_;
  std::vector<iovec> iovecs_;
  std::vector<mmsghdr> messages_;
  Control control_;  // last: ends in a flexible array
};

// A relay that all of them have subscribed to.
class Relay {
 public:
  explicit Relay(const std::vector<sockaddr_in>& names) {
    const relay::Token token = *relay::Token::Parse(relay::Token::Make("bench", random_)->Reveal());
    desk_ = *relay::Desk::Create({.tags = {kTag},
                                  .subscribers = kSubscribers,
                                  .per_address = kSubscribers,
                                  .per_credential = kSubscribers},
                                 random_);
    desk_->SetTokens({token}, clock_.Now());
    port_ = *relay::UdpPort::Open("127.0.0.1:0");
    for (const sockaddr_in& name : names) Subscribe(EndpointOf(name), token);
    Require(desk_->size() == kSubscribers, "not everybody is subscribed");
    forwarder_ = std::make_unique<relay::Forwarder>(relay::ForwarderOptions(), *desk_, port_.get(),
                                                    std::vector<net::DatagramSink*>());
  }
  void Send(std::vector<Bytes>& batch) {
    ++adu_;
    for (Bytes& one : batch) {
      StoreBig64(&one[16], adu_);  // else they would look like a circle of relays
      forwarder_->Add(one, clock_.Now());
    }
    Require(forwarder_->Flush(clock_.Now()).ok(), "the relay fails");
  }
  void Check(uint64_t batches) const {
    Require(forwarder_->statistics().sent == batches * kBatch * kSubscribers && port_->lost() == 0,
            "the relay did not send everything");
  }

 private:
  void Subscribe(const relay::Endpoint& from, const relay::Token& token) {
    const auto cookie = desk_->OnMessage(Serialise(relay::Hello{}), from, clock_.Now());
    relay::Subscribe asked;
    asked.cookie = relay::ParseCookieMessage(*cookie.message)->cookie;
    asked.credential = token.id();
    StoreBig16(asked.subscriber.data(), from.port);
    asked.serial = 1;
    asked.lease_seconds = 600;
    asked.tags = {kTag};
    (void)desk_->OnMessage(Serialise(asked, token.subscriber_key()), from, clock_.Now());
  }
  SteadyClock clock_;
  SystemRandom random_;
  std::unique_ptr<relay::Desk> desk_;
  std::unique_ptr<relay::UdpPort> port_;
  std::unique_ptr<relay::Forwarder> forwarder_;
  uint64_t adu_ = 0;
};

void Run() {
  Subscribers subscribers;
  std::vector<Bytes> batch = MakeBatch();
  Relay relay(subscribers.names());
  Bare segmented(subscribers.names(), batch, kBatch), plain(subscribers.names(), batch, 1);
  std::vector<double> relayed, floor, one_by_one;
  const double datagrams = kBatches * kBatch * kSubscribers;
  const auto rate = [&](auto&& send) {
    return datagrams / SecondsOf([&] {
             for (size_t i = 0; i < kBatches; ++i) send();
           });
  };
  for (int round = 0; round < kRounds; ++round) {
    relayed.push_back(rate([&] { relay.Send(batch); }));
    floor.push_back(rate([&] { segmented.Send(); }));
    one_by_one.push_back(rate([&] { plain.Send(); }));
  }
  relay.Check(kRounds * kBatches);
  const double value = Median(relayed), limit = Median(floor);
  std::printf(
      "{\"figure\":\"relay 100 subscribers\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,"
      "\"unit\":\"datagrams/s a core\",\"limit_is\":\"bare sendmmsg with GSO, the same batches\","
      "\"detail\":{\"without_gso\":%.0f,\"gbit_per_s\":%.2f}}\n",
      value, limit, value / limit, Median(one_by_one),
      value * wire::kDefaultDatagramBytes * 8 / 1e9);
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
