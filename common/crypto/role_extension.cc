#include "common/crypto/role_extension.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kSpkiBytes = 91;
constexpr size_t kHeadBytes = 2;
constexpr uint8_t kMaxAssurance = 3;  // of nark.v1.AssuranceClass
constexpr size_t kSenderBytes = kHeadBytes + 32 + 16 + 4 + 1;
constexpr size_t kSecureSpaceBytes = kHeadBytes + 1 + kSpkiBytes;

absl::Status Malformed() {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, "malformed Nark extension");
}

SenderScope ParseSender(ByteView layout) {
  SenderScope scope;
  std::copy_n(layout.begin() + 2, 32, scope.provider.begin());
  std::copy_n(layout.begin() + 34, 16, scope.session_id.begin());
  scope.sender_id = LoadBig32(layout.data() + 50);
  scope.may_control = layout[54] != 0;
  return scope;
}

using UniqueObject = std::unique_ptr<ASN1_OBJECT, OpenSslFree<ASN1_OBJECT_free>>;

}  // namespace

std::string RoleName(CertificateRole role) {
  switch (role) {
    case CertificateRole::kNone:
      return "tls";
    case CertificateRole::kProviderRoot:
      return "provider-root";
    case CertificateRole::kDescriptor:
      return "descriptor";
    case CertificateRole::kTill:
      return "till";
    case CertificateRole::kRefunds:
      return "refunds";
    case CertificateRole::kPool:
      return "pool";
    case CertificateRole::kSenders:
      return "senders";
    case CertificateRole::kControl:
      return "control";
    case CertificateRole::kKeyManager:
      return "key-manager";
    case CertificateRole::kSender:
      return "sender";
    case CertificateRole::kIssuerRoot:
      return "issuer-root";
    case CertificateRole::kSecureSpace:
      return "secure-space";
    case CertificateRole::kTlsCa:
      return "tls-ca";
  }
  return absl::StrCat("role-", static_cast<int>(role));
}

