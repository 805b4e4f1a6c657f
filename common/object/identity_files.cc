#include "common/object/identity_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/secret_file.h"

namespace nark {

absl::StatusOr<Certificate> ReadCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(path, 1 << 20));
  absl::StatusOr<Certificate> certificate = Certificate::FromPem(pem);
  return certificate.ok() ? std::move(certificate) : Annotate(certificate.status(), path);
}

absl::StatusOr<SigningIdentity> ReadIdentity(const std::string& certificate_path,
                                             const std::string& key_path) {
  ASSIGN_OR_RETURN(Certificate certificate, ReadCertificate(certificate_path));
  ASSIGN_OR_RETURN(SecretBytes pem, ReadSecretFile(key_path));
  absl::StatusOr<PrivateKey> key = PrivateKey::FromPem(pem);
  if (!key.ok()) return Annotate(key.status(), key_path);
  if (key->public_key().id() != certificate.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(key_path, " is not the key of ", certificate_path, "; restore both"));
  }
  return SigningIdentity{*std::move(key), std::move(certificate), {}};
}

absl::StatusOr<Certificate> ReadRoot(const std::string& path, CertificateRole role) {
  ASSIGN_OR_RETURN(Certificate root, ReadCertificate(path));
  if (root.role() != role) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is a certificate of role ", RoleName(root.role()), ", not ", RoleName(role)));
  }
  absl::Status self_signed = VerifySelfSigned(root);
  if (!self_signed.ok()) return Annotate(self_signed, path);
  return root;
}

}  // namespace nark
