#ifndef NARK_COMMON_CRYPTO_X509_PARTS_H_
#define NARK_COMMON_CRYPTO_X509_PARTS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/openssl.h"

namespace nark {

// The pieces that certificates, requests and revocation lists are made of.

// Out of DER by `decode` (d2i_...), with no trailing byte; null where it fails.
template <typename Owner, typename Decode>
Owner DecodeWhole(ByteView der, Decode decode) {
  const uint8_t* at = der.data();
  Owner object(decode(nullptr, &at, static_cast<long>(der.size())));
  return at == der.data() + der.size() ? std::move(object) : nullptr;
}

// Into DER by `encode` (i2d_...); empty where it fails.
template <typename T, typename Encode>
Bytes EncodeWhole(T* object, Encode encode) {
  int size = encode(object, nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<size_t>(size));
  uint8_t* at = der.data();
  return encode(object, &at) == size ? der : Bytes();
}

// Times have whole seconds; INVALID_ARGUMENT beyond the year 9999 or where the
// encoding is not the one that RFC 5280 section 4.1.2.5 demands.
absl::StatusOr<UniqueTime> ToAsn1(Timestamp t);
absl::StatusOr<Timestamp> FromAsn1(const ASN1_TIME* t);

// Serial numbers as lower-case hexadecimal, at least one byte.
std::string SerialToHex(const ASN1_INTEGER* serial);
// Positive, at most 20 bytes, else INVALID_ARGUMENT.
absl::StatusOr<UniqueInteger> SerialFromHex(std::string_view hex);

// The subjectKeyIdentifier, also of a certificate that is not signed yet; null where
// there is none.
UniqueOctets SubjectKeyIdOf(const X509* certificate);

// The authorityKeyIdentifier that points to a certificate's subjectKeyIdentifier.
using UniqueAuthorityKeyId = std::unique_ptr<AUTHORITY_KEYID, OpenSslFree<AUTHORITY_KEYID_free>>;
absl::StatusOr<UniqueAuthorityKeyId> MakeAuthorityKeyId(const ASN1_OCTET_STRING* subject_key_id);

// Whether both algorithm fields are ecdsa-with-SHA256 in its only encoding.
bool IsEcdsaSha256(const X509_ALGOR* inner, const X509_ALGOR* outer);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_X509_PARTS_H_
