#include "common/rpc/client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/address.h"
#include "common/rpc/environment.h"

namespace nark::rpc {
namespace {

std::string CertificatePem(ByteView der) {
  std::string base64;
  absl::Base64Escape(Absl(AsText(der)), &base64);
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  for (size_t at = 0; at < base64.size(); at += 64) {
    absl::StrAppend(&pem, base64.substr(at, 64), "\n");
  }
  return pem + "-----END CERTIFICATE-----\n";
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const ChannelOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = CertificatePem(options.tls->ca_certificate);
  if (options.identity != nullptr) {
    ssl.pem_cert_chain = options.identity->certificates;
    ssl.pem_private_key = ToText(options.identity->key.Reveal());  // gRPC takes nothing else
  }
  auto credentials = grpc::SslCredentials(ssl);
  std::string& copy = ssl.pem_private_key;
  Wipe({reinterpret_cast<uint8_t*>(copy.data()), copy.size()});
  return credentials;
}

}  // namespace

TlsSessionCache::TlsSessionCache(size_t capacity)
    : cache_(grpc_ssl_session_cache_create_lru(capacity)) {}

TlsSessionCache::~TlsSessionCache() { grpc_ssl_session_cache_destroy(cache_); }

void TlsSessionCache::AddTo(grpc::ChannelArguments& arguments) const {
  const grpc_arg argument = grpc_ssl_session_cache_create_channel_arg(cache_);
  arguments.SetPointerWithVtable(argument.key, argument.value.pointer.p,
                                 argument.value.pointer.vtable);
}

bool ResumedTlsSession(const grpc::ClientContext& context) {
  const auto authentication = context.auth_context();
  if (authentication == nullptr) return false;
  const auto values = authentication->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
  return !values.empty() && values.front() == "true";
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  PrepareGrpc();
  ASSIGN_OR_RETURN(const Address address, ParseAddress(options.endpoint));
  if (options.tls && (options.tls->ca_certificate.empty() || options.tls->server_name.empty())) {
    // Without a CA gRPC would fall back on the system's.
    return absl::InvalidArgumentError(
        absl::StrCat(options.endpoint, ": TLS needs a CA certificate and a server name"));
  }
  grpc::ChannelArguments arguments;
  if (options.tls) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
    if (options.tls_sessions != nullptr) options.tls_sessions->AddTo(arguments);
  }
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  arguments.SetMaxSendMessageSize(static_cast<int>(options.max_message_bytes));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Where to connect is what the descriptor says, not what a proxy setting, a
  // DNS record or a service config says.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // A server that is being started is found soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2'000);  // also the time to connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  const std::string target =
      address.unix_path.empty() ? "dns:///" + address.ToString() : address.ToString();
  return grpc::CreateCustomChannel(target, Credentials(options), arguments);
}

std::chrono::system_clock::time_point DeadlineAfter(std::chrono::milliseconds timeout) {
  return std::chrono::system_clock::now() + timeout;
}

void SetTimeout(grpc::ClientContext& context, std::chrono::milliseconds timeout) {
  context.set_deadline(DeadlineAfter(timeout));
}

}  // namespace nark::rpc
