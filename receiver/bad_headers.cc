#include "receiver/bad_headers.h"

#include <algorithm>

namespace nark::receiver {

bool BadHeaders::MayCheck(Timestamp now) {
  // A clock that was set back must not stop the checking for long.
  if (now > refilled_) {
    const double seconds = std::chrono::duration<double>(now - refilled_).count();
    allowance_ = std::min<double>(per_second_, allowance_ + seconds * per_second_);
  }
  refilled_ = now;
  return allowance_ >= 1;
}

void BadHeaders::OnFailed(const Digest& hash) {
  allowance_ -= 1;
  if (!failed_.insert(hash).second) return;
  if (ring_.size() < kRemembered) {
    ring_.push_back(hash);
    return;
  }
  failed_.erase(ring_[oldest_]);
  ring_[oldest_] = hash;
  oldest_ = (oldest_ + 1) % kRemembered;
}

}  // namespace nark::receiver
