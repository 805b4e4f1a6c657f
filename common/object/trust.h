#ifndef NARK_COMMON_OBJECT_TRUST_H_
#define NARK_COMMON_OBJECT_TRUST_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/object/deny_list.h"
#include "common/object/leaf_form.h"
#include "google/protobuf/repeated_field.h"

namespace nark {

// That a certificate is a root of `role`, signed by its own key. UNAUTHENTICATED.
absl::Status CheckRoot(const Certificate& root, CertificateRole role);

// Whose secure spaces get grants: the issuers, what they revoked, and whom the
// provider denies. Immutable, replaced as a whole when a list changes;
// thread-safe.
class Trust {
 public:
  // `issuers`: at least one root of role kIssuerRoot, each once. `revocations`:
  // each signed by one of them, at most one list an issuer. INVALID_ARGUMENT or
  // UNAUTHENTICATED, naming the issuer or list by its place.
  static absl::StatusOr<Trust> Create(std::vector<Certificate> issuers,
                                      const std::vector<RevocationList>& revocations,
                                      std::optional<VerifiedDenyList> deny_list);

  // UNAVAILABLE where a list is past its next update: who was revoked since is
  // not known.
  absl::Status CheckLists(Timestamp now) const;

  ~Trust();
  Trust(Trust&&) noexcept;
  Trust& operator=(Trust&&) noexcept;

  // The earliest next update of the lists; far away where there are none.
  Timestamp next_update() const { return next_update_; }

  // Verifies the chain of a secure space (X.509 DER, leaf first) at `at` under
  // whichever issuer it leads to, and returns the leaf; nullopt leaves validity
  // periods out, as in ChainRules, and revocation in. UNAUTHENTICATED where it
  // leads to none, PERMISSION_DENIED where its issuer revoked it; both with their
  // ChainFault, which is kUntrusted only where it is so of every issuer.
  absl::StatusOr<SecureSpaceLeaf> VerifySecureSpace(
      const google::protobuf::RepeatedPtrField<std::string>& chain,
      std::optional<Timestamp> at) const;

  bool Denies(const Digest& secure_space_id) const {
    return deny_list_ && deny_list_->Denies(secure_space_id);
  }

 private:
  struct Issuer {
    explicit Issuer(Certificate certificate) : root(std::move(certificate)) {}
    Certificate root;
    std::set<std::string> revoked_serials;
    bool has_list = false;
  };
  // Forms of certificates that verified, by their issuer's place. Forgetting one
  // costs time, nothing else.
  class Forms;

  Trust();
  std::optional<SecureSpaceLeaf> VerifyKnownForm(ByteView der, std::optional<Timestamp> at) const;
  absl::StatusOr<SecureSpaceLeaf> VerifyChainOf(const std::vector<Certificate>& chain,
                                                const Issuer& issuer,
                                                std::optional<Timestamp> at) const;
  absl::Status AddRevocations(const RevocationList& list, size_t place);

  std::vector<Issuer> issuers_;
  std::optional<VerifiedDenyList> deny_list_;
  Timestamp next_update_ = Timestamp::max();
  std::unique_ptr<Forms> forms_;
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_TRUST_H_
