#include "receiver/joiner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "keymanager/direct_client.h"
#include "keymanager/testing.h"
#include "securespace/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// A real key manager behind a network that a test spoils.
class SpoiltClient final : public keymanager::Client {
 public:
  SpoiltClient(keymanager::Client& real, ManualClock& clock) : real_(real), clock_(clock) {}

  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request,
                                                        milliseconds timeout) override {
    ++challenges;
    if (absl::Status status = Pass(timeout); !status.ok()) return status;
    auto response = real_.GetChallenge(request, timeout);
    if (response.ok() && spoil_challenge) spoil_challenge(*response);
    return response;
  }
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    milliseconds timeout) override {
    ++grants;
    last_request = request;
    if (absl::Status status = Pass(timeout); !status.ok()) return status;
    if (!grant_error.ok()) return grant_error;
    auto response = real_.IssueGrant(request, timeout);
    if (response.ok() && spoil_grant) spoil_grant(*response);
    return response;
  }

  absl::Status error;        // of every call
  absl::Status grant_error;  // of IssueGrant
  microseconds takes{0};     // beyond the timeout: DEADLINE_EXCEEDED
  std::function<void(v1::GetChallengeResponse&)> spoil_challenge;
  std::function<void(v1::IssueGrantResponse&)> spoil_grant;
  v1::IssueGrantRequest last_request;
  int challenges = 0;
  int grants = 0;

 private:
  absl::Status Pass(milliseconds timeout) {
    if (takes >= timeout) {
      clock_.Advance(timeout);
      return absl::DeadlineExceededError("no answer");
    }
    clock_.Advance(takes);
    return error;
  }
  keymanager::Client& real_;
  ManualClock& clock_;
};

class JoinerTest : public testing::Test {
 protected:
  JoinerTest()
      : voucher_(world_.Voucher(0, 99)),
        authority_(
            keymanager::MakeAuthority(world_.provider, {world_.clock, world_.random, refusals_})),
        direct_(*authority_),
        first_(direct_, world_.clock),
        second_(direct_, world_.clock) {}

  // Runs to the end and returns the result.
  absl::Status Join(std::vector<KeyManagerEndpoint> endpoints, const JoinOptions& options = {}) {
    started_ = world_.clock.Now();
    verified_ = *VerifyVoucher(voucher_, session(), started_);
    joiner_.emplace(session(), voucher_, *verified_, *space_, std::move(endpoints));
    joiner_->Start(options, started_);
    for (int steps = 0; !joiner_->done(); ++steps) {
      if (steps == 10'000) return absl::InternalError("the joiner does not end");
      if (joiner_->not_before() > world_.clock.Now()) world_.clock.Set(joiner_->not_before());
      joiner_->Step(world_.clock.Now());
    }
    return joiner_->result();
  }
  absl::Status JoinOne() { return Join({{"first:1", &first_}}); }
  absl::Status JoinTwo() { return Join({{"first:1", &first_}, {"second:2", &second_}}); }
  microseconds Took() { return world_.clock.Now() - started_; }
  const VerifiedSession& session() const { return world_.session.session(); }
  bool MayRead(uint64_t id) { return world_.Reason(id) == v1::REFUSAL_REASON_UNSPECIFIED; }

  securespace::TestWorld world_;
  v1::SignedEnvelope voucher_;
  keymanager::RecordedRefusals refusals_;
  std::unique_ptr<keymanager::GrantAuthority> authority_;
  keymanager::DirectClient direct_;
  SpoiltClient first_;
  SpoiltClient second_;
  securespace::SecureSpace* space_ = &world_.space();
  std::optional<VerifiedVoucher> verified_;
  std::optional<Joiner> joiner_;
  Timestamp started_;
};

TEST_F(JoinerTest, InstallsAGrant) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_FALSE(joiner_->used_installed_grant());
  EXPECT_TRUE(MayRead(0));
  EXPECT_TRUE(MayRead(99));
  EXPECT_FALSE(MayRead(100));
}

