#include "relay/client/message.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "relay/client/token.h"

namespace nark::relay {
namespace {

const HmacSha256Key& Key() {
  static const HmacSha256Key key(AsBytes("a key of thirty-two bytes, yes !"));
  return key;
}

Subscribe SomeSubscribe() {
  Subscribe subscribe;
  subscribe.nonce.fill(1);
  subscribe.cookie.fill(2);
  subscribe.credential.fill(3);
  subscribe.subscriber.fill(4);
  subscribe.serial = 0x0102030405060708;
  subscribe.lease_seconds = 30;
  subscribe.tags = {7, 9};
  return subscribe;
}

Answer SomeAnswer() {
  Answer answer;
  answer.nonce.fill(5);
  answer.serial = 6;
  answer.status = AnswerStatus::kFull;
  answer.lease_seconds = 20;
  return answer;
}

std::vector<Bytes> OneOfEach() {
  Hello hello;
  hello.nonce.fill(9);
  CookieMessage cookie;
  cookie.nonce.fill(8);
  cookie.cookie.fill(7);
  return {Serialise(hello), Serialise(cookie), Serialise(SomeSubscribe(), Key()),
          Serialise(SomeAnswer(), &Key())};
}

bool Parses(ByteView message) {
  return ParseHello(message).ok() || ParseCookieMessage(message).ok() ||
         ParseSubscribe(message).ok() || ParseAnswer(message).ok();
}

TEST(MessageTest, ComesBackAsItWas) {
  const auto subscribe = ParseSubscribe(Serialise(SomeSubscribe(), Key()));
  ASSERT_TRUE(subscribe.ok()) << subscribe.status();
  EXPECT_EQ(Serialise(*subscribe, Key()), Serialise(SomeSubscribe(), Key()));
  EXPECT_EQ(subscribe->tags, SomeSubscribe().tags);
  EXPECT_EQ(subscribe->serial, SomeSubscribe().serial);
  const auto answer = ParseAnswer(Serialise(SomeAnswer(), &Key()));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, AnswerStatus::kFull);
  EXPECT_EQ(answer->lease_seconds, 20);
  EXPECT_EQ(Serialise(*answer, &Key()), Serialise(SomeAnswer(), &Key()));
}

TEST(MessageTest, SizesAreThoseOfThePageAndAnswersTheSmaller) {
  const std::vector<Bytes> all = OneOfEach();
  EXPECT_EQ(all[0].size(), 64u);
  EXPECT_EQ(all[1].size(), 44u);
  EXPECT_EQ(all[2].size(), 184u);
  EXPECT_EQ(all[3].size(), 64u);
  EXPECT_LT(all[1].size(), all[0].size());
  EXPECT_LT(all[3].size(), all[2].size());
}

TEST(MessageTest, EveryTruncationAndExtensionIsRefused) {
  for (const Bytes& message : OneOfEach()) {
    ASSERT_TRUE(Parses(message));
    for (size_t size = 0; size < message.size(); ++size) {
      EXPECT_FALSE(Parses(ByteView(message).first(size))) << int{message[3]} << " cut at " << size;
    }
    Bytes longer = message;
    longer.push_back(0);
    EXPECT_FALSE(Parses(longer));
  }
}

TEST(MessageTest, EveryFlippedBitOfASubscribeOrAnswerIsRefusedOrBreaksTheMac) {
  for (const Bytes& message : {OneOfEach()[2], OneOfEach()[3]}) {
    ASSERT_TRUE(HasMac(message, Key()));
    for (size_t bit = 0; bit < message.size() * 8; ++bit) {
      Bytes flipped = message;
      flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      EXPECT_FALSE(Parses(flipped) && HasMac(flipped, Key())) << "bit " << bit;
    }
  }
}

TEST(MessageTest, NothingHasASecondSpelling) {
  // Flipped bits either fail to parse or are seen in what is parsed.
  const Bytes hello = OneOfEach()[0], cookie = OneOfEach()[1];
  for (size_t bit = 0; bit < hello.size() * 8; ++bit) {
    Bytes flipped = hello;
    flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    const auto parsed = ParseHello(flipped);
    EXPECT_TRUE(!parsed.ok() || Serialise(*parsed) == flipped) << bit;
  }
  for (size_t bit = 0; bit < cookie.size() * 8; ++bit) {
    Bytes flipped = cookie;
    flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    const auto parsed = ParseCookieMessage(flipped);
    EXPECT_TRUE(!parsed.ok() || Serialise(*parsed) == flipped) << bit;
  }
}

TEST(MessageTest, TagsAscendAndAreOneToEight) {
  Subscribe subscribe = SomeSubscribe();
  for (const std::vector<uint64_t>& tags : std::vector<std::vector<uint64_t>>{{}, {9, 7}, {7, 7}}) {
    subscribe.tags = tags;
    EXPECT_FALSE(ParseSubscribe(Serialise(subscribe, Key())).ok());
  }
  subscribe.tags = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_TRUE(ParseSubscribe(Serialise(subscribe, Key())).ok());
}

TEST(TokenTest, ComesBackWithItsName) {
  SeededRandom random(1);
  const auto file = Token::Make("cinema-2.example", random);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto token = Token::Parse(file->Reveal());
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->name(), "cinema-2.example");
  EXPECT_FALSE(ConstantTimeEqual(token->subscriber_key().Mac({}), token->answer_key().Mac({})));
}

TEST(TokenTest, EveryFlippedBitAndTruncationIsNoticed) {
  SeededRandom random(2);
  const auto file = Token::Make("a", random);
  ASSERT_TRUE(file.ok()) << file.status();
  const Bytes bytes = ToBytes(file->Reveal());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(Token::Parse(flipped).ok()) << "bit " << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Token::Parse(ByteView(bytes).first(size)).ok()) << size;
  }
}

TEST(TokenTest, NamesThatAreNoneAreRefused) {
  SeededRandom random(3);
  for (const std::string& name : {std::string(), std::string(64, 'a'), std::string("A"),
                                  std::string("a b"), std::string("a/b")}) {
    EXPECT_FALSE(Token::Make(name, random).ok()) << name;
  }
}

}  // namespace
}  // namespace nark::relay
