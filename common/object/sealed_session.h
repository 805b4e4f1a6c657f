#ifndef NARK_COMMON_OBJECT_SEALED_SESSION_H_
#define NARK_COMMON_OBJECT_SEALED_SESSION_H_

#include <span>

#include "absl/status/statusor.h"
#include "common/crypto/hpke.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "nark/v1/session.pb.h"

namespace nark {

// What only the provider and its pool know of a session. Move-only.
struct SessionSecrets {
  SecretBytes seed;   // 32 bytes
  SecretBytes audit;  // 32 bytes; empty without an audit trail

  SessionSecrets Clone() const { return {seed.Clone(), audit.Clone()}; }
};

// Seals the 32-byte session seed to one pool key.
absl::StatusOr<v1::SealedSession> SealSession(const SecretBytes& seed,
                                              const X25519PublicKey& pool_key,
                                              const SessionName& session,
                                              const Digest& terms_identity, Random& random);
// The same for the 32-byte audit secret.
absl::StatusOr<v1::SealedSession> SealAuditSecret(const SecretBytes& audit_secret,
                                                  const X25519PublicKey& pool_key,
                                                  const SessionName& session,
                                                  const Digest& terms_identity, Random& random);

// Opens the seed with whichever of `pool_keys` it was sealed to. NOT_FOUND where
// it was sealed to none of them; INVALID_ARGUMENT where it does not open; UNAVAILABLE where
// it was sealed only to keys that lie elsewhere, out of reach.
absl::StatusOr<SecretBytes> OpenSealedSession(const VerifiedSession& session,
                                              std::span<const HpkePrivateKey> pool_keys);

// The same for all of the session's secrets.
absl::StatusOr<SessionSecrets> OpenSessionSecrets(const VerifiedSession& session,
                                                  std::span<const HpkePrivateKey> pool_keys);

// SHA-256 of a pool key: its id in descriptors.
Digest PoolKeyId(const X25519PublicKey& pool_key);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_SEALED_SESSION_H_
