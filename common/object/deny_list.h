#ifndef NARK_COMMON_OBJECT_DENY_LIST_H_
#define NARK_COMMON_OBJECT_DENY_LIST_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "nark/v1/envelope.pb.h"

namespace nark {

// A deny list that has been verified. Immutable; thread-safe.
struct VerifiedDenyList {
  std::vector<Digest> secure_space_ids;  // ascending
  Timestamp issue_time;
  Timestamp next_update;

  bool Denies(const Digest& secure_space_id) const;
};

// Verifies under the control role of `root`. A list past its next update is
// returned all the same: what that means is the caller's decision.
absl::StatusOr<VerifiedDenyList> VerifyDenyList(const v1::SignedEnvelope& envelope,
                                                const Certificate& root, Timestamp now);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_DENY_LIST_H_
