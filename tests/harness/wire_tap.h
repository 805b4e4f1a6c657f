#ifndef NARK_TESTS_HARNESS_WIRE_TAP_H_
#define NARK_TESTS_HARNESS_WIRE_TAP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/bytes.h"

namespace nark::harness {

// A UDP datagram in its IP packet, or a run of them that an interface passed as one.
struct SeenDatagram {
  std::string from;  // addresses as text, without ports
  std::string to;
  uint16_t port = 0;  // of the destination
  int hops = 0;       // TTL, hop limit
  int dscp = 0;
  bool fragment = false;    // a part of an IP packet
  bool may_be_cut = false;  // IPv4 without DF
  size_t bytes = 0;         // of the payload; of each in a run
  Bytes payload;
};

// A record in an IGMPv3 or MLDv2 report (RFC 3376 section 4.2, RFC 3810 section 5.2).
struct SeenReport {
  int type = 0;  // 1, 3, 5: these sources; 2, 4: all but these
  std::string group;
  std::vector<std::string> sources;
};

enum class Direction { kIn, kOut };

// Sees what passes an interface, as long as it lives. Thread-safe.
class WireTap {
 public:
  // On an interface of the network that the calling thread is in (see Host::Within).
  // Throws where that cannot be.
  WireTap(const std::string& interface, Direction direction);
  ~WireTap();
  WireTap(const WireTap&) = delete;
  WireTap& operator=(const WireTap&) = delete;

  // To this address.
  std::vector<SeenDatagram> Datagrams(const std::string& to) const;
  std::vector<SeenReport> Reports() const;
  // What the kernel dropped; the tap saw all only at 0.
  uint64_t lost() const;

 private:
  void Listen();
  void Take(ByteView frame, size_t segment);
  void TakeIpv4(ByteView packet, size_t segment);
  void TakeIpv6(ByteView packet, size_t segment);
  void TakeUdp(ByteView udp, size_t segment, SeenDatagram seen);
  int fd_ = -1;
  mutable std::mutex mutex_;
  std::vector<SeenDatagram> datagrams_;
  std::vector<SeenReport> reports_;
  std::atomic<bool> end_{false};
  std::thread thread_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_WIRE_TAP_H_
