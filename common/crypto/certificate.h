#ifndef NARK_COMMON_CRYPTO_CERTIFICATE_H_
#define NARK_COMMON_CRYPTO_CERTIFICATE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/signature.h"

namespace nark {

// Why a certificate or a chain was refused: what a program decides by, where the
// message is for people.
enum class ChainFault : uint8_t {
  kNone = 0,     // refused for something else, or not at all
  kWeakKey,      // a key or a signature of another kind than ECDSA on P-256 with SHA-256
  kLength,       // not as many certificates as the role asks for
  kSelfSigned,   // the leaf vouches for itself
  kUsage,        // a certificate of another role, or one that may not do what it did
  kUntrusted,    // not signed by the root that it must lead to
  kNotYetValid,  // some certificate's validity begins later
  kExpired,      // some certificate's validity, or the root's, has ended
  kRevoked,
};

// The fault that a refusal carries, of functions here and of those that pass their
// statuses on; kNone where it carries none. Statuses lose it between processes.
ChainFault ChainFaultOf(const absl::Status& status);
// `status`, which is an error, with the fault.
absl::Status WithChainFault(absl::Status status, ChainFault fault);

// What a certificate of Nark's own makes its key good for. Written into the Nark
// role extension; a key can do nothing but its role.
enum class CertificateRole : uint8_t {
  kNone = 0,  // TLS certificates and certificates without the extension
  kProviderRoot = 1,
  kDescriptor = 2,
  kTill = 3,
  kRefunds = 4,
  kPool = 5,     // certifies key managers; signs pool manifests
  kSenders = 6,  // certifies senders; signs sender files
  kControl = 7,
  kKeyManager = 8,  // under kPool
  kSender = 9,      // under kSenders; carries SenderScope
  kIssuerRoot = 10,
  kSecureSpace = 11,  // under kIssuerRoot; carries SecureSpaceScope
  kTlsCa = 12,
};

// How a role is written in messages: "descriptor", "key-manager", ...
std::string RoleName(CertificateRole role);

// In the certificate of a sender.
struct SenderScope {
  Digest provider{};
  std::array<uint8_t, 16> session_id{};
  uint32_t sender_id = 0;
  bool may_control = false;
};

// In the certificate of a secure space.
struct SecureSpaceScope {
  Bytes note_spki;
  uint8_t assurance = 0;  // value of nark.v1.AssuranceClass
};

// One parsed X.509 certificate (RFC 5280, version 3), with an ECDSA P-256 key and
// an ECDSA signature with SHA-256. Parsing does not verify. Copies share.
// Thread-safe.
class Certificate {
 public:
  // Refuses trailing bytes, encodings that do not re-encode to `der`, and Nark
  // extensions that are malformed or occur twice. INVALID_ARGUMENT, with
  // ChainFault::kWeakKey where key or signature are of another kind.
  static absl::StatusOr<Certificate> FromDer(ByteView der);
  // Exactly one certificate, in the strict form of RFC 7468.
  static absl::StatusOr<Certificate> FromPem(ByteView pem);

  const Bytes& der() const;
  std::string ToPem() const;
  const PublicKey& public_key() const;
  std::string subject() const;  // common name, for messages: nothing trusts it
  Timestamp not_before() const;
  Timestamp not_after() const;
  CertificateRole role() const;
  const std::optional<SenderScope>& sender_scope() const;
  const std::optional<SecureSpaceScope>& secure_space_scope() const;
  std::string serial_hex() const;

  struct Parsed;
  const Parsed& parsed() const { return *parsed_; }  // common/crypto only

