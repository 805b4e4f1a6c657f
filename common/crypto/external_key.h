#ifndef NARK_COMMON_CRYPTO_EXTERNAL_KEY_H_
#define NARK_COMMON_CRYPTO_EXTERNAL_KEY_H_

#include <array>
#include <initializer_list>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// r and s of ECDSA P-256, big-endian, 32 bytes each.
using Signature = std::array<uint8_t, 64>;

// Private keys that lie outside this process, as in a PKCS#11 token, and do their work
// there. All of it is UNAVAILABLE where they can not be reached. Thread-safe.
class ExternalKey {
 public:
  virtual ~ExternalKey() = default;
  // Where it lies; no secret. It is what a folder keeps in place of the key (RFC 7512).
  virtual const std::string& uri() const = 0;
  // The name it has there: SHA-256 of the public key (X25519: of its 32 bytes; P-256: of
  // its SPKI), or what a symmetric key was named when it was made.
  virtual const Digest& id() const = 0;
};

class X25519Agreement : public ExternalKey {
 public:
  // The 32 bytes of X25519 (RFC 7748) with `public_key`, which has 32 bytes.
  virtual absl::StatusOr<SecretBytes> Agree(ByteView public_key) const = 0;
};

class EcdsaSigner : public ExternalKey {
 public:
  // ECDSA P-256 over a SHA-256.
  virtual absl::StatusOr<Signature> SignDigest(const Digest& digest) const = 0;
};

class ExternalMacKey : public ExternalKey {
 public:
  // HMAC-SHA-256 over the concatenation of `parts`.
  virtual absl::StatusOr<Digest> Mac(std::initializer_list<ByteView> parts) const = 0;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_EXTERNAL_KEY_H_
