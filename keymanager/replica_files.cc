#include "keymanager/replica_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "common/crypto/secret_file.h"
#include "common/crypto/tls.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "keymanager/client.h"

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

bool SignedByOneOf(const RevocationList& list, const std::vector<Certificate>& issuers) {
  return std::ranges::any_of(
      issuers, [&](const Certificate& issuer) { return list.VerifySignedBy(issuer).ok(); });
}

absl::StatusOr<VerifiedDenyList> ReadDenyList(const std::string& path, const Certificate& root,
                                              Timestamp now) {
  ASSIGN_OR_RETURN(const v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kDenyList));
  absl::StatusOr<VerifiedDenyList> list = VerifyDenyList(file.deny_list(), root, now);
  if (!list.ok()) return Annotate(list.status(), path);
  return *std::move(list);
}

// An older list, put back, would let in again whom the newer one keeps out.
absl::Status Older(std::string_view path) {
  return absl::FailedPreconditionError(
      absl::StrCat(Absl(path), " is older than the list in force; put the newer one there"));
}

Timestamp EarliestEnd(const std::vector<Certificate>& certificates) {
  Timestamp end = Timestamp::max();
  for (const Certificate& one : certificates) end = std::min(end, one.not_after());
  return end;
}

}  // namespace

std::string_view PartName(Part part) {
  switch (part) {
    case Part::kPool:
      return "pool";
    case Part::kTls:
      return "tls";
    case Part::kIssuers:
      return "issuers";
    case Part::kRevocations:
      return "revocations";
    case Part::kDenyList:
      return "deny-list";
  }
  return "";
}

absl::Status CheckTlsValidity(const Validity& validity, Timestamp now, const std::string& where) {
  if (validity.from <= now && now <= validity.until) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      where, ": the TLS certificate ", now < validity.from ? "is not valid yet" : "has expired",
      "; put another there"));
}

ReplicaSource::ReplicaSource(ReplicaFiles files, World world, Limits limits)
    : files_(std::move(files)), world_(world), limits_(limits) {}

absl::StatusOr<std::unique_ptr<ReplicaSource>> ReplicaSource::Load(ReplicaFiles files, World world,
                                                                   Limits limits) {
  auto source = std::unique_ptr<ReplicaSource>(new ReplicaSource(std::move(files), world, limits));
  const Refusals refused = source->Reload();
  if (!refused.empty()) return refused.front().why;
  return source;
}

bool ReplicaSource::changed() const { return Look() != seen_; }

std::vector<RefusedPart> ReplicaSource::Reload() {
  // Before reading: what changes meanwhile is seen next time.
  std::vector<FileStamp> looked = Look();
  Refusals refused = ReadAll(world_.clock.Now());
  const bool as_before = decided_ && !refused.empty() && refused == refused_ && looked == seen_;
  seen_ = std::move(looked);
  refused_ = refused;
  if (as_before || pool_.keys == nullptr || issuers_.empty() || tls_.certificates.empty()) {
    return refused;
  }
  const absl::Status decided = Decide();
  decided_ = decided.ok();
  if (!decided_) refused.push_back({Part::kPool, Annotate(decided, files_.pool)});
  return refused;
}

ReplicaSource::Refusals ReplicaSource::ReadAll(Timestamp now) {
  Refusals refused;
  ReadPool(now, refused);
  if (pool_.keys == nullptr) return refused;
  ReadTls(now, refused);
  ReadTrust(refused);
  ReadDenied(now, refused);
  return refused;
}

void ReplicaSource::ReadPool(Timestamp now, Refusals& refused) {
  absl::StatusOr<PoolFolder> folder = LoadPoolFolder(files_.pool, now, files_.token);
  if (!folder.ok()) return refused.push_back({Part::kPool, folder.status()});
  if (pool_.keys != nullptr &&
      pool_.keys->root.public_key().id() != folder->root.public_key().id()) {
    return refused.push_back(
        {Part::kPool, absl::FailedPreconditionError(absl::StrCat(
                          files_.pool, " is now another provider's; start another replica"))});
  }
  signing_key_revoked_ =
      pool_.keys != nullptr && folder->Revokes(pool_.keys->signing.certificate.public_key().id());
  if (folder->RevokesItself()) {
    return refused.push_back(
        {Part::kPool, absl::FailedPreconditionError(absl::StrCat(
                          files_.pool,
                          ": the signing certificate of this replica has been revoked, so that "
                          "no secure space takes its grants; make it another with "
                          "'narkctl pool replica'"))});
  }
  absl::StatusOr<ChallengeKeys> challenge_keys = ChallengeKeys::Create(folder->challenge_keys);
  if (!challenge_keys.ok()) {
    return refused.push_back({Part::kPool, Annotate(challenge_keys.status(), files_.pool)});
  }
  signing_key_revoked_ = false;
  pool_ = {.keys = std::make_shared<const ReplicaKeys>(
               ReplicaKeys{.root = std::move(folder->root),
                           .hpke_keys = std::move(folder->hpke_keys),
                           .challenge_keys = *std::move(challenge_keys),
                           .signing = std::move(folder->signing)}),
           .hpke_key_made = folder->hpke_keys_made.back(),
           .challenge_key_made = folder->challenge_keys.back().made};
  pool_tls_ = {.certificates = std::move(folder->tls_certificates_pem),
               .key = std::move(folder->tls_key_pem),
               .validity = {},
               .names_role = false};
}

