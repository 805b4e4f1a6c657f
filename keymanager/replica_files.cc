#include "keymanager/replica_files.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_file.h"
#include "common/object/deny_list.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"

namespace nark::keymanager {
namespace {

absl::StatusOr<std::vector<Certificate>> ReadIssuers(const std::vector<std::string>& paths) {
  std::vector<Certificate> issuers;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path, 1 << 20));
    absl::StatusOr<Certificate> issuer = Certificate::FromPem(pem);
    if (!issuer.ok()) return Annotate(issuer.status(), path);
    if (absl::Status root = CheckRoot(*issuer, CertificateRole::kIssuerRoot); !root.ok()) {
      return Annotate(root, path);
    }
    issuers.push_back(*std::move(issuer));
  }
  return issuers;
}

absl::StatusOr<std::vector<RevocationList>> ReadRevocations(
    const std::vector<std::string>& paths, const std::vector<Certificate>& issuers) {
  std::vector<RevocationList> lists;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path));
    absl::StatusOr<RevocationList> list = RevocationList::FromPem(pem);
    if (!list.ok()) return Annotate(list.status(), path);
    bool known = false;
    for (const Certificate& issuer : issuers) known = known || list->VerifySignedBy(issuer).ok();
    if (!known) {
      return absl::UnauthenticatedError(
          absl::StrCat(path, ": signed by none of the issuers given with --issuer"));
    }
    lists.push_back(*std::move(list));
  }
  return lists;
}

absl::StatusOr<std::optional<VerifiedDenyList>> ReadDenyList(const std::string& path,
                                                             const Certificate& root,
                                                             Timestamp now) {
  if (path.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kDenyList));
  absl::StatusOr<VerifiedDenyList> list = VerifyDenyList(file.deny_list(), root, now);
  if (!list.ok()) return Annotate(list.status(), path);
  return *std::move(list);
}

std::vector<std::string> AllPaths(const ReplicaFiles& files) {
  // Writing a pool folder ends with its manifest.
  std::vector<std::string> paths = {files.pool + "/manifest.nark"};
  paths.insert(paths.end(), files.issuers.begin(), files.issuers.end());
  paths.insert(paths.end(), files.revocations.begin(), files.revocations.end());
  if (!files.deny_list.empty()) paths.push_back(files.deny_list);
  return paths;
}

}  // namespace

absl::StatusOr<LoadedReplica> LoadReplica(const ReplicaFiles& files, World world) {
  const Timestamp now = world.clock.Now();
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolFolder(files.pool, now));
  ASSIGN_OR_RETURN(std::vector<Certificate> issuers, ReadIssuers(files.issuers));
  ASSIGN_OR_RETURN(const std::vector<RevocationList> revocations,
                   ReadRevocations(files.revocations, issuers));
  ASSIGN_OR_RETURN(std::optional<VerifiedDenyList> deny_list,
                   ReadDenyList(files.deny_list, pool.root, now));
  ASSIGN_OR_RETURN(Trust trust,
                   Trust::Create(std::move(issuers), revocations, std::move(deny_list)));
  std::vector<SecretBytes> mac_keys;
  mac_keys.push_back(std::move(pool.challenge_mac_key));
  absl::StatusOr<ChallengeKeys> challenge_keys = ChallengeKeys::Create(mac_keys);
  if (!challenge_keys.ok()) return Annotate(challenge_keys.status(), files.pool);

  LoadedReplica replica;
  replica.tls_certificates_pem = std::move(pool.tls_certificates_pem);
  replica.tls_key_pem = std::move(pool.tls_key_pem);
  if (!files.tls_certificates.empty()) {
    ASSIGN_OR_RETURN(const Bytes pem, ReadFile(files.tls_certificates, 1 << 20));
    replica.tls_certificates_pem = ToText(pem);
    ASSIGN_OR_RETURN(replica.tls_key_pem, ReadSecretFile(files.tls_key));
  }
  ReplicaKeys keys = {.root = std::move(pool.root),
                      .hpke_keys = std::move(pool.hpke_keys),
                      .challenge_keys = *std::move(challenge_keys),
                      .signing = std::move(pool.signing)};
  auto authority = GrantAuthority::Create(std::move(keys), std::move(trust), world);
  if (!authority.ok()) return Annotate(authority.status(), files.pool);
  replica.authority = *std::move(authority);
  return replica;
}

uint64_t FilesVersion(const ReplicaFiles& files) {
  Sha256Stream hash;
  for (const std::string& path : AllPaths(files)) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) info = {};
    const uint64_t facts[] = {info.st_ino, static_cast<uint64_t>(info.st_size),
                              static_cast<uint64_t>(info.st_mtim.tv_sec),
                              static_cast<uint64_t>(info.st_mtim.tv_nsec)};
    for (const uint64_t fact : facts) {
      uint8_t bytes[8];
      StoreBig64(bytes, fact);
      hash.Update(bytes);
    }
  }
  return LoadBig64(hash.Finish().data());
}

}  // namespace nark::keymanager