std::optional<CertificateRole> IssuerRoleOf(CertificateRole role) {
  switch (role) {
    case CertificateRole::kDescriptor:
    case CertificateRole::kTill:
    case CertificateRole::kRefunds:
    case CertificateRole::kPool:
    case CertificateRole::kSenders:
    case CertificateRole::kControl:
      return CertificateRole::kProviderRoot;
    case CertificateRole::kKeyManager:
      return CertificateRole::kPool;
    case CertificateRole::kSender:
      return CertificateRole::kSenders;
    case CertificateRole::kSecureSpace:
      return CertificateRole::kIssuerRoot;
    case CertificateRole::kNone:
      return CertificateRole::kTlsCa;
    case CertificateRole::kProviderRoot:
    case CertificateRole::kIssuerRoot:
    case CertificateRole::kTlsCa:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<int> PathLengthOf(CertificateRole role) {
  switch (role) {
    case CertificateRole::kProviderRoot:
      return 1;
    case CertificateRole::kPool:
    case CertificateRole::kSenders:
    case CertificateRole::kIssuerRoot:
    case CertificateRole::kTlsCa:
      return 0;
    default:
      return std::nullopt;
  }
}

absl::Status CheckScopes(const RoleContent& content) {
  if (content.role > CertificateRole::kTlsCa) {
    return absl::InvalidArgumentError("no such certificate role");
  }
  if (content.sender_scope.has_value() != (content.role == CertificateRole::kSender) ||
      content.secure_space_scope.has_value() != (content.role == CertificateRole::kSecureSpace)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the scope does not fit the role ", RoleName(content.role)));
  }
  if (content.secure_space_scope.has_value()) {
    return PublicKey::FromSpki(content.secure_space_scope->note_spki).status();
  }
  return absl::OkStatus();
}

Bytes SerialiseRole(const RoleContent& content) {
  Bytes layout = {kVersion, static_cast<uint8_t>(content.role)};
  if (content.sender_scope.has_value()) {
    const SenderScope& scope = *content.sender_scope;
    layout.insert(layout.end(), scope.provider.begin(), scope.provider.end());
    layout.insert(layout.end(), scope.session_id.begin(), scope.session_id.end());
    layout.resize(layout.size() + 4);
    StoreBig32(layout.data() + layout.size() - 4, scope.sender_id);
    layout.push_back(scope.may_control ? 1 : 0);
  }
  if (content.secure_space_scope.has_value()) {
    const SecureSpaceScope& scope = *content.secure_space_scope;
    layout.push_back(scope.assurance);
    layout.insert(layout.end(), scope.note_spki.begin(), scope.note_spki.end());
  }
  return layout;
}

absl::StatusOr<RoleContent> ParseRole(ByteView layout) {
  if (layout.size() < kHeadBytes || layout[0] != kVersion || layout[1] == 0 ||
      layout[1] > static_cast<uint8_t>(CertificateRole::kTlsCa)) {
    return Malformed();
  }
  RoleContent content;
  content.role = static_cast<CertificateRole>(layout[1]);
  size_t expected = kHeadBytes;
  if (content.role == CertificateRole::kSender) expected = kSenderBytes;
  if (content.role == CertificateRole::kSecureSpace) expected = kSecureSpaceBytes;
  if (layout.size() != expected) return Malformed();
  if (content.role == CertificateRole::kSender) {
    if (layout[54] > 1) return Malformed();
    content.sender_scope = ParseSender(layout);
  }
  if (content.role == CertificateRole::kSecureSpace) {
    if (layout[2] == 0 || layout[2] > kMaxAssurance) return Malformed();
    content.secure_space_scope =
        SecureSpaceScope{.note_spki = ToBytes(layout.subspan(3)), .assurance = layout[2]};
  }
  return content;
}

absl::StatusOr<UniqueExtension> MakePrivateExtension(const char* oid, ByteView content) {
  // The value of an extension is DER by itself: an OCTET STRING in an OCTET STRING.
  UniqueOctets inner(ASN1_OCTET_STRING_new());
  UniqueOctets outer(ASN1_OCTET_STRING_new());
  UniqueObject object(OBJ_txt2obj(oid, 1));
  if (inner == nullptr || outer == nullptr || object == nullptr ||
      ASN1_OCTET_STRING_set(inner.get(), content.data(), static_cast<int>(content.size())) != 1) {
    return OpenSslError("cannot make an extension");
  }
  uint8_t* der = nullptr;
  int size = i2d_ASN1_OCTET_STRING(inner.get(), &der);
  int set = size > 0 ? ASN1_OCTET_STRING_set(outer.get(), der, size) : 0;
  OPENSSL_free(der);
  UniqueExtension extension(
      set == 1 ? X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, outer.get()) : nullptr);
  if (extension == nullptr) return OpenSslError("cannot make an extension");
  return extension;
}

absl::StatusOr<std::optional<Bytes>> FindPrivateExtension(const STACK_OF(X509_EXTENSION) *
                                                              extensions,
                                                          const char* oid) {
  UniqueObject object(OBJ_txt2obj(oid, 1));
  if (object == nullptr) return OpenSslError("cannot look for an extension");
  int at = X509v3_get_ext_by_OBJ(extensions, object.get(), -1);
  if (at < 0) return std::nullopt;
  if (X509v3_get_ext_by_OBJ(extensions, object.get(), at) >= 0) return Malformed();
  X509_EXTENSION* extension = X509v3_get_ext(extensions, at);
  if (X509_EXTENSION_get_critical(extension) != 0) return Malformed();
  const ASN1_OCTET_STRING* outer = X509_EXTENSION_get_data(extension);
  const uint8_t* begin = ASN1_STRING_get0_data(outer);
  const uint8_t* end = begin + ASN1_STRING_length(outer);
  // OCTET STRING (04), length in the short or, from 128 bytes, the long form (81): DER.
  if (end - begin < 2 || begin[0] != 0x04) return Malformed();
  const uint8_t* content = begin + 2;
  size_t length = begin[1];
  if (length == 0x81 && end - begin >= 3 && begin[2] >= 0x80) {
    content = begin + 3;
    length = begin[2];
  } else if (length >= 0x80) {
    return Malformed();
  }
  if (static_cast<size_t>(end - content) != length) return Malformed();
  return Bytes(content, end);
}

}  // namespace nark
