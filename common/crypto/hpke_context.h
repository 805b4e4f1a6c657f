#ifndef NARK_COMMON_CRYPTO_HPKE_CONTEXT_H_
#define NARK_COMMON_CRYPTO_HPKE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/aead.h"
#include "common/crypto/hpke.h"
#include "common/crypto/secret_bytes.h"

namespace nark {

// The inside of HPKE (RFC 9180), for hpke.cc and for the vectors that state its
// intermediate values. Everything else uses hpke.h.

// DHKEM(X25519, HKDF-SHA256), section 4.1. Encap with the ephemeral key given.
absl::StatusOr<SecretBytes> HpkeEncap(const HpkePrivateKey& ephemeral,
                                      const X25519PublicKey& recipient);
absl::StatusOr<SecretBytes> HpkeDecap(const HpkePrivateKey& recipient, ByteView enc);

// An encryption context of base mode, section 5. One thread only.
class HpkeContext {
 public:
  // KeySchedule(mode_base, shared_secret, info, "", "").
  static absl::StatusOr<HpkeContext> Create(const SecretBytes& shared_secret, ByteView info);

  // ContextS.Seal and ContextR.Open (section 5.2): the next message of the sequence.
  // A message that does not open (INVALID_ARGUMENT) leaves the sequence as it is.
  absl::StatusOr<Bytes> Seal(ByteView associated_data, ByteView plaintext);
  absl::StatusOr<SecretBytes> Open(ByteView associated_data, ByteView ciphertext);

  const SecretBytes& key() const { return key_; }
  const SecretBytes& base_nonce() const { return base_nonce_; }

 private:
  HpkeContext(std::unique_ptr<Aead> aead, SecretBytes key, SecretBytes base_nonce)
      : aead_(std::move(aead)), key_(std::move(key)), base_nonce_(std::move(base_nonce)) {}
  std::array<uint8_t, kAeadNonceBytes> Nonce() const;

  std::unique_ptr<Aead> aead_;
  SecretBytes key_;
  SecretBytes base_nonce_;
  // 2^64 messages are out of reach, the 2^96 of the RFC all the more.
  uint64_t sequence_ = 0;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_HPKE_CONTEXT_H_
