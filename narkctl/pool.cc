#include "narkctl/pool.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
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

// Where new keys go; nullopt: into files.
using Place = std::optional<pkcs11::KeyPlace>;

std::string OwnerOf(const Certificate& root) {
  return absl::StrCat("nark-", ToHex(root.public_key().id()).substr(0, 8));
}

absl::StatusOr<Place> PlaceOf(const PoolFolder& pool, const PoolToken& token) {
  std::string label = token.label;
  if (label.empty() && pool.signing.key.external() != nullptr) {
    ASSIGN_OR_RETURN(label, pkcs11::TokenOf(pool.signing.key.external()->uri()));
  }
  if (label.empty()) return Place();
  if (token.keys == nullptr) {
    return absl::InvalidArgumentError(
        "--pkcs11-token goes together with --pkcs11-module and --pkcs11-pin-file");
  }
  return Place({.token = label, .owner = OwnerOf(pool.root)});
}

absl::StatusOr<SigningIdentity> NewSigning(const SigningIdentity& pool_role, Timestamp now,
                                           const Place& place, const PoolToken& token) {
  if (!place) return MakeKeyManager("key manager", pool_role, now);
  ASSIGN_OR_RETURN(PrivateKey key, token.keys->MakeSigningKey(*place));
  return CertifyKeyManager(std::move(key), "key manager", pool_role, now);
}

absl::Status NewTlsKey(const SigningIdentity& tls_ca, Timestamp now, PoolFolder& pool) {
  ASSIGN_OR_RETURN(SigningIdentity tls, MakeTlsServer(kServerName, tls_ca, now));
  ASSIGN_OR_RETURN(pool.tls_key_pem, tls.key.ToPem());
  pool.tls_certificates_pem = tls.certificate.ToPem();
  return absl::OkStatus();
}

// The keys that all replicas of a pool share. `challenges_from`: when challenges are made
// with the new one.
struct NewSharedKeys {
  Timestamp now;
  Timestamp challenges_from;
};

// Returns the id of the HPKE key.
absl::StatusOr<Digest> AddSharedKeys(const NewSharedKeys& times, Random& random, const Place& place,
                                     const PoolToken& token, PoolFolder& pool) {
  absl::StatusOr<HpkePrivateKey> hpke =
      place ? token.keys->MakeHpkeKey(*place) : HpkePrivateKey::Generate(random);
  if (!hpke.ok()) return hpke.status();
  ChallengeKey challenge = {.key = {}, .made = times.now, .makes_from = times.challenges_from};
  if (place) {
    ASSIGN_OR_RETURN(challenge.external, token.keys->MakeMacKey(*place, random));
  } else {
    challenge.key = SecretBytes(kMacKeyBytes);
    RETURN_IF_ERROR(random.Fill(challenge.key.RevealMutable()));
  }
  const Digest id = PoolKeyId(hpke->public_key());
  pool.hpke_keys.push_back(*std::move(hpke));
  pool.hpke_keys_made.push_back(times.now);
  pool.challenge_keys.push_back(std::move(challenge));
  return id;
}

// Names shared keys in the token `label` instead of another, where it has them.
absl::Status PreferToken(const std::string& label, pkcs11::TokenKeys& keys, PoolFolder& pool) {
  for (HpkePrivateKey& key : pool.hpke_keys) {
    if (key.external() == nullptr) continue;
    ASSIGN_OR_RETURN(const std::string uri, pkcs11::InToken(key.external()->uri(), label));
    auto there = keys.FindHpkeKey(uri);
    if (absl::IsNotFound(there.status())) continue;
    if (!there.ok()) return there.status();
    key = *std::move(there);
  }
  for (ChallengeKey& key : pool.challenge_keys) {
    if (key.external == nullptr) continue;
    ASSIGN_OR_RETURN(const std::string uri, pkcs11::InToken(key.external->uri(), label));
    auto there = keys.FindMacKey(uri);
    if (absl::IsNotFound(there.status())) continue;
    if (!there.ok()) return there.status();
    key.external = *std::move(there);
  }
  return absl::OkStatus();
}

