#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"
#include "common/crypto/pem.h"
#include "common/crypto/signature.h"

namespace nark {
namespace {

constexpr char kPemLabel[] = "PRIVATE KEY";

using UniqueSignature = std::unique_ptr<ECDSA_SIG, OpenSslFree<ECDSA_SIG_free>>;

absl::Status NotAKey() {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument,
                        "not a P-256 private key (PKCS#8, not encrypted), or damaged");
}

absl::StatusOr<PublicKey> PublicHalf(EVP_PKEY* key) {
  uint8_t* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return OpenSslError("cannot encode a public key");
  absl::StatusOr<PublicKey> half = PublicKey::FromSpki({der, static_cast<size_t>(size)});
  OPENSSL_free(der);
  return half;
}

// i2d_PKCS8_PRIV_KEY_INFO into secret memory.
absl::StatusOr<SecretBytes> Encode(EVP_PKEY* key) {
  UniquePkcs8 info(EVP_PKEY2PKCS8(key));
  if (info == nullptr) return OpenSslError("cannot encode a private key");
  int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  if (size <= 0) return OpenSslError("cannot encode a private key");
  SecretBytes der(static_cast<size_t>(size));
  uint8_t* at = der.RevealMutable().data();
  if (i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at) != size) {
    return OpenSslError("cannot encode a private key");
  }
  return der;
}

// Whether private and public half belong together.
bool IsConsistent(EVP_PKEY* key) {
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  return context != nullptr && EVP_PKEY_pairwise_check(context.get()) == 1;
}

}  // namespace

absl::StatusOr<PrivateKey> PrivateKey::Generate() {
  UniquePkey key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  if (key == nullptr) return OpenSslError("cannot generate a P-256 key");
  ASSIGN_OR_RETURN(PublicKey half, PublicHalf(key.get()));
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free), std::move(half));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPem(const SecretBytes& pem) {
  absl::StatusOr<SecretBytes> der = DecodeSecretPem(kPemLabel, pem.Reveal());
  if (!der.ok()) return NotAKey();
  return FromPkcs8(*der);
}

absl::StatusOr<PrivateKey> PrivateKey::FromPkcs8(const SecretBytes& der) {
  const uint8_t* at = der.Reveal().data();
  UniquePkcs8 info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr || at != der.Reveal().data() + der.size()) return NotAKey();
  UniquePkey key(EVP_PKCS82PKEY(info.get()));
  if (key == nullptr || EVP_PKEY_is_a(key.get(), "EC") != 1) return NotAKey();
  absl::StatusOr<PublicKey> half = PublicHalf(key.get());
  if (!half.ok() || !IsConsistent(key.get())) return NotAKey();
  ASSIGN_OR_RETURN(SecretBytes again, Encode(key.get()));
  if (!(again == der)) return NotAKey();
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free), *std::move(half));
}

absl::StatusOr<SecretBytes> PrivateKey::ToPkcs8() const { return Encode(key_.get()); }

absl::StatusOr<SecretBytes> PrivateKey::ToPem() const {
  ASSIGN_OR_RETURN(SecretBytes der, ToPkcs8());
  return EncodeSecretPem(kPemLabel, der.Reveal());
}

absl::StatusOr<Signature> PrivateKey::Sign(std::initializer_list<ByteView> message) const {
  Digest digest = Sha256(message);
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  std::array<uint8_t, 72> der;
  size_t size = der.size();
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1 ||
      EVP_PKEY_sign(context.get(), der.data(), &size, digest.data(), digest.size()) != 1) {
    return OpenSslError("cannot sign");
  }
  const uint8_t* at = der.data();
  UniqueSignature parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  Signature signature;
  if (parsed == nullptr ||
      BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), signature.data(), 32) != 32 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), signature.data() + 32, 32) != 32) {
    return OpenSslError("cannot encode a signature");
  }
  return signature;
}

}  // namespace nark
