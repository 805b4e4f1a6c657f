#ifndef NARK_KEYMANAGER_SERVICE_H_
#define NARK_KEYMANAGER_SERVICE_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/metrics.h"
#include "keymanager/grant_authority.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {

// nark.v1.KeyManager over a GrantAuthority, which can be exchanged while calls
// run: that is how keys and lists are reloaded. Thread-safe.
class KeyManagerService final : public v1::KeyManager::CallbackService {
 public:
  // Counts into `metrics`, which must outlive the service.
  KeyManagerService(std::shared_ptr<GrantAuthority> authority, serve::Metrics& metrics);

  // Calls that come from now on are answered by `authority`.
  void Replace(std::shared_ptr<GrantAuthority> authority);
  std::shared_ptr<GrantAuthority> authority() const;

  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest* request,
                                         v1::GetChallengeResponse* response) override;
  grpc::ServerUnaryReactor* IssueGrant(grpc::CallbackServerContext* context,
                                       const v1::IssueGrantRequest* request,
                                       v1::IssueGrantResponse* response) override;

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<GrantAuthority> authority_ ABSL_GUARDED_BY(mutex_);
  serve::Counter& challenges_;
  serve::Counter& grants_;
  serve::Histogram& seconds_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_SERVICE_H_
