#include "load/open_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Timestamp kBegin{seconds(1'000'000)};

// Virtual time: what is to happen when.
class Future {
 public:
  ManualClock clock{kBegin};

  Timestamp At(microseconds since_begin) const { return kBegin + since_begin; }
  void Plan(Timestamp at, std::function<void()> event) { events_.emplace(at, std::move(event)); }
  // The next event, if it is not after `at`.
  std::optional<Timestamp> NextUntil(Timestamp at) const {
    if (events_.empty() || events_.begin()->first > at) return std::nullopt;
    return events_.begin()->first;
  }
  void RunNext() {
    auto node = events_.extract(events_.begin());
    clock.Set(std::max(clock.Now(), node.key()));
    node.mapped()();
  }

 private:
  std::multimap<Timestamp, std::function<void()>> events_;
};

// When and how a replica answers a call that came at `now`.
struct Answer {
  Timestamp at;
  absl::Status status;
};

struct Replica {
  std::function<Answer(Timestamp now)> challenge, grant;
  int opened = 0, challenges = 0, grants = 0;
};

class FakeConnection final : public Connection {
 public:
  FakeConnection(Future& future, Replica& replica) : future_(future), replica_(replica) {}
  void Open(microseconds, std::function<void(absl::Status)> done) override {
    ++replica_.opened;
    done(absl::OkStatus());
  }
  void GetChallenge(const v1::GetChallengeRequest&, microseconds timeout,
                    std::function<void(absl::StatusOr<v1::Challenge>)> done) override {
    ++replica_.challenges;
    Finish<v1::Challenge>(replica_.challenge(future_.clock.Now()), timeout, std::move(done));
  }
  void IssueGrant(const v1::IssueGrantRequest&, microseconds timeout,
                  std::function<void(absl::StatusOr<v1::SignedEnvelope>)> done) override {
    ++replica_.grants;
    Finish<v1::SignedEnvelope>(replica_.grant(future_.clock.Now()), timeout, std::move(done));
  }
  Handshake handshake() const override { return Handshake::kKept; }

 private:
  template <typename Value>
  void Finish(Answer answer, microseconds timeout,
              std::function<void(absl::StatusOr<Value>)> done) {
    const Timestamp latest = future_.clock.Now() + timeout;
    if (answer.at > latest) answer = {latest, absl::DeadlineExceededError("slow")};
    future_.Plan(answer.at, [answer, done = std::move(done)] {
      answer.status.ok() ? done(Value()) : done(answer.status);
    });
  }
  Future& future_;
  Replica& replica_;
};

class FakeKeyManagers final : public KeyManagers {
 public:
  FakeKeyManagers(Future& future, std::vector<Replica>& replicas)
      : future_(future), replicas_(replicas) {}
  size_t count() const override { return replicas_.size(); }
  std::shared_ptr<Connection> Connect(size_t replica) override {
    return std::make_shared<FakeConnection>(future_, replicas_[replica]);
  }

 private:
  Future& future_;
  std::vector<Replica>& replicas_;
};

class FakeViewers final : public Viewers {
 public:
  absl::Status verdict;
  size_t count() const override { return 7; }
  v1::GetChallengeRequest ChallengeRequest(size_t) const override { return {}; }
  absl::StatusOr<Attested> Attest(size_t, const v1::Challenge&) const override {
    return Attested{{}, std::make_unique<Verdict>(verdict)};
  }

 private:
  struct Verdict final : PendingGrant {
    explicit Verdict(absl::Status status) : status(std::move(status)) {}
    absl::Status Check(const v1::SignedEnvelope&) const override { return status; }
    absl::Status status;
  };
};

class OpenLoopTest : public testing::Test {
 protected:
  static constexpr RateProfile kFiveSeconds{100, 100, seconds(5)};

  std::function<Answer(Timestamp)> After(microseconds delay, absl::Status status = {}) {
    return [=](Timestamp now) { return Answer{now + delay, status}; };
  }
  // Two replicas that answer each call after a millisecond.
  void SetUp() override {
    const Replica replica{After(milliseconds(1)), After(milliseconds(1))};
    replicas_ = {replica, replica};
    options_.check_part = 0;
  }

