#ifndef NARK_SECURESPACE_SOCKET_SERVER_H_
#define NARK_SECURESPACE_SOCKET_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// Serves a secure space on a Unix socket of mode 0600 until it is destroyed, which
// ends running calls within a second and removes the socket. A socket that nobody
// listens on is replaced; one that somebody does is UNAVAILABLE. `space` outlives
// it. Thread-safe.
class SocketServer {
 public:
  // A path of any length will do.
  static absl::StatusOr<std::unique_ptr<SocketServer>> Start(SecureSpace& space,
                                                             const std::string& socket_path);
  virtual ~SocketServer() = default;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SOCKET_SERVER_H_
