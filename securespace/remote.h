#ifndef NARK_SECURESPACE_REMOTE_H_
#define NARK_SECURESPACE_REMOTE_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// A secure space behind a Unix socket, by the framed protocol (frame.h). Connects
// when used, anew after the server was restarted; UNAVAILABLE where nobody listens.
// Refusals keep code and reason. A path of any length will do. Thread-safe: calls
// at once have a connection each.
//
// A call that was sent whole and not answered is in doubt: UNAVAILABLE, or
// DEADLINE_EXCEEDED after `timeout`, and never repeated here, as a key is released
// once.
absl::StatusOr<std::unique_ptr<SecureSpace>> ConnectSecureSpace(
    const std::string& socket_path, std::chrono::milliseconds timeout = std::chrono::seconds(10));

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_REMOTE_H_
