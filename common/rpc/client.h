#ifndef NARK_COMMON_RPC_CLIENT_H_
#define NARK_COMMON_RPC_CLIENT_H_

#include <grpc/grpc_security.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"

namespace nark::rpc {

// Whom a client trusts: servers with a certificate for `server_name` under one
// CA. The name is fixed by the role ("keymanager.nark"), whatever host it runs on.
struct TlsTrust {
  Bytes ca_certificate;  // X.509 DER
  std::string server_name;
};

// What a client shows where a server asks for it. Both as PEM.
struct ClientIdentity {
  std::string certificates;  // leaf first
  SecretBytes key;
};

// TLS sessions that servers offered to resume (RFC 8446 section 2.2), by server name: a
// channel that resumes one is spared its certificates, and the server their signature.
// Whoever holds a session can be recognised by it, and a thief of it reads nothing that was
// sent before. Thread-safe; outlives the channels that use it.
class TlsSessionCache {
 public:
  // At most so many server names, the latest used.
  explicit TlsSessionCache(size_t capacity);
  ~TlsSessionCache();
  TlsSessionCache(const TlsSessionCache&) = delete;
  TlsSessionCache& operator=(const TlsSessionCache&) = delete;

  void AddTo(grpc::ChannelArguments& arguments) const;

 private:
  grpc_ssl_session_cache* cache_;
};

// Whether the call's connection resumed a TLS session; once the call is done.
bool ResumedTlsSession(const grpc::ClientContext& context);

struct ChannelOptions {
  // "HOST:PORT", "[V6]:PORT" or "unix:PATH".
  std::string endpoint;
  // Absent: plaintext.
  std::optional<TlsTrust> tls = std::nullopt;
  // With `tls` only.
  const ClientIdentity* identity = nullptr;
  size_t max_message_bytes = 2 << 20;
  // With `tls` only. None: every connection is new to the server.
  const TlsSessionCache* tls_sessions = nullptr;
};

// A channel, which connects when it is first used; it has a connection of its
// own. INVALID_ARGUMENT for an endpoint that is none. Thread-safe.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// The point in time by which gRPC is done that has so long from now.
std::chrono::system_clock::time_point DeadlineAfter(std::chrono::milliseconds timeout);

// Gives a call that much time. Zero and less: it has passed already.
void SetTimeout(grpc::ClientContext& context, std::chrono::milliseconds timeout);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_CLIENT_H_
