#ifndef NARK_COMMON_OBJECT_IDENTITY_H_
#define NARK_COMMON_OBJECT_IDENTITY_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/signature.h"
#include "common/object/session.h"

namespace nark {

// A signing key and what makes it good for something. Move-only; thread-safe
// after creation.
struct SigningIdentity {
  PrivateKey key;
  // The key's own certificate.
  Certificate certificate;
  // Its issuers up to, but without, the root. Empty for roots and for identities
  // right below one.
  std::vector<Certificate> issuers;

  // Leaf first, root left out: what goes into an envelope.
  std::vector<Certificate> Chain() const;
};

// How long certificates hold. None outlives its issuer. They begin an hour early,
// because clocks differ.
inline constexpr std::chrono::years kRootYears{20};
inline constexpr std::chrono::years kRoleYears{5};

// A self-signed root with a new key: kProviderRoot, kIssuerRoot or kTlsCa.
absl::StatusOr<SigningIdentity> MakeRoot(CertificateRole role, std::string_view common_name,
                                         Timestamp now);

// A new key with a role (kDescriptor to kControl) right under the provider's root.
absl::StatusOr<SigningIdentity> MakeRole(CertificateRole role, const SigningIdentity& root,
                                         Timestamp now);

// A key manager's new signing key under the pool role.
absl::StatusOr<SigningIdentity> MakeKeyManager(std::string_view common_name,
                                               const SigningIdentity& pool_role, Timestamp now);
// The same with a key that there is.
absl::StatusOr<SigningIdentity> CertifyKeyManager(PrivateKey key, std::string_view common_name,
                                                  const SigningIdentity& pool_role, Timestamp now);

// A sender's new signing key under the senders role.
absl::StatusOr<SigningIdentity> MakeSender(const SessionName& session,
                                           const v1::PermittedSender& permission,
                                           const SigningIdentity& senders_role, Timestamp now);

// A server's new TLS key under the provider's TLS CA, for one DNS name
// ("keymanager.nark", "refunds.nark", "sender.nark").
absl::StatusOr<SigningIdentity> MakeTlsServer(std::string_view dns_name,
                                              const SigningIdentity& tls_ca, Timestamp now);

// Certifies the keys of a request whose signatures have been checked
// (ParseSecureSpaceRequestPem). The common name is the secure space's id.
absl::StatusOr<Certificate> CertifySecureSpace(const SecureSpaceRequest& request,
                                               const SigningIdentity& issuer, Timestamp now);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_IDENTITY_H_