  // Runs it to its end. The generator does not get a turn from `frozen` on until `thawed`.
  Tally Run(const RateProfile& profile, microseconds frozen = microseconds(0),
            microseconds thawed = microseconds(0)) {
    FakeKeyManagers key_managers(future_, replicas_);
    OpenLoop loop(options_, *ArrivalProcess::Create(profile, Spacing::kEven, 1),
                  {.clock = future_.clock,
                   .viewers = viewers_,
                   .key_managers = key_managers,
                   .check = [](const std::function<void()>& work) { work(); }},
                  Tally(profile.duration));
    if (during_) during_(loop);
    while (const auto turn = loop.StartDue()) {
      const bool sleeps = *turn >= future_.At(frozen) && *turn < future_.At(thawed);
      const Timestamp wake = sleeps ? future_.At(thawed) : *turn;
      bool has_turn = false;
      while (!has_turn && future_.NextUntil(wake)) {
        future_.RunNext();
        const Timestamp now = future_.clock.Now();
        has_turn = now < future_.At(frozen) || now >= future_.At(thawed);
      }
      if (!has_turn) future_.clock.Set(std::max(future_.clock.Now(), wake));
    }
    EXPECT_EQ(loop.outstanding(), 0u);
    return loop.tally();
  }

  Future future_;
  std::vector<Replica> replicas_;
  FakeViewers viewers_;
  OpenLoopOptions options_;
  std::function<void(OpenLoop&)> during_;
};

// The joins that were due in the second from 2 s to 3 s all ended at its end: their
// latencies fall from a second to nothing.
void ExpectASecondLost(const Tally& tally) {
  ASSERT_EQ(tally.interval(), milliseconds(100));
  for (int i = 0; i < 10; ++i) {
    const auto& latency = tally.intervals()[static_cast<size_t>(20 + i)].latency;
    EXPECT_EQ(latency.count(), 10u);
    const double due_first_ms = 1000 - 100.0 * i;
    EXPECT_NEAR(std::chrono::duration<double>(latency.max()).count() * 1000, due_first_ms + 2, 1)
        << i;
  }
  // A hundred of five hundred: the part above any latency is as long as what is left of it.
  EXPECT_LT(tally.latency().Quantile(0.79), milliseconds(5));
  EXPECT_NEAR(static_cast<double>(tally.latency().Quantile(0.9).count()), 500e3, 20e3);
  EXPECT_NEAR(static_cast<double>(tally.latency().Quantile(0.98).count()), 900e3, 20e3);
}

TEST_F(OpenLoopTest, GrantsWhatIsDue) {
  const Tally tally = Run(kFiveSeconds);
  EXPECT_EQ(tally.counts().offered, 500u);
  EXPECT_EQ(tally.counts().started, 500u);
  EXPECT_EQ(tally.counts().granted, 500u);
  EXPECT_EQ(tally.counts().failed, 0u);
  EXPECT_EQ(tally.counts().attempts, 500u);
  EXPECT_EQ(tally.counts().late, 0u);
  EXPECT_EQ(tally.latency().max(), milliseconds(2));
  EXPECT_EQ(tally.challenge().Quantile(0.5), milliseconds(1));
  EXPECT_EQ(tally.grant().max(), milliseconds(1));
  EXPECT_EQ(tally.last_end(), milliseconds(4992));
  EXPECT_EQ(replicas_[0].grants, 250);
  EXPECT_EQ(replicas_[1].grants, 250);
}

