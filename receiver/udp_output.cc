#include "receiver/udp_output.h"

#include <algorithm>
#include <vector>

#include "common/base/status.h"

namespace nark::receiver {
namespace {
// A timer finer than this costs more than it smoothes.
constexpr std::chrono::microseconds kTick = std::chrono::milliseconds(2);
}  // namespace

absl::Status UdpOutput::Write(ByteView plaintext, Timestamp now) {
  if (plaintext.empty()) return absl::OkStatus();
  if (bursts_.empty()) {
    served_ = now;
    allowance_ = 1;  // the first datagram goes at once
  }
  bursts_.push_back({ToBytes(plaintext), 0, now + spread_});
  return Service(now);
}

absl::Status UdpOutput::Service(Timestamp now) {
  if (bursts_.empty()) return absl::OkStatus();
  allowance_ += DueBytes(now);
  served_ = now;
  return SendWhile(allowance_);
}

double UdpOutput::DueBytes(Timestamp now) const {
  const double passed = std::chrono::duration<double>(now - served_).count();
  double due = 0;
  double left = 0;
  for (const Burst& burst : bursts_) {
    left += static_cast<double>(burst.bytes.size() - burst.sent);
    // A clock that was set back must not hold anything up.
    if (burst.end <= now || passed < 0) {
      due = left - std::min(allowance_, 0.0);
      continue;
    }
    const double ahead = std::max(allowance_, 0.0);
    const double total = std::chrono::duration<double>(burst.end - served_).count();
    due = std::max(due, (left - ahead) * passed / total);
  }
  return due;
}

absl::Status UdpOutput::SendWhile(double allowance) {
  std::vector<ByteView> datagrams;
  size_t burst = 0;
  size_t sent = bursts_.front().sent;
  while (allowance > 0 && burst < bursts_.size()) {
    const ByteView bytes(bursts_[burst].bytes);
    const size_t size = std::min(datagram_bytes_, bytes.size() - sent);
    datagrams.push_back(bytes.subspan(sent, size));
    sent += size;
    allowance -= static_cast<double>(size);
    if (sent < bytes.size()) continue;
    ++burst;
    sent = 0;
  }
  if (datagrams.empty()) return absl::OkStatus();
  const absl::Status status = sink_->Send(datagrams);
  if (!status.ok()) return Annotate(status, "output " + name_);
  allowance_ = allowance;
  bursts_.erase(bursts_.begin(), bursts_.begin() + static_cast<ptrdiff_t>(burst));
  if (!bursts_.empty()) bursts_.front().sent = sent;
  return absl::OkStatus();
}

std::optional<Timestamp> UdpOutput::NextDeadline() const {
  if (bursts_.empty()) return std::nullopt;
  return std::min(served_ + kTick, std::max(served_, bursts_.front().end));
}

}  // namespace nark::receiver
