#ifndef NARK_COMMON_CRYPTO_ODD_CERTIFICATE_H_
#define NARK_COMMON_CRYPTO_ODD_CERTIFICATE_H_

#include "common/base/bytes.h"
#include "common/crypto/certificate.h"

namespace nark {

// Certificates in DER, for tests, that nothing of Nark's own would issue: each like
// one that it did, but for what is named, and with a true signature. End the test
// program where OpenSSL fails.

enum class OddKey { kP192, kP384, kRsa1024 };
// With a new subject key of another kind, signed by the same issuer.
Bytes WithOddKey(const Certificate& like, OddKey kind, const PrivateKey& issuer_key);
// With a new RSA key, which also signs it.
Bytes SignedByRsa(const Certificate& like);
// Issued by its own subject and key.
Bytes SelfIssued(const Certificate& like, const PrivateKey& own_key);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_ODD_CERTIFICATE_H_
