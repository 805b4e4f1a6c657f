#include "common/crypto/certificate.h"

#include <openssl/err.h>

#include <utility>

#include "absl/strings/cord.h"
#include "common/base/status.h"
#include "common/crypto/certificate_parsed.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/crypto/x509_parts.h"

namespace nark {
namespace {

constexpr char kPemLabel[] = "CERTIFICATE";
constexpr size_t kMaxDerBytes = 64 << 10;
constexpr char kFaultUrl[] = "nark/chain_fault";

absl::Status Refused(std::string_view why) {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, why);
}

// The common name, with what could break a line of a message replaced.
std::string CommonName(const X509_NAME* name) {
  int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return "";
  uint8_t* utf8 = nullptr;
  int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  std::string text = size > 0 ? ToText({utf8, static_cast<size_t>(size)}) : std::string();
  OPENSSL_free(utf8);
  ERR_clear_error();
  for (char& c : text) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

// i2d_X509 repeats the bytes that the certificate was parsed from; i2d_re_X509_tbs
// encodes the part that is signed anew. Both must give what was parsed.
bool ReencodesTo(X509* x509, ByteView der) {
  Bytes before = EncodeWhole(x509, i2d_X509);
  Bytes tbs = EncodeWhole(x509, i2d_re_X509_tbs);
  return !tbs.empty() && Equal(before, der) && Equal(EncodeWhole(x509, i2d_X509), der);
}

absl::Status CheckForm(X509* x509, ByteView der) {
  const X509_ALGOR* outer = nullptr;
  X509_get0_signature(nullptr, &outer, x509);
  if (X509_get_version(x509) != X509_VERSION_3) return Refused("a certificate that is not X.509v3");
  if (!IsEcdsaSha256(X509_get0_tbs_sigalg(x509), outer)) {
    return WithChainFault(Refused("a certificate not signed with ECDSA and SHA-256"),
                          ChainFault::kWeakKey);
  }
  if (!ReencodesTo(x509, der)) return Refused("a certificate that is not DER");
  // Fills OpenSSL's view of the extensions now, while no other thread has the object.
  if (X509_check_purpose(x509, -1, 0) != 1 ||
      (X509_get_extension_flags(x509) & EXFLAG_INVALID) != 0) {
    return Refused("a certificate with malformed extensions");
  }
  return absl::OkStatus();
}

absl::StatusOr<PublicKey> KeyOf(X509* x509) {
  EVP_PKEY* decoded = X509_get0_pubkey(x509);
  Bytes spki = EncodeWhole(X509_get_X509_PUBKEY(x509), i2d_X509_PUBKEY);
  absl::StatusOr<PublicKey> key = absl::InvalidArgumentError("");
  if (decoded != nullptr) key = PublicKey::FromDecoded(spki, *decoded);
  if (absl::IsInvalidArgument(key.status())) {
    return WithChainFault(Refused("a certificate whose key is not on P-256"), ChainFault::kWeakKey);
  }
  return key;
}

absl::StatusOr<RoleContent> RoleOf(X509* x509) {
  ASSIGN_OR_RETURN(std::optional<Bytes> layout,
                   FindPrivateExtension(X509_get0_extensions(x509), kRoleOid));
  if (!layout.has_value()) return RoleContent{};
  return ParseRole(*layout);
}

}  // namespace

ChainFault ChainFaultOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kFaultUrl);
  return payload ? static_cast<ChainFault>((*payload)[0]) : ChainFault::kNone;
}

absl::Status WithChainFault(absl::Status status, ChainFault fault) {
  if (fault == ChainFault::kNone) return status;
  status.SetPayload(kFaultUrl, absl::Cord(std::string(1, static_cast<char>(fault))));
  return status;
}

absl::StatusOr<Certificate> Certificate::FromDer(ByteView der) {
  if (der.size() > kMaxDerBytes) return Refused("a certificate larger than 64 KiB");
  UniqueX509 x509 = DecodeWhole<UniqueX509>(der, d2i_X509);
  if (x509 == nullptr) return Refused("not a certificate");
  RETURN_IF_ERROR(CheckForm(x509.get(), der));
  ASSIGN_OR_RETURN(PublicKey key, KeyOf(x509.get()));
  ASSIGN_OR_RETURN(RoleContent content, RoleOf(x509.get()));
  ASSIGN_OR_RETURN(Timestamp not_before, FromAsn1(X509_get0_notBefore(x509.get())));
  ASSIGN_OR_RETURN(Timestamp not_after, FromAsn1(X509_get0_notAfter(x509.get())));
  std::string subject = CommonName(X509_get_subject_name(x509.get()));
  std::string serial = SerialToHex(X509_get0_serialNumber(x509.get()));
  return Certificate(std::shared_ptr<const Parsed>(
      new Parsed{std::move(x509), ToBytes(der), std::move(key), std::move(subject), not_before,
                 not_after, std::move(serial), std::move(content)}));
}

absl::StatusOr<Certificate> Certificate::FromPem(ByteView pem) {
  ASSIGN_OR_RETURN(Bytes der, DecodeOnePem(kPemLabel, pem));
  return FromDer(der);
}

absl::StatusOr<std::vector<Certificate>> CertificatesFromPem(ByteView pem) {
  ASSIGN_OR_RETURN(std::vector<Bytes> blocks, DecodePem(kPemLabel, pem));
  std::vector<Certificate> certificates;
  for (const Bytes& der : blocks) {
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(der));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

const Bytes& Certificate::der() const { return parsed_->der; }
std::string Certificate::ToPem() const { return EncodePem(kPemLabel, parsed_->der); }
const PublicKey& Certificate::public_key() const { return parsed_->public_key; }
std::string Certificate::subject() const { return parsed_->subject; }
Timestamp Certificate::not_before() const { return parsed_->not_before; }
Timestamp Certificate::not_after() const { return parsed_->not_after; }
CertificateRole Certificate::role() const { return parsed_->content.role; }
std::string Certificate::serial_hex() const { return parsed_->serial_hex; }
const std::optional<SenderScope>& Certificate::sender_scope() const {
  return parsed_->content.sender_scope;
}
const std::optional<SecureSpaceScope>& Certificate::secure_space_scope() const {
  return parsed_->content.secure_space_scope;
}

Digest SecureSpaceId(ByteView attestation_spki, ByteView note_spki) {
  return LabelledHash("nark secure space id v1", {attestation_spki, note_spki});
}

}  // namespace nark
