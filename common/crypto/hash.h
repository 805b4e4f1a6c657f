#ifndef NARK_COMMON_CRYPTO_HASH_H_
#define NARK_COMMON_CRYPTO_HASH_H_

#include <array>
#include <cstdint>
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

// The same into `out` (32 bytes), for hashes that are secrets themselves.
void Sha256Into(std::initializer_list<ByteView> parts, MutableByteView out);

// SHA-256 of bytes that come in pieces. On the stack, no allocation, copies
// share what came so far. Wiped on destruction. One thread only.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = default;
  Sha256Stream& operator=(const Sha256Stream&) = default;

  void Update(ByteView bytes);
  // The hash of all that came, into `out` (32 bytes). To be called once, last.
  void Finish(MutableByteView out);
  Digest Finish();
  // Update with each part, then Finish: in half the time where parts are short.
  void FinishWith(std::initializer_list<ByteView> parts, MutableByteView out);

 private:
  // Holds OpenSSL's SHA256_CTX.
  alignas(8) std::array<uint8_t, 112> state_;
};

// An injective encoding of a label and parts:
//   u16 len(label) || label || for each part: u32 len(part) || part
// Integers are big-endian.
Bytes LabelledEncoding(std::string_view label, std::initializer_list<ByteView> parts);

// SHA-256 of the labelled encoding.
Digest LabelledHash(std::string_view label, std::initializer_list<ByteView> parts);

// HMAC-SHA-256 (RFC 2104).
Digest HmacSha256(const SecretBytes& key, std::initializer_list<ByteView> parts);

// HMAC-SHA-256 under a key that is used more than once: the two blocks that hold
// the key are hashed in advance. Thread-safe after creation.
class HmacSha256Key {
 public:
  explicit HmacSha256Key(ByteView key);
  Digest Mac(std::initializer_list<ByteView> parts) const;
  // Into `out` (32 bytes), for codes that are secrets themselves.
  void MacInto(std::initializer_list<ByteView> parts, MutableByteView out) const;

 private:
  Sha256Stream inner_;
  Sha256Stream outer_;
};

// Constant time in the content.
bool ConstantTimeEqual(ByteView a, ByteView b);

// HKDF-SHA-256 (RFC 5869). `length` is at most 255 * 32, else INVALID_ARGUMENT.
SecretBytes HkdfExtract(ByteView salt, ByteView input_key);
// Of the concatenation of input keys.
SecretBytes HkdfExtract(ByteView salt, std::initializer_list<ByteView> input_key);
absl::StatusOr<SecretBytes> HkdfExpand(const SecretBytes& pseudorandom_key, ByteView info,
                                       size_t length);
absl::StatusOr<SecretBytes> Hkdf(ByteView salt, const SecretBytes& input_key, ByteView info,
                                 size_t length);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_HASH_H_
