#ifndef NARK_COMMON_CRYPTO_PEM_H_
#define NARK_COMMON_CRYPTO_PEM_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// Textual encodings of RFC 7468 in the strict form and nothing besides: blocks of
// "-----BEGIN LABEL-----", base64 in lines of 64 characters, "-----END LABEL-----",
// each line ended by one '\n', nothing before, between or after. What decodes
// encodes to the same text, so that no edit of a file goes unnoticed.

std::string EncodePem(std::string_view label, ByteView der);
SecretBytes EncodeSecretPem(std::string_view label, ByteView der);

// The blocks, all with `label`, at least one. INVALID_ARGUMENT.
absl::StatusOr<std::vector<Bytes>> DecodePem(std::string_view label, ByteView pem);
// Exactly one block.
absl::StatusOr<Bytes> DecodeOnePem(std::string_view label, ByteView pem);
absl::StatusOr<SecretBytes> DecodeSecretPem(std::string_view label, ByteView pem);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_PEM_H_
