#ifndef NARK_COMMON_CRYPTO_TLS_H_
#define NARK_COMMON_CRYPTO_TLS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/secret_bytes.h"

struct ssl_ctx_st;
struct ssl_st;

namespace nark {

// Makes `context` a TLS server's: TLS 1.3 and nothing older, this certificate (PEM,
// leaf first, then what leads to its authority) and its key (PEM, PKCS #8).
// INVALID_ARGUMENT for PEM that is none, or a key of another certificate.
absl::Status ConfigureTlsServer(ssl_ctx_st& context, std::string_view certificates_pem,
                                const SecretBytes& key_pem);

// What the leaf of a TLS server's certificates says.
struct TlsLeaf {
  Timestamp not_before;
  Timestamp not_after;
  std::vector<std::string> dns_names;
};

// Refuses what ConfigureTlsServer would.
absl::StatusOr<TlsLeaf> CheckTlsServer(std::string_view certificates_pem,
                                       const SecretBytes& key_pem);

// How far one call of a connection came, which never waits.
struct TlsStep {
  enum class Want { kNothing, kRead, kWrite };
  ptrdiff_t bytes = -1;  // done; 0: the other side has ended; below: it failed
  // Not kNothing: call again with the same arguments once the socket can be read or
  // written.
  Want want = Want::kNothing;
};

// The server's end of TLS over a socket that does not block and stays the caller's. One
// thread only.
class TlsConnection {
 public:
  TlsConnection(ssl_ctx_st& context, int fd);

  TlsStep Accept();  // 1 byte: done
  TlsStep Read(MutableByteView to);
  TlsStep Write(ByteView from);
  // Says that nothing follows, once all before went well.
  void Close();

 private:
  struct Free {
    void operator()(ssl_st* connection) const;
  };
  TlsStep After(int result);
  std::unique_ptr<ssl_st, Free> connection_;
  bool works_ = true;
};

}  // namespace nark

#endif  // NARK_COMMON_CRYPTO_TLS_H_
