#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_parsed.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/crypto/x509_parts.h"

namespace nark {
namespace {

constexpr size_t kSerialBytes = 16;
constexpr size_t kMaxCommonName = 64;  // ub-common-name of RFC 5280
constexpr size_t kMaxDnsName = 253;
constexpr size_t kKeyIdBytes = 20;
constexpr size_t kPointBytes = 65;

// Bits of KeyUsage, RFC 5280 section 4.2.1.3.
constexpr int kDigitalSignature = 0;
constexpr int kKeyCertSign = 5;
constexpr int kCrlSign = 6;

using UniqueConstraints = std::unique_ptr<BASIC_CONSTRAINTS, OpenSslFree<BASIC_CONSTRAINTS_free>>;
using UniqueNames = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;
using UniqueUsages = std::unique_ptr<EXTENDED_KEY_USAGE, OpenSslFree<EXTENDED_KEY_USAGE_free>>;

enum class Critical { kNo = 0, kYes = 1 };

absl::Status Cannot() { return OpenSslError("cannot make a certificate"); }

absl::Status Add(X509* x509, int nid, void* value, Critical critical) {
  if (X509_add1_ext_i2d(x509, nid, value, static_cast<int>(critical), X509V3_ADD_DEFAULT) != 1) {
    return Cannot();
  }
  return absl::OkStatus();
}

absl::Status CheckTemplate(const CertificateTemplate& content) {
  if (content.common_name.empty() || content.common_name.size() > kMaxCommonName) {
    return absl::InvalidArgumentError("a certificate needs a name of 1 to 64 bytes");
  }
  if (content.not_after <= content.not_before) {
    return absl::InvalidArgumentError("a certificate that ends before it begins");
  }
  bool may_have_dns_name = content.role == CertificateRole::kNone;
  if (content.dns_name.size() > kMaxDnsName || (!may_have_dns_name && !content.dns_name.empty())) {
    return absl::InvalidArgumentError("a DNS name too long, or in a certificate not for TLS");
  }
  return CheckScopes({content.role, content.sender_scope, content.secure_space_scope});
}

absl::Status SetSerial(X509* x509) {
  std::array<uint8_t, kSerialBytes> bytes;
  RETURN_IF_ERROR(SystemRandom().Fill(bytes));
  // Positive, and always of full length.
  bytes[0] = static_cast<uint8_t>((bytes[0] & 0x3f) | 0x40);
  ASSIGN_OR_RETURN(UniqueInteger serial, SerialFromHex(ToHex(bytes)));
  return X509_set_serialNumber(x509, serial.get()) == 1 ? absl::OkStatus() : Cannot();
}

absl::Status SetNameAndTimes(X509* x509, const CertificateTemplate& content) {
  ASSIGN_OR_RETURN(UniqueTime not_before, ToAsn1(content.not_before));
  ASSIGN_OR_RETURN(UniqueTime not_after, ToAsn1(content.not_after));
  ByteView name = AsBytes(content.common_name);
  if (X509_set1_notBefore(x509, not_before.get()) != 1 ||
      X509_set1_notAfter(x509, not_after.get()) != 1 ||
      X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), NID_commonName, MBSTRING_UTF8,
                                 name.data(), static_cast<int>(name.size()), -1, 0) != 1) {
    return OpenSslRefusal(absl::StatusCode::kInvalidArgument, "a certificate's name must be UTF-8");
  }
  return absl::OkStatus();
}

absl::Status AddUsages(X509* x509, CertificateRole role) {
  std::optional<int> path_length = PathLengthOf(role);
  UniqueConstraints constraints(BASIC_CONSTRAINTS_new());
  UniqueBitString usage(ASN1_BIT_STRING_new());
  if (constraints == nullptr || usage == nullptr) return Cannot();
  bool is_root = !IssuerRoleOf(role).has_value();
  // The pool and senders roles sign manifests and sender files besides; a root
  // signs nothing but certificates and lists.
  bool ok = is_root || ASN1_BIT_STRING_set_bit(usage.get(), kDigitalSignature, 1) == 1;
  if (path_length.has_value()) {
    constraints->ca = 0xff;
    constraints->pathlen = ASN1_INTEGER_new();
    ok = ok && constraints->pathlen != nullptr &&
         ASN1_INTEGER_set(constraints->pathlen, *path_length) == 1 &&
         ASN1_BIT_STRING_set_bit(usage.get(), kKeyCertSign, 1) == 1 &&
         ASN1_BIT_STRING_set_bit(usage.get(), kCrlSign, 1) == 1;
  }
  if (!ok) return Cannot();
  RETURN_IF_ERROR(Add(x509, NID_basic_constraints, constraints.get(), Critical::kYes));
  return Add(x509, NID_key_usage, usage.get(), Critical::kYes);
}

