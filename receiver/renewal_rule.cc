#include "receiver/renewal_rule.h"

#include <algorithm>
#include <array>

#include "common/base/status.h"

namespace nark::receiver {
namespace {

uint64_t CountOf(const RenewalRule::Counts& counts, v1::RefusalReason reason) {
  const auto found = counts.refused.find(reason);
  return found == counts.refused.end() ? 0 : found->second;
}

}  // namespace

absl::StatusOr<bool> RenewalRule::Due(const Counts& counts, const Digest& descriptor,
                                      Timestamp now) {
  const uint64_t renewable = Renewable(counts, descriptor);
  if (!at_ && renewable > seen_) {
    if (Helped(counts)) pause_ = kFirst;
    std::array<uint8_t, 8> drawn{};
    RETURN_IF_ERROR(random_.Fill(drawn));
    const auto most = static_cast<uint64_t>(pause_.count());
    at_ = now + std::chrono::microseconds(LoadBig64(drawn.data()) % (most + 1));
  }
  seen_ = renewable;
  // A clock that was put back.
  if (at_ && *at_ - now > pause_) at_ = now;
  if (!at_ || now < *at_) return false;
  at_.reset();
  return true;
}

uint64_t RenewalRule::Renewable(const Counts& counts, const Digest& descriptor) const {
  uint64_t count = CountOf(counts, v1::REFUSAL_REASON_LEASE) +
                   CountOf(counts, v1::REFUSAL_REASON_CONTACT) +
                   CountOf(counts, v1::REFUSAL_REASON_DIGEST);
  // A header that verified here and not in the secure space is of a sender that its
  // descriptor does not know; with a grant it gets this one. If that helps not, once is
  // enough.
  if (renewed_with_ != descriptor) count += CountOf(counts, v1::REFUSAL_REASON_SIGNATURE);
  return count;
}

bool RenewalRule::Helped(const Counts& counts) const {
  // A sender whose digests are wrong gets one more ADU played by each renewal, and must not
  // send all its receivers to key managers again and again.
  return renewed_ && counts.delivered > delivered_ &&
         CountOf(counts, v1::REFUSAL_REASON_DIGEST) == digests_;
}

void RenewalRule::OnRenewed(const Counts& counts, const Digest& descriptor) {
  renewed_with_ = descriptor;
  renewed_ = true;
  delivered_ = counts.delivered;
  digests_ = CountOf(counts, v1::REFUSAL_REASON_DIGEST);
  // What was refused while it was under way, it has ended; what it has not is refused again.
  seen_ = Renewable(counts, descriptor);
  pause_ = std::min(2 * pause_, kLongest);
}

void RenewalRule::OnFailed() {
  renewed_ = false;
  pause_ = std::min(2 * pause_, kLongest);
}

}  // namespace nark::receiver