// Coordinated omission: a closed loop would have made one slow join of this.
TEST_F(OpenLoopTest, AStallOfTheKeyManagersIsSeenByAllWhoWereDue) {
  for (Replica& replica : replicas_) {
    replica.challenge = [this](Timestamp now) {
      const bool stalls = now >= future_.At(seconds(2)) && now < future_.At(seconds(3));
      return Answer{stalls ? future_.At(milliseconds(3001)) : now + milliseconds(1), {}};
    };
  }
  const Tally tally = Run(kFiveSeconds);
  EXPECT_EQ(tally.counts().granted, 500u);
  EXPECT_EQ(tally.counts().late, 0u) << "it was not the generator";
  ExpectASecondLost(tally);
}

TEST_F(OpenLoopTest, AStallOfTheGeneratorIsSeenAndTold) {
  const Tally tally = Run(kFiveSeconds, seconds(2), seconds(3));
  EXPECT_EQ(tally.counts().granted, 500u);
  // Those due in the last 10 ms are not called late.
  EXPECT_NEAR(static_cast<double>(tally.counts().late), 99, 1);
  EXPECT_EQ(tally.lag().max(), seconds(1));
  ExpectASecondLost(tally);
}

TEST_F(OpenLoopTest, JoinsBeyondTheBoundAreNotStartedAndCounted) {
  for (Replica& replica : replicas_) replica.challenge = After(seconds(2));
  options_.most_outstanding = 10;
  const Tally tally = Run({100, 100, seconds(1)});
  EXPECT_EQ(tally.counts().offered, 100u);
  EXPECT_EQ(tally.counts().started, 10u);
  EXPECT_EQ(tally.counts().not_started, 90u);
  EXPECT_EQ(tally.counts().granted, 10u);
  EXPECT_EQ(tally.lag().count(), 10u);
  EXPECT_EQ(tally.intervals()[5].not_started, 10u);
}

TEST_F(OpenLoopTest, AReplicaThatIsGoneCostsAttemptsAndNoJoin) {
  replicas_[0].challenge = After(milliseconds(0), absl::UnavailableError("gone"));
  const Tally tally = Run(kFiveSeconds);
  EXPECT_EQ(tally.counts().granted, 500u);
  EXPECT_EQ(tally.counts().attempts, 750u);
  const FailureCount& failure = tally.failures().at({"UNAVAILABLE", ""});
  EXPECT_EQ(failure.attempts, 250u);
  EXPECT_EQ(failure.joins, 0u);
  EXPECT_EQ(failure.example, "gone");
  EXPECT_GT(tally.latency().max(), milliseconds(50)) << "the wait belongs to the join";
}

TEST_F(OpenLoopTest, EvidenceIsTakenToAnotherReplica) {
  replicas_[0].grant = After(milliseconds(0), absl::UnavailableError("gone"));
  const Tally tally = Run(kFiveSeconds);
  EXPECT_EQ(tally.counts().granted, 500u);
  EXPECT_EQ(replicas_[1].grants, 500);
  EXPECT_EQ(replicas_[0].challenges + replicas_[1].challenges, 500);
}

TEST_F(OpenLoopTest, RetriesHaveABudget) {
  for (Replica& replica : replicas_) {
    replica.challenge = After(milliseconds(1), absl::UnavailableError("gone"));
  }
  options_.retries = 2;
  const Tally tally = Run({100, 100, seconds(1)});
  EXPECT_EQ(tally.counts().failed, 100u);
  EXPECT_EQ(tally.counts().attempts, 300u);
  EXPECT_EQ(tally.failures().at({"UNAVAILABLE", ""}).attempts, 300u);
  EXPECT_EQ(tally.failures().at({"UNAVAILABLE", ""}).joins, 100u);
  EXPECT_EQ(tally.latency().count(), 0u) << "what failed has no latency";
}

