#ifndef NARK_LOAD_GRPC_CLIENT_H_
#define NARK_LOAD_GRPC_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "load/key_managers.h"

namespace nark::load {

// How joins come to their connections.
enum class ConnectMode {
  kWarm,     // a number of connections that stay
  kCold,     // each join makes its own, as receivers do
  kResumed,  // the same, resuming the TLS session of one before
};

struct GrpcKeyManagerOptions {
  std::vector<std::string> endpoints;  // HOST:PORT
  Bytes tls_ca;                        // X.509 DER; empty: plaintext
  ConnectMode mode = ConnectMode::kWarm;
  size_t connections = 8;  // of kWarm, in all; at least one an endpoint
  size_t threads = 1;      // that take answers
  std::chrono::microseconds connect_timeout = std::chrono::seconds(5);
  std::function<void(const std::string&)> warn;
};

// Key managers over gRPC. Connects those that stay, and warns of each that does not come
// about: joins that meet it fail over. UNAVAILABLE, marked as the other side's, where none
// does; INVALID_ARGUMENT for an endpoint that is none. To be destroyed once no join is
// outstanding: waits for its threads.
absl::StatusOr<std::unique_ptr<KeyManagers>> MakeGrpcKeyManagers(
    const GrpcKeyManagerOptions& options);

}  // namespace nark::load

#endif  // NARK_LOAD_GRPC_CLIENT_H_