TEST_F(JoinerTest, UsesAnInstalledGrantWithoutAKeyManager) {
  ASSERT_TRUE(JoinOne().ok());
  ASSERT_TRUE(Join({}).ok()) << joiner_->result();
  EXPECT_TRUE(joiner_->used_installed_grant());
  EXPECT_EQ(first_.challenges, 1);
}

TEST_F(JoinerTest, AsksForAnotherVouchersGrant) {
  ASSERT_TRUE(JoinOne().ok());
  voucher_ = world_.Voucher(100, 199);
  ASSERT_TRUE(JoinOne().ok());
  EXPECT_FALSE(joiner_->used_installed_grant());
  EXPECT_TRUE(MayRead(150));
}

TEST_F(JoinerTest, NeedsSomebodyToAsk) {
  const absl::Status status = Join({});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(IsRemote(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--key-manager"));
}

TEST_F(JoinerTest, LeavesAReplicaThatIsDownForTheNext) {
  first_.error = absl::UnavailableError("connection refused");
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_EQ(second_.grants, 1);
  EXPECT_LT(Took(), seconds(1));
}

TEST_F(JoinerTest, GetsTheGrantFromOneReplicaForTheChallengeOfAnother) {
  first_.grant_error = absl::UnavailableError("killed");
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_EQ(second_.challenges, 0);
  EXPECT_EQ(second_.grants, 1);
}

TEST_F(JoinerTest, LeavesASlowReplicaForTheNext) {
  first_.takes = seconds(30);
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_EQ(Took(), seconds(3));
}

TEST_F(JoinerTest, WaitsForAReplicaThatComesBack) {
  first_.error = absl::UnavailableError("connection refused");
  started_ = world_.clock.Now();
  verified_ = *VerifyVoucher(voucher_, session(), started_);
  joiner_.emplace(session(), voucher_, *verified_, *space_,
                  std::vector<KeyManagerEndpoint>{{"first:1", &first_}});
  joiner_->Start({}, started_);
  while (!joiner_->done()) {
    if (Took() > seconds(5)) first_.error = absl::OkStatus();
    world_.clock.Set(std::max(world_.clock.Now(), joiner_->not_before()));
    joiner_->Step(world_.clock.Now());
  }
  EXPECT_TRUE(joiner_->result().ok()) << joiner_->result();
  EXPECT_LT(first_.challenges, 12);  // it backs off
}

TEST_F(JoinerTest, EndsAtItsTimeoutWhereNobodyAnswers) {
  first_.error = absl::UnavailableError("connection refused");
  second_.takes = seconds(60);
  const absl::Status status = JoinTwo();
  EXPECT_TRUE(IsRemote(status));
  EXPECT_EQ(ReasonOf(status), "");
  EXPECT_THAT(std::string(status.message()), HasSubstr("no key manager reached within 10 s"));
  EXPECT_GE(Took(), seconds(10));
  EXPECT_LT(Took(), milliseconds(10'002));
}

TEST_F(JoinerTest, NamesThePeerThatWasNotReached) {
  first_.error = absl::UnavailableError("connection refused");
  EXPECT_THAT(std::string(JoinOne().message()),
              HasSubstr("key manager first:1: connection refused"));
}

TEST_F(JoinerTest, EndsAtARefusalAndSaysItsReason) {
  const TestSecureSpace other = world_.provider.MakeSecureSpace();
  voucher_ = world_.provider.MakeVoucher(world_.session, other.id, 0, 99);
  const absl::Status status = JoinTwo();
  EXPECT_TRUE(IsRemote(status));
  EXPECT_EQ(ReasonOf(status), "VOUCHER_OTHER_SECURE_SPACE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("key manager first:1: the voucher"));
  EXPECT_EQ(second_.challenges + second_.grants, 0);
}

TEST_F(JoinerTest, IsNotAttestedUnderAnIssuerThatNobodyTrusts) {
  TestProvider elsewhere(kTestTime, 99);
  auto trust = Trust::Create({elsewhere.issuer.certificate}, {}, std::nullopt);
  ASSERT_TRUE(trust.ok());
  authority_ =
      *keymanager::GrantAuthority::Create(keymanager::KeysOf(world_.provider), *std::move(trust),
                                          {world_.clock, world_.random, refusals_});
  keymanager::DirectClient direct(*authority_);
  const absl::Status status = Join({{"first:1", &direct}});
  EXPECT_TRUE(IsRemote(status));
  EXPECT_EQ(ReasonOf(status), "NOT_ATTESTED");
}

TEST_F(JoinerTest, ComesAgainWhereARefusalSaysSo) {
  first_.grant_error = Refusal(absl::StatusCode::kResourceExhausted, "RATE_LIMITED", "slow down");
  SetRetryAfterSeconds(first_.grant_error, 2);
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();

  voucher_ = world_.Voucher(100, 199);
  const absl::Status status = JoinOne();
  EXPECT_EQ(ReasonOf(status), "RATE_LIMITED");
  EXPECT_GE(Took(), seconds(6));
  EXPECT_LE(Took(), seconds(10));
}

// A replica that has too much to do says nothing about the next one; only where all have is
// there anything to wait for.
TEST_F(JoinerTest, GoesOnAtOnceFromAReplicaThatHasTooMuchToDo) {
  const absl::Status overloaded = [] {
    absl::Status status = Refusal(absl::StatusCode::kResourceExhausted, "OVERLOADED", "too much");
    SetRetryAfterSeconds(status, 2);
    return status;
  }();
  first_.grant_error = overloaded;
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_LT(Took(), milliseconds(100));

  voucher_ = world_.Voucher(100, 199);
  second_.grant_error = overloaded;
  const absl::Status status = JoinTwo();
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
  EXPECT_GE(Took(), seconds(6));
  EXPECT_LE(first_.grants + second_.grants, 1 + 12);
}

TEST_F(JoinerTest, GoesOnAtOnceFromAReplicaThatLacksItsKeys) {
  first_.grant_error = Refusal(absl::StatusCode::kUnavailable, "KEYS_UNAVAILABLE", "no token");
  SetRetryAfterSeconds(first_.grant_error, 5);
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_LT(Took(), milliseconds(100));
}

TEST_F(JoinerTest, BeginsElsewhereAndComesAgainLaterThanOthers) {
  ASSERT_TRUE(Join({{"first:1", &first_}, {"second:2", &second_}}, {.spread = 0.5}).ok());
  EXPECT_EQ(first_.challenges, 0);
  voucher_ = world_.Voucher(100, 199);
  first_.grant_error = Refusal(absl::StatusCode::kResourceExhausted, "RATE_LIMITED", "slow down");
  SetRetryAfterSeconds(first_.grant_error, 2);
  EXPECT_FALSE(Join({{"first:1", &first_}}, {.timeout = seconds(5), .spread = 0.75}).ok());
  EXPECT_EQ(first_.grants, 2);  // the second one after 3.5 s
}

TEST_F(JoinerTest, DoesNotTrustAChallengeForAnotherSession) {
  first_.spoil_challenge = [](v1::GetChallengeResponse& response) {
    v1::ChallengeBody body;
    ASSERT_TRUE(body.ParseFromString(response.challenge().body()));
    body.mutable_session()->mutable_session_id()->front() ^= 1;
    response.mutable_challenge()->set_body(body.SerializeAsString());
  };
  EXPECT_THAT(std::string(JoinOne().message()), HasSubstr("first:1"));
  EXPECT_TRUE(IsRemote(joiner_->result()));
  EXPECT_EQ(first_.challenges, 1);
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
}

TEST_F(JoinerTest, DoesNotTrustAChallengeForAnotherSecureSpace) {
  first_.spoil_challenge = [](v1::GetChallengeResponse& response) {
    v1::ChallengeBody body;
    ASSERT_TRUE(body.ParseFromString(response.challenge().body()));
    body.mutable_secure_space_id()->front() ^= 1;
    response.mutable_challenge()->set_body(body.SerializeAsString());
  };
  EXPECT_TRUE(IsRemote(JoinOne()));
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
}

TEST_F(JoinerTest, OutlivesAReplicaWhoseChallengeIsNoneOfThePools) {
  first_.spoil_challenge = [](v1::GetChallengeResponse& response) {
    response.mutable_challenge()->mutable_mac()->front() ^= 1;
  };
  first_.grant_error = absl::UnavailableError("gone");
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_EQ(second_.challenges, 1);
}

// Whatever a key manager hands out instead of the grant, nothing is installed, the
// peer is blamed, and an honest replica still serves.
class LyingKeyManagerTest : public JoinerTest {
 protected:
  void ExpectLieIsNoUse(std::function<void(v1::IssueGrantResponse&)> lie) {
    first_.spoil_grant = std::move(lie);
    const absl::Status status = JoinOne();
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(IsRemote(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("first:1"));
    EXPECT_FALSE(MayRead(0));
    ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
    EXPECT_TRUE(MayRead(1));
  }
};

TEST_F(LyingKeyManagerTest, AnUnsignedGrantIsNoUse) {
  ExpectLieIsNoUse([](v1::IssueGrantResponse& response) {
    response.mutable_grant()->clear_signature();
    response.mutable_grant()->clear_key_id();
  });
}

TEST_F(LyingKeyManagerTest, AGrantSignedAnewByAStrangerIsNoUse) {
  TestProvider stranger(kTestTime, 77);
  ExpectLieIsNoUse([&](v1::IssueGrantResponse& response) {
    auto signed_anew = SignEnvelope(payload_type::kGrant, response.grant().payload(),
                                    stranger.key_manager.key, stranger.key_manager.Chain());
    ASSERT_TRUE(signed_anew.ok());
    *response.mutable_grant() = *signed_anew;
  });
}

TEST_F(LyingKeyManagerTest, AGrantForAnotherExchangeIsNoUse) {
  v1::SignedEnvelope another;
  {
    securespace::TestWorld other_world;
    keymanager::RecordedRefusals refusals;
    auto authority = keymanager::MakeAuthority(other_world.provider,
                                               {other_world.clock, other_world.random, refusals});
    keymanager::DirectClient direct(*authority);
    SpoiltClient client(direct, other_world.clock);
    client.spoil_grant = [&](v1::IssueGrantResponse& response) { another = response.grant(); };
    const v1::SignedEnvelope voucher = other_world.Voucher(0, 9);
    const VerifiedVoucher verified =
        *VerifyVoucher(voucher, other_world.session.session(), kTestTime);
    Joiner joiner(other_world.session.session(), voucher, verified, other_world.space(),
                  {{"x:1", &client}});
    joiner.Start({}, kTestTime);
    while (!joiner.done()) joiner.Step(kTestTime);
    ASSERT_TRUE(joiner.result().ok()) << joiner.result();
  }
  ExpectLieIsNoUse([&](v1::IssueGrantResponse& response) { *response.mutable_grant() = another; });
}

TEST_F(LyingKeyManagerTest, ACiphertextWithABitFlippedIsNoUse) {
  ExpectLieIsNoUse([&](v1::IssueGrantResponse& response) {
    v1::SealedGrant sealed;
    ASSERT_TRUE(sealed.ParseFromString(response.grant().payload()));
    sealed.mutable_ciphertext()->front() ^= 1;
    auto signed_anew =
        SignEnvelope(payload_type::kGrant, Serialise(sealed), world_.provider.key_manager.key,
                     world_.provider.key_manager.Chain());
    ASSERT_TRUE(signed_anew.ok());
    *response.mutable_grant() = *signed_anew;
  });
}

TEST_F(LyingKeyManagerTest, AnEmptyAnswerIsNoUse) {
  ExpectLieIsNoUse([](v1::IssueGrantResponse& response) { response.Clear(); });
}

}  // namespace
}  // namespace nark::receiver
