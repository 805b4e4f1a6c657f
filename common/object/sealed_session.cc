#include "common/object/sealed_session.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark {
namespace {

constexpr size_t kSecretBytes = 32;

using Parcels = google::protobuf::RepeatedPtrField<v1::SealedSession>;

// HPKE info of the audit secret.
Bytes SealedAuditSecretInfo(const SessionName& session, const Digest& terms_identity) {
  return LabelledEncoding("nark sealed audit secret v1",
                          {session.provider, session.session_id, terms_identity});
}

absl::StatusOr<v1::SealedSession> Seal(const SecretBytes& secret, const X25519PublicKey& pool_key,
                                       const Bytes& info, Random& random) {
  if (secret.size() != kSecretBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a session's secret has ", kSecretBytes, " bytes, not ", secret.size()));
  }
  ASSIGN_OR_RETURN(HpkeSealed opaque, HpkeSeal(pool_key, info, {}, secret.Reveal(), random));
  v1::SealedSession sealed;
  sealed.set_pool_key_id(ToText(PoolKeyId(pool_key)));
  sealed.set_enc(ToText(opaque.enc));
  sealed.set_ciphertext(ToText(opaque.ciphertext));
  return sealed;
}

absl::StatusOr<SecretBytes> Open(const Parcels& parcels, const Bytes& info,
                                 std::span<const HpkePrivateKey> pool_keys) {
  absl::Status none = absl::NotFoundError("the session is not sealed to this pool");
  for (const HpkePrivateKey& key : pool_keys) {
    const Digest id = PoolKeyId(key.public_key());
    for (const v1::SealedSession& sealed : parcels) {
      if (!Equal(AsBytes(sealed.pool_key_id()), id)) continue;
      absl::StatusOr<SecretBytes> secret =
          HpkeOpen(key, AsBytes(sealed.enc()), info, {}, AsBytes(sealed.ciphertext()));
      if (absl::IsUnavailable(secret.status())) {
        none = secret.status();
        continue;
      }
      if (!secret.ok() || secret->size() != kSecretBytes) {
        return absl::InvalidArgumentError("the sealed session does not open with its pool key");
      }
      return secret;
    }
  }
  return none;
}

}  // namespace

Digest PoolKeyId(const X25519PublicKey& pool_key) { return Sha256(pool_key); }

absl::StatusOr<v1::SealedSession> SealSession(const SecretBytes& seed,
                                              const X25519PublicKey& pool_key,
                                              const SessionName& session,
                                              const Digest& terms_identity, Random& random) {
  return Seal(seed, pool_key, SealedSessionInfo(session, terms_identity), random);
}

absl::StatusOr<v1::SealedSession> SealAuditSecret(const SecretBytes& audit_secret,
                                                  const X25519PublicKey& pool_key,
                                                  const SessionName& session,
                                                  const Digest& terms_identity, Random& random) {
  return Seal(audit_secret, pool_key, SealedAuditSecretInfo(session, terms_identity), random);
}

absl::StatusOr<SecretBytes> OpenSealedSession(const VerifiedSession& session,
                                              std::span<const HpkePrivateKey> pool_keys) {
  return Open(session.descriptor().sealed_sessions(),
              SealedSessionInfo(session.name(), session.terms_identity()), pool_keys);
}

absl::StatusOr<SessionSecrets> OpenSessionSecrets(const VerifiedSession& session,
                                                  std::span<const HpkePrivateKey> pool_keys) {
  SessionSecrets secrets;
  ASSIGN_OR_RETURN(secrets.seed, OpenSealedSession(session, pool_keys));
  if (!session.terms().has_audit()) return secrets;
  ASSIGN_OR_RETURN(
      secrets.audit,
      Open(session.descriptor().sealed_audit_secrets(),
           SealedAuditSecretInfo(session.name(), session.terms_identity()), pool_keys));
  return secrets;
}

}  // namespace nark
