#ifndef NARK_TESTS_RELAY_BAD_NETWORK_H_
#define NARK_TESTS_RELAY_BAD_NETWORK_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "absl/functional/function_ref.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"

namespace nark::bad_network {

// How bad: percentages are of the datagrams that arrive, 0 to 100.
struct Impairment {
  double loss = 0;
  double burst = 1;                     // how many are lost in a row, on average; at least 1
  double duplicate = 0;                 // of what is not lost: comes twice
  double reorder = 0;                   // of each copy: held back for up to `hold`
  double corrupt = 0;                   // of each copy: 1 to 3 bits flipped anywhere
  double truncate = 0;                  // of each copy: cut anywhere, down to nothing
  double junk = 0;                      // another datagram, invented, comes along
  std::chrono::microseconds delay{0};   // of everything
  std::chrono::microseconds jitter{0};  // and up to this much more
  std::chrono::microseconds hold = std::chrono::milliseconds(20);
  // ADUs whose datagrams all come `late` later than the others.
  struct Slice {
    uint64_t first = 0;
    uint64_t last = 0;
    std::chrono::microseconds late{0};
  };
  std::optional<Slice> slice;
};

struct Counts {
  uint64_t received = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t truncated = 0;
  uint64_t invented = 0;
  uint64_t sent = 0;
};

// A network that loses, repeats, reorders, damages and invents datagrams, all from
// a seed: the same arrivals at the same times give the same departures, so it
// serves simulation and relay alike. Takes its time as an argument. One thread
// only.
class BadNetwork {
 public:
  BadNetwork(const Impairment& impairment, uint64_t seed)
      : impairment_(impairment), random_(seed) {}

  void Accept(ByteView datagram, Timestamp now);
  // Hands over what is due, oldest first.
  void Deliver(Timestamp now, absl::FunctionRef<void(ByteView)> take);
  // When the next one is due.
  std::optional<Timestamp> NextDue() const;

  // From the next datagram on.
  void Set(const Impairment& impairment) { impairment_ = impairment; }
  const Counts& counts() const { return counts_; }

 private:
  bool Happens(double percent);
  // Gilbert's model: a network is good or lost for a while.
  bool Loses();
  uint64_t Below(uint64_t limit);
  void Queue(Bytes datagram, Timestamp now);
  Bytes Damaged(ByteView datagram);
  // Empty, random, oversized, or this one with another version, session, kind,
  // index or with counts that lie.
  Bytes Invented(ByteView like);

  Impairment impairment_;
  // Specified to the bit, so that a seed means the same everywhere.
  std::mt19937_64 random_;
  bool losing_ = false;
  Counts counts_;
  uint64_t order_ = 0;
  std::map<std::pair<Timestamp, uint64_t>, Bytes> queue_;
};

}  // namespace nark::bad_network

#endif  // NARK_TESTS_RELAY_BAD_NETWORK_H_
