#include "common/rpc/tls_credentials.h"

#include <utility>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/crypto/tls.h"

namespace nark::rpc {

TlsCredentials::TlsCredentials(TlsIdentity identity) : identity_(std::move(identity)) {}

absl::StatusOr<std::shared_ptr<TlsCredentials>> TlsCredentials::Create(TlsIdentity identity) {
  RETURN_IF_ERROR(CheckTlsServer(identity.certificates, identity.key).status());
  return std::shared_ptr<TlsCredentials>(new TlsCredentials(std::move(identity)));
}

absl::Status TlsCredentials::Replace(TlsIdentity identity) {
  RETURN_IF_ERROR(CheckTlsServer(identity.certificates, identity.key).status());
  absl::MutexLock lock(&mutex_);
  identity.clients = identity_.clients;
  identity_ = std::move(identity);
  is_new_ = true;
  return absl::OkStatus();
}

int TlsCredentials::AddPortToServer(const std::string& address, grpc_server* server) {
  grpc_ssl_client_certificate_request_type clients = GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  {
    absl::MutexLock lock(&mutex_);
    if (identity_.clients == TlsIdentity::Clients::kShowCertificate) {
      clients = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY;
    }
    is_new_ = true;
  }
  grpc_server_credentials* credentials = grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(clients, &Fetch, this));
  if (credentials == nullptr) return 0;
  const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
  grpc_server_credentials_release(credentials);
  return port;
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto& credentials = *static_cast<TlsCredentials*>(self);
  absl::MutexLock lock(&credentials.mutex_);
  if (!credentials.is_new_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  std::string key = ToText(credentials.identity_.key.Reveal());  // gRPC takes nothing else
  const grpc_ssl_pem_key_cert_pair pair = {key.c_str(), credentials.identity_.certificates.c_str()};
  // gRPC insists on roots for clients here. It verifies nobody under them.
  *config = grpc_ssl_server_certificate_config_create(pair.cert_chain, &pair, 1);
  Wipe({reinterpret_cast<uint8_t*>(key.data()), key.size()});
  if (*config == nullptr) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
  credentials.is_new_ = false;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace nark::rpc
