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
    if (absl::Status status = Failing(grant_error); !status.ok()) return status;
    auto response = real_.IssueGrant(request, timeout);
    if (response.ok() && spoil_grant) spoil_grant(*response);
    return response;
  }

  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                       milliseconds timeout,
                                       const BlockProgress& progress) override {
    ++blocks;
    if (absl::Status status = Pass(timeout); !status.ok()) return status;
    auto sealed = real_.GetMarkedBlock(request, timeout, progress);
    if (sealed.ok() && spoil_block) spoil_block(*sealed);
    return sealed;
  }

  absl::Status error;        // of every call
  absl::Status grant_error;  // of IssueGrant
  int recovers_after = -1;   // after so many errors there are none
  microseconds takes{0};     // beyond the timeout: DEADLINE_EXCEEDED
  std::function<void(v1::GetChallengeResponse&)> spoil_challenge;
  std::function<void(v1::IssueGrantResponse&)> spoil_grant;
  std::function<void(Bytes&)> spoil_block;
  v1::IssueGrantRequest last_request;
  int challenges = 0;
  int grants = 0;
  int blocks = 0;

 private:
  absl::Status Pass(milliseconds timeout) {
    if (takes >= timeout) {
      clock_.Advance(timeout);
      return absl::DeadlineExceededError("no answer");
    }
    clock_.Advance(takes);
    return Failing(error);
  }
  absl::Status Failing(const absl::Status& status) {
    if (status.ok() || recovers_after < 0 || recovers_after-- > 0) return status;
    error = grant_error = absl::OkStatus();
    return absl::OkStatus();
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

absl::Status Refused(const std::string& reason, int retry_seconds) {
  const bool attested = reason != "NOT_ATTESTED";
  absl::Status status =
      Refusal(attested ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnauthenticated,
              reason, "refused so");
  if (retry_seconds != 0) SetRetryAfterSeconds(status, retry_seconds);
  return status;
}

struct Fault {
  std::string name;
  std::string reason;  // empty: none
  int retry_seconds;
  absl::Status Error() const {
    return reason.empty() ? absl::InternalError("broken") : Refused(reason, retry_seconds);
  }
};

// What is wrong with one endpoint costs no join that another one grants, whatever that one
// says of when to come again, and whoever is asked first.
class OneFaultTest : public JoinerTest, public testing::WithParamInterface<Fault> {};

TEST_P(OneFaultTest, AnotherEndpointIsAskedAtOnce) {
  first_.grant_error = GetParam().Error();
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_LT(Took(), milliseconds(10));
  EXPECT_EQ(first_.grants, 1);
}

TEST_P(OneFaultTest, AnotherEndpointIsAskedForItsChallengeAtOnce) {
  first_.error = GetParam().Error();
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_LT(Took(), milliseconds(10));
  EXPECT_EQ(first_.challenges, 1);
}

TEST_P(OneFaultTest, AnotherEndpointIsAskedAlsoWithLittleTimeLeft) {
  first_.grant_error = GetParam().Error();
  const std::vector<KeyManagerEndpoint> both = {{"first:1", &first_}, {"second:2", &second_}};
  ASSERT_TRUE(Join(both, {.timeout = milliseconds(500)}).ok()) << joiner_->result();
}

TEST_P(OneFaultTest, AnotherEndpointIsWaitedForWhereItIsDown) {
  first_.grant_error = GetParam().Error();
  second_.error = absl::UnavailableError("connection refused");
  second_.recovers_after = 3;
  ASSERT_TRUE(JoinTwo().ok()) << joiner_->result();
  EXPECT_LT(Took(), seconds(2));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, OneFaultTest,
    testing::Values(Fault{"StaleLists", "LISTS_EXPIRED", 30},
                    Fault{"NoKeys", "KEYS_UNAVAILABLE", 5}, Fault{"Overloaded", "OVERLOADED", 2},
                    Fault{"OverloadedForADay", "OVERLOADED", 86400},
                    Fault{"OverloadedWithoutEnd", "OVERLOADED", 0},
                    Fault{"LimitedForADay", "RATE_LIMITED", 86400}, Fault{"Broken", "INTERNAL", 0},
                    Fault{"BrokenWithoutReason", "", 0}, Fault{"NotAttested", "NOT_ATTESTED", 0}),
    [](const auto& info) { return info.param.name; });

struct CommonFault {
  std::string name;
  size_t endpoints;
  Fault fault;         // of all of them
  microseconds least;  // how long it takes to end
  microseconds most;
  int asks;  // at most, of all together
};

class CommonFaultTest : public JoinerTest, public testing::WithParamInterface<CommonFault> {};

TEST_P(CommonFaultTest, EndsWithItsReasonAndNeitherEarlyNorInAStorm) {
  const CommonFault& expected = GetParam();
  first_.grant_error = second_.grant_error = expected.fault.Error();
  const absl::Status status = expected.endpoints == 1 ? JoinOne() : JoinTwo();
  EXPECT_TRUE(IsRemote(status));
  EXPECT_EQ(ReasonOf(status), expected.fault.reason);
  EXPECT_GE(Took(), expected.least);
  EXPECT_LE(Took(), expected.most);
  EXPECT_GE(first_.grants + second_.grants, static_cast<int>(expected.endpoints));
  EXPECT_LE(first_.grants + second_.grants, expected.asks);
}

// One address may stand for many replicas, of which a balancer picks another the next time.
INSTANTIATE_TEST_SUITE_P(
    Faults, CommonFaultTest,
    testing::Values(
        CommonFault{"StaleLists", 2, {"All", "LISTS_EXPIRED", 30}, seconds(0), milliseconds(10), 2},
        CommonFault{"StaleListsAtOneAddress",
                    1,
                    {"All", "LISTS_EXPIRED", 30},
                    seconds(10),
                    milliseconds(10'001),
                    13},
        CommonFault{"NoKeys", 2, {"All", "KEYS_UNAVAILABLE", 5}, seconds(5), seconds(6), 4},
        CommonFault{"NoKeysAtOneAddress",
                    1,
                    {"All", "KEYS_UNAVAILABLE", 5},
                    seconds(10),
                    milliseconds(10'001),
                    13},
        CommonFault{"Overloaded", 2, {"All", "OVERLOADED", 2}, seconds(6), seconds(10), 12},
        CommonFault{
            "OverloadedAtOneAddress", 1, {"All", "OVERLOADED", 2}, seconds(6), seconds(10), 6},
        CommonFault{
            "OverloadedForADay", 2, {"All", "OVERLOADED", 86400}, seconds(0), milliseconds(10), 2},
        CommonFault{"OverloadedForADayAtOneAddress",
                    1,
                    {"All", "OVERLOADED", 86400},
                    seconds(0),
                    milliseconds(10),
                    1},
        CommonFault{
            "LimitedForADay", 2, {"All", "RATE_LIMITED", 86400}, seconds(0), milliseconds(10), 2},
        CommonFault{"Broken", 2, {"All", "INTERNAL", 0}, seconds(10), milliseconds(10'001), 26},
        CommonFault{"NotAttested", 2, {"All", "NOT_ATTESTED", 0}, seconds(0), milliseconds(10), 2},
        CommonFault{"NotAttestedAtOneAddress",
                    1,
                    {"All", "NOT_ATTESTED", 0},
                    seconds(0),
                    milliseconds(10),
                    1}),
    [](const auto& info) { return info.param.name; });

TEST_F(JoinerTest, IsGrantedByAnotherReplicaBehindOneAddress) {
  first_.grant_error = Refused("LISTS_EXPIRED", 30);
  first_.recovers_after = 1;
  const std::vector<KeyManagerEndpoint> balanced = {{"first:1", &first_}};
  ASSERT_TRUE(Join(balanced, {.spread = 0.5}).ok()) << joiner_->result();
  EXPECT_EQ(Took(), milliseconds(150));
  EXPECT_EQ(first_.challenges, 1);
}

// Each has its own say, of a challenge of its own; two of three are enough.
TEST_F(JoinerTest, IsNotAttestedWhereTwoSaySo) {
  SpoiltClient third(direct_, world_.clock);
  first_.grant_error = second_.grant_error = Refused("NOT_ATTESTED", 0);
  const absl::Status status =
      Join({{"first:1", &first_}, {"second:2", &second_}, {"third:3", &third}});
  EXPECT_EQ(ReasonOf(status), "NOT_ATTESTED");
  EXPECT_EQ(first_.challenges, 1);
  EXPECT_EQ(second_.challenges, 1);
  EXPECT_EQ(third.challenges, 0);
}

TEST_F(JoinerTest, TellsWhatWasRefusedRatherThanWhoWasNotReached) {
  first_.grant_error = Refused("NOT_ATTESTED", 0);
  second_.error = absl::UnavailableError("connection refused");
  const absl::Status status = JoinTwo();
  EXPECT_EQ(ReasonOf(status), "NOT_ATTESTED");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no key manager granted this within 10 s: key manager first:1"));
  EXPECT_EQ(first_.grants, 1);
}

// Held back for half a minute, the challenge would be too old for any replica.
TEST_F(JoinerTest, TakesAFreshChallengeAfterALongWait) {
  first_.grant_error = second_.grant_error = Refused("LISTS_EXPIRED", 59);
  first_.recovers_after = 1;
  const std::vector<KeyManagerEndpoint> both = {{"first:1", &first_}, {"second:2", &second_}};
  ASSERT_TRUE(Join(both, {.timeout = seconds(90), .spread = 0.4}).ok()) << joiner_->result();
  EXPECT_EQ(first_.challenges, 2);
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
