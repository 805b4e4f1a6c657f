#ifndef NARK_NARKCTL_PROVIDER_H_
#define NARK_NARKCTL_PROVIDER_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/object/identity.h"

// The provider's folder:
//   root.pem                         the root's certificate
//   root/{certificate,key}.pem       the root; may go offline after `init`
//   ROLE/{certificate,key}.pem       descriptor till refunds pool sender control
//   tls/{certificate,key}.pem        the CA of the provider's TLS servers
//   refunds/{tls,tls-key}.pem        the refund desk's TLS certificate
//   deny.nark                        the deny list, once there is one
namespace nark::narkctl {

// How long a deny list holds; joins wait for a newer one after that.
inline constexpr std::chrono::days kDenyListDays{30};

// Founds a provider in a new folder; returns its id.
absl::StatusOr<Digest> InitProvider(const std::string& folder, const std::string& name,
                                    Timestamp now);

// The root certificate; the root's key is never read again.
absl::StatusOr<Certificate> ReadProviderRoot(const std::string& folder);

// A role (kDescriptor to kControl), verified under the root at `now`.
absl::StatusOr<SigningIdentity> ReadRole(const std::string& folder, CertificateRole role,
                                         const Certificate& root, Timestamp now);

// The CA for TLS servers.
absl::StatusOr<SigningIdentity> ReadTlsCa(const std::string& folder);

// The folder's own deny list.
std::string DenyListOf(const std::string& folder);

// Writes to `out`, signed anew, a deny list of `secure_spaces` and of all whom the lists in
// `out` and in the folder deny, where there are any. Returns how many it denies now.
absl::StatusOr<size_t> Deny(const std::string& folder, const std::vector<Digest>& secure_spaces,
                            const std::string& out, Timestamp now);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_PROVIDER_H_
