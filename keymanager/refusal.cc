#include "keymanager/refusal.h"

#include <array>

#include "common/base/status.h"

namespace nark::keymanager {
namespace {

struct Entry {
  Cause cause;
  std::string_view name;
  absl::StatusCode code;
  std::string_view reason;
  std::string_view message;
  int retry_seconds;
};

constexpr absl::StatusCode kUnattested = absl::StatusCode::kUnauthenticated;
constexpr std::string_view kNotAttested = "NOT_ATTESTED";
constexpr std::string_view kSaysNothing =
    "the request is not attested; take the provider's current session file, and check that the "
    "secure space's certificate has not expired and comes from an issuer the provider trusts";

constexpr std::array<Entry, kCauses> kEntries = {{
    {Cause::kMalformed, "malformed", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kChallengeMac, "challenge_mac", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kChallengeExpired, "challenge_expired", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kChallengeEarly, "challenge_early", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kDescriptor, "descriptor", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kOtherProvider, "other_provider", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kChallengeSession, "challenge_session", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kVoucher, "voucher", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kCertificate, "certificate", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kCertificateWeakKey, "certificate_weak_key", kUnattested, kNotAttested, kSaysNothing,
     0},
    {Cause::kCertificateChainLength, "certificate_chain_length", kUnattested, kNotAttested,
     kSaysNothing, 0},
    {Cause::kCertificateSelfSigned, "certificate_self_signed", kUnattested, kNotAttested,
     kSaysNothing, 0},
    {Cause::kCertificateUsage, "certificate_usage", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kCertificateUntrusted, "certificate_untrusted", kUnattested, kNotAttested, kSaysNothing,
     0},
    {Cause::kCertificateNotYetValid, "certificate_not_yet_valid", kUnattested, kNotAttested,
     kSaysNothing, 0},
    {Cause::kCertificateExpired, "certificate_expired", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kRevoked, "revoked", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kCertificateKey, "certificate_key", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kEvidence, "evidence", kUnattested, kNotAttested, kSaysNothing, 0},
    {Cause::kRateLimited, "rate_limited", absl::StatusCode::kResourceExhausted, "RATE_LIMITED",
     "too many joins of this secure space in a short time; wait a little", 5},
    {Cause::kVoucherOtherSecureSpace, "voucher_other_secure_space",
     absl::StatusCode::kPermissionDenied, "VOUCHER_OTHER_SECURE_SPACE",
     "the voucher was made out to another secure space", 0},
    {Cause::kDenied, "denied", absl::StatusCode::kPermissionDenied, "SECURE_SPACE_DENIED",
     "the provider denies this secure space", 0},
    {Cause::kVoucherExpired, "voucher_expired", absl::StatusCode::kFailedPrecondition,
     "VOUCHER_EXPIRED", "what the voucher bought has expired", 0},
    {Cause::kPoolKeyUnknown, "pool_key_unknown", absl::StatusCode::kFailedPrecondition,
     "POOL_KEY_UNKNOWN",
     "the session is not sealed to a key of this pool; take the provider's current descriptor", 0},
    {Cause::kSessionNotSealed, "session_not_sealed", absl::StatusCode::kFailedPrecondition,
     "SESSION_NOT_SEALED",
     "the sealed session in the descriptor does not open; the provider must seal it again", 0},
    {Cause::kNoAuditTrail, "no_audit_trail", absl::StatusCode::kFailedPrecondition,
     "NO_AUDIT_TRAIL", "the session has no audit trail, and so no marked blocks", 0},
    {Cause::kListsExpired, "lists_expired", absl::StatusCode::kUnavailable, "LISTS_EXPIRED",
     "the replica's revocation or deny list is past its next update; try again later", 30},
    {Cause::kOverloaded, "overloaded", absl::StatusCode::kResourceExhausted, "OVERLOADED",
     "the replica has more to do than it can; try another, or a little later", 1},
    {Cause::kKeysUnavailable, "keys_unavailable", absl::StatusCode::kUnavailable,
     "KEYS_UNAVAILABLE", "the replica can not reach its keys; try another, or a little later", 5},
    {Cause::kInternal, "internal", absl::StatusCode::kInternal, "INTERNAL",
     "the key manager failed; see its log", 0},
}};

constexpr bool InOrder() {
  for (int i = 0; i < kCauses; ++i) {
    if (kEntries[i].cause != static_cast<Cause>(i)) return false;
  }
  return true;
}
static_assert(InOrder());

}  // namespace

Cause CauseOf(ChainFault fault) {
  switch (fault) {
    case ChainFault::kNone:
      return Cause::kCertificate;
    case ChainFault::kWeakKey:
      return Cause::kCertificateWeakKey;
    case ChainFault::kLength:
      return Cause::kCertificateChainLength;
    case ChainFault::kSelfSigned:
      return Cause::kCertificateSelfSigned;
    case ChainFault::kUsage:
      return Cause::kCertificateUsage;
    case ChainFault::kUntrusted:
      return Cause::kCertificateUntrusted;
    case ChainFault::kNotYetValid:
      return Cause::kCertificateNotYetValid;
    case ChainFault::kExpired:
      return Cause::kCertificateExpired;
    case ChainFault::kRevoked:
      return Cause::kRevoked;
  }
  return Cause::kCertificate;
}

std::string_view CauseName(Cause cause) { return kEntries[static_cast<int>(cause)].name; }

absl::Status RefusalFor(Cause cause) {
  const Entry& entry = kEntries[static_cast<int>(cause)];
  absl::Status status = Refusal(entry.code, entry.reason, entry.message);
  if (entry.retry_seconds != 0) SetRetryAfterSeconds(status, entry.retry_seconds);
  return status;
}

}  // namespace nark::keymanager
