#ifndef NARK_KEYMANAGER_GRANT_MAKER_H_
#define NARK_KEYMANAGER_GRANT_MAKER_H_

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/hpke.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "nark/v1/attestation.pb.h"
#include "nark/v1/grant.pb.h"

namespace nark::keymanager {

// A join on which everything has been checked. All borrowed.
struct AttestedJoin {
  const VerifiedSession& session;
  const VerifiedVoucher& voucher;
  const Digest& challenge_identity;
  const v1::Evidence& evidence;  // hpke_public_key is 32 bytes
  const Digest& evidence_identity;
  const Digest& secure_space_id;
};

// What a replica knows of a session. Both borrowed; `family` is set with an audit trail.
struct GrantSecrets {
  const SecretBytes& seed;
  const audit::Family* family = nullptr;
};

// The plaintext of the grant: for each permitted sender and sub-session bought
// the minimal cover of the range, and the voucher's policy. Serialised Grant.
// What a voucher yields is a function of it, the session, the secure space and
// `now`, which is the issue time only: any replica makes the same.
absl::StatusOr<SecretBytes> MakeGrant(const AttestedJoin& join, const GrantSecrets& secrets,
                                      Timestamp now);

// Seals it to the evidence's key, bound to the transcript of this exchange.
absl::StatusOr<v1::SealedGrant> SealGrant(const AttestedJoin& join, const SecretBytes& grant,
                                          Random& random);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_GRANT_MAKER_H_