TEST_F(OpenLoopTest, RetryInfoIsHonoured) {
  absl::Status limited =
      Refusal(absl::StatusCode::kResourceExhausted, "RATE_LIMITED", "too many joins");
  SetRetryAfterSeconds(limited, 2);
  for (Replica& replica : replicas_) {
    replica.grant = [this, limited](Timestamp now) {
      return Answer{now, now < future_.At(seconds(1)) ? limited : absl::OkStatus()};
    };
  }
  const Tally tally = Run({100, 100, seconds(1)});
  EXPECT_EQ(tally.counts().granted, 100u);
  EXPECT_EQ(tally.counts().attempts, 200u);
  EXPECT_GE(tally.latency().Quantile(0), seconds(2));
  EXPECT_LE(tally.latency().max(), milliseconds(3010));
  EXPECT_GT(tally.latency().Quantile(0.9), milliseconds(2800)) << "they do not come back at once";
  EXPECT_EQ(tally.failures().at({"RESOURCE_EXHAUSTED", "RATE_LIMITED"}).attempts, 100u);
}

TEST_F(OpenLoopTest, ARefusalThatStandsIsNotRepeated) {
  for (Replica& replica : replicas_) {
    replica.grant =
        After(milliseconds(0), Refusal(absl::StatusCode::kPermissionDenied, "DENIED", "denied"));
  }
  const Tally tally = Run({100, 100, seconds(1)});
  EXPECT_EQ(tally.counts().failed, 100u);
  EXPECT_EQ(tally.counts().attempts, 100u);
  EXPECT_EQ(tally.failures().at({"PERMISSION_DENIED", "DENIED"}).joins, 100u);
  EXPECT_EQ(tally.intervals()[0].failed, 10u);
}

TEST_F(OpenLoopTest, NoJoinOutlivesItsTime) {
  for (Replica& replica : replicas_) replica.challenge = After(seconds(60));
  options_.timeout = seconds(5);
  options_.call_timeout = seconds(3);
  options_.retries = 100;
  const Tally tally = Run({10, 10, seconds(1)});
  EXPECT_EQ(tally.counts().failed, 10u);
  EXPECT_LE(tally.last_end(), milliseconds(900 + 5000));
  EXPECT_GE(tally.last_end(), milliseconds(900 + 3000));
  EXPECT_EQ(tally.failures().at({"DEADLINE_EXCEEDED", ""}).joins, 10u);
}

TEST_F(OpenLoopTest, ChecksTheSampleThatWasAskedFor) {
  options_.check_part = 0.1;
  const Tally some = Run({1000, 1000, seconds(5)});
  EXPECT_EQ(some.counts().granted, 5000u);
  EXPECT_NEAR(static_cast<double>(some.counts().checked), 500, 100);
}

TEST_F(OpenLoopTest, AGrantThatDoesNotOpenIsAFailure) {
  options_.check_part = 1;
  viewers_.verdict = Refusal(absl::StatusCode::kUnauthenticated, "GRANT_REFUSED", "it is a lie");
  const Tally tally = Run({100, 100, seconds(1)});
  EXPECT_EQ(tally.counts().checked, 100u);
  EXPECT_EQ(tally.counts().granted, 0u);
  EXPECT_EQ(tally.failures().at({"UNAUTHENTICATED", "GRANT_REFUSED"}).joins, 100u);
}

TEST_F(OpenLoopTest, StoppingStartsNothingMore) {
  during_ = [this](OpenLoop& loop) {
    future_.Plan(future_.At(milliseconds(2005)), [&loop] { loop.Stop(); });
  };
  const Tally tally = Run(kFiveSeconds);
  EXPECT_EQ(tally.counts().offered, 201u);
  EXPECT_EQ(tally.counts().granted, 201u);
}

TEST_F(OpenLoopTest, StoppingGivesUpWhatWaits) {
  for (Replica& replica : replicas_) {
    replica.challenge = After(milliseconds(0), absl::UnavailableError("gone"));
  }
  options_.retries = 1'000'000;
  during_ = [this](OpenLoop& loop) {
    future_.Plan(future_.At(milliseconds(505)), [&loop] { loop.Stop(); });
  };
  const Tally tally = Run({10, 10, seconds(1)});
  EXPECT_EQ(tally.counts().started, 6u);
  EXPECT_EQ(tally.counts().failed, 6u);
  EXPECT_GE(tally.failures().at({"CANCELLED", ""}).joins, 1u);
}

}  // namespace
}  // namespace nark::load
