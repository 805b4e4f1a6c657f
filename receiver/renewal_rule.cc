#include "receiver/renewal_rule.h"

#include <algorithm>
#include <array>

#include "common/base/status.h"

namespace nark::receiver {
namespace {

uint64_t CountOf(const RenewalRule::Refused& refused, v1::RefusalReason reason) {
  const auto found = refused.find(reason);
  return found == refused.end() ? 0 : found->second;
}

}  // namespace

absl::StatusOr<bool> RenewalRule::Due(const Refused& refused, const Digest& descriptor,
                                      Timestamp now) {
  const uint64_t renewable = Renewable(refused, descriptor);
  if (!at_ && renewable > seen_) {
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

uint64_t RenewalRule::Renewable(const Refused& refused, const Digest& descriptor) const {
  uint64_t count = CountOf(refused, v1::REFUSAL_REASON_LEASE) +
                   CountOf(refused, v1::REFUSAL_REASON_CONTACT) +
                   CountOf(refused, v1::REFUSAL_REASON_DIGEST);
  // A header that verified here and not in the secure space is of a sender that its
  // descriptor does not know; with a grant it gets this one. If that helps not, once is
  // enough.
  if (renewed_with_ != descriptor) count += CountOf(refused, v1::REFUSAL_REASON_SIGNATURE);
  return count;
}

void RenewalRule::OnRenewed(const Refused& refused, const Digest& descriptor) {
  renewed_with_ = descriptor;
  // A sender whose digests are wrong must not send all its receivers to key managers again
  // and again.
  const uint64_t digests = CountOf(refused, v1::REFUSAL_REASON_DIGEST);
  pause_ = digests == digests_ ? kFirst : std::min(2 * pause_, kLongest);
  digests_ = digests;
  // What was refused while it was under way, it has ended; what it has not is refused again.
  seen_ = Renewable(refused, descriptor);
}

void RenewalRule::OnFailed() { pause_ = std::min(2 * pause_, kLongest); }

}  // namespace nark::receiver
