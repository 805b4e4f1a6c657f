#include "relay/forwarder.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/wire/datagram.h"

namespace nark::relay {
namespace {

// Where the prefix has them (common/wire/datagram.h).
constexpr size_t kVersionAt = 2;
constexpr size_t kTagAt = 4;

}  // namespace

std::string_view Name(Stop stop) {
  static constexpr std::array<std::string_view, kStops> kNames = {"none",    "short",   "long",
                                                                  "foreign", "session", "repeated"};
  return kNames[static_cast<size_t>(stop)];
}

Stop Forwarder::Judge(ByteView datagram, Timestamp now) {
  if (datagram.size() < wire::kPrefixBytes) return Stop::kShort;
  if (datagram.size() > options_.datagram_bytes) return Stop::kLong;
  if (datagram[0] != 'N' || datagram[1] != 'K' || datagram[kVersionAt] != wire::kVersion) {
    return Stop::kForeign;
  }
  if (!desk_.Serves(LoadBig64(&datagram[kTagAt]))) return Stop::kSession;
  return guard_.Allow(datagram, now) ? Stop::kNone : Stop::kRepeated;
}

void Forwarder::Add(ByteView datagram, Timestamp now) {
  ++statistics_.received;
  statistics_.received_bytes += datagram.size();
  const Stop stop = Judge(datagram, now);
  if (stop != Stop::kNone) {
    ++statistics_.stopped[static_cast<size_t>(stop)];
    return;
  }
  all_.push_back(datagram);
  by_tag_[LoadBig64(&datagram[kTagAt])].push_back(datagram);
}

absl::Status Forwarder::Flush(Timestamp now) {
  absl::Status status;
  if (!all_.empty()) {
    for (net::DatagramSink* output : outputs_) {
      if (absl::Status sent = output->Send(all_); !sent.ok() && status.ok()) status = sent;
    }
    for (const auto& [tag, datagrams] : by_tag_) {
      if (datagrams.empty()) continue;
      if (absl::Status sent = SendTo(tag, datagrams, now); !sent.ok() && status.ok()) status = sent;
    }
  }
  all_.clear();
  for (auto& [tag, datagrams] : by_tag_) datagrams.clear();
  return status;
}

absl::Status Forwarder::SendTo(uint64_t tag, std::span<const ByteView> datagrams, Timestamp now) {
  const std::vector<Subscriber*>& receivers = desk_.Receivers(tag);
  if (receivers.empty() || fan_out_ == nullptr) return absl::OkStatus();
  if (options_.bytes_per_second > 0) {
    for (Subscriber* one : receivers) RETURN_IF_ERROR(SendWithin(*one, datagrams, now));
    return absl::OkStatus();
  }
  uint64_t bytes = 0;
  for (ByteView datagram : datagrams) bytes += datagram.size();
  endpoints_.clear();
  for (Subscriber* one : receivers) {
    endpoints_.push_back(one->endpoint);
    one->datagrams += datagrams.size();
    one->bytes += bytes;
  }
  statistics_.sent += datagrams.size() * receivers.size();
  statistics_.sent_bytes += bytes * receivers.size();
  return fan_out_->Send(endpoints_, datagrams);
}

// A token bucket that holds a second's worth.
absl::Status Forwarder::SendWithin(Subscriber& subscriber, std::span<const ByteView> datagrams,
                                   Timestamp now) {
  const double most = options_.bytes_per_second;
  const double seconds = std::chrono::duration<double>(now - subscriber.allowed_at).count();
  const bool fresh = subscriber.datagrams == 0;
  subscriber.allowance = fresh ? most : std::min(most, subscriber.allowance + seconds * most);
  subscriber.allowed_at = now;
  size_t count = 0;
  uint64_t bytes = 0;
  while (count < datagrams.size() &&
         subscriber.allowance >= static_cast<double>(datagrams[count].size())) {
    subscriber.allowance -= static_cast<double>(datagrams[count].size());
    bytes += datagrams[count++].size();
  }
  statistics_.over_rate += datagrams.size() - count;
  if (count == 0) return absl::OkStatus();
  subscriber.datagrams += count;
  subscriber.bytes += bytes;
  statistics_.sent += count;
  statistics_.sent_bytes += bytes;
  return fan_out_->Send(std::span(&subscriber.endpoint, 1), datagrams.first(count));
}

}  // namespace nark::relay
