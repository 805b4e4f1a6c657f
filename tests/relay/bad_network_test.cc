#include "tests/relay/bad_network.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nark::bad_network {
namespace {

using std::chrono::milliseconds;

Bytes Numbered(uint32_t number) {
  Bytes datagram(200, 0x11);
  StoreBig32(datagram.data(), number);
  return datagram;
}

std::vector<Bytes> Pass(const Impairment& impairment, uint64_t seed, uint32_t datagrams,
                        Counts* counts = nullptr) {
  BadNetwork network(impairment, seed);
  std::vector<Bytes> passed;
  Timestamp now{};
  const auto take = [&passed](ByteView datagram) { passed.push_back(ToBytes(datagram)); };
  for (uint32_t i = 0; i < datagrams; ++i) {
    network.Accept(Numbered(i), now);
    now += milliseconds(1);
    network.Deliver(now, take);
  }
  network.Deliver(now + std::chrono::hours(1), take);
  EXPECT_EQ(network.NextDue(), std::nullopt);
  if (counts != nullptr) *counts = network.counts();
  return passed;
}

TEST(BadNetworkTest, ChangesNothingUnlessAsked) {
  const std::vector<Bytes> passed = Pass({}, 1, 100);
  ASSERT_EQ(passed.size(), 100u);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(passed[i], Numbered(i));
}

TEST(BadNetworkTest, RepeatsItselfFromASeed) {
  Impairment all;
  all.loss = all.duplicate = all.reorder = all.corrupt = all.truncate = all.junk = 20;
  all.jitter = milliseconds(5);
  EXPECT_EQ(Pass(all, 7, 500), Pass(all, 7, 500));
  EXPECT_NE(Pass(all, 7, 500), Pass(all, 8, 500));
}

TEST(BadNetworkTest, LosesAboutAsManyAsAsked) {
  Impairment impairment;
  impairment.loss = 25;
  Counts counts;
  const size_t passed = Pass(impairment, 3, 4000, &counts).size();
  EXPECT_NEAR(static_cast<double>(counts.lost), 1000, 120);
  EXPECT_EQ(passed, 4000 - counts.lost);
}

TEST(BadNetworkTest, CountsWhatItDoes) {
  Impairment impairment;
  impairment.duplicate = 10;
  impairment.junk = 10;
  Counts counts;
  const size_t passed = Pass(impairment, 3, 1000, &counts).size();
  EXPECT_GT(counts.duplicated, 50u);
  EXPECT_GT(counts.invented, 50u);
  EXPECT_EQ(passed, 1000 + counts.duplicated + counts.invented);
  EXPECT_EQ(counts.sent, passed);
}

TEST(BadNetworkTest, LossInBurstsHasItsRateAndItsLength) {
  Impairment impairment;
  impairment.loss = 10;
  impairment.burst = 20;
  std::vector<bool> came(20000, false);
  for (const Bytes& datagram : Pass(impairment, 5, came.size())) {
    came[LoadBig32(datagram.data())] = true;
  }
  size_t lost = 0, bursts = 0;
  for (size_t i = 0; i < came.size(); ++i) {
    lost += came[i] ? 0 : 1;
    bursts += !came[i] && (i == 0 || came[i - 1]) ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(lost), 2000, 600);
  EXPECT_NEAR(static_cast<double>(lost) / static_cast<double>(bursts), 20, 6);
}

TEST(BadNetworkTest, HeldDatagramsComeAfterLaterOnes) {
  Impairment impairment;
  impairment.reorder = 10;
  impairment.hold = milliseconds(10);
  const std::vector<Bytes> passed = Pass(impairment, 5, 500);
  ASSERT_EQ(passed.size(), 500u);
  uint32_t behind = 0, highest = 0;
  for (const Bytes& datagram : passed) {
    const uint32_t number = LoadBig32(datagram.data());
    behind += number < highest ? 1 : 0;
    highest = std::max(highest, number);
    EXPECT_GE(number + 11, highest) << "held back for longer than asked";
  }
  EXPECT_GT(behind, 10u);
}

TEST(BadNetworkTest, DamageIsSeenInWhatPasses) {
  Impairment impairment;
  impairment.corrupt = 100;
  for (const Bytes& datagram : Pass(impairment, 5, 200)) {
    EXPECT_EQ(datagram.size(), 200u);
  }
  impairment.corrupt = 0;
  impairment.truncate = 100;
  for (const Bytes& datagram : Pass(impairment, 5, 200)) EXPECT_LT(datagram.size(), 200u);
}

}  // namespace
}  // namespace nark::bad_network
