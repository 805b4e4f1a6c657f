#ifndef NARK_COMMON_CRYPTO_SIGNATURE_H_
#define NARK_COMMON_CRYPTO_SIGNATURE_H_

#include <array>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/external_key.h"
#include "common/crypto/secret_bytes.h"

struct evp_pkey_st;

namespace nark {

// An ECDSA P-256 public key, checked to lie on the curve. Copies share the key.
// Thread-safe.
class PublicKey {
 public:
  // DER SubjectPublicKeyInfo with the named curve and an uncompressed point: 91
  // bytes, compared byte for byte with that template (no second encoding of a
  // key is accepted, so that its hash is its name).
  static absl::StatusOr<PublicKey> FromSpki(ByteView der);

  const Bytes& spki() const { return spki_; }
  // SHA-256 of the SPKI.
  const Digest& id() const { return id_; }

  // ECDSA with SHA-256 over the concatenation of `message`. UNAUTHENTICATED
  // where it does not verify.
  absl::Status Verify(std::initializer_list<ByteView> message, ByteView signature) const;
  // The same for a DER signature (X.509, third-party vectors).
  absl::Status VerifyDer(ByteView message, ByteView der_signature) const;

  evp_pkey_st* evp() const { return key_.get(); }  // common/crypto only

  // common/crypto only: takes a key that OpenSSL has decoded out of `spki` itself,
  // and so has found to lie on the curve; checks the template.
  static absl::StatusOr<PublicKey> FromDecoded(ByteView spki, evp_pkey_st& decoded);

 private:
  PublicKey(std::shared_ptr<evp_pkey_st> key, ByteView spki);
  absl::Status VerifyDigest(const Digest& digest, ByteView der_signature) const;
  std::shared_ptr<evp_pkey_st> key_;
  Bytes spki_;
  Digest id_{};
};

// An ECDSA P-256 private key, in memory or elsewhere. Move-only. Thread-safe after
// creation.
class PrivateKey {
 public:
  static absl::StatusOr<PrivateKey> Generate();
  PrivateKey(PrivateKey&&) = default;
  PrivateKey& operator=(PrivateKey&&) = default;
  // PKCS#8 (RFC 5958), as PEM (no password; strict form) or DER. Only the encoding
  // that ToPem and ToPkcs8 (and `openssl genpkey`) make, with the public key inside,
  // which is checked against the private one: one flipped bit anywhere is refused.
  // INVALID_ARGUMENT.
  static absl::StatusOr<PrivateKey> FromPem(const SecretBytes& pem);
  static absl::StatusOr<PrivateKey> FromPkcs8(const SecretBytes& der);
  // FAILED_PRECONDITION where the key lies elsewhere.
  absl::StatusOr<SecretBytes> ToPem() const;
  absl::StatusOr<SecretBytes> ToPkcs8() const;

  // A key that lies elsewhere, and its public half, which the caller has checked. It
  // signs messages, but neither certificates nor lists.
  static PrivateKey FromExternal(std::shared_ptr<const EcdsaSigner> key, PublicKey public_key) {
    return PrivateKey(nullptr, std::move(public_key), std::move(key));
  }

  const PublicKey& public_key() const { return public_key_; }
  // Null where the key lies in memory.
  const EcdsaSigner* external() const { return external_.get(); }
  // ECDSA with SHA-256 over the concatenation of `message`. UNAVAILABLE where the key lies
  // elsewhere, out of reach.
  absl::StatusOr<Signature> Sign(std::initializer_list<ByteView> message) const;

  // common/crypto only; FAILED_PRECONDITION where the key lies elsewhere.
  absl::StatusOr<evp_pkey_st*> InMemory() const;

 private:
  PrivateKey(std::shared_ptr<evp_pkey_st> key, PublicKey public_key,
             std::shared_ptr<const EcdsaSigner> external = nullptr)
      : key_(std::move(key)), public_key_(std::move(public_key)), external_(std::move(external)) {}
  std::shared_ptr<evp_pkey_st> key_;
  PublicKey public_key_;
  std::shared_ptr<const EcdsaSigner> external_;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_SIGNATURE_H_
