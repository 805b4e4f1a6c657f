#include "relay/client/subscription.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "relay/client/source.h"

namespace nark::relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Token MakeToken(uint64_t seed) {
  SeededRandom random(seed);
  return *Token::Parse(Token::Make("site", random)->Reveal());
}

// A subscriber, and a relay that says what the test wants.
class SubscriptionTest : public testing::Test {
 protected:
  void SetUp() override { Begin(); }
  void Begin() {
    auto made = Subscription::Create({.relay = "relay:1"}, MakeToken(1), {5}, random_, now_);
    ASSERT_TRUE(made.ok()) << made.status();
    subscription_.emplace(*std::move(made));
  }
  // The hello that is due now.
  Hello Due() {
    const auto sent = subscription_->Advance(now_);
    if (!sent.ok() || !sent->has_value()) {
      ADD_FAILURE() << "nothing is due: " << sent.status();
      return {};
    }
    return *ParseHello(**sent);
  }
  bool IsSilent() {
    const auto sent = subscription_->Advance(now_);
    return sent.ok() && !sent->has_value();
  }
  Subscribe GiveCookie(const Hello& hello) {
    CookieMessage cookie{hello.nonce, {}};
    cookie.cookie.fill(7);
    const auto sent = subscription_->OnMessage(Serialise(cookie), now_);
    return sent ? *ParseSubscribe(*sent) : Subscribe{};
  }
  void GiveAnswer(const Subscribe& to, AnswerStatus status, const Token* token,
                  uint16_t lease = 30) {
    Answer answer{to.nonce, to.serial, status, lease};
    EXPECT_EQ(subscription_->OnMessage(
                  Serialise(answer, token == nullptr ? nullptr : &token->answer_key()), now_),
              std::nullopt);
  }
  void Accept() { GiveAnswer(GiveCookie(Due()), AnswerStatus::kAccepted, &token_); }

  SeededRandom random_{4};
  Token token_ = MakeToken(1);
  Timestamp now_{seconds(1000)};
  std::optional<Subscription> subscription_;
};

TEST_F(SubscriptionTest, SubscribesInTwoRoundTrips) {
  const Subscribe asked = GiveCookie(Due());
  EXPECT_EQ(asked.credential, token_.id());
  EXPECT_EQ(asked.tags, std::vector<uint64_t>{5});
  EXPECT_EQ(asked.cookie[0], 7);
  EXPECT_FALSE(subscription_->subscribed(now_));
  GiveAnswer(asked, AnswerStatus::kAccepted, &token_);
  EXPECT_TRUE(subscription_->subscribed(now_ + seconds(29)));
  EXPECT_FALSE(subscription_->subscribed(now_ + seconds(30)));
  EXPECT_TRUE(IsSilent());
}

TEST_F(SubscriptionTest, RenewsAtAThirdOfTheLeaseWithANewNonceAndAHigherSerial) {
  const Hello first = Due();
  const Subscribe asked = GiveCookie(first);
  GiveAnswer(asked, AnswerStatus::kAccepted, &token_);
  now_ += seconds(9);
  subscription_->OnDatagram(now_);
  EXPECT_TRUE(IsSilent());
  now_ += seconds(1);
  const Hello second = Due();
  EXPECT_NE(second.nonce, first.nonce);
  const Subscribe renewed = GiveCookie(second);
  EXPECT_GT(renewed.serial, asked.serial);
  EXPECT_EQ(renewed.subscriber, asked.subscriber);
}

TEST_F(SubscriptionTest, AsksAgainEverMoreSlowlyAndGivesUpAtFirst) {
  (void)Due();
  int hellos = 1;
  absl::Status end;
  for (const Timestamp start = now_; end.ok() && now_ - start < seconds(20);
       now_ += milliseconds(10)) {
    const auto sent = subscription_->Advance(now_);
    end = sent.status();
    hellos += sent.ok() && sent->has_value() ? 1 : 0;
  }
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable) << end;
  EXPECT_TRUE(IsRemote(end));
  EXPECT_NE(end.message().find("relay:1"), absl::string_view::npos) << end;
  EXPECT_EQ(hellos, 6);  // 0, 0.25, 0.75, 1.75, 3.75, 7.75 s
}

TEST_F(SubscriptionTest, SilenceRenewsBecauseTheRelayMayHaveForgotten) {
  Accept();
  now_ += milliseconds(1900);
  EXPECT_TRUE(IsSilent());
  now_ += milliseconds(100);
  (void)Due();
  Begin();
  Accept();
  for (int i = 0; i < 40; ++i) {  // while datagrams come there is no need
    now_ += milliseconds(200);
    subscription_->OnDatagram(now_);
    EXPECT_TRUE(IsSilent());
  }
}

