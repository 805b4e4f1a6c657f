#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include <algorithm>
#include <bit>

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

// PKCS#8 (RFC 5958) of every P-256 key as OpenSSL writes it: kHead || the private
// scalar || kMiddle || the SubjectPublicKeyInfo's point.
//   SEQUENCE (135) {
//     INTEGER 0, SEQUENCE { OID id-ecPublicKey, OID secp256r1 },
//     OCTET STRING (109) {
//       SEQUENCE (107) {                                     (RFC 5915)
//         INTEGER 1, OCTET STRING (32): the scalar,
//         [1] { BIT STRING (66), no unused bits: 04 || x (32) || y (32) } } } }
constexpr std::array<uint8_t, 36> kHead = {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06,
                                           0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                           0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
                                           0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
constexpr std::array<uint8_t, 5> kMiddle = {0xa1, 0x44, 0x03, 0x42, 0x00};
constexpr size_t kScalarBytes = 32;
constexpr size_t kPointBytes = 65;
constexpr size_t kScalarAt = kHead.size();
constexpr size_t kMiddleAt = kScalarAt + kScalarBytes;
constexpr size_t kPointAt = kMiddleAt + kMiddle.size();
constexpr size_t kPkcs8Bytes = kPointAt + kPointBytes;

absl::StatusOr<PublicKey> PublicHalf(EVP_PKEY* key) {
  uint8_t* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return OpenSslError("cannot encode a public key");
  absl::StatusOr<PublicKey> half = PublicKey::FromSpki({der, static_cast<size_t>(size)});
  OPENSSL_free(der);
  return half;
}

// Checks that the point lies on the curve, the scalar in its range, and that one
// belongs to the other. Null where not.
UniquePkey Import(ByteView scalar, ByteView point) {
  // OpenSSL takes integers in the machine's order of bytes.
  SecretBytes native = SecretBytes::CopyOf(scalar);
  if (std::endian::native == std::endian::little) {
    std::reverse(native.RevealMutable().begin(), native.RevealMutable().end());
  }
  char group[] = "prime256v1";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<uint8_t*>(point.data()),
                                        point.size()),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native.RevealMutable().data(),
                              native.size()),
      OSSL_PARAM_construct_end()};
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params) != 1) {
    return nullptr;
  }
  UniquePkey imported(key);
  UniquePkeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (check == nullptr || EVP_PKEY_check(check.get()) != 1) return nullptr;
  return imported;
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
  ByteView bytes = der.Reveal();
  if (bytes.size() != kPkcs8Bytes || !Equal(bytes.first(kHead.size()), kHead) ||
      !Equal(bytes.subspan(kMiddleAt, kMiddle.size()), kMiddle) || bytes[kPointAt] != 0x04) {
    return NotAKey();
  }
  UniquePkey key = Import(bytes.subspan(kScalarAt, kScalarBytes), bytes.subspan(kPointAt));
  if (key == nullptr) return NotAKey();
  ASSIGN_OR_RETURN(PublicKey half, PublicHalf(key.get()));
  return PrivateKey(std::shared_ptr<evp_pkey_st>(key.release(), EVP_PKEY_free), std::move(half));
}

absl::StatusOr<EVP_PKEY*> PrivateKey::InMemory() const {
  if (external_ == nullptr) return key_.get();
  return absl::FailedPreconditionError("the private key does not leave " + external_->uri());
}

absl::StatusOr<SecretBytes> PrivateKey::ToPkcs8() const {
  ASSIGN_OR_RETURN(EVP_PKEY * key, InMemory());
  BIGNUM* raw = nullptr;
  int ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &raw);
  UniqueBignum scalar(raw);
  SecretBytes der(kPkcs8Bytes);
  uint8_t* to = der.RevealMutable().data();
  std::copy(kHead.begin(), kHead.end(), to);
  if (ok != 1 || BN_bn2binpad(scalar.get(), to + kScalarAt, kScalarBytes) != kScalarBytes) {
    return OpenSslError("cannot encode a private key");
  }
  std::copy(kMiddle.begin(), kMiddle.end(), to + kMiddleAt);
  ByteView point = ByteView(public_key_.spki()).last(kPointBytes);
  std::copy(point.begin(), point.end(), to + kPointAt);
  return der;
}

absl::StatusOr<SecretBytes> PrivateKey::ToPem() const {
  ASSIGN_OR_RETURN(SecretBytes der, ToPkcs8());
  return EncodeSecretPem(kPemLabel, der.Reveal());
}

absl::StatusOr<Signature> PrivateKey::Sign(std::initializer_list<ByteView> message) const {
  Digest digest = Sha256(message);
  if (external_ != nullptr) return external_->SignDigest(digest);
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
