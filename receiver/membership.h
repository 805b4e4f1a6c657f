#ifndef NARK_RECEIVER_MEMBERSHIP_H_
#define NARK_RECEIVER_MEMBERSHIP_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/net/descriptor.h"
#include "common/object/session.h"
#include "keymanager/client.h"
#include "receiver/joiner.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// A session and a voucher for it, read from files and verified.
struct Purchase {
  VerifiedSession session;
  v1::SignedEnvelope voucher;
  VerifiedVoucher verified_voucher;

  // Messages name the file.
  static absl::StatusOr<Purchase> Load(const std::string& session_path,
                                       const std::string& voucher_path, Timestamp now);
};
absl::StatusOr<VerifiedSession> LoadSession(const std::string& path, Timestamp now);

enum class KeyManagerTransport { kTls, kPlaintext };
// The session's key managers, or `instead` where that is not empty.
struct KeyManagers {
  std::vector<std::unique_ptr<keymanager::Client>> clients;
  std::vector<KeyManagerEndpoint> endpoints;
  // What the replicas' logs call the requests of this receiver: drawn at random.
  std::string request_id;
  double spread = 0;  // JoinOptions::spread, drawn at random

  static absl::StatusOr<KeyManagers> Connect(const VerifiedSession& session,
                                             const std::vector<std::string>& instead,
                                             KeyManagerTransport transport, Random& random);
};

// Runs a started Joiner to its end in this thread, and returns its result.
absl::Status RunToEnd(Joiner& joiner, Clock& clock);

// Runs a Joiner in a thread of its own, so that datagrams are taken in meanwhile.
// Thread-safe unless said otherwise.
class JoinThread {
 public:
  // `joiner` has been started, and is this object's alone from now on.
  static absl::StatusOr<std::unique_ptr<JoinThread>> Start(Joiner& joiner, Clock& clock);
  // Stops after the call that is running.
  ~JoinThread();

  // Readable once it is done.
  int fd() const { return done_fd_.fd(); }
  bool done() const;
  // What the joiner came to; once done.
  absl::Status result() const;

 private:
  JoinThread(Joiner& joiner, Clock& clock, net::Descriptor done)
      : joiner_(joiner), clock_(clock), done_fd_(std::move(done)) {}
  void Run();
  bool PauseUntil(Timestamp at);

  Joiner& joiner_;
  Clock& clock_;
  const net::Descriptor done_fd_;
  mutable absl::Mutex mutex_;
  absl::CondVar stopping_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_MEMBERSHIP_H_
