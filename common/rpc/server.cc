#include "common/rpc/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/address.h"
#include "common/rpc/environment.h"

namespace nark::rpc {
namespace {

constexpr int kSynchronousThreads = 16;

void SetLimits(const ServerOptions& options, grpc::ServerBuilder& builder) {
  const auto milliseconds = [](std::chrono::seconds s) {
    return static_cast<int>(s.count() * 1000);
  };
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(options.max_send_message_bytes));
  // A small message may unpack to a large one, and nobody who means well packs these.
  builder.AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             milliseconds(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             milliseconds(options.max_connection_age_grace));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             milliseconds(options.max_connection_idle));
  // Peers that vanished without a word are noticed.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  // What a call has taken before its message is there, no quota knows. Who has more to ask at
  // once waits, or opens another connection.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 16);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // Reflection alone takes a thread a stream, for as long as its peer likes.
  builder.SetResourceQuota(grpc::ResourceQuota("nark")
                               .Resize(options.memory_quota_bytes)
                               .SetMaxThreads(kSynchronousThreads));
}

}  // namespace

absl::Status CheckListen(const std::string& listen) {
  ASSIGN_OR_RETURN(const Address address, ParseAddress(listen));
  return address.unix_path.empty() ? Acceptor::Listen(address, {}).status() : absl::OkStatus();
}

Server::Server(std::shared_ptr<TlsCredentials> tls) : tls_(std::move(tls)) {}

Server::~Server() { Drain(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      const std::vector<grpc::Service*>& services) {
  PrepareGrpc();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::shared_ptr<TlsCredentials> tls;
  if (options.tls) {
    ASSIGN_OR_RETURN(tls, TlsCredentials::Create(*std::move(options.tls)));
  }
  auto server = std::unique_ptr<Server>(new Server(std::move(tls)));
  if (!options.listen.empty()) {
    ASSIGN_OR_RETURN(const Address address, ParseAddress(options.listen));
    RETURN_IF_ERROR(address.unix_path.empty()
                        ? server->StartTcp(address, options.connections, builder)
                        : server->StartUnix(address, builder));
  } else {
    server->server_ = builder.BuildAndStart();
  }
  if (server->server_ == nullptr) return absl::InternalError("gRPC does not start");
  return server;
}

absl::Status Server::StartTcp(Address address, ConnectionCap cap, grpc::ServerBuilder& builder) {
  ASSIGN_OR_RETURN(acceptor_, Acceptor::Listen(address, cap));
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  door_ = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, Credentials());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::OkStatus();
  port_ = acceptor_->port();
  address.port = static_cast<uint16_t>(port_);
  address_ = address.ToString();
  acceptor_->Run([this](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    door_->HandleNewConnection(&connection);
  });
  return absl::OkStatus();
}

absl::Status Server::StartUnix(const Address& address, grpc::ServerBuilder& builder) {
  address_ = address.ToString();
  int bound = 0;
  builder.AddListeningPort(address_, Credentials(), &bound);
  // Nobody else may connect, not even before a chmod.
  const mode_t before = umask(0177);
  server_ = builder.BuildAndStart();
  umask(before);
  if (server_ != nullptr && bound != 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(address_, ": the socket can not be made; check the folder and who uses it"));
}

std::shared_ptr<grpc::ServerCredentials> Server::Credentials() const {
  if (tls_ != nullptr) return tls_;
  return grpc::InsecureServerCredentials();
}

ConnectionCounts Server::connections() const {
  return acceptor_ == nullptr ? ConnectionCounts() : acceptor_->counts();
}

void Server::Adopt(int descriptor) {
  // gRPC wants it so, and says nothing where it is not.
  (void)::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  grpc::AddInsecureChannelFromFd(server_.get(), descriptor);
}

absl::Status Server::ReplaceTls(TlsIdentity identity) {
  if (tls_ == nullptr) return absl::InvalidArgumentError("the server is none of TLS");
  return tls_->Replace(std::move(identity));
}

void Server::SetHealth(Health health) {
  if (auto* service = server_->GetHealthCheckService()) {
    service->SetServingStatus(health == Health::kServing);
  }
}

void Server::Drain(std::chrono::milliseconds deadline) {
  if (acceptor_ != nullptr) acceptor_->Stop();
  if (server_ == nullptr) return;
  SetHealth(Health::kNotServing);
  server_->Shutdown(std::chrono::system_clock::now() + deadline);
  server_->Wait();
}

}  // namespace nark::rpc
