#ifndef NARK_KEYMANAGER_CLIENT_H_
#define NARK_KEYMANAGER_CLIENT_H_

#include <chrono>
#include <functional>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {

// The name in every key manager's TLS certificate.
inline constexpr char kServerName[] = "keymanager.nark";

// How a receiver host reaches a pool; the gRPC client and the decision core in
// the same process serve alike. Refusals keep their reason (ReasonOf). Thread-safe.
class Client {
 public:
  virtual ~Client() = default;
  virtual absl::StatusOr<v1::GetChallengeResponse> GetChallenge(
      const v1::GetChallengeRequest& request, std::chrono::milliseconds timeout) = 0;
  virtual absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                            std::chrono::milliseconds timeout) = 0;
  // The sealed block, whole; `progress` hears of it on the way, in the caller's thread.
  using BlockProgress = std::function<void(size_t done_bytes, size_t total_bytes)>;
  virtual absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                               std::chrono::milliseconds timeout,
                                               const BlockProgress& progress) = 0;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_CLIENT_H_
