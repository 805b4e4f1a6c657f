#ifndef NARK_COMMON_RPC_CALL_IDS_H_
#define NARK_COMMON_RPC_CALL_IDS_H_

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>
#include <string_view>

#include "common/base/call_ids.h"

namespace nark::rpc {

// Metadata in which callers and proxies name a request.
inline constexpr char kRequestIdKey[] = "x-request-id";

// What the caller, or a proxy in between, calls this call: x-request-id, and traceparent of
// a trace context (W3C Recommendation, version 00). Ids that are not of their form are left
// out: a stranger wrote them, and they are logged.
CallIds CallIdsOf(const grpc::ServerContextBase& context);

// The trace id in a traceparent; empty where it is none.
std::string TraceIdOf(std::string_view traceparent);
bool IsRequestId(std::string_view text);

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_CALL_IDS_H_
