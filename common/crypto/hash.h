#ifndef NARK_COMMON_CRYPTO_HASH_H_
#define NARK_COMMON_CRYPTO_HASH_H_

#include <initializer_list>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// SHA-256 (FIPS 180-4). Thread-safe; a process in which it fails is beyond help
// and is ended.
Digest Sha256(ByteView data);
// Of the concatenation.
Digest Sha256(std::initializer_list<ByteView> parts);

// An injective encoding of a label and parts:
//   u16 len(label) || label || for each part: u32 len(part) || part
// Integers are big-endian.
Bytes LabelledEncoding(std::string_view label, std::initializer_list<ByteView> parts);

// SHA-256 of the labelled encoding.
Digest LabelledHash(std::string_view label, std::initializer_list<ByteView> parts);

// HMAC-SHA-256 (RFC 2104).
Digest HmacSha256(const SecretBytes& key, std::initializer_list<ByteView> parts);

// Constant time in the content.
bool ConstantTimeEqual(ByteView a, ByteView b);

// HKDF-SHA-256 (RFC 5869). `length` is at most 255 * 32.
SecretBytes HkdfExtract(ByteView salt, ByteView input_key);
absl::StatusOr<SecretBytes> HkdfExpand(const SecretBytes& pseudorandom_key, ByteView info,
                                       size_t length);
absl::StatusOr<SecretBytes> Hkdf(ByteView salt, const SecretBytes& input_key, ByteView info,
                                 size_t length);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_HASH_H_
