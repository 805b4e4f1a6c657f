#ifndef NARK_COMMON_RPC_CLIENT_H_
#define NARK_COMMON_RPC_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

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

struct ChannelOptions {
  // "HOST:PORT", "[V6]:PORT" or "unix:PATH".
  std::string endpoint;
  // Absent: plaintext.
  std::optional<TlsTrust> tls = std::nullopt;
  // With `tls` only.
  const ClientIdentity* identity = nullptr;
  size_t max_message_bytes = 2 << 20;
};

// A channel, which connects when it is first used; it has a connection of its
// own. INVALID_ARGUMENT for an endpoint that is none. Thread-safe.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// Gives a call that much time. Zero and less: it has passed already.
void SetTimeout(grpc::ClientContext& context, std::chrono::milliseconds timeout);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_CLIENT_H_
