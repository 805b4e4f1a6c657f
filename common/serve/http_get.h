#ifndef NARK_COMMON_SERVE_HTTP_GET_H_
#define NARK_COMMON_SERVE_HTTP_GET_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

namespace nark::serve {

// What "http://HOST:PORT/PATH" answers, at most 8 MiB; for /metrics, /livez and /readyz of
// Nark's programs, which say nothing secret. `timeout` is for connecting and for each piece
// of the answer. INVALID_ARGUMENT for an address that is none; UNAVAILABLE with the cause,
// marked as the other side's (IsRemote), where there is no answer or its status is not 200.
absl::StatusOr<std::string> HttpGet(const std::string& host_port, const std::string& path,
                                    std::chrono::milliseconds timeout);

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_HTTP_GET_H_
