#include "tests/harness/wire_tap.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace nark::harness {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kUdpBytes = 8;

// struct virtio_net_hdr, whose own header is C only.
struct RunHeader {
  uint8_t flags;
  uint8_t gso_type;  // 0: no run
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;
  uint16_t csum_offset;
};
static_assert(sizeof(RunHeader) == 10);

size_t Big16(ByteView bytes, size_t at) { return size_t{bytes[at]} << 8 | bytes[at + 1]; }

std::string Address4(ByteView bytes, size_t at) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &bytes[at], text, sizeof text);
}

std::string Address6(ByteView bytes, size_t at) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, &bytes[at], text, sizeof text);
}

// Both reports: type, checksum, a count, and records of type, auxiliary words, number of
// sources, group, sources. Only the addresses differ in size.
std::vector<SeenReport> Records(ByteView report, size_t address_bytes) {
  std::vector<SeenReport> records;
  const auto address = address_bytes == 4 ? Address4 : Address6;
  size_t at = 8;
  for (size_t left = Big16(report, 6); left > 0; --left) {
    if (at + 4 + address_bytes > report.size()) break;
    SeenReport one;
    one.type = report[at];
    const size_t auxiliary = 4 * size_t{report[at + 1]};
    const size_t sources = Big16(report, at + 2);
    one.group = address(report, at + 4);
    at += 4 + address_bytes;
    if (at + sources * address_bytes + auxiliary > report.size()) break;
    for (size_t i = 0; i < sources; ++i, at += address_bytes) {
      one.sources.push_back(address(report, at));
    }
    at += auxiliary;
    records.push_back(one);
  }
  return records;
}

}  // namespace

WireTap::WireTap(const std::string& interface, Direction direction) {
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  const int on = 1;
  const int size = 16 << 20;
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (fd_ >= 0) {
    // Tells the size of the datagrams in a run.
    setsockopt(fd_, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on);
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (direction == Direction::kIn) {
      setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
    }
  }
  at.sll_protocol = htons(ETH_P_ALL);
  if (fd_ < 0 || at.sll_ifindex == 0 ||
      bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
    const std::string cause = std::strerror(errno);
    if (fd_ >= 0) close(fd_);
    throw std::runtime_error("cannot listen on " + interface + ": " + cause);
  }
  thread_ = std::thread([this] { Listen(); });
}

WireTap::~WireTap() {
  end_ = true;
  thread_.join();
  close(fd_);
}

void WireTap::Listen() {
  Bytes buffer(sizeof(RunHeader) + (1 << 17));
  while (!end_) {
    pollfd waiting{fd_, POLLIN, 0};
    poll(&waiting, 1, 20);
    for (;;) {
      const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < static_cast<ssize_t>(sizeof(RunHeader))) break;
      RunHeader header;
      std::memcpy(&header, buffer.data(), sizeof header);
      const size_t segment = header.gso_type == 0 ? 0 : header.gso_size;
      std::lock_guard lock(mutex_);
      Take(ByteView(buffer).first(static_cast<size_t>(got)).subspan(sizeof header), segment);
    }
  }
}

void WireTap::Take(ByteView frame, size_t segment) {
  if (frame.size() < kEthernetBytes) return;
  const size_t protocol = Big16(frame, 12);
  if (protocol == ETHERTYPE_IP) TakeIpv4(frame.subspan(kEthernetBytes), segment);
  if (protocol == ETHERTYPE_IPV6) TakeIpv6(frame.subspan(kEthernetBytes), segment);
}

void WireTap::TakeIpv4(ByteView packet, size_t segment) {
  if (packet.size() < 20) return;
  const size_t header = 4 * size_t{packet[0] & 0x0fu};
  if (packet.size() < header + 8) return;
  SeenDatagram seen;
  seen.from = Address4(packet, 12);
  seen.to = Address4(packet, 16);
  seen.hops = packet[8];
  seen.dscp = packet[1] >> 2;
  const size_t fragment = Big16(packet, 6);
  seen.fragment = (fragment & 0x3fff) != 0;
  seen.may_be_cut = (fragment & 0x4000) == 0;
  const ByteView inside = packet.subspan(header);
  if (packet[9] == IPPROTO_UDP) TakeUdp(inside, segment, seen);
  if (packet[9] == IPPROTO_IGMP && inside[0] == 0x22) {
    for (const SeenReport& one : Records(inside, 4)) reports_.push_back(one);
  }
}

void WireTap::TakeIpv6(ByteView packet, size_t segment) {
  if (packet.size() < kIpv6Bytes + 8) return;
  SeenDatagram seen;
  seen.from = Address6(packet, 8);
  seen.to = Address6(packet, 24);
  seen.hops = packet[7];
  seen.dscp = static_cast<int>((packet[0] & 0x0f) << 2 | packet[1] >> 6);
  uint8_t next = packet[6];
  ByteView inside = packet.subspan(kIpv6Bytes);
  if (next == IPPROTO_HOPOPTS) {
    // MLD comes with a router alert.
    const size_t header = 8 + 8 * size_t{inside[1]};
    if (inside.size() < header + 8) return;
    next = inside[0];
    inside = inside.subspan(header);
  }
  seen.fragment = next == IPPROTO_FRAGMENT;
  if (next == IPPROTO_UDP || seen.fragment) TakeUdp(inside, segment, seen);
  if (next == IPPROTO_ICMPV6 && inside[0] == 143) {
    for (const SeenReport& one : Records(inside, 16)) reports_.push_back(one);
  }
}

void WireTap::TakeUdp(ByteView udp, size_t segment, SeenDatagram seen) {
  seen.port = static_cast<uint16_t>(Big16(udp, 2));
  seen.payload = ToBytes(udp.subspan(kUdpBytes));
  seen.bytes = segment != 0 ? segment : seen.payload.size();
  datagrams_.push_back(std::move(seen));
}

std::vector<SeenDatagram> WireTap::Datagrams(const std::string& to) const {
  std::lock_guard lock(mutex_);
  std::vector<SeenDatagram> found;
  for (const SeenDatagram& one : datagrams_) {
    if (one.to == to) found.push_back(one);
  }
  return found;
}

std::vector<SeenReport> WireTap::Reports() const {
  std::lock_guard lock(mutex_);
  return reports_;
}

uint64_t WireTap::lost() const {
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &statistics, &size);
  return statistics.tp_drops;
}

}  // namespace nark::harness