// A pool and who may change it.
struct OpenedPool {
  Certificate root;
  SigningIdentity pool_role;
  PoolFolder pool;
};

absl::StatusOr<OpenedPool> OpenPool(const std::string& folder, const std::string& provider,
                                    Timestamp now, const PoolToken& token) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity pool_role,
                   ReadRole(provider, CertificateRole::kPool, root, now));
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolOf(folder, root, now, token.keys));
  return OpenedPool{std::move(root), std::move(pool_role), std::move(pool)};
}

// The same, but of a replica's folder: what is changed there, the pool does not know of.
absl::StatusOr<OpenedPool> OpenPoolItself(const PoolChange& change, Timestamp now) {
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPool(change.folder, change.provider, now, change.token));
  if (opened.pool.kind == PoolFolderKind::kReplica) {
    return absl::FailedPreconditionError(
        absl::StrCat(change.folder,
                     " is a replica's; change the pool's own folder and bring this one up to date "
                     "with 'narkctl pool replica'"));
  }
  return opened;
}

// A session file and what is to stand in it.
struct Resealed {
  std::string path;
  v1::NarkFile file;
};

absl::StatusOr<Resealed> Reseal(const std::string& path, const PoolFolder& pool,
                                const SessionPool& to, const SigningIdentity& descriptor_role,
                                Timestamp now, Random& random) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
  absl::StatusOr<VerifiedSession> session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), path);
  if (session->name().provider != pool.root.public_key().id()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a session of another provider"));
  }
  absl::StatusOr<SessionSecrets> secrets = OpenSessionSecrets(*session, pool.hpke_keys);
  if (!secrets.ok()) return Annotate(secrets.status(), path);
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope,
                   ResealSession(*session, *secrets, descriptor_role, to, now, random));
  return Resealed{path, SessionFile(std::move(envelope))};
}

// The sessions of `change`, opened with any key of `opened`, sealed to `to`.
absl::StatusOr<std::vector<Resealed>> ResealAll(const PoolChange& change, const OpenedPool& opened,
                                                const SessionPool& to, Timestamp now,
                                                Random& random) {
  std::vector<Resealed> sessions;
  if (change.reseal.empty()) return sessions;
  ASSIGN_OR_RETURN(const SigningIdentity descriptor_role,
                   ReadRole(change.provider, CertificateRole::kDescriptor, opened.root, now));
  for (const std::string& path : change.reseal) {
    ASSIGN_OR_RETURN(Resealed session, Reseal(path, opened.pool, to, descriptor_role, now, random));
    sessions.push_back(std::move(session));
  }
  return sessions;
}

// The certificate of a key manager of the provider's, whatever its age: an expired one's
// key can still sign what it says was signed before.
absl::StatusOr<Certificate> ReadKeyManager(std::string path, const Certificate& root) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    ASSIGN_OR_RETURN(path, SigningCertificateFile(path));
  }
  ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path, 1 << 20));
  absl::StatusOr<std::vector<Certificate>> chain = CertificatesFromPem(pem);
  if (!chain.ok()) return Annotate(chain.status(), path);
  absl::StatusOr<Certificate> leaf =
      VerifyChain(*chain, root, {.at = std::nullopt, .leaf_role = CertificateRole::kKeyManager});
  if (!leaf.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", leaf.status().message()));
  }
  return leaf;
}

