#include "narkctl/pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/file.h"
#include "common/object/provider.h"
#include "common/object/sealed_session.h"
#include "common/object/session.h"
#include "narkctl/folder.h"
#include "narkctl/provider.h"

namespace nark::narkctl {
namespace {

constexpr char kServerName[] = "keymanager.nark";
constexpr size_t kMacKeyBytes = 32;

// Gives `pool` a signing and a TLS key of its own.
absl::Status NewServerKeys(const SigningIdentity& pool_role, const SigningIdentity& tls_ca,
                           Timestamp now, PoolFolder& pool) {
  ASSIGN_OR_RETURN(SigningIdentity tls, MakeTlsServer(kServerName, tls_ca, now));
  ASSIGN_OR_RETURN(pool.tls_key_pem, tls.key.ToPem());
  pool.tls_certificates_pem = tls.certificate.ToPem();
  ASSIGN_OR_RETURN(pool.signing, MakeKeyManager("key manager", pool_role, now));
  return absl::OkStatus();
}

// A session file and what is to stand in it.
struct Resealed {
  std::string path;
  v1::NarkFile file;
};

absl::StatusOr<Resealed> Reseal(const std::string& path, const PoolFolder& pool,
                                const SigningIdentity& descriptor_role, Timestamp now,
                                Random& random) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
  absl::StatusOr<VerifiedSession> session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), path);
  if (session->name().provider != pool.root.public_key().id()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a session of another provider"));
  }
  absl::StatusOr<SecretBytes> seed = OpenSealedSession(*session, pool.hpke_keys);
  if (!seed.ok()) return Annotate(seed.status(), path);
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope, ResealSession(*session, *seed, descriptor_role,
                                                              PublicKeysOf(pool), now, random));
  return Resealed{path, SessionFile(std::move(envelope))};
}

}  // namespace

std::vector<X25519PublicKey> PublicKeysOf(const PoolFolder& pool) {
  std::vector<X25519PublicKey> keys;
  for (const HpkePrivateKey& key : pool.hpke_keys) keys.push_back(key.public_key());
  return keys;
}

absl::StatusOr<PoolFolder> LoadPoolOf(const std::string& folder, const Certificate& provider_root,
                                      Timestamp now) {
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolFolder(folder, now));
  if (pool.root.public_key().id() != provider_root.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, " is a pool of another provider; name that provider's folder"));
  }
  return pool;
}

absl::StatusOr<Digest> InitPool(const std::string& folder, const std::string& provider,
                                Timestamp now, Random& random) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity pool_role,
                   ReadRole(provider, CertificateRole::kPool, root, now));
  ASSIGN_OR_RETURN(SigningIdentity tls_ca, ReadTlsCa(provider));
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(folder));
  ASSIGN_OR_RETURN(SigningIdentity signing, MakeKeyManager("key manager", pool_role, now));
  PoolFolder pool{.root = root,
                  .hpke_keys = {},
                  .challenge_mac_key = SecretBytes(kMacKeyBytes),
                  .signing = std::move(signing),
                  .tls_certificates_pem = {},
                  .tls_key_pem = {}};
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::Generate(random));
  const Digest id = PoolKeyId(key.public_key());
  pool.hpke_keys.push_back(std::move(key));
  RETURN_IF_ERROR(random.Fill(pool.challenge_mac_key.RevealMutable()));
  RETURN_IF_ERROR(NewServerKeys(pool_role, tls_ca, now, pool));
  RETURN_IF_ERROR(WritePoolFolder(fresh.PathOf("."), pool, pool_role, now));
  RETURN_IF_ERROR(fresh.Finish());
  return id;
}

absl::StatusOr<Digest> RotatePool(const std::string& folder, const std::string& provider,
                                  const std::vector<std::string>& reseal, Timestamp now,
                                  Random& random) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity pool_role,
                   ReadRole(provider, CertificateRole::kPool, root, now));
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolOf(folder, root, now));
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::Generate(random));
  const Digest id = PoolKeyId(key.public_key());
  pool.hpke_keys.push_back(std::move(key));

  std::vector<Resealed> sessions;
  if (!reseal.empty()) {
    ASSIGN_OR_RETURN(SigningIdentity descriptor_role,
                     ReadRole(provider, CertificateRole::kDescriptor, root, now));
    for (const std::string& path : reseal) {
      ASSIGN_OR_RETURN(Resealed session, Reseal(path, pool, descriptor_role, now, random));
      sessions.push_back(std::move(session));
    }
  }
  // The pool first: a session sealed to a key that is not yet durable could be
  // lost for good.
  RETURN_IF_ERROR(WritePoolFolder(folder, pool, pool_role, now));
  for (const Resealed& session : sessions) {
    RETURN_IF_ERROR(WriteNarkFile(session.path, session.file, FileMode::kPublic));
  }
  return id;
}

absl::Status MakeReplica(const std::string& folder, const std::string& provider,
                         const std::string& out, Timestamp now) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity pool_role,
                   ReadRole(provider, CertificateRole::kPool, root, now));
  ASSIGN_OR_RETURN(SigningIdentity tls_ca, ReadTlsCa(provider));
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolOf(folder, root, now));
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(out));
  RETURN_IF_ERROR(NewServerKeys(pool_role, tls_ca, now, pool));
  RETURN_IF_ERROR(WritePoolFolder(fresh.PathOf("."), pool, pool_role, now));
  return fresh.Finish();
}

}  // namespace nark::narkctl
