#ifndef NARK_RECEIVER_SOCKET_FACTORY_H_
#define NARK_RECEIVER_SOCKET_FACTORY_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "receiver/membership.h"
#include "receiver/output_address.h"
#include "receiver/statistics.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// What to join and how. The files are those of `nark-receiver join`.
struct SocketRequest {
  std::string session_path;
  std::string voucher_path;
  std::vector<std::string> key_managers;  // empty: the session's
  KeyManagerTransport transport = KeyManagerTransport::kTls;
  std::string input;     // empty: the session's transport
  StreamFilter streams;  // what the socket gets
  std::chrono::microseconds playout_delay = std::chrono::milliseconds(500);
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  std::string cache;  // folder for marked blocks; empty: none are kept
};

// An open session: decrypted ADUs arrive on a plain socket, in order and back to
// back, so a player that reads a socket needs no knowledge of Nark. While nobody
// reads, no key is asked for. Thread-safe.
class SessionSocket {
 public:
  // Ends the session: nothing more is asked for. Waits for a running call of a
  // key manager, at most three seconds.
  virtual ~SessionSocket() = default;

  // The end to read from (SOCK_STREAM); the caller's to close. To be called once;
  // -1 afterwards. End of file where the session has ended.
  virtual int TakeDescriptor() = 0;

  // OK while the session is open and after it was ended by the reader or by the
  // end of a file; else why it ended.
  virtual absl::Status status() const = 0;
  virtual Statistics statistics() const = 0;
};

// Turns sessions into sockets: the paper's socket factory (section 4), for
// applications that have a secure space. Thread-safe.
class SocketFactory {
 public:
  // All must outlive the factory and its sockets.
  SocketFactory(securespace::SecureSpace& secure_space, Clock& clock, Random& random)
      : secure_space_(secure_space), clock_(clock), random_(random) {}

  // Reads and verifies the files, binds, gets a grant where none is installed, and
  // plays from a thread of its own. Returns once the grant is installed; errors
  // are those of `nark-receiver join`.
  absl::StatusOr<std::unique_ptr<SessionSocket>> Open(const SocketRequest& request);

 private:
  securespace::SecureSpace& secure_space_;
  Clock& clock_;
  Random& random_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_SOCKET_FACTORY_H_
