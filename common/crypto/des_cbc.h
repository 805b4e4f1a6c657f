#ifndef NARK_COMMON_CRYPTO_DES_CBC_H_
#define NARK_COMMON_CRYPTO_DES_CBC_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

struct evp_cipher_ctx_st;

namespace nark {

inline constexpr size_t kDesKeyBytes = 8;
inline constexpr size_t kDesBlockBytes = 8;

// DES (FIPS 46-3) in CBC mode (FIPS 81) with the padding of PKCS#7 (RFC 5652, 6.3).
// Broken: 56 bits of key, no integrity. There to compare with the paper's prototype,
// never to protect. One thread only.
class DesCbc {
 public:
  static absl::StatusOr<std::unique_ptr<DesCbc>> Create();
  ~DesCbc();
  DesCbc(const DesCbc&) = delete;
  DesCbc& operator=(const DesCbc&) = delete;

  // The plaintext's size and 1 to 8 bytes more, a multiple of 8.
  static constexpr size_t PaddedBytes(size_t plaintext_bytes) {
    return plaintext_bytes + kDesBlockBytes - plaintext_bytes % kDesBlockBytes;
  }

  // `key` and `iv` have 8 bytes; the key's parity bits mean nothing. Wrong sizes are
  // INVALID_ARGUMENT. Both take views that begin where `out` begins, or do not overlap it.
  //
  // out.size() is PaddedBytes(plaintext.size()).
  absl::Status Encrypt(const SecretBytes& key, ByteView iv, ByteView plaintext,
                       MutableByteView out);
  // out.size() is ciphertext.size(); the first `plaintext_bytes` of it are the plaintext.
  // INVALID_ARGUMENT, and `out` is wiped, where the padding is not that of so many bytes.
  absl::Status Decrypt(const SecretBytes& key, ByteView iv, ByteView ciphertext,
                       size_t plaintext_bytes, MutableByteView out);

 private:
  explicit DesCbc(evp_cipher_ctx_st* context) : context_(context) {}
  enum class Direction { kEncrypt, kDecrypt };
  absl::Status Start(Direction direction, const SecretBytes& key, ByteView iv);
  absl::Status Transform(ByteView in, MutableByteView out);

  evp_cipher_ctx_st* context_;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_DES_CBC_H_
