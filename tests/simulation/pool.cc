#include "tests/simulation/pool.h"

#include <algorithm>

#include "common/base/status.h"

namespace nark::simulation {
namespace {

constexpr int kReplicas = 3;

absl::Status NoAnswer() {
  return MarkRemote(absl::UnavailableError("the replica does not answer"));
}

}  // namespace

Pool::Pool(TestProvider& provider, Clock& clock, Random& random, uint64_t seed, Journal& journal)
    : provider_(provider), clock_(clock), random_(random), dice_(seed, 30), journal_(journal) {
  for (int i = 0; i < kReplicas; ++i) replicas_.push_back(Make());
}

std::unique_ptr<keymanager::GrantAuthority> Pool::Make() {
  // How often one may join is not what is tried here.
  keymanager::Limits limits;
  limits.joins_per_secure_space = {.burst = 1000, .per_second = 1000};
  return keymanager::MakeAuthority(provider_, {clock_, random_, refusals_}, limits);
}

keymanager::GrantAuthority& Pool::AnyReplica() {
  const size_t chosen = dice_.Below(kReplicas);
  const bool afresh = dice_.OneIn(3);
  if (afresh) replicas_[chosen] = Make();
  journal_.Event("pool", "replica " + std::to_string(chosen) + (afresh ? ", afresh" : ""));
  return *replicas_[chosen];
}

absl::StatusOr<v1::GetChallengeResponse> RoadToPool::GetChallenge(
    const v1::GetChallengeRequest& request, std::chrono::milliseconds) {
  if (Lost()) return NoAnswer();
  ++messages_.challenges;
  auto answer = pool_.AnyReplica().GetChallenge(request);
  if (Lost()) return NoAnswer();
  return answer;
}

absl::StatusOr<v1::IssueGrantResponse> RoadToPool::IssueGrant(const v1::IssueGrantRequest& request,
                                                              std::chrono::milliseconds) {
  if (Lost()) return NoAnswer();
  ++messages_.grants;
  auto answer = pool_.AnyReplica().IssueGrant(request);
  if (answer.ok()) {
    messages_.largest_grant = std::max(messages_.largest_grant, answer->grant().payload().size());
  }
  if (Lost()) return NoAnswer();
  return answer;
}

}  // namespace nark::simulation
