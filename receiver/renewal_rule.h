#ifndef NARK_RECEIVER_RENEWAL_RULE_H_
#define NARK_RECEIVER_RENEWAL_RULE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "nark/v1/note.pb.h"

namespace nark::receiver {

// When a grant is renewed while it plays: after refusals that a newer one can end, at a
// random time within the pause, so that viewers whose leases lapse together do not all come
// at once. The pause is kFirst at first, doubles up to kLongest with every renewal, and is
// kFirst again where an ADU was delivered since one that succeeded, and no digest refused.
// One thread only.
class RenewalRule {
 public:
  // Of ADUs since the start.
  struct Counts {
    std::map<v1::RefusalReason, uint64_t> refused;
    uint64_t delivered = 0;
  };
  static constexpr std::chrono::microseconds kFirst = std::chrono::seconds(2);
  static constexpr std::chrono::microseconds kLongest = std::chrono::minutes(1);

  explicit RenewalRule(Random& random) : random_(random) {}

  // Whether to renew now; true once for each time. To be called often while no renewal is
  // under way. `descriptor`: identity of the session's that is in force. `now` may jump. The
  // source of randomness's errors.
  absl::StatusOr<bool> Due(const Counts& counts, const Digest& descriptor, Timestamp now);
  // A renewal is done, with this descriptor, or came to nothing.
  void OnRenewed(const Counts& counts, const Digest& descriptor);
  void OnFailed();

 private:
  // Whether the last one did, as far as can be told by now.
  bool Helped(const Counts& counts) const;
  uint64_t Renewable(const Counts& counts, const Digest& descriptor) const;

  Random& random_;
  std::chrono::microseconds pause_ = kFirst;
  std::optional<Timestamp> at_;
  uint64_t seen_ = 0;       // renewable refusals at the last look
  bool renewed_ = false;    // the last renewal succeeded
  uint64_t delivered_ = 0;  // at the last that did
  uint64_t digests_ = 0;    // refusals DIGEST at it
  Digest renewed_with_{};   // the descriptor of it
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_RENEWAL_RULE_H_
