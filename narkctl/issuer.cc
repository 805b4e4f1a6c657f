#include "narkctl/issuer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "common/object/identity.h"
#include "narkctl/folder.h"

namespace nark::narkctl {
namespace {

constexpr char kCertificate[] = "/issuer.pem";
constexpr char kKey[] = "/key.pem";
constexpr char kRevocations[] = "/crl.pem";

absl::StatusOr<RevocationList> NewList(const SigningIdentity& issuer,
                                       const std::vector<std::string>& serials, Timestamp now,
                                       uint64_t number) {
  return IssueRevocationList(issuer.certificate, issuer.key, serials, now,
                             now + kRevocationListDays, number);
}

absl::StatusOr<SigningIdentity> ReadIssuer(const std::string& folder, Timestamp now) {
  RETURN_IF_ERROR(ReadRoot(folder + kCertificate, CertificateRole::kIssuerRoot).status());
  ASSIGN_OR_RETURN(SigningIdentity issuer, ReadIdentity(folder + kCertificate, folder + kKey));
  if (issuer.certificate.not_after() < now) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, kCertificate, " has expired; found a new issuer"));
  }
  return issuer;
}

absl::StatusOr<RevocationList> ReadRevocations(const std::string& path, const Certificate& issuer) {
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(path));
  absl::StatusOr<RevocationList> list = RevocationList::FromPem(pem);
  if (!list.ok()) return Annotate(list.status(), path);
  absl::Status verified = list->VerifySignedBy(issuer);
  if (!verified.ok()) return Annotate(verified, path);
  return list;
}

}  // namespace

absl::Status InitIssuer(const std::string& folder, const std::string& name, Timestamp now) {
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(folder));
  ASSIGN_OR_RETURN(SigningIdentity issuer, MakeRoot(CertificateRole::kIssuerRoot, name, now));
  ASSIGN_OR_RETURN(RevocationList list, NewList(issuer, {}, now, 1));
  RETURN_IF_ERROR(WriteIdentity(issuer, fresh.PathOf("issuer.pem"), fresh.PathOf("key.pem")));
  RETURN_IF_ERROR(WriteFile(fresh.PathOf("crl.pem"), AsBytes(list.ToPem()), FileMode::kPublic));
  return fresh.Finish();
}

absl::StatusOr<Digest> Certify(const std::string& folder, const std::string& request,
                               const std::string& out, Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity issuer, ReadIssuer(folder, now));
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(request, 1 << 20));
  absl::StatusOr<SecureSpaceRequest> parsed = ParseSecureSpaceRequestPem(pem);
  if (!parsed.ok()) return Annotate(parsed.status(), request);
  ASSIGN_OR_RETURN(Certificate certificate, CertifySecureSpace(*parsed, issuer, now));
  RETURN_IF_ERROR(WriteFile(out, AsBytes(certificate.ToPem()), FileMode::kPublic));
  return SecureSpaceId(parsed->attestation_key.spki(), parsed->scope.note_spki);
}

absl::StatusOr<Digest> Revoke(const std::string& folder, const std::string& certificate,
                              Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity issuer, ReadIssuer(folder, now));
  const std::string path = folder + kRevocations;
  ASSIGN_OR_RETURN(RevocationList old, ReadRevocations(path, issuer.certificate));
  ASSIGN_OR_RETURN(Certificate leaf, ReadCertificate(certificate));
  // An expired certificate may be revoked too: that decides about its refunds.
  absl::Status issued =
      VerifyChain({leaf}, issuer.certificate,
                  {.at = std::nullopt, .leaf_role = CertificateRole::kSecureSpace})
          .status();
  if (!issued.ok()) return Annotate(issued, certificate);
  std::vector<std::string> serials = old.serials_hex();
  if (std::ranges::find(serials, leaf.serial_hex()) == serials.end()) {
    serials.push_back(leaf.serial_hex());
  }
  ASSIGN_OR_RETURN(RevocationList list, NewList(issuer, serials, now, old.number() + 1));
  RETURN_IF_ERROR(WriteFile(path, AsBytes(list.ToPem()), FileMode::kPublic));
  return SecureSpaceId(leaf.public_key().spki(), leaf.secure_space_scope()->note_spki);
}

}  // namespace nark::narkctl
