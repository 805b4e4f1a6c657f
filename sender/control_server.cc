#include "sender/control_server.h"

#include <utility>

#include "common/base/status.h"
#include "common/rpc/server.h"

namespace nark::sender {

ControlServer::ControlServer(const OpenedSenderFile& sender, OrderBook& book,
                             const Position& position, Clock& clock)
    : service_(sender.session, book, position, clock) {}

ControlServer::~ControlServer() = default;

const std::string& ControlServer::address() const { return server_->address(); }

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& listen,
                                                                    const OpenedSenderFile& sender,
                                                                    OrderBook& book,
                                                                    const Position& position,
                                                                    Clock& clock) {
  std::unique_ptr<ControlServer> made(new ControlServer(sender, book, position, clock));
  rpc::ServerOptions options;
  options.listen = listen;
  // An order takes hundreds of bytes, and is parsed before its sender is known.
  options.max_message_bytes = 64 << 10;
  options.memory_quota_bytes = 16 << 20;
  ASSIGN_OR_RETURN(SecretBytes key, sender.tls_key.ToPem());
  std::string certificates;
  for (const Certificate& certificate : sender.tls_certificates) {
    certificates += certificate.ToPem();
  }
  options.tls = rpc::TlsIdentity{.certificates = std::move(certificates),
                                 .key = std::move(key),
                                 .clients = rpc::TlsIdentity::Clients::kShowCertificate};
  ASSIGN_OR_RETURN(made->server_, rpc::Server::Start(std::move(options), {&made->service_}));
  return made;
}

}  // namespace nark::sender
