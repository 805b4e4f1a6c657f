#ifndef NARK_LOAD_VIEWERS_H_
#define NARK_LOAD_VIEWERS_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::load {

// Evidence that was given: what the grant is judged by.
class PendingGrant {
 public:
  virtual ~PendingGrant() = default;
  // Opens the grant and verifies it as the secure space would that asked for it.
  // UNAUTHENTICATED, reason GRANT_REFUSED. Thread-safe.
  virtual absl::Status Check(const v1::SignedEnvelope& grant) const = 0;
};

struct Attested {
  v1::IssueGrantRequest request;
  std::unique_ptr<PendingGrant> pending;
};

// Those who join: a receiver host and its secure space each, without the waiting.
// Thread-safe.
class Viewers {
 public:
  virtual ~Viewers() = default;
  // At least one; they are numbered from 0.
  virtual size_t count() const = 0;
  virtual v1::GetChallengeRequest ChallengeRequest(size_t viewer) const = 0;
  // Answers a challenge with a key made for this exchange.
  virtual absl::StatusOr<Attested> Attest(size_t viewer, const v1::Challenge& challenge) const = 0;
};

}  // namespace nark::load

#endif  // NARK_LOAD_VIEWERS_H_