// Adds one, in order. Where there is no room, the one makes it that expired first.
absl::Status AddRevoked(const RevokedKeyManager& one, Timestamp now,
                        std::vector<RevokedKeyManager>& revoked) {
  const auto place = [&] {
    return std::ranges::lower_bound(revoked, one.key_id, {}, &RevokedKeyManager::key_id);
  };
  if (place() != revoked.end() && place()->key_id == one.key_id) return absl::OkStatus();
  if (std::ssize(revoked) >= kMaxRevokedKeyManagers) {
    const auto oldest = std::ranges::min_element(revoked, {}, &RevokedKeyManager::not_after);
    if (oldest->not_after >= now) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the pool has revoked ", kMaxRevokedKeyManagers,
                       " key managers already whose certificates still hold; found another pool"));
    }
    revoked.erase(oldest);
  }
  revoked.insert(place(), one);
  return absl::OkStatus();
}

absl::Status WriteAll(const std::vector<Resealed>& sessions) {
  for (const Resealed& session : sessions) {
    RETURN_IF_ERROR(WriteNarkFile(session.path, session.file, FileMode::kPublic));
  }
  return absl::OkStatus();
}

}  // namespace

SessionPool SessionPoolOf(const PoolFolder& pool) {
  SessionPool said;
  for (const HpkePrivateKey& key : pool.hpke_keys) said.keys.push_back(key.public_key());
  for (const RevokedKeyManager& one : pool.revoked) said.revoked_key_managers.push_back(one.key_id);
  return said;
}

absl::StatusOr<PoolFolder> LoadPoolOf(const std::string& folder, const Certificate& provider_root,
                                      Timestamp now, KeyStore* token) {
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolFolder(folder, now, token));
  if (pool.root.public_key().id() != provider_root.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, " is a pool of another provider; name that provider's folder"));
  }
  return pool;
}

absl::StatusOr<Digest> InitPool(const std::string& folder, const std::string& provider,
                                Timestamp now, Random& random, const PoolToken& token) {
  if ((token.keys == nullptr) != token.label.empty()) {
    return absl::InvalidArgumentError(
        "--pkcs11-token goes together with --pkcs11-module and --pkcs11-pin-file");
  }
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity pool_role,
                   ReadRole(provider, CertificateRole::kPool, root, now));
  ASSIGN_OR_RETURN(SigningIdentity tls_ca, ReadTlsCa(provider));
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(folder));
  Place place;
  if (token.keys != nullptr) place = {.token = token.label, .owner = OwnerOf(root)};
  ASSIGN_OR_RETURN(SigningIdentity signing, NewSigning(pool_role, now, place, token));
  PoolFolder pool{.root = root,
                  .hpke_keys = {},
                  .hpke_keys_made = {},
                  .challenge_keys = {},
                  .signing = std::move(signing),
                  .tls_certificates_pem = {},
                  .tls_key_pem = {}};
  ASSIGN_OR_RETURN(const Digest id, AddSharedKeys({now, now}, random, place, token, pool));
  RETURN_IF_ERROR(NewTlsKey(tls_ca, now, pool));
  RETURN_IF_ERROR(WritePoolFolder(fresh.PathOf("."), pool, pool_role, now));
  RETURN_IF_ERROR(fresh.Finish());
  return id;
}

absl::StatusOr<Digest> RotatePool(const PoolChange& change,
                                  std::chrono::microseconds challenges_after, Timestamp now,
                                  Random& random) {
  if (challenges_after.count() < 0) {
    return absl::InvalidArgumentError("--challenges-after can not be negative");
  }
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPoolItself(change, now));
  ASSIGN_OR_RETURN(const SigningIdentity tls_ca, ReadTlsCa(change.provider));
  PoolFolder& pool = opened.pool;
  ASSIGN_OR_RETURN(const Place place, PlaceOf(pool, change.token));
  ASSIGN_OR_RETURN(const Digest id,
                   AddSharedKeys({now, now + challenges_after}, random, place, change.token, pool));
  RETURN_IF_ERROR(NewTlsKey(tls_ca, now, pool));
  ASSIGN_OR_RETURN(pool.signing, NewSigning(opened.pool_role, now, place, change.token));
  ASSIGN_OR_RETURN(const std::vector<Resealed> sessions,
                   ResealAll(change, opened, SessionPoolOf(pool), now, random));
  // The pool first: a session sealed to a key that is not yet durable could be
  // lost for good.
  RETURN_IF_ERROR(WritePoolFolder(change.folder, pool, opened.pool_role, now));
  RETURN_IF_ERROR(WriteAll(sessions));
  return id;
}

