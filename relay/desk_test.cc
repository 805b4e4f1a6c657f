#include "relay/desk.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "common/crypto/random.h"

namespace nark::relay {
namespace {

using std::chrono::seconds;

Endpoint At(uint32_t host, uint16_t port = 5000) {
  Endpoint endpoint;
  endpoint.address[10] = endpoint.address[11] = 0xff;
  StoreBig32(&endpoint.address[12], host);
  endpoint.port = port;
  return endpoint;
}

Token MakeToken(uint64_t seed) {
  SeededRandom random(seed);
  return *Token::Parse(Token::Make("site", random)->Reveal());
}

constexpr uint64_t kTag = 77;

class DeskTest : public testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void Open(DeskOptions options) {
    options.tags = {kTag, 3};
    auto desk = Desk::Create(std::move(options), random_);
    ASSERT_TRUE(desk.ok()) << desk.status();
    desk_ = *std::move(desk);
    std::vector<Token> tokens;
    tokens.push_back(MakeToken(1));
    tokens.push_back(MakeToken(2));
    desk_->SetTokens(std::move(tokens), now_);
  }
  Desk::Reply Give(ByteView message, const Endpoint& from) {
    const Desk::Reply reply = desk_->OnMessage(message, from, now_);
    sent_ += message.size();
    if (reply.message) {
      got_ += reply.message->size();
      EXPECT_LT(reply.message->size(), message.size()) << "an answer larger than its request";
    }
    return reply;
  }
  Cookie CookieFor(const Endpoint& from) {
    const Desk::Reply reply = Give(Serialise(Hello{}), from);
    EXPECT_EQ(reply.verdict, Verdict::kCookie);
    return ParseCookieMessage(*reply.message)->cookie;
  }
  Subscribe Asking(uint8_t subscriber, uint64_t serial, const Endpoint& from, const Token& token) {
    Subscribe subscribe;
    subscribe.cookie = CookieFor(from);
    subscribe.credential = token.id();
    subscribe.subscriber.fill(subscriber);
    subscribe.serial = serial;
    subscribe.lease_seconds = 30;
    subscribe.tags = {kTag};
    return subscribe;
  }
  Bytes Signed(const Subscribe& subscribe) { return Serialise(subscribe, token_.subscriber_key()); }
  Desk::Reply Join(uint8_t subscriber, uint64_t serial, const Endpoint& from) {
    return Give(Signed(Asking(subscriber, serial, from, token_)), from);
  }
  bool Receives(const Endpoint& endpoint) {
    for (const Subscriber* one : desk_->Receivers(kTag)) {
      if (one->endpoint == endpoint) return true;
    }
    return false;
  }

  SeededRandom random_{9};
  Token token_ = MakeToken(1);
  Token other_ = MakeToken(2);
  Timestamp now_{seconds(100)};
  std::unique_ptr<Desk> desk_;
  uint64_t sent_ = 0;
  uint64_t got_ = 0;
};

TEST_F(DeskTest, SubscribesWhoProvesAddressAndToken) {
  const Desk::Reply reply = Join(1, 1, At(1));
  ASSERT_EQ(reply.verdict, Verdict::kSubscribed);
  const auto answer = ParseAnswer(*reply.message);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, AnswerStatus::kAccepted);
  EXPECT_EQ(answer->lease_seconds, 30);
  EXPECT_TRUE(HasMac(*reply.message, token_.answer_key()));
  EXPECT_TRUE(Receives(At(1)));
  EXPECT_TRUE(desk_->Receivers(3).empty());
}

TEST_F(DeskTest, ALeaseEndsUnlessItIsRenewed) {
  Join(1, 1, At(1));
  now_ += seconds(20);
  EXPECT_EQ(Join(1, 2, At(1)).verdict, Verdict::kRenewed);
  now_ += seconds(29);
  desk_->Advance(now_);
  EXPECT_TRUE(Receives(At(1)));
  now_ += seconds(1);
  desk_->Advance(now_);
  EXPECT_FALSE(Receives(At(1)));
  EXPECT_EQ(desk_->size(), 0u);
}

TEST_F(DeskTest, ASubscribeFromAnotherAddressThanItsCookieIsSilence) {
  const Bytes recorded = Signed(Asking(1, 1, At(1), token_));
  for (const Endpoint& from : {At(2), At(1, 5001)}) {
    const Desk::Reply reply = Give(recorded, from);
    EXPECT_EQ(reply.verdict, Verdict::kBadCookie);
    EXPECT_FALSE(reply.message);
  }
  EXPECT_EQ(desk_->size(), 0u);
}

