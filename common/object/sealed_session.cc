#include "common/object/sealed_session.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark {

constexpr size_t kSeedBytes = 32;

Digest PoolKeyId(const X25519PublicKey& pool_key) { return Sha256(pool_key); }

absl::StatusOr<v1::SealedSession> SealSession(const SecretBytes& seed,
                                              const X25519PublicKey& pool_key,
                                              const SessionName& session,
                                              const Digest& terms_identity, Random& random) {
  if (seed.size() != kSeedBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a session seed has ", kSeedBytes, " bytes, not ", seed.size()));
  }
  ASSIGN_OR_RETURN(HpkeSealed opaque, HpkeSeal(pool_key, SealedSessionInfo(session, terms_identity),
                                               {}, seed.Reveal(), random));
  v1::SealedSession sealed;
  sealed.set_pool_key_id(ToText(PoolKeyId(pool_key)));
  sealed.set_enc(ToText(opaque.enc));
  sealed.set_ciphertext(ToText(opaque.ciphertext));
  return sealed;
}

absl::StatusOr<SecretBytes> OpenSealedSession(const VerifiedSession& session,
                                              std::span<const HpkePrivateKey> pool_keys) {
  const Bytes info = SealedSessionInfo(session.name(), session.terms_identity());
  absl::Status none = absl::NotFoundError("the session is not sealed to this pool");
  for (const HpkePrivateKey& key : pool_keys) {
    const Digest id = PoolKeyId(key.public_key());
    for (const v1::SealedSession& sealed : session.descriptor().sealed_sessions()) {
      if (!Equal(AsBytes(sealed.pool_key_id()), id)) continue;
      absl::StatusOr<SecretBytes> seed =
          HpkeOpen(key, AsBytes(sealed.enc()), info, {}, AsBytes(sealed.ciphertext()));
      if (absl::IsUnavailable(seed.status())) {
        none = seed.status();
        continue;
      }
      if (!seed.ok() || seed->size() != kSeedBytes) {
        return absl::InvalidArgumentError("the sealed session does not open with its pool key");
      }
      return seed;
    }
  }
  return none;
}

}  // namespace nark