absl::StatusOr<int> RetireKeys(const PoolChange& change, std::chrono::microseconds age,
                               Timestamp now, Random& random) {
  if (age.count() < 0) return absl::InvalidArgumentError("--older-than can not be negative");
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPoolItself(change, now));
  PoolFolder& pool = opened.pool;
  const Timestamp before = now - age;
  ptrdiff_t old = 0;
  while (old + 1 < std::ssize(pool.hpke_keys) && pool.hpke_keys_made[old] < before) ++old;
  ptrdiff_t old_challenges = 0;
  while (old_challenges + 1 < std::ssize(pool.challenge_keys) &&
         pool.challenge_keys[old_challenges].made < before &&
         pool.challenge_keys[old_challenges + 1].makes_from <= now) {
    ++old_challenges;
  }
  if (old + old_challenges == 0) return 0;
  SessionPool to = SessionPoolOf(pool);
  to.keys.erase(to.keys.begin(), to.keys.begin() + old);
  ASSIGN_OR_RETURN(const std::vector<Resealed> sessions,
                   ResealAll(change, opened, to, now, random));
  pool.hpke_keys.erase(pool.hpke_keys.begin(), pool.hpke_keys.begin() + old);
  pool.hpke_keys_made.erase(pool.hpke_keys_made.begin(), pool.hpke_keys_made.begin() + old);
  pool.challenge_keys.erase(pool.challenge_keys.begin(),
                            pool.challenge_keys.begin() + old_challenges);
  // The sessions first: one that is sealed to a key that is gone could be lost for good.
  RETURN_IF_ERROR(WriteAll(sessions));
  RETURN_IF_ERROR(WritePoolFolder(change.folder, pool, opened.pool_role, now));
  return static_cast<int>(old + old_challenges);
}

absl::StatusOr<Digest> RevokeReplica(const PoolChange& change, const std::string& certificate,
                                     Timestamp now, Random& random) {
  if (change.reseal.empty()) {
    return absl::InvalidArgumentError(
        "name every session with --session: receivers heed what a session says");
  }
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPoolItself(change, now));
  ASSIGN_OR_RETURN(const Certificate leaf, ReadKeyManager(certificate, opened.root));
  const Digest id = leaf.public_key().id();
  RETURN_IF_ERROR(
      AddRevoked({.key_id = id, .not_after = leaf.not_after()}, now, opened.pool.revoked));
  if (opened.pool.RevokesItself()) {
    ASSIGN_OR_RETURN(const SigningIdentity tls_ca, ReadTlsCa(change.provider));
    ASSIGN_OR_RETURN(const Place place, PlaceOf(opened.pool, change.token));
    RETURN_IF_ERROR(NewTlsKey(tls_ca, now, opened.pool));
    ASSIGN_OR_RETURN(opened.pool.signing, NewSigning(opened.pool_role, now, place, change.token));
  }
  ASSIGN_OR_RETURN(const std::vector<Resealed> sessions,
                   ResealAll(change, opened, SessionPoolOf(opened.pool), now, random));
  // The pool first: what it does not remember, the next reseal would take back.
  RETURN_IF_ERROR(WritePoolFolder(change.folder, opened.pool, opened.pool_role, now));
  RETURN_IF_ERROR(WriteAll(sessions));
  return id;
}

