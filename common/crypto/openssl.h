#ifndef NARK_COMMON_CRYPTO_OPENSSL_H_
#define NARK_COMMON_CRYPTO_OPENSSL_H_

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

#include "absl/status/status.h"

namespace nark {

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

// Owners of OpenSSL's objects.
using UniqueBignum = std::unique_ptr<BIGNUM, OpenSslFree<BN_clear_free>>;
using UniquePkey = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using UniquePkeyContext = std::unique_ptr<EVP_PKEY_CTX, OpenSslFree<EVP_PKEY_CTX_free>>;
using UniquePkcs8 = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpenSslFree<PKCS8_PRIV_KEY_INFO_free>>;
using UniqueX509 = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using UniqueCrl = std::unique_ptr<X509_CRL, OpenSslFree<X509_CRL_free>>;
using UniqueRevoked = std::unique_ptr<X509_REVOKED, OpenSslFree<X509_REVOKED_free>>;
using UniqueRequest = std::unique_ptr<X509_REQ, OpenSslFree<X509_REQ_free>>;
using UniqueExtension = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;
using UniqueInteger = std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>>;
using UniqueBitString = std::unique_ptr<ASN1_BIT_STRING, OpenSslFree<ASN1_BIT_STRING_free>>;
using UniqueOctets = std::unique_ptr<ASN1_OCTET_STRING, OpenSslFree<ASN1_OCTET_STRING_free>>;
using UniqueTime = std::unique_ptr<ASN1_TIME, OpenSslFree<ASN1_TIME_free>>;

// INTERNAL: `what` and the cause that OpenSSL queued. Empties the queue.
absl::Status OpenSslError(std::string_view what);

// `code`: `what`, in one line, with nothing of OpenSSL's. Empties the queue.
absl::Status OpenSslRefusal(absl::StatusCode code, std::string_view what);

// For what can only fail in a broken installation: names `what` and OpenSSL's
// cause on stderr and ends the process where `ok` is not 1.
void CheckOpenSsl(int ok, const char* what);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_OPENSSL_H_
