#ifndef NARK_COMMON_RPC_PEER_H_
#define NARK_COMMON_RPC_PEER_H_

#include <grpcpp/server_context.h>

#include "absl/status/statusor.h"
#include "common/crypto/certificate.h"

namespace nark::rpc {

// The certificate whose key the caller has proved, parsed, not verified: under which
// root, and for what, is for the caller of this to judge. UNAUTHENTICATED where there
// is none.
absl::StatusOr<Certificate> PeerCertificate(const grpc::ServerContextBase& context);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_PEER_H_