void ReplicaSource::ReadTls(Timestamp now, Refusals& refused) {
  const auto read = [&]() -> absl::StatusOr<Tls> {
    const bool own = !files_.tls_certificates.empty();
    Tls tls = {.certificates = pool_tls_.certificates,
               .key = pool_tls_.key.Clone(),
               .validity = {},
               .names_role = false};
    if (own) {
      ASSIGN_OR_RETURN(const Bytes pem, ReadFile(files_.tls_certificates, 1 << 20));
      tls.certificates = ToText(pem);
      ASSIGN_OR_RETURN(tls.key, ReadSecretFile(files_.tls_key));
    }
    const absl::StatusOr<TlsLeaf> leaf = CheckTlsServer(tls.certificates, tls.key);
    if (!leaf.ok()) return Annotate(leaf.status(), tls_source());
    tls.validity = {.from = leaf->not_before, .until = leaf->not_after};
    RETURN_IF_ERROR(CheckTlsValidity(tls.validity, now, tls_source()));
    tls.names_role = std::ranges::count(leaf->dns_names, kServerName) > 0;
    return tls;
  };
  absl::StatusOr<Tls> tls = read();
  if (!tls.ok()) return refused.push_back({Part::kTls, tls.status()});
  tls_ = *std::move(tls);
}

absl::StatusOr<RevocationList> ReplicaSource::ReadList(
    const std::string& path, const std::vector<Certificate>& issuers) const {
  ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path));
  absl::StatusOr<RevocationList> list = RevocationList::FromPem(pem);
  if (!list.ok()) return Annotate(list.status(), path);
  if (!SignedByOneOf(*list, issuers)) {
    return absl::UnauthenticatedError(
        absl::StrCat(path, ": signed by none of the issuers given with --issuer"));
  }
  const auto before = lists_.find(path);
  if (before != lists_.end() && list->number() < before->second.number()) return Older(path);
  return list;
}

void ReplicaSource::ReadTrust(Refusals& refused) {
  absl::StatusOr<std::vector<Certificate>> issuers = ReadIssuers(files_.issuers);
  if (!issuers.ok()) {
    refused.push_back({Part::kIssuers, issuers.status()});
    issuers = issuers_;
  }
  Lists lists;
  std::vector<RevocationList> all;
  for (const std::string& path : files_.revocations) {
    absl::StatusOr<RevocationList> list = ReadList(path, *issuers);
    if (!list.ok()) {
      refused.push_back({Part::kRevocations, list.status()});
      // An issuer is not trusted anew without the list that goes with it.
      const auto before = lists_.find(path);
      if (before == lists_.end() || !SignedByOneOf(before->second, *issuers)) return;
      list = before->second;
    }
    all.push_back(*list);
    lists.emplace(path, *std::move(list));
  }
  if (absl::Status trust = Trust::Create(*issuers, all, std::nullopt).status(); !trust.ok()) {
    return refused.push_back({Part::kIssuers, trust});
  }
  issuers_ = *std::move(issuers);
  lists_ = std::move(lists);
}

void ReplicaSource::ReadDenied(Timestamp now, Refusals& refused) {
  if (files_.deny_list.empty()) return;
  absl::StatusOr<VerifiedDenyList> list = ReadDenyList(files_.deny_list, pool_.keys->root, now);
  if (list.ok() && deny_list_ && list->issue_time < deny_list_->issue_time) {
    list = Older(files_.deny_list);
  }
  if (!list.ok()) return refused.push_back({Part::kDenyList, list.status()});
  deny_list_ = *std::move(list);
}

absl::Status ReplicaSource::Decide() {
  std::vector<RevocationList> lists;
  for (const auto& [path, list] : lists_) lists.push_back(list);
  ASSIGN_OR_RETURN(Trust trust, Trust::Create(issuers_, lists, deny_list_));
  ASSIGN_OR_RETURN(authority_,
                   GrantAuthority::Create(pool_.keys, std::move(trust), world_, limits_));
  return absl::OkStatus();
}

ReplicaDates ReplicaSource::dates() const {
  const SigningIdentity& signing = pool_.keys->signing;
  return {.hpke_key_made = pool_.hpke_key_made,
          .challenge_key_made = pool_.challenge_key_made,
          .signing_certificate_made = signing.certificate.not_before(),
          .root_ends = pool_.keys->root.not_after(),
          .signing_certificate_ends = EarliestEnd(signing.Chain()),
          .tls_certificate_ends = tls_.validity.until,
          .issuer_ends = EarliestEnd(issuers_)};
}

std::vector<FileStamp> ReplicaSource::Look() const {
  // Writing a pool folder ends with its manifest.
  std::vector<std::string> paths = {files_.pool + "/manifest.nark", files_.deny_list,
                                    files_.tls_certificates, files_.tls_key};
  paths.insert(paths.end(), files_.issuers.begin(), files_.issuers.end());
  paths.insert(paths.end(), files_.revocations.begin(), files_.revocations.end());
  return StampsOf(paths);
}

}  // namespace nark::keymanager