TEST_F(DeskTest, AReplayFromTheSameAddressChangesNothing) {
  const Bytes recorded = Signed(Asking(1, 1, At(1), token_));
  EXPECT_EQ(Give(recorded, At(1)).verdict, Verdict::kSubscribed);
  now_ += seconds(10);
  const Desk::Reply again = Give(recorded, At(1));
  EXPECT_EQ(again.verdict, Verdict::kReplayed);
  EXPECT_FALSE(again.message);
  now_ += seconds(20);
  desk_->Advance(now_);
  EXPECT_EQ(desk_->size(), 0u) << "the replay has renewed the lease";
}

TEST_F(DeskTest, AReplayAfterALeaveOrAnEndBringsNobodyBack) {
  const Bytes recorded = Signed(Asking(1, 1, At(1), token_));
  EXPECT_EQ(Give(recorded, At(1)).verdict, Verdict::kSubscribed);
  Subscribe leave = Asking(1, 2, At(1), token_);
  leave.lease_seconds = 0;
  EXPECT_EQ(Give(Signed(leave), At(1)).verdict, Verdict::kLeft);
  EXPECT_EQ(Give(recorded, At(1)).verdict, Verdict::kBadCookie);
  EXPECT_EQ(desk_->size(), 0u);
  now_ += seconds(1);
  EXPECT_EQ(Join(1, 3, At(1)).verdict, Verdict::kSubscribed) << "a new cookie counts again";
}

TEST_F(DeskTest, CookiesExpireAndCannotBeMadeUp) {
  Subscribe asked = Asking(1, 1, At(1), token_);
  for (size_t bit = 0; bit < 8 * kCookieBytes; ++bit) {
    Subscribe forged = asked;
    forged.cookie[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_EQ(Give(Signed(forged), At(1)).verdict, Verdict::kBadCookie) << "bit " << bit;
  }
  now_ += CookieJar::kLife + std::chrono::microseconds(1);
  EXPECT_EQ(Give(Signed(asked), At(1)).verdict, Verdict::kBadCookie);
  // Nor do those of a relay that ran before.
  asked = Asking(1, 1, At(1), token_);
  Open({});
  EXPECT_EQ(Give(Signed(asked), At(1)).verdict, Verdict::kBadCookie);
}

TEST_F(DeskTest, WhoeverHasNoTokenIsToldSoWithoutAMac) {
  const Token stranger = MakeToken(99);
  const Desk::Reply unknown =
      Give(Serialise(Asking(1, 1, At(1), stranger), stranger.subscriber_key()), At(1));
  EXPECT_EQ(unknown.verdict, Verdict::kRefused);
  EXPECT_EQ(unknown.status, AnswerStatus::kUnauthorised);
  EXPECT_TRUE(ParseAnswer(*unknown.message).ok());
  // A known credential under another key, and another's key.
  for (const Token* key : {&stranger, static_cast<const Token*>(&other_)}) {
    const Desk::Reply reply =
        Give(Serialise(Asking(1, 1, At(1), token_), key->subscriber_key()), At(1));
    EXPECT_EQ(reply.status, AnswerStatus::kUnauthorised);
  }
  EXPECT_EQ(desk_->size(), 0u);
}

TEST_F(DeskTest, EveryFlippedBitAndTruncationSubscribesNobody) {
  const Bytes good = Signed(Asking(1, 1, At(1), token_));
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes flipped = good;
    flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    Give(flipped, At(1));
    ASSERT_EQ(desk_->size(), 0u) << "bit " << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(Give(ByteView(good).first(size), At(1)).verdict, Verdict::kMalformed);
  }
  Bytes oversized = good;
  oversized.resize(1452);
  EXPECT_EQ(Give(oversized, At(1)).verdict, Verdict::kMalformed);
  EXPECT_EQ(Give(good, At(1)).verdict, Verdict::kSubscribed);
}

TEST_F(DeskTest, MessagesForSubscribersAreNotAnswered) {
  // Or two relays would talk to each other for ever.
  EXPECT_FALSE(Give(Serialise(CookieMessage{}), At(1)).message);
  EXPECT_FALSE(Give(Serialise(Answer{}, nullptr), At(1)).message);
}

