#ifndef NARK_SECURESPACE_REMOTE_H_
#define NARK_SECURESPACE_REMOTE_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// A secure space behind a Unix socket (SecureSpaceService). Connects when first
// used; UNAVAILABLE where nobody listens. Refusals keep code and reason. A path of
// any length will do. Thread-safe.
absl::StatusOr<std::unique_ptr<SecureSpace>> ConnectSecureSpace(
    const std::string& socket_path, std::chrono::milliseconds timeout = std::chrono::seconds(10));

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_REMOTE_H_
