#include "relay/forwarder.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/crypto/random.h"
#include "common/wire/datagram.h"

namespace nark::relay {
namespace {

using std::chrono::seconds;

constexpr uint64_t kTag = 0x1122334455667788;

Endpoint At(uint8_t host) {
  Endpoint endpoint;
  endpoint.address[15] = host;
  endpoint.port = 1;
  return endpoint;
}

class Recorder final : public FanOut, public net::DatagramSink {
 public:
  absl::Status Send(std::span<const Endpoint> to, std::span<const ByteView> datagrams) override {
    for (const Endpoint& one : to) {
      for (ByteView datagram : datagrams) by_endpoint[one].push_back(ToBytes(datagram));
    }
    return absl::OkStatus();
  }
  absl::Status Send(std::span<const ByteView> datagrams) override {
    for (ByteView datagram : datagrams) output.push_back(ToBytes(datagram));
    return absl::OkStatus();
  }
  std::map<Endpoint, std::vector<Bytes>> by_endpoint;
  std::vector<Bytes> output;
};

Bytes Datagram(uint64_t adu, uint64_t tag = kTag, size_t size = 1000) {
  Bytes datagram(size, 0x5a);
  wire::Prefix prefix;
  prefix.kind = wire::DatagramKind::kSource;
  prefix.session_tag = tag;
  prefix.adu_id = adu;
  wire::WritePrefix(prefix, datagram.data());
  return datagram;
}

class ForwarderTest : public testing::Test {
 protected:
  void SetUp() override {
    desk_ = *Desk::Create({.tags = {kTag, kTag + 1}}, random_);
    tokens_.push_back(*Token::Parse(Token::Make("site", random_)->Reveal()));
    std::vector<Token> copy = tokens_;
    desk_->SetTokens(std::move(copy), now_);
  }
  void Join(uint8_t host, std::vector<uint64_t> tags) {
    const auto cookie = desk_->OnMessage(Serialise(Hello{}), At(host), now_);
    Subscribe asked;
    asked.cookie = ParseCookieMessage(*cookie.message)->cookie;
    asked.credential = tokens_[0].id();
    asked.subscriber.fill(host);
    asked.serial = 1;
    asked.lease_seconds = 30;
    asked.tags = std::move(tags);
    ASSERT_EQ(
        desk_->OnMessage(Serialise(asked, tokens_[0].subscriber_key()), At(host), now_).verdict,
        Verdict::kSubscribed);
  }
  void Pass(Forwarder& forwarder, const std::vector<Bytes>& datagrams) {
    for (const Bytes& one : datagrams) forwarder.Add(one, now_);
    ASSERT_TRUE(forwarder.Flush(now_).ok());
  }

  SeededRandom random_{3};
  Timestamp now_{seconds(100)};
  std::unique_ptr<Desk> desk_;
  std::vector<Token> tokens_;
  Recorder recorder_;
};

TEST_F(ForwarderTest, EachGetsWhatItSubscribedToAsItCameAndInOrder) {
  Join(1, {kTag});
  Join(2, {kTag, kTag + 1});
  Forwarder forwarder({}, *desk_, &recorder_, {&recorder_});
  const Bytes a = Datagram(1), b = Datagram(2, kTag + 1), c = Datagram(3);
  Pass(forwarder, {a, b, c});
  EXPECT_EQ(recorder_.by_endpoint[At(1)], (std::vector<Bytes>{a, c}));
  EXPECT_EQ(recorder_.by_endpoint[At(2)].size(), 3u);
  EXPECT_EQ(recorder_.output, (std::vector<Bytes>{a, b, c}));
  EXPECT_EQ(forwarder.statistics().sent, 5u);
}

TEST_F(ForwarderTest, NothingElsePasses) {
  Join(1, {kTag});
  Forwarder forwarder({}, *desk_, &recorder_, {&recorder_});
  Bytes magic = Datagram(1), version = Datagram(1);
  magic[1] = 'R';
  version[2] = 2;
  Pass(forwarder, {magic,
                   version,
                   Datagram(1, kTag + 2),
                   Datagram(1, kTag, 1453),
                   {},
                   Bytes(27, 'N'),
                   Serialise(Hello{})});
  EXPECT_TRUE(recorder_.by_endpoint.empty());
  EXPECT_TRUE(recorder_.output.empty());
  const auto& stopped = forwarder.statistics().stopped;
  EXPECT_EQ(stopped[static_cast<size_t>(Stop::kForeign)], 3u);
  EXPECT_EQ(stopped[static_cast<size_t>(Stop::kSession)], 1u);
  EXPECT_EQ(stopped[static_cast<size_t>(Stop::kLong)], 1u);
  EXPECT_EQ(stopped[static_cast<size_t>(Stop::kShort)], 2u);
  Pass(forwarder, {Datagram(1, kTag, 28), Datagram(1, kTag, 1452)});
  EXPECT_EQ(recorder_.output.size(), 2u);
}

TEST_F(ForwarderTest, ARelayThatFeedsItselfFallsSilent) {
  Forwarder forwarder({}, *desk_, nullptr, {&recorder_});
  recorder_.output = {Datagram(1), Datagram(2), Datagram(1)};
  size_t rounds = 0;
  for (; !recorder_.output.empty() && rounds < 1000; ++rounds) {
    Pass(forwarder, std::exchange(recorder_.output, {}));
  }
  EXPECT_LE(rounds, RepeatGuard::kMost + 1u);
  EXPECT_GT(forwarder.statistics().stopped[static_cast<size_t>(Stop::kRepeated)], 0u);
  // A sender's repetitions are not what it stops.
  now_ += RepeatGuard::kWindow + seconds(1);
  for (int i = 0; i < RepeatGuard::kMost; ++i) Pass(forwarder, {Datagram(1)});
  EXPECT_EQ(recorder_.output.size(), static_cast<size_t>(RepeatGuard::kMost));
}

TEST_F(ForwarderTest, AForgedTwinDoesNotUseUpTheTrueOnesPasses) {
  Forwarder forwarder({}, *desk_, nullptr, {&recorder_});
  Bytes forged = Datagram(1);
  for (uint8_t i = 0; i < 200; ++i) {
    forged.back() = i;
    Pass(forwarder, {forged});
  }
  recorder_.output.clear();
  Pass(forwarder, {Datagram(1, kTag, 999)});
  EXPECT_EQ(recorder_.output.size(), 1u);
}

TEST_F(ForwarderTest, ARateIsKeptForEachSubscriber) {
  Join(1, {kTag});
  Join(2, {kTag});
  Forwarder forwarder({.bytes_per_second = 10000}, *desk_, &recorder_, {});
  std::vector<Bytes> burst;
  for (uint64_t i = 0; i < 25; ++i) burst.push_back(Datagram(i));
  Pass(forwarder, burst);
  EXPECT_EQ(recorder_.by_endpoint[At(1)].size(), 10u);
  EXPECT_EQ(recorder_.by_endpoint[At(2)].size(), 10u);
  now_ += std::chrono::milliseconds(500);
  Pass(forwarder, burst);
  EXPECT_EQ(recorder_.by_endpoint[At(1)].size(), 15u);
  EXPECT_EQ(forwarder.statistics().over_rate, 2 * (15u + 20u));
}

}  // namespace
}  // namespace nark::relay