TEST_F(DeskTest, NobodyEndsSomebodyElsesSubscription) {
  ASSERT_EQ(Join(1, 1, At(1)).verdict, Verdict::kSubscribed);
  // The same site from elsewhere, with the subscriber's id.
  Subscribe leave = Asking(1, 2, At(2), token_);
  leave.lease_seconds = 0;
  EXPECT_EQ(Give(Signed(leave), At(2)).verdict, Verdict::kNotTheirs);
  // Another site with the id.
  leave = Asking(1, 2, At(2), other_);
  leave.lease_seconds = 0;
  EXPECT_EQ(Give(Serialise(leave, other_.subscriber_key()), At(2)).verdict, Verdict::kNotTheirs);
  EXPECT_TRUE(Receives(At(1)));
}

TEST_F(DeskTest, ANewAddressTakesTheSubscriptionAlong) {
  ASSERT_EQ(Join(1, 1, At(1)).verdict, Verdict::kSubscribed);
  const Bytes before = Signed(Asking(1, 9, At(1), token_));
  EXPECT_EQ(Join(1, 2, At(2, 6000)).verdict, Verdict::kMoved);
  EXPECT_FALSE(Receives(At(1)));
  EXPECT_TRUE(Receives(At(2, 6000)));
  EXPECT_EQ(desk_->size(), 1u);
  // What was made for the old address does not lead the stream back there.
  EXPECT_EQ(Give(before, At(1)).verdict, Verdict::kBadCookie);
}

TEST_F(DeskTest, AnAddressHasOneSubscription) {
  Join(1, 1, At(1));
  now_ += seconds(1);
  EXPECT_EQ(Join(2, 1, At(1)).verdict, Verdict::kSubscribed);
  EXPECT_EQ(desk_->size(), 1u);
  EXPECT_EQ(desk_->Receivers(kTag).size(), 1u);
}

TEST_F(DeskTest, OnlyTagsThatAreServed) {
  Subscribe asked = Asking(1, 1, At(1), token_);
  asked.tags = {kTag, kTag + 1};
  const Desk::Reply reply = Give(Signed(asked), At(1));
  EXPECT_EQ(reply.status, AnswerStatus::kSession);
  EXPECT_TRUE(HasMac(*reply.message, token_.answer_key()));
  EXPECT_EQ(desk_->size(), 0u);
}

TEST_F(DeskTest, CapsHold) {
  Open({.tags = {}, .subscribers = 4, .per_address = 2, .per_credential = 3});
  EXPECT_EQ(Join(1, 1, At(1, 1)).verdict, Verdict::kSubscribed);
  EXPECT_EQ(Join(2, 1, At(1, 2)).verdict, Verdict::kSubscribed);
  EXPECT_EQ(Join(3, 1, At(1, 3)).status, AnswerStatus::kAddressFull);
  EXPECT_EQ(Join(3, 1, At(3)).verdict, Verdict::kSubscribed);
  EXPECT_EQ(Join(4, 1, At(4)).status, AnswerStatus::kCredentialFull);
  const auto join_other = [&](uint8_t id, const Endpoint& from) {
    return Give(Serialise(Asking(id, 1, from, other_), other_.subscriber_key()), from);
  };
  EXPECT_EQ(join_other(5, At(5)).verdict, Verdict::kSubscribed);
  EXPECT_EQ(join_other(6, At(6)).status, AnswerStatus::kFull);
  // Who has a place renews, and frees it by leaving.
  EXPECT_EQ(Join(1, 2, At(1, 1)).verdict, Verdict::kRenewed);
  Subscribe leave = Asking(1, 3, At(1, 1), token_);
  leave.lease_seconds = 0;
  Give(Signed(leave), At(1, 1));
  EXPECT_EQ(join_other(6, At(6)).verdict, Verdict::kSubscribed);
}

TEST_F(DeskTest, AnIpv6NetworkCountsAsOneAddress) {
  Open({.tags = {}, .per_address = 1});
  Endpoint first;
  first.address = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9};
  first.port = 5000;
  Endpoint second = first;
  second.address[15] = 1;
  EXPECT_EQ(Join(1, 1, first).verdict, Verdict::kSubscribed);
  EXPECT_EQ(Join(2, 1, second).status, AnswerStatus::kAddressFull);
}

