#include "common/rpc/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/address.h"
#include "common/rpc/environment.h"

namespace nark::rpc {
namespace {

// gRPC says only that it failed: why is found out by trying again ourselves.
absl::Status WhyNotStarted(const Address& address) {
  const std::string where = address.ToString();
  if (!address.unix_path.empty()) {
    return absl::UnavailableError(
        absl::StrCat(where, ": the socket can not be made; check the folder and who uses it"));
  }
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int lookup =
      getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (lookup != 0) return absl::UnavailableError(absl::StrCat(where, ": ", gai_strerror(lookup)));
  int cause = 0;
  for (addrinfo* one = found; one != nullptr && cause == 0; one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, one->ai_addr, one->ai_addrlen) != 0 || listen(fd, 1) != 0) {
      cause = errno;
    }
    if (fd >= 0) close(fd);
  }
  freeaddrinfo(found);
  if (cause == 0) return absl::UnavailableError(absl::StrCat(where, ": can not listen there"));
  return absl::UnavailableError(absl::StrCat(where, ": ", strerror(cause)));
}

void SetLimits(const ServerOptions& options, grpc::ServerBuilder& builder) {
  const auto milliseconds = [](std::chrono::seconds s) {
    return static_cast<int>(s.count() * 1000);
  };
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(options.max_send_message_bytes));
  // A second server on the port must fail, not share the port silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
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
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.SetResourceQuota(grpc::ResourceQuota("nark").Resize(options.memory_quota_bytes));
}

}  // namespace

Server::Server(std::shared_ptr<TlsCredentials> tls, std::unique_ptr<grpc::Server> server,
               std::string address, int port)
    : tls_(std::move(tls)), server_(std::move(server)), address_(std::move(address)), port_(port) {}

Server::~Server() { Drain(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      const std::vector<grpc::Service*>& services) {
  PrepareGrpc();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (options.listen.empty()) {
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr) return absl::InternalError("gRPC does not start");
    return std::unique_ptr<Server>(new Server(nullptr, std::move(server), "", 0));
  }
  ASSIGN_OR_RETURN(Address address, ParseAddress(options.listen));
  std::shared_ptr<TlsCredentials> tls;
  if (options.tls) {
    ASSIGN_OR_RETURN(tls, TlsCredentials::Create(*std::move(options.tls)));
  }
  int port = 0;
  builder.AddListeningPort(address.ToString(), tls ? tls : grpc::InsecureServerCredentials(),
                           &port);
  std::unique_ptr<grpc::Server> server;
  if (address.unix_path.empty()) {
    server = builder.BuildAndStart();
  } else {
    // Nobody else may connect, not even before a chmod.
    const mode_t before = umask(0177);
    server = builder.BuildAndStart();
    umask(before);
  }
  if (server == nullptr || port == 0) return WhyNotStarted(address);
  if (address.unix_path.empty()) {
    address.port = static_cast<uint16_t>(port);
  } else {
    port = 0;
  }
  return std::unique_ptr<Server>(
      new Server(std::move(tls), std::move(server), address.ToString(), port));
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
  SetHealth(Health::kNotServing);
  server_->Shutdown(std::chrono::system_clock::now() + deadline);
  server_->Wait();
}

}  // namespace nark::rpc
