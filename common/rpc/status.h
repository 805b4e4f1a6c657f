#ifndef NARK_COMMON_RPC_STATUS_H_
#define NARK_COMMON_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "common/rpc/details.h"

namespace nark::rpc {

// A status as it travels: code and message, and in the details a google.rpc.Status
// with ErrorInfo{reason, domain "nark"} where ReasonOf(status) is not empty and
// RetryInfo where RetryAfterSeconds(status) is not 0. Codes are equal by number.
grpc::Status ToGrpc(const absl::Status& status);

// The inverse. Details of another domain, and details that do not parse, are
// left out: they came from a stranger, and the code stands without them. The
// message loses line breaks and control characters and all beyond 1,000 bytes,
// so that it can be printed as it is. Marked as the other side's (IsRemote).
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_STATUS_H_