absl::Status MakeReplica(const std::string& folder, const std::string& provider,
                         const std::string& out, Timestamp now, const PoolToken& token) {
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPool(folder, provider, now, token));
  ASSIGN_OR_RETURN(const SigningIdentity tls_ca, ReadTlsCa(provider));
  ASSIGN_OR_RETURN(const Place place, PlaceOf(opened.pool, token));
  std::error_code error;
  std::optional<NewFolder> fresh;
  if (std::filesystem::exists(out + "/manifest.nark", error)) {
    if (std::filesystem::equivalent(folder, out, error)) {
      return absl::InvalidArgumentError(absl::StrCat(out, " is the pool itself; name another"));
    }
    ASSIGN_OR_RETURN(const PoolFolder there, LoadPoolOf(out, opened.root, now, token.keys));
    if (there.kind != PoolFolderKind::kReplica) {
      return absl::InvalidArgumentError(
          absl::StrCat(out, " is no replica's but a pool's; name a new folder"));
    }
  } else {
    ASSIGN_OR_RETURN(NewFolder made, NewFolder::Create(out));
    fresh.emplace(std::move(made));
  }
  if (place) RETURN_IF_ERROR(PreferToken(place->token, *token.keys, opened.pool));
  opened.pool.kind = PoolFolderKind::kReplica;
  RETURN_IF_ERROR(NewTlsKey(tls_ca, now, opened.pool));
  // Last of what can fail: a key in a token stays there.
  ASSIGN_OR_RETURN(opened.pool.signing, NewSigning(opened.pool_role, now, place, token));
  RETURN_IF_ERROR(
      WritePoolFolder(fresh ? fresh->PathOf(".") : out, opened.pool, opened.pool_role, now));
  return fresh ? fresh->Finish() : absl::OkStatus();
}

absl::StatusOr<int> ImportPool(const PoolChange& change, Timestamp now) {
  ASSIGN_OR_RETURN(OpenedPool opened, OpenPool(change.folder, change.provider, now, change.token));
  PoolFolder& pool = opened.pool;
  ASSIGN_OR_RETURN(const Place place, PlaceOf(pool, change.token));
  if (!place) {
    return absl::InvalidArgumentError("--pkcs11-token: want the label of the token for the keys");
  }
  pkcs11::TokenKeys& keys = *change.token.keys;
  int imported = 0;
  for (HpkePrivateKey& key : pool.hpke_keys) {
    if (key.external() != nullptr) continue;
    ASSIGN_OR_RETURN(key, keys.Import(*place, key));
    ++imported;
  }
  for (ChallengeKey& key : pool.challenge_keys) {
    if (key.external != nullptr) continue;
    ASSIGN_OR_RETURN(key.external, keys.Import(*place, key.key, key.Id()));
    ++imported;
  }
  if (pool.signing.key.external() == nullptr) {
    ASSIGN_OR_RETURN(pool.signing.key, keys.Import(*place, pool.signing.key));
    ++imported;
  }
  if (imported == 0) return 0;
  RETURN_IF_ERROR(WritePoolFolder(change.folder, pool, opened.pool_role, now));
  return imported;
}

absl::StatusOr<int> SweepToken(const std::vector<std::string>& folders, const std::string& provider,
                               Timestamp now, const PoolToken& token) {
  if (token.keys == nullptr || token.label.empty()) {
    return absl::InvalidArgumentError(
        "want the token to sweep: --pkcs11-module, --pkcs11-pin-file and --pkcs11-token");
  }
  ASSIGN_OR_RETURN(const Certificate root, ReadProviderRoot(provider));
  std::set<Digest> keep;
  for (const std::string& folder : folders) {
    ASSIGN_OR_RETURN(const PoolFolder pool, LoadPoolOf(folder, root, now, token.keys));
    for (const HpkePrivateKey& key : pool.hpke_keys) {
      if (key.external() != nullptr) keep.insert(key.external()->id());
    }
    for (const ChallengeKey& key : pool.challenge_keys) keep.insert(key.Id());
    keep.insert(pool.signing.key.public_key().id());
  }
  return token.keys->DestroyOthers({.token = token.label, .owner = OwnerOf(root)}, keep);
}

}  // namespace nark::narkctl
