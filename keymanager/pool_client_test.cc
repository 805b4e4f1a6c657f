#include "keymanager/pool_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"

namespace nark::keymanager {
namespace {

using std::chrono::milliseconds;

// What one replica answers, and how often it was asked.
struct Script {
  absl::Status status;
  int calls = 0;
  milliseconds last_timeout{0};
};

class ScriptedClient final : public Client {
 public:
  explicit ScriptedClient(Script& script) : script_(script) {}
  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest&,
                                                        milliseconds timeout) override {
    ++script_.calls;
    script_.last_timeout = timeout;
    if (!script_.status.ok()) return script_.status;
    return v1::GetChallengeResponse();
  }
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest&,
                                                    milliseconds timeout) override {
    ++script_.calls;
    script_.last_timeout = timeout;
    if (!script_.status.ok()) return script_.status;
    return v1::IssueGrantResponse();
  }

 private:
  Script& script_;
};

class PoolClientTest : public testing::Test {
 protected:
  PoolClientTest() : pool_(Clients()) {}
  std::vector<std::unique_ptr<Client>> Clients() {
    std::vector<std::unique_ptr<Client>> clients;
    for (Script& script : replicas_) clients.push_back(std::make_unique<ScriptedClient>(script));
    return clients;
  }
  absl::Status Ask() { return pool_.IssueGrant({}, milliseconds(3000)).status(); }
  std::vector<int> Calls() const {
    return {replicas_[0].calls, replicas_[1].calls, replicas_[2].calls};
  }
  Script replicas_[3];
  PoolClient pool_;
};

TEST_F(PoolClientTest, AsksTheFirst) {
  EXPECT_TRUE(Ask().ok());
  EXPECT_TRUE(pool_.GetChallenge({}, milliseconds(100)).ok());
  EXPECT_EQ(Calls(), (std::vector<int>{2, 0, 0}));
}

TEST_F(PoolClientTest, MovesOnWhereNobodyAnswersAndStaysThere) {
  replicas_[0].status = absl::UnavailableError("down");
  replicas_[1].status = absl::DeadlineExceededError("slow");
  EXPECT_TRUE(Ask().ok());
  EXPECT_EQ(Calls(), (std::vector<int>{1, 1, 1}));
  EXPECT_TRUE(Ask().ok());
  EXPECT_EQ(Calls(), (std::vector<int>{1, 1, 2}));
  replicas_[2].status = absl::UnavailableError("down");
  replicas_[0].status = absl::OkStatus();
  EXPECT_TRUE(Ask().ok());
  EXPECT_EQ(Calls(), (std::vector<int>{2, 1, 3}));
}

TEST_F(PoolClientTest, ARefusalIsFinal) {
  replicas_[0].status =
      Refusal(absl::StatusCode::kPermissionDenied, "SECURE_SPACE_DENIED", "denied");
  const absl::Status status = Ask();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "SECURE_SPACE_DENIED");
  EXPECT_EQ(Calls(), (std::vector<int>{1, 0, 0}));
}

TEST_F(PoolClientTest, SaysWhatEachReplicaDid) {
  replicas_[0].status = absl::UnavailableError("a:1: refused");
  replicas_[1].status = absl::DeadlineExceededError("b:2: silent");
  replicas_[2].status = absl::UnavailableError("c:3: refused");
  const absl::Status status = Ask();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "no key manager reached: a:1: refused; b:2: silent; c:3: refused");
  EXPECT_TRUE(IsRemote(status));
}

// One replica says when to come back: that helps more than "not reached".
TEST_F(PoolClientTest, KeepsAReasonAmongSilence) {
  replicas_[0].status = absl::UnavailableError("down");
  replicas_[1].status = Refusal(absl::StatusCode::kUnavailable, "LISTS_EXPIRED", "later");
  SetRetryAfterSeconds(replicas_[1].status, 30);
  replicas_[2].status = absl::UnavailableError("down");
  const absl::Status status = Ask();
  EXPECT_EQ(ReasonOf(status), "LISTS_EXPIRED");
  EXPECT_EQ(RetryAfterSeconds(status), 30);
  EXPECT_EQ(Calls(), (std::vector<int>{1, 1, 1}));
}

TEST_F(PoolClientTest, ASilentReplicaGetsNoMoreThanItsShare) {
  replicas_[0].status = absl::DeadlineExceededError("silent");
  EXPECT_TRUE(Ask().ok());
  EXPECT_LE(replicas_[0].last_timeout, milliseconds(1000));
  EXPECT_GT(replicas_[0].last_timeout, milliseconds(0));
  EXPECT_GT(replicas_[1].last_timeout, milliseconds(1000));
}

}  // namespace
}  // namespace nark::keymanager
