#ifndef NARK_COMMON_PKCS11_PIN_H_
#define NARK_COMMON_PKCS11_PIN_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/secret_bytes.h"

namespace nark::pkcs11 {

// The PIN in a file: all of it but one line end. FAILED_PRECONDITION where others than the
// owner may open the file, unless it lies in $CREDENTIALS_DIRECTORY (systemd.exec(5)).
absl::StatusOr<SecretBytes> ReadPin(const std::string& path);

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_PIN_H_
