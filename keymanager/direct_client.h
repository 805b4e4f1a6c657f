#ifndef NARK_KEYMANAGER_DIRECT_CLIENT_H_
#define NARK_KEYMANAGER_DIRECT_CLIENT_H_

#include "keymanager/client.h"
#include "keymanager/grant_authority.h"

namespace nark::keymanager {

// A pool of one in this process, for the simulator and tests. Answers at once.
// Thread-safe.
class DirectClient final : public Client {
 public:
  // `authority` must outlive the client.
  explicit DirectClient(GrantAuthority& authority) : authority_(authority) {}

  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request,
                                                        std::chrono::milliseconds) override {
    return authority_.GetChallenge(request);
  }
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    std::chrono::milliseconds) override {
    return authority_.IssueGrant(request);
  }

  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                       std::chrono::milliseconds, const BlockProgress&) override {
    return authority_.GetMarkedBlock(request);
  }

 private:
  GrantAuthority& authority_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_DIRECT_CLIENT_H_
