#ifndef NARK_SECURESPACE_GRANT_EXCHANGE_H_
#define NARK_SECURESPACE_GRANT_EXCHANGE_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hpke.h"
#include "common/crypto/signature.h"
#include "common/object/session.h"
#include "nark/v1/attestation.pb.h"
#include "nark/v1/envelope.pb.h"
#include "securespace/policy.h"

// What a secure space does in an exchange with a key manager, apart from its state: it
// signs evidence, and opens the grant that answers it.
namespace nark::securespace {

// What evidence says. All borrowed.
struct EvidenceClaims {
  const VerifiedSession& session;
  const Digest& voucher_identity;
  const v1::Challenge& challenge;
  const X25519PublicKey& hpke_public_key;  // fresh, of this exchange alone
  uint64_t counter = 0;                    // of the session's provider
  uint64_t contact_sequence = 0;           // the last contact order obeyed
  const Digest& secure_space_id;
};

struct SignedEvidence {
  v1::SignedEnvelope evidence;
  Digest transcript{};  // what the grant will be sealed under
};

// Evidence under the attestation key. Thread-safe.
absl::StatusOr<SignedEvidence> SignEvidence(const EvidenceClaims& claims,
                                            const PrivateKey& attestation_key);

// Evidence that was given, and waits for its grant.
struct Exchange {
  VerifiedSession session;
  uint64_t verified_at_us = 0;
  VerifiedVoucher voucher;
  v1::SignedEnvelope voucher_envelope;
  HpkePrivateKey key;
  uint64_t contact_sequence = 0;
  Digest transcript{};
  bool answered = false;  // a grant of it is installed
};

// A grant that was opened and checked, not yet installed.
struct OpenedGrant {
  Grant grant;
  uint64_t contact_sequence = 0;
  Digest signer_id{};  // of the key manager's key
};

// Why a grant is refused whose key manager the session revokes (GrantRefused).
inline constexpr std::string_view kRevokedKeyManager =
    "this key manager's certificate has been revoked";

// Verifies the key manager's signature and chain, opens what is sealed, and checks that it
// is what the exchange asked for: every field that is repeated, and seeds for just what was
// bought. UNAUTHENTICATED, reason GRANT_REFUSED, where anything is wrong. Thread-safe.
absl::StatusOr<OpenedGrant> OpenGrant(const Exchange& exchange, const Digest& secure_space_id,
                                      const v1::SignedEnvelope& envelope);

// "the key manager's grant is refused: `what`": UNAUTHENTICATED, reason GRANT_REFUSED.
absl::Status GrantRefused(std::string_view what);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_GRANT_EXCHANGE_H_
