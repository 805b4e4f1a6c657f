#ifndef NARK_SECURESPACE_SOCKET_SERVER_H_
#define NARK_SECURESPACE_SOCKET_SERVER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// Whether a process of that effective uid may connect: the server's own user, or root.
bool OwnerOrRoot(uid_t peer);

struct SocketLimits {
  // Connections at once; one more is closed.
  size_t connections = 64;
  // From a frame's first byte to its last, the preamble's too, and for an answer.
  std::chrono::seconds frame_time{10};
  // A connection without a frame is closed.
  std::chrono::seconds idle_time{600};
  // Peers by the kernel's word (SO_PEERCRED).
  std::function<bool(uid_t)> admits = OwnerOrRoot;
};

struct SocketCounts {
  uint64_t refused_peers = 0;        // of another user
  uint64_t refused_full = 0;         // beyond the cap
  uint64_t refused_threads = 0;      // no thread could be had for them
  uint64_t dropped_connections = 0;  // for what they sent, or how slowly
};

// Serves a secure space on a Unix socket of mode 0600 until it is destroyed, which
// ends running calls within a second and removes the socket. Speaks gRPC
// (SecureSpaceService) to whoever begins with HTTP/2, and frames (frame.h) to whoever
// begins with their preamble. A socket that nobody listens on is replaced; one that
// somebody does is UNAVAILABLE. `space` outlives it. Thread-safe.
class SocketServer {
 public:
  // A path of any length will do.
  static absl::StatusOr<std::unique_ptr<SocketServer>> Start(SecureSpace& space,
                                                             const std::string& socket_path,
                                                             SocketLimits limits = {});
  virtual ~SocketServer() = default;
  virtual SocketCounts counts() const = 0;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SOCKET_SERVER_H_
