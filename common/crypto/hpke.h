#ifndef NARK_COMMON_CRYPTO_HPKE_H_
#define NARK_COMMON_CRYPTO_HPKE_H_

#include <array>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/external_key.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"

struct evp_pkey_st;

namespace nark {

using X25519PublicKey = std::array<uint8_t, 32>;

// An X25519 private key (RFC 7748), in memory or elsewhere. Move-only. Thread-safe after
// creation.
class HpkePrivateKey {
 public:
  // DeriveKeyPair of RFC 9180 section 7.1.3 over 32 bytes of `random`.
  static absl::StatusOr<HpkePrivateKey> Generate(Random& random);
  // From the 32 raw bytes of the private key; INVALID_ARGUMENT for another size.
  static absl::StatusOr<HpkePrivateKey> FromRaw(SecretBytes raw);
  // From the 32 or more bytes of input key material of RFC 9180, else
  // INVALID_ARGUMENT.
  static absl::StatusOr<HpkePrivateKey> Derive(ByteView input_key_material);

  // A key that lies elsewhere, and its public half, which the caller has checked.
  static HpkePrivateKey FromExternal(std::shared_ptr<const X25519Agreement> key,
                                     const X25519PublicKey& public_key) {
    return HpkePrivateKey(nullptr, {}, public_key, std::move(key));
  }

  const X25519PublicKey& public_key() const { return public_key_; }
  // Empty where the key lies elsewhere.
  const SecretBytes& raw() const { return raw_; }
  // Null where the key lies in memory.
  const X25519Agreement* external() const { return external_.get(); }

  evp_pkey_st* evp() const { return key_.get(); }  // common/crypto only; null if external

 private:
  HpkePrivateKey(std::shared_ptr<evp_pkey_st> key, SecretBytes raw, X25519PublicKey public_key,
                 std::shared_ptr<const X25519Agreement> external = nullptr)
      : key_(std::move(key)),
        raw_(std::move(raw)),
        public_key_(public_key),
        external_(std::move(external)) {}
  std::shared_ptr<evp_pkey_st> key_;
  SecretBytes raw_;
  X25519PublicKey public_key_;
  std::shared_ptr<const X25519Agreement> external_;
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
// INVALID_ARGUMENT where it does not open; one message for every cause. UNAVAILABLE where
// the key lies elsewhere and can not be reached. Thread-safe.
absl::StatusOr<SecretBytes> HpkeOpen(const HpkePrivateKey& recipient, ByteView enc, ByteView info,
                                     ByteView associated_data, ByteView ciphertext);

// X25519 alone (RFC 7748), refusing an all-zero result: INVALID_ARGUMENT, as for
// keys that do not have 32 bytes.
absl::StatusOr<SecretBytes> X25519(const SecretBytes& private_key, ByteView public_key);
// Faster where the key is at hand. UNAVAILABLE where it lies elsewhere, out of reach.
absl::StatusOr<SecretBytes> X25519(const HpkePrivateKey& private_key, ByteView public_key);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_HPKE_H_
