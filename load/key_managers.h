#ifndef NARK_LOAD_KEY_MANAGERS_H_
#define NARK_LOAD_KEY_MANAGERS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "load/tally.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::load {

// A connection to one replica. Calls return at once; `done` is called exactly once, from
// any thread, possibly before the call returns. Errors are as keymanager::Client's.
// Thread-safe.
class Connection {
 public:
  virtual ~Connection() = default;

  // Ends once it is connected, or can not be. OK at once where it is already.
  virtual void Open(std::chrono::microseconds timeout, std::function<void(absl::Status)> done) = 0;
  virtual void GetChallenge(const v1::GetChallengeRequest& request,
                            std::chrono::microseconds timeout,
                            std::function<void(absl::StatusOr<v1::Challenge>)> done) = 0;
  virtual void IssueGrant(const v1::IssueGrantRequest& request, std::chrono::microseconds timeout,
                          std::function<void(absl::StatusOr<v1::SignedEnvelope>)> done) = 0;
  // How a connection came about that was opened for one join; known once a call is done.
  virtual Handshake handshake() const = 0;
};

// The replicas of a pool, or balancers in front of them. Thread-safe.
class KeyManagers {
 public:
  virtual ~KeyManagers() = default;
  // At least one; they are numbered from 0.
  virtual size_t count() const = 0;
  // A connection for one join: one of those that are kept, or one of its own.
  virtual std::shared_ptr<Connection> Connect(size_t replica) = 0;
};

}  // namespace nark::load

#endif  // NARK_LOAD_KEY_MANAGERS_H_
