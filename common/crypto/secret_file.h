#ifndef NARK_COMMON_CRYPTO_SECRET_FILE_H_
#define NARK_COMMON_CRYPTO_SECRET_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// Reads a whole file that holds a secret, as ReadFile does, with no copy left in
// memory: NOT_FOUND, PERMISSION_DENIED, or RESOURCE_EXHAUSTED beyond
// `limit_bytes`; the message names the path and the cause.
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, size_t limit_bytes = 1 << 20);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_SECRET_FILE_H_
