#ifndef NARK_COMMON_RPC_TLS_CREDENTIALS_H_
#define NARK_COMMON_RPC_TLS_CREDENTIALS_H_

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/secret_bytes.h"

namespace nark::rpc {

// What a TLS server shows. Both as PEM.
struct TlsIdentity {
  std::string certificates;  // leaf first
  SecretBytes key;
  // Whether clients must show a certificate and prove its key. Which one it is, services
  // judge (PeerCertificate): gRPC only knows roots, no roles.
  enum class Clients { kAnonymous, kShowCertificate };
  Clients clients = Clients::kAnonymous;
};

// The credentials of one listening TLS server, whose certificate may change while it
// serves. gRPC's C++ interface reads a certificate once, or from files by polling; its C
// interface (grpc_ssl_server_credentials_create_options_using_config_fetcher) asks at each
// handshake, and this brings it to C++. Thread-safe.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  // INVALID_ARGUMENT for PEM that is none, and for a key of another certificate.
  static absl::StatusOr<std::shared_ptr<TlsCredentials>> Create(TlsIdentity identity);

  // Handshakes that begin from now on are shown this one; connections that are stay. Errors
  // are those of Create, and change nothing. Whether clients show a certificate stays as
  // it was.
  absl::Status Replace(TlsIdentity identity);

  // Callers are judged by services: gRPC is given nothing to call.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  explicit TlsCredentials(TlsIdentity identity);
  int AddPortToServer(const std::string& address, grpc_server* server) override;

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

  absl::Mutex mutex_;
  TlsIdentity identity_ ABSL_GUARDED_BY(mutex_);
  bool is_new_ ABSL_GUARDED_BY(mutex_) = true;  // gRPC has not fetched it yet
};

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_TLS_CREDENTIALS_H_
