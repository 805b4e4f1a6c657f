#ifndef NARK_KEYMANAGER_REFUSAL_H_
#define NARK_KEYMANAGER_REFUSAL_H_

#include <string_view>

#include "absl/status/status.h"
#include "common/crypto/certificate.h"

namespace nark::keymanager {

// Why a request was refused, for the replica's operator. Callers see the reason
// only (docs/reasons.md): up to and including kEvidence it is NOT_ATTESTED.
enum class Cause {
  kMalformed,         // a field is missing or has a size that it can not have
  kChallengeMac,      // not a challenge of this pool, or changed
  kChallengeExpired,  // of this pool, and too old
  kChallengeEarly,    // of this pool, and ends later than any that this replica could make now
  kDescriptor,        // the session descriptor does not verify
  kOtherProvider,     // a session that another provider's pool serves
  kChallengeSession,  // the challenge was made for another session or secure space
  kVoucher,           // the voucher does not verify for the session
  // The secure space's certificates, each fault by itself.
  kCertificate,             // malformed, or what no other cause says
  kCertificateWeakKey,      // a key or signature other than ECDSA on P-256 with SHA-256
  kCertificateChainLength,  // not the one certificate that a secure space has
  kCertificateSelfSigned,
  kCertificateUsage,      // of another role
  kCertificateUntrusted,  // not signed by an issuer that is trusted
  kCertificateNotYetValid,
  kCertificateExpired,
  kRevoked,         // its issuer has revoked it
  kCertificateKey,  // the evidence says that it is signed by another key than its
  kEvidence,        // the evidence is not signed by it, or names something else
  kRateLimited,
  kVoucherOtherSecureSpace,
  kDenied,
  kVoucherExpired,
  kPoolKeyUnknown,
  kSessionNotSealed,
  kNoAuditTrail,  // a marked block was asked for, of a session without
  kListsExpired,
  kOverloaded,
  kKeysUnavailable,  // they lie in a token that can not be reached
  kInternal,
};
inline constexpr int kCauses = static_cast<int>(Cause::kInternal) + 1;

// What of the secure space's chain was refused, where `fault` is none: kCertificate.
Cause CauseOf(ChainFault fault);

// The label of the metric nark_keymanager_refusals_total{detail=...}.
std::string_view CauseName(Cause cause);

// What the caller is told; nothing of the request's content is in it.
absl::Status RefusalFor(Cause cause);

// Where a replica notes what it tells nobody else. Thread-safe.
class RefusalLog {
 public:
  virtual ~RefusalLog() = default;
  virtual void OnRefusal(Cause cause, std::string_view detail) = 0;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REFUSAL_H_
