#ifndef NARK_COMMON_CRYPTO_HPKE_H_
#define NARK_COMMON_CRYPTO_HPKE_H_

#include <array>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

using X25519PublicKey = std::array<uint8_t, 32>;

// An X25519 private key (RFC 7748). Thread-compatible.
class HpkePrivateKey {
 public:
  // DeriveKeyPair of RFC 9180 section 7.1.3 over 32 bytes of `random`.
  static absl::StatusOr<HpkePrivateKey> Generate(Random& random);
  // From the 32 raw bytes of the private key.
  static absl::StatusOr<HpkePrivateKey> FromRaw(SecretBytes raw);
  // From the 32 or more bytes of input key material of RFC 9180.
  static absl::StatusOr<HpkePrivateKey> Derive(ByteView input_key_material);

  const X25519PublicKey& public_key() const { return public_key_; }
  const SecretBytes& raw() const { return raw_; }

 private:
  HpkePrivateKey(SecretBytes raw, X25519PublicKey public_key)
      : raw_(std::move(raw)), public_key_(public_key) {}
  SecretBytes raw_;
  X25519PublicKey public_key_;
};

// What one-shot sealing yields.
struct HpkeSealed {
  X25519PublicKey enc;
  Bytes ciphertext;
};

// HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
// AES-128-GCM; single shot (section 6.1). Thread-safe if `random` is.
absl::StatusOr<HpkeSealed> HpkeSeal(const X25519PublicKey& recipient, ByteView info,
                                    ByteView associated_data, ByteView plaintext, Random& random);
// INVALID_ARGUMENT where it does not open; one message for every cause.
absl::StatusOr<SecretBytes> HpkeOpen(const HpkePrivateKey& recipient, ByteView enc, ByteView info,
                                     ByteView associated_data, ByteView ciphertext);

// X25519 alone (RFC 7748), refusing an all-zero result.
absl::StatusOr<SecretBytes> X25519(const SecretBytes& private_key, ByteView public_key);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_HPKE_H_
