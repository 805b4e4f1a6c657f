#ifndef NARK_RELAY_FORWARDER_H_
#define NARK_RELAY_FORWARDER_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/net/datagram_io.h"
#include "relay/desk.h"
#include "relay/endpoint.h"
#include "relay/repeat_guard.h"

namespace nark::relay {

// Sends the same datagrams to many. What is lost on the way is no error.
class FanOut {
 public:
  virtual ~FanOut() = default;
  virtual absl::Status Send(std::span<const Endpoint> to, std::span<const ByteView> datagrams) = 0;
};

// Why a datagram that came in was not passed on to anybody.
enum class Stop : uint8_t { kNone, kShort, kLong, kForeign, kSession, kRepeated };
inline constexpr int kStops = 6;
// For counters: "short".
std::string_view Name(Stop stop);

struct ForwarderStatistics {
  uint64_t received = 0;
  uint64_t received_bytes = 0;
  std::array<uint64_t, kStops> stopped{};
  uint64_t sent = 0;  // to subscribers: one for each
  uint64_t sent_bytes = 0;
  uint64_t over_rate = 0;  // not sent: beyond a subscriber's rate
};

struct ForwarderOptions {
  size_t datagram_bytes = 1452;  // the largest that is passed on
  double bytes_per_second = 0;   // of each subscriber; 0: no limit
};

// Passes datagrams on, as they are, to those who subscribed to their session and to
// the outputs. Looks at magic, version and session tag, and at nothing else. One
// thread only.
class Forwarder {
 public:
  // All must outlive it. `fan_out` may be null where nobody can subscribe.
  Forwarder(ForwarderOptions options, Desk& desk, FanOut* fan_out,
            std::vector<net::DatagramSink*> outputs)
      : options_(options), desk_(desk), fan_out_(fan_out), outputs_(std::move(outputs)) {}

  // Takes one datagram; its bytes must stay until Flush.
  void Add(ByteView datagram, Timestamp now);
  // Sends what was added since the last call. Errors are the sockets'.
  absl::Status Flush(Timestamp now);

  const ForwarderStatistics& statistics() const { return statistics_; }

 private:
  Stop Judge(ByteView datagram, Timestamp now);
  absl::Status SendTo(uint64_t tag, std::span<const ByteView> datagrams, Timestamp now);
  absl::Status SendWithin(Subscriber& subscriber, std::span<const ByteView> datagrams,
                          Timestamp now);

  const ForwarderOptions options_;
  Desk& desk_;
  FanOut* fan_out_;
  std::vector<net::DatagramSink*> outputs_;
  RepeatGuard guard_;
  std::vector<ByteView> all_;                         // in the order of arrival
  std::map<uint64_t, std::vector<ByteView>> by_tag_;  // the same
  std::vector<Endpoint> endpoints_;
  ForwarderStatistics statistics_;
};

}  // namespace nark::relay

#endif  // NARK_RELAY_FORWARDER_H_
