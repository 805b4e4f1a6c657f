#ifndef NARK_KEYMANAGER_GRPC_CLIENT_H_
#define NARK_KEYMANAGER_GRPC_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/client.h"
#include "keymanager/client.h"

namespace nark::keymanager {

// One replica, or a balancer in front of several, over gRPC. Connects when it is
// first used, and where it connects again it resumes the TLS session, unless `options` names
// a cache of sessions itself. Errors are the server's with their reason, or gRPC's own:
// UNAVAILABLE where there is no connection, DEADLINE_EXCEEDED; all are remote
// (IsRemote) and name the endpoint. INVALID_ARGUMENT for an endpoint that is none.
// `request_id` goes along with each call, for the replicas' logs; empty: none.
absl::StatusOr<std::unique_ptr<Client>> MakeGrpcClient(rpc::ChannelOptions options,
                                                       std::string request_id = {});

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_GRPC_CLIENT_H_
