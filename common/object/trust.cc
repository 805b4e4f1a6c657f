#include "common/object/trust.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/object/envelope.h"

namespace nark {

absl::Status CheckRoot(const Certificate& root, CertificateRole role) {
  if (root.role() != role) {
    return absl::UnauthenticatedError(absl::StrCat(
        "the certificate's role is ", RoleName(root.role()), ", not ", RoleName(role)));
  }
  return VerifySelfSigned(root);
}

// An issuer's certificates have few forms; what comes beyond goes the general way.
class Trust::Forms {
 public:
  using List = std::vector<std::shared_ptr<const LeafForm>>;

  List Of(size_t issuer) const {
    absl::MutexLock lock(&mutex_);
    const auto found = forms_.find(issuer);
    return found == forms_.end() ? List() : found->second;
  }
  // Of a certificate that no known form fits.
  void Learn(size_t issuer, const Certificate& verified) {
    std::optional<LeafForm> form = LeafForm::Of(verified);
    absl::MutexLock lock(&mutex_);
    List& forms = forms_[issuer];
    if (form && forms.size() < kMostForms) {
      forms.push_back(std::make_shared<const LeafForm>(*std::move(form)));
    }
  }

 private:
  static constexpr size_t kMostForms = 4;
  mutable absl::Mutex mutex_;
  std::map<size_t, List> forms_ ABSL_GUARDED_BY(mutex_);
};

Trust::Trust() : forms_(std::make_unique<Forms>()) {}
Trust::~Trust() = default;
Trust::Trust(Trust&&) noexcept = default;
Trust& Trust::operator=(Trust&&) noexcept = default;

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

absl::StatusOr<SecureSpaceLeaf> Trust::VerifySecureSpace(
    const google::protobuf::RepeatedPtrField<std::string>& chain,
    std::optional<Timestamp> at) const {
  std::optional<SecureSpaceLeaf> known;
  if (chain.size() == 1) known = VerifyKnownForm(AsBytes(chain[0]), at);
  if (known) return *std::move(known);
  ASSIGN_OR_RETURN(const std::vector<Certificate> parsed, ParseCertificates(chain));
  absl::Status refused =
      WithChainFault(absl::UnauthenticatedError("no issuer"), ChainFault::kUntrusted);
  for (const Issuer& issuer : issuers_) {
    absl::StatusOr<SecureSpaceLeaf> leaf = VerifyChainOf(parsed, issuer, at);
    if (!absl::IsUnauthenticated(leaf.status())) return leaf;
    // Not another issuer's is what every issuer but its own says of it.
    if (ChainFaultOf(refused) == ChainFault::kUntrusted) refused = leaf.status();
  }
  return refused;
}

std::optional<SecureSpaceLeaf> Trust::VerifyKnownForm(ByteView der,
                                                      std::optional<Timestamp> at) const {
  for (size_t i = 0; i < issuers_.size(); ++i) {
    const Issuer& issuer = issuers_[i];
    if (at) {
      const Timestamp second = std::chrono::floor<std::chrono::seconds>(*at);
      if (second < issuer.root.not_before() || second >= issuer.root.not_after()) continue;
    }
    for (const auto& form : forms_->Of(i)) {
      auto leaf = form->Verify(der, issuer.root.public_key(), at);
      // Revoked: the general way says so.
      if (leaf && !issuer.revoked_serials.contains(leaf->serial_hex)) return leaf;
    }
  }
  return std::nullopt;
}

absl::StatusOr<SecureSpaceLeaf> Trust::VerifyChainOf(const std::vector<Certificate>& chain,
                                                     const Issuer& issuer,
                                                     std::optional<Timestamp> at) const {
  // Whether a serial was revoked is looked up here: the list's own signature was
  // checked when it was loaded, and its age by CheckLists.
  ASSIGN_OR_RETURN(
      const Certificate leaf,
      VerifyChain(chain, issuer.root, {.at = at, .leaf_role = CertificateRole::kSecureSpace}));
  for (const Certificate& certificate : chain) {
    if (issuer.revoked_serials.contains(certificate.serial_hex())) {
      return WithChainFault(absl::PermissionDeniedError(absl::StrCat(
                                "the issuer revoked certificate ", certificate.serial_hex())),
                            ChainFault::kRevoked);
    }
  }
  if (!leaf.secure_space_scope()) {
    return absl::UnauthenticatedError("the secure space's certificate names no note key");
  }
  forms_->Learn(static_cast<size_t>(&issuer - issuers_.data()), leaf);
  return SecureSpaceLeaf{.attestation_key = leaf.public_key(),
                         .note_spki = leaf.secure_space_scope()->note_spki,
                         .assurance = leaf.secure_space_scope()->assurance,
                         .serial_hex = leaf.serial_hex(),
                         .not_before = leaf.not_before(),
                         .not_after = leaf.not_after()};
}

}  // namespace nark