TEST_F(SubscriptionTest, NeverGivesUpOnceItWasAccepted) {
  Accept();
  for (int i = 0; i < 3600; ++i, now_ += seconds(1)) {
    ASSERT_TRUE(subscription_->Advance(now_).ok());
  }
  now_ += seconds(5);
  Accept();
  EXPECT_TRUE(subscription_->subscribed(now_));
}

TEST_F(SubscriptionTest, TheFirstRefusalIsFinalAndSaysWhy) {
  GiveAnswer(GiveCookie(Due()), AnswerStatus::kUnauthorised, nullptr);
  const absl::Status end = subscription_->Advance(now_).status();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(IsRemote(end));
  EXPECT_NE(end.message().find("does not know the token"), absl::string_view::npos) << end;
}

TEST_F(SubscriptionTest, LaterRefusalsAreRetried) {
  Accept();
  now_ += seconds(10);
  GiveAnswer(GiveCookie(Due()), AnswerStatus::kFull, &token_);
  EXPECT_TRUE(subscription_->Advance(now_).ok());
  EXPECT_EQ(subscription_->refusals(), 1u);
  now_ += seconds(10);
  Accept();
  EXPECT_TRUE(subscription_->subscribed(now_));
}

TEST_F(SubscriptionTest, NothingForgedIsBelieved) {
  const Token other = MakeToken(2);
  Hello hello = Due();
  hello.nonce[3] ^= 1;
  EXPECT_EQ(GiveCookie(hello).serial, 0u);  // another nonce
  hello.nonce[3] ^= 1;
  Subscribe asked = GiveCookie(hello);
  ASSERT_NE(asked.serial, 0u);
  GiveAnswer(asked, AnswerStatus::kAccepted, nullptr);  // no MAC
  GiveAnswer(asked, AnswerStatus::kAccepted, &other);   // another key's
  GiveAnswer(asked, AnswerStatus::kFull, nullptr);      // a refusal that would need one
  asked.serial += 1;
  GiveAnswer(asked, AnswerStatus::kAccepted, &token_);
  asked.serial -= 1;
  asked.nonce[0] ^= 1;
  GiveAnswer(asked, AnswerStatus::kUnauthorised, nullptr);  // from who has not seen the request
  EXPECT_FALSE(subscription_->subscribed(now_));
  EXPECT_TRUE(subscription_->Advance(now_).ok());
  asked.nonce[0] ^= 1;
  GiveAnswer(asked, AnswerStatus::kAccepted, &token_);
  EXPECT_TRUE(subscription_->subscribed(now_));
}

TEST_F(SubscriptionTest, AnUnauthenticatedRefusalDoesNotEndWhatWasAccepted) {
  Accept();
  now_ += seconds(10);
  const Subscribe asked = GiveCookie(Due());
  GiveAnswer(asked, AnswerStatus::kUnauthorised, nullptr);
  EXPECT_TRUE(subscription_->Advance(now_).ok());
  GiveAnswer(asked, AnswerStatus::kAccepted, &token_);
  EXPECT_TRUE(subscription_->subscribed(now_ + seconds(29)));
}

TEST_F(SubscriptionTest, LeavesWithALeaseOfNothing) {
  EXPECT_EQ(subscription_->Leave(), std::nullopt);
  Accept();
  const auto leave = ParseSubscribe(*subscription_->Leave());
  ASSERT_TRUE(leave.ok());
  EXPECT_EQ(leave->lease_seconds, 0);
}

TEST(RelayAddressTest, TakesHostPortTokenAndWhatUdpTakes) {
  const auto address =
      RelayAddress::Parse("relay://[2001:db8::1]:7500?rcvbuf=1000&token=/a/b.token");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->token_file, "/a/b.token");
  EXPECT_EQ(address->udp.HostPort(), "[2001:db8::1]:7500");
  EXPECT_EQ(address->udp.receive_buffer_bytes, 1000);
  for (const std::string wrong :
       {"udp://1.2.3.4:5?token=a", "relay://1.2.3.4:5",
        "relay://1.2.3.4:5?token=", "relay://1.2.3.4:5?token=a&token=b", "relay://1.2.3.4?token=a",
        "relay://239.1.1.1:5?token=a", "relay://1.2.3.4:5?token=a&speed=9"}) {
    const auto refused = RelayAddress::Parse(wrong);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_NE(refused.status().message().find(wrong), absl::string_view::npos) << refused.status();
  }
}

}  // namespace
}  // namespace nark::relay
