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

bool Contains(const std::vector<std::string>& serials, const std::string& serial) {
  return std::ranges::find(serials, serial) != serials.end();
}

std::string ClassName(int assurance) {
  return AssuranceName(static_cast<v1::AssuranceClass>(assurance));
}

std::string CertifiedPath(const std::string& folder, const Digest& id) {
  return absl::StrCat(folder, "/certified/", ToHex(id), ".pem");
}

// Every certificate that a secure space was given here, oldest first.
absl::StatusOr<std::vector<Certificate>> ReadCertified(const std::string& folder,
                                                       const Digest& id) {
  const std::string path = CertifiedPath(folder, id);
  absl::StatusOr<Bytes> pem = ReadFile(path);
  if (absl::IsNotFound(pem.status())) return std::vector<Certificate>();
  RETURN_IF_ERROR(pem.status());
  absl::StatusOr<std::vector<Certificate>> certificates = CertificatesFromPem(*pem);
  if (!certificates.ok()) return Annotate(certificates.status(), path);
  return certificates;
}

absl::Status WriteCertified(const std::string& folder, const Digest& id,
                            const std::vector<Certificate>& certificates) {
  std::string pem;
  for (const Certificate& certificate : certificates) pem += certificate.ToPem();
  return WriteFile(CertifiedPath(folder, id), AsBytes(pem), FileMode::kPublic);
}

}  // namespace

std::string AssuranceName(v1::AssuranceClass assurance) {
  switch (assurance) {
    case v1::ASSURANCE_CLASS_EMULATED:
      return "emulated";
    case v1::ASSURANCE_CLASS_TPM:
      return "tpm";
    case v1::ASSURANCE_CLASS_CARD:
      return "card";
    default:
      return "unknown";
  }
}

absl::Status InitIssuer(const std::string& folder, const std::string& name, Timestamp now) {
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(folder));
  ASSIGN_OR_RETURN(SigningIdentity issuer, MakeRoot(CertificateRole::kIssuerRoot, name, now));
  ASSIGN_OR_RETURN(RevocationList list, NewList(issuer, {}, now, 1));
  RETURN_IF_ERROR(WriteIdentity(issuer, fresh.PathOf("issuer.pem"), fresh.PathOf("key.pem")));
  RETURN_IF_ERROR(fresh.MakeSubfolder("certified"));
  RETURN_IF_ERROR(WriteFile(fresh.PathOf("crl.pem"), AsBytes(list.ToPem()), FileMode::kPublic));
  return fresh.Finish();
}

absl::StatusOr<Digest> Certify(const std::string& folder, const CertifyRequest& request,
                               Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity issuer, ReadIssuer(folder, now));
  ASSIGN_OR_RETURN(RevocationList revoked,
                   ReadRevocations(folder + kRevocations, issuer.certificate));
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(request.request, 1 << 20));
  absl::StatusOr<SecureSpaceRequest> parsed = ParseSecureSpaceRequestPem(pem);
  if (!parsed.ok()) return Annotate(parsed.status(), request.request);
  if (parsed->scope.assurance != request.assurance) {
    return absl::InvalidArgumentError(absl::StrCat(
        request.request, " claims the class ", ClassName(parsed->scope.assurance), ", not ",
        ClassName(request.assurance), "; name what you vouch for with --class"));
  }
  const Digest id = SecureSpaceId(parsed->attestation_key.spki(), parsed->scope.note_spki);
  ASSIGN_OR_RETURN(std::vector<Certificate> known, ReadCertified(folder, id));
  for (const Certificate& certificate : known) {
    if (Contains(revoked.serials_hex(), certificate.serial_hex())) {
      return absl::FailedPreconditionError(
          absl::StrCat("secure space ", ToHex(id), " was revoked; it needs new keys"));
    }
  }
  ASSIGN_OR_RETURN(Certificate certificate, CertifySecureSpace(*parsed, issuer, now));
  // Noted first: what was handed out must be revocable.
  known.push_back(certificate);
  RETURN_IF_ERROR(WriteCertified(folder, id, known));
  RETURN_IF_ERROR(WriteFile(request.out, AsBytes(certificate.ToPem()), FileMode::kPublic));
  return id;
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
  const Digest id = SecureSpaceId(leaf.public_key().spki(), leaf.secure_space_scope()->note_spki);
  ASSIGN_OR_RETURN(std::vector<Certificate> all, ReadCertified(folder, id));
  all.push_back(leaf);
  std::vector<std::string> serials = old.serials_hex();
  for (const Certificate& one : all) {
    if (!Contains(serials, one.serial_hex())) serials.push_back(one.serial_hex());
  }
  ASSIGN_OR_RETURN(RevocationList list, NewList(issuer, serials, now, old.number() + 1));
  RETURN_IF_ERROR(WriteFile(path, AsBytes(list.ToPem()), FileMode::kPublic));
  return id;
}

absl::StatusOr<Timestamp> RenewRevocations(const std::string& folder, Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity issuer, ReadIssuer(folder, now));
  const std::string path = folder + kRevocations;
  ASSIGN_OR_RETURN(RevocationList old, ReadRevocations(path, issuer.certificate));
  ASSIGN_OR_RETURN(RevocationList list, NewList(issuer, old.serials_hex(), now, old.number() + 1));
  RETURN_IF_ERROR(WriteFile(path, AsBytes(list.ToPem()), FileMode::kPublic));
  return list.next_update();
}

}  // namespace nark::narkctl
