#ifndef NARK_COMMON_CRYPTO_ROLE_EXTENSION_H_
#define NARK_COMMON_CRYPTO_ROLE_EXTENSION_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/certificate.h"
#include "common/crypto/openssl.h"

namespace nark {

// The private extensions of Nark's certificates, under an arc that is not
// registered with IANA. Never critical: OpenSSL's path validation refuses critical
// extensions that it does not know.
//
// 1.3.6.1.4.1.59999.1, the role: in certificates, and in requests of secure spaces.
inline constexpr char kRoleOid[] = "1.3.6.1.4.1.59999.1";
// 1.3.6.1.4.1.59999.2, in requests only: an OCTET STRING with the note key's
// signature, r || s.
inline constexpr char kNoteProofOid[] = "1.3.6.1.4.1.59999.2";

// What the role extension holds.
struct RoleContent {
  CertificateRole role = CertificateRole::kNone;
  std::optional<SenderScope> sender_scope;
  std::optional<SecureSpaceScope> secure_space_scope;
};

// The scopes that the role asks for are there, no others, and fit the layout.
absl::Status CheckScopes(const RoleContent& content);

// The layout, inside one OCTET STRING (integers are big-endian):
//   u8 version (1) || u8 role || by role:
//     kSender:      provider[32] || session_id[16] || u32 sender_id || u8 may_control (0, 1)
//     kSecureSpace: u8 assurance || note_spki[91]
//     others:       nothing
// CheckScopes(content) must be OK.
Bytes SerialiseRole(const RoleContent& content);
// INVALID_ARGUMENT for everything that SerialiseRole does not make.
absl::StatusOr<RoleContent> ParseRole(ByteView layout);

// An extension `oid`, not critical, that holds `content` as an OCTET STRING.
absl::StatusOr<UniqueExtension> MakePrivateExtension(const char* oid, ByteView content);
// The content of the extension `oid`; nullopt where there is none. INVALID_ARGUMENT
// where there are two, or it is malformed or critical.
absl::StatusOr<std::optional<Bytes>> FindPrivateExtension(const STACK_OF(X509_EXTENSION) *
                                                              extensions,
                                                          const char* oid);

// The role whose key certifies `role`; nullopt for roots.
std::optional<CertificateRole> IssuerRoleOf(CertificateRole role);
// The number of CA certificates that may follow below a CA of this role in a path,
// leaf excluded (RFC 5280 section 4.2.1.9); nullopt where the role is no CA.
std::optional<int> PathLengthOf(CertificateRole role);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_ROLE_EXTENSION_H_
