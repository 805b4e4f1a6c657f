#include "common/rpc/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/memory_limit.h"
#include "common/base/status.h"
#include "common/rpc/address.h"
#include "common/rpc/environment.h"
#include "common/rpc/open_calls.h"

namespace nark::rpc {
namespace {

constexpr int kSynchronousThreads = 16;
constexpr int kCallsAConnection = 16;

// Whose connections take more memory than any that keeps to what it was told. Looked at only
// while there is reason to.
class CallWatch {
 public:
  explicit CallWatch(uint64_t watched_bytes)
      : watched_bytes_(watched_bytes != 0 ? watched_bytes
                                          : std::min(MemoryLimit() / 4, kMostUnwatched)) {}

  std::set<std::string> Greedy() {
    const uint64_t bytes = ResidentBytes();
    const auto begin = std::chrono::steady_clock::now();
    if (bytes < watched_bytes_ || begin < next_look_) return {};
    if (bytes < looked_bytes_ + kGrowth && begin < looked_at_ + kBetweenLooks) return {};
    // What those had who were ended goes back, so that it is not looked at for ever.
    if (ended_some_) malloc_trim(0);
    std::set<std::string> over = PeersWithMoreCalls(kCallsAConnection);
    // Before it hears what it may, a peer that means well can begin some more.
    std::set<std::string> greedy;
    std::ranges::set_intersection(over, over_before_, std::inserter(greedy, greedy.end()));
    over_before_ = std::move(over);
    ended_some_ = !greedy.empty();
    looked_bytes_ = ResidentBytes();
    looked_at_ = std::chrono::steady_clock::now();
    // This thread also takes connections in.
    next_look_ = looked_at_ + kPausePerLook * (looked_at_ - begin);
    return greedy;
  }

 private:
  static constexpr uint64_t kMostUnwatched = 1 << 30;
  static constexpr uint64_t kGrowth = 8 << 20;

  static constexpr std::chrono::seconds kBetweenLooks{1};
  static constexpr int kPausePerLook = 4;

  const uint64_t watched_bytes_;
  std::set<std::string> over_before_;
  bool ended_some_ = false;
  std::chrono::steady_clock::time_point looked_at_, next_look_;
  uint64_t looked_bytes_ = 0;
};

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
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsAConnection);
  // For CallWatch.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
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
    RETURN_IF_ERROR(address.unix_path.empty() ? server->StartTcp(address, options, builder)
                                              : server->StartUnix(address, builder));
  } else {
    server->server_ = builder.BuildAndStart();
  }
  if (server->server_ == nullptr) return absl::InternalError("gRPC does not start");
  return server;
}

absl::Status Server::StartTcp(Address address, const ServerOptions& options,
                              grpc::ServerBuilder& builder) {
  ASSIGN_OR_RETURN(acceptor_, Acceptor::Listen(address, options.connections));
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  door_ = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, Credentials());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::OkStatus();
  port_ = acceptor_->port();
  address.port = static_cast<uint16_t>(port_);
  address_ = address.ToString();
  auto watch = std::make_shared<CallWatch>(options.watched_memory_bytes);
  acceptor_->Run(
      [this](int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
        connection.fd = fd;
        door_->HandleNewConnection(&connection);
      },
      [watch] { return watch->Greedy(); });
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
