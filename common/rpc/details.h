#ifndef NARK_COMMON_RPC_DETAILS_H_
#define NARK_COMMON_RPC_DETAILS_H_

#include <string>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace nark::rpc {

// The domain of every ErrorInfo of Nark's own.
inline constexpr char kErrorDomain[] = "nark";

// A status that is not OK as google.rpc.Status: code and message, ErrorInfo{reason,
// domain "nark"} where ReasonOf(status) is not empty, and RetryInfo where
// RetryAfterSeconds(status) is not 0.
google::rpc::Status ToDetails(const absl::Status& status);

// The inverse, for what a stranger wrote. Details of another domain are left out.
// The message loses line breaks and control characters and all beyond 1,000 bytes,
// so that it can be printed as it is. Marked as the other side's (IsRemote). A code
// of 0 is UNKNOWN: it came with an error.
absl::Status FromDetails(int code, const std::string& message, const google::rpc::Status& details);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_DETAILS_H_
