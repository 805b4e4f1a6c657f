#include "refunds/desk_files.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
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

std::vector<FileStamp> StampsOf(const DeskFiles& files) {
  std::vector<std::string> paths = files.issuers;
  paths.insert(paths.end(), files.revocations.begin(), files.revocations.end());
  return nark::StampsOf(paths);
}

}  // namespace nark::refunds