 private:
  explicit Certificate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

// Certificates (several) out of one PEM text, in order.
absl::StatusOr<std::vector<Certificate>> CertificatesFromPem(ByteView pem);

// What a new certificate says.
struct CertificateTemplate {
  std::string common_name;
  CertificateRole role = CertificateRole::kNone;
  Timestamp not_before;
  Timestamp not_after;
  std::optional<SenderScope> sender_scope;
  std::optional<SecureSpaceScope> secure_space_scope;
  // TLS server certificates: the one DNS name. Sets extended key usage serverAuth.
  std::string dns_name;
};

// Issues under `issuer` (the roles kProviderRoot, kPool, kSenders, kIssuerRoot
// and kTlsCa are CAs; basic constraints and key usage follow from the role).
// Serial numbers are random, 16 bytes. INVALID_ARGUMENT where the issuer may not
// issue that role, `issuer_key` is not its key, or the content does not fit the role.
absl::StatusOr<Certificate> IssueCertificate(const CertificateTemplate& content,
                                             const PublicKey& subject, const Certificate& issuer,
                                             const PrivateKey& issuer_key);
// A root: kProviderRoot, kIssuerRoot or kTlsCa.
absl::StatusOr<Certificate> IssueSelfSigned(const CertificateTemplate& content,
                                            const PrivateKey& key);

// Checks that a root signed itself, for who loads one from a file: UNAUTHENTICATED
// where it did not. Remembers success.
absl::Status VerifySelfSigned(const Certificate& root);

// A certificate revocation list (RFC 5280 section 5). Thread-safe.
class RevocationList {
 public:
  // Exactly one list, in the strict form of RFC 7468, with no critical extension.
  // INVALID_ARGUMENT. Does not verify.
  static absl::StatusOr<RevocationList> FromPem(ByteView pem);
  static absl::StatusOr<RevocationList> FromDer(ByteView der);
  std::string ToPem() const;
  Timestamp this_update() const;
  Timestamp next_update() const;
  std::vector<std::string> serials_hex() const;  // sorted
  // CRL number; 0 where the list has none.
  uint64_t number() const;
  // UNAUTHENTICATED where `issuer` did not sign the list. Remembers success.
  absl::Status VerifySignedBy(const Certificate& issuer) const;

  struct Parsed;
  const Parsed& parsed() const { return *parsed_; }  // common/crypto only

 private:
  explicit RevocationList(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

// Makes a list of everything that `issuer` has revoked; `number` grows with each
// list. Serials as Certificate::serial_hex() writes them, in any order.
absl::StatusOr<RevocationList> IssueRevocationList(const Certificate& issuer,
                                                   const PrivateKey& issuer_key,
                                                   const std::vector<std::string>& serials_hex,
                                                   Timestamp this_update, Timestamp next_update,
                                                   uint64_t number);

// How to judge a chain.
struct ChainRules {
  // Checked at this time; nullopt leaves validity periods out (an expired
  // certificate still gets a refund).
  std::optional<Timestamp> at;
  // The role that the leaf must have.
  CertificateRole leaf_role = CertificateRole::kNone;
  // Where given, must be signed by `root`, current at `at` (else UNAVAILABLE; with
  // no `at`, any age will do), and must not name any certificate of the chain.
  const RevocationList* revocations = nullptr;
};

// Verifies `chain` (leaf first, without the root) up to `root`, by Nark's role
// rules (kProviderRoot issues 2..7 and no others; kPool issues kKeyManager; kSenders
// issues kSender; kIssuerRoot issues kSecureSpace; kTlsCa issues kNone), by the
// root's own signature, and by OpenSSL's path validation. No other chain is
// accepted: its length must be just what the role asks for. Returns the leaf.
// UNAUTHENTICATED where it fails, with the cause in one line and its ChainFault.
absl::StatusOr<Certificate> VerifyChain(const std::vector<Certificate>& chain,
                                        const Certificate& root, const ChainRules& rules);

// A request for a secure-space certificate: PKCS#10 (RFC 2986) signed by the
// attestation key, holding note key, assurance class and the note key's
// signature over the labelled encoding of ("nark certificate request v1",
// attestation SPKI, note SPKI, class), so that both keys sign.
struct SecureSpaceRequest {
  PublicKey attestation_key;
  SecureSpaceScope scope;
};
absl::StatusOr<std::string> MakeSecureSpaceRequestPem(const PrivateKey& attestation_key,
                                                      const PrivateKey& note_key,
                                                      uint8_t assurance);
// Checks both signatures.
absl::StatusOr<SecureSpaceRequest> ParseSecureSpaceRequestPem(ByteView pem);

// LabelledHash("nark secure space id v1", attestation SPKI, note SPKI):
// recomputed from keys, never read from a name.
Digest SecureSpaceId(ByteView attestation_spki, ByteView note_spki);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_CERTIFICATE_H_