// The first 20 bytes of SHA-256 of the public point: RFC 7093 section 2, method 1.
absl::Status AddSubjectKeyId(X509* x509, const PublicKey& subject) {
  Digest digest = Sha256(ByteView(subject.spki()).last(kPointBytes));
  UniqueOctets id(ASN1_OCTET_STRING_new());
  if (id == nullptr || ASN1_OCTET_STRING_set(id.get(), digest.data(), kKeyIdBytes) != 1) {
    return Cannot();
  }
  return Add(x509, NID_subject_key_identifier, id.get(), Critical::kNo);
}

absl::Status AddServerName(X509* x509, const std::string& dns_name) {
  UniqueNames names(GENERAL_NAMES_new());
  UniqueUsages usages(EXTENDED_KEY_USAGE_new());
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  if (name != nullptr) GENERAL_NAME_set0_value(name, GEN_DNS, text);
  if (names == nullptr || usages == nullptr || name == nullptr || text == nullptr ||
      ASN1_STRING_set(text, dns_name.data(), static_cast<int>(dns_name.size())) != 1 ||
      sk_GENERAL_NAME_push(names.get(), name) <= 0) {
    GENERAL_NAME_free(name);
    return Cannot();
  }
  // Objects out of OpenSSL's table need no copy: freeing them does nothing.
  if (sk_ASN1_OBJECT_push(usages.get(), OBJ_nid2obj(NID_server_auth)) <= 0) return Cannot();
  RETURN_IF_ERROR(Add(x509, NID_subject_alt_name, names.get(), Critical::kNo));
  return Add(x509, NID_ext_key_usage, usages.get(), Critical::kNo);
}

absl::Status AddRole(X509* x509, const CertificateTemplate& content) {
  if (content.role == CertificateRole::kNone) return absl::OkStatus();
  Bytes layout = SerialiseRole({content.role, content.sender_scope, content.secure_space_scope});
  ASSIGN_OR_RETURN(UniqueExtension extension, MakePrivateExtension(kRoleOid, layout));
  return X509_add_ext(x509, extension.get(), -1) == 1 ? absl::OkStatus() : Cannot();
}

// Everything of a certificate but its issuer and signature.
absl::StatusOr<UniqueX509> Compose(const CertificateTemplate& content, const PublicKey& subject) {
  RETURN_IF_ERROR(CheckTemplate(content));
  UniqueX509 x509(X509_new());
  if (x509 == nullptr || X509_set_version(x509.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(x509.get(), subject.evp()) != 1) {
    return Cannot();
  }
  RETURN_IF_ERROR(SetSerial(x509.get()));
  RETURN_IF_ERROR(SetNameAndTimes(x509.get(), content));
  RETURN_IF_ERROR(AddUsages(x509.get(), content.role));
  RETURN_IF_ERROR(AddSubjectKeyId(x509.get(), subject));
  if (!content.dns_name.empty()) RETURN_IF_ERROR(AddServerName(x509.get(), content.dns_name));
  RETURN_IF_ERROR(AddRole(x509.get(), content));
  return x509;
}

// `issuer` may be the certificate itself.
absl::StatusOr<Certificate> Sign(UniqueX509 x509, X509* issuer, const PrivateKey& issuer_key) {
  ASSIGN_OR_RETURN(EVP_PKEY * signer, issuer_key.InMemory());
  ASSIGN_OR_RETURN(UniqueAuthorityKeyId id, MakeAuthorityKeyId(SubjectKeyIdOf(issuer).get()));
  RETURN_IF_ERROR(Add(x509.get(), NID_authority_key_identifier, id.get(), Critical::kNo));
  if (X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer)) != 1 ||
      X509_sign(x509.get(), signer, EVP_sha256()) <= 0) {
    return Cannot();
  }
  // Parsed as everybody else will parse it.
  return Certificate::FromDer(EncodeWhole(x509.get(), i2d_X509));
}

}  // namespace

absl::StatusOr<Certificate> IssueCertificate(const CertificateTemplate& content,
                                             const PublicKey& subject, const Certificate& issuer,
                                             const PrivateKey& issuer_key) {
  if (IssuerRoleOf(content.role) != issuer.role()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", RoleName(issuer.role()), " may not certify a ", RoleName(content.role)));
  }
  if (issuer_key.public_key().id() != issuer.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key does not belong to the certificate ", issuer.subject()));
  }
  ASSIGN_OR_RETURN(UniqueX509 x509, Compose(content, subject));
  return Sign(std::move(x509), issuer.parsed().x509.get(), issuer_key);
}

absl::StatusOr<Certificate> IssueSelfSigned(const CertificateTemplate& content,
                                            const PrivateKey& key) {
  if (IssuerRoleOf(content.role).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", RoleName(content.role), " may not certify itself"));
  }
  ASSIGN_OR_RETURN(UniqueX509 x509, Compose(content, key.public_key()));
  X509* issuer = x509.get();
  return Sign(std::move(x509), issuer, key);
}

}  // namespace nark
