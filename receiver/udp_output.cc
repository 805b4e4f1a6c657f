#include "receiver/udp_output.h"

#include <algorithm>

#include "common/base/status.h"

namespace nark::receiver {
namespace {
// A timer finer than this costs more than it smoothes.
constexpr std::chrono::microseconds kTick = std::chrono::milliseconds(2);
}  // namespace

absl::Status UdpOutput::Write(ByteView plaintext, Timestamp now) {
  if (plaintext.empty()) return absl::OkStatus();
  bursts_.push_back({ToBytes(plaintext), 0, now});
  return Service(now);
}

absl::Status UdpOutput::Service(Timestamp now) {
  while (!bursts_.empty()) {
    Burst& burst = bursts_.front();
    RETURN_IF_ERROR(Send(burst, DueBytes(burst, now)));
    if (burst.sent < burst.bytes.size()) return absl::OkStatus();
    bursts_.pop_front();
  }
  return absl::OkStatus();
}

std::optional<Timestamp> UdpOutput::NextDeadline() const {
  if (bursts_.empty()) return std::nullopt;
  const Burst& burst = bursts_.front();
  const double share = static_cast<double>(burst.sent) / static_cast<double>(burst.bytes.size());
  const auto offset =
      std::chrono::microseconds(static_cast<int64_t>(share * static_cast<double>(spread_.count())));
  return burst.start + std::min(offset + kTick, spread_);
}

size_t UdpOutput::DueBytes(const Burst& burst, Timestamp now) const {
  const auto passed = now - burst.start;
  // A clock that was set back must not hold anything up.
  if (passed >= spread_ || passed < std::chrono::microseconds(0)) return burst.bytes.size();
  const double share = static_cast<double>(passed.count()) / static_cast<double>(spread_.count());
  return static_cast<size_t>(share * static_cast<double>(burst.bytes.size())) + 1;
}

absl::Status UdpOutput::Send(Burst& burst, size_t up_to) {
  std::vector<ByteView> datagrams;
  const ByteView bytes(burst.bytes);
  while (burst.sent < std::min(up_to, bytes.size())) {
    const size_t size = std::min(kDatagramBytes, bytes.size() - burst.sent);
    datagrams.push_back(bytes.subspan(burst.sent, size));
    burst.sent += size;
  }
  if (datagrams.empty()) return absl::OkStatus();
  const absl::Status sent = sink_->Send(datagrams);
  return sent.ok() ? sent : Annotate(sent, "output " + name_);
}

}  // namespace nark::receiver
