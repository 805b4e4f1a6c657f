#ifndef NARK_COMMON_CRYPTO_AEAD_H_
#define NARK_COMMON_CRYPTO_AEAD_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

struct evp_cipher_ctx_st;

namespace nark {

enum class AeadAlgorithm : uint8_t { kAes128Gcm = 1, kAes256Gcm = 2, kChaCha20Poly1305 = 3 };

inline constexpr size_t kAeadTagBytes = 16;
inline constexpr size_t kAeadNonceBytes = 12;

// Key size in bytes; 0 for a value that names no algorithm.
size_t AeadKeyBytes(AeadAlgorithm algorithm);

// Authenticated encryption (RFC 5116) with a context that is set up once and
// reused under changing keys: AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305
// (RFC 8439), nonces of 12 bytes, tags of 16. The pair of key and nonce must never repeat for
// Seal; that is the caller's promise. One thread only.
class Aead {
 public:
  static absl::StatusOr<std::unique_ptr<Aead>> Create(AeadAlgorithm algorithm);
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  // Wrong sizes are INVALID_ARGUMENT throughout.
  //
  // out.size() must be plaintext.size() + kAeadTagBytes. `out` may begin where
  // `plaintext` begins, and may not overlap it otherwise.
  absl::Status Seal(const SecretBytes& key, ByteView nonce, ByteView associated_data,
                    ByteView plaintext, MutableByteView out);

  // out.size() must be ciphertext.size() - kAeadTagBytes. On failure
  // (INVALID_ARGUMENT) `out` is wiped.
  absl::Status Open(const SecretBytes& key, ByteView nonce, ByteView associated_data,
                    ByteView ciphertext, MutableByteView out);

  // The same in pieces, for messages of which parts stay clear: Start, then
  // AddAssociatedData, then Update for each piece in order (out.size() ==
  // in.size(), and `out` begins where `in` begins or does not overlap it), then
  // Finish. Another order is FAILED_PRECONDITION; Start begins anew at any time.
  // What Update of an opening wrote is not authentic until FinishOpen says so.
  absl::Status StartSeal(const SecretBytes& key, ByteView nonce);
  absl::Status StartOpen(const SecretBytes& key, ByteView nonce);
  absl::Status AddAssociatedData(ByteView data);  // before the first Update
  absl::Status Update(ByteView in, MutableByteView out);
  absl::Status FinishSeal(MutableByteView tag);
  absl::Status FinishOpen(ByteView tag);  // INVALID_ARGUMENT where it does not match

 private:
  // Where a message in pieces stands.
  enum class Phase : uint8_t { kIdle, kAssociatedData, kText };

  explicit Aead(AeadAlgorithm algorithm);
  absl::Status Start(evp_cipher_ctx_st* context, const SecretBytes& key, ByteView nonce);

  AeadAlgorithm algorithm_;
  evp_cipher_ctx_st* seal_ = nullptr;
  evp_cipher_ctx_st* open_ = nullptr;
  evp_cipher_ctx_st* current_ = nullptr;
  Phase phase_ = Phase::kIdle;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_AEAD_H_
