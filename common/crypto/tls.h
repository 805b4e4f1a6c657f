#ifndef NARK_COMMON_CRYPTO_TLS_H_
#define NARK_COMMON_CRYPTO_TLS_H_

#include <string_view>

#include "absl/status/status.h"
#include "common/crypto/secret_bytes.h"

struct ssl_ctx_st;

namespace nark {

// Makes `context` a TLS server's: TLS 1.3 and nothing older, this certificate (PEM,
// leaf first, then what leads to its authority) and its key (PEM, PKCS #8).
// INVALID_ARGUMENT for PEM that is none, or a key of another certificate.
absl::Status ConfigureTlsServer(ssl_ctx_st& context, std::string_view certificates_pem,
                                const SecretBytes& key_pem);

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_TLS_H_
