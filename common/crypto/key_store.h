#ifndef NARK_COMMON_CRYPTO_KEY_STORE_H_
#define NARK_COMMON_CRYPTO_KEY_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/external_key.h"
#include "common/crypto/hpke.h"
#include "common/crypto/signature.h"

namespace nark {

// Finds private keys that lie outside this process, by the URIs that folders keep in place
// of them. Each key is tried before it is returned. NOT_FOUND where it is not there,
// UNAVAILABLE where that can not be found out, UNAUTHENTICATED where access is refused,
// FAILED_PRECONDITION for a key that could be read out, INVALID_ARGUMENT for a URI of
// something else. Thread-safe.
class KeyStore {
 public:
  virtual ~KeyStore() = default;
  virtual absl::StatusOr<HpkePrivateKey> FindHpkeKey(const std::string& uri) = 0;
  // Whose public half is to be `public_key`.
  virtual absl::StatusOr<PrivateKey> FindSigningKey(const std::string& uri,
                                                    const PublicKey& public_key) = 0;
  virtual absl::StatusOr<std::shared_ptr<const ExternalMacKey>> FindMacKey(
      const std::string& uri) = 0;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_KEY_STORE_H_
