#include "keymanager/service.h"

#include <chrono>
#include <utility>

#include "common/rpc/status.h"

namespace nark::keymanager {
namespace {

template <typename Response>
grpc::Status Finish(absl::StatusOr<Response> result, serve::Counter& served, Response& response) {
  if (!result.ok()) return rpc::ToGrpc(result.status());
  response = *std::move(result);
  served.Increment();
  return grpc::Status::OK;
}

}  // namespace

KeyManagerService::KeyManagerService(std::shared_ptr<GrantAuthority> authority,
                                     serve::Metrics& metrics)
    : authority_(std::move(authority)),
      challenges_(metrics.AddCounter("nark_keymanager_challenges_total", "Challenges issued.")),
      grants_(metrics.AddCounter("nark_keymanager_grants_total",
                                 "Grants issued, repeated answers among them.")),
      seconds_(metrics.AddHistogram("nark_keymanager_decision_seconds",
                                    "Time to decide on a grant, without the network.",
                                    {0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.02})) {}

void KeyManagerService::Replace(std::shared_ptr<GrantAuthority> authority) {
  absl::MutexLock lock(&mutex_);
  authority_.swap(authority);
}

std::shared_ptr<GrantAuthority> KeyManagerService::authority() const {
  absl::MutexLock lock(&mutex_);
  return authority_;
}

grpc::ServerUnaryReactor* KeyManagerService::GetChallenge(grpc::CallbackServerContext* context,
                                                          const v1::GetChallengeRequest* request,
                                                          v1::GetChallengeResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(Finish(authority()->GetChallenge(*request), challenges_, *response));
  return reactor;
}

grpc::ServerUnaryReactor* KeyManagerService::IssueGrant(grpc::CallbackServerContext* context,
                                                        const v1::IssueGrantRequest* request,
                                                        v1::IssueGrantResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // Nobody waits for the answer any more: save the work.
  if (context->IsCancelled()) {
    reactor->Finish(grpc::Status::CANCELLED);
    return reactor;
  }
  const auto start = std::chrono::steady_clock::now();
  reactor->Finish(Finish(authority()->IssueGrant(*request), grants_, *response));
  seconds_.Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return reactor;
}

}  // namespace nark::keymanager
