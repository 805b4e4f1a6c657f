#include "refunds/desk_files.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "common/crypto/secret_file.h"
#include "common/object/identity_files.h"

namespace nark::refunds {
namespace {

absl::StatusOr<RevocationList> ReadRevocations(const std::string& path,
                                               const std::vector<Certificate>& issuers) {
  ASSIGN_OR_RETURN(const Bytes pem, ReadFile(path));
  absl::StatusOr<RevocationList> list = RevocationList::FromPem(pem);
  if (!list.ok()) return Annotate(list.status(), path);
  for (const Certificate& issuer : issuers) {
    if (list->VerifySignedBy(issuer).ok()) return list;
  }
  return absl::UnauthenticatedError(
      absl::StrCat(path, ": signed by none of the issuers given with --issuer"));
}

}  // namespace

absl::StatusOr<LoadedDesk> LoadDesk(const DeskFiles& files, Clock& clock, Ledger& ledger) {
  const std::string folder = files.provider + "/refunds";
  ASSIGN_OR_RETURN(Certificate root,
                   ReadRoot(files.provider + "/root.pem", CertificateRole::kProviderRoot));
  ASSIGN_OR_RETURN(SigningIdentity signing,
                   ReadIdentity(folder + "/certificate.pem", folder + "/key.pem"));
  std::vector<Certificate> issuers;
  for (const std::string& path : files.issuers) {
    ASSIGN_OR_RETURN(Certificate issuer, ReadRoot(path, CertificateRole::kIssuerRoot));
    issuers.push_back(std::move(issuer));
  }
  std::vector<RevocationList> lists;
  for (const std::string& path : files.revocations) {
    ASSIGN_OR_RETURN(RevocationList list, ReadRevocations(path, issuers));
    lists.push_back(std::move(list));
  }
  ASSIGN_OR_RETURN(Trust trust, Trust::Create(std::move(issuers), lists, std::nullopt));
  LoadedDesk loaded;
  ASSIGN_OR_RETURN(const Bytes tls, ReadFile(folder + "/tls.pem", 1 << 20));
  loaded.tls_certificates_pem = ToText(tls);
  ASSIGN_OR_RETURN(loaded.tls_key_pem, ReadSecretFile(folder + "/tls-key.pem"));
  auto desk = Desk::Create({.root = std::move(root), .signing = std::move(signing)},
                           std::move(trust), clock, ledger);
  if (!desk.ok()) return Annotate(desk.status(), folder + "/certificate.pem");
  loaded.desk = *std::move(desk);
  return loaded;
}

uint64_t FilesVersion(const DeskFiles& files) {
  std::vector<std::string> paths = files.issuers;
  paths.insert(paths.end(), files.revocations.begin(), files.revocations.end());
  Sha256Stream hash;
  for (const std::string& path : paths) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) info = {};
    for (const uint64_t fact :
         {static_cast<uint64_t>(info.st_ino), static_cast<uint64_t>(info.st_size),
          static_cast<uint64_t>(info.st_mtim.tv_sec),
          static_cast<uint64_t>(info.st_mtim.tv_nsec)}) {
      uint8_t bytes[8];
      StoreBig64(bytes, fact);
      hash.Update(bytes);
    }
  }
  return LoadBig64(hash.Finish().data());
}

}  // namespace nark::refunds
