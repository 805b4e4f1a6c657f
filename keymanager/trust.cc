#include "keymanager/trust.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::keymanager {

absl::Status CheckRoot(const Certificate& root, CertificateRole role) {
  if (root.role() != role) {
    return absl::UnauthenticatedError(absl::StrCat(
        "the certificate's role is ", RoleName(root.role()), ", not ", RoleName(role)));
  }
  return VerifySelfSigned(root);
}

absl::StatusOr<Trust> Trust::Create(std::vector<Certificate> issuers,
                                    const std::vector<RevocationList>& revocations,
                                    std::optional<VerifiedDenyList> deny_list) {
  if (issuers.empty()) return absl::InvalidArgumentError("at least one issuer is needed");
  Trust trust;
  for (size_t i = 0; i < issuers.size(); ++i) {
    absl::Status root = CheckRoot(issuers[i], CertificateRole::kIssuerRoot);
    if (!root.ok()) return Annotate(root, absl::StrCat("issuer ", i + 1));
    for (const Issuer& other : trust.issuers_) {
      if (other.root.public_key().id() == issuers[i].public_key().id()) {
        return absl::InvalidArgumentError(absl::StrCat("issuer ", i + 1, " is given twice"));
      }
    }
    trust.issuers_.push_back(Issuer(std::move(issuers[i])));
  }
  for (size_t i = 0; i < revocations.size(); ++i) {
    RETURN_IF_ERROR(trust.AddRevocations(revocations[i], i + 1));
  }
  if (deny_list) trust.next_update_ = std::min(trust.next_update_, deny_list->next_update);
  trust.deny_list_ = std::move(deny_list);
  return trust;
}

absl::Status Trust::AddRevocations(const RevocationList& list, size_t place) {
  for (Issuer& issuer : issuers_) {
    if (!list.VerifySignedBy(issuer.root).ok()) continue;
    if (issuer.has_list) {
      return absl::InvalidArgumentError(
          absl::StrCat("revocation list ", place, " is the second one of its issuer"));
    }
    for (std::string& serial : list.serials_hex()) issuer.revoked_serials.insert(std::move(serial));
    issuer.has_list = true;
    next_update_ = std::min(next_update_, list.next_update());
    return absl::OkStatus();
  }
  return absl::UnauthenticatedError(
      absl::StrCat("revocation list ", place, " is signed by none of the issuers"));
}

absl::Status Trust::CheckLists(Timestamp now) const {
  if (now < next_update_) return absl::OkStatus();
  return absl::UnavailableError("a revocation or deny list is past its next update");
}

absl::StatusOr<Certificate> Trust::VerifySecureSpace(const std::vector<Certificate>& chain,
                                                     Timestamp now) const {
  absl::Status refused;
  for (const Issuer& issuer : issuers_) {
    // Whether a serial was revoked is looked up below: the list's own signature
    // was checked when it was loaded, and its age by CheckLists.
    absl::StatusOr<Certificate> leaf =
        VerifyChain(chain, issuer.root, {.at = now, .leaf_role = CertificateRole::kSecureSpace});
    if (!leaf.ok()) {
      refused = leaf.status();
      continue;
    }
    for (const Certificate& certificate : chain) {
      if (issuer.revoked_serials.contains(certificate.serial_hex())) {
        return absl::PermissionDeniedError(
            absl::StrCat("the issuer revoked certificate ", certificate.serial_hex()));
      }
    }
    return leaf;
  }
  return refused;
}

}  // namespace nark::keymanager
