#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/crypto/role_extension.h"
#include "common/crypto/x509_parts.h"

namespace nark {
namespace {

constexpr char kPemLabel[] = "CERTIFICATE REQUEST";
constexpr size_t kMaxDerBytes = 16 << 10;

using ExtensionStack = STACK_OF(X509_EXTENSION);
struct FreeExtensions {
  void operator()(ExtensionStack* stack) const {
    sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
  }
};
using UniqueExtensions = std::unique_ptr<ExtensionStack, FreeExtensions>;

absl::Status Refused(std::string_view why) {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, why);
}

absl::Status Cannot() { return OpenSslError("cannot make a certificate request"); }

// What the note key signs.
Bytes ProofMessage(const PublicKey& attestation_key, const SecureSpaceScope& scope) {
  return LabelledEncoding("nark certificate request v1",
                          {attestation_key.spki(), scope.note_spki, {&scope.assurance, 1}});
}

absl::Status Push(ExtensionStack* stack, const char* oid, ByteView content) {
  ASSIGN_OR_RETURN(UniqueExtension extension, MakePrivateExtension(oid, content));
  if (sk_X509_EXTENSION_push(stack, extension.get()) <= 0) return Cannot();
  (void)extension.release();
  return absl::OkStatus();
}

bool ReencodesTo(X509_REQ* request, ByteView der) {
  Bytes before = EncodeWhole(request, i2d_X509_REQ);
  Bytes tbs = EncodeWhole(request, i2d_re_X509_REQ_tbs);
  return !tbs.empty() && Equal(before, der) && Equal(EncodeWhole(request, i2d_X509_REQ), der);
}

absl::StatusOr<PublicKey> KeyOf(X509_REQ* request) {
  return PublicKey::FromSpki(EncodeWhole(X509_REQ_get_X509_PUBKEY(request), i2d_X509_PUBKEY));
}

absl::StatusOr<Bytes> Content(const ExtensionStack* extensions, const char* oid) {
  ASSIGN_OR_RETURN(std::optional<Bytes> content, FindPrivateExtension(extensions, oid));
  if (!content.has_value()) return Refused("a certificate request not made by a secure space");
  return *std::move(content);
}

}  // namespace

absl::StatusOr<std::string> MakeSecureSpaceRequestPem(const PrivateKey& attestation_key,
                                                      const PrivateKey& note_key,
                                                      uint8_t assurance) {
  RoleContent content;
  content.role = CertificateRole::kSecureSpace;
  content.secure_space_scope = SecureSpaceScope{note_key.public_key().spki(), assurance};
  ASSIGN_OR_RETURN(
      Signature proof,
      note_key.Sign({ProofMessage(attestation_key.public_key(), *content.secure_space_scope)}));
  ASSIGN_OR_RETURN(EVP_PKEY * signer, attestation_key.InMemory());
  UniqueExtensions extensions(sk_X509_EXTENSION_new_null());
  UniqueRequest request(X509_REQ_new());
  if (extensions == nullptr || request == nullptr) return Cannot();
  RETURN_IF_ERROR(Push(extensions.get(), kRoleOid, SerialiseRole(content)));
  RETURN_IF_ERROR(Push(extensions.get(), kNoteProofOid, proof));
  const unsigned char name[] = "Nark secure space";
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request.get()), NID_commonName,
                                 MBSTRING_ASC, name, -1, -1, 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), attestation_key.public_key().evp()) != 1 ||
      X509_REQ_add_extensions(request.get(), extensions.get()) != 1 ||
      X509_REQ_sign(request.get(), signer, EVP_sha256()) <= 0) {
    return Cannot();
  }
  std::string pem = EncodePem(kPemLabel, EncodeWhole(request.get(), i2d_X509_REQ));
  RETURN_IF_ERROR(ParseSecureSpaceRequestPem(AsBytes(pem)).status());
  return pem;
}

absl::StatusOr<SecureSpaceRequest> ParseSecureSpaceRequestPem(ByteView pem) {
  ASSIGN_OR_RETURN(Bytes der, DecodeOnePem(kPemLabel, pem));
  if (der.size() > kMaxDerBytes) return Refused("a certificate request larger than 16 KiB");
  UniqueRequest request = DecodeWhole<UniqueRequest>(der, d2i_X509_REQ);
  if (request == nullptr || !ReencodesTo(request.get(), der)) {
    return Refused("not a certificate request");
  }
  ASSIGN_OR_RETURN(PublicKey key, KeyOf(request.get()));
  const X509_ALGOR* algorithm = nullptr;
  X509_REQ_get0_signature(request.get(), nullptr, &algorithm);
  if (!IsEcdsaSha256(algorithm, algorithm) || X509_REQ_verify(request.get(), key.evp()) != 1) {
    return Refused("a certificate request that its attestation key did not sign");
  }
  UniqueExtensions extensions(X509_REQ_get_extensions(request.get()));
  ASSIGN_OR_RETURN(Bytes layout, Content(extensions.get(), kRoleOid));
  ASSIGN_OR_RETURN(Bytes proof, Content(extensions.get(), kNoteProofOid));
  ASSIGN_OR_RETURN(RoleContent content, ParseRole(layout));
  if (content.role != CertificateRole::kSecureSpace) {
    return Refused("a certificate request not made by a secure space");
  }
  const SecureSpaceScope& scope = *content.secure_space_scope;
  ASSIGN_OR_RETURN(PublicKey note_key, PublicKey::FromSpki(scope.note_spki));
  if (!note_key.Verify({ProofMessage(key, scope)}, proof).ok()) {
    return Refused("a certificate request that its note key did not sign");
  }
  return SecureSpaceRequest{std::move(key), scope};
}

}  // namespace nark
