#ifndef NARK_COMMON_RPC_SERVER_H_
#define NARK_COMMON_RPC_SERVER_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/acceptor.h"
#include "common/rpc/address.h"
#include "common/rpc/tls_credentials.h"

namespace nark::rpc {

struct ServerOptions {
  // "HOST:PORT", "[V6]:PORT" or "unix:PATH". Port 0 lets the system choose. Empty:
  // nowhere, for a server that is handed its connections (Adopt).
  std::string listen;
  // Absent: plaintext, for unix sockets, loopback, or behind a balancer that
  // ends TLS. Present: TLS 1.3 and nothing older.
  std::optional<TlsIdentity> tls = std::nullopt;
  size_t max_message_bytes = 2 << 20;  // that comes in
  // That goes out: the server's own, so it may be larger than what it takes.
  size_t max_send_message_bytes = 16 << 20;
  // A connection is asked to leave after its age, so that a balancer can spread
  // clients anew; its calls get the grace to end.
  std::chrono::seconds max_connection_age{600};
  std::chrono::seconds max_connection_age_grace{30};
  // An idle connection is dropped.
  std::chrono::seconds max_connection_idle{300};
  // Over TCP.
  ConnectionCap connections;
  // What gRPC may use for buffers before it reads no more.
  size_t memory_quota_bytes = 256 << 20;
  // Once the process has so much memory, connections with more calls than they may have are
  // ended: gRPC 1.51 holds a peer to that only when it has acknowledged it, and counts little
  // of what a call takes. 0: a quarter of what there may be (MemoryLimit), at most 1 GiB.
  uint64_t watched_memory_bytes = 0;
};

// Whether a server could listen there now; of a unix socket only, whether it is written as
// one. INVALID_ARGUMENT, UNAVAILABLE, as of Server::Start.
absl::Status CheckListen(const std::string& listen);

// A running gRPC server with the standard health service and reflection (both answer without
// further work). A connection carries 16 calls at a time; services of the synchronous kind have
// 16 threads between them. Thread-safe.
class Server {
 public:
  // Binds and serves `services`, which must outlive the server. Everything is
  // reported SERVING at once. INVALID_ARGUMENT for an address that is none, and
  // for PEM that is none or a key of another certificate; UNAVAILABLE where the address can not be
  // bound, naming address and cause ("127.0.0.1:7400: Address already in use"). A unix socket has
  // mode 0600 and replaces one that nobody listens on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                       const std::vector<grpc::Service*>& services);

  // Drains without patience where Drain() has not been called.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Where it listens, with the port that was chosen: "127.0.0.1:41873".
  const std::string& address() const { return address_; }
  int port() const { return port_; }  // 0 for unix sockets

  // Serves a connected stream socket in plaintext; the descriptor is the server's
  // from now on.
  void Adopt(int descriptor);

  // Handshakes that begin from now on are shown this certificate; connections that are
  // stay. INVALID_ARGUMENT, with nothing changed, for PEM that is none, a key of another
  // certificate, and where the server is none of TLS.
  absl::Status ReplaceTls(TlsIdentity identity);

  // Over TCP.
  ConnectionCounts connections() const;

  enum class Health { kServing, kNotServing };
  void SetHealth(Health health);

  // Reports NOT_SERVING, takes no new connections or calls, gives running calls
  // until `deadline` and then cancels them. Returns when all have ended.
  void Drain(std::chrono::milliseconds deadline);

 private:
  explicit Server(std::shared_ptr<TlsCredentials> tls);
  // Set server_, which is null where gRPC does not start.
  absl::Status StartTcp(Address address, const ServerOptions& options,
                        grpc::ServerBuilder& builder);
  absl::Status StartUnix(const Address& address, grpc::ServerBuilder& builder);
  std::shared_ptr<grpc::ServerCredentials> Credentials() const;

  const std::shared_ptr<TlsCredentials> tls_;  // null: plaintext
  std::string address_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  // Over TCP: who takes connections in, and where they come in.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> door_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_SERVER_H_
