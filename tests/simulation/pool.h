#ifndef NARK_TESTS_SIMULATION_POOL_H_
#define NARK_TESTS_SIMULATION_POOL_H_

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/object/testing.h"
#include "keymanager/client.h"
#include "keymanager/grant_authority.h"
#include "keymanager/testing.h"
#include "tests/simulation/journal.h"

namespace nark::simulation {

// Messages of one receiver's set-up exchanges that reached a replica.
struct SetUpMessages {
  int challenges = 0;
  int grants = 0;
  size_t largest_grant = 0;  // bytes
};

// Three replicas that share nothing but their pool's keys. Each may be made anew at
// any moment. One thread only.
class Pool {
 public:
  Pool(TestProvider& provider, Clock& clock, Random& random, uint64_t seed, Journal& journal);

  // A replica by chance. Now and then it has just been started afresh.
  keymanager::GrantAuthority& AnyReplica();
  keymanager::RecordedRefusals& refusals() { return refusals_; }

 private:
  std::unique_ptr<keymanager::GrantAuthority> Make();
  TestProvider& provider_;
  Clock& clock_;
  Random& random_;
  Dice dice_;
  Journal& journal_;
  keymanager::RecordedRefusals refusals_;
  std::vector<std::unique_ptr<keymanager::GrantAuthority>> replicas_;
};

enum class PoolWeather { kFair, kFoul };

// One receiver's way to the pool: each call reaches any replica. In foul weather
// calls are lost on the way there, or the answer on the way back. One thread only.
class RoadToPool final : public keymanager::Client {
 public:
  RoadToPool(Pool& pool, PoolWeather weather, uint64_t seed, SetUpMessages& messages)
      : pool_(pool), weather_(weather), dice_(seed, 31), messages_(messages) {}

  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request,
                                                        std::chrono::milliseconds) override;
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    std::chrono::milliseconds) override;
  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                       std::chrono::milliseconds, const BlockProgress&) override {
    return pool_.AnyReplica().GetMarkedBlock(request);
  }

 private:
  bool Lost() { return weather_ == PoolWeather::kFoul && dice_.OneIn(4); }
  Pool& pool_;
  PoolWeather weather_;
  Dice dice_;
  SetUpMessages& messages_;
};

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_POOL_H_
