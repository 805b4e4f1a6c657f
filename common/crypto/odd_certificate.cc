#include "common/crypto/odd_certificate.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "common/crypto/openssl.h"

namespace nark {
namespace {

UniqueX509 Parse(const Certificate& certificate) {
  const uint8_t* at = certificate.der().data();
  UniqueX509 x509(d2i_X509(nullptr, &at, static_cast<long>(certificate.der().size())));
  CheckOpenSsl(x509 != nullptr, "an odd certificate");
  return x509;
}

UniquePkey NewKey(OddKey kind) {
  UniquePkey key(kind == OddKey::kRsa1024 ? EVP_RSA_gen(1024)
                                          : EVP_EC_gen(kind == OddKey::kP192 ? "P-192" : "P-384"));
  CheckOpenSsl(key != nullptr, "an odd key");
  return key;
}

Bytes Sign(X509* x509, EVP_PKEY* key) {
  CheckOpenSsl(X509_sign(x509, key, EVP_sha256()) > 0, "an odd signature");
  Bytes der(static_cast<size_t>(i2d_X509(x509, nullptr)));
  uint8_t* at = der.data();
  i2d_X509(x509, &at);
  return der;
}

// Issued by its subject, with no pointer to another's key.
void PointToItself(X509* x509) {
  CheckOpenSsl(X509_set_issuer_name(x509, X509_get_subject_name(x509)), "an odd issuer");
  const int at = X509_get_ext_by_NID(x509, NID_authority_key_identifier, -1);
  if (at >= 0) UniqueExtension(X509_delete_ext(x509, at));
}

}  // namespace

Bytes WithOddKey(const Certificate& like, OddKey kind, const PrivateKey& issuer_key) {
  const UniqueX509 x509 = Parse(like);
  CheckOpenSsl(X509_set_pubkey(x509.get(), NewKey(kind).get()), "an odd key");
  return Sign(x509.get(), *issuer_key.InMemory());
}

Bytes SignedByRsa(const Certificate& like) {
  const UniqueX509 x509 = Parse(like);
  const UniquePkey key = NewKey(OddKey::kRsa1024);
  CheckOpenSsl(X509_set_pubkey(x509.get(), key.get()), "an odd key");
  PointToItself(x509.get());
  return Sign(x509.get(), key.get());
}

Bytes SelfIssued(const Certificate& like, const PrivateKey& own_key) {
  const UniqueX509 x509 = Parse(like);
  PointToItself(x509.get());
  return Sign(x509.get(), *own_key.InMemory());
}

}  // namespace nark
