#ifndef NARK_COMMON_PKCS11_KEYS_H_
#define NARK_COMMON_PKCS11_KEYS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/external_key.h"
#include "common/crypto/secret_bytes.h"
#include "common/pkcs11/key_uri.h"
#include "common/pkcs11/object.h"
#include "common/pkcs11/token.h"

namespace nark::pkcs11 {

// A private or secret key that lies in a token. Thread-safe.
class TokenKey {
 public:
  // NOT_FOUND where the token has none such; FAILED_PRECONDITION where it could be read out.
  static absl::StatusOr<std::shared_ptr<TokenKey>> Find(std::shared_ptr<Token> token,
                                                        const KeyUri& uri);

  const std::string& uri() const { return text_; }
  const Digest& id() const { return uri_.id; }

  // The public key's point, without its DER; of an object beside the private key.
  absl::StatusOr<Bytes> PublicPoint() const;
  // C_Sign in one part, whose result has `size` bytes.
  absl::StatusOr<Bytes> Sign(CK_MECHANISM_TYPE mechanism, ByteView data, size_t size) const;
  // CKM_ECDH1_DERIVE without a key derivation function: 32 bytes.
  absl::StatusOr<SecretBytes> Agree(ByteView public_key) const;

 private:
  TokenKey(std::shared_ptr<Token> token, const KeyUri& uri)
      : token_(std::move(token)), uri_(uri), text_(uri.ToString()) {}
  CK_RV Handle(const Session& session, CK_OBJECT_HANDLE& handle) const;

  const std::shared_ptr<Token> token_;
  const KeyUri uri_;
  const std::string text_;
  mutable absl::Mutex mutex_;
  mutable CK_OBJECT_HANDLE handle_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
};

std::shared_ptr<const X25519Agreement> AsAgreement(std::shared_ptr<const TokenKey> key);
std::shared_ptr<const EcdsaSigner> AsSigner(std::shared_ptr<const TokenKey> key);
std::shared_ptr<const ExternalMacKey> AsMacKey(std::shared_ptr<const TokenKey> key);

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_KEYS_H_
