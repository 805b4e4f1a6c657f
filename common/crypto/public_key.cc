#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"
#include "common/crypto/signature.h"

namespace nark {
namespace {

constexpr size_t kPointBytes = 65;
constexpr size_t kSpkiBytes = 91;

// SubjectPublicKeyInfo (RFC 5480) of every P-256 key, up to the point:
//   SEQUENCE (89) {
//     SEQUENCE (19) { OID id-ecPublicKey, OID secp256r1 }
//     BIT STRING (66), no unused bits: 04 || x (32) || y (32)
//   }
constexpr std::array<uint8_t, 27> kTemplate = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

absl::Status NotAKey() {
  return OpenSslRefusal(absl::StatusCode::kInvalidArgument, "not a P-256 public key");
}

absl::Status BadSignature() {
  return OpenSslRefusal(absl::StatusCode::kUnauthenticated, "the signature does not verify");
}

absl::Status CheckTemplate(ByteView spki) {
  if (spki.size() != kSpkiBytes || !Equal(spki.first(kTemplate.size()), kTemplate)) {
    return NotAKey();
  }
  return absl::OkStatus();
}

// A positive INTEGER in DER out of 32 big-endian bytes; returns its end.
uint8_t* WriteInteger(const uint8_t* from, uint8_t* to) {
  size_t zeros = 0;
  while (zeros < 31 && from[zeros] == 0) ++zeros;
  size_t pad = from[zeros] >> 7;
  *to++ = 0x02;
  *to++ = static_cast<uint8_t>(32 - zeros + pad);
  if (pad != 0) *to++ = 0;
  return std::copy(from + zeros, from + 32, to);
}

// Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279), at most 72 bytes.
// Zeros are encoded as they are: OpenSSL refuses them as it does values too large.
size_t ToDer(ByteView raw, std::array<uint8_t, 72>& der) {
  uint8_t* end = WriteInteger(raw.data() + 32, WriteInteger(raw.data(), der.data() + 2));
  der[0] = 0x30;
  der[1] = static_cast<uint8_t>(end - der.data() - 2);
  return static_cast<size_t>(end - der.data());
}

}  // namespace

PublicKey::PublicKey(std::shared_ptr<evp_pkey_st> key, ByteView spki)
    : key_(std::move(key)), spki_(ToBytes(spki)), id_(Sha256(spki)) {}

// Not d2i_PUBKEY: OpenSSL's decoder takes six times as long. That the point lies on
// the curve and its coordinates below the prime is checked by fromdata.
absl::StatusOr<PublicKey> PublicKey::FromSpki(ByteView der) {
  RETURN_IF_ERROR(CheckTemplate(der));
  char group[] = "prime256v1";
  uint8_t* point = const_cast<uint8_t*>(der.data() + kSpkiBytes - kPointBytes);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, kPointBytes),
      OSSL_PARAM_construct_end()};
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1) {
    return OpenSslError("cannot set up a public key");
  }
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) return NotAKey();
  return PublicKey(std::shared_ptr<evp_pkey_st>(key, EVP_PKEY_free), der);
}

absl::StatusOr<PublicKey> PublicKey::FromDecoded(ByteView spki, evp_pkey_st& decoded) {
  RETURN_IF_ERROR(CheckTemplate(spki));
  if (EVP_PKEY_up_ref(&decoded) != 1) return OpenSslError("cannot share a public key");
  return PublicKey(std::shared_ptr<evp_pkey_st>(&decoded, EVP_PKEY_free), spki);
}

absl::Status PublicKey::VerifyDigest(const Digest& digest, ByteView der_signature) const {
  UniquePkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) {
    return OpenSslError("cannot verify a signature");
  }
  if (EVP_PKEY_verify(context.get(), der_signature.data(), der_signature.size(), digest.data(),
                      digest.size()) != 1) {
    return BadSignature();
  }
  return absl::OkStatus();
}

absl::Status PublicKey::Verify(std::initializer_list<ByteView> message, ByteView signature) const {
  if (signature.size() != std::tuple_size_v<Signature>) return BadSignature();
  std::array<uint8_t, 72> der;
  size_t size = ToDer(signature, der);
  return VerifyDigest(Sha256(message), ByteView(der).first(size));
}

absl::Status PublicKey::VerifyDer(ByteView message, ByteView der_signature) const {
  return VerifyDigest(Sha256(message), der_signature);
}

}  // namespace nark
