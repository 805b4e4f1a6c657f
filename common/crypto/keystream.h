#ifndef NARK_COMMON_CRYPTO_KEYSTREAM_H_
#define NARK_COMMON_CRYPTO_KEYSTREAM_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

struct evp_cipher_ctx_st;

namespace nark {

inline constexpr size_t kKeystreamKeyBytes = 16;

// The key stream of AES-128 in counter mode (NIST SP 800-38A), from a counter block of
// zeros on: pseudo-random bytes that are a function of a key, for whatever is derived
// rather than stored. A context that is set up once. One thread only.
class Keystream {
 public:
  static absl::StatusOr<std::unique_ptr<Keystream>> Create();
  ~Keystream();
  Keystream(const Keystream&) = delete;
  Keystream& operator=(const Keystream&) = delete;

  // Begins the stream of `key` (16 bytes, else INVALID_ARGUMENT).
  absl::Status Start(const SecretBytes& key);
  // Its next bytes. FAILED_PRECONDITION before Start.
  absl::Status Fill(MutableByteView out);

 private:
  explicit Keystream(evp_cipher_ctx_st* context);

  evp_cipher_ctx_st* const context_;
  bool started_ = false;
};

// The first `size` bytes of the stream of `key`.
absl::StatusOr<SecretBytes> KeystreamOf(const SecretBytes& key, size_t size);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_KEYSTREAM_H_
