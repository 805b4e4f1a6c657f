#ifndef NARK_COMMON_OBJECT_IDENTITY_FILES_H_
#define NARK_COMMON_OBJECT_IDENTITY_FILES_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/certificate.h"
#include "common/object/identity.h"

namespace nark {

// Reads a certificate and the key that belongs to it. Verifies no chain. The
// message names the file.
absl::StatusOr<SigningIdentity> ReadIdentity(const std::string& certificate_path,
                                             const std::string& key_path);

// Reads one certificate. The message names the file.
absl::StatusOr<Certificate> ReadCertificate(const std::string& path);

// Reads a root that signed itself and has `role`.
absl::StatusOr<Certificate> ReadRoot(const std::string& path, CertificateRole role);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_IDENTITY_FILES_H_
