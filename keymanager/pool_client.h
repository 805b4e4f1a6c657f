#ifndef NARK_KEYMANAGER_POOL_CLIENT_H_
#define NARK_KEYMANAGER_POOL_CLIENT_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "keymanager/client.h"

namespace nark::keymanager {

// A pool of replicas, any of which answers any call: tries them in order,
// starting with the one that answered last. UNAVAILABLE and DEADLINE_EXCEEDED
// move on to the next; every other refusal is final, because all replicas decide
// alike. Each call goes around once; its timeout is for all of it, and a replica
// that is silent gets no more than its share. Thread-safe.
class PoolClient final : public Client {
 public:
  // At least one.
  explicit PoolClient(std::vector<std::unique_ptr<Client>> replicas)
      : replicas_(std::move(replicas)) {}

  // Where no replica answers: the last error if it has a reason, else UNAVAILABLE
  // "no key manager reached: ...", naming each.
  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request,
                                                        std::chrono::milliseconds timeout) override;
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    std::chrono::milliseconds timeout) override;

 private:
  template <typename Response, typename Request>
  absl::StatusOr<Response> Try(
      absl::StatusOr<Response> (Client::*method)(const Request&, std::chrono::milliseconds),
      const Request& request, std::chrono::milliseconds timeout);

  const std::vector<std::unique_ptr<Client>> replicas_;
  std::atomic<size_t> last_good_{0};
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_POOL_CLIENT_H_
