#include "refunds/owed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace nark::refunds {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

v1::RefundRules Rules(uint32_t tolerance = 0, uint32_t cap = 100, uint32_t emulated_cap = 100,
                      uint64_t minimum = 0) {
  v1::RefundRules rules;
  rules.set_tolerance_per_mille(tolerance);
  rules.set_cap_percent(cap);
  rules.set_emulated_cap_percent(emulated_cap);
  rules.set_minimum_minor(minimum);
  return rules;
}

v1::Policy Count(uint64_t count) {
  v1::Policy policy;
  policy.set_count(count);
  return policy;
}

Owed Of(uint64_t bought, uint64_t delivered, const v1::RefundRules& rules, uint64_t price,
        v1::AssuranceClass assurance = v1::ASSURANCE_CLASS_CARD) {
  return ComputeOwed({bought, delivered, true}, {}, rules, assurance, price);
}

TEST(OwedTest, PaysTheUndeliveredShareRoundedDown) {
  const Owed owed = Of(3, 2, Rules(), 100);
  EXPECT_EQ(owed.adus, 1u);
  EXPECT_EQ(owed.amount_minor, 33u);
  EXPECT_EQ(owed.reason, "");
  EXPECT_EQ(Of(10, 0, Rules(), 50).amount_minor, 50u);
}

TEST(OwedTest, SaysWhyNothingIsPaid) {
  EXPECT_EQ(Of(10, 10, Rules(), 100).reason, kNothingOwed);
  EXPECT_EQ(Of(100, 99, Rules(10), 100).reason, kTolerated);
  EXPECT_EQ(Of(100, 98, Rules(10), 100).amount_minor, 1u);
  EXPECT_EQ(Of(10, 9, Rules(0, 100, 100, 11), 100).reason, kBelowMinimum);
  EXPECT_EQ(Of(10, 9, Rules(0, 100, 100, 10), 100).amount_minor, 10u);
  EXPECT_EQ(Of(10, 9, Rules(), 9).reason, kBelowMinimum) << "less than one minor unit";
  EXPECT_EQ(Of(10, 0, Rules(0, 0), 100).reason, kBelowMinimum);
  const Owed gift = ComputeOwed({10, 0, true}, {}, Rules(), v1::ASSURANCE_CLASS_CARD, std::nullopt);
  EXPECT_EQ(gift.reason, kNoPrice);
  EXPECT_EQ(gift.adus, 10u);
}

TEST(OwedTest, CapsByClass) {
  EXPECT_EQ(Of(10, 0, Rules(0, 80, 25), 100, v1::ASSURANCE_CLASS_CARD).amount_minor, 80u);
  EXPECT_EQ(Of(10, 0, Rules(0, 80, 25), 100, v1::ASSURANCE_CLASS_EMULATED).amount_minor, 25u);
  EXPECT_EQ(Of(10, 0, Rules(0, 20, 25), 100, v1::ASSURANCE_CLASS_EMULATED).amount_minor, 20u);
}

TEST(OwedTest, LeavesUnspentCountsUnlessTheTermsSaySo) {
  v1::RefundRules rules = Rules();
  const auto of = [&](bool granted) {
    return ComputeOwed({10, granted ? 4u : 0u, granted}, Count(10), rules, v1::ASSURANCE_CLASS_CARD,
                       100);
  };
  EXPECT_EQ(of(true).reason, kNothingOwed);
  EXPECT_EQ(of(false).amount_minor, 100u) << "never granted is undelivered whole";
  rules.set_refund_unspent_counts(true);
  EXPECT_EQ(of(true).amount_minor, 60u);
}

TEST(OwedTest, DoesNotOverflow) {
  EXPECT_EQ(Of(kMost, 0, Rules(), kMost).amount_minor, kMost);
  EXPECT_EQ(Of(kMost, kMost - 1, Rules(), kMost).amount_minor, 1u);
  EXPECT_EQ(Of(kMost, 0, Rules(1000), kMost).reason, kTolerated);
}

// The rules hold, whatever the numbers.
TEST(OwedTest, NeverPaysMoreThanTheRules) {
  for (uint64_t seed = 1; seed <= 50'000; ++seed) {
    std::mt19937_64 random(seed);
    // Numbers of every magnitude.
    const auto number = [&] { return random() >> (random() % 64); };
    const uint64_t bought = std::max<uint64_t>(1, number());
    const Account account{bought, number() % bought, random() % 4 != 0};
    const v1::Policy policy = Count(random() % 3 == 0 ? bought : 0);
    v1::RefundRules rules = Rules(random() % 1001, random() % 101, random() % 101, number() % 100);
    rules.set_refund_unspent_counts(random() % 2 == 0);
    const auto assurance = static_cast<v1::AssuranceClass>(1 + random() % 3);
    const uint64_t price = number();
    const Owed owed = ComputeOwed(account, policy, rules, assurance, price);
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const uint64_t undelivered =
        account.granted ? account.bought - account.delivered : account.bought;
    ASSERT_LE(owed.adus, undelivered);
    ASSERT_LE(owed.amount_minor, price);
    ASSERT_EQ(owed.reason.empty(), owed.amount_minor != 0);
    // Never above the exact share, and less than one unit or the cap below it.
    using Wide = unsigned __int128;
    const Wide exact = Wide{price} * owed.adus;
    ASSERT_LE(Wide{owed.amount_minor} * bought, exact);
    uint64_t cap = rules.cap_percent();
    if (assurance == v1::ASSURANCE_CLASS_EMULATED) {
      cap = std::min<uint64_t>(cap, rules.emulated_cap_percent());
    }
    ASSERT_LE(Wide{owed.amount_minor} * 100, Wide{price} * cap);
    if (owed.amount_minor != 0) {
      ASSERT_GE(owed.amount_minor, rules.minimum_minor());
      ASSERT_TRUE((Wide{owed.amount_minor} + 1) * bought > exact ||
                  (Wide{owed.amount_minor} + 1) * 100 > Wide{price} * cap);
    }
    // One ADU more delivered never earns more.
    if (account.granted && account.delivered < bought) {
      const Owed less =
          ComputeOwed({bought, account.delivered + 1, true}, policy, rules, assurance, price);
      ASSERT_LE(less.amount_minor, owed.amount_minor);
    }
  }
}

}  // namespace
}  // namespace nark::refunds