TEST_F(DeskTest, IcmpEndsASubscriptionAtTheThirdTime) {
  Join(1, 1, At(1));
  desk_->OnUnreachable(At(1), now_);
  desk_->OnUnreachable(At(1), now_);
  desk_->OnUnreachable(At(2), now_);
  EXPECT_TRUE(Receives(At(1)));
  Join(1, 2, At(1));  // it is there after all
  desk_->OnUnreachable(At(1), now_);
  desk_->OnUnreachable(At(1), now_);
  EXPECT_TRUE(Receives(At(1)));
  desk_->OnUnreachable(At(1), now_);
  EXPECT_FALSE(Receives(At(1)));
  EXPECT_EQ(desk_->unreachable(), 1u);
}

TEST_F(DeskTest, ACredentialThatIsTakenAwayEndsItsSubscriptions) {
  Join(1, 1, At(1));
  Give(Serialise(Asking(2, 1, At(2), other_), other_.subscriber_key()), At(2));
  std::vector<Token> left;
  left.push_back(MakeToken(2));
  desk_->SetTokens(std::move(left), now_);
  EXPECT_FALSE(Receives(At(1)));
  EXPECT_TRUE(Receives(At(2)));
  now_ += seconds(1);  // else the cookie is of before
  EXPECT_EQ(Join(1, 2, At(1)).status, AnswerStatus::kUnauthorised);
}

TEST_F(DeskTest, TakesNobodyWhenItIsAboutToEnd) {
  Join(1, 1, At(1));
  desk_->SetEnding();
  EXPECT_EQ(Join(2, 1, At(2)).status, AnswerStatus::kEnding);
  EXPECT_TRUE(Receives(At(1)));
}

TEST_F(DeskTest, FloodsOfAnyKindTakeNoMemoryAndGiveBackLess) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Open({.tags = {}, .subscribers = 50, .per_address = 5, .per_credential = 1000});
  sent_ = got_ = 0;
  SeededRandom random(seed);
  for (uint32_t i = 0; i < 20000; ++i) {
    now_ += std::chrono::milliseconds(1);
    const Endpoint from = At(random.Below(3) == 0 ? 1 : static_cast<uint32_t>(random.Below(1000)),
                             static_cast<uint16_t>(random.Below(60000)));
    switch (random.Below(4)) {
      case 0:
        Give(Serialise(Hello{}), from);
        break;
      case 1: {
        Subscribe asked;
        asked.tags = {kTag};
        Give(Serialise(asked, other_.subscriber_key()), from);
        break;
      }
      case 2: {
        Bytes junk(random.Below(1500));
        ASSERT_TRUE(random.Fill(junk).ok());
        Give(junk, from);
        break;
      }
      default:
        Subscribe asked = Asking(0, i + 1, from, token_);
        StoreBig32(asked.subscriber.data(), i);
        Give(Signed(asked), from);
    }
    ASSERT_LE(desk_->size(), 50u);
  }
  EXPECT_EQ(desk_->size(), 50u);
  EXPECT_LT(got_, sent_);
  std::map<std::array<uint8_t, 16>, int> per_address;
  for (const Subscriber* one : desk_->Subscribers()) {
    EXPECT_LE(++per_address[one->endpoint.Site()], 5);
  }
}

TEST_F(DeskTest, WhoProvesNothingGetsNotOneByteMoreThanItSent) {
  // All that a stranger can send, and the largest answer that each brings.
  const Token stranger = MakeToken(99);
  double worst = 0;
  const auto measure = [&](ByteView message) {
    const Desk::Reply reply = Give(message, At(1));
    const double got = reply.message ? static_cast<double>(reply.message->size()) : 0;
    worst = std::max(worst, got / static_cast<double>(message.size()));
  };
  measure(Serialise(Hello{}));
  measure(Serialise(Asking(1, 1, At(1), stranger), stranger.subscriber_key()));
  measure(Serialise(Asking(1, 1, At(1), token_), stranger.subscriber_key()));
  measure(Serialise(Subscribe{.tags = {kTag}}, token_.subscriber_key()));
  measure(Serialise(CookieMessage{}));
  measure(Serialise(Answer{}, nullptr));
  RecordProperty("amplification", std::to_string(worst));
  EXPECT_GT(worst, 0.5);  // something was answered
  EXPECT_LT(worst, 0.7);
  EXPECT_EQ(desk_->size(), 0u);
}

}  // namespace
}  // namespace nark::relay
